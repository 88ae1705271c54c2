//! Whether the fleet is still as a plan found it.

use std::{
    collections::BTreeSet,
    panic,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

use super::{Fingerprint, Surveyed};
use crate::{
    executor::{Call, Executor, Outcome},
    failure::{Failure, FailureKind},
    model::{Host, HostName, HostState, ProjectName, ServiceName},
    op::{Locking, Op, Survey},
};

/// The hosts as a plan found them.
#[derive(Clone, Debug, Default)]
pub(super) struct Fleet(Vec<Surveyed>);

impl Fleet {
    pub(super) const fn new(hosts: Vec<Surveyed>) -> Self {
        Self(hosts)
    }

    /// Reads all hosts, side by side, and fails where one is not as it was.
    pub(super) fn is_unchanged(&self, executor: &dyn Executor, call: &Call) -> Result<(), Failure> {
        is_unchanged(executor, call, self.0.iter().collect(), None)
    }
}

/// The same of some hosts; of a service, as far as it is concerned.
fn is_unchanged(executor: &dyn Executor, call: &Call, hosts: Vec<&Surveyed>, service: Option<&ServiceName>) -> Result<(), Failure> {
    let changes: Vec<Result<Option<String>, Failure>> = thread::scope(|scope| {
        let reads: Vec<_> = hosts.into_iter().map(|surveyed| scope.spawn(move || change(executor, call, surveyed, service))).collect();
        reads.into_iter().map(|read| read.join().unwrap_or_else(|payload| panic::resume_unwind(payload))).collect()
    });
    let changes: Vec<String> = changes.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    if changes.is_empty() {
        return Ok(());
    }
    Err(Failure::new(FailureKind::Unplanned, "the fleet has changed since the plan was made")
        .detail("what is not as it was", changes.join("\n"))
        .hint("make a new plan with `podlift plan`, and look at it"))
}

/// What is not as the plan found it on a host.
fn change(executor: &dyn Executor, call: &Call, planned: &Surveyed, service: Option<&ServiceName>) -> Result<Option<String>, Failure> {
    let Surveyed { host, project, state: before } = planned;
    let answer = executor.perform(&call.with(Survey { host: host.clone(), project: project.clone() }));
    let state: HostState = match (answer, before) {
        (Ok(outcome), _) => outcome
            .value
            .read()
            .map_err(|error| Failure::failed(format!("{}'s state could not be read: {error}", host.name)).on(&host.name))?,
        (Err(failure), None) if failure.kind == FailureKind::Unreachable => return Ok(None),
        (Err(failure), _) => return Err(failure.on(&host.name)),
    };
    let Some(before) = before else { return Ok(Some(format!("{}: it did not answer, and does now", host.name))) };
    let now = Fingerprint::of(&state, project);
    let parts = service.map_or_else(|| before.differences(&now), |service| before.differences_of(&now, service));
    Ok((!parts.is_empty()).then(|| format!("{}: {}", host.name, parts.join(", "))))
}

/// Looks once more whether a service is as the plan found it, when its leases are newly held: a person may have been asked, something
/// built or another run waited for since the run began, and only from now on nobody else changes it.
pub struct Unchanged<E> {
    inner: E,
    /// None where the run is held to no plan, or has begun before.
    fleet: Option<Fleet>,
    compared: Mutex<Compared>,
}

#[derive(Default)]
struct Compared {
    /// What is leased and was not compared yet.
    leased: BTreeSet<(HostName, ProjectName, ServiceName)>,
    /// Hosts on which the run has done what may have changed any service.
    changed: BTreeSet<HostName>,
}

impl<E: Executor> Unchanged<E> {
    /// Compares nothing.
    pub fn never(inner: E) -> Self {
        Self { inner, fleet: None, compared: Mutex::default() }
    }

    /// Compares with these hosts.
    #[must_use]
    pub fn from(self, hosts: Vec<Surveyed>) -> Self {
        Self { fleet: Some(Fleet::new(hosts)), ..self }
    }

    fn compare(&self, call: &Call) -> Result<(), Failure> {
        let (Some(fleet), Some((project, service, needed))) = (&self.fleet, call.op.leased()) else { return Ok(()) };
        let place = |host: &Host| (host.name.clone(), project.clone(), service.clone());
        // Each is compared once, by the call that needs it first; others go on meanwhile.
        let hosts: Vec<&Host> = {
            let mut compared = self.lock();
            let mine: Vec<&Host> = needed.into_iter().filter(|host| compared.leased.remove(&place(host))).collect();
            mine.into_iter().filter(|host| !compared.changed.contains(&host.name)).collect()
        };
        let is_meant = |known: &&Surveyed| known.project == *project && hosts.iter().any(|host| host.name == known.host.name);
        is_unchanged(&self.inner, call, fleet.0.iter().filter(is_meant).collect(), Some(service))
    }

    fn lock(&self) -> MutexGuard<'_, Compared> {
        self.compared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, op: &Op, result: &Result<Outcome, Failure>) {
        if self.fleet.is_none() {
            return;
        }
        let mut compared = self.lock();
        match op {
            Op::Lock(op) if result.as_ref().is_ok_and(|outcome| matches!(outcome.value.read(), Ok(Locking::Taken))) => {
                compared.leased.extend(op.hosts.iter().map(|host| (host.name.clone(), op.project.clone(), op.service.clone())));
            }
            Op::Hook(_) | Op::Depend(_) | Op::Backup(_) => compared.changed.extend(op.hosts().into_iter().map(|host| host.name.clone())),
            _ => {}
        }
    }
}

