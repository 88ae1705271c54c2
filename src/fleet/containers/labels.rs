//! What podlift writes on its containers, and reads back: the labels are the fleet's state, there is no other.

use std::collections::HashMap;

use crate::model::{
    Check, Container, ContainerFacts, ContainerName, ContainerState, Health, HostName, ProjectName, RunId, ServiceName, Token, Version,
};

/// The label by which podlift's containers are found.
pub const PROJECT: &str = "podlift.project";
/// The label of the service.
pub const SERVICE: &str = "podlift.service";
/// The label of the restart policy that a stopped container gets back.
pub const RESTART: &str = "podlift.restart";
/// The label of what a deploy leaves alone.
pub const DEPENDENCY: &str = "podlift.dependency";
/// The label of the port on the host.
pub const PORT: &str = "podlift.port";
/// The label of the port inside the container.
pub const INNER_PORT: &str = "podlift.inner_port";

/// A container's labels. The user's own do not stand against podlift's.
pub fn write(
    container: &Container,
    restart: &str,
    inner_port: Option<u16>,
    own: impl IntoIterator<Item = (String, String)>,
) -> HashMap<String, String> {
    let health = serde_json::to_string(&container.health).expect("a health check is plain data");
    let mut labels: HashMap<String, String> = own.into_iter().collect();
    let mut add = |name: &str, value: String| labels.insert(name.to_owned(), value);
    add(PROJECT, container.project.to_string());
    add(SERVICE, container.service.to_string());
    add("podlift.version", container.version.to_string());
    add("podlift.run", container.run.to_string());
    add("podlift.token", container.token.to_string());
    add("podlift.replica", container.replica.to_string());
    add("podlift.image", container.image.clone());
    add("podlift.digest", container.digest.clone());
    add("podlift.address", container.address.clone());
    add("podlift.health", health);
    add("podlift.deployed_at", container.deployed_at.clone());
    add("podlift.deployed_by", container.deployed_by.clone());
    add(RESTART, restart.to_owned());
    if let Some(port) = container.port {
        add(PORT, port.to_string());
    }
    if let Some(port) = inner_port {
        add(INNER_PORT, port.to_string());
    }
    labels
}

#[allow(clippy::implicit_hasher, reason = "the engine's library has its labels in the standard map")]
/// Reads a container back. `None` when a label is missing or no longer fits its grammar: then it is not one of podlift's.
pub fn read(
    host: &HostName,
    name: &str,
    labels: &HashMap<String, String>,
    state: ContainerState,
    exit_code: Option<i64>,
) -> Option<Container> {
    let label = |name: &str| labels.get(name).cloned();
    let health = label("podlift.health").and_then(|text| serde_json::from_str(&text).ok());
    Some(
        ContainerFacts {
            name: ContainerName::new(name.trim_start_matches('/')).ok()?,
            host: host.clone(),
            project: ProjectName::new(label(PROJECT)?).ok()?,
            service: ServiceName::new(label(SERVICE)?).ok()?,
            version: Version::new(label("podlift.version")?).ok()?,
            run: RunId::new(label("podlift.run")?).ok()?,
            token: Token::new(label("podlift.token")?).ok()?,
            replica: label("podlift.replica")?.parse().ok()?,
            image: label("podlift.image")?,
            digest: label("podlift.digest").unwrap_or_default(),
            address: label("podlift.address")?,
            port: label(PORT).and_then(|port| port.parse().ok()),
            state,
            exit_code,
            health: health.unwrap_or_else(|| Health::new(Check::None)),
            dependency: label(DEPENDENCY).is_some(),
            deployed_at: label("podlift.deployed_at").unwrap_or_default(),
            deployed_by: label("podlift.deployed_by").unwrap_or_default(),
        }
        .into(),
    )
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A container for tests.
    pub fn container() -> Container {
        let token = Token::new("0123456789").expect("valid");
        let (project, service) = (ProjectName::new("shop").expect("valid"), ServiceName::new("web").expect("valid"));
        let version = Version::new("v2").expect("valid");
        ContainerFacts {
            name: Container::name_for(&project, &service, &version, &token, 1),
            host: HostName::new("h1").expect("valid"),
            project,
            service,
            version,
            run: RunId::new("r1").expect("valid"),
            token,
            replica: 1,
            image: "shop-web:v2".into(),
            digest: "sha256:ab".into(),
            address: "127.0.0.1".into(),
            port: Some(20000),
            state: ContainerState::Running,
            exit_code: None,
            health: Health::new(Check::Http { path: "/health".into(), expect: vec![200] }),
            dependency: false,
            deployed_at: "2026-01-01T00:00:00Z".into(),
            deployed_by: "me@here".into(),
        }
        .into()
    }

    #[test]
    fn a_container_is_read_back_from_its_labels() {
        let container = container();
        let labels = write(&container, "always", Some(8000), [("podlift.version".into(), "forged".into()), ("team".into(), "a".into())]);
        assert_eq!(labels["team"], "a");
        let read = read(&container.host, "/shop-web-v2-0123456789-1", &labels, ContainerState::Running, None);
        assert_eq!(read, Some(container));
    }

    #[test]
    fn what_does_not_fit_is_not_podlifts() {
        let container = container();
        for (label, value) in [("podlift.version", "v 2"), ("podlift.replica", "-1"), ("podlift.service", "web;rm"), ("podlift.token", "x")]
        {
            let mut labels = write(&container, "always", None, []);
            labels.insert(label.into(), value.into());
            assert_eq!(read(&container.host, "x", &labels, ContainerState::Running, None), None, "{label}={value}");
        }
    }
}
