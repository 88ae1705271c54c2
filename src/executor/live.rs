//! Performs ops on the real fleet. This is the one place where a synchronous call waits for the asynchronous side.
#![allow(clippy::large_futures, reason = "each call's future is boxed, once")]

use std::{future::Future, sync::Arc};

use futures_util::future::try_join_all;
use serde::Serialize;
use tokio::runtime::Handle;

use super::{Call, Executor, Outcome, call::Urgency, confirm};
use crate::{
    failure::{Failure, FailureKind},
    fleet::{
        Connection, Fleet, build,
        command::{self, Attempt},
        containers, engine, health, history, http, lease, local, nginx, postgres, prometheus, registry, ship, survey,
    },
    model::{ContainerName, Host, HostName, RouteTable},
    op::{Drain, Drained, Healthcheck, OnTimeout, Op, Pause, Place, Preview, SetWeights, Start, Traffic},
};

/// Performs ops on a fleet.
pub struct Live {
    fleet: Fleet,
    runtime: Handle,
}

/// Whether a service's further Docker options are such. Nothing is asked for that.
///
/// # Errors
/// As a refusal, for a name that Docker does not have, and for a value of another type.
pub fn takes_docker_options(options: &str) -> Result<(), Failure> {
    containers::options_fit(options)
}

impl Live {
    /// Performs ops on `fleet`, whose work `runtime` does.
    pub const fn new(fleet: Fleet, runtime: Handle) -> Self {
        Self { fleet, runtime }
    }
}

impl Executor for Live {
    fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
        let done = async {
            tokio::select! {
                result = Box::pin(perform(&self.fleet, call)) => result,
                () = call.cancellation.requested(Urgency::Now) => {
                    Err(stopped(&call.op))
                }
            }
        };
        self.runtime.block_on(done).map_err(|failure| {
            let failure = call.op.host().map_or_else(|| failure.clone(), |host| failure.clone().on(&host.name));
            self.fleet.secrets().redact_failure(failure).from(&call.origin)
        })
    }

    fn give_up(&self, host: &HostName) {
        self.fleet.give_up(host);
    }

    fn reach_again(&self) {
        self.fleet.reach_again();
    }
}

/// What is told of an op that nobody waits for any longer: a host does not know that.
fn stopped(op: &Op) -> Failure {
    let failure = Failure::new(FailureKind::Interrupted, format!("`{}` was stopped in the middle", op.verb()));
    match op.host() {
        Some(host) if op.class().changes() => failure.hint(format!("what it began on {} may still come to its end there", host.name)),
        _ => failure,
    }
}

