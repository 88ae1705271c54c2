//! Containers on a host, by the names that podlift gave them.

mod configuration;
mod create;
mod dependency;
mod enter;
pub mod labels;
pub mod ports;
mod prune;

use std::{collections::HashMap, time::Duration};

use bollard::{
    container::LogOutput,
    errors::Error,
    models::{ContainerSummary, ContainerSummaryStateEnum, ContainerUpdateBody},
    query_parameters::{ListContainersOptionsBuilder, LogsOptionsBuilder, RemoveContainerOptionsBuilder, StopContainerOptionsBuilder},
};
use futures_util::{
    StreamExt, TryStreamExt,
    future::{join_all, try_join_all},
};

pub use self::{
    configuration::fits as options_fit,
    create::{one_off, start},
    dependency::depend,
    enter::enter,
    prune::prune,
};
use super::{Connection, Secrets, images::engine_failure, nginx::Idling};
use crate::{
    failure::{Failure, FailureKind},
    model::{Container, ContainerName, ContainerState, ProjectName, ServiceName},
    op::{LogText, Remove, StartAgain, Stop},
};

/// How long an engine may take beyond what it was told to wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// The most that is read of a container's log.
const LOG_LIMIT: usize = 1 << 20;

/// Lists a project's containers on a host, stopped ones too, sorted by name.
pub async fn list(connection: &Connection, project: &ProjectName, service: Option<&ServiceName>) -> Result<Vec<Container>, Failure> {
    let mut wanted = vec![format!("{}={project}", labels::PROJECT)];
    wanted.extend(service.map(|service| format!("{}={service}", labels::SERVICE)));
    let host = &connection.host().name;
    let listed = listed(connection, &HashMap::from([("label".to_owned(), wanted)])).await?;
    let mut containers: Vec<Container> = listed
        .iter()
        .filter_map(|summary| {
            let name = summary.names.as_ref()?.first()?;
            labels::read(host, name, summary.labels.as_ref()?, state(summary), exit_code(summary))
        })
        .collect();
    containers.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(containers)
}

/// Every container of a host, whoever made it, stopped ones too.
pub async fn all(connection: &Connection) -> Result<Vec<ContainerSummary>, Failure> {
    listed(connection, &HashMap::new()).await
}

/// Those that an engine finds by these filters, stopped ones too.
async fn listed(connection: &Connection, filters: &HashMap<String, Vec<String>>) -> Result<Vec<ContainerSummary>, Failure> {
    let options = ListContainersOptionsBuilder::default().all(true).filters(filters).build();
    let failed = |error| engine_failure(&format!("the engine of {} did not list its containers", connection.host().name), &error);
    connection.docker().await?.list_containers(Some(options)).await.map_err(failed)
}

/// What an engine says of a container that it lists.
pub fn state(summary: &ContainerSummary) -> ContainerState {
    use ContainerSummaryStateEnum as State;
    match summary.state {
        Some(State::RUNNING | State::PAUSED | State::STOPPING) => ContainerState::Running,
        Some(State::RESTARTING) => ContainerState::Restarting,
        Some(State::CREATED) => ContainerState::Created,
        _ => ContainerState::Stopped,
    }
}

/// The engine tells it only in words: `Exited (137) 3 seconds ago`.
fn exit_code(summary: &ContainerSummary) -> Option<i64> {
    summary.status.as_deref()?.strip_prefix("Exited (")?.split_once(')')?.0.parse().ok()
}

