//! A modelled fleet that things befall: connections break, hosts die, containers fall ill, the operator's machine goes dark.
//!
//! It stands between what settles and the model: what is tested by it is everything above.

mod befall;
mod commits;
mod death;
mod fates;
mod fault;
mod going;
mod mortal;
mod story;

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use serde_json::Value;

pub use self::{
    commits::Commits,
    death::Death,
    fates::Fates,
    fault::Fault,
    mortal::Mortal,
    story::{Planned, Site, Story, Then},
};
use self::{death::Deaths, going::Going};
use super::{Call, Executor, Model, Outcome, Source, Urgency};
use crate::{
    failure::{Failure, FailureKind, Origin},
    journal::Asked,
    model::{HostName, Period, RunId},
    world::{
        TrafficSeen, World,
        losses::{Capacity, Losses},
        watch::{Breach, Rules, Watch},
    },
};

/// How long somebody waits who was refused because another run is at work.
const LATER: Period = Period::seconds(60);

/// One op that reached the fleet, or a fault, or a breach: what a story is told by.
#[derive(Clone, Debug)]
pub struct Step {
    /// When, since the beginning.
    pub at: Period,
    /// The host that it happened on; none on the operator's machine.
    pub host: Option<HostName>,
    /// Which call.
    pub key: String,
    /// The place in the script.
    pub origin: Option<Origin>,
    /// What it was.
    pub what: What,
}

/// What a step of a story was.
#[derive(Clone, Debug)]
pub enum What {
    /// An op, in words, and how it failed where it did.
    Op(String, Option<String>),
    /// Something went wrong.
    Fault(Fault),
    /// A host can be reached again.
    Back,
    /// The run is gone on with.
    GoesOn {
        /// The command that does it.
        command: &'static str,
        /// Whether it is another machine, because the one before died.
        elsewhere: bool,
    },
    /// The script said something, and whether it was a warning.
    Said(String, bool),
    /// A rule was broken.
    Breach(Breach),
}

/// A call that a story has met, with what can go wrong there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Met {
    /// Which call.
    pub site: Site,
    /// What can go wrong, and whether that may interrupt the run.
    pub faults: Vec<(Fault, bool)>,
    /// Whether the run had been interrupted before, so that what becomes of it then is settled.
    pub was_left: bool,
}

/// How much is noted of a story.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Noted {
    /// The calls, and what can go wrong with each.
    pub sites: bool,
    /// The steps.
    pub steps: bool,
}

/// A model on which a story's faults befall the calls that they are planned for.
pub struct Faults<S> {
    model: Model<S>,
    is_dead: AtomicBool,
    going: Mutex<Going>,
    deaths: Deaths,
}

impl<S: Source> Faults<S> {
    /// Lets `story` befall `model`, watched by `watch`; after `most` calls the run is ended.
    pub fn new(model: Model<S>, story: &Story, watch: Watch, most: usize, noted: Noted) -> Self {
        let going = Going::new(story, model.world(), watch, most, noted);
        Self { model, is_dead: AtomicBool::new(false), going: Mutex::new(going), deaths: Deaths::default() }
    }

    /// Counts what the traffic loses from now on, though no steps are noted.
    #[must_use]
    pub fn counting(self) -> Self {
        let losses = self.model.with(|world| Losses::of(world));
        self.lock().losses.get_or_insert(losses);
        self
    }

    /// The world as it is now.
    pub fn world(&self) -> World {
        self.model.world()
    }

    /// Whether its steps are noted.
    pub fn notes_steps(&self) -> bool {
        self.lock().noted.steps
    }

