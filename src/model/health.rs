//! How a container shows that it can serve.

use serde::{Deserialize, Serialize};

use super::quantity::Period;

/// A health check: what is asked, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Health {
    /// What is asked.
    pub check: Check,
    /// How long the whole wait may take.
    #[serde(default = "whole_wait")]
    pub timeout: Period,
    /// How long to wait between two tries.
    #[serde(default = "between_tries")]
    pub interval: Period,
    /// How many good answers in a row count as healthy.
    #[serde(default = "one")]
    pub successes: u32,
    /// How long failures do not count after the start.
    #[serde(default)]
    pub start_period: Period,
}

impl Health {
    /// A check with the usual times: at most 30 s, a try each second, one good answer.
    pub fn new(check: Check) -> Self {
        Self { check, timeout: whole_wait(), interval: between_tries(), successes: one(), start_period: Period::default() }
    }
}

/// What a health check asks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Check {
    /// A GET that is answered with one of the expected codes.
    Http {
        /// The path with its query, beginning with `/`.
        path: String,
        /// The codes that count as healthy.
        expect: Vec<u16>,
    },
    /// A TCP connection that is accepted.
    Tcp,
    /// A command in the container that exits with 0.
    Command {
        /// The program and its arguments.
        command: Vec<String>,
    },
    /// The engine's own verdict, by the image's `HEALTHCHECK`.
    Docker,
    /// The container still runs after two seconds.
    None,
}

fn whole_wait() -> Period {
    Period::seconds(30)
}

fn between_tries() -> Period {
    Period::seconds(1)
}

fn one() -> u32 {
    1
}
