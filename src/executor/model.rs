//! Performs ops on a model of the fleet.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{Call, Executor, Outcome};
use crate::{
    failure::{Failure, FailureKind},
    model::{Host, HostState, ProjectName},
    op::{HttpTarget, Locking, Op, Survey},
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
        outcome.value.read().map_err(|error| Failure::failed(format!("a host's state could not be read: {error}")))
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

    /// Does it to the world. What it is to end and is not there counts as done where that may be so, as on a real host.
    fn apply(&self, call: &Call) -> Result<Outcome, Failure> {
        let mut world = self.lock();
        let gone = world.gone(&call.op);
        let mut op = call.op.clone();
        match &*call.op {
            Op::Stop(_) if call.may_find_it_gone() && !gone.is_empty() => {
                op.make_mut().containers_mut().into_iter().for_each(|all| all.retain(|container| !gone.contains(container)));
            }
            Op::Drain(drain) if !call.may_find_it_gone() => world.has_all(&drain.host, &drain.containers)?,
            _ => {}
        }
        world.apply(&op, &call.token, &call.run).map(|outcome| outcome.without(gone))
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
        if needs_state(&call.op)
            && let Err(failure) = self.discover(call)
        {
            // A host without an engine, on which only commands run, keeps leases too; what they are no survey tells.
            return if matches!(*call.op, Op::Lock(_)) { Ok(Outcome::of(Locking::Taken)) } else { Err(failure) };
        }
        self.apply(call).map_err(|failure| match call.op.host().map(|host| &host.name) {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        failure::Origin,
        model::{Container, Key, RunId, RunInfo, Shared},
        op::{Drain, Remove, Start, Stop},
    };

    struct WithImage;

    impl Source for WithImage {
        fn survey(&self, _: &Call, _: &Host, _: &ProjectName) -> Result<HostState, Failure> {
            let image = serde_json::json!({ "references": ["shop-web:v1"], "digest": "sha256:1", "platform": "", "layers": [] });
            let image = serde_json::from_value(image).expect("an image");
            Ok(HostState { images: vec![image], ..HostState::default() })
        }

        fn read(&self, _: &Call) -> Option<Result<Outcome, Failure>> {
            None
        }
    }

    fn call(op: impl Into<Shared<Op>>, key: Key) -> Call {
        let run = RunInfo { id: RunId::new("r1").expect("valid"), operator: "me@here".into(), started: "2026-01-01T00:00:00Z".into() };
        Call::new(op, key, Origin { file: "deploy.rhai".into(), line: 1, column: 1 }, Arc::new(run))
    }

    /// Two containers, of which one was deleted by hand; and the ops that end both.
    fn one_is_gone() -> (Model<WithImage>, Drain, Stop, Remove, Vec<Container>) {
        let model = Model::new(World::default(), WithImage);
        let start: Start = serde_json::from_value(serde_json::json!({
            "host": Host::parse("h1").expect("valid"), "project": "shop", "reference": "shop-web:v1", "digest": "", "version": "v1",
            "replicas": 2,
            "service": {
                "name": "web", "image": "shop-web", "replicas": 2, "health": crate::model::Health::new(crate::model::Check::Tcp),
                "restart": "no", "stop_timeout": "10s", "listen": 80,
            },
        }))
        .expect("a start");
        let started = model.perform(&call(start, Key::call("", 1))).expect("it has the image");
        let [Op::Drain(drain), Op::Stop(stop), Op::Remove(remove)] = &started.inverse[..] else { panic!("{:?}", started.inverse) };
        let containers: Vec<Container> = started.value.read().expect("containers");
        let by_hand = Remove { containers: vec![containers[0].name.clone()], ..remove.clone() };
        model.perform(&call(by_hand, Key::call("", 2))).expect("it is there");
        (model, drain.clone(), stop.clone(), remove.clone(), containers)
    }

    #[test]
    fn what_an_undo_is_to_end_and_is_gone_counts_as_done() {
        let (model, drain, stop, remove, containers) = one_is_gone();
        for (index, op) in [Op::from(drain), stop.into(), remove.into()].into_iter().enumerate() {
            let outcome = model.perform(&call(op.clone(), Key::call("", 1).undo(index))).expect("one is there, one is gone");
            assert_eq!(outcome.gone, [containers[0].name.clone()], "{}", op.verb());
        }
    }

    #[test]
    fn what_a_script_is_to_end_has_to_be_there_unless_it_was_asked_for_before() {
        let (model, drain, stop, _, containers) = one_is_gone();
        for op in [Op::from(drain), stop.into()] {
            let call = call(op.clone(), Key::call("", 3));
            let failure = model.perform(&call).expect_err("one is gone");
            assert_eq!(failure.message, format!("h1 has no container {}", containers[0].name));
            let outcome = model.perform(&Call { is_in_doubt: true, ..call }).expect("somebody else may have ended it");
            assert_eq!(outcome.gone, [containers[0].name.clone()], "{}", op.verb());
        }
    }
}
