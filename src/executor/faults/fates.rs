//! What became of containers, as far as the fleet itself does not tell.

use std::collections::BTreeSet;

use crate::{
    executor::{Call, Outcome},
    failure::{Failure, FailureKind},
    model::{Check, Container, ContainerName, HostName, ProjectName, RunId, ServiceName},
    op::Op,
    world::World,
};

/// What became of containers in a story, and by whom.
#[derive(Clone, Debug, Default)]
pub struct Fates {
    /// Those that somebody else has deleted.
    pub deleted: Vec<Container>,
    /// Those that `prune` was asked to delete.
    pub pruned: Vec<Container>,
    /// Whether one was to be deleted and no answer came: nobody knows whether it was.
    pub may_be_deleted: bool,
    /// The hosts that the run has changed.
    pub changed: BTreeSet<HostName>,
    /// Those that were found healthy since they were started.
    proven: BTreeSet<ContainerName>,
    /// Those that were looked at and found not to be, whatever is looked at.
    failed: BTreeSet<ContainerName>,
    /// Those that the script has started again.
    started_again: BTreeSet<ContainerName>,
    /// The services with a proxy of which the run has started containers.
    with_proxy: BTreeSet<(ProjectName, ServiceName)>,
}

impl Fates {
    /// Takes note of a call before it is done: what `prune` deletes is gone behind it.
    pub(super) fn asked(&mut self, call: &Call, world: &World) {
        let Op::Prune(op) = &*call.op else { return };
        let there = world.state(&op.host.name).into_iter().flat_map(|state| state.containers.values());
        let is_new = |one: &&Container| op.containers.contains(&one.name) && self.pruned.iter().all(|known| known.name != one.name);
        let more: Vec<Container> = there.filter(is_new).cloned().collect();
        self.pruned.extend(more);
    }

    /// Takes note of a call that was done, whoever hears of it.
    pub(super) fn done(&mut self, call: &Call) {
        if call.op.class().changes() {
            let hosts = call.op.hosts().into_iter().map(|host| &host.name);
            let new: Vec<HostName> = hosts.filter(|host| !self.changed.contains(*host)).cloned().collect();
            self.changed.extend(new);
        }
        match &*call.op {
            Op::Healthcheck(op) => self.proven.extend(op.containers.iter().cloned()),
            Op::Start(op) if op.service.has_proxy() => drop(self.with_proxy.insert((op.project.clone(), op.service.name.clone()))),
            Op::StartAgain(op) if !call.key.is_undo() => {
                self.proven.retain(|name| !op.containers.contains(name));
                self.started_again.extend(op.containers.iter().cloned());
            }
            _ => {}
        }
    }

    /// Takes note of what the run hears of a call.
    pub(super) fn answered(&mut self, call: &Call, result: &Result<Outcome, Failure>) {
        match (&*call.op, result) {
            (Op::Remove(_), Err(_)) if !call.key.is_undo() => self.may_be_deleted = true,
            (Op::Healthcheck(op), Err(failure)) if failure.kind == FailureKind::Unhealthy => {
                self.failed.extend(op.containers.iter().cloned());
            }
            _ => {}
        }
    }

    /// The containers that this run has started, that serve and have not become healthy. One that was found healthy and falls ill
    /// afterwards is nobody's fault.
    pub fn never_healthy(&self, world: &World, run: &RunId) -> Vec<Container> {
        let is_started = |one: &Container| one.run == *run || self.started_again.contains(&one.name);
        let is_looked_at = |one: &Container| !matches!(one.health.check, Check::None) || self.failed.contains(&one.name);
        world.sick(|one| is_started(one) && is_looked_at(one) && !self.proven.contains(&one.name))
    }

    /// The services with a proxy of which containers of this run run, and that no proxy has any traffic for.
    pub fn without_traffic(&self, world: &World, run: &RunId) -> Vec<&ServiceName> {
        let are = self.with_proxy.iter().filter(|(project, service)| world.runs_without_traffic(project, service, run));
        are.map(|(_, service)| service).collect()
    }
}
