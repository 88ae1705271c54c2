//! What a host is found to be: all that podlift knows of it, read at once. The world is made of these.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::{
    container::Container,
    history::HistoryEntry,
    lease::Lease,
    name::{ContainerName, ServiceName},
    network::OwnNetwork,
    quantity::Bytes,
    route::{Front, RouteTable},
};

/// A host's state, as far as podlift is concerned. Nothing else of Docker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostState {
    /// Its engine.
    pub engine: Engine,
    /// Its images.
    #[serde(default)]
    pub images: Vec<StoredImage>,
    /// The project's containers.
    #[serde(default)]
    pub containers: BTreeMap<ContainerName, Container>,
    /// The routes of the project's services at its proxy.
    #[serde(default)]
    pub routes: BTreeMap<ServiceName, RouteTable>,
    /// What was deployed, newest first.
    #[serde(default)]
    pub history: BTreeMap<ServiceName, Vec<HistoryEntry>>,
    /// The leases of the project's services.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub leases: BTreeMap<ServiceName, Lease>,
    /// What another's use of the proxy makes impossible: a front (`listen 80 default_server`, `server_name x` on 80) and the file it stands in.
    #[serde(default)]
    pub fronts: Vec<TakenFront>,
    /// The TCP ports that something other than the project's containers has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken_ports: Vec<TakenPort>,
    /// The folder that the proxy's files go to, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_folder: Option<String>,
    /// The network of a proxy that has another than the host's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_network: Option<OwnNetwork>,
    /// The user that podlift is there and that needs `sudo -n` for the proxy; none where it is root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Why the host's proxy cannot be used, where it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_problem: Option<String>,
    /// In a model: whether a command may have put right what is in the way there, of fronts, ports and the proxy.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_differ: bool,
}

impl HostState {
    /// What of another's has this front at its proxy.
    pub fn file_of(&self, front: &Front) -> Option<&TakenFront> {
        self.fronts.iter().find(|taken| front.server && taken.listen == front.listen && taken.domain == front.domain)
    }

    /// Which other service of the project has this front at its proxy.
    pub fn sibling_of(&self, service: &ServiceName, front: &Front) -> Option<&ServiceName> {
        self.routes.values().find(|table| table.service != *service && table.front.is_reached_like(front)).map(|table| &table.service)
    }
}

/// A Docker engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Engine {
    /// Docker's version, for example `20.10.24`.
    pub version: String,
    /// `OS/ARCHITECTURE`, as in an image's platform.
    pub platform: String,
    /// Which image store it has.
    pub store: Store,
    /// Free space where images are kept; not known on every engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free: Option<Bytes>,
    /// How many processors it has, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u64>,
}

impl Default for Engine {
    /// The engine of a modelled host.
    fn default() -> Self {
        Self { version: "28.0.0".into(), platform: "linux/amd64".into(), store: Store::Classic, free: None, cpus: None }
    }
}

/// Docker's two image stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Store {
    /// The graph drivers: overlay2 and others.
    Classic,
    /// containerd's snapshotters, the default from Docker 29.
    Containerd,
}

/// An image that a host has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredImage {
    /// Its references, `NAME:TAG`.
    pub references: Vec<String>,
    /// Its content digest (see [`super::Image::digest`]).
    #[serde(default)]
    pub digest: String,
    /// `OS/ARCHITECTURE`.
    pub platform: String,
    /// Its layers' uncompressed digests, lowest first.
    #[serde(default)]
    pub layers: Vec<String>,
    /// Whether it has a `HEALTHCHECK` that Docker judges its containers by, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<bool>,
}

/// A front that is in use at a proxy by something other than this project's services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenFront {
    /// The port.
    pub listen: u16,
    /// The domain; `None` is the default server of the port.
    pub domain: Option<String>,
    /// The file it is written in.
    pub file: String,
}

/// A TCP port of a host that something other than the project's containers listens on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TakenPort {
    /// The address, or one that stands for all: `0.0.0.0`, `::`.
    pub address: String,
    /// The port.
    pub port: u16,
    /// The container that has it; none where a process of the host does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
}

impl fmt::Display for TakenPort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.container {
            Some(name) => write!(formatter, "the container {name}"),
            None => formatter.write_str("a process"),
        }
    }
}
