//! How a run that goes on, or is taken back, comes by what it had: before anything else it takes every lease that it needs.

use std::collections::{BTreeMap, BTreeSet};

use super::{Branches, Call, Executor, Outcome, Recorded, branches::all};
use crate::{
    failure::{Failure, FailureKind},
    model::{Host, HostName, Lease, ProjectName, ServiceName},
    op::{Lock, Op, ReadLeases, Release, Unlock},
};

/// A lease: whose, and where.
type Seat = (ProjectName, ServiceName, HostName);

/// Takes the leases of all that these records changed or locked, through an executor that keeps leases. A host that does not
/// answer is passed over: nothing can be changed there either.
///
/// # Errors
/// Where another run, or another process of this one, has one of them: then none is taken that was not left by this run.
pub fn regain(executor: &dyn Executor, call: &Call, records: &[Recorded], branches: Branches) -> Result<(), Failure> {
    let needed = needed(records);
    let left = left(executor, call, &needed, branches);
    let mut taken = Vec::new();
    for ((project, service, name), host) in &needed {
        let asked = Lock::new(project.clone(), service.clone(), vec![host.clone()]);
        match executor.perform(&Call { progress: call.progress.clone(), ..call.with(asked) }) {
            Ok(_) => taken.push((project, service, name, host)),
            Err(failure) if failure.kind == FailureKind::Unreachable => {}
            Err(failure) => {
                for (project, service, name, host) in taken {
                    let was_left = left.contains(&(project.clone(), service.clone(), name.clone()));
                    let release = if was_left { Release::Left } else { Release::Free };
                    let unlock = Unlock { host: host.clone(), project: project.clone(), service: service.clone(), release };
                    // What cannot be given back runs out.
                    let _ = executor.perform(&call.with(unlock));
                }
                return Err(failure);
            }
        }
    }
    Ok(())
}

/// The leases without which these records' run would not have come so far, in the order of their names: of two that go on, one
/// has all.
fn needed(records: &[Recorded]) -> BTreeMap<Seat, Host> {
    let mut needed = BTreeMap::new();
    let mut add = |project: &ProjectName, service: &ServiceName, hosts: &[&Host]| {
        needed.extend(hosts.iter().map(|host| ((project.clone(), service.clone(), host.name.clone()), (*host).clone())));
    };
    for record in records {
        match &*record.op {
            Op::Lock(op) => add(&op.project, &op.service, &op.hosts.iter().collect::<Vec<_>>()),
            op => {
                for op in std::iter::once(op).chain(record.inverse()) {
                    op.leased().into_iter().for_each(|(project, service, hosts)| add(project, service, &hosts));
                }
            }
        }
    }
    needed
}

/// Those that the run has now: what an earlier process of it left.
fn left(executor: &dyn Executor, call: &Call, needed: &BTreeMap<Seat, Host>, branches: Branches) -> BTreeSet<Seat> {
    let places: BTreeMap<(&ProjectName, &HostName), &Host> =
        needed.iter().map(|((project, _, name), host)| ((project, name), host)).collect();
    let reads = all(branches, places, |((project, name), host)| {
        let asked = call.with(ReadLeases { host: host.clone(), project: project.clone() });
        let answer = executor.perform(&asked).map(|outcome| outcome.value.read::<Vec<Lease>>());
        let leases = answer.into_iter().flatten().flatten().filter(|lease| lease.run == asked.run.id);
        leases.map(|lease| (project.clone(), lease.service, name.clone())).collect::<Vec<_>>()
    });
    reads.into_iter().flatten().collect()
}

/// A run that goes on: where it meets another run's lease it stops and stays as it is, so that it can go on later, in place of
/// failing and being taken back.
pub struct Yielding<E>(pub E);

