//! The records of a journal.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    failure::{Failure, Origin},
    model::{Key, RunInfo, Shared},
    op::{GitState, Inverse, Op, Outcome},
};

/// The version of the format that this podlift writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// One record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Entry {
    /// The first of every journal: what is run.
    Header(Header),
    /// A process began to work on the run.
    Began(Began),
    /// A change is about to be asked for.
    Intent(Intent),
    /// A call succeeded.
    Done {
        /// What was asked for.
        #[serde(flatten)]
        asked: Asked,
        /// What it returned.
        outcome: Outcome,
        /// When, in RFC 3339, UTC; empty in journals of an earlier podlift.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        at: String,
        /// How long it took.
        seconds: f64,
        /// Who said so, where nobody could know it but a person.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answered_by: Option<String>,
    },
    /// A call failed or was refused.
    Failed {
        /// What was asked for.
        #[serde(flatten)]
        asked: Asked,
        /// Why.
        failure: Failure,
        /// When, in RFC 3339, UTC; empty in journals of an earlier podlift.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        at: String,
        /// How long it took.
        seconds: f64,
    },
    /// A call, or a branch with all of its calls, was not made because another branch of its `parallel` had failed.
    Forgone {
        /// Which call; of a branch that was never begun, its part of the call of `parallel`.
        key: Key,
    },
    /// What was done since the last commit is being taken back, from here on: the script is not entered again.
    Undoing {
        /// When, in RFC 3339, UTC.
        at: String,
    },
    /// A person gave a variable another value: the script alone does not lead here any more.
    SetByHand {
        /// When, in RFC 3339, UTC.
        at: String,
        /// The variable.
        variable: String,
    },
    /// A process ended its work on the run.
    Ended(Ended),
}

/// What is run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The version of the format.
    pub format: u32,
    /// The version of podlift that began it.
    pub podlift: String,
    /// The run.
    pub run: RunInfo,
    /// The script's folder on the machine that began it.
    pub folder: String,
    /// The script.
    pub script: Source,
    /// Everything that it imports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub imports: Vec<Source>,
    /// Its `KEY=VALUE` arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<(String, String)>,
    /// The repository that the script is in, if it is in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<GitState>,
    /// Whether it is held to a plan: the one that was made for a run of this id.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub planned: bool,
}

/// What a run that is typed calls its script, which is none.
pub const TYPED: &str = "(typed)";

impl Header {
    /// The script and its arguments, as a command line has them.
    pub fn words(&self) -> String {
        let arguments = self.arguments.iter().flat_map(|(key, value)| [" ", key, "=", value]);
        std::iter::once(self.script.name.as_str()).chain(arguments).collect()
    }

    /// Whether the run was typed: what it did is no script's.
    pub fn is_typed(&self) -> bool {
        self.script.text.is_empty() && self.script.name.ends_with(TYPED)
    }
}

/// A text of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// What messages call it.
    pub name: String,
    /// The hash of its text, 64 digits.
    pub sha256: String,
    /// The text.
    pub text: String,
}

impl Source {
    /// The text of this name.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { name: name.into(), sha256: hex(&Sha256::digest(&text)), text }
    }

    /// Whether the text is the one that was hashed.
    pub fn is_whole(&self) -> bool {
        self.sha256 == hex(&Sha256::digest(&self.text))
    }
}

/// A process that works on the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Began {
    /// When, in RFC 3339, UTC.
    pub at: String,
    /// Who: `user@machine`.
    pub by: String,
    /// Its process id there.
    pub process: u32,
    /// The version of podlift.
    pub podlift: String,
    /// What it does.
    pub how: How,
    /// The hashes of the last lines of copies that had gone another way and were left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instead_of: Vec<String>,
}

/// What a process does with a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// It runs the script from its beginning.
    Run,
    /// It goes on with it.
    Resume,
    /// It takes it back.
    Undo,
}

/// A change that is about to be asked for. Without an outcome behind it nobody knows whether it was done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// What is asked for.
    #[serde(flatten)]
    pub asked: Asked,
    /// When, in RFC 3339, UTC.
    pub at: String,
    /// What would take the change back, by what was there before it.
    #[serde(default, skip_serializing_if = "crate::op::inverse::is_none")]
    pub inverse: Inverse,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// Which call.
    pub key: Key,
    /// The place in the script.
    pub origin: Origin,
    /// The op, as its own object.
    #[serde(rename = "ask")]
    pub op: Shared<Op>,
}

/// How a process ended its work on a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// When, in RFC 3339, UTC.
    pub at: String,
    /// The word for its exit code: `done`, `undone`, `mixed`, `interrupted`, …
    pub exit: String,
    /// What the hosts were read to be, where they were: `all-new`, `all-old`, `mixed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Why it did not reach its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The place in the script where that was; not in journals of an earlier podlift.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

impl Entry {
    /// Whether a change is about to be asked for.
    pub fn is_change(&self) -> bool {
        matches!(self, Self::Intent(intent) if intent.asked.op.class().changes())
    }

    /// The ops that it tells of: what was asked for, and what takes it back.
    pub fn ops(&self) -> impl Iterator<Item = &Op> {
        let (asked, inverse) = match self {
            Self::Intent(intent) => (Some(&intent.asked), &*intent.inverse),
            Self::Done { asked, outcome, .. } => (Some(asked), &*outcome.inverse),
            Self::Failed { asked, failure, .. } => (Some(asked), &*failure.inverse),
            Self::Header(_) | Self::Began(_) | Self::Forgone { .. } | Self::Undoing { .. } | Self::SetByHand { .. } | Self::Ended(_) => {
                (None, [].as_slice())
            }
        };
        asked.map(|asked| &*asked.op).into_iter().chain(inverse)
    }

    /// Whether it has to be on the disk before anything else happens. What is lost of reads and waits is done again.
    pub fn is_durable(&self) -> bool {
        match self {
            Self::Done { asked, .. } | Self::Failed { asked, .. } => asked.op.class().changes(),
            Self::Header(_) | Self::Began(_) | Self::Intent(_) | Self::Undoing { .. } | Self::SetByHand { .. } | Self::Ended(_) => true,
            // What is undone for it comes behind it.
            Self::Forgone { .. } => false,
        }
    }
}

/// The time, in RFC 3339, UTC, to the millisecond.
pub fn now() -> String {
    to_the_millisecond(jiff::Timestamp::now())
}

fn to_the_millisecond(time: jiff::Timestamp) -> String {
    format!("{time:.3}")
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).expect("half a byte is one digit");
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_three_decimals_whatever_they_are() {
        let told = |nanosecond| to_the_millisecond(jiff::Timestamp::new(1_767_323_045, nanosecond).expect("within range"));
        assert_eq!(told(0), "2026-01-02T03:04:05.000Z");
        assert_eq!(told(120_000_000), "2026-01-02T03:04:05.120Z");
        assert_eq!(told(999_999_999), "2026-01-02T03:04:05.999Z", "a record is not of the next second");
    }
}
