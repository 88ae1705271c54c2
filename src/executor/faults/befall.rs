//! What each fault does to a call and to the fleet.

use super::{Fault, Faults, Going, What, place, words};
use crate::{
    executor::{Call, Executor, Outcome, Source, confirm::unanswered},
    failure::{Failure, FailureKind},
    model::{Container, ContainerName, Host, HostName, Lease, Period, RunId},
    op::{CommandOutput, Drained, HttpResponse, Measured, OnTimeout, Op, Series, Sql, TrafficCount},
    world::{World, databases::first_of},
};

/// How long a host is away that comes back: shorter than podlift is patient.
const AWAY: Period = Period::seconds(20);
/// How long a container is ill that recovers.
const ILL: Period = Period::seconds(5);
/// How long another run is at work.
const ANOTHER: Period = Period::seconds(30);
/// How long something takes that takes long.
const SLOW: Period = Period::seconds(600);

impl<S: Source> Faults<S> {
    /// Brings the hosts back whose time has come.
    pub(super) fn bring_back(&self, going: &mut Going) {
        if going.back.is_empty() && going.ill.is_empty() && going.others.is_empty() {
            return;
        }
        let now = self.model.with(|world| world.clock());
        let (over, others): (Vec<_>, Vec<_>) = std::mem::take(&mut going.others).into_iter().partition(|(until, ..)| *until <= now);
        going.others = others;
        for (_, host, service) in over {
            self.model.with(|world| world.vacate(&host, &service, &another()));
        }
        let (well, ill): (Vec<_>, Vec<_>) = std::mem::take(&mut going.ill).into_iter().partition(|(until, ..)| *until <= now);
        going.ill = ill;
        for (then, host, containers) in well {
            self.model.with(|world| {
                world.cure(&host, &containers, then);
                going.excuse(world, then);
            });
        }
        let due: Vec<(HostName, Period)> = going.back.iter().filter(|(_, at)| **at <= now).map(|(host, at)| (host.clone(), *at)).collect();
        for (host, then) in due {
            going.back.remove(&host);
            self.model.with(|world| {
                world.bring_back(&host, then);
                going.excuse(world, then);
            });
            going.step(now, Some(&host), None, || What::Back);
        }
    }

    /// Does a call, or what the fault makes of it.
    pub(super) fn befall(&self, call: &Call, fault: Option<Fault>) -> Result<Outcome, Failure> {
        if let Some(fault) = fault {
            let at = self.model.with(|world| world.clock());
            self.lock().step(at, call.op.host().map(|host| &host.name), Some(place(call)), || What::Fault(fault));
        }
        match fault {
            None => self.done(call),
            Some(Fault::LostBefore | Fault::OperatorBeforeEffect | Fault::OperatorBeforeIntent | Fault::OperatorAfterOutcome) => {
                Err(lost(call))
            }
            Some(Fault::LostAfter | Fault::OperatorBeforeOutcome) => self.done(call).and_then(|_| Err(lost(call))),
            Some(Fault::CutOff) => self.away(call, false, Some(AWAY)),
            Some(Fault::Gone) => self.away(call, false, None),
            Some(Fault::Reboots) => self.away(call, true, Some(AWAY)),
            Some(Fault::Dies) => self.away(call, true, None),
            Some(Fault::Fails) => failed(call),
            Some(Fault::FailsHalfway) => self.fails_halfway(call),
            Some(Fault::LostHalfway) => self.halfway(call).and_then(|_| Err(lost(call))),
            Some(Fault::Slow) => {
                self.model.with(|world| world.wait(SLOW));
                self.bring_back(&mut self.lock());
                self.done(call)
            }
            Some(Fault::Unhealthy) => self.ill(call),
            Some(Fault::Flaps | Fault::Crashes) => self.afterwards(call, fault == Some(Fault::Crashes)),
            Some(Fault::Deleted) => self.bereft(call),
            Some(Fault::NeverEnds) => self.never_ends(call),
            Some(Fault::NoData) => Ok(no_data(call)),
            Some(Fault::BadData) => Ok(bad_data(call)),
            Some(Fault::LowData) => Ok(measured("-1e300")),
            Some(Fault::NoAnswer) => match &*call.op {
                Op::Confirm(question) => unanswered(question),
                _ => self.done(call),
            },
            Some(Fault::SaysNo) => Ok(Outcome::of(false)),
            Some(Fault::Locked) => self.locked(call),
        }
    }

