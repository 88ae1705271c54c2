//! The pure model of a fleet: what each op does to hosts, images, containers, proxies and the clock.
//!
//! There is one model. A dry run fills it from the real fleet, `--simulate` from a file; both apply the same ops as a run.

mod commands;
mod containers;
pub mod databases;
mod faults;
mod images;
mod leases;
mod look;
pub mod losses;
mod proxies;
pub mod shape;
#[cfg(test)]
mod tests;
mod traffic;
pub mod watch;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

pub use self::traffic::{Seen, TrafficSeen};
use crate::{
    failure::{Failure, FailureKind},
    model::{ContainerName, Host, HostName, HostState, Period, ProjectName, RunId, RunInfo, ServiceName, StoredImage, Token},
    op::{Compared, Op, Outcome},
};

/// A modelled fleet.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct World {
    /// Copies of a world share the hosts that none of them has changed since.
    hosts: BTreeMap<HostName, Arc<ModelledHost>>,
    built: BTreeMap<(HostName, String), StoredImage>,
    /// What registries were given, by reference.
    pushed: BTreeMap<String, StoredImage>,
    clock: Period,
    traffic: TrafficSeen,
    changed: bool,
    databases: BTreeMap<String, databases::Schema>,
    commands: Vec<commands::Standing>,
    /// Commands that stood and were taken back, by their place and line of its shape.
    forgone: BTreeSet<(String, String)>,
    /// Whether a command was done on the operator's machine.
    changed_here: bool,
    /// Whether something was done by which containers that are ill may have become well: a command, statements, a dependency.
    may_have_cured: bool,
    /// Whether something may have put right what is in the way on hosts, those that are met later too.
    may_differ: bool,
    /// When each run did something last: in a model there is no background that renews its leases.
    active: BTreeMap<RunId, Period>,
}

/// One host of it.
#[derive(Clone, Debug, Default)]
struct ModelledHost {
    state: HostState,
    projects: BTreeSet<ProjectName>,
    unreachable: Option<Failure>,
    /// Whether it has lost its power: it cannot be reached, and serves nothing.
    has_no_power: bool,
    /// Containers that fail their health checks.
    sick: BTreeSet<ContainerName>,
    /// Containers that their engine does not start again, by their restart policy.
    stays_down: BTreeSet<ContainerName>,
    /// Containers that are no longer what they really are.
    changed: BTreeSet<ContainerName>,
    /// Whose history each service's is.
    histories: BTreeMap<ServiceName, ProjectName>,
    /// When its leases were taken.
    renewed: BTreeMap<ServiceName, Period>,
    /// Until when the traffic of its fronts was counted.
    counted: Period,
    /// How often it was changed: as long as this is the same, so is the host.
    changes: u64,
}

impl ModelledHost {
    /// Its state as a project sees it: each has a history of its own.
    fn seen_by(&self, project: &ProjectName) -> HostState {
        let mut state = self.state.clone();
        state.history.retain(|service, _| self.histories.get(service).is_none_or(|owner| owner == project));
        state
    }
}

/// What is kept of a world between two simulated runs: the hosts' states as each project sees them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// States by project and host.
    pub projects: BTreeMap<ProjectName, BTreeMap<HostName, HostState>>,
}

impl World {
    /// Whether this host is in it, as far as this project is concerned; without one, as far as its engine and images are.
    pub fn knows(&self, host: &HostName, project: Option<&ProjectName>) -> bool {
        let knows = |known: &ModelledHost| project.is_none_or(|project| known.projects.contains(project));
        self.hosts.get(host).is_some_and(|known| known.unreachable.is_some() || knows(known))
    }

