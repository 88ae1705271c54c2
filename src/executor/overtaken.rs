//! Whether another run has changed since what a run had changed.

use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};

use super::{Call, Executor, Key, ending::places};
use crate::{
    failure::{Failure, Origin},
    journal::{Entry, Intent},
    model::{HistoryEntry, Host, HostName, ProjectName, RunId, RunInfo, ServiceName},
    op::{Find, Found, HistoryOf, Op, Sought},
};

/// A later run and what shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Later {
    /// The run.
    pub run: RunId,
    /// Who runs it.
    pub by: String,
    /// When it changed the service.
    pub at: String,
    /// The service that it changed.
    pub service: ServiceName,
    /// Where.
    pub host: HostName,
}

impl Later {
    /// The refusal of what would go back behind it.
    pub fn refusal(&self, run: &RunId) -> Failure {
        let Self { run: later, by, at, service, host } = self;
        Failure::refused(format!("run {run} was overtaken: {later} of {by} has changed {service} on {host} since ({at})"))
            .on(host)
            .hint(format!("`podlift show {later} --from {host}` tells what it did; deploy the version that is wanted anew"))
    }
}

/// What of a run counts: who changed it since has overtaken the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The services that it changed: what an undo is about.
    Changed,
    /// Those that it locked or looked at, too: what it goes on with is by what it saw then.
    Seen,
}

/// Reads whether another run has changed a service since the run with these records first changed, locked or looked at it. What was
/// changed before, as while it built or waited for its turn, it has met. A host that does not answer tells nothing.
pub fn overtaken(executor: &dyn Executor, entries: &[Entry], reach: Reach, run: &Arc<RunInfo>) -> Option<Later> {
    let origin = Origin { file: "before the run goes on".into(), line: 1, column: 1 };
    let read = |op: Op| executor.perform(&Call::new(op, Key::call("before/", 1), origin.clone(), run.clone())).ok();
    for ((project, service, _), Met { host, since }) in met(entries, reach) {
        let later = |id: &RunId, at: &str, by: &str| {
            let is_later = *id != run.id && at.parse::<Timestamp>().is_ok_and(|at| at > since);
            is_later.then(|| Later { run: id.clone(), by: by.into(), at: at.into(), service: service.clone(), host: host.name.clone() })
        };
        let find =
            Find { host: host.clone(), project: project.clone(), service: service.clone(), proxies: Vec::new(), sought: Sought::Releases };
        let found: Found = read(find.into()).and_then(|outcome| outcome.value.read().ok()).unwrap_or_default();
        let history = HistoryOf { host: host.clone(), project: project.clone(), service: service.clone() };
        let history: Vec<HistoryEntry> = read(history.into()).and_then(|outcome| outcome.value.read().ok()).unwrap_or_default();
        let of_containers = found.containers.iter().map(|container| later(&container.run, &container.deployed_at, &container.deployed_by));
        let of_history = history.iter().map(|entry| later(&entry.run, &entry.at, &entry.by));
        if let Some(later) = of_containers.chain(of_history).flatten().next() {
            return Some(later);
        }
    }
    None
}

/// A host on which a run met a service, and since when nobody else may have changed it there.
struct Met {
    host: Host,
    since: Timestamp,
}

/// Where the run with these records met a service first.
fn met(entries: &[Entry], reach: Reach) -> BTreeMap<(ProjectName, ServiceName, HostName), Met> {
    let mut met: BTreeMap<(ProjectName, ServiceName, HostName), Met> = BTreeMap::new();
    let mut add = |project: &ProjectName, service: &ServiceName, host: &Host, at: Timestamp| {
        let place = (project.clone(), service.clone(), host.name.clone());
        let met = met.entry(place).or_insert_with(|| Met { host: host.clone(), since: at });
        met.since = met.since.min(at);
    };
    for entry in entries {
        match entry {
            // It has its lease by then.
            Entry::Intent(Intent { asked, at, .. }) if asked.op.class().changes() => {
                for place in places([&*asked.op]).into_values() {
                    add(&place.project, &place.service, &place.host, moment(at));
                }
            }
            Entry::Done { asked, at, seconds, .. } if reach == Reach::Seen => match &*asked.op {
                // It may have waited for another run before.
                Op::Lock(op) => op.hosts.iter().for_each(|host| add(&op.project, &op.service, host, moment(at))),
                // It may have seen what was there when it began to look.
                Op::Find(op) => add(&op.project, &op.service, &op.host, before(moment(at), *seconds)),
                _ => {}
            },
            _ => {}
        }
    }
    met
}

/// The moment that a record names; where it names none, all that is found may have come later.
fn moment(at: &str) -> Timestamp {
    at.parse().unwrap_or(Timestamp::MIN)
}

