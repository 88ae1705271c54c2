//! Starting a release's containers on a host.
#![expect(clippy::disallowed_types, reason = "fleet/ speaks to engines")]

use std::collections::{BTreeSet, HashMap};

use bollard::{
    Docker,
    errors::Error,
    models::{ContainerCreateBody, ContainerInspectResponse, EndpointSettings, ImageInspect, NetworkCreateRequest, NetworkingConfig},
    query_parameters::{CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder},
};

use super::{
    all,
    configuration::{Parts, configuration},
    labels, list, ports,
};
use crate::{
    executor::Progress,
    failure::Failure,
    fleet::{
        Connection, Secrets,
        images::{content_digest, engine_failure, has_healthcheck, inspect},
    },
    model::{
        Check, Container, ContainerFacts, ContainerName, ContainerState, Health, ProjectName, RunInfo, Service, ServiceFacts, Token,
        Version, moment::moment, ports::pick,
    },
    op::Start,
};

/// How many ports are tried before podlift gives up on a race.
const PORT_TRIES: usize = 20;

/// Starts the op's containers, all or none, also where nobody waits for it any longer; those that this token made already are
/// adopted. `source` is the host of the container that is copied, where one is. A failure says what takes back those that could
/// not be deleted again.
pub async fn start(
    connection: &Connection,
    op: &Start,
    source: Option<&Connection>,
    token: &Token,
    run: &RunInfo,
    secrets: &Secrets,
    progress: &dyn Progress,
) -> Result<Vec<Container>, Failure> {
    let docker = connection.docker().await?;
    let image = image(&docker, op).await?;
    let plan = match (&op.copy, source) {
        (Some(copy), Some(source)) => Plan::copied(&source.docker().await?, copy.container.as_str(), op).await?,
        _ => Plan::declared(op, &image, secrets)?,
    };
    if let Some(network) = &op.service.network {
        ensure_network(&docker, network).await?;
    }
    let there = list(connection, &op.project, Some(&op.service.name)).await?;
    // Those of other projects and of stopped containers too.
    let mut ports_in_use: BTreeSet<u16> = all(connection).await?.iter().flat_map(ports::of).map(|(_, port)| port).collect();
    ports_in_use.extend(op.listens());
    let deployed_at = moment(jiff::Timestamp::now());
    let mut made = Made { connection, docker: docker.clone(), containers: Vec::new() };
    for replica in 1..=op.replicas {
        let known = there.iter().find(|container| container.token == *token && container.replica == replica);
        let mut container = match known {
            Some(container) => container.clone(),
            None => declared(op, token, run, &deployed_at, replica, &image.digest, &plan.health),
        };
        progress.doing(&format!("starting {}", container.name));
        made.containers.push(container.clone());
        let result = match known {
            Some(known) if known.is_running() => Ok(()),
            Some(_) => engine(&container, docker.start_container(container.name.as_str(), None).await),
            None => create(&docker, op, &plan, &image.id, &mut container, &mut ports_in_use, progress).await,
        };
        if let Err(failure) = result {
            let left = made.delete().await;
            return Err(if left.is_empty() { failure } else { failure.undone_by(op.inverse(left)) });
        }
        container.state = ContainerState::Running;
        container.exit_code = None;
        made.containers.pop();
        made.containers.push(container);
    }
    Ok(made.keep())
}

/// The containers so far. They are deleted where nobody waits for them any longer.
struct Made<'a> {
    connection: &'a Connection,
    docker: Docker,
    containers: Vec<Container>,
}

impl Made<'_> {
    /// Deletes them, and tells which may still be there.
    async fn delete(&mut self) -> Vec<ContainerName> {
        let mut left = Vec::new();
        while let Some(container) = self.containers.last() {
            if !delete(&self.docker, container.name.as_str()).await {
                left.push(container.name.clone());
            }
            self.containers.pop();
        }
        left
    }

    fn keep(mut self) -> Vec<Container> {
        std::mem::take(&mut self.containers)
    }
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        let containers = std::mem::take(&mut self.containers);
        if !containers.is_empty() {
            let docker = self.docker.clone();
            self.connection.afterwards(async move {
                for container in containers {
                    delete(&docker, container.name.as_str()).await;
                }
            });
        }
    }
}

/// The image on the host that the reference stands for.
struct Found {
    id: String,
    digest: String,
    /// Whether it has a name of its own for databases.
    is_named: bool,
}

