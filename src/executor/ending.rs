//! How a run ended: read from every host, never inferred.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::Serialize;

use super::{
    Branches, Call, Executor, Key, Recorded,
    branches::all,
    pending::{commits, finished, is_final},
};
use crate::{
    failure::Origin,
    model::{Container, Host, HostName, ProjectName, RunId, RunInfo, ServiceName},
    op::{Find, Found, Op, Sought},
};

/// What is live of the services that a run changed.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Ending {
    /// Each service on each host.
    pub parts: Vec<Part>,
}

/// One service on one host.
#[derive(Clone, Debug, Serialize)]
pub struct Part {
    /// The service.
    pub service: ServiceName,
    /// The host.
    pub host: HostName,
    /// The versions that serve, with how many containers each; without a proxy, that run.
    pub serving: BTreeMap<String, usize>,
    /// Whether all that serve are this run's.
    pub new: bool,
    /// Whether none of this run's containers runs.
    pub old: bool,
    /// Whether a commit made final what this run did there, as something finished.
    #[serde(skip)]
    pub committed: bool,
    /// Containers of this run that run without serving.
    pub idle: Vec<String>,
    /// Why it could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

/// The one word for a fleet's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Nothing that serves a proxy was touched.
    Unchanged,
    /// Only the new release serves.
    AllNew,
    /// Only what was there before serves, and nothing new runs.
    AllOld,
    /// Both, or a host could not be read.
    Mixed,
}

impl Ending {
    /// Reads it through `executor`, for every service and host that these records changed, all at once where branches are: it
    /// waits for hosts that do not answer, and nothing interrupts it.
    pub fn read(executor: &dyn Executor, records: &[Recorded], run: &Arc<RunInfo>, branches: Branches) -> Self {
        let (commits, finished) = (commits(records), finished(records));
        let script = || records.iter().filter(|record| !record.key.is_undo());
        let committed = places(script().filter(|record| is_final(&record.key, &finished)).map(|record| &*record.op));
        let unfinished = script().filter(|record| is_final(&record.key, &commits) && !is_final(&record.key, &finished));
        let unfinished = places(unfinished.map(|record| &*record.op));
        let parts = all(branches, places(records.iter().map(|record| &*record.op)), |(seat, place)| {
            let committed = committed.contains_key(&seat) && !unfinished.contains_key(&seat);
            part(executor, place, run).map(|part| Part { committed, ..part })
        });
        Self { parts: parts.into_iter().flatten().collect() }
    }

    /// Whether nothing is on the hosts that was not committed, and nothing is half done: where the run committed something that
    /// stays, one release alone; elsewhere what was there before. What a deploy was in the middle of when it failed and holds is not
    /// taken back, whatever its hosts look like one by one.
    pub fn is_taken_back(&self) -> bool {
        self.parts.iter().all(|part| part.old || part.committed && part.new)
    }

    /// The word for all of it.
    pub fn state(&self) -> State {
        if self.parts.is_empty() {
            State::Unchanged
        } else if self.parts.iter().all(|part| part.new) {
            State::AllNew
        } else if self.parts.iter().all(|part| part.old) {
            State::AllOld
        } else {
            State::Mixed
        }
    }
}

/// A service on a host, with the proxies that serve it.
pub(super) struct Place {
    pub(super) host: Host,
    pub(super) project: ProjectName,
    pub(super) service: ServiceName,
    proxies: Vec<Host>,
}

/// What these ops change.
pub(super) fn places<'a>(ops: impl IntoIterator<Item = &'a Op>) -> BTreeMap<(ServiceName, HostName), Place> {
    let mut places: BTreeMap<(ServiceName, HostName), Place> = BTreeMap::new();
    let mut add = |host: &Host, project: &ProjectName, service: &ServiceName, proxies: &[Host]| {
        let empty = || Place { host: host.clone(), project: project.clone(), service: service.clone(), proxies: Vec::new() };
        let place = places.entry((service.clone(), host.name.clone())).or_insert_with(empty);
        for proxy in proxies {
            if !place.proxies.contains(proxy) {
                place.proxies.push(proxy.clone());
            }
        }
    };
    for op in ops {
        match op {
            Op::Start(op) => add(&op.host, &op.project, &op.service.name, op.service.proxies(std::slice::from_ref(&op.host))),
            Op::StartAgain(op) => add(&op.host, &op.project, &op.service, &op.proxies),
            Op::Drain(op) => add(&op.host, &op.project, &op.service, &op.proxies),
            Op::Stop(op) => add(&op.host, &op.project, &op.service, &op.proxies),
            Op::Remove(op) => add(&op.host, &op.project, &op.service, &op.proxies),
            Op::Preview(op) => {
                for host in &op.hosts {
                    add(host, &op.project, &op.service, std::slice::from_ref(&op.proxy));
                }
            }
            Op::SetWeights(op) => {
                for host in &op.hosts {
                    add(host, &op.project, &op.service, std::slice::from_ref(&op.proxy));
                }
            }
            _ => {}
        }
    }
    places
}

