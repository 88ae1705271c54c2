//! One run at a time: who may change a service on a host.

use serde::{Deserialize, Serialize};

use super::{
    name::{RunId, ServiceName},
    quantity::Period,
};

/// A run's lease of a service on a host, as it was when it was read. All times are the host's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The service.
    pub service: ServiceName,
    /// The run that has it.
    pub run: RunId,
    /// Who runs it: `user@machine`.
    pub owner: String,
    /// What for: the script and its arguments.
    pub purpose: String,
    /// Since when, in RFC 3339, UTC.
    pub since: String,
    /// How long ago that is.
    pub age: Period,
    /// How long it is in force unless it is renewed; zero where it ran out or was left.
    pub remaining: Period,
    /// Whether its run was interrupted and left it behind, so that the next run meets it.
    #[serde(default)]
    pub left: bool,
    /// Which change of the lease it is; it only grows.
    pub generation: u64,
}

impl Lease {
    /// Whether its run is at work, as far as the host knows.
    pub fn is_in_force(&self) -> bool {
        self.remaining > Period::default()
    }
}
