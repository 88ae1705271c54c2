//! Containers and history in a model.

use std::collections::BTreeSet;

use super::{ModelledHost, World, images, listens, proxies::can_be_used};
use crate::{
    failure::Failure,
    model::{
        Check, Container, ContainerFacts, ContainerName, ContainerState, HistoryEntry, Host, HostName, RunInfo, StoredImage, TakenPort,
        Token,
        moment::moment_behind,
        ports::{pick, share_a_port},
    },
    op::{
        CheckNow, CheckedContainer, Checks, Depend, Find, Forget, Found, Healthcheck, HistoryOf, Inverse, Op, Outcome, Record, Remove,
        Start, StartAgain, Stop,
    },
};

impl ModelledHost {
    /// The containers that a call starts; one that it made already is adopted, as on a host.
    ///
    /// # Errors
    /// As live where a port that one publishes is taken, or where none is left to pick.
    fn new_containers(
        &self,
        op: &Start,
        token: &Token,
        declared: impl Fn(&ContainerName, u32, Option<u16>) -> Container,
    ) -> Result<Vec<Container>, Failure> {
        let there = &self.state.containers;
        let mut ports: BTreeSet<u16> = there.values().filter_map(|container| container.port).collect();
        // On a host what any container publishes is left alone, and another port is tried where a process has one.
        let has = |taken: &&TakenPort| taken.container.is_some() || share_a_port(&taken.address, &op.host.bind);
        ports.extend(self.state.taken_ports.iter().filter(has).map(|taken| taken.port));
        ports.extend(listens(&self.state).chain(op.listens()));
        let mut started: Vec<Container> = Vec::new();
        for replica in 1..=op.replicas {
            let name = Container::name_for(&op.project, &op.service.name, &op.version, token, replica);
            let container = match (there.get(&name).cloned(), op.service.port, op.service.publish) {
                (Some(mut known), ..) => {
                    known.state = ContainerState::Running;
                    known.exit_code = None;
                    known
                }
                (None, Some(_), None) => {
                    started.push(declared(&name, replica, Some(pick(&mut ports).ok_or_else(Failure::no_port)?)));
                    continue;
                }
                (None, port, publish) => declared(&name, replica, port.and(publish)),
            };
            let is_adopted = there.contains_key(&name);
            let others = || self.taken_by_others(&container).filter(|_| !is_adopted && !self.state.may_differ);
            let by = has_its_port(there.values().chain(&started), &container).or_else(others);
            if let (Some(port), Some(by)) = (container.port, by) {
                return Err(Failure::port_taken(port, &op.service.name, &op.host.name).detail("why", format!("{by} has it")));
            }
            started.push(container);
        }
        Ok(started)
    }

    fn knows(&self, container: &str) -> bool {
        self.state.containers.keys().any(|name| name.as_str() == container)
    }

    /// What has the port that this container is to publish, and is none of the project's containers: nginx, or what is another's.
    fn taken_by_others(&self, container: &Container) -> Option<String> {
        if listens(&self.state).any(|port| Some(port) == container.port) {
            return Some("nginx".into());
        }
        // A container of another project that was met as well is known as it is now.
        let is_known = |taken: &TakenPort| taken.container.as_ref().is_some_and(|name| self.knows(name));
        let has_it = |taken: &&TakenPort| Some(taken.port) == container.port && share_a_port(&taken.address, &container.address);
        self.state.taken_ports.iter().filter(has_it).find(|taken| !is_known(taken)).map(ToString::to_string)
    }
}

impl World {
    pub(super) fn find(&self, op: &Find) -> Result<Outcome, Failure> {
        let host = self.at(&op.host)?;
        let containers: Vec<Container> = host
            .state
            .containers
            .values()
            .filter(|container| container.service == op.service && container.project == op.project)
            .cloned()
            .collect();
        let mut found = Found { containers, ..Found::default() };
        for proxy in &op.proxies {
            let state = &self.at(proxy)?.state;
            let Some(table) = state.routes.get(&op.service) else {
                // A table that cannot be looked for is not taken for none.
                if state.proxy_folder.is_none() {
                    can_be_used(state, proxy)?;
                }
                continue;
            };
            found.note(table, &op.host.name);
        }
        Ok(Outcome::of(found))
    }