/// Starts stopped containers again, with the restart policy that they were made with unless the op names another. Returns them, and
/// those of them that ran before; a failure says what ends those that were started.
pub async fn start_again(connection: &Connection, op: &StartAgain) -> Result<(Vec<Container>, Vec<Container>), Failure> {
    let docker = connection.docker().await?;
    // All are there before the first one is started.
    let mut ran = named(connection, &op.project, &op.service, &op.containers).await?;
    ran.retain(Container::is_up);
    let start = async || {
        for name in &op.containers {
            let failed = |error| engine_failure(&format!("{name} could not be started again on {}", op.host.name), &error);
            let inspected = docker.inspect_container(name.as_str(), None).await.map_err(|error| missing(connection, name, error))?;
            let labels = inspected.config.and_then(|config| config.labels).unwrap_or_default();
            let word = op.restart.as_ref().or_else(|| labels.get(labels::RESTART)).map_or("no", String::as_str);
            let policy = configuration::restart_policy(word)?;
            let update = ContainerUpdateBody { restart_policy: Some(policy), ..ContainerUpdateBody::default() };
            docker.update_container(name.as_str(), update).await.map_err(failed)?;
            unless_already(docker.start_container(name.as_str(), None).await).map_err(failed)?;
        }
        named(connection, &op.project, &op.service, &op.containers).await
    };
    match start().await {
        Ok(started) => Ok((started, ran)),
        Err(failure) => Err(failure.undone_by(op.inverse(&ran))),
    }
}

/// Stops containers, all at once, and keeps them; a reboot does not start them. Returns those that ran, and those that are gone
/// where they may be; a failure says what starts them again.
pub async fn stop(connection: &Connection, op: &Stop, may_be_gone: bool) -> Result<(Vec<Container>, Vec<ContainerName>), Failure> {
    let listed = list(connection, &op.project, Some(&op.service)).await?;
    let is_there = |name: &ContainerName| listed.iter().any(|container| container.name == *name);
    let (there, gone): (Vec<_>, Vec<_>) = op.containers.iter().cloned().partition(is_there);
    if !may_be_gone && let Some(name) = gone.first() {
        return Err(no_such(connection, name));
    }
    // Docker answers when the container has stopped.
    let patience = op.timeout.duration() + PATIENCE;
    let docker = connection.docker().await?.with_timeout(patience);
    let seconds = i32::try_from(op.timeout.as_milliseconds().div_ceil(1000)).unwrap_or(i32::MAX);
    let stops = there.iter().map(|name| {
        let docker = docker.clone();
        async move {
            let failed = |error| engine_failure(&format!("{name} could not be stopped on {}", op.host.name), &error);
            let policy = configuration::restart_policy("no")?;
            let update = ContainerUpdateBody { restart_policy: Some(policy), ..ContainerUpdateBody::default() };
            let updated = unless_gone(docker.update_container(name.as_str(), update.clone()).await, may_be_gone).map_err(failed);
            // An engine cannot change one that is between an end and its next start: that waits until it has stopped for good.
            let is_to_be_updated = match updated {
                Ok(true) => false,
                Ok(false) => return Ok(Some(name.clone())),
                Err(failure) if failure.is_uncertain() => return Err(failure),
                Err(_) => true,
            };
            let options = StopContainerOptionsBuilder::default().t(seconds).build();
            let stopped = tokio::time::timeout(patience, docker.stop_container(name.as_str(), Some(options))).await;
            let late =
                || Failure::new(FailureKind::Timeout, format!("{name} was still not stopped on {} after {}", op.host.name, op.timeout));
            let is_there = unless_gone(unless_already(stopped.map_err(|_| late())?), may_be_gone).map_err(failed)?;
            let is_there = if is_there && is_to_be_updated {
                unless_gone(docker.update_container(name.as_str(), update).await, may_be_gone).map_err(failed)?
            } else {
                is_there
            };
            Ok((!is_there).then(|| name.clone()))
        }
    });
    // One that cannot be stopped does not leave the others in the middle of it.
    let stopped: Result<Vec<Option<ContainerName>>, Failure> = join_all(stops).await.into_iter().collect();
    let ran = |container: &Container| there.contains(&container.name) && container.state != ContainerState::Stopped;
    let ran: Vec<Container> = listed.into_iter().filter(ran).collect();
    // Somebody else may have removed one meanwhile.
    let meanwhile: Vec<_> = stopped.map_err(|failure| failure.undone_by(op.inverse(&ran)))?.into_iter().flatten().collect();
    let ran = ran.into_iter().filter(|container| !meanwhile.contains(&container.name)).collect();
    Ok((ran, [gone, meanwhile].concat()))
}