    /// Does it, as far as its hosts can be reached, and looks at what it did.
    fn done(&self, call: &Call) -> Result<Outcome, Failure> {
        let away = self.model.with(|world| world.unreachable(&call.op.hosts()));
        if matches!(*call.op, Op::Prune(_)) {
            let mut going = self.lock();
            self.model.with(|world| going.fates.asked(call, world));
        }
        let result = match away {
            Some(failure) if !matches!(*call.op, Op::Reachable(_)) => Err(failure),
            _ => self.model.perform(call),
        };
        if matches!(*call.op, Op::Commit(_)) && result.is_ok() {
            let run = &call.run.id;
            let now = self.model.with(|world| world.shape(run));
            let mut going = self.lock();
            let Going { commits, start, .. } = &mut *going;
            commits.commit(call.key.block(), now, || start.shape(run));
        }
        if !call.op.class().changes() && !matches!(*call.op, Op::Healthcheck(_) | Op::Pause(_)) {
            return result;
        }
        let mut going = self.lock();
        if result.is_ok() {
            going.fates.done(call);
        }
        going.commits.note(call, &result);
        if matches!(*call.op, Op::Hook(_)) && result.is_ok() {
            going.done.push(call.key.to_string());
        }
        self.model.with(|world| {
            going.lose(call, result.as_ref().ok(), world);
            if call.op.class().changes() && going.looks.is_some() {
                let now = going.look(world, &call.run.id);
                going.looks.iter_mut().for_each(|looks| looks.push(now.clone()));
            }
        });
        let host = call.op.host().map(|host| &host.name);
        let (at, breaches) =
            self.model.with(|world| (world.clock(), going.watch.look(&call.op, result.as_ref().ok(), &call.run.id, world)));
        let why = result.as_ref().err().map(|failure| failure.message.clone());
        going.step(at, host, Some(place(call)), || What::Op(words(call), why));
        for breach in breaches {
            going.breached(at, Some(call), breach);
        }
        result
    }

    /// The host is gone, for a while or for good.
    fn away(&self, call: &Call, has_no_power: bool, period: Option<Period>) -> Result<Outcome, Failure> {
        let Some(host) = call.op.hosts().into_iter().find(|host| !host.is_local()) else { return self.done(call) };
        let mut going = self.lock();
        // What is gone for good does not come back by what befalls it next.
        let is_gone = !going.back.contains_key(&host.name) && self.model.with(|world| world.unreachable(&[host]).is_some());
        let at = self.model.with(|world| {
            if has_no_power {
                world.power_off(&host.name);
            } else {
                world.cut_off(&host.name);
            }
            going.excuse(world, world.clock());
            world.clock()
        });
        match period.filter(|_| !is_gone) {
            Some(period) => drop(going.back.insert(host.name.clone(), after(at, period))),
            None => drop(going.back.remove(&host.name)),
        }
        Err(lost(call))
    }

    /// The containers of the call do not become healthy.
    fn ill(&self, call: &Call) -> Result<Outcome, Failure> {
        if let Op::Start(op) = &*call.op {
            let outcome = self.done(call)?;
            let started: Vec<Container> = outcome.value.read().unwrap_or_default();
            let names: Vec<ContainerName> = started.iter().map(|container| container.name.clone()).collect();
            self.model.with(|world| world.sicken(&op.host.name, &names));
            return Ok(outcome);
        }
        if let Op::StartAgain(op) = &*call.op {
            let outcome = self.done(call)?;
            self.model.with(|world| world.sicken(&op.host.name, &op.containers));
            return Ok(outcome);
        }
        if let Op::Healthcheck(op) = &*call.op {
            let mut going = self.lock();
            self.model.with(|world| {
                world.sicken(&op.host.name, &op.containers);
                world.wait(op.health.timeout);
                going.excuse(world, world.clock());
            });
        }
        self.done(call)
    }

