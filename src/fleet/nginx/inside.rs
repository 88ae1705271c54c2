//! nginx in a Docker container: which of its folders are the host's, and how the host reaches it.

use std::net::IpAddr;

use super::look::Problem;
use crate::model::OwnNetwork;

/// What a container is for the nginx in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inside {
    /// The container's name.
    pub name: String,
    /// Its mounts: the path in it, and the path on the host, or nothing where it is the container's alone (a `tmpfs`).
    mounts: Vec<(String, Option<String>)>,
    /// Its network.
    network: Network,
    /// nginx's master process, by its number on the host.
    pub master: Option<String>,
}

/// Which network a container has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Network {
    /// The host's own.
    #[default]
    Host,
    /// One of its own: the container's address and the host's, as each other sees them.
    Own { address: String, gateway: String },
    /// One that the host has no address in, such as another container's.
    Elsewhere(String),
}

impl Inside {
    /// A container that nothing is known of yet.
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Notes a mount, as `DESTINATION<TAB>SOURCE`, the source empty where nothing of the host is mounted.
    pub fn note_mount(&mut self, text: &str) {
        if let Some((inside, outside)) = text.split_once('\t') {
            let outside = (!outside.is_empty()).then(|| outside.trim_end_matches('/').to_owned());
            self.mounts.push((inside.trim_end_matches('/').into(), outside));
        }
    }

    /// Notes the networks: Docker's network mode, then an address and a gateway for each of them. The first that has both counts, else
    /// the first that has an address.
    pub fn note_network(&mut self, text: &str) {
        let (mode, rest) = text.split_once(' ').unwrap_or((text, ""));
        // Docker has words too for an address that there is none of.
        let rest = rest.replace("invalid IP", "");
        let words: Vec<&str> = rest.split(' ').map(|word| if word.parse::<IpAddr>().is_ok() { word } else { "" }).collect();
        let networks = || words.chunks(2).map(|pair| (pair[0], pair.get(1).copied().unwrap_or_default())).filter(|pair| !pair.0.is_empty());
        let network = networks().find(|(_, gateway)| !gateway.is_empty()).or_else(|| networks().next());
        self.network = match (mode, network) {
            ("host", _) => Network::Host,
            (_, Some((address, gateway))) => Network::Own { address: address.into(), gateway: gateway.into() },
            (mode, None) => Network::Elsewhere(mode.into()),
        };
    }

    /// The path on the host of a path in the container, where that is the host's: by the innermost mount.
    pub fn on_host(&self, path: &str) -> Option<String> {
        let within = |(inside, outside): &(String, Option<String>)| {
            let rest = path.strip_prefix(inside.as_str())?;
            let there = || outside.as_ref().map(|outside| format!("{outside}{rest}"));
            (rest.is_empty() || rest.starts_with('/')).then(|| (inside.len(), there()))
        };
        self.mounts.iter().filter_map(within).max().and_then(|(_, path)| path)
    }

    /// The same, or the path by which the host's root sees what belongs to the container alone.
    pub fn seen_from_host(&self, path: &str) -> String {
        let alone = || format!("/proc/{}/root{path}", self.master.as_deref().unwrap_or("0"));
        self.on_host(path).unwrap_or_else(alone)
    }

    /// Whether the loopback interface in it is another than the host's.
    pub fn has_own_loopback(&self) -> bool {
        self.network != Network::Host
    }

    /// Where the host reaches what listens in it.
    pub fn address(&self) -> &str {
        match &self.network {
            Network::Own { address, .. } => address,
            Network::Host | Network::Elsewhere(_) => "127.0.0.1",
        }
    }

    /// Why podlift's files cannot go to this folder, where that is so.
    pub fn problem(&self, folder: &str) -> Option<Problem> {
        let name = &self.name;
        if let Network::Elsewhere(mode) = &self.network {
            let message = format!("the container {name} has the network {mode}, in which the host does not reach nginx");
            return Some(Problem { message, words: String::new(), hint: "start it with `--network host`".into() });
        }
        if self.on_host(folder).is_none() {
            let message = format!("{folder} is a folder of the container {name} alone, and is lost with it");
            let hint = format!("start the container with a folder of the host there, such as `--volume /srv/nginx:{folder}`");
            return Some(Problem { message, words: String::new(), hint });
        }
        None
    }