fn before(at: Timestamp, seconds: f64) -> Timestamp {
    SignedDuration::try_from_secs_f64(seconds).ok().and_then(|period| at.checked_sub(period).ok()).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        executor::Outcome,
        journal::Asked,
        model::{Period, Shared, Version},
        op::{Lock, Stop},
    };

    /// A host whose history has these entries: run, and when it deployed.
    struct Deployed(Vec<(&'static str, &'static str)>);

    impl Executor for Deployed {
        fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
            let entry = |(run, at): &(&str, &str)| HistoryEntry {
                version: Version::new("v3").expect("valid"),
                image: "web:v3".into(),
                run: RunId::new(*run).expect("valid"),
                at: (*at).into(),
                by: "bob@ci".into(),
            };
            Ok(match *call.op {
                Op::HistoryOf(_) => Outcome::of(self.0.iter().map(entry).collect::<Vec<_>>()),
                _ => Outcome::of(Found::default()),
            })
        }
    }

    /// The run r2, which began at 10:01.
    fn run() -> Arc<RunInfo> {
        let started = "2026-01-02T10:01:00Z".into();
        Arc::new(RunInfo { id: RunId::new("r2").expect("valid"), operator: "ann@here".into(), started })
    }

    fn asked(op: impl Into<Shared<Op>>) -> Asked {
        Asked { key: Key::call("", 1), origin: Origin { file: "deploy.rhai".into(), line: 1, column: 1 }, op: op.into() }
    }

    fn web() -> (ProjectName, ServiceName, Host) {
        (ProjectName::default(), ServiceName::new("web").expect("valid"), Host::parse("h1").expect("valid"))
    }

    /// It stopped what was there.
    fn changed(at: &str) -> Entry {
        let (project, service, host) = web();
        let (containers, proxies, timeout) = (Vec::new(), Vec::new(), Period::seconds(1));
        let stop = Stop { host, project, service, containers, proxies, timeout, allow_downtime: false };
        Entry::Intent(Intent { asked: asked(stop), at: at.into(), inverse: crate::op::Inverse::default() })
    }

    fn done(op: impl Into<Shared<Op>>, at: &str, seconds: f64) -> Entry {
        Entry::Done { asked: asked(op), outcome: Outcome::of(()), at: at.into(), seconds, answered_by: None }
    }

    /// It had its turn after as many seconds.
    fn locked(at: &str, seconds: f64) -> Entry {
        let (project, service, host) = web();
        done(Lock::new(project, service, vec![host]), at, seconds)
    }

    fn looked(at: &str, seconds: f64) -> Entry {
        let (project, service, host) = web();
        done(Find { host, project, service, proxies: Vec::new(), sought: Sought::Releases }, at, seconds)
    }

    /// When whoever overtook it changed the service.
    fn told(entries: &[Entry], reach: Reach, deployed: &[(&'static str, &'static str)]) -> Option<String> {
        overtaken(&Deployed(deployed.to_vec()), entries, reach, &run()).map(|later| later.at)
    }

    #[test]
    fn a_later_run_is_named_and_an_earlier_one_and_the_run_itself_are_not() {
        let changed = [changed("2026-01-02T10:03:00.000Z")];
        let own = ("r2", "2026-01-02T10:03:05.000Z");
        assert_eq!(told(&changed, Reach::Changed, &[own, ("r1", "2026-01-01T00:00:00Z")]), None);
        let deployed = Deployed(vec![("r3", "2026-01-02T10:04:00.000Z"), own]);
        let later = overtaken(&deployed, &changed, Reach::Changed, &run()).expect("r3 came later");
        let refusal = later.refusal(&run().id);
        assert_eq!(refusal.message, "run r2 was overtaken: r3 of bob@ci has changed web on h1 since (2026-01-02T10:04:00.000Z)");
    }

    #[test]
    fn what_another_run_did_before_it_had_its_turn_does_not_overtake_a_run() {
        // It built, or waited, until 10:03.
        let entries = [locked("2026-01-02T10:03:00.100Z", 110.0), changed("2026-01-02T10:03:00.200Z")];
        for before in ["2026-01-02T10:02:00.000Z", "2026-01-02T10:03:00.000Z", "2026-01-02T10:03:00Z"] {
            for reach in [Reach::Changed, Reach::Seen] {
                assert_eq!(told(&entries, reach, &[("r1", before)]), None, "{before}: {reach:?}");
            }
        }
        let after = "2026-01-02T10:03:01Z";
        for reach in [Reach::Changed, Reach::Seen] {
            assert_eq!(told(&entries, reach, &[("r3", after)]).as_deref(), Some(after), "{reach:?}");
        }
    }

    #[test]
    fn a_run_that_only_looked_is_overtaken_where_it_would_go_on_by_what_it_saw() {
        let after = "2026-01-02T10:03:01.000Z";
        for seen in [locked("2026-01-02T10:03:00.000Z", 110.0), looked("2026-01-02T10:03:02.000Z", 1.5)] {
            let told = |reach, at| told(std::slice::from_ref(&seen), reach, &[("r3", at)]);
            assert_eq!(told(Reach::Seen, after).as_deref(), Some(after));
            assert_eq!(told(Reach::Seen, "2026-01-02T10:02:00.000Z"), None, "it has seen that");
            assert_eq!(told(Reach::Changed, after), None, "there is nothing to take back");
        }
    }

    #[test]
    fn what_was_not_begun_is_not_overtaken() {
        let Entry::Intent(Intent { asked, .. }) = changed("") else { panic!("an intent") };
        let failure = Failure::refused("web on h1 is locked");
        let refused = Entry::Failed { asked, failure, at: "2026-01-02T10:03:00.000Z".into(), seconds: 0.0 };
        assert_eq!(told(&[refused], Reach::Changed, &[("r3", "2026-01-02T10:04:00.000Z")]), None);
    }
}
