//! Containers that exist: found by their labels, stopped, brought back, removed, read.

use std::{collections::HashMap, time::Duration};

use bollard::{
    container::LogOutput,
    errors::Error,
    models::{
        ContainerInspectResponse, ContainerStateStatusEnum, ContainerSummary, ContainerSummaryStateEnum, ContainerUpdateBody,
        RestartPolicy, RestartPolicyNameEnum,
    },
    query_parameters::{ListContainersOptionsBuilder, LogsOptionsBuilder, RemoveContainerOptionsBuilder, StopContainerOptionsBuilder},
};
use futures_util::{StreamExt, future::try_join_all};
use tokio::time::timeout;

use super::{Connection, Secrets, labels, labels::Seen, trouble};
use crate::{
    failure::{Failure, FailureKind},
    model::{Container, ContainerName, ContainerState, HostName, Period, ProjectName, ServiceName},
    op::LogText,
};

/// How long the last lines of a log may take.
const LOGS: Duration = Duration::from_secs(20);

/// All containers of a project, or of one of its services, by name; stopped ones too.
pub async fn list(connection: &Connection, project: &ProjectName, service: Option<&ServiceName>) -> Result<Vec<Container>, Failure> {
    let mut wanted = vec![format!("{}={project}", labels::PROJECT)];
    wanted.extend(service.map(|service| format!("{}={service}", labels::SERVICE)));
    let options = ListContainersOptionsBuilder::default().all(true).filters(&HashMap::from([("label", wanted)])).build();
    let host = connection.host();
    let found = connection.docker().await?.list_containers(Some(options)).await;
    let found = found.map_err(|error| trouble::engine(host, "Docker did not list its containers", &error))?;
    let mut containers: Vec<Container> = found.iter().filter_map(|summary| read_summary(&host.name, summary)).collect();
    containers.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(containers)
}

/// A container with what the engine alone knows.
pub struct Inspected {
    /// The container.
    pub container: Container,
    /// How often the engine started it again.
    pub restarts: i64,
    /// Its main process on the host, while it runs.
    pub pid: Option<i64>,
    /// All that the engine said.
    pub response: ContainerInspectResponse,
}

/// Looks at one container; `None` if there is none of this name, or none of podlift's.
pub async fn inspect(connection: &Connection, name: &ContainerName) -> Result<Option<Inspected>, Failure> {
    let host = connection.host();
    match connection.docker().await?.inspect_container(name.as_str(), None).await {
        Ok(response) => Ok(read_inspected(&host.name, response)),
        Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
        Err(error) => Err(trouble::engine(host, &format!("Docker did not show {name}"), &error)),
    }
}

/// Looks at containers that have to exist.
pub async fn inspect_all(connection: &Connection, names: &[ContainerName]) -> Result<Vec<Inspected>, Failure> {
    try_join_all(names.iter().map(|name| async move { inspect(connection, name).await?.ok_or_else(|| gone(connection, name)) })).await
}

fn gone(connection: &Connection, name: &ContainerName) -> Failure {
    let host = &connection.host().name;
    Failure::new(FailureKind::Conflict, format!("There is no container {name} on {host} any more"))
        .on(host)
        .hint("something else than this run removed it: look with `docker ps -a` there")
}

/// Stops containers and sees to it that no reboot starts them: SIGTERM, then SIGKILL after `grace`. Those that are gone or
/// stopped are let be.
pub async fn stop(connection: &Connection, names: &[ContainerName], grace: Period) -> Result<(), Failure> {
    let seconds = i32::try_from(grace.as_milliseconds().div_ceil(1000)).unwrap_or(i32::MAX);
    let docker = connection.docker().await?;
    let docker = &docker;
    let patient = &docker.clone().with_timeout(docker.timeout() + Duration::from_secs(u64::from(seconds.unsigned_abs())));
    try_join_all(names.iter().map(|name| async move {
        let body = ContainerUpdateBody { restart_policy: Some(policy("no")), ..ContainerUpdateBody::default() };
        let done = match docker.update_container(name.as_str(), body).await {
            Ok(()) => patient.stop_container(name.as_str(), Some(StopContainerOptionsBuilder::default().t(seconds).build())).await,
            error => error,
        };
        ignore(done, &[404, 304]).map_err(|error| trouble::engine(connection.host(), &format!("{name} was not stopped"), &error))
    }))
    .await
    .map(drop)
}

/// Removes containers, running ones too, with their anonymous volumes. Those that are gone are let be.
pub async fn remove(connection: &Connection, names: &[ContainerName]) -> Result<(), Failure> {
    let docker = &connection.docker().await?;
    try_join_all(names.iter().map(|name| async move {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        ignore(docker.remove_container(name.as_str(), Some(options)).await, &[404])
            .map_err(|error| trouble::engine(connection.host(), &format!("{name} was not removed"), &error))
    }))
    .await
    .map(drop)
}