    /// Whether the operator's machine is dead.
    pub fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::SeqCst)
    }

    /// The run was left, and is gone on with by this command; where the machine died, by another one.
    pub fn revive(&self, command: &'static str) {
        self.lock().was_left = true;
        self.goes_on(command);
        self.is_dead.store(false, Ordering::SeqCst);
    }

    /// Takes note of the command that goes on with the run.
    pub fn goes_on(&self, command: &'static str) {
        let at = self.model.with(|world| world.clock());
        self.lock().step(at, None, None, || What::GoesOn { command, elsewhere: self.is_dead() });
    }

    /// After how many calls the run is ended.
    pub fn most(&self) -> usize {
        self.lock().most
    }

    /// Takes note of what the script said.
    pub fn said(&self, text: &str, is_warning: bool, origin: &Origin) {
        let at = self.model.with(|world| world.clock());
        self.lock().step(at, None, Some(("", origin)), || What::Said(text.to_owned(), is_warning));
    }

    /// Takes note of a call that failed, where its own op is not what failed last: something that it read first did.
    pub fn failed(&self, call: &Call, failure: &Failure) {
        let at = self.model.with(|world| world.clock());
        let mut going = self.lock();
        let last = going.steps.iter().rev().find(|step| matches!(step.what, What::Op(..)));
        let is_it = |step: &Step| step.key == call.key.as_str() && matches!(step.what, What::Op(_, Some(_)));
        if self.is_dead() || last.is_some_and(is_it) {
            return;
        }
        let host = call.op.host().map(|host| &host.name);
        going.step(at, host, Some(place(call)), || What::Op(words(call), Some(failure.message.clone())));
    }

    /// Lets the time pass in which another run, which has the lease, comes to its end.
    pub fn wait_for_others(&self) {
        self.model.with(|world| world.wait(LATER));
    }

    /// Whether the run was ended because it did not come to its end.
    pub fn is_endless(&self) -> bool {
        let going = self.lock();
        going.calls > going.most
    }

    /// Ends all trouble: every host is there again, every container is well, and nothing more goes wrong.
    pub fn calm(&self) {
        let mut going = self.lock();
        going.is_calm = true;
        let left = std::mem::take(&mut going.left);
        going.missed.extend(left);
        going.back.clear();
        going.ill.clear();
        let others = std::mem::take(&mut going.others);
        self.model.with(|world| {
            for (_, host, service) in &others {
                world.vacate(host, service, &befall::another());
            }
            let hosts: Vec<HostName> = world.hosts().cloned().collect();
            for host in &hosts {
                world.bring_back(host, world.clock());
                world.cure_all(host);
            }
            going.excuse(world, world.clock());
        });
    }

    /// Whether all trouble was ended.
    pub fn is_calm(&self) -> bool {
        self.lock().is_calm
    }

    /// Ends the run as one that does not come to its end.
    pub fn exhaust(&self) {
        let mut going = self.lock();
        going.calls = going.most + 1;
    }

    /// What the script has made final.
    pub fn commits(&self) -> Commits {
        self.lock().commits.clone()
    }

    /// What became of containers.
    pub fn fates(&self) -> Fates {
        self.lock().fates.clone()
    }

    /// Whether the command of this key was done, though nobody heard of it.
    pub fn was_done(&self, key: &str) -> bool {
        self.lock().done.iter().any(|done| done == key)
    }

    /// What must hold.
    pub fn rules(&self) -> Rules {
        self.lock().watch.rules().clone()
    }

    /// Changes what must hold.
    pub fn change_rules(&self, change: &dyn Fn(&mut Rules)) {
        change(self.lock().watch.rules_mut());
    }

    /// What the fleet was after each change since this was last asked for; the first time, how it is now.
    pub fn looks(&self, run: &RunId) -> Vec<Value> {
        let mut going = self.lock();
        match going.looks.replace(Vec::new()) {
            Some(looks) => looks,
            None => vec![self.model.with(|world| going.look(world, run))],
        }
    }

    /// Has how the fleet is now among what is looked at, where somebody looks already.
    pub fn look_now(&self, run: &RunId) {
        let mut going = self.lock();
        let now = going.looks.is_some().then(|| self.model.with(|world| going.look(world, run)));
        going.looks.iter_mut().for_each(|looks| looks.extend(now.clone()));
    }

    /// The faults that befell nothing, because no call came by that they were planned for.
    pub fn missed(&self) -> Vec<Planned> {
        let going = self.lock();
        going.missed.iter().chain(&going.left).cloned().collect()
    }

    /// How many calls it has met.
    pub fn calls(&self) -> usize {
        self.lock().calls
    }

    /// The calls that it has met.
    pub fn sites(&self) -> Vec<Arc<Met>> {
        std::mem::take(&mut self.lock().sites)
    }

    /// What happened.
    pub fn steps(&self) -> Vec<Step> {
        std::mem::take(&mut self.lock().steps)
    }

    /// The traffic until now, and how many containers served over time, where steps are noted or what is lost is counted.
    pub fn traffic(&self) -> (TrafficSeen, Capacity) {
        let going = self.lock();
        let of = |losses: &Losses| (self.model.with(|world| losses.traffic(world)), losses.capacity().clone());
        going.losses.as_ref().map(of).unwrap_or_default()
    }

    /// The rules that were broken.
    pub fn breaches(&self) -> Vec<Breach> {
        self.lock().breaches.clone()
    }

    /// Notes a rule that was broken.
    pub fn breach(&self, breach: Breach) {
        let at = self.model.with(|world| world.clock());
        self.lock().breached(at, None, breach);
    }

    fn lock(&self) -> MutexGuard<'_, Going> {
        self.going.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The operator's machine dies, if that is what is planned here.
    fn dies_at(&self, asked: &Asked, point: Fault) -> bool {
        let (key, verb) = (asked.key.as_str(), asked.op.verb());
        if self.is_dead() {
            return true;
        }
        let mut going = self.lock();
        let number = going.numbers.get(&(asked.key.clone(), verb)).copied().unwrap_or(0);
        // Before the intent the op itself has not come by yet.
        let number = if point == Fault::OperatorBeforeIntent { number + 1 } else { number };
        if going.take(key, verb, number, |fault| fault == point).is_none() {
            self.may_die(&going, key, verb, number, point);
            return false;
        }
        let at = self.model.with(|world| world.clock());
        going.step(at, None, Some((key, &asked.origin)), || What::Fault(point));
        self.is_dead.store(true, Ordering::SeqCst);
        true
    }
}

