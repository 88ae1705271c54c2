//! Ops about the run itself, which every host is told nothing of.

use serde::{Deserialize, Serialize};

use super::Host;

/// Makes what its block did so far final: no undo reaches behind it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Commit {}

impl Commit {
    pub(super) fn describe(&self) -> String {
        "what was done so far is final".into()
    }
    pub(super) fn host(&self) -> Option<&Host> {
        None
    }
}
