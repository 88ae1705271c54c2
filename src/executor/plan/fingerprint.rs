//! What a plan remembers of a host.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::hex;
use crate::model::{HostState, ProjectName, RouteTable, ServiceName};

/// A host's state, part by part, each as a hash: two are equal where a run would meet the same host. What changes by itself
/// (free disk) and what a deploy puts there beforehand (images) are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(BTreeMap<String, String>);

impl Fingerprint {
    /// The fingerprint of a host as this project sees it.
    pub fn of(state: &HostState, project: &ProjectName) -> Self {
        let mut parts = BTreeMap::new();
        let engine = &state.engine;
        parts.insert("the engine".to_owned(), hash(&(&engine.version, &engine.platform, engine.store)));
        parts.insert("the proxy".to_owned(), hash(&(&state.fronts, &state.proxy_folder, &state.proxy_problem)));
        if let Some(network) = &state.proxy_network {
            parts.insert("the proxy's network".to_owned(), hash(network));
        }
        let containers = || state.containers.values().filter(|container| container.project == *project);
        let services: BTreeSet<_> = containers().map(|container| &container.service).collect();
        for service in services {
            let of_service: Vec<_> = containers()
                .filter(|container| container.service == *service)
                .map(|container| (&container.name, &container.state))
                .collect();
            parts.insert(format!("the containers of {service}"), hash(&of_service));
        }
        for RouteTable { service, generation, front, shares, .. } in state.routes.values().filter(|table| table.project == *project) {
            parts.insert(format!("the traffic of {service}"), hash(&(generation, front, shares)));
        }
        for (service, entries) in state.history.iter().filter(|(_, entries)| !entries.is_empty()) {
            parts.insert(format!("the history of {service}"), hash(entries));
        }
        Self(parts)
    }

    /// The parts that are not the same in the other.
    pub fn differences<'a>(&'a self, other: &'a Self) -> Vec<&'a str> {
        let names: BTreeSet<&String> = self.0.keys().chain(other.0.keys()).collect();
        names.into_iter().filter(|name| self.0.get(*name) != other.0.get(*name)).map(String::as_str).collect()
    }

    /// Those of them that are about this service.
    pub fn differences_of<'a>(&'a self, other: &'a Self, service: &ServiceName) -> Vec<&'a str> {
        let about = format!(" of {service}");
        self.differences(other).into_iter().filter(|name| name.ends_with(&about)).collect()
    }
}

/// The first 16 digits of a hash of the value's JSON.
fn hash(value: &impl Serialize) -> String {
    let text = serde_json::to_vec(value).expect("a host's state is plain data");
    hex(&Sha256::digest(text)[..8])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Bytes, HistoryEntry, RunId, StoredImage, Version};

    #[test]
    fn what_a_run_would_meet_differently_is_named() {
        let project = ProjectName::default();
        let mut state = HostState::default();
        let before = Fingerprint::of(&state, &project);
        state.engine.free = Some(Bytes(1));
        state.images.push(StoredImage {
            references: vec!["web:v1".into()],
            digest: String::new(),
            platform: String::new(),
            layers: Vec::new(),
            healthcheck: None,
        });
        assert_eq!(before, Fingerprint::of(&state, &project));
        let entry = HistoryEntry {
            version: Version::new("v1").expect("valid"),
            image: "web:v1".into(),
            run: RunId::new("r1").expect("valid"),
            at: String::new(),
            by: String::new(),
        };
        state.history.insert(ServiceName::new("web").expect("valid"), vec![entry]);
        state.engine.version = "29.0.0".into();
        let now = Fingerprint::of(&state, &project);
        assert_eq!(before.differences(&now), ["the engine", "the history of web"]);
        let of = |service: &str| before.differences_of(&now, &ServiceName::new(service).expect("valid"));
        assert_eq!((of("web"), of("eb")), (vec!["the history of web"], vec![]));
    }
}
