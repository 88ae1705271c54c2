//! Ops about the run itself, which every host is told nothing of.

use serde::{Deserialize, Serialize};

use super::{Host, Op};
use crate::model::{Period, Text};

/// Makes what its block did so far final: no undo reaches behind it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Commit {
    /// Whether it stops in the middle of something that was to be done as a whole: what is there is neither the new nor the old.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unfinished: bool,
}

impl Commit {
    pub(super) fn describe(&self) -> String {
        let what = if self.unfinished { "what was done so far stays, unfinished" } else { "what was done so far is final" };
        what.into()
    }
    pub(super) fn host(&self) -> Option<&Host> {
        None
    }
}

/// Asks a person: yes or no.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Confirm {
    /// The question.
    pub question: String,
    /// What the command line can answer it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The answer where nobody can be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<bool>,
}

impl Confirm {
    pub(super) fn describe(&self) -> String {
        self.question.clone()
    }
    pub(super) fn host(&self) -> Option<&Host> {
        None
    }
}

/// Posts something to a URL, for people who want to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notify {
    /// The URL, `http` or `https`.
    pub url: Text,
    /// What is posted.
    pub payload: Text,
    /// What the payload is: a media type.
    pub media_type: String,
    /// How long it may take.
    pub timeout: Period,
}

impl Notify {
    /// The media type in whose text a secret's value is escaped as JSON.
    pub const JSON: &str = "application/json";

    pub(super) fn describe(&self) -> String {
        self.url.to_string()
    }
    pub(super) fn host(&self) -> Option<&Host> {
        None
    }
}

/// Marks a host that the script leaves as it is: a run with such a host does not end well.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeaveOut {
    /// The host.
    pub host: Host,
    /// Why, for people.
    pub why: String,
    /// Whether this takes the mark back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub taken_back: bool,
}

impl LeaveOut {
    /// What takes it back, where what left it out is undone as a whole.
    pub fn inverse(&self) -> Op {
        Self { taken_back: !self.taken_back, ..self.clone() }.into()
    }
    pub(super) fn describe(&self) -> String {
        if self.taken_back { "no longer".into() } else { format!("because {}", self.why) }
    }
    pub(super) fn host(&self) -> Option<&Host> {
        Some(&self.host)
    }
}
