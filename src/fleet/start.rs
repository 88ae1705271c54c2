//! Starting containers: all that an op asks for, or none.
#![expect(clippy::disallowed_types, reason = "fleet/ speaks to engines")]

use std::collections::{BTreeSet, HashMap};

use bollard::{
    Docker,
    errors::Error,
    models::{
        ContainerConfig, ContainerCreateBody, EndpointSettings, HostConfig, HostConfigLogConfig, NetworkCreateRequest, NetworkingConfig,
        PortBinding,
    },
    query_parameters::{CreateContainerOptionsBuilder, ListContainersOptionsBuilder},
};
use serde_json::Value;

use super::{Connection, Fleet, Secrets, containers, images, labels, ports, trouble};
use crate::{
    executor::Progress,
    failure::{Failure, FailureKind},
    model::{Container, ContainerName, ContainerState, Health, Host, RunInfo, Service, Text, Token},
    op::{CopyOf, Start},
};

/// How often another port is tried when somebody else was faster.
const TRIES: usize = 20;

/// Starts an op's containers with weight 0. Containers that this token made before are adopted; if one cannot be started, those
/// of this token are removed.
pub async fn start(fleet: &Fleet, op: &Start, token: &Token, run: &RunInfo, progress: &dyn Progress) -> Result<Vec<Container>, Failure> {
    let connection = fleet.host(&op.host).await?;
    let plan = Plan::make(fleet, &connection, op, token, run).await?;
    let names: Vec<ContainerName> = (1..=op.replicas).map(|replica| plan.name(replica)).collect();
    for (replica, name) in (1..=op.replicas).zip(&names) {
        progress.doing(&format!("{replica} of {}", op.replicas));
        progress.sent(op.host.name.as_str(), &format!("docker run {name} {}", op.reference));
        if let Err(failure) = plan.start_one(replica, name).await {
            return Err(match containers::remove(&connection, &names).await {
                Ok(()) => failure,
                Err(cleaning) => failure.hint(format!("remove what was left: {cleaning}")),
            });
        }
    }
    Ok(containers::inspect_all(&connection, &names).await?.into_iter().map(|inspected| inspected.container).collect())
}

/// What the containers of one op have in common.
struct Plan<'a> {
    connection: &'a Connection,
    docker: Docker,
    op: &'a Start,
    token: &'a Token,
    run: &'a RunInfo,
    image: String,
    digest: String,
    health: Health,
    env: Vec<String>,
    command: Option<Vec<String>>,
    host_config: HostConfig,
}

impl<'a> Plan<'a> {
    async fn make(fleet: &Fleet, connection: &'a Connection, op: &'a Start, token: &'a Token, run: &'a RunInfo) -> Result<Self, Failure> {
        let docker = connection.docker().await?;
        let secrets = fleet.secrets();
        let mut env = environment(secrets, &op.service)?;
        let mut command = op.service.command.as_ref().map(|words| resolve_all(secrets, words)).transpose()?;
        let mut health = op.service.health.clone();
        let mut digest = op.digest.clone();
        if let Some(copy) = &op.copy {
            let copied = Copied::read(fleet, copy).await?;
            env = copied.config.env.unwrap_or_default();
            command = copied.config.cmd;
            health = copied.container.health;
            if digest.is_empty() {
                digest = copied.container.digest;
            }
        }
        let (image, found) = find_image(&docker, op, &digest).await.map_err(|failure| failure.on(&op.host.name))?;
        if let Some(network) = &op.service.network {
            ensure_network(&docker, &op.host, network).await?;
        }
        let host_config = host_config(&op.service).map_err(|failure| failure.on(&op.host.name))?;
        Ok(Self { connection, docker, op, token, run, image, digest: found, health, env, command, host_config })
    }

    fn name(&self, replica: u32) -> ContainerName {
        Container::name_for(&self.op.project, &self.op.service.name, &self.op.version, self.token, replica)
    }

