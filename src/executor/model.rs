//! Performs ops on a model of the fleet.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{Call, Executor, Outcome};
use crate::{
    failure::{Failure, FailureKind},
    model::{Container, ContainerName, Host, HostState, Lease, ProjectName},
    op::{Build, HttpTarget, Invocation, Lock, Locking, Op, Place, ReadLeases, Survey},
    world::World,
};

/// Where a model learns what it starts from.
pub trait Source: Send + Sync {
    /// Reads a host's state, before the model first needs it.
    fn survey(&self, call: &Call, host: &Host, project: &ProjectName) -> Result<HostState, Failure>;

    /// Really does a read, or answers `None` where there is nothing real to read.
    fn read(&self, call: &Call) -> Option<Result<Outcome, Failure>>;

    /// Whether what a script takes from this machine may be missing: the fleet is not real, and nothing is built for it.
    fn needs_nothing(&self) -> bool {
        false
    }
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
        self.discover(call).into_iter().next().map_or(Ok(()), |(_, failure)| Err(failure))?;
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
                op.containers_mut().into_iter().for_each(|all| all.retain(|container| !gone.contains(container)));
            }
            Op::Drain(drain) if !call.may_find_it_gone() => world.has_all(&drain.host, &drain.containers)?,
            _ => {}
        }
        world.apply(&op, &call.token, &call.run).map(|outcome| outcome.without(gone))
    }

    /// Makes sure that the world has these hosts; returns those that cannot be read, and why.
    fn discover(&self, call: &Call) -> Vec<(Host, Failure)> {
        let project = call.op.project();
        let asked = project.cloned().unwrap_or_default();
        let _one_at_a_time = self.surveying.lock().unwrap_or_else(PoisonError::into_inner);
        let unknown: BTreeSet<&Host> = call.op.hosts().into_iter().filter(|host| !self.lock().knows(&host.name, project)).collect();
        let mut unread = Vec::new();
        for host in unknown {
            match self.source.survey(call, host, &asked) {
                Ok(state) => self.lock().insert(&host.name, project, state),
                Err(failure) if failure.kind == FailureKind::Unreachable => self.lock().insert_unreachable(&host.name, failure),
                Err(failure) => unread.push((host.clone(), failure)),
            }
        }
        unread
    }

    /// Takes leases, of which some are on hosts that cannot be read: one without an engine, on which only commands run, keeps
    /// leases too. What they are is asked for alone; where nobody tells, they are free.
    fn lease(&self, call: &Call, lock: &Lock, unread: &[(Host, Failure)]) -> Result<Outcome, Failure> {
        for (host, _) in unread {
            let asked = call.with(ReadLeases { host: host.clone(), project: lock.project.clone() });
            let answer = self.source.read(&asked).and_then(Result::ok);
            let leases: Vec<Lease> = answer.and_then(|outcome| outcome.value.read().ok()).unwrap_or_default();
            let is_anothers = |lease: &Lease| lease.service == lock.service && lease.run != call.run.id;
            if let Some(lease) = leases.into_iter().find(is_anothers) {
                return Ok(Outcome::of(Locking::Held { host: host.name.clone(), lease: Box::new(lease) }));
            }
        }
        let is_read = |host: &Host| unread.iter().all(|(other, _)| other != host);
        let hosts = lock.hosts.iter().filter(|host| is_read(host)).cloned().collect();
        self.apply(&call.with(Lock { hosts, ..lock.clone() }))
    }

    /// Refuses a build whose context or Dockerfile is not there. A command of this machine that came before may make them: then that
    /// is assumed, and so it is for a fleet that needs nothing.
    fn build(&self, call: &Call, build: &Build) -> Result<Outcome, Failure> {
        let Some(Err(failure)) = self.source.read(&call.with(build.look())) else { return self.apply(call) };
        let may_be_made = self.lock().was_changed_here();
        let assumed = if may_be_made {
            format!("a command before it makes what is missing ({})", failure.message)
        } else if self.source.needs_nothing() {
            format!("what is missing will be there ({})", failure.message)
        } else {
            return Err(failure);
        };
        Ok(self.apply(call)?.assuming(assumed))
    }

    /// Whether what this read would see is still as it really is.
    fn is_still_real(&self, op: &Op) -> bool {
        let world = self.lock();
        match op {
            Op::Git(_) | Op::CompareVersions(_) | Op::ReadEnv(_) | Op::ReadFile(_) | Op::Now(_) => true,
            Op::Resolve(op) => !world.was_pushed(&op.reference),
            Op::Logs(op) => op.containers.iter().all(|container| !world.was_changed(&op.host.name, container)),
            // Whether what was found is healthy only the fleet knows, as long as nothing was done that may change that.
            Op::CheckNow(op) => !world.may_have_cured() && is_as_found(&world, &op.host, &op.containers),
            Op::Healthcheck(op) => !world.may_have_cured() && is_as_found(&world, &op.host, &op.containers),
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
        let unread = if needs_state(&call.op) { self.discover(call) } else { Vec::new() };
        let done = match (&*call.op, unread.as_slice()) {
            (Op::Build(build), _) => self.build(call, build),
            (_, []) => self.apply(call),
            (Op::Lock(lock), unread) => self.lease(call, lock, unread),
            (_, [(_, failure), ..]) => return Err(failure.clone()),
        };
        done.map_err(|failure| match call.op.host().map(|host| &host.name) {
            Some(name) => failure.on(name),
            None => failure,
        })
    }
}

