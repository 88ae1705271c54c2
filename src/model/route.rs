//! How a proxy splits a service's traffic: the table that is the truth about what is live.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::{
    name::{ContainerName, HostName, ProjectName, ServiceName, Token},
    preview::{Mark, Preview},
    release::ReleaseId,
    service::Tls,
};

/// Where a proxy reaches a container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// The container.
    pub container: ContainerName,
    /// The address that it publishes its port on.
    pub address: String,
    /// That port.
    pub port: u16,
}

/// What one release gets of one host's share, and through which containers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The release.
    #[serde(flatten)]
    pub release: ReleaseId,
    /// Its weight against the other releases on the same host, over 0; divided among its containers.
    pub weight: u64,
    /// Its containers on that host.
    pub containers: Vec<Endpoint>,
}

/// One service's routes at one proxy: what the first line of the proxy's file carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTable {
    /// The project.
    pub project: ProjectName,
    /// The service.
    pub service: ServiceName,
    /// Grows by one with each change; a change names the generation that it replaces.
    pub generation: u64,
    /// The call that wrote it.
    pub token: Token,
    /// The front: what clients reach it by.
    pub front: Front,
    /// Shares by the containers' host. Hosts and releases without traffic are left out.
    pub shares: BTreeMap<HostName, Vec<Share>>,
    /// What requests with a mark reach besides, by the containers' host.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub previews: BTreeMap<HostName, Vec<Preview>>,
}

/// What clients reach a service by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Front {
    /// The domain; without one it is the default of its port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// The port that the proxy listens on.
    pub listen: u16,
    /// A certificate and key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Whether podlift writes the server block.
    pub server: bool,
    /// The cookie that keeps a visitor with a release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky: Option<String>,
}

impl Front {
    /// Whether clients that reach this one by its server block would reach the other one by its own.
    pub fn is_reached_like(&self, other: &Self) -> bool {
        self.server && other.server && (self.listen, &self.domain) == (other.listen, &other.domain)
    }
}

impl fmt::Display for Front {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { domain, listen, tls, server, sticky } = self;
        write!(formatter, "{} on port {listen}", domain.as_deref().unwrap_or("any name"))?;
        if let Some(tls) = tls {
            write!(formatter, " with {}", tls.certificate)?;
        }
        if let Some(cookie) = sticky {
            write!(formatter, ", sticky by {cookie}")?;
        }
        if *server { Ok(()) } else { formatter.write_str(", in a server block of its host's") }
    }
}

/// One line of an upstream: an endpoint and its weight against all others of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server<'a> {
    /// The host of its container.
    pub host: &'a HostName,
    /// The release that it belongs to.
    pub release: &'a ReleaseId,
    /// Where it is.
    pub endpoint: &'a Endpoint,
    /// Its weight, over 0, the smallest whole numbers that keep the proportions.
    pub weight: u64,
}

impl RouteTable {
    /// The table of a service that a proxy does not know yet.
    pub fn empty(project: &ProjectName, service: &ServiceName, front: &Front, token: &Token) -> Self {
        Self {
            project: project.clone(),
            service: service.clone(),
            generation: 0,
            token: token.clone(),
            front: front.clone(),
            shares: BTreeMap::new(),
            previews: BTreeMap::new(),
        }
    }

