//! The stacks of executors that commands run scripts on.

use std::sync::{Arc, Mutex, PoisonError};

use crate::{
    executor::{
        Call, Executor, Guard, Key, Leased, Model, Narrate, Narrator, Outcome, Record, Recorded, Source, Terms, record::in_script_order,
    },
    failure::{Failure, Origin},
    model::{Host, HostState, ProjectName, RunInfo},
    op::{Now, Release},
    terminal::plan::States,
    world::World,
};

/// What calls are recorded above of.
type Below = Leased<Guard<Arc<dyn Executor>>>;

/// narrate(record(leased(guard(…)))): what a script runs on.
pub struct Stack {
    record: Arc<Record<Below>>,
    narrated: Arc<dyn Executor>,
    within: Arc<dyn Executor>,
}

impl Stack {
    /// A stack over the executor that does things. Leases are taken by these terms.
    pub fn over(within: Arc<dyn Executor>, narrator: Arc<dyn Narrator>, terms: Terms) -> Self {
        let record = Arc::new(Record::new(Leased::new(Guard::new(within.clone()), terms)));
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

    /// Gives the run's leases back; returns why some could not be.
    pub fn release(&self, run: &Arc<RunInfo>, release: &Release) -> Vec<Failure> {
        let origin = Origin { file: "the end of the run".into(), line: 1, column: 1 };
        self.record.inner().release(&Call::new(Now {}, Key::call("end/", 2), origin, run.clone()), release)
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