    pub(super) fn check_now(&self, op: &CheckNow) -> Result<Outcome, Failure> {
        let host = self.at(&op.host)?;
        let checked = op.containers.iter().map(|name| {
            let state = host.state.containers.get(name).map(|container| container.state);
            let healthy = host.is_healthy(name);
            let answer = match state {
                Some(ContainerState::Running) if !healthy => "it fails its health check".into(),
                Some(state) => format!("it is {}", state.word()),
                None => "there is no such container".into(),
            };
            CheckedContainer { container: name.clone(), state, healthy, answer }
        });
        Ok(Outcome::of(checked.collect::<Vec<_>>()))
    }

    pub(super) fn start(&mut self, op: &Start, token: &Token, run: &RunInfo) -> Result<Outcome, Failure> {
        let deployed_at = self.moment(run);
        let StoredImage { digest, healthcheck, .. } = startable(self.at(&op.host)?, op, token)?;
        let copied = match &op.copy {
            Some(copy) => Some(container(self.at(&copy.host)?, &copy.host.name, &copy.container)?.clone()),
            None => None,
        };
        let is_open = copied.is_none() && op.service.health.check == Check::Docker && healthcheck.is_none();
        let host = self.at_mut(&op.host)?;
        let health = copied.map_or_else(|| op.service.health.clone(), |copied| copied.health.clone());
        let declared = |name: &ContainerName, replica: u32, port: Option<u16>| -> Container {
            ContainerFacts {
                name: name.clone(),
                host: op.host.name.clone(),
                project: op.project.clone(),
                service: op.service.name.clone(),
                version: op.version.clone(),
                run: run.id.clone(),
                token: token.clone(),
                replica,
                image: op.reference.clone(),
                digest: digest.clone(),
                address: op.host.bind.clone(),
                port,
                state: ContainerState::Running,
                exit_code: None,
                health: health.clone(),
                dependency: false,
                deployed_at: deployed_at.clone(),
                deployed_by: run.operator.clone(),
            }
            .into()
        };
        let started = host.new_containers(op, token, declared).inspect_err(|_| {
            // All or none, those of an earlier try too.
            host.state.containers.retain(|_, container| container.token != *token);
        })?;
        for container in &started {
            if op.service.restart == "no" {
                host.stays_down.insert(container.name.clone());
            }
            if host.state.containers.insert(container.name.clone(), container.clone()).is_none() {
                host.changed.insert(container.name.clone());
            }
        }
        let others = started.iter().find_map(|container| Some((container.port?, host.taken_by_others(container)?)));
        let ended = others.map(|(port, other)| format!("a command before it has ended {other}, which had port {port}"));
        let assumed = ended.into_iter().chain(is_open.then(|| format!("{} has a HEALTHCHECK", op.reference)));
        let inverse = op.inverse(started.iter().map(|container| container.name.clone()).collect());
        Ok(Outcome::of(started).undone_by(inverse).assuming_all(assumed))
    }

    pub(super) fn depend(&mut self, op: &Depend, token: &Token, run: &RunInfo) -> Result<Outcome, Failure> {
        let host = self.at_mut(&op.host)?;
        let of_service = |container: &&Container| container.service == op.service.name && container.project == op.project;
        let there: Vec<Container> = host.state.containers.values().filter(of_service).cloned().collect();
        if let Some(known) = op.choose(&there) {
            let again = op.again(&known);
            if again.containers.is_empty() {
                return Ok(Outcome::of(known));
            }
            return Ok(Outcome { inverse: Inverse::default(), ..self.start_again(&again)? });
        }
        let pulled = images::find(&host.state.images, &op.reference).is_none();
        if pulled {
            let image = StoredImage {
                references: vec![op.reference.clone()],
                digest: op.digest.clone(),
                platform: String::new(),
                layers: Vec::new(),
                healthcheck: None,
            };
            images::store(&mut host.state.images, image);
        }
        let Outcome { value, assumed, .. } = self.start(&op.start(), token, run)?;
        let started: Vec<Container> = value.read().unwrap_or_default();
        let host = self.at_mut(&op.host)?;
        let dependency = |mut container: Container| {
            container.dependency = true;
            container
        };
        let started: Vec<Container> = started.into_iter().map(dependency).collect();
        host.state.containers.extend(started.iter().map(|container| (container.name.clone(), container.clone())));
        let assumed = assumed.into_iter().chain(pulled.then(|| format!("{} can be pulled", op.reference)));
        Ok(Outcome::of(started).assuming_all(assumed))
    }

