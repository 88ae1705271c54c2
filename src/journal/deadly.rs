//! Death at a chosen record, for tests of what is left of a run that was killed.

use std::io;

use super::{Entry, Store};

/// Ends the process at once, as a kill from outside would, before or after one record of a change.
pub struct Deadly<S> {
    inner: S,
    /// How many points are left.
    left: usize,
    die: fn(),
}

impl<S: Store> Deadly<S> {
    /// Dies at this point, from 0. Each change has four: before its intent, between intent and effect, between effect and outcome,
    /// after the outcome.
    pub const fn new(inner: S, point: usize) -> Self {
        Self { inner, left: point, die: || std::process::abort() }
    }

    fn point(&mut self) {
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => (self.die)(),
        }
    }
}

impl<S: Store> Store for Deadly<S> {
    fn append(&mut self, entry: &Entry, line: &str) -> io::Result<()> {
        let is_of_change = entry.is_durable() && matches!(entry, Entry::Intent(_) | Entry::Done { .. } | Entry::Failed { .. });
        if !is_of_change {
            return self.inner.append(entry, line);
        }
        self.point();
        self.inner.append(entry, line)?;
        self.point();
        Ok(())
    }

    fn keeps_lines(&self) -> bool {
        self.inner.keeps_lines()
    }

    fn acknowledge(&mut self, entry: &Entry) -> io::Result<()> {
        self.inner.acknowledge(entry)
    }
}
