//! What is deployed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    health::Health,
    host::Host,
    name::{ServiceName, Version},
    quantity::{Bytes, Period},
    route::Front,
    shared::Shared,
    text::Text,
};

/// A service as its script declares it.
pub type Service = Shared<ServiceFacts>;

/// What a script says of a service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceFacts {
    /// Its name.
    pub name: ServiceName,
    /// The image name that it is built under, without tag.
    pub image: String,
    /// The port that it listens on inside the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Containers on each host.
    pub replicas: u32,
    /// The program and arguments in place of the image's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<Text>>,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Text>,
    /// How its containers show that they can serve.
    pub health: Health,
    /// Docker volumes and mounts, `SOURCE:TARGET[:OPTIONS]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<String>,
    /// The Docker network that it joins, with its name as alias.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// A fixed port on the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publish: Option<u16>,
    /// The most memory that a container may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Bytes>,
    /// Thousandths of a processor that a container may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u64>,
    /// Docker's restart policy.
    pub restart: String,
    /// How long SIGTERM has before SIGKILL.
    pub stop_timeout: Period,
    /// Further labels on its containers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The domain that the proxy knows it by; without one it is the default of its port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// The port that the proxy listens on for it.
    pub listen: u16,
    /// Which proxies serve it.
    #[serde(default)]
    pub balancer: Balancer,
    /// TLS at the proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Whether podlift writes the proxy's server block, or only the upstream and a snippet for the user's own.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub server: bool,
    /// Further fields of Docker's `HostConfig` as a JSON object's text, so that a service stays comparable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<String>,
}

impl Service {
    /// The proxies that serve containers on `hosts`.
    pub fn proxies<'a>(&'a self, hosts: &'a [Host]) -> &'a [Host] {
        match &self.balancer {
            _ if self.port.is_none() => &[],
            Balancer::Each => hosts,
            Balancer::Hosts(balancers) => balancers,
            Balancer::None => &[],
        }
    }

    /// What clients reach it by at its proxies, whichever release a visitor stays with.
    pub fn front(&self) -> Front {
        Front { domain: self.domain.clone(), listen: self.listen, tls: self.tls.clone(), server: self.server, sticky: None }
    }

    /// What its containers of a version call themselves in a database, unless they say otherwise: `SERVICE@VERSION`, cut to
    /// what Postgres keeps of a name (63 bytes).
    pub fn application_name(name: &ServiceName, version: &Version) -> String {
        format!("{name}@{version}").chars().take(63).collect()
    }

    /// Whether a proxy splits its traffic.
    pub fn has_proxy(&self) -> bool {
        self.port.is_some() && self.balancer != Balancer::None
    }
}

/// Which proxies serve a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Balancer {
    /// Every host's proxy serves its own containers.
    #[default]
    Each,
    /// These hosts' proxies serve all containers.
    Hosts(Vec<Host>),
    /// No proxy.
    None,
}

/// A certificate and its key, by their paths on the proxy's host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate chain's path.
    pub certificate: String,
    /// The key's path.
    pub key: String,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_true(value: &bool) -> bool {
    *value
}
