//! Whether containers can serve: asked from their host's own point of view.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::{join_all, try_join_all};
use tokio::{
    io::AsyncReadExt,
    time::{sleep, timeout},
};

use super::{
    Connection, Secrets,
    command::{self, Exec},
    containers::{self, Inspected},
    http::{Page, reachable},
};
use crate::{
    executor::Progress,
    failure::{Failure, FailureKind},
    model::{Check, Container, ContainerName, ContainerState, Health},
    op::{CheckNow, CheckedContainer, Checks, Healthcheck},
};

/// The longest that one try may take.
const ONE_TRY: Duration = Duration::from_secs(5);
/// How long a connection that was accepted has to stay open: through a forward, a refused one ends only after a round trip.
const STAYS_OPEN: Duration = Duration::from_millis(700);
/// How long a container without a check has to run.
const SETTLED: Duration = Duration::from_secs(2);
/// How many log lines a failure shows.
const LOG_LINES: u32 = 20;

/// Waits until every container is healthy; ends early when one has exited or crashes again and again.
pub async fn healthcheck(connection: &Connection, op: &Healthcheck, secrets: &Secrets, progress: &dyn Progress) -> Result<Checks, Failure> {
    let began = Instant::now();
    let found = containers::inspect_all(connection, &op.containers).await?;
    let checks = AtomicU64::new(0);
    let waits: Vec<Wait> = found.into_iter().map(|first| Wait::new(first, &op.health)).collect();
    let all = try_join_all(waits.iter().map(|wait| async {
        wait.until_healthy(connection, &checks).await?;
        let healthy = waits.iter().filter(|wait| wait.is_healthy()).count();
        progress.doing(&format!("{healthy} of {} healthy", waits.len()));
        Ok::<(), String>(())
    }));
    let ended = match timeout(op.health.timeout.duration(), all).await {
        Ok(Ok(_)) => return Ok(Checks { seconds: began.elapsed().as_secs_f64(), checks: checks.into_inner() }),
        Ok(Err(reason)) => reason,
        Err(_) => format!("{} of {} did not become healthy within {}", count(&waits), op.service, op.health.timeout),
    };
    Err(tell(connection, secrets, &waits, ended).await)
}

fn count(waits: &[Wait]) -> String {
    let failing = waits.iter().filter(|wait| !wait.is_healthy()).count();
    if waits.len() == 1 { "The container".into() } else { format!("{failing} of {} containers", waits.len()) }
}

/// What each failing container answered, how it ended, what it wrote last.
async fn tell(connection: &Connection, secrets: &Secrets, waits: &[Wait<'_>], reason: String) -> Failure {
    let host = &connection.host().name;
    let mut failure = Failure::new(FailureKind::Unhealthy, reason).on(host);
    for wait in waits.iter().filter(|wait| !wait.is_healthy()) {
        let name = &wait.container().name;
        failure = failure.detail(format!("{name}, last answer"), secrets.redact(&wait.last_answer()));
        if let Ok(Some(now)) = containers::inspect(connection, name).await
            && let Some(code) = now.container.exit_code
        {
            failure = failure.detail(format!("{name}, exit code"), code.to_string());
        }
        if let Ok(logs) = containers::logs(connection, std::slice::from_ref(name), LOG_LINES, secrets).await {
            failure = logs.into_iter().fold(failure, |failure, log| failure.detail(format!("{name}, last log lines"), log.text));
        }
    }
    failure.hint("look at the log lines above; `timeout` of the health check gives a slow start more time")
}

/// The wait for one container.
struct Wait<'a> {
    first: Inspected,
    health: &'a Health,
    state: Mutex<(bool, String)>,
}

impl<'a> Wait<'a> {
    fn new(first: Inspected, health: &'a Health) -> Self {
        Self { first, health, state: Mutex::new((false, "it was not asked yet".into())) }
    }

    const fn container(&self) -> &Container {
        &self.first.container
    }

