//! Whether another run has changed since what a run had changed.

use std::sync::Arc;

use super::{Call, Executor, Key, Recorded, ending::places};
use crate::{
    failure::{Failure, Origin},
    model::{HistoryEntry, HostName, RunId, RunInfo, ServiceName},
    op::{Find, Found, HistoryOf, Sought},
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

/// Reads whether a run that began after this one has changed a service that these records changed. A host that does not answer
/// tells nothing.
pub fn overtaken(executor: &dyn Executor, records: &[Recorded], run: &Arc<RunInfo>) -> Option<Later> {
    let origin = Origin { file: "before the run goes on".into(), line: 1, column: 1 };
    let read = |op: crate::op::Op| executor.perform(&Call::new(op, Key::call("before/", 1), origin.clone(), run.clone())).ok();
    for place in places(records).into_values() {
        let (host, project, service) = (&place.host, &place.project, &place.service);
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
        let found: Found = read(find.into()).and_then(|outcome| serde_json::from_value(outcome.value).ok()).unwrap_or_default();
        let history = HistoryOf { host: host.clone(), project: project.clone(), service: service.clone() };
        let history: Vec<HistoryEntry> =
            read(history.into()).and_then(|outcome| serde_json::from_value(outcome.value).ok()).unwrap_or_default();
        let of_containers = found.containers.iter().map(|container| later(&container.run, &container.deployed_at, &container.deployed_by));
        let of_history = history.iter().map(|entry| later(&entry.run, &entry.at, &entry.by));
        if let Some(later) = of_containers.chain(of_history).flatten().next() {
            return Some(later);
        }
    }
    None
}
