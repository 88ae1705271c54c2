//! What happens in a run, told as it happens.

use std::time::Duration;

use super::{Outcome, call::Call};
use crate::failure::{Failure, Origin};

/// Listens to a run. Called from the script's thread and from its branches' threads.
pub trait Narrator: Send + Sync {
    /// Takes note of an event.
    fn tell(&self, event: Event<'_>);
}

/// Something that happened.
pub enum Event<'a> {
    /// A call began.
    Began {
        /// The call.
        call: &'a Call,
    },
    /// A call in flight is further.
    Progressed {
        /// The call.
        call: &'a Call,
        /// What it is doing.
        what: &'a str,
        /// How much is done and how much there is, in bytes, where that is known.
        bytes: Option<(u64, u64)>,
    },
    /// A call succeeded.
    Done {
        /// The call.
        call: &'a Call,
        /// What it returned.
        outcome: &'a Outcome,
        /// How long it took.
        took: Duration,
    },
    /// A call failed.
    Failed {
        /// The call.
        call: &'a Call,
        /// Why.
        failure: &'a Failure,
        /// How long it took.
        took: Duration,
    },
    /// A call was answered by what an earlier process of the run noted, and not made again.
    Replayed {
        /// The call.
        call: &'a Call,
        /// What came back of it then.
        result: &'a Result<Outcome, Failure>,
    },
    /// A `phase` of the script began.
    PhaseBegan {
        /// Its title.
        title: &'a str,
        /// How many phases it is in.
        depth: usize,
    },
    /// A `phase` of the script ended.
    PhaseEnded {
        /// Its title.
        title: &'a str,
        /// How many phases it is in.
        depth: usize,
        /// How long it took.
        took: Duration,
    },
    /// The script said something.
    Said {
        /// How loud.
        level: Level,
        /// The words.
        text: &'a str,
        /// Where.
        origin: &'a Origin,
    },
    /// An API call or a command on the way to a host; for `-v`.
    Sent {
        /// The host.
        host: &'a str,
        /// The call or command, secrets left out.
        what: &'a str,
    },
}

/// How loud a script says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// `info` and `print`.
    Info,
    /// `warn`.
    Warn,
}

/// Where an executor tells how far a call is.
pub trait Progress: Send + Sync {
    /// Says what it is doing.
    fn doing(&self, what: &str);
    /// Says how many bytes of how many are done.
    fn bytes(&self, what: &str, done: u64, of: u64);
    /// Says that an API call or a command goes to a host; secrets are left out.
    fn sent(&self, host: &str, what: &str);
}

/// Nobody listens.
pub struct Discard;

impl Progress for Discard {
    fn doing(&self, _: &str) {}
    fn bytes(&self, _: &str, _: u64, _: u64) {}
    fn sent(&self, _: &str, _: &str) {}
}
