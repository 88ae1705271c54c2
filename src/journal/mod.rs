//! What a run asked for and what came back: records in lines of JSON, chained by hashes, on disk before anything leaves.
//!
//! - [`entry`]: the records. - [`chain`]: a record as a line, and lines as records again, torn ones left out.
//! - [`store`]: where lines are kept: a file that is locked and synced, or memory. - [`folder`]: the runs of a project.
//! - [`state`]: what became of a run. `docs/journal.md` tells the format.

pub mod chain;
pub mod deadly;
pub mod entry;
pub mod folder;
pub mod recorded;
pub mod state;
pub mod store;

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

pub use self::{
    chain::Chain,
    entry::{Asked, Began, Ended, Entry, Header, How, Intent, Source, now},
    recorded::Recorded,
    state::State,
    store::{Memory, Store},
};
use crate::{
    failure::{Failure, FailureKind},
    model::Key,
};

/// A run's journal, open for writing.
pub struct Journal(Mutex<Open>);

struct Open {
    store: Box<dyn Store>,
    chain: Chain,
    /// The last record of each key, as an index of the chain's entries.
    outcomes: HashMap<Key, usize>,
    intents: HashMap<Key, usize>,
    /// How many entries an earlier process left.
    earlier: usize,
}

impl Journal {
    /// Goes on with what is in the chain; `store` has it already.
    pub fn open(store: impl Store + 'static, chain: Chain) -> Self {
        let earlier = chain.entries().len();
        let mut open = Open { store: Box::new(store), chain, outcomes: HashMap::new(), intents: HashMap::new(), earlier };
        (0..earlier).for_each(|index| open.index(index));
        Self(Mutex::new(open))
    }

    /// A journal that nobody reads after this process: of a dry run or a simulation.
    pub fn in_memory() -> Self {
        Self::open(Memory, Chain::default())
    }

    /// Adds a record. An intent and what came back of a change are on the disk when it returns.
    pub fn append(&self, entry: Entry) -> Result<(), Failure> {
        let mut open = self.lock();
        let line = open.chain.line(&entry);
        open.store.append(&entry, &line).map_err(|error| {
            Failure::failed(format!("the journal cannot be written: {error}"))
                .hint("make room on this machine's disk, then `podlift resume`")
        })?;
        open.chain.push(entry, &line);
        let index = open.chain.entries().len() - 1;
        open.index(index);
        Ok(())
    }

    /// What came back of this call, if it was recorded.
    pub fn recorded(&self, key: &Key) -> Option<Recorded> {
        let open = self.lock();
        open.outcomes.get(key).and_then(|index| Recorded::of(&open.chain.entries()[*index]))
    }

    /// The intent of this call, if an earlier process left it without an outcome: nobody knows whether it was done.
    pub fn in_doubt(&self, key: &Key) -> Option<Intent> {
        let open = self.lock();
        let index = *open.intents.get(key)?;
        let settles = |outcome: &Entry| !matches!(outcome, Entry::Failed { failure, .. } if failure.kind == FailureKind::Interrupted);
        let settled = open.outcomes.get(key).is_some_and(|outcome| *outcome > index && settles(&open.chain.entries()[*outcome]));
        match &open.chain.entries()[index] {
            Entry::Intent(intent) if !settled && index < open.earlier => Some(intent.clone()),
            _ => None,
        }
    }

    /// What came back of every call, the last of each key, in the order in which the calls ended.
    pub fn records(&self) -> Vec<Recorded> {
        let open = self.lock();
        let mut indices: Vec<usize> = open.outcomes.values().copied().collect();
        indices.sort_unstable();
        indices.into_iter().filter_map(|index| Recorded::of(&open.chain.entries()[index])).collect()
    }

    /// Every change that an earlier process left without an outcome, in the order in which they were asked for.
    pub fn doubts(&self) -> Vec<Intent> {
        let keys: Vec<Key> = self.lock().intents.keys().cloned().collect();
        let mut doubts: Vec<Intent> = keys.iter().filter_map(|key| self.in_doubt(key)).collect();
        doubts.sort_by(|left, right| left.asked.key.in_script_order(&right.asked.key));
        doubts
    }

    /// Whether an earlier process of the run has left something in it.
    pub fn goes_on(&self) -> bool {
        self.lock().earlier > 0
    }

    /// Whether an earlier process began to take the run back.
    pub fn is_undoing(&self) -> bool {
        self.lock().chain.is_undoing()
    }

    /// All that is in it.
    pub fn chain(&self) -> Chain {
        self.lock().chain.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn index(&mut self, index: usize) {
        match &self.chain.entries()[index] {
            Entry::Intent(intent) => self.intents.insert(intent.asked.key.clone(), index),
            Entry::Done { asked, .. } | Entry::Failed { asked, .. } => self.outcomes.insert(asked.key.clone(), index),
            _ => None,
        };
    }
}