/// Deletes containers with their anonymous volumes; returns those that were gone already. A dependency's volumes stay.
pub async fn remove(connection: &Connection, op: &Remove) -> Result<Vec<ContainerName>, Failure> {
    let docker = connection.docker().await?;
    let there = list(connection, &op.project, Some(&op.service)).await?;
    let (mut gone, mut deleted) = (Vec::new(), false);
    for name in &op.containers {
        let is_dependency = there.iter().any(|container| container.name == *name && container.dependency);
        let options = RemoveContainerOptionsBuilder::default().force(true).v(!is_dependency).build();
        match docker.remove_container(name.as_str(), Some(options)).await {
            Ok(()) => deleted = true,
            Err(error) if is_gone(&error) => gone.push(name.clone()),
            Err(error) => {
                let failure = engine_failure(&format!("{name} could not be removed from {}", op.host.name), &error);
                return Err(if deleted || failure.is_uncertain() { failure.half_done() } else { failure });
            }
        }
    }
    Ok(gone)
}

/// Reads the last `lines` lines of each container, standard output and error as they came, secrets replaced.
pub async fn logs(connection: &Connection, containers: &[ContainerName], lines: u32, secrets: &Secrets) -> Result<Vec<LogText>, Failure> {
    let docker = connection.docker().await?;
    let texts = containers.iter().map(|name| {
        let docker = docker.clone();
        async move {
            let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail(&lines.to_string()).build();
            let mut stream = docker.logs(name.as_str(), Some(options));
            let mut bytes = Vec::new();
            let late = |_| Failure::new(FailureKind::Timeout, format!("the log of {name} stood still for {} s", PATIENCE.as_secs()));
            while let Some(output) = tokio::time::timeout(PATIENCE, stream.next()).await.map_err(late)? {
                bytes.extend_from_slice(&output.map_err(|error| missing(connection, name, error))?.into_bytes());
                if bytes.len() > LOG_LIMIT {
                    bytes.drain(..bytes.len() - LOG_LIMIT);
                }
            }
            Ok(LogText { container: name.clone(), text: secrets.redact(&String::from_utf8_lossy(&bytes)) })
        }
    });
    try_join_all(texts).await
}

/// Prints a container's lines as they are written, secrets replaced, until it ends: first the last `lines` of those that are there. Each
/// has the moment at which its host has got it, in RFC 3339, UTC, to the nanosecond; those up to `after` are left out.
pub async fn follow(
    connection: &Connection,
    name: &ContainerName,
    lines: u32,
    after: Option<&str>,
    secrets: &Secrets,
    mut print: impl FnMut(&str, &str),
) -> Result<(), Failure> {
    let options = LogsOptionsBuilder::default().stdout(true).stderr(true).follow(true).timestamps(true).tail(&lines.to_string());
    let since = after.and_then(|moment| moment.parse().ok()).and_then(|moment: jiff::Timestamp| i32::try_from(moment.as_second()).ok());
    let options = since.into_iter().fold(options, LogsOptionsBuilder::since).build();
    let docker = connection.docker().await?;
    let mut stream = docker.logs(name.as_str(), Some(options));
    let mut print = |line: &[u8]| {
        let line = String::from_utf8_lossy(line);
        let (moment, line) = line.split_once(' ').unwrap_or((&*line, ""));
        if after.is_none_or(|after| moment > after) {
            print(moment, &secrets.redact(line));
        }
    };
    // Standard output and error come mixed, and a line in several parts.
    let mut parts = [Vec::new(), Vec::new()];
    while let Some(output) = stream.try_next().await.map_err(|error| missing(connection, name, error))? {
        let part: &mut Vec<u8> = &mut parts[usize::from(matches!(output, LogOutput::StdErr { .. }))];
        part.extend_from_slice(&output.into_bytes());
        if let Some(end) = part.iter().rposition(|byte| *byte == b'\n') {
            part.drain(..=end).as_slice().split_inclusive(|byte| *byte == b'\n').for_each(|line| print(line.trim_ascii_end()));
        } else if part.len() > LOG_LIMIT {
            print(&std::mem::take(part));
        }
    }
    parts.iter().filter(|part| !part.is_empty()).for_each(|part| print(part));
    Ok(())
}