    /// Puts a host into it as it was found for this project; without one, for its engine and images alone. A host that is
    /// there already keeps these: only the project's own state is added, and takes the place of what no project asked for. It was so
    /// from the beginning: what its fronts got until then counts.
    pub fn insert(&mut self, host: &HostName, project: Option<&ProjectName>, mut state: HostState) {
        let clock = self.clock;
        state.may_differ |= self.may_differ;
        // What nginx listens on is in its tables and files, which may change; the process that has the port is itself.
        let own: BTreeSet<u16> = listens(&state).collect();
        state.taken_ports.retain(|taken| taken.container.is_some() || !own.contains(&taken.port));
        let mut histories = BTreeMap::new();
        if let Some(project) = project {
            histories.extend(state.history.keys().map(|service| (service.clone(), project.clone())));
        }
        let Some(known) = self.host_mut(host) else {
            for (_, image) in self.built.iter().filter(|((on, _), _)| on == host) {
                images::store(&mut state.images, image.clone());
            }
            let projects = project.cloned().into_iter().collect();
            let renewed = state.leases.keys().map(|service| (service.clone(), clock)).collect();
            let new = ModelledHost { state, projects, histories, renewed, ..ModelledHost::default() };
            self.hosts.insert(host.clone(), Arc::new(new));
            return;
        };
        let Some(project) = project else { return };
        known.renewed.extend(state.leases.keys().map(|service| (service.clone(), clock)));
        if known.projects.is_empty() {
            known.counted = Period::default();
        } else {
            state.containers.extend(std::mem::take(&mut known.state.containers));
            state.routes.extend(std::mem::take(&mut known.state.routes));
            state.history.extend(std::mem::take(&mut known.state.history));
            state.leases.extend(std::mem::take(&mut known.state.leases));
        }
        state.engine = known.state.engine.clone();
        state.images = std::mem::take(&mut known.state.images);
        known.state = state;
        histories.append(&mut known.histories);
        known.histories = histories;
        known.projects.insert(project.clone());
    }

    /// Puts a host into it that does not answer.
    pub fn insert_unreachable(&mut self, host: &HostName, failure: Failure) {
        changed(self.hosts.entry(host.clone()).or_default()).unreachable = Some(failure);
    }

    /// The hosts that it has met.
    pub fn hosts(&self) -> impl Iterator<Item = &HostName> {
        self.hosts.keys()
    }

    /// The states of all hosts that it could reach.
    pub fn states(&self) -> BTreeMap<HostName, HostState> {
        let reached = self.hosts.iter().filter(|(_, host)| host.unreachable.is_none());
        reached.map(|(name, host)| (name.clone(), host.state.clone())).collect()
    }

    /// What is kept after this run: what was kept before, with this run's project as it is now.
    #[must_use]
    pub fn kept(&self, mut before: Kept) -> Kept {
        for (name, host) in &self.hosts {
            for project in &host.projects {
                let mut state = host.seen_by(project);
                state.containers.retain(|_, container| container.project == *project);
                state.routes.retain(|_, table| table.project == *project);
                // A simulated run that is over has no lease, however it ended, and what its commands did is done.
                state.leases.clear();
                state.may_differ = false;
                before.projects.entry(project.clone()).or_default().insert(name.clone(), state);
            }
        }
        before
    }

    /// A host's state.
    pub fn state(&self, host: &HostName) -> Option<&HostState> {
        self.hosts.get(host).map(|host| &host.state)
    }

    /// The time that has passed in it.
    pub const fn clock(&self) -> Period {
        self.clock
    }

    /// Whether an op changed anything.
    pub const fn was_changed_at_all(&self) -> bool {
        self.changed
    }

    /// Whether containers that were ill may be well by now.
    pub const fn may_have_cured(&self) -> bool {
        self.may_have_cured
    }

    /// Whether a command may have changed files of the operator's machine.
    pub const fn was_changed_here(&self) -> bool {
        self.changed_here
    }

    /// Whether this container is no longer what it really is.
    pub fn was_changed(&self, host: &HostName, container: &ContainerName) -> bool {
        self.hosts.get(host).is_some_and(|host| host.changed.contains(container))
    }

    /// Does to the model what the op does to a fleet; `token` marks what it makes.
    pub fn apply(&mut self, op: &Op, token: &Token, run: &RunInfo) -> Result<Outcome, Failure> {
        if op.class().changes() {
            let hosts = op.hosts();
            self.count(|name| hosts.iter().any(|host| host.name == *name), self.clock);
        }
        let outcome = self.apply_op(op, token, run)?;
        self.changed |= op.class().changes();
        self.may_have_cured |=
            matches!(op, Op::Hook(_) | Op::Sql(_) | Op::Backfill(_) | Op::Depend(_) | Op::StartAgain(_) | Op::Confirm(_));
        self.pass(commands::duration(op));
        self.is_active(&run.id);
        Ok(outcome)
    }