    /// The upstream's lines: every host with any weight has an equal share of the whole, each of its releases its part of
    /// that in proportion, each container an equal part of its release's. Proportions are kept exactly.
    pub fn servers(&self) -> Vec<Server<'_>> {
        // A container's part of the whole is (1 / hosts) * (weight / host's sum) / containers, so over the common
        // denominator of all hosts it is a whole number.
        let parts: Vec<_> = self
            .shares
            .iter()
            .flat_map(|(host, shares)| {
                let sum: u128 = shares.iter().filter(|share| !share.containers.is_empty()).map(|share| u128::from(share.weight)).sum();
                shares.iter().filter(|share| share.weight > 0).flat_map(move |share| {
                    let denominator = sum * share.containers.len() as u128;
                    share.containers.iter().map(move |endpoint| (host, share, endpoint, denominator))
                })
            })
            .collect();
        let common = parts.iter().fold(1u128, |common, (.., denominator)| lcm(common, *denominator));
        let weights: Vec<u128> = parts.iter().map(|(_, share, _, denominator)| u128::from(share.weight) * (common / denominator)).collect();
        let divisor = weights.iter().copied().fold(0, gcd).max(1);
        // nginx keeps a weight in a signed machine word and adds all of them up; beyond that exactness has to give way.
        let largest = weights.iter().copied().max().unwrap_or(1) / divisor;
        let scale = largest.div_ceil(1_000_000).max(1);
        parts
            .into_iter()
            .zip(weights)
            .map(|((host, share, endpoint, _), weight)| Server {
                host,
                release: &share.release,
                endpoint,
                weight: u64::try_from((weight / divisor / scale).max(1)).expect("it was scaled under a million"),
            })
            .collect()
    }

    /// The weight that this container has in its host's share (its release's), 0 where it gets no traffic.
    pub fn weight_of(&self, host: &HostName, container: &ContainerName) -> u64 {
        self.share_of(host, container).map_or(0, |share| share.weight)
    }

    /// The share that this container is part of.
    pub fn share_of(&self, host: &HostName, container: &ContainerName) -> Option<&Share> {
        self.shares.get(host)?.iter().find(|share| share.containers.iter().any(|endpoint| &endpoint.container == container))
    }

    /// Whether anything gets traffic.
    pub fn serves(&self) -> bool {
        self.shares.values().flatten().any(|share| share.weight > 0 && !share.containers.is_empty())
    }

    /// Whether any container would get traffic if these were taken out, on whichever hosts they are.
    pub fn serves_without(&self, containers: &[ContainerName]) -> bool {
        let left = |share: &Share| share.containers.iter().any(|endpoint| !containers.contains(&endpoint.container));
        self.shares.values().flatten().any(|share| share.weight > 0 && left(share))
    }

    /// The marks by which this container is previewed, in words.
    pub fn marks_of(&self, host: &HostName, container: &ContainerName) -> Vec<String> {
        let previews = self.previews.get(host).into_iter().flatten();
        let of = previews.filter(|preview| preview.containers.iter().any(|endpoint| &endpoint.container == container));
        of.map(|preview| preview.mark.to_string()).collect()
    }

    /// Whether it has nothing to say: no traffic, and no preview.
    pub fn is_empty(&self) -> bool {
        self.shares.is_empty() && self.previews.is_empty()
    }

    /// Whether another table sends every request to the same containers.
    pub fn routes_like(&self, other: &Self) -> bool {
        self.shares == other.shares && self.previews == other.previews && self.front == other.front
    }

    /// The table after these hosts' shares were replaced; shares without weight or containers are left out, and the previews of
    /// what has weight now have ended.
    #[must_use]
    pub fn with(&self, changes: &BTreeMap<HostName, Vec<Share>>) -> Self {
        let mut table = self.clone();
        for (host, new) in changes {
            let kept: Vec<Share> = new.iter().filter(|share| share.weight > 0 && !share.containers.is_empty()).cloned().collect();
            let served: Vec<ContainerName> =
                kept.iter().flat_map(|share| &share.containers).map(|endpoint| endpoint.container.clone()).collect();
            table.end_previews(host, &served);
            if kept.is_empty() {
                table.shares.remove(host);
            } else {
                table.shares.insert(host.clone(), kept);
            }
        }
        table
    }

    /// The table after these containers were taken out of it, and out of its previews.
    #[must_use]
    pub fn without(&self, host: &HostName, containers: &[ContainerName]) -> Self {
        let mut table = self.clone();
        table.end_previews(host, containers);
        if let Some(of_host) = table.shares.get_mut(host) {
            for share in of_host.iter_mut() {
                share.containers.retain(|endpoint| !containers.contains(&endpoint.container));
            }
            of_host.retain(|share| !share.containers.is_empty());
            if of_host.is_empty() {
                table.shares.remove(host);
            }
        }
        table
    }

    /// The table after a mark leads to these releases on the named hosts, and to nothing else there.
    #[must_use]
    pub fn previewing(&self, mark: &Mark, changes: &BTreeMap<HostName, Vec<Preview>>) -> Self {
        let mut table = self.clone();
        for (host, new) in changes {
            let of_host = table.previews.entry(host.clone()).or_default();
            of_host.retain(|preview| preview.mark != *mark);
            of_host.extend(new.iter().filter(|preview| !preview.containers.is_empty()).cloned());
            if of_host.is_empty() {
                table.previews.remove(host);
            }
        }
        table
    }

    fn end_previews(&mut self, host: &HostName, containers: &[ContainerName]) {
        let Some(of_host) = self.previews.get_mut(host) else { return };
        for preview in of_host.iter_mut() {
            preview.containers.retain(|endpoint| !containers.contains(&endpoint.container));
        }
        of_host.retain(|preview| !preview.containers.is_empty());
        if of_host.is_empty() {
            self.previews.remove(host);
        }
    }
}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The least common multiple, or the larger of the two where it would not fit.
fn lcm(a: u128, b: u128) -> u128 {
    if a == 0 || b == 0 {
        return a.max(b).max(1);
    }
    (a / gcd(a, b)).checked_mul(b).filter(|multiple| *multiple < 1 << 96).unwrap_or(a.max(b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::name::{RunId, Version},
        *,
    };

    fn share(version: &str, weight: u64, containers: usize) -> Share {
        let endpoint = |n| Endpoint {
            container: ContainerName::new(format!("shop-web-{version}-0123456789-{n}")).expect("valid"),
            address: "127.0.0.1".into(),
            port: 20000,
        };
        let release = ReleaseId { run: RunId::new("r1").expect("valid"), version: Version::new(version).expect("valid") };
        Share { release, weight, containers: (1..=containers).map(endpoint).collect() }
    }

    fn table(shares: Vec<Vec<Share>>) -> RouteTable {
        RouteTable {
            project: ProjectName::default(),
            service: ServiceName::new("web").expect("valid"),
            generation: 1,
            token: Token::new("0123456789").expect("valid"),
            front: Front { domain: None, listen: 80, tls: None, server: true, sticky: None },
            shares: shares.into_iter().enumerate().map(|(n, shares)| (HostName::new(format!("h{n}")).expect("valid"), shares)).collect(),
            previews: BTreeMap::new(),
        }
    }

    #[test]
    fn a_releases_weight_is_divided_among_its_containers() {
        let table = table(vec![vec![share("v1", 90, 2), share("v2", 10, 1)]]);
        assert_eq!(table.servers().iter().map(|server| server.weight).collect::<Vec<_>>(), [9, 9, 2]);
    }

    #[test]
    fn behind_a_balancer_every_host_has_an_equal_share() {
        let table = table(vec![vec![share("v2", 100, 3)], vec![share("v1", 7, 2)]]);
        assert_eq!(table.servers().iter().map(|server| server.weight).collect::<Vec<_>>(), [2, 2, 2, 3, 3]);
    }

    #[test]
    fn no_traffic_is_no_line() {
        let table = table(vec![vec![share("v1", 0, 2)]]);
        assert!(table.servers().is_empty());
        assert!(!table.serves());
    }

    #[test]
    fn a_preview_ends_when_its_containers_get_weight_or_leave() {
        let host = HostName::new("h0").expect("valid");
        let (old, new) = (share("v1", 100, 1), share("v2", 100, 2));
        let mark = Mark::header("X-Preview: v2").expect("valid");
        let preview =
            |containers: &[Endpoint]| Preview { mark: mark.clone(), release: new.release.clone(), containers: containers.to_vec() };
        let changes = |preview: Option<Preview>| BTreeMap::from([(host.clone(), preview.into_iter().collect())]);
        let table = table(vec![vec![old.clone()]]).previewing(&mark, &changes(Some(preview(&new.containers))));
        assert_eq!(table.marks_of(&host, &new.containers[1].container), ["X-Preview: v2"]);
        assert_eq!(table.previewing(&mark, &changes(Some(preview(&new.containers[..1])))).previews[&host].len(), 1, "a mark leads to one");
        assert!(table.previewing(&mark, &changes(None)).previews.is_empty());

        let moved = table.with(&BTreeMap::from([(host.clone(), vec![new.clone()])]));
        assert!(moved.previews.is_empty() && moved.serves());
        assert!(!table.with(&BTreeMap::from([(host.clone(), vec![old])])).previews.is_empty());

        let one = table.without(&host, &[new.containers[0].container.clone()]);
        assert_eq!(one.previews[&host][0].containers, new.containers[1..]);
        let none = one.without(&host, &[new.containers[1].container.clone()]);
        assert!(none.previews.is_empty() && none.shares == table.shares);
    }

    proptest! {
        #[test]
        fn proportions_are_exact(hosts in prop::collection::vec(prop::collection::vec((1u64..200, 1usize..6), 1..4), 1..5)) {
            let shares: Vec<Vec<Share>> = hosts.iter().map(|host| host.iter().enumerate().map(|(n, (weight, count))| share(&format!("v{n}"), *weight, *count)).collect()).collect();
            let table = table(shares);
            let servers = table.servers();
            let total: u64 = servers.iter().map(|server| server.weight).sum();
            if servers.iter().any(|server| server.weight > 100_000) { return Ok(()); }
            let mut line = servers.iter();
            for host in &hosts {
                let sum: u64 = host.iter().map(|(weight, _)| weight).sum();
                for (weight, count) in host {
                    for _ in 0..*count {
                        let server = line.next().expect("a line for each container");
                        let wanted = u128::from(total) * u128::from(*weight);
                        let is = u128::from(server.weight) * hosts.len() as u128 * u128::from(sum) * *count as u128;
                        prop_assert_eq!(is, wanted);
                    }
                }
            }
        }
    }
}