impl<E: Executor> Executor for Unchanged<E> {
    fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
        if !call.key.is_undo() {
            self.compare(call).map_err(|failure| call.unsent(failure))?;
        }
        let result = self.inner.perform(call);
        self.note(&call.op, &result);
        result
    }

    fn recall(&self, call: &Call, outcome: &Outcome) {
        self.inner.recall(call, outcome);
    }

    fn reach_again(&self) {
        self.inner.reach_again();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
    };

    use super::*;
    use crate::{
        executor::{Key, Leased, Terms},
        failure::Origin,
        model::{HistoryEntry, Period, RunId, RunInfo, Shared, Version},
        op::{CommandLine, Hook, Invocation, Lock, Place, Record},
    };

    /// Hosts on which somebody else may have deployed web meanwhile; remembers how often they were read.
    #[derive(Default)]
    struct Others {
        deployed: AtomicBool,
        reads: Mutex<Vec<HostName>>,
    }

    impl Executor for Others {
        fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
            match &*call.op {
                Op::Survey(op) => {
                    self.reads.lock().expect("reads").push(op.host.name.clone());
                    Ok(Outcome::of(state(self.deployed.load(Ordering::SeqCst))))
                }
                Op::Lock(_) => Ok(Outcome::of(Locking::Taken)),
                _ => Ok(Outcome::of(())),
            }
        }
    }

    fn state(is_deployed: bool) -> HostState {
        let entry = HistoryEntry {
            version: Version::new("v9").expect("valid"),
            image: "web:v9".into(),
            run: RunId::new("r9").expect("valid"),
            at: String::new(),
            by: String::new(),
        };
        let history = is_deployed.then(|| (web(), vec![entry]));
        HostState { history: history.into_iter().collect(), ..HostState::default() }
    }

    fn host(name: &str) -> Host {
        Host::parse(name).expect("valid")
    }

    fn unchanged() -> (Leased<Unchanged<Arc<Others>>>, Arc<Others>) {
        let known = ["h1", "h2"].map(|name| Surveyed::new(&host(name), &ProjectName::default(), Some(&state(false))));
        let others = Arc::<Others>::default();
        (Leased::new(Unchanged::never(others.clone()).from(known.into()), Terms::default()), others)
    }

    fn web() -> ServiceName {
        ServiceName::new("web").expect("valid")
    }

    fn call(op: impl Into<Shared<Op>>, key: Key) -> Call {
        let run = RunInfo { id: RunId::new("r1").expect("valid"), operator: "me@here".into(), started: String::new() };
        Call::new(op, key, Origin { file: "deploy.rhai".into(), line: 1, column: 1 }, Arc::new(run))
    }

    /// A change of web on this host.
    fn note(name: &str) -> Record {
        let version = Version::new("v2").expect("valid");
        Record { host: host(name), project: ProjectName::default(), service: web(), version, image: "web:v2".into() }
    }

    #[test]
    fn what_somebody_else_did_before_the_lease_was_held_stops_the_run_before_its_first_change() {
        let (fleet, others) = unchanged();
        let lock = Lock::new(ProjectName::default(), web(), vec![host("h1"), host("h2")]);
        fleet.perform(&call(lock, Key::call("", 1))).expect("it is free");
        others.deployed.store(true, Ordering::SeqCst);
        let failure = fleet.perform(&call(note("h1"), Key::call("", 2))).expect_err("it is not as it was");
        assert_eq!((failure.kind, failure.not_sent), (FailureKind::Unplanned, true));
        assert_eq!(failure.details[0].text, "h1: the history of web");
        let failure = fleet.perform(&call(note("h2"), Key::call("", 3))).expect_err("nor is that");
        assert_eq!(failure.details[0].text, "h2: the history of web");
        // Whoever takes back what was done is not held up.
        fleet.perform(&call(note("h1"), Key::call("", 2).undo(0))).expect("it is no part of the plan");
    }

    #[test]
    fn each_host_is_read_once_and_not_behind_a_command_of_the_run() {
        let (fleet, others) = unchanged();
        let invocation = Invocation {
            place: Place::Host { host: host("h2") },
            command: CommandLine::Shell("true".into()),
            env: BTreeMap::new(),
            stdin: None,
            name: None,
            check: true,
            timeout: Period::seconds(60),
            assume: None,
        };
        let hook = Hook { invocation, undo: None, lease: None };
        fleet.perform(&call(hook, Key::call("", 1))).expect("it is done");
        for number in 2..5 {
            fleet.perform(&call(note("h1"), Key::call("", number))).expect("it is as it was");
            fleet.perform(&call(note("h2"), Key::call("", number).part(1))).expect("the run itself may have changed it");
        }
        assert_eq!(*others.reads.lock().expect("reads"), [host("h1").name.clone()]);
    }
}