async fn image(docker: &Docker, op: &Start) -> Result<Found, Failure> {
    let host = &op.host.name;
    let Some(image) = inspect(docker, &op.reference).await? else {
        return Err(Failure::no_image(host, &op.reference));
    };
    let digest = content_digest(&image);
    if !op.digest.is_empty() && digest != op.digest {
        return Err(Failure::another_image(host, &op.reference));
    }
    if op.copy.is_none() && op.service.health.check == Check::Docker && !has_healthcheck(&image) {
        return Err(Failure::no_healthcheck(&op.reference));
    }
    let is_named = is_named(&image);
    Ok(Found { id: image.id.unwrap_or_else(|| op.reference.clone()), digest, is_named })
}

/// The variable that tells Postgres's own client library what a program is called.
const APPLICATION_NAME: &str = "PGAPPNAME";

/// Whether an image sets that itself.
fn is_named(image: &ImageInspect) -> bool {
    let env = image.config.as_ref().and_then(|config| config.env.as_ref());
    env.is_some_and(|env| env.iter().any(|variable| variable.split('=').next() == Some(APPLICATION_NAME)))
}

/// A service's variables; a database sees which version its sessions are of, unless service or image say otherwise.
fn variables(service: &Service, version: &Version, is_named: bool, secrets: &Secrets) -> Result<Vec<String>, Failure> {
    let declared = service.env.iter().map(|(name, value)| Ok(format!("{name}={}", secrets.resolve(value)?)));
    let mut all = declared.collect::<Result<Vec<String>, Failure>>()?;
    if !is_named && !service.env.contains_key(APPLICATION_NAME) {
        all.push(format!("{APPLICATION_NAME}={}", Service::application_name(&service.name, version)));
    }
    Ok(all)
}

/// What a container gets from its service, or from the container that is copied.
struct Plan {
    env: Vec<String>,
    command: Option<Vec<String>>,
    health: Health,
}

impl Plan {
    fn declared(op: &Start, image: &Found, secrets: &Secrets) -> Result<Self, Failure> {
        let env = variables(&op.service, &op.version, image.is_named, secrets)?;
        let command = op.service.command.as_ref().map(|words| words.iter().map(|word| secrets.resolve(word)).collect());
        Ok(Self { env, command: command.transpose()?, health: op.service.health.clone() })
    }

    async fn copied(docker: &Docker, name: &str, op: &Start) -> Result<Self, Failure> {
        let inspected: ContainerInspectResponse = docker
            .inspect_container(name, None)
            .await
            .map_err(|error| engine_failure(&format!("{name}, which was to be copied, could not be read"), &error))?;
        let config = inspected.config.unwrap_or_default();
        let labels = config.labels.unwrap_or_default();
        let health = labels.get("podlift.health").and_then(|text| serde_json::from_str(text).ok());
        Ok(Self { env: config.env.unwrap_or_default(), command: config.cmd, health: health.unwrap_or_else(|| op.service.health.clone()) })
    }
}

fn declared(op: &Start, token: &Token, run: &RunInfo, deployed_at: &str, replica: u32, digest: &str, health: &Health) -> Container {
    ContainerFacts {
        name: Container::name_for(&op.project, &op.service.name, &op.version, token, replica),
        host: op.host.name.clone(),
        project: op.project.clone(),
        service: op.service.name.clone(),
        version: op.version.clone(),
        run: run.id.clone(),
        token: token.clone(),
        replica,
        image: op.reference.clone(),
        digest: digest.to_owned(),
        address: op.host.bind.clone(),
        port: None,
        state: ContainerState::Created,
        exit_code: None,
        health: health.clone(),
        dependency: op.service.labels.contains_key(labels::DEPENDENCY),
        deployed_at: deployed_at.to_owned(),
        deployed_by: run.operator.clone(),
    }
    .into()
}

