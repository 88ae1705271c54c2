//! A journal on a machine that may die.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Fault, Faults, Source};
use crate::journal::{Entry, Store};

/// A disk that outlives its process, and keeps nothing that is written when that is dead.
pub struct Mortal<S> {
    fleet: Arc<Faults<S>>,
    disk: Arc<Mutex<String>>,
}

impl<S: Source> Mortal<S> {
    /// Writes to `disk` as long as `fleet` says that the operator's machine lives.
    pub const fn new(fleet: Arc<Faults<S>>, disk: Arc<Mutex<String>>) -> Self {
        Self { fleet, disk }
    }
}

impl<S: Source> Store for Mortal<S> {
    fn append(&mut self, entry: &Entry, line: &str) -> io::Result<()> {
        let dead = || Err(io::Error::other("the operator's machine is dead"));
        if self.fleet.is_dead() {
            return dead();
        }
        if let Entry::Intent(intent) = entry
            && self.fleet.dies_at(intent.asked.key.as_str(), intent.asked.op.verb(), Fault::OperatorBeforeIntent)
        {
            return dead();
        }
        self.disk.lock().unwrap_or_else(PoisonError::into_inner).push_str(line);
        match entry {
            Entry::Done { asked, .. } | Entry::Failed { asked, .. }
                if self.fleet.dies_at(asked.key.as_str(), asked.op.verb(), Fault::OperatorAfterOutcome) =>
            {
                dead()
            }
            _ => Ok(()),
        }
    }
}