/// What is there of a service on a host; `None` where that is a dependency, which stays, whatever becomes of the run that made it.
fn part(executor: &dyn Executor, place: Place, run: &Arc<RunInfo>) -> Option<Part> {
    let Place { host, project, service, proxies } = place;
    let mut part = Part {
        service: service.clone(),
        host: host.name.clone(),
        serving: BTreeMap::new(),
        new: false,
        old: false,
        committed: false,
        idle: Vec::new(),
        unknown: None,
    };
    let proxied = !proxies.is_empty();
    let op = Find { host, project, service, proxies, sought: Sought::Running };
    let origin = Origin { file: "the end of the run".into(), line: 1, column: 1 };
    let answer = executor.perform(&Call::new(op, Key::call("end/", 1), origin, run.clone()));
    let found: Found = match answer.map(|outcome| outcome.value.read()) {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => return Some(Part { unknown: Some(error.to_string()), ..part }),
        Err(failure) => return Some(Part { unknown: Some(failure.message), ..part }),
    };
    let containers: Vec<&Container> = found.containers.iter().filter(|container| !container.dependency).collect();
    if containers.is_empty() && !found.containers.is_empty() {
        return None;
    }
    let serves = |container: &&&Container| container.is_running() && (!proxied || found.weights.contains_key(&container.name));
    let serving: Vec<&Container> = containers.iter().filter(serves).copied().collect();
    for container in &serving {
        *part.serving.entry(container.version.to_string()).or_default() += 1;
    }
    let runs: BTreeSet<&RunId> = serving.iter().map(|container| &container.run).collect();
    part.idle = containers
        .iter()
        .filter(|container| container.is_running() && container.run == run.id && !serves(container))
        .map(|container| container.name.to_string())
        .collect();
    part.new = runs.iter().all(|id| **id == run.id) && !runs.is_empty() && part.idle.is_empty();
    part.old = !runs.contains(&run.id) && part.idle.is_empty();
    Some(part)
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;
    use crate::{
        executor::Outcome,
        failure::Failure,
        model::{Front, Token},
        op::SetWeights,
    };

    /// Finds nothing anywhere, and remembers by which proxies it was asked.
    #[derive(Default)]
    struct Nothing(Mutex<Vec<Vec<String>>>);

    impl Executor for Nothing {
        fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
            if let Op::Find(find) = &*call.op {
                let proxies = find.proxies.iter().map(|proxy| proxy.name.to_string()).collect();
                self.0.lock().unwrap_or_else(PoisonError::into_inner).push(proxies);
            }
            Ok(Outcome::of(Found::default()))
        }
    }

    #[test]
    fn all_balancers_that_a_call_changed_are_read() {
        let host = |name: &str| Host::parse(name).expect("valid");
        let weigh = |proxy: &str| SetWeights {
            proxy: host(proxy),
            project: ProjectName::default(),
            service: ServiceName::new("web").expect("valid"),
            front: Front { domain: None, listen: 80, tls: None, server: true, sticky: None },
            changes: BTreeMap::new(),
            hosts: vec![host("h1")],
            allow_downtime: false,
            removes_empty: false,
        };
        let records: Vec<Recorded> = ["lb1", "lb2"]
            .map(|proxy| Recorded {
                key: Key::call("", 1),
                op: weigh(proxy).into(),
                origin: Origin { file: "deploy.rhai".into(), line: 1, column: 1 },
                result: Ok(Outcome::of(Token::new("0123456789").expect("valid"))),
                seconds: 0.0,
            })
            .to_vec();
        let run = RunInfo { id: RunId::new("r1").expect("valid"), operator: "me".into(), started: "2026-01-01T00:00:00Z".into() };
        let nothing = Nothing::default();
        Ending::read(&nothing, &records, &Arc::new(run), Branches::default());
        assert_eq!(nothing.0.into_inner().unwrap_or_else(PoisonError::into_inner), [["lb1", "lb2"]]);
    }
}