impl<S: Source> Executor for Faults<S> {
    fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
        if self.is_dead() {
            return Err(dead());
        }
        let (fault, number) = {
            let mut going = self.lock();
            going.calls += 1;
            if going.calls > going.most {
                call.cancellation.request(Urgency::Finish);
                return Err(Failure::new(FailureKind::Interrupted, "the run does not come to its end"));
            }
            self.bring_back(&mut going);
            let (key, verb) = (call.key.as_str(), call.op.verb());
            let number = going.numbers.entry((call.key.clone(), verb)).and_modify(|number| *number += 1).or_insert(1);
            let number = *number;
            if going.noted.sites && !going.is_calm && !key.starts_with("end/") {
                going.meet(call, number);
            }
            let fault = going.take(key, verb, number, |fault| !matches!(fault, Fault::OperatorBeforeIntent | Fault::OperatorAfterOutcome));
            if fault.is_none() {
                self.may_die(&going, key, verb, number, Fault::OperatorBeforeEffect);
            }
            (fault, number)
        };
        let result = self.befall(call, fault);
        self.lock().fates.answered(call, &result);
        if fault.is_none() {
            self.may_die(&self.lock(), call.key.as_str(), call.op.verb(), number, Fault::OperatorBeforeOutcome);
        }
        if let Some(Fault::OperatorBeforeEffect | Fault::OperatorBeforeOutcome) = fault {
            self.is_dead.store(true, Ordering::SeqCst);
            return Err(dead());
        }
        result
    }
}

/// What a call does, in words.
fn words(call: &Call) -> String {
    format!("{} {}", call.op.verb(), call.op.describe())
}

/// A call's key, and its place in the script.
fn place(call: &Call) -> (&str, &Origin) {
    (call.key.as_str(), &call.origin)
}

fn dead() -> Failure {
    Failure::new(FailureKind::Interrupted, "the operator's machine is dead")
}
