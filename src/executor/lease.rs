//! Keeps a run's leases: one run at a time per project, service and host.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use super::{Branches, Call, Executor, Outcome, Urgency, branches::all, settle::PATIENCE};
use crate::{
    failure::{Failure, FailureKind},
    model::{Host, HostName, Lease, Period, ProjectName, ServiceName},
    op::{Lock, Locking, Op, ReadLeases, Release, Unlock},
};

/// How long a host keeps a lease that is not renewed, where the command line does not say it.
pub const LASTING: Period = Period::seconds(60);

/// How often a busy lease is asked for again.
const AGAIN: Duration = Duration::from_millis(500);

/// How a run deals with other runs, and with hosts that it loses.
#[derive(Clone, Debug)]
pub struct Terms {
    /// What for: the script and its arguments, for whoever meets the lease.
    pub purpose: String,
    /// How long a host keeps it without a renewal.
    pub lasting: Period,
    /// How long to wait for another run's.
    pub wait: Period,
    /// How long to try to reach a host again that was lost.
    pub patience: Period,
    /// How several hosts are asked.
    pub branches: Branches,
    /// Whether a release may be deployed that is older than what is live.
    pub allow_older: bool,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            purpose: String::new(),
            lasting: LASTING,
            wait: Period::default(),
            patience: PATIENCE,
            branches: Branches::default(),
            allow_older: false,
        }
    }
}

/// Takes the leases that a script asks for, and before the first change of a service on a host the one that it needs, then does
/// as the executor within.
pub struct Leased<E> {
    inner: E,
    terms: Terms,
    services: Mutex<BTreeMap<Name, Arc<Mutex<Held>>>>,
    recalled: Mutex<BTreeMap<Name, Vec<Host>>>,
}

/// A service of a project.
type Name = (ProjectName, ServiceName);

/// The hosts on which a service's lease was taken, and those of which nobody knows.
#[derive(Default)]
struct Held {
    taken: BTreeMap<HostName, Host>,
    uncertain: BTreeMap<HostName, Host>,
}

impl<E: Executor> Leased<E> {
    /// Keeps the leases of what `inner` does.
    pub const fn new(inner: E, terms: Terms) -> Self {
        Self { inner, terms, services: Mutex::new(BTreeMap::new()), recalled: Mutex::new(BTreeMap::new()) }
    }

    /// Takes the leases that are not held yet, all or none. Waits for another run's as long as the terms say.
    fn take(&self, call: &Call, project: &ProjectName, service: &ServiceName, hosts: &[&Host]) -> Result<(), Failure> {
        let name = (project.clone(), service.clone());
        let known = lock(&self.services).entry(name.clone()).or_default().clone();
        let mut held = lock(&known);
        if hosts.iter().all(|host| held.taken.contains_key(&host.name)) {
            return Ok(());
        }
        let wanted = hosts.iter().map(|host| (*host).clone()).chain(self.recalled(&name));
        let missing: Vec<Host> = wanted.filter(|host| !held.taken.contains_key(&host.name)).collect();
        let asked = Lock {
            purpose: self.terms.purpose.clone(),
            lasting: Some(self.terms.lasting),
            ..Lock::new(project.clone(), service.clone(), missing)
        };
        let call = Call { progress: call.progress.clone(), ..call.with(asked.clone()) };
        let begin = Instant::now();
        loop {
            let taken = self.inner.perform(&call).and_then(|outcome| {
                outcome.value.read().map_err(|error| Failure::failed(format!("`lock` was answered with something else: {error}")))
            });
            match taken {
                Ok(Locking::Taken) => {
                    held.taken.extend(asked.hosts.into_iter().map(|host| (host.name.clone(), host)));
                    return Ok(());
                }
                Ok(Locking::Held { host, lease }) => {
                    if !lease.is_in_force() || begin.elapsed() >= self.terms.wait.duration() {
                        let host = asked.hosts.iter().find(|asked| asked.name == host);
                        return Err(locked(project, host.unwrap_or(&asked.hosts[0]), &lease));
                    }
                    call.progress.doing(&format!("waiting for {}, whose {} has {service} on {host}", lease.owner, what(&lease)));
                    Self::pause(&call)?;
                }
                Err(failure) => {
                    if failure.is_uncertain() {
                        held.uncertain.extend(asked.hosts.into_iter().map(|host| (host.name.clone(), host)));
                    }
                    return Err(failure);
                }
            }
        }
    }

