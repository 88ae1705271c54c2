//! The stacks of executors that commands run scripts on.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    executor::{
        Branches, Call, Cancellation, Executor, Follow, Guard, Intend, Key, Leased, Model, Narrate, Narrator, Outcome, PlanFile, Record,
        Recorded, Settle, Source, Step, Steps, Terms,
        plan::{Surveyed, Unchanged},
        record::{Decide, Nobody},
        regain::{Yielding, regain},
    },
    failure::{Failure, FailureKind, Origin},
    journal::{Entry, Journal, recorded::in_script_order},
    model::{Host, HostState, ProjectName, RunInfo},
    op::{Now, Release},
    terminal::plan::States,
    world::World,
};

/// A guarded fleet whose run has leases.
type Below = Leased<Unchanged<Guard<Intend<Settle<Arc<dyn Executor>>>>>>;

/// narrate(record(leased(guard(intend(settle(…)))))), or narrate(record(follow(leased(unchanged(guard(…)))))) where the run is held to
/// a plan: what a script runs on.
pub struct Stack {
    record: Arc<Record<Arc<dyn Executor>>>,
    follow: Option<Arc<Follow<Arc<Below>>>>,
    leased: Arc<Below>,
    journal: Arc<Journal>,
    /// Whether earlier processes of the run have left a journal, and perhaps leases.
    goes_on: bool,
    branches: Branches,
    narrated: Arc<dyn Executor>,
    within: Arc<dyn Executor>,
}

impl Stack {
    /// A stack over the executor that does things, whose journal nobody needs afterwards.
    pub fn over(within: Arc<dyn Executor>, narrator: Arc<dyn Narrator>, terms: Terms) -> Self {
        Self::journaled(None, within, narrator, Arc::new(Journal::in_memory()), Arc::new(Nobody), terms)
    }

    /// A stack that keeps this journal, held to a plan where there is one; `decide` answers for what only a
    /// person can know, `terms` are those of its leases.
    pub fn journaled(
        plan: Option<PlanFile>,
        within: Arc<dyn Executor>,
        narrator: Arc<dyn Narrator>,
        journal: Arc<Journal>,
        decide: Arc<dyn Decide>,
        terms: Terms,
    ) -> Self {
        let (goes_on, branches) = (journal.goes_on(), terms.branches);
        let settle = Settle::new(within.clone(), terms.patience);
        // Whoever began the run, or made its plan, has decided that.
        let allow_older = terms.allow_older || goes_on || plan.is_some();
        let guard = Guard::new(Intend::new(settle, journal.clone())).allowing_older(allow_older);
        let unchanged = Unchanged::never(guard);
        let unchanged = match &plan {
            Some(plan) if !goes_on => unchanged.from(plan.fleet.clone()),
            _ => unchanged,
        };
        let leased = Arc::new(Leased::new(unchanged, terms));
        let (inner, follow): (Arc<dyn Executor>, _) = match plan {
            Some(plan) => {
                let follow = Follow::new(leased.clone(), plan);
                let chain = journal.chain();
                let begun = chain.header().filter(|_| goes_on).map(|header| &header.run);
                let follow = Arc::new(match begun {
                    Some(run) => follow.behind(&journal.records(), run),
                    None => follow,
                });
                (follow.clone(), Some(follow))
            }
            None => (leased.clone(), None),
        };
        let inner = if goes_on { Arc::new(Yielding(inner)) } else { inner };
        let record = Arc::new(Record::journaled(inner, journal.clone(), decide));
        Self { narrated: Arc::new(Narrate::new(record.clone(), narrator)), record, follow, leased, journal, goes_on, branches, within }
    }

    /// The same stack, asking `steps` before each call: narrate(record(step(…))).
    #[must_use]
    pub fn stepping(self, steps: Arc<dyn Steps>, narrator: Arc<dyn Narrator>) -> Self {
        let record = Arc::new(self.record.around(|inner| Arc::new(Step::new(inner, steps)) as Arc<dyn Executor>));
        Self { narrated: Arc::new(Narrate::new(record.clone(), narrator)), record, ..self }
    }

    /// The failure of a run that ended before it did all that was planned, where it has a plan.
    pub fn unmade(&self) -> Option<Failure> {
        self.follow.as_ref()?.unmade()
    }

    /// The top of it.
    pub fn executor(&self) -> Arc<dyn Executor> {
        self.narrated.clone()
    }

    /// The executor that settles what is in doubt: what it does is no part of the script, and is kept to the same rules.
    pub fn settling(&self) -> &dyn Executor {
        self.leased.as_ref()
    }

    /// How several hosts are asked, and the parts of a call taken back.
    pub const fn branches(&self) -> Branches {
        self.branches
    }

    /// The executor that does things, for reads that are no part of the script.
    pub fn within(&self) -> &dyn Executor {
        self.within.as_ref()
    }

