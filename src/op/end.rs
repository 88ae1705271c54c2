//! Ops that end something, or bring it back.

use serde::{Deserialize, Serialize};

use super::{Healthcheck, Op, SetWeights, list};
use crate::model::{Container, ContainerName, Host, Period, ProjectName, RouteTable, ServiceName};

/// Takes containers out of the traffic if they have any, then waits until nothing to them is in flight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drain {
    /// The host that the containers are on.
    pub host: Host,
    /// The project.
    pub project: ProjectName,
    /// The service.
    pub service: ServiceName,
    /// The containers.
    pub containers: Vec<ContainerName>,
    /// Containers on other hosts that the same call takes out of the same proxies, for the guard.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<ContainerName>,
    /// The proxies that serve them.
    pub proxies: Vec<Host>,
    /// How long requests in flight may take.
    pub timeout: Period,
    /// What happens to those that take longer.
    pub on_timeout: OnTimeout,
    /// Whether the script takes responsibility for what the guard would refuse.
    #[serde(default)]
    pub allow_downtime: bool,
}

/// What a drain does when its time is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnTimeout {
    /// It goes on and says what is cut.
    #[default]
    Proceed,
    /// It fails.
    Fail,
}

impl Drain {
    /// What takes back the weights that it took at one proxy.
    pub fn inverse(&self, proxy: &Host, before: &RouteTable) -> Op {
        let shares = before.shares.get(&self.host.name).cloned().unwrap_or_default();
        SetWeights {
            proxy: proxy.clone(),
            project: self.project.clone(),
            service: self.service.clone(),
            front: before.front.clone(),
            changes: [(self.host.name.clone(), shares)].into(),
            hosts: vec![self.host.clone()],
            allow_downtime: self.allow_downtime,
            removes_empty: false,
        }
        .into()
    }
    pub(super) fn describe(&self) -> String {
        format!("{}, at most {}", list(&self.containers), self.timeout)
    }
    pub(super) fn host(&self) -> Option<&Host> {
        Some(&self.host)
    }
}

/// How a drain went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Drained {
    /// How long it took, in seconds.
    pub waited: f64,
    /// How many connections were still open when the time was over.
    pub cut: u64,
}

/// Stops containers: SIGTERM, then SIGKILL after the service's `stop_timeout`; they are kept, and a reboot does not start them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stop {
    /// The host.
    pub host: Host,
    /// The project.
    pub project: ProjectName,
    /// The service.
    pub service: ServiceName,
    /// The containers.
    pub containers: Vec<ContainerName>,
    /// The proxies that serve them, for the guard.
    pub proxies: Vec<Host>,
    /// How long SIGTERM has.
    pub timeout: Period,
    /// Whether the script takes responsibility for what the guard would refuse.
    #[serde(default)]
    pub allow_downtime: bool,
}

impl Stop {
    /// What takes it back: those of its containers that ran are started again and checked.
    pub fn inverse(&self, running: &[Container]) -> Vec<Op> {
        let Some(first) = running.first() else { return Vec::new() };
        let containers: Vec<ContainerName> = running.iter().map(|container| container.name.clone()).collect();
        let (host, project, service) = (self.host.clone(), self.project.clone(), self.service.clone());
        vec![
            StartAgain {
                host: host.clone(),
                project: project.clone(),
                service: service.clone(),
                containers: containers.clone(),
                proxies: self.proxies.clone(),
                restart: None,
            }
            .into(),
            Healthcheck { host, project, service, containers, health: first.health.clone() }.into(),
        ]
    }
    pub(super) fn describe(&self) -> String {
        list(&self.containers)
    }
    pub(super) fn host(&self) -> Option<&Host> {
        Some(&self.host)
    }
}

/// Deletes containers, running ones too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Remove {
    /// The host.
    pub host: Host,
    /// The project.
    pub project: ProjectName,
    /// The service.
    pub service: ServiceName,
    /// The containers.
    pub containers: Vec<ContainerName>,
    /// The proxies that serve them, for the guard.
    pub proxies: Vec<Host>,
    /// Whether the script takes responsibility for what the guard would refuse.
    #[serde(default)]
    pub allow_downtime: bool,
}

impl Remove {
    pub(super) fn describe(&self) -> String {
        list(&self.containers)
    }
    pub(super) fn host(&self) -> Option<&Host> {
        Some(&self.host)
    }
}

/// Starts stopped containers again, with weight 0 and their restart policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StartAgain {
    /// The host.
    pub host: Host,
    /// The project.
    pub project: ProjectName,
    /// The service.
    pub service: ServiceName,
    /// The containers.
    pub containers: Vec<ContainerName>,
    /// The proxies that serve them, for the way back.
    pub proxies: Vec<Host>,
    /// The restart policy to give back; not given, the one that they were made with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<String>,
}

impl StartAgain {
    /// What takes it back: those of its containers that did not run are drained and stopped; `running` are those that did.
    pub fn inverse(&self, running: &[Container]) -> Vec<Op> {
        let ran = |name: &ContainerName| running.iter().any(|container| container.name == *name);
        let containers: Vec<ContainerName> = self.containers.iter().filter(|name| !ran(name)).cloned().collect();
        if containers.is_empty() {
            return Vec::new();
        }
        let (host, project, service) = (self.host.clone(), self.project.clone(), self.service.clone());
        vec![
            Drain {
                host: host.clone(),
                project: project.clone(),
                service: service.clone(),
                containers: containers.clone(),
                others: Vec::new(),
                proxies: self.proxies.clone(),
                timeout: Period::seconds(30),
                on_timeout: OnTimeout::Proceed,
                allow_downtime: false,
            }
            .into(),
            Stop { host, project, service, containers, proxies: self.proxies.clone(), timeout: Period::seconds(10), allow_downtime: false }
                .into(),
        ]
    }
    pub(super) fn describe(&self) -> String {
        format!("{} again", list(&self.containers))
    }
    pub(super) fn host(&self) -> Option<&Host> {
        Some(&self.host)
    }
}