    pub(super) fn start_again(&mut self, op: &StartAgain) -> Result<Outcome, Failure> {
        let ran = self.those(&op.host, &op.containers, Container::is_up)?;
        let mut started = Vec::new();
        // One after the other, as on a host: those before one that cannot be started run.
        for name in &op.containers {
            let host = self.at(&op.host)?;
            let container = container(host, &op.host.name, name)?;
            let others = || host.taken_by_others(container).filter(|_| !host.state.may_differ);
            let other = || has_its_port(host.state.containers.values(), container).or_else(others);
            if !container.is_running()
                && let Some(other) = other()
            {
                let message = format!("{name} could not be started again on {}", op.host.name);
                let port = container.port.unwrap_or_default();
                let failure = Failure::failed(message).detail("why", format!("port {port} is taken by {other}"));
                return Err(failure.undone_by(op.inverse(&ran)));
            }
            started.extend(self.change(&op.host, std::slice::from_ref(name), |container| {
                container.state = ContainerState::Running;
                container.exit_code = None;
            })?);
        }
        Ok(Outcome::of(started).undone_by(op.inverse(&ran)))
    }

    pub(super) fn healthcheck(&self, op: &Healthcheck) -> Result<Outcome, Failure> {
        let host = self.at(&op.host)?;
        let known = op.containers.iter().map(|name| container(host, &op.host.name, name));
        let known: Vec<&Container> = known.collect::<Result<_, _>>()?;
        let is_sick = |one: &&&Container| !one.is_running() || !host.is_healthy(&one.name);
        let sick: Vec<(&ContainerName, bool)> = known.iter().filter(is_sick).map(|one| (&one.name, !one.is_running())).collect();
        if !sick.is_empty() {
            return Err(Failure::unhealthy(&op.host.name, &sick, known.len(), op.health.timeout));
        }
        let checks = Checks { checks: known.len() as u64, ..Checks::default() };
        let assumed = op.containers.iter().any(|name| host.changed.contains(name));
        let outcome = Outcome::of(checks);
        Ok(if assumed { outcome.assuming("the new containers become healthy") } else { outcome })
    }

    pub(super) fn stop(&mut self, op: &Stop) -> Result<Outcome, Failure> {
        let running = self.those(&op.host, &op.containers, |container| container.state != ContainerState::Stopped)?;
        self.change(&op.host, &op.containers, |container| {
            container.state = ContainerState::Stopped;
            container.exit_code = Some(0);
        })?;
        Ok(Outcome::of(()).undone_by(op.inverse(&running)))
    }

    /// Those of these containers.
    fn those(&self, host: &Host, names: &[ContainerName], are: impl Fn(&Container) -> bool) -> Result<Vec<Container>, Failure> {
        let known = self.at(host)?;
        let all: Result<Vec<&Container>, Failure> = names.iter().map(|name| container(known, &host.name, name)).collect();
        Ok(all?.into_iter().filter(|container| are(container)).cloned().collect())
    }

    pub(super) fn remove(&mut self, op: &Remove) -> Result<Outcome, Failure> {
        let host = self.at_mut(&op.host)?;
        for name in &op.containers {
            host.state.containers.remove(name);
            host.changed.insert(name.clone());
        }
        Ok(Outcome::of(()))
    }

    /// Those of the containers that an op is to end which are not there.
    pub fn gone(&self, op: &Op) -> Vec<ContainerName> {
        let (host, containers) = match op {
            Op::Drain(op) => (&op.host, &op.containers),
            Op::Stop(op) => (&op.host, &op.containers),
            Op::Remove(op) => (&op.host, &op.containers),
            _ => return Vec::new(),
        };
        let Ok(known) = self.at(host) else { return Vec::new() };
        containers.iter().filter(|name| !known.state.containers.contains_key(name)).cloned().collect()
    }

    /// Fails where one of these containers is not there.
    pub fn has_all(&self, host: &Host, containers: &[ContainerName]) -> Result<(), Failure> {
        let known = self.at(host)?;
        containers.iter().try_for_each(|name| container(known, &host.name, name).map(drop))
    }

