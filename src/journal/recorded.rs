//! One call and what came back of it.

use serde::Serialize;

use super::Entry;
use crate::{
    failure::{Failure, Origin},
    model::Key,
    op::{Op, Outcome},
};

/// One call and what came back of it.
#[derive(Clone, Debug, Serialize)]
pub struct Recorded {
    /// Which call.
    pub key: Key,
    /// What was asked for.
    pub op: Op,
    /// The place in the script.
    pub origin: Origin,
    /// What came back.
    pub result: Result<Outcome, Failure>,
    /// How long it took.
    pub seconds: f64,
}

impl Recorded {
    /// The record of what came back of a call, if the entry is one.
    pub fn of(entry: &Entry) -> Option<Self> {
        let (asked, result, seconds) = match entry {
            Entry::Done { asked, outcome, seconds, .. } => (asked, Ok(outcome.clone()), *seconds),
            Entry::Failed { asked, failure, seconds, .. } => (asked, Err(failure.clone()), *seconds),
            _ => return None,
        };
        Some(Self { key: asked.key.clone(), op: asked.op.clone(), origin: asked.origin.clone(), result, seconds })
    }

    /// The ops that take back what the call did, where it failed the part of its work that it had done.
    pub fn inverse(&self) -> &[Op] {
        match &self.result {
            Ok(outcome) => &outcome.inverse,
            Err(failure) => &failure.inverse,
        }
    }
}

/// Sorts records as the script made the calls, whichever branch was faster.
pub fn in_script_order(records: &mut [Recorded]) {
    records.sort_by(|left, right| left.key.in_script_order(&right.key));
}