    /// The containers are found healthy; a moment later one has crashed, or all are ill for a while. In a pause all crash that the run
    /// has given traffic.
    fn afterwards(&self, call: &Call, crashes: bool) -> Result<Outcome, Failure> {
        let result = self.done(call);
        if let Op::Pause(_) = &*call.op {
            let mut going = self.lock();
            self.model.with(|world| {
                for (host, containers) in world.serving_of(&call.run.id) {
                    world.crash(&host, &containers);
                }
                going.excuse(world, world.clock());
            });
        }
        if let Op::Healthcheck(op) = &*call.op {
            let mut going = self.lock();
            let at = self.model.with(|world| {
                if crashes {
                    world.crash(&op.host.name, &op.containers[..op.containers.len().min(1)]);
                } else {
                    world.sicken(&op.host.name, &op.containers);
                }
                going.excuse(world, world.clock());
                world.clock()
            });
            if !crashes {
                going.ill.push((after(at, ILL), op.host.name.clone(), op.containers.clone()));
            }
        }
        result
    }

    /// Somebody deletes the first of the containers that the call is about, and then it looks.
    fn bereft(&self, call: &Call) -> Result<Outcome, Failure> {
        let mut going = self.lock();
        self.model.with(|world| {
            going.fates.deleted.extend(world.delete(&call.op));
            going.excuse(world, world.clock());
        });
        drop(going);
        self.done(call)
    }

    /// The drain's time is over while requests are still in flight.
    fn never_ends(&self, call: &Call) -> Result<Outcome, Failure> {
        let Op::Drain(op) = &*call.op else { return self.done(call) };
        let outcome = self.done(call)?;
        self.model.with(|world| world.wait(op.timeout));
        if op.on_timeout == OnTimeout::Fail {
            let message = format!("one connection was still open after {}", op.timeout);
            return Err(Failure::new(FailureKind::Timeout, message).undone_by(outcome.inverse));
        }
        let drained = Drained { waited: 0.0, cut: 1 };
        let now = self.model.with(|world| world.clock());
        self.lock().losses.iter_mut().for_each(|losses| losses.drained(op, &drained, now));
        Ok(Outcome { inverse: outcome.inverse, ..Outcome::of(drained) })
    }

    /// Another run is at work there, and has the lease until it ends.
    fn locked(&self, call: &Call) -> Result<Outcome, Failure> {
        let Op::Lock(op) = &*call.op else { return self.done(call) };
        let Some(host) = op.hosts.first() else { return self.done(call) };
        let lease = Lease {
            service: op.service.clone(),
            run: another(),
            owner: "somebody@elsewhere".into(),
            purpose: String::new(),
            since: call.run.started.clone(),
            age: Period::seconds(1),
            remaining: Period::seconds(59),
            left: false,
            generation: 1,
        };
        let mut going = self.lock();
        // Nobody takes its lease away from a run that is at work. One that was left may have lost it.
        let is_own = self.model.with(|world| world.has_lease(&host.name, &op.service, &call.run.id));
        if is_own && !going.was_left {
            drop(going);
            return self.done(call);
        }
        let at = self.model.with(|world| {
            world.occupy(&host.name, lease);
            world.clock()
        });
        going.others.push((after(at, ANOTHER), host.name.clone(), op.service.clone()));
        drop(going);
        self.done(call)
    }

