//! Ops that wait.

use serde::{Deserialize, Serialize};

use super::list;
use crate::model::{ContainerName, Health, Host, Period, ProjectName, ServiceName};

/// Waits until every one of these containers is healthy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Healthcheck {
    /// The host.
    pub host: Host,
    /// The project.
    pub project: ProjectName,
    /// The service.
    pub service: ServiceName,
    /// The containers.
    pub containers: Vec<ContainerName>,
    /// The health check that they were started with, with the call's own times over its.
    pub health: Health,
}

impl Healthcheck {
    pub(super) fn describe(&self) -> String {
        format!("{}, at most {}", list(&self.containers), self.health.timeout)
    }
    pub(super) fn host(&self) -> Option<&Host> {
        Some(&self.host)
    }
}

/// How a wait for health went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Checks {
    /// How long it took until the last was healthy.
    pub seconds: f64,
    /// How many checks were made.
    pub checks: u64,
}

/// Waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pause {
    /// How long.
    pub period: Period,
}

impl Pause {
    pub(super) fn describe(&self) -> String {
        self.period.to_string()
    }
    pub(super) fn host(&self) -> Option<&Host> {
        None
    }
}
