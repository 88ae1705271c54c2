//! Performs ops on a model of the fleet.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{Call, Executor, Outcome};
use crate::{
    failure::{Failure, FailureKind},
    model::{Host, HostState, ProjectName},
    op::{HttpTarget, Op, Survey},
    world::World,
};

/// Where a model learns what it starts from.
pub trait Source: Send + Sync {
    /// Reads a host's state, before the model first needs it.
    fn survey(&self, call: &Call, host: &Host, project: &ProjectName) -> Result<HostState, Failure>;

    /// Really does a read, or answers `None` where there is nothing real to read.
    fn read(&self, call: &Call) -> Option<Result<Outcome, Failure>>;
}

/// The fleet as it really is: surveys and reads are done by another executor.
pub struct Real<E>(pub E);

impl<E: Executor> Source for Real<E> {
    fn survey(&self, call: &Call, host: &Host, project: &ProjectName) -> Result<HostState, Failure> {
        let outcome = self.0.perform(&call.with(Survey { host: host.clone(), project: project.clone() }))?;
        serde_json::from_value(outcome.value).map_err(|error| Failure::failed(format!("a host's state could not be read: {error}")))
    }

    fn read(&self, call: &Call) -> Option<Result<Outcome, Failure>> {
        Some(self.0.perform(call))
    }
}

/// Applies ops to a [`World`] that it fills, host by host, from a [`Source`].
pub struct Model<S> {
    source: S,
    world: Mutex<World>,
    surveying: Mutex<()>,
}

impl<S: Source> Model<S> {
    /// Begins with this world, and asks `source` for hosts that are not in it.
    pub const fn new(world: World, source: S) -> Self {
        Self { source, world: Mutex::new(world), surveying: Mutex::new(()) }
    }

    /// The world as it is now.
    pub fn world(&self) -> World {
        self.lock().clone()
    }

    /// What a call would do: the world before and after it, and its answer. Nothing changes.
    pub fn forecast(&self, call: &Call) -> Result<(World, World, Outcome), Failure> {
        self.discover(call)?;
        let before = self.world();
        let mut after = before.clone();
        let outcome = after.apply(&call.op, &call.token, &call.run)?;
        Ok((before, after, outcome))
    }

    /// Lets something else than an op happen to the world, or looks at it.
    pub fn with<T>(&self, happen: impl FnOnce(&mut World) -> T) -> T {
        happen(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes sure that the world has these hosts.
    fn discover(&self, call: &Call) -> Result<(), Failure> {
        let project = call.op.project();
        let asked = project.cloned().unwrap_or_default();
        let _one_at_a_time = self.surveying.lock().unwrap_or_else(PoisonError::into_inner);
        let unknown: BTreeSet<&Host> = call.op.hosts().into_iter().filter(|host| !self.lock().knows(&host.name, project)).collect();
        for host in unknown {
            match self.source.survey(call, host, &asked) {
                Ok(state) => self.lock().insert(&host.name, project, state),
                Err(failure) if failure.kind == FailureKind::Unreachable => self.lock().insert_unreachable(&host.name, failure),
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    /// Whether what this read would see is still as it really is.
    fn is_still_real(&self, op: &Op) -> bool {
        let world = self.lock();
        match op {
            Op::Git(_) | Op::CompareVersions(_) | Op::ReadEnv(_) | Op::ReadFile(_) | Op::Now(_) => true,
            Op::Resolve(op) => !world.was_pushed(&op.reference),
            Op::Logs(op) => op.containers.iter().all(|container| !world.was_changed(&op.host.name, container)),
            Op::HttpGet(op) => match &op.target {
                HttpTarget::Container { host, container, .. } => !world.was_changed(&host.name, container),
                HttpTarget::Url { .. } => !world.was_changed_at_all(),
            },
            Op::Probe(_) | Op::Traffic(_) | Op::Query(_) | Op::Sessions(_) | Op::Measure(_) => !world.was_changed_at_all(),
            _ => false,
        }
    }
}

impl<S: Source> Executor for Model<S> {
    fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
        if self.is_still_real(&call.op)
            && let Some(result) = self.source.read(call)
        {
            return result;
        }
        if needs_state(&call.op) {
            self.discover(call)?;
        }
        self.lock().apply(&call.op, &call.token, &call.run).map_err(|failure| match call.op.host().map(|host| &host.name) {
            Some(name) => failure.on(name),
            None => failure,
        })
    }
}

/// Whether an op's answer depends on hosts' states. Commands and pages are assumed, so their hosts need not be read.
fn needs_state(op: &Op) -> bool {
    !matches!(
        op,
        Op::Hook(_)
            | Op::Probe(_)
            | Op::HttpGet(_)
            | Op::Logs(_)
            | Op::Build(_)
            | Op::CompareVersions(_)
            | Op::Resolve(_)
            | Op::Commit(_)
            | Op::Confirm(_)
            | Op::Notify(_)
            | Op::LeaveOut(_)
            | Op::Query(_)
            | Op::Measure(_)
            | Op::Sessions(_)
            | Op::Sql(_)
            | Op::Backfill(_)
            | Op::Backup(_)
    )
}
