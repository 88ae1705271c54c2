//! Health checks, from the host's own point of view.

use std::time::{Duration, Instant};

use bollard::{
    exec::{CreateExecOptions, StartExecResults},
    models::{ContainerInspectResponse, HealthStatusEnum},
};
use bytes::Bytes;
use futures_util::{StreamExt, future::join_all};
use http_body_util::Empty;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use tokio::time::{sleep, timeout};

use super::{
    Connection, Secrets,
    containers::{self, labels},
    images::engine_failure,
};
use crate::{
    executor::{Cancellation, Progress, call::Urgency},
    failure::{Failure, FailureKind},
    model::{Check, ContainerName, ContainerState, Health},
    op::{CheckNow, CheckedContainer, Checks, Healthcheck},
};

/// The longest that a single check may take.
const ONE_CHECK: Duration = Duration::from_secs(5);

/// How long a container without a health check must run.
const STILL_RUNNING: Duration = Duration::from_secs(2);

/// How long an accepted connection has to stay open: through SSH a refused one ends only after a round trip.
const STAYS_OPEN: Duration = Duration::from_secs(1);

/// How many log lines an error shows.
const SHOWN_LINES: u32 = 20;

/// Waits until every container is healthy; fails with each failing container's last answer, exit code and log lines.
pub async fn wait(
    connection: &Connection,
    op: &Healthcheck,
    secrets: &Secrets,
    cancellation: &Cancellation,
    progress: &dyn Progress,
) -> Result<Checks, Failure> {
    let begin = Instant::now();
    let waits = op.containers.iter().map(|name| wait_for(connection, name, &op.health, begin, progress));
    let results = tokio::select! {
        results = join_all(waits) => results,
        () = cancellation.requested(Urgency::Finish) => return Err(Failure::new(FailureKind::Interrupted, "the wait for health was told to stop")),
    };
    let mut checks = Checks::default();
    let mut sick = Vec::new();
    for (name, result) in op.containers.iter().zip(results) {
        match result {
            Ok(count) => checks.checks += count,
            Err(Sickness::Engine(failure)) => return Err(failure),
            Err(Sickness::Unhealthy { answer, exit_code }) => sick.push((name, answer, exit_code)),
        }
    }
    if sick.is_empty() {
        checks.seconds = begin.elapsed().as_secs_f64();
        return Ok(checks);
    }
    Err(unhealthy(connection, op, &sick, secrets).await)
}

/// Checks each container once.
pub async fn check_now(connection: &Connection, op: &CheckNow, secrets: &Secrets) -> Result<Vec<CheckedContainer>, Failure> {
    let there = containers::list(connection, &op.project, None).await?;
    let checks = op.containers.iter().map(|name| {
        let known = there.iter().find(|container| container.name == *name);
        async move {
            let Some(container) = known else {
                return Ok(CheckedContainer {
                    container: name.clone(),
                    state: None,
                    healthy: false,
                    answer: "there is no such container".into(),
                });
            };
            let answer = match container.state {
                ContainerState::Running => check(connection, name, &container.health.check, ONE_CHECK).await,
                state => Ok(Err(format!("it is {}", state.word()))),
            };
            let (healthy, answer) = match answer? {
                Ok(answer) => (true, answer),
                Err(answer) => (false, answer),
            };
            Ok(CheckedContainer { container: name.clone(), state: Some(container.state), healthy, answer: secrets.redact(&answer) })
        }
    });
    join_all(checks).await.into_iter().collect()
}

/// Why a container is not waited for any longer.
enum Sickness {
    Unhealthy { answer: String, exit_code: Option<i64> },
    Engine(Failure),
}

impl From<Failure> for Sickness {
    fn from(failure: Failure) -> Self {
        Self::Engine(failure)
    }
}

