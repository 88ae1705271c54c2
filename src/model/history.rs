//! What was deployed on a host.

use serde::{Deserialize, Serialize};

use super::name::{RunId, Version};

/// One deploy of one service on one host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// The version.
    pub version: Version,
    /// The image's reference.
    pub image: String,
    /// The run that deployed it.
    pub run: RunId,
    /// When, in RFC 3339, UTC.
    pub at: String,
    /// Who: `user@machine` of the operator.
    pub by: String,
}