    /// Its network, where it is another than the host's.
    pub fn own_network(&self) -> Option<OwnNetwork> {
        match &self.network {
            Network::Own { gateway, .. } => {
                let gateway = Some(gateway.clone()).filter(|gateway| !gateway.is_empty());
                Some(OwnNetwork { container: self.name.clone(), gateway })
            }
            Network::Host | Network::Elsewhere(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(network: &str) -> Inside {
        let mut inside = Inside { master: Some("42".into()), ..Inside::new("edge") };
        inside.note_network(network);
        inside.note_mount("/etc/nginx\t/srv/edge/");
        inside.note_mount("/etc/nginx/conf.d\t/srv/routes");
        inside
    }

    #[test]
    fn the_innermost_mount_tells_where_a_path_is() {
        let inside = inside("host");
        assert_eq!(inside.on_host("/etc/nginx/conf.d/a.conf").as_deref(), Some("/srv/routes/a.conf"));
        assert_eq!(inside.on_host("/etc/nginx/http.d").as_deref(), Some("/srv/edge/http.d"));
        assert_eq!(inside.on_host("/etc/nginx2"), None);
        assert_eq!(inside.seen_from_host("/var/log/nginx"), "/proc/42/root/var/log/nginx");
    }

    #[test]
    fn a_mount_of_nothing_of_the_hosts_is_the_containers_alone() {
        let mut inside = inside("host");
        inside.note_mount("/etc/nginx/conf.d/memory\t");
        inside.note_mount("/all\t/");
        assert_eq!(inside.on_host("/etc/nginx/conf.d/memory/a.conf"), None, "it shadows what is mounted around it");
        assert_eq!(inside.seen_from_host("/etc/nginx/conf.d/memory"), "/proc/42/root/etc/nginx/conf.d/memory");
        assert!(inside.problem("/etc/nginx/conf.d/memory").is_some());
        assert_eq!(inside.on_host("/all/etc").as_deref(), Some("/etc"), "the host's root is something of the host's");
    }

    #[test]
    fn only_an_address_is_an_address() {
        assert!(inside("none invalid IP invalid IP").problem("/etc/nginx/conf.d").is_some());
        let unknown = inside("bridge 172.17.0.2 invalid IP");
        assert_eq!(unknown.own_network(), Some(OwnNetwork { container: "edge".into(), gateway: None }));
        assert_eq!(unknown.network, Network::Own { address: "172.17.0.2".into(), gateway: String::new() });
    }

    #[test]
    fn of_several_networks_the_one_with_an_address_and_a_gateway_counts() {
        let own = |address: &str, gateway: &str| Network::Own { address: address.into(), gateway: gateway.into() };
        let both = own("172.18.0.2", "172.18.0.1");
        for networks in ["172.18.0.2 172.18.0.1 172.19.0.2 172.19.0.1", "  172.18.0.2 172.18.0.1", "172.19.0.2  172.18.0.2 172.18.0.1"] {
            assert_eq!(inside(&format!("shop {networks}")).network, both, "{networks:?}");
        }
        assert_eq!(inside("shop invalid IP invalid IP 172.18.0.2 172.18.0.1").network, both);
        assert_eq!(inside("shop 172.19.0.2 ").network, own("172.19.0.2", ""));
        assert_eq!(inside("shop    ").network, Network::Elsewhere("shop".into()));
    }

    #[test]
    fn a_folder_of_its_own_is_refused_because_it_is_lost_with_it() {
        assert_eq!(inside("host").problem("/etc/nginx/conf.d"), None);
        let problem = inside("host").problem("/opt/conf.d").expect("a problem");
        assert_eq!(problem.message, "/opt/conf.d is a folder of the container edge alone, and is lost with it");
    }

    #[test]
    fn its_network_tells_how_the_host_reaches_it() {
        assert_eq!(inside("host  ").address(), "127.0.0.1");
        assert!(!inside("host  ").has_own_loopback());
        let bridged = inside("default 172.17.0.2 172.17.0.1");
        assert_eq!((bridged.address(), bridged.has_own_loopback()), ("172.17.0.2", true));
        let shared = inside("container:abc").problem("/etc/nginx/conf.d").expect("a problem");
        assert!(shared.message.contains("container:abc"), "{}", shared.message);
    }
}