/// Checks until it was healthy often enough in a row; returns how many checks that took.
async fn wait_for(
    connection: &Connection,
    name: &ContainerName,
    health: &Health,
    begin: Instant,
    progress: &dyn Progress,
) -> Result<u64, Sickness> {
    let deadline = begin + health.timeout.duration();
    let (mut checks, mut good) = (0, 0);
    let mut answer = String::from("it was not checked yet");
    if health.check == Check::None {
        sleep(STILL_RUNNING.min(health.timeout.duration())).await;
    }
    loop {
        let inspected = inspect(connection, name).await?;
        let restarts = inspected.restart_count.unwrap_or(0);
        let state = inspected.state.unwrap_or_default();
        // Where only running counts, one that runs again at this moment has crashed all the same.
        let restarted = state.restarting.unwrap_or(false) || (health.check == Check::None && restarts > 0);
        if !state.running.unwrap_or(false) || restarted {
            let what = if restarted { "it crashed and is being restarted" } else { "it has stopped" };
            return Err(Sickness::Unhealthy { answer: format!("{what}; before that: {answer}"), exit_code: state.exit_code });
        }
        let rest = deadline.saturating_duration_since(Instant::now());
        checks += 1;
        match check(connection, name, &health.check, rest.clamp(Duration::from_millis(100), ONE_CHECK)).await? {
            Ok(_) => good += 1,
            Err(bad) => {
                good = 0;
                // Until its start period is over, a failure is what one expects of a container that starts.
                if begin.elapsed() >= health.start_period.duration() {
                    progress.doing(&format!("{name}: {bad}"));
                }
                answer = bad;
            }
        }
        if good >= health.successes.max(1) {
            return Ok(checks);
        }
        if Instant::now() + health.interval.duration() >= deadline {
            return Err(Sickness::Unhealthy { answer, exit_code: None });
        }
        sleep(health.interval.duration()).await;
    }
}

async fn inspect(connection: &Connection, name: &ContainerName) -> Result<ContainerInspectResponse, Failure> {
    let docker = connection.docker().await?;
    let inspected = timeout(Duration::from_secs(15), docker.inspect_container(name.as_str(), None)).await;
    let late = || Failure::new(FailureKind::Timeout, format!("the engine of {} did not answer for 15 s", connection.host().name));
    inspected.map_err(|_| late())?.map_err(|error| containers::missing(connection, name, error))
}

/// One check: the answer that counts as healthy, or the one that does not. An engine that fails is an error.
async fn check(connection: &Connection, name: &ContainerName, check: &Check, limit: Duration) -> Result<Result<String, String>, Failure> {
    let asked = async {
        match check {
            Check::None => Ok(Ok("it runs".into())),
            Check::Docker => verdict(connection, name).await,
            Check::Command { command } => run(connection, name, command).await,
            Check::Tcp => {
                let (address, port) = endpoint(connection, name).await?;
                let connected = connection.tcp(&address, port).await;
                Ok(match connected {
                    Ok(stream) => still_open(stream).await,
                    Err(failure) => Err(failure.message),
                })
            }
            Check::Http { path, expect } => {
                let (address, port) = endpoint(connection, name).await?;
                Ok(get(connection, &address, port, path, expect).await)
            }
        }
    };
    timeout(limit, asked).await.unwrap_or_else(|_| Ok(Err(format!("no answer within {:.1} s", limit.as_secs_f64()))))
}

/// What the engine says by the image's own `HEALTHCHECK`. A container without one will never be healthy.
async fn verdict(connection: &Connection, name: &ContainerName) -> Result<Result<String, String>, Failure> {
    let health = inspect(connection, name).await?.state.and_then(|state| state.health).unwrap_or_default();
    let status = health.status.unwrap_or(HealthStatusEnum::NONE);
    let said = health.log.unwrap_or_default().pop().and_then(|last| last.output).unwrap_or_default();
    match status {
        HealthStatusEnum::HEALTHY => Ok(Ok("Docker says that it is healthy".into())),
        HealthStatusEnum::EMPTY | HealthStatusEnum::NONE => Err(Failure::no_healthcheck(name.as_str())),
        other => Ok(Err(format!("Docker says that it is {other}: {}", said.trim()).trim_end_matches(": ").to_owned())),
    }
}