async fn perform(fleet: &Fleet, call: &Call) -> Result<Outcome, Failure> {
    let progress = call.progress.as_ref();
    let secrets = fleet.secrets();
    if call.op.class().changes()
        && let Some(lost) = call.op.hosts().into_iter().find_map(|host| fleet.lost_lease(host))
    {
        return Err(call.unsent(lost));
    }
    if is_beyond_leases(&call.op) {
        fleet.confirm_leases(call).await.map_err(|failure| call.unsent(failure))?;
    }
    match &*call.op {
        Op::Survey(op) => plain(survey::survey(&*fleet.host(&op.host).await?, &op.project)).await,
        Op::Find(op) => plain(survey::find(fleet, op)).await,
        Op::Routes(op) => plain(async { nginx::table(&*fleet.host(&op.proxy).await?, &op.project, &op.service).await }).await,
        Op::CheckNow(op) => plain(health::check_now(&*fleet.host(&op.host).await?, op, secrets)).await,
        Op::HistoryOf(op) => {
            let mut all = history::read(&*fleet.host(&op.host).await?, &op.project).await?;
            Ok(Outcome::of(all.remove(&op.service).unwrap_or_default()))
        }
        Op::Logs(op) => plain(containers::logs(&*fleet.host(&op.host).await?, &op.containers, op.lines, secrets)).await,
        Op::Traffic(op) => traffic(fleet, op, call).await,
        Op::Probe(op) => plain(command::run(fleet, &op.invocation, Attempt::Read, &call.token, progress)).await,
        Op::HttpGet(op) => plain(http::get(fleet, op)).await,
        Op::Reachable(op) => Ok(Outcome::of(answers(fleet, &op.host).await)),
        Op::Git(_) => plain(local::git(fleet)).await,
        Op::CompareVersions(op) => Ok(Outcome::of(local::compare(fleet, op).await)),
        Op::ReadEnv(op) => Ok(Outcome::of(secrets.variable(&op.name))),
        Op::ReadFile(op) => plain(local::read_file(fleet, &op.path)).await,
        Op::FindContext(op) => build::find_context(fleet, op).map(Outcome::of),
        Op::Now(_) => Ok(Outcome::of(local::now())),
        Op::Healthcheck(op) => healthcheck(fleet, op, call).await,
        Op::Pause(op) => pause(op, call).await,
        Op::Commit(_) => Ok(Outcome::of(())),
        Op::LeaveOut(op) => Ok(Outcome::of(()).undone_by([op.inverse()])),
        Op::Confirm(op) => confirm::unanswered(op),
        Op::Notify(op) => plain(http::post(op, secrets)).await,
        Op::TestWeights(op) => plain(nginx::test_weights(&*fleet.host(&op.proxy).await?, op, &call.token)).await,
        Op::SetWeights(op) => set_weights(fleet, op, call).await,
        Op::Preview(op) => preview(fleet, op, call).await,
        Op::Record(op) => {
            history::record(&*fleet.host(&op.host).await?, op, &call.run).await?;
            Ok(Outcome::of(()).undone_by([op.inverse(&call.run.id)]))
        }
        Op::Forget(op) => plain(history::forget(&*fleet.host(&op.host).await?, op)).await,
        Op::ReadLeases(op) => plain(lease::list(&*fleet.host(&op.host).await?, &op.project)).await,
        Op::Lock(op) => plain(lease::lock(fleet, op, &call.run)).await,
        Op::Unlock(op) => plain(lease::unlock(fleet, op, &call.run)).await,
        Op::Build(op) => plain(build::build(fleet, op, progress)).await,
        Op::Ship(op) => {
            let engine = engine::engine(&*fleet.host(&op.host).await?).await?;
            plain(ship::ship(fleet, op, engine, progress)).await
        }
        Op::Push(op) => plain(registry::push(fleet, op, progress)).await,
        Op::Resolve(op) => plain(registry::resolve(fleet, op, progress)).await,
        Op::Pull(op) => plain(registry::pull(fleet, op, progress)).await,
        Op::Start(op) => start(fleet, op, call).await,
        Op::Depend(op) => {
            let connection = fleet.host(&op.host).await?;
            plain(containers::depend(&connection, op, &call.token, &call.run, secrets, progress)).await
        }
        Op::StartAgain(op) => {
            let (started, ran) = containers::start_again(&*fleet.host(&op.host).await?, op).await?;
            Ok(Outcome::of(started).undone_by(op.inverse(&ran)))
        }
        Op::Drain(op) => drain(fleet, op, call).await,
        Op::Stop(op) => {
            let (ran, gone) = containers::stop(&*fleet.host(&op.host).await?, op, call.may_find_it_gone()).await?;
            Ok(Outcome::of(()).undone_by(op.inverse(&ran)).without(gone))
        }
        Op::Remove(op) => Ok(Outcome::of(()).without(containers::remove(&*fleet.host(&op.host).await?, op).await?)),
        Op::Prune(op) => plain(containers::prune(&*fleet.host(&op.host).await?, op)).await,
        Op::Hook(op) => {
            let attempt = if call.is_in_doubt { Attempt::Again } else { Attempt::First };
            let output = command::run(fleet, &op.invocation, attempt, &call.token, progress).await?;
            Ok(Outcome::of(output).undone_by(op.inverse()))
        }
        Op::Query(op) => plain(postgres::query(fleet, op)).await,
        Op::Measure(op) => plain(prometheus::query(fleet, op)).await,
        Op::Sessions(op) => plain(postgres::sessions(fleet, op)).await,
        Op::Sql(op) => {
            let (done, undo) = postgres::migrate(fleet, op, call).await?;
            Ok(Outcome::of(done).undone_by(op.inverse(undo)))
        }
        Op::Backfill(op) => plain(postgres::backfill::backfill(fleet, op, call)).await,
        Op::Backup(op) => plain(postgres::backup::backup(fleet, op, &call.token)).await,
    }
}

/// Whether it changes something that no host with a lease has a say in: a database, or this machine. Ending the sessions of a run
/// that lost a lease does not keep it from that.
fn is_beyond_leases(op: &Op) -> bool {
    matches!(op, Op::Sql(_) | Op::Backfill(_) | Op::Backup(_)) || matches!(op, Op::Hook(hook) if hook.invocation.place == Place::Local)
}

/// The outcome of what has no inverse.
async fn plain<T: Serialize + Send + Sync + 'static>(work: impl Future<Output = Result<T, Failure>>) -> Result<Outcome, Failure> {
    work.await.map(Outcome::of)
}

