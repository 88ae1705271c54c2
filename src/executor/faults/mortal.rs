//! A journal on a machine that may die.

use std::{io, sync::Arc};

use super::{Fault, Faults, Source};
use crate::journal::{Entry, Store};

/// The disk of a machine: what is to be written when that is dead is not.
pub struct Mortal<S>(Arc<Faults<S>>);

impl<S: Source> Mortal<S> {
    /// Takes what is written as long as `fleet` says that the operator's machine lives.
    pub const fn new(fleet: Arc<Faults<S>>) -> Self {
        Self(fleet)
    }
}

fn dead() -> io::Result<()> {
    Err(io::Error::other("the operator's machine is dead"))
}

impl<S: Source> Store for Mortal<S> {
    fn append(&mut self, entry: &Entry, _: &str) -> io::Result<()> {
        if self.0.is_dead() {
            return dead();
        }
        match entry {
            Entry::Intent(intent) if self.0.dies_at(&intent.asked, Fault::OperatorBeforeIntent) => dead(),
            _ => {
                self.0.lock().written += 1;
                Ok(())
            }
        }
    }

    /// The next process reads what this one has in memory.
    fn keeps_lines(&self) -> bool {
        false
    }

    fn acknowledge(&mut self, entry: &Entry) -> io::Result<()> {
        match entry {
            Entry::Done { asked, .. } | Entry::Failed { asked, .. } if self.0.dies_at(asked, Fault::OperatorAfterOutcome) => dead(),
            _ => Ok(()),
        }
    }
}