/// A forwarded connection is accepted before the other end is: where nobody listens it is closed at once.
async fn still_open(mut stream: super::Stream) -> Result<String, String> {
    use tokio::io::AsyncReadExt;
    let mut byte = [0];
    match timeout(STAYS_OPEN, stream.read(&mut byte)).await {
        Ok(Ok(0)) => Err("the connection was closed at once".into()),
        Ok(Err(error)) => Err(format!("the connection broke: {error}")),
        Ok(Ok(_)) | Err(_) => Ok("it accepts connections".into()),
    }
}

/// Where the container publishes its port, by its labels.
async fn endpoint(connection: &Connection, name: &ContainerName) -> Result<(String, u16), Failure> {
    let labels = inspect(connection, name).await?.config.and_then(|config| config.labels).unwrap_or_default();
    let port = labels.get(labels::PORT).and_then(|port| port.parse().ok());
    let address = labels.get("podlift.address").cloned();
    address.zip(port).ok_or_else(|| {
        Failure::refused(format!("{name} publishes no port, so it cannot be asked over the network"))
            .hint(format!("give the service a `port`, or use command([…]) or no_health(); its label is {}", labels::INNER_PORT))
    })
}

async fn get(connection: &Connection, address: &str, port: u16, path: &str, expect: &[u16]) -> Result<String, String> {
    let stream = connection.tcp(address, port).await.map_err(|failure| failure.message)?;
    let told = |error: hyper::Error| format!("no HTTP answer: {error}");
    let (mut sender, exchange) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(told)?;
    let exchange = tokio::spawn(exchange);
    let request = Request::get(path)
        .header(header::HOST, format!("{address}:{port}"))
        .header(header::USER_AGENT, "podlift")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| format!("{path:?} is no path: {error}"))?;
    let response = sender.send_request(request).await;
    exchange.abort();
    let code = response.map_err(told)?.status().as_u16();
    if expect.contains(&code) { Ok(format!("{code}")) } else { Err(format!("GET {path} answered {code}")) }
}

/// Runs a command in the container.
async fn run(connection: &Connection, name: &ContainerName, command: &[String]) -> Result<Result<String, String>, Failure> {
    let docker = connection.docker().await?;
    let failed = |error| engine_failure(&format!("the health check's command could not be run in {name}"), &error);
    let options = CreateExecOptions {
        cmd: Some(command.to_vec()),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        ..CreateExecOptions::default()
    };
    let exec = docker.create_exec(name.as_str(), options).await.map_err(failed)?;
    let mut said = Vec::new();
    if let StartExecResults::Attached { mut output, .. } = docker.start_exec(&exec.id, None).await.map_err(failed)? {
        while let Some(Ok(part)) = output.next().await {
            said.extend_from_slice(&part.into_bytes());
            said.truncate(4096);
        }
    }
    let code = docker.inspect_exec(&exec.id).await.map_err(failed)?.exit_code.unwrap_or(-1);
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    Ok(if code == 0 { Ok(said) } else { Err(format!("the command exited with {code}: {said}")) })
}

async fn unhealthy(
    connection: &Connection,
    op: &Healthcheck,
    sick: &[(&ContainerName, String, Option<i64>)],
    secrets: &Secrets,
) -> Failure {
    let host = &op.host.name;
    let ended: Vec<(&ContainerName, bool)> = sick.iter().map(|(name, _, exit_code)| (*name, exit_code.is_some())).collect();
    let mut failure = Failure::unhealthy(host, &ended, op.containers.len(), op.health.timeout);
    let names: Vec<ContainerName> = sick.iter().map(|(name, ..)| (*name).clone()).collect();
    let logs = containers::logs(connection, &names, SHOWN_LINES, secrets).await.unwrap_or_default();
    for (name, answer, exit_code) in sick {
        failure = failure.detail(format!("{name}, last answer"), secrets.redact(answer));
        if let Some(code) = exit_code {
            failure = failure.detail(format!("{name}, exit code"), code.to_string());
        }
        let log = logs.iter().find(|log| log.container == **name).map_or("", |log| log.text.trim_end());
        failure = failure.detail(format!("{name}, last log lines"), if log.is_empty() { "(it wrote nothing)" } else { log });
    }
    if sick.iter().any(|(_, _, exit_code)| exit_code.is_none()) {
        failure = failure.hint("if it only needs longer, give its health check a longer `timeout` or a `start_period`");
    }
    failure
}
