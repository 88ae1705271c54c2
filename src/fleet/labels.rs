//! What podlift writes on its containers: all that it later knows of them.

use std::collections::HashMap;

use crate::model::{Container, ContainerName, ContainerState, HostName, ProjectName, RunId, ServiceName, Token, Version};

/// The label that says whose container it is; every other of podlift's begins likewise.
pub const PROJECT: &str = "podlift.project";
/// The label that says of which service it is a replica.
pub const SERVICE: &str = "podlift.service";
/// The label that says which call made it.
pub const TOKEN: &str = "podlift.token";
/// The label that says which port of the host is its.
pub const PORT: &str = "podlift.port";
/// The label that keeps the restart policy while a container is stopped.
pub const RESTART: &str = "podlift.restart";

/// The labels of a container.
pub fn print(container: &Container, restart: &str) -> HashMap<String, String> {
    let mut labels: HashMap<String, String> = [
        (PROJECT, container.project.to_string()),
        (SERVICE, container.service.to_string()),
        ("podlift.version", container.version.to_string()),
        ("podlift.run", container.run.to_string()),
        (TOKEN, container.token.to_string()),
        ("podlift.replica", container.replica.to_string()),
        ("podlift.image", container.image.clone()),
        ("podlift.digest", container.digest.clone()),
        ("podlift.address", container.address.clone()),
        ("podlift.health", serde_json::to_string(&container.health).expect("a health check is plain data")),
        ("podlift.deployed_at", container.deployed_at.clone()),
        ("podlift.deployed_by", container.deployed_by.clone()),
        (RESTART, restart.to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    if let Some(port) = container.port {
        labels.insert(PORT.into(), port.to_string());
    }
    labels
}

/// What an engine says of a container besides its labels.
pub struct Seen {
    /// The container's name, with or without Docker's leading slash.
    pub name: String,
    /// Its state.
    pub state: ContainerState,
    /// Its exit code, once it has stopped.
    pub exit_code: Option<i64>,
}

/// Reads a container from its labels; `None` where they are not podlift's.
pub fn parse(host: &HostName, labels: &HashMap<String, String>, seen: Seen) -> Option<Container> {
    let text = |name: &str| labels.get(name).map(String::as_str);
    let or_empty = |name: &str| text(name).unwrap_or_default().to_owned();
    Some(Container {
        name: ContainerName::new(seen.name.trim_start_matches('/')).ok()?,
        host: host.clone(),
        project: ProjectName::new(text(PROJECT)?).ok()?,
        service: ServiceName::new(text(SERVICE)?).ok()?,
        version: Version::new(text("podlift.version")?).ok()?,
        run: RunId::new(text("podlift.run")?).ok()?,
        token: Token::new(text(TOKEN)?).ok()?,
        replica: text("podlift.replica")?.parse().ok()?,
        image: or_empty("podlift.image"),
        digest: or_empty("podlift.digest"),
        address: or_empty("podlift.address"),
        port: text(PORT).and_then(|port| port.parse().ok()),
        state: seen.state,
        exit_code: seen.exit_code,
        health: serde_json::from_str(text("podlift.health")?).ok()?,
        deployed_at: or_empty("podlift.deployed_at"),
        deployed_by: or_empty("podlift.deployed_by"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Check, Health};

    fn container() -> Container {
        Container {
            name: ContainerName::new("shop-web-v2-0123456789-1").expect("valid"),
            host: HostName::new("h1").expect("valid"),
            project: ProjectName::new("shop").expect("valid"),
            service: ServiceName::new("web").expect("valid"),
            version: Version::new("v2").expect("valid"),
            run: RunId::new("r1").expect("valid"),
            token: Token::new("0123456789").expect("valid"),
            replica: 1,
            image: "shop-web:v2".into(),
            digest: "sha256:abc".into(),
            address: "127.0.0.1".into(),
            port: Some(20000),
            state: ContainerState::Stopped,
            exit_code: Some(137),
            health: Health::new(Check::Http { path: "/health".into(), expect: vec![200] }),
            deployed_at: "2026-01-02T03:04:05Z".into(),
            deployed_by: "me@here".into(),
        }
    }

    #[test]
    fn labels_say_all_of_a_container() {
        let container = container();
        let labels = print(&container, "always");
        let seen = Seen { name: format!("/{}", container.name), state: container.state, exit_code: container.exit_code };
        assert_eq!(parse(&container.host, &labels, seen), Some(container));
        assert_eq!(labels[RESTART], "always");
    }

    #[test]
    fn a_container_of_someone_else_is_none_of_podlifts() {
        let container = container();
        let mut labels = print(&container, "no");
        labels.insert(SERVICE.into(), "a;rm -rf".into());
        assert_eq!(parse(&container.host, &labels, Seen { name: "x".into(), state: ContainerState::Running, exit_code: None }), None);
    }
}
