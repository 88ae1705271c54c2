//! What a run asked for and what came back: records in lines of JSON, chained by hashes, on disk before anything leaves.
//!
//! - [`entry`]: the records. - [`chain`]: a record as a line, and lines as records again, torn ones left out.
//! - [`store`]: where lines are kept: a file that is locked and synced, or memory. - [`folder`]: the runs of a project.
//! - [`forks`]: copies that have gone apart. - [`state`]: what became of a run. - [`timeline`]: what became of each of its calls. `docs/journal.md` tells the format.

pub mod chain;
pub mod deadly;
pub mod entry;
pub mod folder;
pub mod forks;
pub mod recorded;
pub mod state;
pub mod store;
pub mod timeline;

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
    op::Op,
};

/// A run's journal, open for writing.
pub struct Journal(Mutex<Open>);

struct Open {
    store: Box<dyn Store>,
    chain: Chain,
    /// The last record of each key, as an index of the chain's entries.
    outcomes: HashMap<Key, usize>,
    intents: HashMap<Key, usize>,
    forgone: Vec<Key>,
    /// How many entries an earlier process left.
    earlier: usize,
    instead_of: Vec<String>,
}

impl Journal {
    /// Goes on with what is in the chain; `store` has it already.
    pub fn open(store: impl Store + 'static, chain: Chain) -> Self {
        let earlier = chain.entries().len();
        let mut open = Open {
            store: Box::new(store),
            chain,
            outcomes: HashMap::new(),
            intents: HashMap::new(),
            forgone: Vec::new(),
            earlier,
            instead_of: Vec::new(),
        };
        (0..earlier).for_each(|index| open.index(index));
        Self(Mutex::new(open))
    }

    /// Says in place of which copies, that went another way, it is gone on with: the hashes of their last lines.
    #[must_use]
    pub fn instead_of(self, heads: Vec<String>) -> Self {
        self.lock().instead_of = heads;
        self
    }

    /// The hashes of the last lines of the copies in whose place it is gone on with.
    pub fn left_out(&self) -> Vec<String> {
        self.lock().instead_of.clone()
    }

    /// A journal that nobody reads after this process: of a dry run or a simulation.
    pub fn in_memory() -> Self {
        Self::open(Memory, Chain::default())
    }

    /// Adds a record. An intent and what came back of a change are on the disk when it returns.
    ///
    /// Fails where the record could not be written, and then it is not there; or, as an interruption, where it was written and no
    /// host could note what has to be known there first: then the change may not begin, and whoever goes on asks about it.
    pub fn append(&self, entry: Entry) -> Result<(), Failure> {
        let mut open = self.lock();
        let line = if open.store.keeps_lines() { open.chain.line(&entry) } else { String::new() };
        open.store.append(&entry, &line).map_err(|error| {
            Failure::failed(format!("the journal cannot be written: {error}"))
                .hint("make room on this machine's disk, then `podlift resume`")
        })?;
        open.chain.push(entry, &line);
        let index = open.chain.entries().len() - 1;
        open.index(index);
        let Open { store, chain, .. } = &mut *open;
        store.acknowledge(&chain.entries()[index]).map_err(|error| {
            Failure::new(FailureKind::Interrupted, error.to_string())
                .hint("it was not begun; once a host answers again, go on with `podlift resume --in-doubt redo`")
        })
    }

    /// What came back of this call, if it was recorded.
    pub fn recorded(&self, key: &Key) -> Option<Recorded> {
        let open = self.lock();
        open.outcomes.get(key).and_then(|index| Recorded::of(&open.chain.entries()[*index]))
    }

    /// Whether this call was not made for another branch's sake, or is in a branch that was not begun.
    pub fn is_forgone(&self, key: &Key) -> bool {
        self.lock().forgone.iter().any(|forgone| forgone == key || key.is_in(&forgone.branch()))
    }

    /// Whether the last intent of this call is for this very op.
    pub fn has_asked(&self, key: &Key, op: &Op) -> bool {
        let open = self.lock();
        let intent = open.intents.get(key).map(|index| &open.chain.entries()[*index]);
        matches!(intent, Some(Entry::Intent(intent)) if *intent.asked.op == *op)
    }

    /// The intent of this call, if an earlier process left it without an outcome: nobody knows whether it was done.
    pub fn in_doubt(&self, key: &Key) -> Option<Intent> {
        let open = self.lock();
        let index = *open.intents.get(key)?;
        let is_open = |failure: &Failure| failure.in_doubt || failure.kind == FailureKind::Interrupted;
        let settles = |outcome: &Entry| !matches!(outcome, Entry::Failed { failure, .. } if is_open(failure));
        let settled = open.outcomes.get(key).is_some_and(|outcome| *outcome > index && settles(&open.chain.entries()[*outcome]));
        match &open.chain.entries()[index] {
            Entry::Intent(intent) if !settled && index < open.earlier && intent.asked.op.class().changes() => Some(intent.clone()),
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
        if !self.goes_on() {
            return Vec::new();
        }
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

    /// The lines of all that is in it, as another machine reads them.
    pub fn text(&self) -> String {
        Chain::written(self.lock().chain.entries())
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn index(&mut self, index: usize) {
        match &self.chain.entries()[index] {
            Entry::Intent(intent) => drop(self.intents.insert(intent.asked.key.clone(), index)),
            Entry::Done { asked, .. } | Entry::Failed { asked, .. } => drop(self.outcomes.insert(asked.key.clone(), index)),
            Entry::Forgone { key } => self.forgone.push(key.clone()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, PoisonError},
    };

    use super::*;
    use crate::{
        failure::Origin,
        model::{Host, ProjectName, RunId, ServiceName, Version},
        op::{Forget, Inverse, Outcome},
    };

    /// A disk, and hosts that note nothing.
    struct Alone(Arc<Mutex<String>>);

    impl Store for Alone {
        fn append(&mut self, _: &Entry, line: &str) -> io::Result<()> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push_str(line);
            Ok(())
        }

        fn acknowledge(&mut self, entry: &Entry) -> io::Result<()> {
            if matches!(entry, Entry::Intent(_)) { Err(io::Error::other("no host could note it")) } else { Ok(()) }
        }
    }

    #[test]
    fn what_no_host_could_note_is_in_the_chain_all_the_same() {
        let disk = Arc::default();
        let journal = Journal::open(Alone(Arc::clone(&disk)), Chain::default());
        let asked = |number| Asked {
            key: Key::call("", number),
            origin: Origin { file: "deploy.rhai".into(), line: number, column: 1 },
            op: Forget {
                host: Host::parse("h1").expect("valid"),
                project: ProjectName::default(),
                service: ServiceName::new("web").expect("valid"),
                run: RunId::new("r1").expect("valid"),
                version: Version::new("v1").expect("valid"),
            }
            .into(),
        };
        let intent = Intent { asked: asked(1), at: now(), inverse: Inverse::default() };
        let failure = journal.append(Entry::Intent(intent.clone())).expect_err("nobody noted it");
        assert_eq!(failure.kind, FailureKind::Interrupted);
        let done = Entry::Done { asked: asked(2), outcome: Outcome::of(()), at: now(), seconds: 0.0, answered_by: None };
        journal.append(done).expect("the disk is there");

        let text = disk.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let chain = Chain::read(&text).expect("reads");
        assert_eq!((chain.entries().len(), &chain), (2, &journal.chain()));
        assert_eq!(Journal::open(Memory, chain).doubts(), [intent], "whoever goes on asks");
    }
}