    /// The first of several statements is done, and what comes behind it fails.
    fn fails_halfway(&self, call: &Call) -> Result<Outcome, Failure> {
        if let Op::Sql(op) = &*call.op {
            self.model.with(|world| world.fails_on_the_way(op));
        }
        let outcome = self.halfway(call)?;
        Err(Failure::failed("the second statement fails").undone_by(outcome.inverse))
    }

    /// The first of several statements is done, and no other.
    fn halfway(&self, call: &Call) -> Result<Outcome, Failure> {
        let Op::Sql(op) = &*call.op else { return self.done(call) };
        let Some(text) = first_of(&op.text) else { return self.done(call) };
        self.done(&Call { op: Sql { text, ..op.clone() }.into(), ..call.clone() })
    }
}

impl Going {
    /// Takes note of what the traffic loses by a call that was done, if anybody wants to know.
    fn lose(&mut self, call: &Call, outcome: Option<&Outcome>, world: &World) {
        let Some(losses) = &mut self.losses else { return };
        losses.look(world, world.clock());
        if let (Op::Drain(drain), Some(outcome)) = (&*call.op, outcome) {
            losses.drained(drain, &outcome.value.read().unwrap_or_default(), world.clock());
        }
    }
}

/// The other run.
pub(super) fn another() -> RunId {
    RunId::new("another").expect("a word is a run's id")
}

fn after(at: Period, period: Period) -> Period {
    Period::milliseconds(at.as_milliseconds() + period.as_milliseconds())
}

/// The connection breaks that the call was on its way by.
fn lost(call: &Call) -> Failure {
    let host = call.op.hosts().into_iter().find(|host| !Host::is_local(host));
    let name = host.map_or_else(|| "this machine".to_owned(), |host| host.name.to_string());
    let failure = Failure::new(FailureKind::Unreachable, format!("the connection to {name} broke")).lost();
    host.map_or_else(|| failure.clone(), |host| failure.clone().on(&host.name))
}

/// What failed as such ops fail, and has done nothing.
fn failed(call: &Call) -> Result<Outcome, Failure> {
    let words = match &*call.op {
        Op::Ship(_) => "no space left on device",
        Op::Start(_) | Op::StartAgain(_) => "port is already allocated",
        Op::SetWeights(_) | Op::TestWeights(_) | Op::Preview(_) => "nginx: configuration file test failed",
        Op::Build(_) => "failed to solve: process did not complete successfully",
        Op::Hook(hook) if !hook.invocation.check => {
            return Ok(Outcome::of(CommandOutput { code: 1, ..CommandOutput::default() }));
        }
        Op::Probe(probe) if !probe.invocation.check => {
            return Ok(Outcome::of(CommandOutput { code: 1, ..CommandOutput::default() }));
        }
        Op::Hook(_) | Op::Probe(_) => "it exited with code 1",
        _ => "the engine answered with an error",
    };
    let kind = match &*call.op {
        Op::Hook(_) | Op::Probe(_) => FailureKind::Command,
        Op::SetWeights(_) | Op::TestWeights(_) | Op::Preview(_) => FailureKind::Refused,
        _ => FailureKind::Failed,
    };
    let failure = Failure::new(kind, words);
    Err(call.op.host().map_or_else(|| failure.clone(), |host| failure.clone().on(&host.name)))
}

fn no_data(call: &Call) -> Outcome {
    match &*call.op {
        Op::Measure(_) => Outcome::of(Measured::default()),
        _ => Outcome::of(TrafficCount::default()),
    }
}

/// What a Prometheus answers with one series of this value.
fn measured(value: &str) -> Outcome {
    Outcome::of(Measured { count: 1, series: vec![Series { labels: "{}".into(), value: value.into() }] })
}

fn bad_data(call: &Call) -> Outcome {
    match &*call.op {
        Op::Measure(_) => measured("1e300"),
        Op::Traffic(_) => Outcome::of(TrafficCount { requests: 1000, errors: 1000, milliseconds: [(30_000, 1000)].into() }),
        _ => Outcome::of(HttpResponse { code: 500, body: String::new(), seconds: 30.0 }),
    }
}