/// Starts stopped containers again, on the ports that they had, and gives them `restart` or the policy they were made with.
pub async fn start_again(connection: &Connection, names: &[ContainerName], restart: Option<&str>) -> Result<Vec<Container>, Failure> {
    let docker = connection.docker().await?;
    let host = connection.host();
    let found = inspect_all(connection, names).await?;
    try_join_all(found.iter().map(|inspected| async {
        let name = &inspected.container.name;
        let failed = |error| trouble::engine(host, &format!("{name} was not started again"), &error);
        let labels = inspected.response.config.as_ref().and_then(|config| config.labels.as_ref());
        let made_with = labels.and_then(|labels| labels.get(labels::RESTART)).map_or("unless-stopped", String::as_str);
        ignore(docker.start_container(name.as_str(), None).await, &[304]).map_err(failed)?;
        let body = ContainerUpdateBody { restart_policy: Some(policy(restart.unwrap_or(made_with))), ..ContainerUpdateBody::default() };
        docker.update_container(name.as_str(), body).await.map_err(failed)
    }))
    .await?;
    Ok(inspect_all(connection, names).await?.into_iter().map(|inspected| inspected.container).collect())
}

/// The last lines of containers' logs, secrets replaced. A container that is gone has none.
pub async fn logs(connection: &Connection, names: &[ContainerName], lines: u32, secrets: &Secrets) -> Result<Vec<LogText>, Failure> {
    try_join_all(names.iter().map(|name| async move {
        let text = last_lines(connection, name, lines).await?;
        Ok(LogText { container: name.clone(), text: secrets.redact(&text) })
    }))
    .await
}

async fn last_lines(connection: &Connection, name: &ContainerName, lines: u32) -> Result<String, Failure> {
    let docker = connection.docker().await?;
    let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail(&lines.to_string()).build();
    let mut stream = docker.logs(name.as_str(), Some(options));
    let host = connection.host();
    let read = async {
        let mut bytes = Vec::new();
        while let Some(piece) = stream.next().await {
            match piece.map(LogOutput::into_bytes) {
                Ok(piece) => bytes.extend_from_slice(&piece),
                Err(Error::DockerResponseServerError { status_code: 404, .. }) => break,
                Err(error) => return Err(trouble::engine(host, &format!("The log of {name} could not be read"), &error)),
            }
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let late = || Failure::new(FailureKind::Timeout, format!("The log of {name} took longer than {} s", LOGS.as_secs())).on(&host.name);
    timeout(LOGS, read).await.unwrap_or_else(|_| Err(late()))
}

/// Reads Docker's words for a restart policy: `no`, `always`, `unless-stopped`, `on-failure` or `on-failure:TIMES`.
pub fn policy(text: &str) -> RestartPolicy {
    let (name, times) = text.split_once(':').unwrap_or((text, ""));
    let name = match name {
        "always" => RestartPolicyNameEnum::ALWAYS,
        "unless-stopped" => RestartPolicyNameEnum::UNLESS_STOPPED,
        "on-failure" => RestartPolicyNameEnum::ON_FAILURE,
        _ => RestartPolicyNameEnum::NO,
    };
    RestartPolicy { name: Some(name), maximum_retry_count: times.parse().ok() }
}

/// Takes answers of these codes for success: what was asked for is so already.
pub fn ignore(result: Result<(), Error>, codes: &[u16]) -> Result<(), Error> {
    match result {
        Err(Error::DockerResponseServerError { status_code, .. }) if codes.contains(&status_code) => Ok(()),
        result => result,
    }
}

fn read_summary(host: &HostName, summary: &ContainerSummary) -> Option<Container> {
    let state = match summary.state? {
        ContainerSummaryStateEnum::RUNNING | ContainerSummaryStateEnum::PAUSED | ContainerSummaryStateEnum::STOPPING => {
            ContainerState::Running
        }
        ContainerSummaryStateEnum::RESTARTING => ContainerState::Restarting,
        ContainerSummaryStateEnum::CREATED => ContainerState::Created,
        _ => ContainerState::Stopped,
    };
    let name = summary.names.as_ref()?.first()?.clone();
    let exit_code = summary.status.as_deref().filter(|_| state == ContainerState::Stopped).and_then(exit_code);
    labels::parse(host, summary.labels.as_ref()?, Seen { name, state, exit_code })
}

/// Reads the code out of `Exited (137) 3 minutes ago`.
fn exit_code(status: &str) -> Option<i64> {
    status.strip_prefix("Exited (")?.split_once(')')?.0.parse().ok()
}

fn read_inspected(host: &HostName, response: ContainerInspectResponse) -> Option<Inspected> {
    let seen = response.state.as_ref()?;
    let state = match seen.status? {
        ContainerStateStatusEnum::RUNNING | ContainerStateStatusEnum::PAUSED | ContainerStateStatusEnum::STOPPING => {
            ContainerState::Running
        }
        ContainerStateStatusEnum::RESTARTING => ContainerState::Restarting,
        ContainerStateStatusEnum::CREATED => ContainerState::Created,
        _ => ContainerState::Stopped,
    };
    let exit_code = seen.exit_code.filter(|_| state == ContainerState::Stopped);
    let pid = seen.pid.filter(|pid| *pid > 0);
    let seen = Seen { name: response.name.clone()?, state, exit_code };
    let container = labels::parse(host, response.config.as_ref()?.labels.as_ref()?, seen)?;
    Some(Inspected { container, restarts: response.restart_count.unwrap_or_default(), pid, response })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_code_stands_in_the_status() {
        assert_eq!(exit_code("Exited (137) 3 minutes ago"), Some(137));
        assert_eq!(exit_code("Up 3 minutes"), None);
    }

    #[test]
    fn restart_policies_are_dockers_words() {
        assert_eq!(policy("on-failure:3").maximum_retry_count, Some(3));
        assert_eq!(policy("unless-stopped").name, Some(RestartPolicyNameEnum::UNLESS_STOPPED));
    }
}
