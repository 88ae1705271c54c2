//! Death, or a halt, at a chosen record, for tests: of what is left of a run that was killed, and of what becomes of one that loses
//! a host just there.

use std::{fs, io, path::PathBuf, thread, time::Duration};

use super::{Entry, Store};

/// Lets something happen before or after one record of a change.
pub struct Deadly<S> {
    inner: S,
    /// How many points are left; `None` once it has happened.
    left: Option<usize>,
    happen: Box<dyn Fn() + Send>,
}

impl<S: Store> Deadly<S> {
    /// Dies at this point, from 0, at once, as a kill from outside would. Each change has four: before its intent, between intent
    /// and effect, between effect and outcome, after the outcome.
    pub fn new(inner: S, point: usize) -> Self {
        Self { inner, left: Some(point), happen: Box::new(|| std::process::abort()) }
    }

    /// At this point makes a file, and goes on once somebody has taken it away.
    pub fn halting(inner: S, point: usize, file: PathBuf) -> Self {
        let halt = move || {
            let made = fs::write(&file, "");
            while made.is_ok() && file.exists() {
                thread::sleep(Duration::from_millis(5));
            }
        };
        Self { inner, left: Some(point), happen: Box::new(halt) }
    }

    fn point(&mut self) {
        match self.left {
            Some(0) => {
                self.left = None;
                (self.happen)();
            }
            left => self.left = left.map(|left| left - 1),
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
