//! Whether another run has changed since what a run had changed.

use std::{collections::BTreeMap, sync::Arc};

use super::{Call, Executor, Key, Recorded, ending::places};
use crate::{
    failure::{Failure, Origin},
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
    /// When it began.
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

/// Reads whether a run that began after this one has changed a service of these records. A host that does not answer tells
/// nothing.
pub fn overtaken(executor: &dyn Executor, records: &[Recorded], reach: Reach, run: &Arc<RunInfo>) -> Option<Later> {
    let origin = Origin { file: "before the run goes on".into(), line: 1, column: 1 };
    let read = |op: Op| executor.perform(&Call::new(op, Key::call("before/", 1), origin.clone(), run.clone())).ok();
    let mut met: BTreeMap<(&ProjectName, &ServiceName, &HostName), &Host> = BTreeMap::new();
    let changed = places(records);
    met.extend(changed.values().map(|place| ((&place.project, &place.service, &place.host.name), &place.host)));
    if reach == Reach::Seen {
        met.extend(records.iter().flat_map(|record| seen(&record.op)));
    }
    for ((project, service, _), host) in met {
        let later = |id: &RunId, at: &str, by: &str| {
            (*id != run.id && at > run.started.as_str()).then(|| Later {
                run: id.clone(),
                by: by.into(),
                at: at.into(),
                service: service.clone(),
                host: host.name.clone(),
            })
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

/// The service that was locked or looked at, on each host.
fn seen(op: &Op) -> Vec<((&ProjectName, &ServiceName, &HostName), &Host)> {
    match op {
        Op::Lock(op) => op.hosts.iter().map(|host| ((&op.project, &op.service, &host.name), host)).collect(),
        Op::Find(op) => vec![((&op.project, &op.service, &op.host.name), &op.host)],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        executor::Outcome,
        model::{Period, Version},
        op::{Lock, Stop},
    };

    /// A host whose history has these entries: run, and when it began.
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

    #[test]
    fn a_later_run_is_named_and_an_earlier_one_and_the_run_itself_are_not() {
        let stop = Stop {
            host: Host::parse("h1").expect("valid"),
            project: ProjectName::default(),
            service: ServiceName::new("web").expect("valid"),
            containers: Vec::new(),
            proxies: Vec::new(),
            timeout: Period::seconds(1),
            allow_downtime: false,
        };
        let origin = Origin { file: "deploy.rhai".into(), line: 1, column: 1 };
        let record = Recorded { key: Key::call("", 1), op: stop.into(), origin, result: Ok(Outcome::of(())), seconds: 0.0 };
        let run = RunInfo { id: RunId::new("r2").expect("valid"), operator: "ann@here".into(), started: "2026-01-02T00:00:00Z".into() };
        let run = Arc::new(run);
        let seen = |entries| overtaken(&Deployed(entries), std::slice::from_ref(&record), Reach::Changed, &run);
        assert_eq!(seen(vec![("r2", "2026-01-02T00:00:00Z"), ("r1", "2026-01-01T00:00:00Z")]), None);
        let later = seen(vec![("r3", "2026-01-03T00:00:00Z"), ("r2", "2026-01-02T00:00:00Z")]).expect("r3 came later");
        let refusal = later.refusal(&run.id);
        assert_eq!(refusal.message, "run r2 was overtaken: r3 of bob@ci has changed web on h1 since (2026-01-03T00:00:00Z)");
    }

    #[test]
    fn a_run_that_only_looked_is_overtaken_where_it_would_go_on_by_what_it_saw() {
        let lock = Lock::new(ProjectName::default(), ServiceName::new("web").expect("valid"), vec![Host::parse("h1").expect("valid")]);
        let origin = Origin { file: "deploy.rhai".into(), line: 1, column: 1 };
        let record = Recorded { key: Key::call("", 1), op: lock.into(), origin, result: Ok(Outcome::of(())), seconds: 0.0 };
        let run = RunInfo { id: RunId::new("r2").expect("valid"), operator: "ann@here".into(), started: "2026-01-02T00:00:00Z".into() };
        let run = Arc::new(run);
        let seen = |reach| overtaken(&Deployed(vec![("r3", "2026-01-03T00:00:00Z")]), std::slice::from_ref(&record), reach, &run);
        assert_eq!(seen(Reach::Seen).expect("r3 came later").service.as_str(), "web");
        assert_eq!(seen(Reach::Changed), None, "there is nothing to take back");
    }
}