impl<E: Executor> Executor for Yielding<E> {
    fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
        self.0.perform(call).map_err(|failure| match failure.kind {
            FailureKind::Locked => Failure { kind: FailureKind::Interrupted, ..failure },
            _ => failure,
        })
    }

    fn recall(&self, call: &Call, outcome: &Outcome) {
        self.0.recall(call, outcome);
    }

    fn leave_out(&self, call: &Call) {
        self.0.leave_out(call);
    }

    fn reach_again(&self) {
        self.0.reach_again();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        executor::{Leased, Model, RunInfo, Source, Terms},
        failure::Origin,
        model::{HostState, Key, RunId, Shared, Version},
        op::Record,
        world::World,
    };

    struct Empty;

    impl Source for Empty {
        fn survey(&self, _: &Call, host: &Host, _: &ProjectName) -> Result<HostState, Failure> {
            if host.name.as_str() == "away" {
                return Err(Failure::new(FailureKind::Unreachable, "away does not answer"));
            }
            Ok(HostState::default())
        }
        fn read(&self, _: &Call) -> Option<Result<Outcome, Failure>> {
            None
        }
    }

    type Fleet = Arc<Model<Empty>>;

    fn operator(fleet: &Fleet) -> Leased<Fleet> {
        Leased::new(fleet.clone(), Terms::default())
    }

    fn call(run: &str, op: impl Into<Shared<Op>>) -> Call {
        let run = RunInfo { id: RunId::new(run).expect("valid"), operator: format!("{run}@desk"), started: "2026-01-01T00:00:00Z".into() };
        Call::new(op, Key::call("", 1), Origin { file: "deploy.rhai".into(), line: 1, column: 1 }, Arc::new(run))
    }

    fn note(host: &str) -> Record {
        let (project, service) = (ProjectName::new("shop").expect("valid"), ServiceName::new("web").expect("valid"));
        let (host, version) = (Host::parse(host).expect("valid"), Version::new("v1").expect("valid"));
        Record { host, project, service, version, image: "shop-web:v1".into() }
    }

    fn noted(hosts: &[&str]) -> Vec<Recorded> {
        let origin = Origin { file: "deploy.rhai".into(), line: 1, column: 1 };
        let record = |(number, host): (usize, &&str)| Recorded {
            key: Key::call("", number),
            op: note(host).into(),
            origin: origin.clone(),
            result: Ok(Outcome::of(())),
            seconds: 0.0,
        };
        hosts.iter().enumerate().map(record).collect()
    }

    /// The leases of `web`, as `HOST OWNER`, with `left` where it was left.
    fn leases(fleet: &Fleet) -> Vec<String> {
        let states = fleet.world().states().into_iter();
        let told = |(host, state): (HostName, HostState)| {
            let left = |lease: &Lease| if lease.left { " left" } else { "" };
            state.leases.values().map(|lease| format!("{host} {}{}", lease.owner, left(lease))).collect::<Vec<_>>()
        };
        states.flat_map(told).collect()
    }

    #[test]
    fn a_run_that_goes_on_has_all_its_leases_or_those_that_it_had() {
        let fleet: Fleet = Arc::new(Model::new(World::default(), Empty));
        let first = operator(&fleet);
        for host in ["h1", "h3"] {
            first.perform(&call("ann", note(host))).expect("it is free");
        }
        first.release(&call("ann", note("h1")), &Release::Left);
        operator(&fleet).perform(&call("bob", note("h4"))).expect("it is free");

        let refused = regain(&operator(&fleet), &call("ann", note("h1")), &noted(&["h1", "h2", "h3", "h4"]), Branches::InOrder)
            .expect_err("bob has h4");
        assert_eq!(refused.kind, FailureKind::Locked);
        assert_eq!(leases(&fleet), ["h1 ann@desk left", "h3 ann@desk left", "h4 bob@desk"]);

        regain(&operator(&fleet), &call("ann", note("h1")), &noted(&["h1", "h2", "h3", "away"]), Branches::InOrder)
            .expect("nobody has these");
        assert_eq!(leases(&fleet), ["h1 ann@desk", "h2 ann@desk", "h3 ann@desk", "h4 bob@desk"]);
    }

    #[test]
    fn what_is_locked_suspends_a_run_that_goes_on() {
        let fleet: Fleet = Arc::new(Model::new(World::default(), Empty));
        operator(&fleet).perform(&call("bob", note("h1"))).expect("it is free");
        let stopped = Yielding(operator(&fleet)).perform(&call("ann", note("h1"))).expect_err("bob is at work there");
        assert_eq!(stopped.kind, FailureKind::Interrupted);
        assert!(stopped.message.starts_with("web on h1 is locked"), "{}", stopped.message);
    }
}