    async fn start_one(&self, replica: u32, name: &ContainerName) -> Result<(), Failure> {
        let host = &self.op.host;
        let failed = |error: &Error| trouble::engine(host, &format!("{name} was not started"), error);
        if let Some(found) = containers::inspect(self.connection, name).await? {
            if found.container.state != ContainerState::Created {
                return Ok(());
            }
            // It may never have had its port: it is made anew.
            containers::remove(self.connection, std::slice::from_ref(name)).await?;
        }
        let mut refused = BTreeSet::new();
        for _ in 0..TRIES {
            let port = self.port(&refused).await?;
            let options = CreateContainerOptionsBuilder::default().name(name.as_str()).build();
            self.docker.create_container(Some(options), self.body(replica, name, port)).await.map_err(|error| failed(&error))?;
            let Err(error) = containers::ignore(self.docker.start_container(name.as_str(), None).await, &[304]) else { return Ok(()) };
            containers::remove(self.connection, std::slice::from_ref(name)).await?;
            match (port, self.op.service.publish, &error) {
                (Some(port), None, Error::DockerResponseServerError { message, .. }) if ports::is_taken(message) => refused.insert(port),
                (Some(port), Some(_), Error::DockerResponseServerError { message, .. }) if ports::is_taken(message) => {
                    return Err(
                        failed(&error).hint(format!("port {port} of {} is in use: look with `docker ps` or `ss -ltnp` there", host.name))
                    );
                }
                _ => return Err(failed(&error)),
            };
        }
        Err(Failure::failed(format!("{name} was not started: {TRIES} ports in a row were taken")).on(&host.name))
    }

    /// The host's port: the fixed one, or one that nobody has; `None` for a service without a port.
    async fn port(&self, refused: &BTreeSet<u16>) -> Result<Option<u16>, Failure> {
        if self.op.service.publish.is_some() || self.op.service.port.is_none() {
            return Ok(self.op.service.publish);
        }
        let options = ListContainersOptionsBuilder::default().all(true).build();
        let host = &self.op.host;
        let all = self.docker.list_containers(Some(options)).await;
        let all = all.map_err(|error| trouble::engine(host, "Docker did not list its containers", &error))?;
        let mut taken = ports::taken(&all);
        taken.extend(refused);
        let free = ports::pick(&taken);
        free.map(Some).ok_or_else(|| {
            Failure::failed(format!("All ports from {} to {} of {} are taken", ports::RANGE.start(), ports::RANGE.end(), host.name))
                .on(&host.name)
                .hint("remove old releases with `prune`")
        })
    }

    fn body(&self, replica: u32, name: &ContainerName, port: Option<u16>) -> ContainerCreateBody {
        let service = &self.op.service;
        let container = Container {
            name: name.clone(),
            host: self.op.host.name.clone(),
            project: self.op.project.clone(),
            service: service.name.clone(),
            version: self.op.version.clone(),
            run: self.run.id.clone(),
            token: self.token.clone(),
            replica,
            image: self.op.reference.clone(),
            digest: self.digest.clone(),
            address: self.op.host.bind.clone(),
            port,
            state: ContainerState::Created,
            exit_code: None,
            health: self.health.clone(),
            deployed_at: self.run.started.clone(),
            deployed_by: self.run.operator.clone(),
        };
        let mut all_labels: HashMap<String, String> = service.labels.clone().into_iter().collect();
        all_labels.extend(labels::print(&container, &service.restart));
        let mut host_config = self.host_config.clone();
        let inside = service.port.or(service.publish);
        let inside = inside.map(|port| format!("{port}/tcp"));
        if let (Some(inside), Some(port)) = (&inside, port) {
            let binding = PortBinding { host_ip: Some(self.op.host.bind.clone()), host_port: Some(port.to_string()) };
            host_config.port_bindings.get_or_insert_default().insert(inside.clone(), Some(vec![binding]));
        }
        ContainerCreateBody {
            image: Some(self.image.clone()),
            cmd: self.command.clone(),
            env: Some(self.env.clone()),
            labels: Some(all_labels),
            exposed_ports: inside.map(|port| vec![port]),
            stop_timeout: i64::try_from(service.stop_timeout.as_milliseconds().div_ceil(1000)).ok(),
            host_config: Some(host_config),
            networking_config: networking(service),
            ..ContainerCreateBody::default()
        }
    }
}