/// Makes and starts one container, on another port as long as a race takes the one that was picked.
async fn create(
    docker: &Docker,
    op: &Start,
    plan: &Plan,
    image: &str,
    container: &mut Container,
    ports_in_use: &mut BTreeSet<u16>,
    progress: &dyn Progress,
) -> Result<(), Failure> {
    let name = container.name.to_string();
    for _ in 0..PORT_TRIES {
        container.port = match (op.service.port, op.service.publish) {
            (None, _) => None,
            (_, Some(fixed)) => Some(fixed),
            (_, None) => Some(pick(ports_in_use).ok_or_else(Failure::no_port)?),
        };
        let own = op.service.labels.iter().map(|(name, value)| (name.clone(), value.clone()));
        let parts = Parts {
            image: image.to_owned(),
            env: plan.env.clone(),
            command: plan.command.clone(),
            labels: labels::write(container, &op.service.restart, op.service.port, own),
            publish: container.port.map(|port| (container.address.clone(), port)),
        };
        progress.sent(op.host.name.as_str(), &format!("POST /containers/create?name={name}"));
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        engine(container, docker.create_container(Some(options), configuration(&op.service, parts)?).await.map(drop))?;
        progress.sent(op.host.name.as_str(), &format!("POST /containers/{name}/start"));
        let Err(error) = docker.start_container(&name, None).await else { return Ok(()) };
        delete(docker, &name).await;
        if !ports::is_taken(&error.to_string()) || op.service.publish.is_some() {
            return engine(container, Err(error));
        }
    }
    Err(Failure::failed(format!("{PORT_TRIES} ports in a row were taken on {} while {name} was started", op.host.name)))
}

fn engine(container: &Container, result: Result<(), Error>) -> Result<(), Failure> {
    match result {
        // 304: it runs already.
        Ok(()) | Err(Error::DockerResponseServerError { status_code: 304, .. }) => Ok(()),
        Err(error) if ports::is_taken(&error.to_string()) => {
            let port = container.port.unwrap_or_default();
            let taken = Failure::port_taken(port, &container.service, &container.host);
            Err(Failure { hints: taken.hints, ..engine_failure(&taken.message, &error) })
        }
        Err(error) => Err(engine_failure(&format!("{} could not be started on {}", container.name, container.host), &error)),
    }
}

/// Deletes a container that is not to stay, with its anonymous volumes; tells whether it is gone. It may not even have been there.
async fn delete(docker: &Docker, name: &str) -> bool {
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    matches!(docker.remove_container(name, Some(options)).await, Ok(()) | Err(Error::DockerResponseServerError { status_code: 404, .. }))
}

async fn ensure_network(docker: &Docker, name: &str) -> Result<(), Failure> {
    let failed = |error| engine_failure(&format!("the network {name} could not be made"), &error);
    match docker.inspect_network(name, None).await {
        Ok(_) => return Ok(()),
        Err(Error::DockerResponseServerError { status_code: 404, .. }) => {}
        Err(error) => return Err(failed(error)),
    }
    match docker.create_network(NetworkCreateRequest { name: name.to_owned(), ..NetworkCreateRequest::default() }).await {
        // 409: another call of this run was faster.
        Ok(_) | Err(Error::DockerResponseServerError { status_code: 409, .. }) => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

/// What an engine is told about a container for one command, with a service's env, network and volumes; it publishes nothing.
pub async fn one_off(
    connection: &Connection,
    service: &Service,
    (reference, version): (&str, &Version),
    project: &ProjectName,
    program: Vec<String>,
    env: Vec<String>,
    secrets: &Secrets,
) -> Result<ContainerCreateBody, Failure> {
    let docker = connection.docker().await?;
    let host = &connection.host().name;
    let image = inspect(&docker, reference).await?;
    let image = image.ok_or_else(|| Failure::no_image(host, reference))?;
    if let Some(network) = &service.network {
        ensure_network(&docker, network).await?;
    }
    let mut all = variables(service, version, is_named(&image), secrets)?;
    all.extend(env);
    let image = image.id.unwrap_or_else(|| reference.to_owned());
    let alone: Service = ServiceFacts { port: None, publish: None, restart: "no".into(), ..(**service).clone() }.into();
    let own = HashMap::from([
        ("podlift.one_off".to_owned(), project.to_string()),
        ("podlift.one_off.service".to_owned(), service.name.to_string()),
        ("podlift.one_off.version".to_owned(), version.to_string()),
    ]);
    let body = configuration(&alone, Parts { image, env: all, command: None, labels: own, publish: None })?;
    let networking = service.network.clone().map(|network| NetworkingConfig {
        // Without the service's alias: others must not take it for a replica.
        endpoints_config: Some(HashMap::from([(network, EndpointSettings::default())])),
    });
    Ok(ContainerCreateBody {
        entrypoint: Some(program),
        attach_stdin: Some(true),
        open_stdin: Some(true),
        stdin_once: Some(true),
        networking_config: networking,
        ..body
    })
}