    pub(super) fn history_of(&self, op: &HistoryOf) -> Result<Outcome, Failure> {
        Ok(Outcome::of(self.at(&op.host)?.state.history.get(&op.service).cloned().unwrap_or_default()))
    }

    pub(super) fn record(&mut self, op: &Record, run: &RunInfo) -> Result<Outcome, Failure> {
        let at = self.moment(run);
        let host = self.at_mut(&op.host)?;
        host.histories.insert(op.service.clone(), op.project.clone());
        let entries = host.state.history.entry(op.service.clone()).or_default();
        let is_this = |entry: &HistoryEntry| entry.run == run.id && entry.version == op.version;
        // Noted once more it is the same deploy.
        let at = entries.first().filter(|entry| is_this(entry)).map_or(at, |entry| entry.at.clone());
        entries.retain(|entry| !is_this(entry));
        entries.insert(
            0,
            HistoryEntry { version: op.version.clone(), image: op.image.clone(), run: run.id.clone(), at, by: run.operator.clone() },
        );
        Ok(Outcome::of(()).undone_by([op.inverse(&run.id)]))
    }

    pub(super) fn forget(&mut self, op: &Forget) -> Result<Outcome, Failure> {
        if let Some(entries) = self.at_mut(&op.host)?.state.history.get_mut(&op.service) {
            entries.retain(|entry| entry.run != op.run || entry.version != op.version);
        }
        Ok(Outcome::of(()))
    }

    /// When this run does something to containers or the history: behind everything that was done to them before.
    fn moment(&self, run: &RunInfo) -> String {
        let states = || self.hosts.values().map(|host| &host.state);
        let deployed = states().flat_map(|state| state.containers.values()).map(|container| container.deployed_at.as_str());
        let recorded = states().flat_map(|state| state.history.values().flatten()).map(|entry| entry.at.as_str());
        moment_behind(&run.started, deployed.chain(recorded).max())
    }

    fn change(&mut self, host: &Host, containers: &[ContainerName], change: impl Fn(&mut Container)) -> Result<Vec<Container>, Failure> {
        let known = self.at_mut(host)?;
        let mut changed = Vec::new();
        for name in containers {
            let container = known.state.containers.get_mut(name).ok_or_else(|| no_such(&host.name, name))?;
            change(container);
            known.changed.insert(name.clone());
            changed.push(container.clone());
        }
        Ok(changed)
    }
}

/// The image of a start, as live.
fn startable(host: &ModelledHost, op: &Start, token: &Token) -> Result<StoredImage, Failure> {
    let image = images::find(&host.state.images, &op.reference).ok_or_else(|| Failure::no_image(&op.host.name, &op.reference))?;
    if !op.digest.is_empty() && !image.digest.is_empty() && op.digest != image.digest {
        return Err(Failure::another_image(&op.host.name, &op.reference));
    }
    if op.copy.is_none() && op.service.health.check == Check::Docker && image.healthcheck == Some(false) {
        return Err(Failure::no_healthcheck(&op.reference));
    }
    let engine = &host.state.engine;
    match (op.service.cpus, engine.cpus) {
        (Some(wanted), Some(there @ 1..)) if op.copy.is_none() && wanted > 1000 * there => {
            let name = Container::name_for(&op.project, &op.service.name, &op.version, token, 1);
            Err(Failure::failed(format!("{name} could not be started on {}", op.host.name)))
        }
        _ => Ok(image.clone()),
    }
}

fn container<'a>(host: &'a ModelledHost, on: &HostName, name: &ContainerName) -> Result<&'a Container, Failure> {
    host.state.containers.get(name).ok_or_else(|| no_such(on, name))
}

fn no_such(host: &HostName, name: &ContainerName) -> Failure {
    Failure::failed(format!("{host} has no container {name}"))
}

/// The running container that publishes the port which this one is to publish.
fn has_its_port<'a>(mut others: impl Iterator<Item = &'a Container>, container: &Container) -> Option<String> {
    let other = others.find(|other| {
        let has_it = other.is_running() && other.port.is_some() && other.port == container.port;
        has_it && other.name != container.name && share_a_port(&other.address, &container.address)
    });
    other.map(|other| other.name.to_string())
}