async fn answers(fleet: &Fleet, host: &Host) -> bool {
    match fleet.host(host).await {
        Ok(connection) => connection.docker().await.is_ok(),
        Err(_) => false,
    }
}

async fn traffic(fleet: &Fleet, op: &Traffic, call: &Call) -> Result<Outcome, Failure> {
    plain(nginx::traffic(&*fleet.host(&op.proxy).await?, op, &call.cancellation)).await
}

async fn healthcheck(fleet: &Fleet, op: &Healthcheck, call: &Call) -> Result<Outcome, Failure> {
    let connection = fleet.host(&op.host).await?;
    plain(health::wait(&connection, op, fleet.secrets(), &call.cancellation, call.progress.as_ref())).await
}

async fn pause(op: &Pause, call: &Call) -> Result<Outcome, Failure> {
    tokio::select! {
        () = tokio::time::sleep(op.period.duration()) => Ok(Outcome::of(())),
        () = call.cancellation.requested(Urgency::Finish) => Err(Failure::new(FailureKind::Interrupted, "the pause was ended")),
    }
}

async fn set_weights(fleet: &Fleet, op: &SetWeights, call: &Call) -> Result<Outcome, Failure> {
    let connection = fleet.host(&op.proxy).await?;
    let (after, before) = nginx::set_weights(&connection, op, &call.token, call.progress.as_ref()).await?;
    let changed = after.generation > before.as_ref().map_or(0, |table| table.generation);
    let inverse = changed.then(|| op.inverse(before.as_ref()));
    Ok(Outcome::of(after).undone_by(inverse))
}

async fn preview(fleet: &Fleet, op: &Preview, call: &Call) -> Result<Outcome, Failure> {
    let connection = fleet.host(&op.proxy).await?;
    let (after, before) = nginx::preview(&connection, op, &call.token, call.progress.as_ref()).await?;
    let changed = after.generation > before.as_ref().map_or(0, |table| table.generation);
    Ok(Outcome::of(after).undone_by(changed.then(|| op.inverse(before.as_ref()))))
}

async fn start(fleet: &Fleet, op: &Start, call: &Call) -> Result<Outcome, Failure> {
    let connection = fleet.host(&op.host).await?;
    let source = match &op.copy {
        Some(copy) => Some(fleet.host(&copy.host).await?),
        None => None,
    };
    let started =
        containers::start(&connection, op, source.as_deref(), &call.token, &call.run, fleet.secrets(), call.progress.as_ref()).await?;
    let inverse = op.inverse(started.iter().map(|container| container.name.clone()).collect());
    Ok(Outcome::of(started).undone_by(inverse))
}

async fn drain(fleet: &Fleet, op: &Drain, call: &Call) -> Result<Outcome, Failure> {
    let host = fleet.host(&op.host).await?;
    let proxies = try_join_all(op.proxies.iter().map(|proxy| fleet.host(proxy))).await?;
    // What is not there is known before any weight is taken; what there is to wait for, only then.
    containers::idling(&host, &op.containers, call.may_find_it_gone()).await?;
    let mut inverse: Vec<Op> = Vec::new();
    for (proxy, connection) in op.proxies.iter().zip(&proxies) {
        let taken = nginx::take_out(connection, op, proxy, &call.token, call.progress.as_ref()).await;
        let taken: Option<RouteTable> = taken.map_err(|failure| failure.undone_by(inverse.clone()))?;
        inverse.extend(taken.map(|before| op.inverse(proxy, &before)));
    }
    // The weights are taken: a wait that fails or is interrupted has that to take back.
    match idle(&host, &proxies, op, call).await {
        Ok((drained, gone)) => Ok(Outcome::of(drained).undone_by(inverse).without(gone)),
        Err(failure) => Err(failure.undone_by(inverse)),
    }
}

async fn idle(host: &Connection, proxies: &[Arc<Connection>], op: &Drain, call: &Call) -> Result<(Drained, Vec<ContainerName>), Failure> {
    call.progress.doing("waiting for what is in flight");
    let (idling, gone) = containers::idling(host, &op.containers, call.may_find_it_gone()).await?;
    let proxies: Vec<_> = proxies.iter().map(AsRef::as_ref).collect();
    let drained = nginx::wait_idle(&proxies, host, &idling, op.timeout.duration(), &call.cancellation).await?;
    if drained.cut > 0 && op.on_timeout == OnTimeout::Fail {
        let message = format!("{} connections were still open after {}", drained.cut, op.timeout);
        return Err(Failure::new(FailureKind::Timeout, message)
            .on(&op.host.name)
            .hint("give the drain a longer `timeout`, or `on_timeout: \"proceed\"`"));
    }
    Ok((drained, gone))
}