/// What there is to wait for before containers are idle: their processes, the port inside, and those on the host. Also which
/// containers are gone, where they may be: nothing can be in flight to them.
pub async fn idling(
    connection: &Connection,
    containers: &[ContainerName],
    may_be_gone: bool,
) -> Result<(Idling, Vec<ContainerName>), Failure> {
    let docker = connection.docker().await?;
    let (mut idling, mut gone) = (Idling::default(), Vec::new());
    for name in containers {
        let inspected = match docker.inspect_container(name.as_str(), None).await {
            Ok(inspected) => inspected,
            Err(Error::DockerResponseServerError { status_code: 404, .. }) if may_be_gone => {
                gone.push(name.clone());
                continue;
            }
            Err(error) => return Err(missing(connection, name, error)),
        };
        let labels = inspected.config.and_then(|config| config.labels).unwrap_or_default();
        let port = |label: &str| labels.get(label).and_then(|port| port.parse().ok());
        let pid = inspected.state.and_then(|state| state.pid).and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0);
        idling.processes.extend(pid);
        idling.published.extend(port(labels::PORT));
        idling.port = idling.port.or_else(|| port(labels::INNER_PORT));
    }
    Ok((idling, gone))
}

/// The containers with these names; a name that is not there is an error.
async fn named(
    connection: &Connection,
    project: &ProjectName,
    service: &ServiceName,
    names: &[ContainerName],
) -> Result<Vec<Container>, Failure> {
    let there = list(connection, project, Some(service)).await?;
    names
        .iter()
        .map(|name| there.iter().find(|container| container.name == *name).cloned().ok_or_else(|| no_such(connection, name)))
        .collect()
}

pub(super) fn missing(connection: &Connection, name: &ContainerName, error: Error) -> Failure {
    match error {
        Error::DockerResponseServerError { status_code: 404, .. } => no_such(connection, name),
        error => engine_failure(&format!("{name} could not be read on {}", connection.host().name), &error),
    }
}

fn no_such(connection: &Connection, name: &ContainerName) -> Failure {
    Failure::failed(format!("{} has no container {name}", connection.host().name))
}

/// Whether the engine says that a container is not there, or that somebody else is removing it. The latter it says in words alone: a
/// `remove` is a conflict then (409), an `update` its own fault (500).
fn is_gone(error: &Error) -> bool {
    let Error::DockerResponseServerError { status_code, message } = error else { return false };
    let is_being_removed = ["is already in progress", "is marked for removal"].iter().any(|words| message.contains(words));
    *status_code == 404 || is_being_removed
}

/// Whether a container was still there when something was done to it, where it may be gone.
fn unless_gone<T>(result: Result<T, Error>, may_be_gone: bool) -> Result<bool, Error> {
    match result {
        Ok(_) => Ok(true),
        Err(error) if may_be_gone && is_gone(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// 304 is the engine's way to say that it is so already.
fn unless_already(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(Error::DockerResponseServerError { status_code: 304, .. }) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status_code: u16, message: &str) -> Result<(), Error> {
        Err(Error::DockerResponseServerError { status_code, message: message.into() })
    }

    #[test]
    fn what_somebody_else_removes_meanwhile_is_gone_where_it_may_be() {
        let gone = [
            (404, "No such container: shop-web-v1-0123456789-1"),
            (409, "removal of container shop-web-v1-0123456789-1 is already in progress"),
            (500, "Cannot update container 5f2c: container is marked for removal and cannot be \"update\""),
        ];
        for (status, message) in gone {
            assert!(!unless_gone(said(status, message), true).expect("it is gone"), "{message}");
            unless_gone(said(status, message), false).expect_err("a script ends what is there");
        }
        unless_gone(said(500, "the disk is full"), true).expect_err("it is there");
        assert!(unless_gone(unless_already(said(304, "")), true).expect("it had stopped"));
    }
}