    /// The hosts of a `lock` that an earlier process of this run has done: they are taken together once one of them is needed.
    fn recalled(&self, name: &Name) -> Vec<Host> {
        lock(&self.recalled).get(name).cloned().unwrap_or_default()
    }

    fn pause(call: &Call) -> Result<(), Failure> {
        let end = Instant::now() + AGAIN;
        while Instant::now() < end {
            if call.cancellation.urgency() > Urgency::None {
                return Err(Failure::new(FailureKind::Interrupted, "the wait for a lease was ended"));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Takes over what earlier processes of the call's run have left on these hosts, whether or not this one needed it: what is not
    /// its own by now, and hosts that do not answer, stay as they are.
    pub fn adopt(&self, call: &Call, places: &BTreeSet<(ProjectName, Host)>) {
        all(self.terms.branches, places, |(project, host)| {
            let asked = call.with(ReadLeases { host: host.clone(), project: project.clone() });
            let answer = self.inner.perform(&asked).map(|outcome| outcome.value.read::<Vec<Lease>>());
            for lease in answer.into_iter().flatten().flatten().filter(|lease| lease.run == call.run.id) {
                let _ = self.take(call, project, &lease.service, &[host]);
            }
        });
    }

    /// Gives all leases back, side by side: `call` says of which run, `release` what becomes of them. Returns why some could not be.
    pub fn release(&self, call: &Call, release: &Release) -> Vec<Failure> {
        let taken = std::mem::take(&mut *lock(&self.services));
        let mut asked: Vec<Unlock> = Vec::new();
        for ((project, service), held) in taken {
            let held = lock(&held);
            let hosts: BTreeMap<&HostName, &Host> = held.taken.iter().chain(&held.uncertain).collect();
            asked.extend(hosts.into_values().map(|host| Unlock {
                host: host.clone(),
                project: project.clone(),
                service: service.clone(),
                release: release.clone(),
            }));
        }
        let given = all(self.terms.branches, asked, |unlock: Unlock| {
            self.inner.perform(&call.with(unlock.clone())).map_err(|failure| failure.on(&unlock.host.name))
        });
        given.into_iter().filter_map(Result::err).collect()
    }
}

impl<E: Executor> Executor for Leased<E> {
    fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
        match &*call.op {
            Op::Lock(op) => {
                self.take(call, &op.project, &op.service, &op.hosts.iter().collect::<Vec<_>>())?;
                Ok(Outcome::of(Locking::Taken))
            }
            op => {
                if let Some((project, service, hosts)) = op.leased() {
                    self.take(call, project, service, &hosts).map_err(|failure| call.unsent(failure))?;
                }
                self.inner.perform(call)
            }
        }
    }

    fn recall(&self, call: &Call, outcome: &Outcome) {
        if let Op::Lock(op) = &*call.op {
            lock(&self.recalled).entry((op.project.clone(), op.service.clone())).or_default().extend(op.hosts.iter().cloned());
        }
        self.inner.recall(call, outcome);
    }

    fn reach_again(&self) {
        self.inner.reach_again();
    }
}

/// The refusal of what another run has the lease for: who, since when, what for, and what to do.
pub fn locked(project: &ProjectName, host: &Host, lease: &Lease) -> Failure {
    let Lease { service, run, owner, since, age, .. } = lease;
    let (name, what) = (&host.name, what(lease));
    let since = format!("{since}, {} ago", Period::seconds(age.as_milliseconds() / 1000));
    let give_up = format!("podlift lock release --host {} --project {project}", host.address());
    if lease.is_in_force() {
        return Failure::new(
            FailureKind::Locked,
            format!("{service} on {name} is locked: {what} of {owner} is at work there since {since}"),
        )
        .on(name)
        .hint("wait for it with `--wait 10m`, or run again when it has ended")
        .hint(format!("if it hangs, `{give_up} --force` ends its session and gives its lease up"));
    }
    let how = if lease.left { "was interrupted" } else { "did not come to its end" };
    Failure::new(FailureKind::Locked, format!("{service} on {name} is locked: {what} of {owner}, begun {since}, {how}"))
        .on(name)
        .hint(format!(
            "`podlift resume {run}` goes on with it, `podlift undo {run}` takes it back; elsewhere than where it began with `--from {}`",
            host.address()
        ))
        .hint(format!("`{give_up}` gives its lease up and leaves things as they are"))
}

/// What a lease is for, in words.
fn what(lease: &Lease) -> String {
    match lease.purpose.as_str() {
        "" => format!("the run {}", lease.run),
        purpose => format!("the run {} ({purpose})", lease.run),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::{
        executor::{Cancellation, Intend, Key, Model, RunInfo, Source},
        failure::Origin,
        journal::{Entry, Journal},
        model::{HostState, RunId, Shared, Version},
        op::Record,
        world::World,
    };

    struct Empty;

    impl Source for Empty {
        fn survey(&self, _: &Call, _: &Host, _: &ProjectName) -> Result<HostState, Failure> {
            Ok(HostState::default())
        }
        fn read(&self, _: &Call) -> Option<Result<Outcome, Failure>> {
            None
        }
    }

    type Fleet = Arc<Model<Empty>>;

    fn fleet() -> Fleet {
        Arc::new(Model::new(World::default(), Empty))
    }

    fn operator(fleet: &Fleet, wait: Period) -> Leased<Fleet> {
        Leased::new(fleet.clone(), Terms { purpose: "deploy.rhai".into(), lasting: LASTING, wait, ..Terms::default() })
    }

    fn call(run: &str, op: impl Into<Shared<Op>>) -> Call {
        let run = RunInfo { id: RunId::new(run).expect("valid"), operator: format!("{run}@desk"), started: "2026-01-01T00:00:00Z".into() };
        Call::new(op, Key::call("", 1), Origin { file: "deploy.rhai".into(), line: 1, column: 1 }, Arc::new(run))
    }

    fn names() -> (ProjectName, ServiceName) {
        (ProjectName::new("shop").expect("valid"), ServiceName::new("web").expect("valid"))
    }

    fn all(hosts: &[&str]) -> Lock {
        let (project, service) = names();
        Lock::new(project, service, hosts.iter().map(|host| Host::parse(host).expect("valid")).collect())
    }

    fn note(host: &str) -> Record {
        let (project, service) = names();
        let (host, version) = (Host::parse(host).expect("valid"), Version::new("v1").expect("valid"));
        Record { host, project, service, version, image: "shop-web:v1".into() }
    }

    fn owners(fleet: &Fleet, host: &str) -> Vec<String> {
        let op = ReadLeases { host: Host::parse(host).expect("valid"), project: names().0 };
        let outcome = fleet.perform(&call("r0", op)).expect("it is read");
        outcome.value.read::<Vec<Lease>>().expect("leases").into_iter().map(|lease| lease.owner).collect()
    }

    #[test]
    fn of_two_runs_one_has_all_hosts_and_the_other_none() {
        let fleet = fleet();
        let (first, second) = (operator(&fleet, Period::default()), operator(&fleet, Period::default()));
        first.perform(&call("ann", all(&["h2", "h1"]))).expect("all are free");
        let refused = second.perform(&call("bob", all(&["h3", "h2"]))).expect_err("h2 is ann's");
        assert_eq!(refused.kind, FailureKind::Locked);
        assert_eq!(
            refused.message,
            "web on h2 is locked: the run ann (deploy.rhai) of ann@desk is at work there since 2026-01-01T00:00:00Z, 0s ago"
        );
        assert!(refused.hints[1].contains("`podlift lock release --host h2 --project shop --force`"), "{:?}", refused.hints);
        assert_eq!((owners(&fleet, "h1"), owners(&fleet, "h3")), (vec!["ann@desk".to_owned()], vec![]));
        assert!(first.release(&call("ann", note("h1")), &Release::Free).is_empty());
        second.perform(&call("bob", all(&["h3", "h2"]))).expect("both are free");
    }

    #[test]
    fn the_first_change_takes_its_own() {
        let fleet = fleet();
        let (first, second) = (operator(&fleet, Period::default()), operator(&fleet, Period::default()));
        first.perform(&call("ann", note("h1"))).expect("it is free");
        second.perform(&call("bob", note("h2"))).expect("another host");
        assert_eq!(second.perform(&call("bob", note("h1"))).expect_err("ann is at work there").kind, FailureKind::Locked);
    }

    #[test]
    fn what_an_interrupted_run_left_is_not_free_and_its_own_to_take() {
        let fleet = fleet();
        let first = operator(&fleet, Period::default());
        first.perform(&call("ann", note("h1"))).expect("it is free");
        first.release(&call("ann", note("h1")), &Release::Left);
        // It is not waited for: it would not end by itself.
        let refused = operator(&fleet, Period::seconds(3600)).perform(&call("bob", note("h1"))).expect_err("ann's run has to be met");
        assert!(refused.message.ends_with("was interrupted"), "{}", refused.message);
        operator(&fleet, Period::default()).perform(&call("ann", note("h1"))).expect("the same run goes on");
    }

    #[test]
    fn what_an_earlier_process_left_is_given_back_too() {
        let fleet = fleet();
        operator(&fleet, Period::default()).perform(&call("ann", all(&["h1", "h2"]))).expect("both are free");
        operator(&fleet, Period::default()).perform(&call("bob", all(&["h3"]))).expect("it is free");
        let next = operator(&fleet, Period::default());
        let places = ["h1", "h2", "h3"].map(|host| (names().0, Host::parse(host).expect("valid")));
        next.adopt(&call("ann", note("h1")), &places.into());
        assert!(next.release(&call("ann", note("h1")), &Release::Free).is_empty());
        assert!(owners(&fleet, "h1").is_empty() && owners(&fleet, "h2").is_empty());
        assert_eq!(owners(&fleet, "h3"), ["bob@desk"]);
    }

    #[test]
    fn what_may_have_been_taken_is_asked_for_again_and_given_back() {
        /// Takes a lease once without saying so.
        struct Silent(Fleet, Mutex<bool>);

        impl Executor for Silent {
            fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
                let answer = self.0.perform(call);
                let was_silent = std::mem::replace(&mut *lock(&self.1), true);
                if was_silent { answer } else { Err(Failure::new(FailureKind::Unreachable, "the connection to h1 was lost").lost()) }
            }
        }
        let fleet = fleet();
        let silent = || Leased::new(Silent(fleet.clone(), Mutex::default()), Terms::default());
        let first = silent();
        first.perform(&call("ann", all(&["h1"]))).expect_err("nobody said that it is there");
        assert_eq!(owners(&fleet, "h1"), ["ann@desk"]);
        assert!(first.release(&call("ann", note("h1")), &Release::Free).is_empty());
        assert!(owners(&fleet, "h1").is_empty());

        let second = silent();
        second.perform(&call("bob", note("h1"))).expect_err("nobody said that it is there");
        *lock(&second.inner.1) = false;
        second.perform(&call("bob", note("h1"))).expect_err("it is asked for anew, not taken for granted");
        assert!(second.release(&call("bob", note("h1")), &Release::Free).is_empty());
        assert!(owners(&fleet, "h1").is_empty());
    }

    #[test]
    fn what_is_waited_for_is_noted_once() {
        /// Counts how often leases are asked for.
        struct Counting(Fleet, AtomicUsize);

        impl Executor for Counting {
            fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
                self.1.fetch_add(1, Ordering::SeqCst);
                self.0.perform(call)
            }
        }
        let (fleet, journal) = (fleet(), Arc::new(Journal::in_memory()));
        let first = operator(&fleet, Period::default());
        first.perform(&call("ann", all(&["h1"]))).expect("it is free");
        let counting = Arc::new(Counting(fleet, AtomicUsize::default()));
        let terms = Terms { wait: Period::seconds(3600), ..Terms::default() };
        let second = Leased::new(Intend::new(counting.clone(), journal.clone()), terms);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| second.perform(&call("bob", all(&["h1"]))));
            while counting.1.load(Ordering::SeqCst) < 3 && !waiting.is_finished() {
                thread::sleep(Duration::from_millis(5));
            }
            first.release(&call("ann", note("h1")), &Release::Free);
            waiting.join().expect("it ends").expect("it is free by now");
        });
        second.perform(&call("bob", all(&["h2"]))).expect("it is free");
        let noted = journal.chain().entries().iter().filter(|entry| matches!(entry, Entry::Intent(_))).count();
        assert_eq!(noted, 2, "one for h1, one for h2");
    }

    #[test]
    fn a_wait_ends_with_the_others_run_or_with_ctrl_c() {
        let fleet = fleet();
        let (first, second) = (operator(&fleet, Period::default()), operator(&fleet, Period::seconds(3600)));
        first.perform(&call("ann", note("h1"))).expect("it is free");
        thread::scope(|scope| {
            let waiting = scope.spawn(|| second.perform(&call("bob", note("h1"))));
            first.release(&call("ann", note("h1")), &Release::Free);
            waiting.join().expect("it ends").expect("it is free by now");
        });
        let cancellation = Cancellation::default();
        cancellation.request(Urgency::Finish);
        let late = Call { cancellation, ..call("eve", note("h1")) };
        let ended = operator(&fleet, Period::seconds(3600)).perform(&late).expect_err("it was told to stop");
        assert_eq!(ended.kind, FailureKind::Interrupted);
    }
}