    fn apply_op(&mut self, op: &Op, token: &Token, run: &RunInfo) -> Result<Outcome, Failure> {
        match op {
            Op::Survey(op) => Ok(Outcome::of(self.at(&op.host)?.seen_by(&op.project))),
            Op::Reachable(op) => Ok(Outcome::of(self.hosts.get(&op.host.name).is_some_and(|host| host.unreachable.is_none()))),
            Op::Find(op) => self.find(op),
            Op::Routes(op) => Ok(Outcome::of(self.at(&op.proxy)?.state.routes.get(&op.service).cloned())),
            Op::CheckNow(op) => self.check_now(op),
            Op::HistoryOf(op) => self.history_of(op),
            Op::Record(op) => self.record(op, run),
            Op::Forget(op) => self.forget(op),
            Op::ReadLeases(op) => self.leases(op),
            Op::Lock(op) => self.lock(op, run),
            Op::Unlock(op) => self.unlock(op, run),
            Op::Build(op) => Ok(self.build(op)),
            Op::Ship(op) => self.ship(op),
            Op::Push(op) => self.push(op),
            Op::Resolve(op) => Ok(self.resolve(op)),
            Op::Pull(op) => self.pull(op),
            Op::Start(op) => self.start(op, token, run),
            Op::Depend(op) => self.depend(op, token, run),
            Op::StartAgain(op) => self.start_again(op),
            Op::Healthcheck(op) => self.healthcheck(op),
            Op::TestWeights(op) => self.test_weights(op, token),
            Op::SetWeights(op) => self.set_weights(op, token),
            Op::Preview(op) => self.preview(op, token),
            Op::Drain(op) => self.drain(op, token),
            Op::Stop(op) => self.stop(op),
            Op::Remove(op) => self.remove(op),
            Op::Prune(op) => self.prune(op),
            Op::Hook(op) => self.command(op, token),
            Op::Probe(op) => self.probe(op),
            Op::HttpGet(op) => self.page(op),
            Op::Traffic(op) => self.window(op),
            Op::Logs(op) => self.logs(op),
            Op::Query(op) => Ok(databases::rows(op)),
            Op::Measure(op) => Ok(commands::assumed_value(op)),
            Op::Sessions(_) => Ok(databases::sessions()),
            Op::Sql(op) => Ok(self.statements(op, token)),
            Op::Backfill(_) => Ok(databases::backfilled()),
            Op::Backup(op) => Ok(databases::backed_up(op, token)),
            Op::Pause(_) | Op::Commit(_) | Op::Notify(_) | Op::FindContext(_) => Ok(Outcome::of(())),
            Op::Confirm(_) => {
                self.may_differ_everywhere();
                Ok(Outcome::of(true).assuming("the answer is yes"))
            }
            Op::LeaveOut(op) => Ok(Outcome::of(()).undone_by([op.inverse()])),
            // Whoever has no repository knows no commit.
            Op::CompareVersions(op) => Ok(Outcome::of(Compared::unknown(op.others.len()))),
            Op::Git(_) | Op::ReadEnv(_) | Op::ReadFile(_) | Op::Now(_) => {
                Err(Failure::failed(format!("`{}` cannot be answered by a model", op.verb())))
            }
        }
    }

    fn host_mut(&mut self, host: &HostName) -> Option<&mut ModelledHost> {
        self.hosts.get_mut(host).map(changed)
    }

    fn at(&self, host: &Host) -> Result<&ModelledHost, Failure> {
        let found = self.hosts.get(&host.name).ok_or_else(|| not_met(host))?;
        found.unreachable.clone().map_or(Ok(found), Err)
    }

    fn at_mut(&mut self, host: &Host) -> Result<&mut ModelledHost, Failure> {
        let found = self.host_mut(&host.name).ok_or_else(|| not_met(host))?;
        match &found.unreachable {
            Some(failure) => Err(failure.clone()),
            None => Ok(found),
        }
    }
}

/// The ports that a host's nginx listens on.
fn listens(state: &HostState) -> impl Iterator<Item = u16> {
    let of_services = state.routes.values().filter(|table| table.front.server).map(|table| table.front.listen);
    let all = of_services.chain(state.fronts.iter().map(|front| front.listen));
    all.filter(|_| state.proxy_network.is_none())
}

/// A host for whoever changes it: other worlds keep theirs.
fn changed(host: &mut Arc<ModelledHost>) -> &mut ModelledHost {
    let host = Arc::make_mut(host);
    host.changes += 1;
    host
}

fn not_met(host: &Host) -> Failure {
    Failure::new(FailureKind::Unreachable, format!("{} is not in the model", host.name)).on(&host.name)
}
