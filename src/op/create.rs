//! Ops that make something.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Drain, FindContext, OnTimeout, Op, Remove, StartAgain, Stop};
use crate::model::{Container, ContainerName, ContainerState, Host, Period, ProjectName, Registry, Service, Text, Version};

/// Builds an image with `docker build`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Build {
    /// The host whose engine builds.
    pub on: Host,
    /// The image's name, without tag.
    pub image: String,
    /// The tag.
    pub version: Version,
    /// The context's folder, relative to the script's.
    pub context: String,
    /// The Dockerfile, relative to the context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dockerfile: Option<String>,
    /// The stage to build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Build arguments.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, Text>,
    /// BuildKit secrets, by id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, Text>,
    /// `OS/ARCHITECTURE`; not given, the engine's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
}

impl Build {
    /// The image's reference.
    pub fn reference(&self) -> String {
        format!("{}:{}", self.image, self.version)
    }

    /// What looks for its context.
    pub fn look(&self) -> FindContext {
        FindContext { context: self.context.clone(), dockerfile: self.dockerfile.clone() }
    }

    pub(super) fn describe(&self) -> String {
        format!("{} from {}", self.reference(), self.context)
    }
    pub(super) fn host(&self) -> Option<&Host> {
        Some(&self.on)
    }
}

/// Puts an image on a host, sending only the layers that it lacks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ship {
    /// The host.
    pub host: Host,
    /// The host whose engine has the image.
    pub from: Host,
    /// The image's reference.
    pub reference: String,
    /// Its content digest.
    pub digest: String,
}

impl Ship {
    pub(super) fn describe(&self) -> String {
        self.reference.clone()
    }
    pub(super) fn host(&self) -> Option<&Host> {
        Some(&self.host)
    }
}

/// What shipping took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shipped {
    /// Bytes sent.
    pub sent: u64,
    /// Bytes of layers that the host had, uncompressed; in a model without layers 0.
    pub reused: u64,
    /// How long it took.
    pub seconds: f64,
}

/// Starts containers on a host, with weight 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// The host.
    pub host: Host,
    /// The project.
    pub project: ProjectName,
    /// The service, with the call's own `env`, `command` and `labels` in it.
    pub service: Service,
    /// The image's reference.
    pub reference: String,
    /// Its content digest; the host's image must have it.
    pub digest: String,
    /// The version.
    pub version: Version,
    /// How many.
    pub replicas: u32,
    /// The container whose configuration is copied in place of the service's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy: Option<CopyOf>,
}

impl Start {
    /// The port that the service's proxy listens on, where it is on the same host: no container is given that one.
    pub fn listens(&self) -> Option<u16> {
        let is_here = |proxy: &Host| proxy.name == self.host.name;
        let has_proxy = self.service.proxies(std::slice::from_ref(&self.host)).iter().any(is_here);
        Some(self.service.listen).filter(|_| self.service.server && has_proxy)
    }

    /// What takes it back: the containers that it made out of the traffic, stopped and deleted.
    pub fn inverse(&self, containers: Vec<ContainerName>) -> Vec<Op> {
        let proxies = self.service.proxies(std::slice::from_ref(&self.host)).to_vec();
        let (host, project, service) = (self.host.clone(), self.project.clone(), self.service.name.clone());
        vec![
            Drain {
                host: host.clone(),
                project: project.clone(),
                service: service.clone(),
                containers: containers.clone(),
                others: Vec::new(),
                proxies: proxies.clone(),
                timeout: Period::seconds(30),
                on_timeout: OnTimeout::Proceed,
                allow_downtime: false,
            }
            .into(),
            Stop {
                host: host.clone(),
                project: project.clone(),
                service: service.clone(),
                containers: containers.clone(),
                proxies: proxies.clone(),
                timeout: self.service.stop_timeout,
                allow_downtime: false,
            }
            .into(),
            Remove { host, project, service, containers, proxies, allow_downtime: false }.into(),
        ]
    }
    pub(super) fn describe(&self) -> String {
        format!("{} × {} {}", self.replicas, self.service.name, self.version)
    }
    pub(super) fn host(&self) -> Option<&Host> {
        Some(&self.host)
    }
}

/// Makes sure that a service runs which others need and no deploy replaces. What it starts is never taken back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Depend {
    /// The host.
    pub host: Host,
    /// The project.
    pub project: ProjectName,
    /// The service.
    pub service: Service,
    /// The image's reference, pulled where the host lacks it.
    pub reference: String,
    /// Its content digest, where it is known.
    pub digest: String,
    /// The version.
    pub version: Version,
    /// The registry that it is pulled from, where the script has told who logs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<Registry>,
}

impl Depend {
    /// Those of the service's containers that are the dependency: all that run or are being restarted, else the newest stopped
    /// ones, else `None`.
    pub fn choose(&self, there: &[Container]) -> Option<Vec<Container>> {
        let alive = |container: &&Container| matches!(container.state, ContainerState::Running | ContainerState::Restarting);
        let running: Vec<Container> = there.iter().filter(alive).cloned().collect();
        if !running.is_empty() {
            return Some(running);
        }
        let newest = there.iter().max_by_key(|container| (&container.deployed_at, &container.run))?;
        Some(there.iter().filter(|container| (&container.run, &container.version) == (&newest.run, &newest.version)).cloned().collect())
    }

    /// What starts those again that do not run.
    pub fn again(&self, containers: &[Container]) -> StartAgain {
        let alive = |container: &&Container| matches!(container.state, ContainerState::Running | ContainerState::Restarting);
        let stopped = containers.iter().filter(|container| !alive(container));
        StartAgain {
            host: self.host.clone(),
            project: self.project.clone(),
            service: self.service.name.clone(),
            containers: stopped.map(|container| container.name.clone()).collect(),
            proxies: Vec::new(),
            restart: None,
        }
    }

    /// What starts it where there is nothing of it.
    pub fn start(&self) -> Start {
        Start {
            host: self.host.clone(),
            project: self.project.clone(),
            service: self.service.clone(),
            reference: self.reference.clone(),
            digest: self.digest.clone(),
            version: self.version.clone(),
            replicas: self.service.replicas,
            copy: None,
        }
    }
    pub(super) fn describe(&self) -> String {
        format!("{} {}", self.service.name, self.version)
    }
    pub(super) fn host(&self) -> Option<&Host> {
        Some(&self.host)
    }
}

/// A container whose image, env and health check are copied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CopyOf {
    /// The host that it is on.
    pub host: Host,
    /// The container.
    pub container: ContainerName,
}