/// Whether all of these containers are there as they really are, and run.
fn is_as_found(world: &World, host: &Host, containers: &[ContainerName]) -> bool {
    let Some(state) = world.state(&host.name) else { return false };
    let runs = |name: &ContainerName| state.containers.get(name).is_some_and(Container::is_running);
    !containers.is_empty() && containers.iter().all(|name| runs(name) && !world.was_changed(&host.name, name))
}

/// Whether an op's answer depends on hosts' states. Commands and pages are assumed, so their hosts need not be read, unless they are
/// containers' own.
fn needs_state(op: &Op) -> bool {
    let is_contained = |invocation: &Invocation| matches!(invocation.place, Place::Container { .. } | Place::OneOff { .. });
    match op {
        Op::Hook(op) => return is_contained(&op.invocation),
        Op::Probe(op) => return is_contained(&op.invocation),
        _ => {}
    }
    !matches!(
        op,
        Op::HttpGet(_)
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
    use std::{collections::BTreeMap, sync::Arc};

    use super::*;
    use crate::{
        failure::Origin,
        model::{Key, Period, RunId, RunInfo, ServiceName, Shared},
        op::{CheckNow, CheckedContainer, CommandLine, Drain, Hook, Remove, Start, Stop},
    };

    /// Hosts of which `bare` has no engine; on each somebody may have the lease of web.
    struct Leased {
        on: &'static str,
    }

    impl Leased {
        fn lease(&self, host: &Host) -> Option<Lease> {
            let lease = serde_json::json!({
                "service": "web", "run": "r2", "owner": "bob@ci", "purpose": "", "since": "2026-01-01T00:00:00Z", "age": "1s",
                "remaining": "50s", "generation": 1,
            });
            (host.name.as_str() == self.on).then(|| serde_json::from_value(lease).expect("a lease"))
        }
    }

    impl Source for Leased {
        fn survey(&self, _: &Call, host: &Host, _: &ProjectName) -> Result<HostState, Failure> {
            if host.name.as_str() == "bare" {
                return Err(Failure::failed("there is no Docker on bare"));
            }
            let leases = self.lease(host).into_iter().map(|lease| (lease.service.clone(), lease)).collect();
            Ok(HostState { leases, ..HostState::default() })
        }

        fn read(&self, call: &Call) -> Option<Result<Outcome, Failure>> {
            let Op::ReadLeases(op) = &*call.op else { return None };
            Some(Ok(Outcome::of(self.lease(&op.host).into_iter().collect::<Vec<_>>())))
        }
    }

    #[test]
    fn leases_are_held_as_they_are_beside_and_on_a_host_without_an_engine() {
        let hosts: Vec<Host> = ["bare", "h1", "h2"].iter().map(|name| Host::parse(name).expect("valid")).collect();
        let lock = Lock::new(ProjectName::default(), ServiceName::new("web").expect("valid"), hosts);
        for (on, held) in [("h2", Some("h2")), ("bare", Some("bare")), ("elsewhere", None)] {
            let model = Model::new(World::default(), Leased { on });
            let outcome = model.perform(&call(lock.clone(), Key::call("", 1))).expect("an answer");
            let answer: Locking = outcome.value.read().expect("an answer");
            let of = if let Locking::Held { host, .. } = &answer { Some(host.as_str()) } else { None };
            assert_eq!(of, held, "{on}");
        }
    }

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

    /// A fleet whose one container is ill.
    struct Ill(HostState);

    impl Source for Ill {
        fn survey(&self, _: &Call, _: &Host, _: &ProjectName) -> Result<HostState, Failure> {
            Ok(self.0.clone())
        }

        fn read(&self, call: &Call) -> Option<Result<Outcome, Failure>> {
            let Op::CheckNow(op) = &*call.op else { return None };
            let ill =
                |name: &ContainerName| CheckedContainer { container: name.clone(), state: None, healthy: false, answer: "503".into() };
            Some(Ok(Outcome::of(op.containers.iter().map(ill).collect::<Vec<_>>())))
        }
    }

    #[test]
    fn what_was_found_is_as_healthy_as_it_really_is_until_something_may_have_cured_it() {
        let (model, _, _, remove, containers) = one_is_gone();
        let host = remove.host.clone();
        let found = model.world().state(&host.name).expect("it is known").clone();
        let model = Model::new(World::default(), Ill(found));
        let check = CheckNow { host, project: remove.project.clone(), containers: vec![containers[1].name.clone()] };
        let survey = Survey { host: check.host.clone(), project: check.project.clone() };
        model.perform(&call(survey, Key::call("", 1))).expect("it answers");
        let is_healthy = |number: usize| {
            let outcome = model.perform(&call(check.clone(), Key::call("", number))).expect("an answer");
            outcome.value.read::<Vec<CheckedContainer>>().expect("an answer")[0].healthy
        };
        assert!(!is_healthy(2));
        let invocation = Invocation {
            place: Place::Local,
            command: CommandLine::Shell("repair".into()),
            env: BTreeMap::new(),
            stdin: None,
            timeout: Period::seconds(1),
            check: true,
            name: None,
            assume: None,
        };
        model.perform(&call(Hook { invocation, undo: None, lease: None }, Key::call("", 3))).expect("it is assumed");
        assert!(is_healthy(4));
    }
}