/// What a copy takes from the container that it copies.
struct Copied {
    container: Container,
    config: ContainerConfig,
}

impl Copied {
    async fn read(fleet: &Fleet, copy: &CopyOf) -> Result<Self, Failure> {
        let connection = fleet.host(&copy.host).await?;
        let found = containers::inspect_all(&connection, std::slice::from_ref(&copy.container)).await?;
        let copied = found.into_iter().next().and_then(|found| Some(Self { config: found.response.config?, container: found.container }));
        copied.ok_or_else(|| Failure::failed(format!("{} does not say what it was started with", copy.container)).on(&copy.host.name))
    }
}

/// A service's variables as Docker takes them, secrets resolved.
pub(super) fn environment(secrets: &Secrets, service: &Service) -> Result<Vec<String>, Failure> {
    service.env.iter().map(|(name, text)| Ok(format!("{name}={}", secrets.resolve(text)?))).collect()
}

pub(super) fn resolve_all(secrets: &Secrets, words: &[Text]) -> Result<Vec<String>, Failure> {
    words.iter().map(|word| secrets.resolve(word)).collect()
}

/// The image's id on the host and its content digest; refuses one that is missing or another than was meant.
async fn find_image(docker: &Docker, op: &Start, digest: &str) -> Result<(String, String), Failure> {
    let reference = &op.reference;
    let missing = || {
        Failure::failed(format!("The image {reference} is not on {}", op.host.name))
            .hint("put it there with `ship(image, host)` before `start`")
    };
    let found = images::digest(docker, reference).await?.ok_or_else(missing)?;
    if !digest.is_empty() && found != digest {
        return Err(Failure::new(
            FailureKind::Conflict,
            format!("The image {reference} on {} is another than the one that is meant", op.host.name),
        )
        .detail("digests", format!("meant: {digest}\nthere: {found}"))
        .hint("put it there with `ship(image, host)` before `start`"));
    }
    let image =
        docker.inspect_image(reference).await.map_err(|error| trouble::engine(&op.host, "Docker did not show the image", &error))?;
    Ok((image.id.unwrap_or_else(|| reference.clone()), found))
}

/// Docker's own networks, which exist and know no aliases.
fn is_builtin(network: &str) -> bool {
    matches!(network, "bridge" | "host" | "none" | "default") || network.starts_with("container:")
}

/// Creates a network, unless it exists.
pub(super) async fn ensure_network(docker: &Docker, host: &Host, network: &str) -> Result<(), Failure> {
    if is_builtin(network) {
        return Ok(());
    }
    let failed = |error| trouble::engine(host, &format!("The network {network} was not created"), &error);
    match docker.inspect_network(network, None).await {
        Ok(_) => return Ok(()),
        Err(Error::DockerResponseServerError { status_code: 404, .. }) => {}
        Err(error) => return Err(failed(error)),
    }
    let request = NetworkCreateRequest { name: network.to_owned(), driver: Some("bridge".into()), ..NetworkCreateRequest::default() };
    // Another call may have been faster: 409.
    containers::ignore(docker.create_network(request).await.map(drop), &[409]).map_err(failed)
}

/// The service's name as its alias in its network.
pub(super) fn networking(service: &Service) -> Option<NetworkingConfig> {
    let network = service.network.as_ref().filter(|network| !is_builtin(network))?;
    let settings = EndpointSettings { aliases: Some(vec![service.name.to_string()]), ..EndpointSettings::default() };
    Some(NetworkingConfig { endpoints_config: Some([(network.clone(), settings)].into()) })
}

