//! What became of a run, by its journal.

use serde::Serialize;

use super::{Chain, Entry};

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// A process works on it.
    Running,
    /// It reached its end.
    Done,
    /// It failed before it changed anything.
    Failed,
    /// It failed, or was told to, and what it did was taken back.
    Undone,
    /// It failed and a part of what it did stands.
    Mixed,
    /// It stopped in the middle: it can be resumed or undone.
    Interrupted,
}

impl State {
    /// Reads it off the records; `is_running` is whether a process has the journal.
    pub fn of(chain: &Chain, is_running: bool) -> Self {
        if is_running {
            return Self::Running;
        }
        match chain.entries().last() {
            Some(Entry::Ended(ended)) => match ended.exit.as_str() {
                "done" => Self::Done,
                "undone" => Self::Undone,
                "mixed" => Self::Mixed,
                "interrupted" => Self::Interrupted,
                _ => Self::Failed,
            },
            _ => Self::Interrupted,
        }
    }

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Undone => "undone",
            Self::Mixed => "mixed",
            Self::Interrupted => "interrupted",
        }
    }

    /// Whether there is something to go on with.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Mixed | Self::Interrupted)
    }
}