    fn is_healthy(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn last_answer(&self) -> String {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    fn note(&self, healthy: bool, answer: String) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = (healthy, answer);
    }

    /// Asks until the answers are good; fails with the reason when there is nothing to wait for.
    async fn until_healthy(&self, connection: &Connection, checks: &AtomicU64) -> Result<(), String> {
        let began = Instant::now();
        let name = &self.container().name;
        let mut good = 0;
        loop {
            if began.elapsed() >= self.health.start_period.duration()
                && let Ok(now) = containers::inspect(connection, name).await
            {
                self.still_runs(now.as_ref())?;
            }
            checks.fetch_add(1, Ordering::Relaxed);
            match ask(connection, self.container(), &self.health.check).await {
                Ok(answer) => {
                    good += 1;
                    let is_enough = good >= self.health.successes;
                    self.note(is_enough, answer);
                    if is_enough {
                        return Ok(());
                    }
                }
                Err(answer) => {
                    good = 0;
                    self.note(false, answer);
                }
            }
            sleep(self.health.interval.duration()).await;
        }
    }

    fn still_runs(&self, now: Option<&Inspected>) -> Result<(), String> {
        let name = &self.container().name;
        let Some(now) = now else { return Err(format!("{name} was removed while its health was checked")) };
        match now.container.state {
            ContainerState::Stopped => {
                let code = now.container.exit_code.map(|code| format!(" with code {code}")).unwrap_or_default();
                Err(format!("{name} has exited{code}"))
            }
            ContainerState::Restarting => Err(format!("{name} crashes, and Docker starts it again and again")),
            _ if now.restarts > self.first.restarts => Err(format!("{name} crashed and was started again")),
            _ => Ok(()),
        }
    }
}

/// Checks each container once, now.
pub async fn check_now(connection: &Connection, op: &CheckNow, secrets: &Secrets) -> Result<Vec<CheckedContainer>, Failure> {
    let checked = join_all(op.containers.iter().map(|name| check_one(connection, name))).await;
    checked
        .into_iter()
        .map(|checked| checked.map(|checked| CheckedContainer { answer: secrets.redact(&checked.answer), ..checked }))
        .collect()
}

async fn check_one(connection: &Connection, name: &ContainerName) -> Result<CheckedContainer, Failure> {
    let Some(found) = containers::inspect(connection, name).await? else {
        return Ok(CheckedContainer { container: name.clone(), state: None, healthy: false, answer: "there is no such container".into() });
    };
    let state = found.container.state;
    let answer = if state == ContainerState::Running {
        ask(connection, &found.container, &found.container.health.check).await
    } else {
        Err(format!("it is {}", state.word()))
    };
    let healthy = answer.is_ok();
    Ok(CheckedContainer { container: name.clone(), state: Some(state), healthy, answer: answer.unwrap_or_else(|answer| answer) })
}

/// Asks once; what came back, for people.
async fn ask(connection: &Connection, container: &Container, check: &Check) -> Result<String, String> {
    timeout(ONE_TRY, try_to_ask(connection, container, check))
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {} s", ONE_TRY.as_secs())))
}

async fn try_to_ask(connection: &Connection, container: &Container, check: &Check) -> Result<String, String> {
    let port = || container.port.ok_or_else(|| "it publishes no port".to_owned());
    match check {
        Check::Http { path, expect } => {
            let page = Page::of(&container.address, port()?, path);
            let response = page.get(connection, ONE_TRY).await.map_err(|reason| format!("GET {path}: {reason}"))?;
            let answer = format!("GET {path}: {}", response.code);
            if expect.contains(&response.code) { Ok(answer) } else { Err(format!("{answer} {}", beginning(&response.body))) }
        }
        Check::Tcp => {
            let mut stream = connection.tcp(reachable(&container.address), port()?).await.map_err(|failure| failure.message)?;
            match timeout(STAYS_OPEN, stream.read(&mut [0])).await {
                Ok(Ok(0)) => Err("the connection was closed at once".into()),
                Ok(Err(error)) => Err(error.to_string()),
                Ok(Ok(_)) | Err(_) => Ok("the connection was accepted".into()),
            }
        }
        Check::Command { command } => {
            let exec = Exec { command: command.clone(), env: Vec::new(), stdin: Vec::new() };
            let output = command::exec(connection, &container.name, exec).await.map_err(|failure| failure.message)?;
            let answer = format!("`{}` exited with {}", command.join(" "), output.code);
            if output.code == 0 { Ok(answer) } else { Err(format!("{answer} {}{}", beginning(&output.stdout), beginning(&output.stderr))) }
        }
        Check::None => settled(connection, container).await,
    }
}

/// Whether the container has run for two seconds without being started again.
async fn settled(connection: &Connection, container: &Container) -> Result<String, String> {
    let look = || async {
        let found = containers::inspect(connection, &container.name).await.map_err(|failure| failure.message)?;
        let found = found.ok_or("there is no such container")?;
        if !found.container.is_running() {
            return Err(format!("it is {}", found.container.state.word()));
        }
        Ok((found.pid, found.response.state.and_then(|state| state.started_at)))
    };
    let before = look().await?;
    // By this machine's clock: the host's may differ.
    sleep(SETTLED).await;
    if look().await? == before { Ok("it still runs after 2 s".into()) } else { Err("it was started again meanwhile".into()) }
}

fn beginning(text: &str) -> String {
    text.trim().chars().take(200).collect()
}
