//! The stacks of executors that commands run scripts on.

use std::sync::{Arc, Mutex, PoisonError};

use crate::{
    executor::{
        Call, Executor, Guard, Intend, Model, Narrate, Narrator, Outcome, Record, Recorded, Source,
        record::{Decide, Nobody},
    },
    failure::Failure,
    journal::{Journal, recorded::in_script_order},
    model::{Host, HostState, ProjectName},
    terminal::plan::States,
    world::World,
};

type Recording = Record<Guard<Intend<Arc<dyn Executor>>>>;

/// narrate(record(guard(intend(…)))): what a script runs on.
pub struct Stack {
    record: Arc<Recording>,
    narrated: Arc<dyn Executor>,
    within: Arc<dyn Executor>,
}

impl Stack {
    /// A stack over the executor that does things, whose journal nobody needs afterwards.
    pub fn over(within: Arc<dyn Executor>, narrator: Arc<dyn Narrator>) -> Self {
        Self::journaled(within, narrator, Arc::new(Journal::in_memory()), Arc::new(Nobody))
    }

    /// A stack that keeps this journal; `decide` answers for what only a person can know.
    pub fn journaled(within: Arc<dyn Executor>, narrator: Arc<dyn Narrator>, journal: Arc<Journal>, decide: Arc<dyn Decide>) -> Self {
        let intend = Intend::new(within.clone(), journal.clone());
        let record = Arc::new(Record::new(Guard::new(intend), journal, decide));
        Self { narrated: Arc::new(Narrate::new(record.clone(), narrator)), record, within }
    }

    /// The top of it.
    pub fn executor(&self) -> Arc<dyn Executor> {
        self.narrated.clone()
    }

    /// The executor that does things, for reads that are no part of the script.
    pub fn within(&self) -> &dyn Executor {
        self.within.as_ref()
    }

    /// What was done, in the script's order.
    pub fn records(&self) -> Vec<Recorded> {
        let mut records = self.record.records();
        in_script_order(&mut records);
        records
    }
}

/// A modelled fleet that remembers how it found each host.
pub struct Modelled {
    model: Model<Remembering>,
    found: Arc<Mutex<States>>,
}

impl Modelled {
    /// An empty world that asks `source` for hosts.
    pub fn new(source: impl Source + 'static) -> Self {
        let found = Arc::<Mutex<States>>::default();
        let source = Remembering { source: Box::new(source), found: found.clone() };
        Self { model: Model::new(World::default(), source), found }
    }

    /// The hosts as they were found.
    pub fn before(&self) -> States {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The world as it is now.
    pub fn world(&self) -> World {
        self.model.world()
    }
}

impl Executor for Modelled {
    fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
        self.model.perform(call)
    }
}

struct Remembering {
    source: Box<dyn Source>,
    found: Arc<Mutex<States>>,
}

impl Source for Remembering {
    fn survey(&self, call: &Call, host: &Host, project: &ProjectName) -> Result<HostState, Failure> {
        let state = self.source.survey(call, host, project)?;
        self.found.lock().unwrap_or_else(PoisonError::into_inner).insert(host.name.clone(), state.clone());
        Ok(state)
    }

    fn read(&self, call: &Call) -> Option<Result<Outcome, Failure>> {
        self.source.read(call)
    }
}

/// The states of a world.
pub fn states(world: &World) -> States {
    world.states()
}
