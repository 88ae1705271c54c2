//! A story on its way.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde_json::Value;

use super::{Commits, Fates, Fault, Met, Noted, Planned, Site, Step, Story, What, place};
use crate::{
    executor::Call,
    failure::Origin,
    model::{ContainerName, HostName, Key, Period, RunId, ServiceName},
    world::{
        World,
        losses::Losses,
        watch::{Breach, Watch},
    },
};

/// A story on its way.
#[derive(Clone)]
pub struct Going {
    pub left: Vec<Planned>,
    /// What was left when all trouble was ended: no call came by that it could befall.
    pub missed: Vec<Planned>,
    /// How often an op of this word came by under this key.
    pub numbers: HashMap<(Key, &'static str), usize>,
    pub watch: Watch,
    /// What the traffic loses, where somebody wants to know.
    pub losses: Option<Losses>,
    pub noted: Noted,
    /// When the story began.
    pub began: Period,
    /// Hosts that come back, and when.
    pub back: BTreeMap<HostName, Period>,
    /// Containers that are ill, and until when.
    pub ill: Vec<(Period, HostName, Vec<ContainerName>)>,
    pub fates: Fates,
    /// Leases that another run has, and until when.
    pub others: Vec<(Period, HostName, ServiceName)>,
    pub calls: usize,
    pub most: usize,
    pub sites: Vec<Arc<Met>>,
    pub steps: Vec<Step>,
    pub breaches: Vec<Breach>,
    /// Commands that were done, by key.
    pub done: Vec<String>,
    pub is_calm: bool,
    /// Whether the run was left for another process to go on with.
    pub was_left: bool,
    pub commits: Commits,
    /// The fleet in the beginning.
    pub start: World,
    /// What the fleet was after each change, where somebody looks at it.
    pub looks: Option<Vec<Value>>,
    /// How many records the journal has.
    pub written: usize,
}

impl Going {
    /// A story at its beginning, in this world.
    pub fn new(story: &Story, start: World, watch: Watch, most: usize, noted: Noted) -> Self {
        Self {
            left: story.faults.clone(),
            missed: Vec::new(),
            numbers: HashMap::new(),
            watch,
            losses: noted.steps.then(|| Losses::of(&start)),
            noted,
            began: start.clock(),
            back: BTreeMap::new(),
            ill: Vec::new(),
            fates: Fates::default(),
            others: Vec::new(),
            calls: 0,
            most,
            sites: Vec::new(),
            steps: Vec::new(),
            breaches: Vec::new(),
            done: Vec::new(),
            is_calm: false,
            was_left: false,
            commits: Commits::default(),
            start,
            looks: None,
            written: 0,
        }
    }

    /// The fault that is planned for this call; it befalls it once.
    pub fn take(&mut self, key: &str, verb: &str, number: usize, is_meant: impl Fn(Fault) -> bool) -> Option<Fault> {
        let here = |planned: &Planned| planned.site.key == key && planned.site.verb == verb && planned.site.number == number;
        let index = self.left.iter().position(|planned| here(planned) && is_meant(planned.fault))?;
        Some(self.left.remove(index).fault)
    }

    /// Takes note of what befell the world from outside at this time.
    pub fn excuse(&mut self, world: &World, at: Period) {
        self.watch.excuse(world);
        if let Some(losses) = &mut self.losses {
            losses.look(world, at);
        }
    }

    /// What a script's own invariants see.
    pub fn look(&mut self, world: &World, run: &RunId) -> Value {
        let began = self.began;
        world.look(run, began, self.losses.get_or_insert_with(|| Losses::of(world)))
    }

    pub fn meet(&mut self, call: &Call, number: usize) {
        let faults: Vec<(Fault, bool)> = Fault::of(&call.op).into_iter().map(|fault| (fault, fault.interrupts(&call.op))).collect();
        if !faults.is_empty() {
            let site = Site { key: call.key.to_string(), verb: call.op.verb().into(), number };
            self.sites.push(Arc::new(Met { site, faults, was_left: self.was_left }));
        }
    }

    /// Notes a step, with the key of its call and the place of that in the script.
    pub fn step(&mut self, at: Period, host: Option<&HostName>, call: Option<(&str, &Origin)>, what: impl FnOnce() -> What) {
        if self.noted.steps {
            let (key, origin) = call.unzip();
            let (key, origin) = (key.unwrap_or_default().to_owned(), origin.cloned());
            self.steps.push(Step { at, host: host.cloned(), key, origin, what: what() });
        }
    }

    pub fn breached(&mut self, at: Period, of: Option<&Call>, breach: Breach) {
        let host = of.and_then(|call| call.op.host()).map(|host| &host.name);
        self.step(at, host, of.map(place), || What::Breach(breach.clone()));
        self.breaches.push(breach);
    }
}