    /// Takes every lease that these records' run needs, before anything is done or written.
    ///
    /// # Errors
    /// Where another run, or another process of this one, has one of them; see [`regain`].
    pub fn regain(&self, run: &Arc<RunInfo>, records: &[Recorded], cancellation: &Cancellation) -> Result<(), Failure> {
        let origin = Origin { file: "before the run goes on".into(), line: 1, column: 1 };
        let call = Call::new(Now {}, Key::call("before/", 1), origin, run.clone());
        regain(self.leased.as_ref(), &Call { cancellation: cancellation.clone(), ..call }, records, self.branches)
    }

    /// Gives the run's leases back, those of its earlier processes too; returns why some could not be.
    pub fn release(&self, run: &Arc<RunInfo>, release: &Release) -> Vec<Failure> {
        let origin = Origin { file: "the end of the run".into(), line: 1, column: 1 };
        let call = Call::new(Now {}, Key::call("end/", 2), origin, run.clone());
        if self.goes_on {
            let chain = self.journal.chain();
            let ops = chain.entries().iter().flat_map(Entry::ops).filter_map(|op| Some((op.project()?, op.hosts())));
            let places: BTreeSet<_> = ops.flat_map(|(project, hosts)| hosts.into_iter().map(move |host| (project, host))).collect();
            self.leased.adopt(&call, &places.into_iter().map(|(project, host)| (project.clone(), host.clone())).collect());
        }
        self.leased.release(&call, release)
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
    source: Arc<dyn Source>,
    found: Arc<Mutex<Vec<Found>>>,
}

/// A host as it was found; without a state, one that did not answer.
struct Found {
    host: Host,
    project: ProjectName,
    state: Option<HostState>,
}

impl Modelled {
    /// An empty world that asks `source` for hosts.
    pub fn new(source: impl Source + 'static) -> Self {
        let found = Arc::<Mutex<Vec<Found>>>::default();
        let source: Arc<dyn Source> = Arc::new(source);
        let remembering = Remembering { source: source.clone(), found: found.clone() };
        Self { model: Model::new(World::default(), remembering), source, found }
    }

    /// The hosts as they were found.
    pub fn before(&self) -> States {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.iter().filter_map(|found| Some((found.host.name.clone(), found.state.clone()?))).collect()
    }

    /// The same for a plan, those that did not answer too.
    pub fn surveyed(&self) -> Vec<Surveyed> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.iter().map(|found| Surveyed::new(&found.host, &found.project, found.state.as_ref())).collect()
    }

    /// Another model that begins with this world as it is now.
    #[must_use]
    pub fn fork(&self) -> Self {
        let world = self.model.world();
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let found = found.iter().map(|found| Found {
            host: found.host.clone(),
            project: found.project.clone(),
            state: world.state(&found.host.name).cloned(),
        });
        let found = Arc::new(Mutex::new(found.collect()));
        let source = Remembering { source: self.source.clone(), found: found.clone() };
        Self { model: Model::new(world, source), source: self.source.clone(), found }
    }

    /// What a call would do to it, and its answer.
    pub fn forecast(&self, call: &Call) -> Result<(States, States, Outcome), Failure> {
        let (before, after, outcome) = self.model.forecast(call)?;
        Ok((before.states(), after.states(), outcome))
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
    source: Arc<dyn Source>,
    found: Arc<Mutex<Vec<Found>>>,
}

impl Source for Remembering {
    fn survey(&self, call: &Call, host: &Host, project: &ProjectName) -> Result<HostState, Failure> {
        let answer = self.source.survey(call, host, project);
        let state = match &answer {
            Ok(state) => Some(state.clone()),
            Err(failure) if failure.kind == FailureKind::Unreachable => None,
            Err(_) => return answer,
        };
        let found = Found { host: host.clone(), project: project.clone(), state };
        self.found.lock().unwrap_or_else(PoisonError::into_inner).push(found);
        answer
    }

    fn read(&self, call: &Call) -> Option<Result<Outcome, Failure>> {
        self.source.read(call)
    }

    fn needs_nothing(&self) -> bool {
        self.source.needs_nothing()
    }
}

/// The states of a world.
pub fn states(world: &World) -> States {
    world.states()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::executor::{Answer, Event};

    #[derive(Default)]
    struct Counting(AtomicUsize);

    impl Executor for Counting {
        fn perform(&self, _: &Call) -> Result<Outcome, Failure> {
            Ok(Outcome::default())
        }

        fn reach_again(&self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    struct Quiet;

    impl Narrator for Quiet {
        fn tell(&self, _: Event<'_>) {}
    }

    impl Steps for Quiet {
        fn before(&self, _: &Call) -> Answer {
            Answer::Do
        }
        fn done(&self, _: &Call, _: &Outcome) {}
        fn failed(&self, _: &Call, failure: &Failure) -> Answer {
            Answer::Fail(Box::new(failure.clone()))
        }
    }

    #[test]
    fn that_hosts_are_to_be_reached_again_goes_down_to_what_reaches_them() {
        let counting = Arc::new(Counting::default());
        let stack = Stack::over(counting.clone(), Arc::new(Quiet), Terms::default());
        stack.executor().reach_again();
        assert_eq!(counting.0.load(Ordering::SeqCst), 1);
        stack.stepping(Arc::new(Quiet), Arc::new(Quiet)).executor().reach_again();
        assert_eq!(counting.0.load(Ordering::SeqCst), 2);
    }
}
