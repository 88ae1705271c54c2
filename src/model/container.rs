//! One replica of a release.

use serde::{Deserialize, Serialize};

use super::{
    health::Health,
    name::{ContainerName, HostName, ProjectName, RunId, ServiceName, Token, Version},
    route::Endpoint,
    shared::Shared,
};

/// A container that podlift made, as its labels and its engine tell.
pub type Container = Shared<ContainerFacts>;

/// What labels and an engine tell of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerFacts {
    /// Its name.
    pub name: ContainerName,
    /// The host that it is on.
    pub host: HostName,
    /// The project it belongs to.
    pub project: ProjectName,
    /// The service it is a replica of.
    pub service: ServiceName,
    /// Its release's version.
    pub version: Version,
    /// The run that made it.
    pub run: RunId,
    /// The call that made it.
    pub token: Token,
    /// Its number among the containers of that call, from 1.
    pub replica: u32,
    /// The image's reference.
    pub image: String,
    /// The image's content digest, empty in a model that has not seen the build.
    #[serde(default)]
    pub digest: String,
    /// The address that it publishes its port on, from the proxies' point of view.
    pub address: String,
    /// The host's port for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// What the engine says of it.
    pub state: ContainerState,
    /// The exit code, once it has stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// The health check that it was started with.
    pub health: Health,
    /// Whether it is a dependency: a deploy leaves it alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dependency: bool,
    /// When it was made, in RFC 3339, UTC.
    pub deployed_at: String,
    /// Who made it.
    pub deployed_by: String,
}

impl Container {
    /// Where a proxy reaches it, if it publishes a port.
    pub fn endpoint(&self) -> Option<Endpoint> {
        let port = self.port?;
        Some(Endpoint { container: self.name.clone(), address: self.address.clone(), port })
    }

    /// Whether it runs, or ended a moment ago and is being started again.
    pub fn is_up(&self) -> bool {
        matches!(self.state, ContainerState::Running | ContainerState::Restarting)
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.state == ContainerState::Running
    }

    /// The name that podlift gives a container: `PROJECT-SERVICE-VERSION-TOKEN-N`.
    pub fn name_for(project: &ProjectName, service: &ServiceName, version: &Version, token: &Token, replica: u32) -> ContainerName {
        ContainerName::new(format!("{project}-{service}-{version}-{token}-{replica}"))
            .expect("its parts have grammars that fit a container's name")
    }
}

/// What an engine says of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerState {
    /// Made, never started.
    Created,
    /// It runs.
    Running,
    /// It crashed, and its engine starts it again.
    Restarting,
    /// It has stopped.
    Stopped,
}

impl ContainerState {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Restarting => "restarting",
            Self::Stopped => "stopped",
        }
    }
}
