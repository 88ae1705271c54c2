//! Ops about leases: one run at a time per project, service and host.

use serde::{Deserialize, Serialize};

use crate::model::{Host, HostName, Lease, Period, ProjectName, RunId, ServiceName};

/// Takes a service's leases on all of these hosts, or none. Class *wait*: it has no effect on what runs, and is done again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lock {
    /// The project.
    pub project: ProjectName,
    /// The service.
    pub service: ServiceName,
    /// The hosts, proxies among them, in the order of their names: whoever is first has the others too.
    pub hosts: Vec<Host>,
    /// What for, for people; the executor that keeps leases says it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub purpose: String,
    /// How long a host keeps it without a renewal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasting: Option<Period>,
}

impl Lock {
    /// The leases of `service` on `hosts`, each once and in order.
    pub fn new(project: ProjectName, service: ServiceName, mut hosts: Vec<Host>) -> Self {
        hosts.sort_by(|left, right| left.name.cmp(&right.name));
        hosts.dedup_by(|left, right| left.name == right.name);
        Self { project, service, hosts, purpose: String::new(), lasting: None }
    }
    pub(super) fn describe(&self) -> String {
        match self.hosts.as_slice() {
            [_] => self.service.to_string(),
            hosts => {
                let names: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
                format!("{} on {}", self.service, names.join(", "))
            }
        }
    }
    pub(super) fn host(&self) -> Option<&Host> {
        match self.hosts.as_slice() {
            [host] => Some(host),
            _ => None,
        }
    }
}

/// What came of asking for leases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Locking {
    /// All were taken.
    Taken,
    /// None was: another run has one of them.
    Held {
        /// The host.
        host: HostName,
        /// The other's lease.
        lease: Box<Lease>,
    },
}

/// Gives a lease up. Class *wait*, as [`Lock`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unlock {
    /// The host.
    pub host: Host,
    /// The project.
    pub project: ProjectName,
    /// The service.
    pub service: ServiceName,
    /// Whose it is, and what becomes of it.
    pub release: Release,
}

/// How a lease is given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum Release {
    /// The run's own: it has ended.
    Free,
    /// The run's own: it was interrupted, and the next run has to meet it.
    Left,
    /// Any run's, taken from it with its session, if it is still this one.
    Broken {
        /// The run that has it.
        run: RunId,
        /// The lease's generation as it was read.
        generation: u64,
    },
}

impl Unlock {
    pub(super) fn describe(&self) -> String {
        self.service.to_string()
    }
    pub(super) fn host(&self) -> Option<&Host> {
        Some(&self.host)
    }
}

/// Reads a project's leases on a host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReadLeases {
    /// The host.
    pub host: Host,
    /// The project.
    pub project: ProjectName,
}

impl ReadLeases {
    pub(super) fn describe(&self) -> String {
        format!("of {}", self.project)
    }
    pub(super) fn host(&self) -> Option<&Host> {
        Some(&self.host)
    }
}
