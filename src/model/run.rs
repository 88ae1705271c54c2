//! One execution of a script.

use serde::{Deserialize, Serialize};

use super::name::RunId;

/// What is the same for all calls of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunInfo {
    /// Its id.
    pub id: RunId,
    /// Who runs it: `user@machine`.
    pub operator: String,
    /// When it began, in RFC 3339, UTC.
    pub started: String,
}