/// What Docker has to grant a service's containers; ports are left out.
pub(super) fn host_config(service: &Service) -> Result<HostConfig, Failure> {
    let limits = [("max-size".to_owned(), "10m".to_owned()), ("max-file".to_owned(), "3".to_owned())];
    let config = HostConfig {
        binds: (!service.volumes.is_empty()).then(|| service.volumes.clone()),
        memory: service.memory.and_then(|memory| i64::try_from(memory.0).ok()),
        nano_cpus: service.cpus.and_then(|thousandths| i64::try_from(thousandths.checked_mul(1_000_000)?).ok()),
        restart_policy: Some(containers::policy(&service.restart)),
        network_mode: service.network.clone(),
        log_config: Some(HostConfigLogConfig { typ: Some("json-file".into()), config: Some(limits.into()) }),
        ..HostConfig::default()
    };
    match &service.options {
        Some(options) => merge(&config, options),
        None => Ok(config),
    }
}

/// Puts further fields over a `HostConfig`; refuses those that Docker's API does not know.
fn merge(config: &HostConfig, options: &str) -> Result<HostConfig, Failure> {
    let refused = |reason: String| Failure::refused(format!("The service's `options` are not Docker's `HostConfig`: {reason}"));
    let Ok(Value::Object(options)) = serde_json::from_str(options) else { return Err(refused("they are no map".into())) };
    let mut merged = serde_json::to_value(config).expect("it is plain data");
    let fields = merged.as_object_mut().expect("a structure is an object");
    fields.extend(options.clone());
    let config: HostConfig = serde_json::from_value(merged).map_err(|error| refused(error.to_string()))?;
    let known = serde_json::to_value(&config).expect("it is plain data");
    match options.iter().find(|(name, value)| !value.is_null() && known.get(name).is_none()) {
        Some((name, _)) => Err(refused(format!("there is no field `{name}`"))),
        None => Ok(config),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Balancer, Bytes, Check, Period, ServiceName};

    fn service() -> Service {
        Service {
            name: ServiceName::new("web").expect("valid"),
            image: "shop-web".into(),
            port: Some(8000),
            replicas: 1,
            command: None,
            env: [("A".to_owned(), Text::from("b c"))].into(),
            health: Health::new(Check::None),
            volumes: vec!["data:/data".into()],
            network: Some("backend".into()),
            publish: None,
            memory: Some(Bytes(512 << 20)),
            cpus: Some(500),
            restart: "unless-stopped".into(),
            stop_timeout: Period::seconds(10),
            labels: std::collections::BTreeMap::new(),
            domain: None,
            listen: 80,
            balancer: Balancer::Each,
            tls: None,
            server: true,
            options: Some(r#"{"ShmSize": 67108864, "CapAdd": ["NET_ADMIN"]}"#.into()),
        }
    }

    #[test]
    fn docker_is_asked_for_what_the_service_says() {
        let config = serde_json::to_value(host_config(&service()).expect("valid")).expect("plain data");
        let wanted = serde_json::json!({
            "Binds": ["data:/data"],
            "CapAdd": ["NET_ADMIN"],
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}},
            "Memory": 536_870_912,
            "NanoCpus": 500_000_000,
            "NetworkMode": "backend",
            "RestartPolicy": {"Name": "unless-stopped"},
            "ShmSize": 67_108_864,
        });
        assert_eq!(config, wanted);
        assert_eq!(environment(&Secrets::new(|_| None), &service()).expect("no secrets"), ["A=b c"]);
    }

    #[test]
    fn a_misspelt_docker_option_is_refused() {
        let service = Service { options: Some(r#"{"ShmSiez": 1}"#.into()), ..service() };
        let failure = host_config(&service).expect_err("misspelt");
        assert_eq!(failure.message, "The service's `options` are not Docker's `HostConfig`: there is no field `ShmSiez`");
    }
}
