//! What an op returned.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Answer, Inverse, Op, inverse::is_none};
use crate::model::ContainerName;

/// What an op returned: plain data, its inverse, and whether it was assumed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The op's own output.
    pub value: Answer,
    /// The ops that take it back, in the order in which they are to be done.
    #[serde(default, skip_serializing_if = "is_none")]
    pub inverse: Inverse,
    /// What a model could not know and took for granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assumed: Option<String>,
    /// Containers that it was to end and that were not there any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<ContainerName>,
}

/// What is noted of what was not done.
const BY_HAND: &str = "skipped by hand";

impl Outcome {
    /// An outcome with this output and no inverse.
    pub fn of(output: impl Serialize + Send + Sync + 'static) -> Self {
        Self { value: Answer::of(output), ..Self::default() }
    }

    /// Adds what takes it back.
    #[must_use]
    pub fn undone_by(mut self, inverse: impl IntoIterator<Item = Op>) -> Self {
        self.inverse.extend(inverse);
        self
    }

    /// What a person takes for the answer of an op that is not done.
    #[must_use]
    pub fn by_hand(value: Value) -> Self {
        Self { value: value.into(), ..Self::default() }.skipped()
    }

    /// Says that it was not done.
    #[must_use]
    pub fn skipped(self) -> Self {
        self.assuming(BY_HAND)
    }

    /// Whether a person left it out: nothing was done.
    pub fn is_skipped(&self) -> bool {
        self.assumed.as_deref() == Some(BY_HAND)
    }

    /// Says which containers were gone already.
    #[must_use]
    pub fn without(mut self, gone: Vec<ContainerName>) -> Self {
        self.gone = gone;
        self
    }

    /// Says what was taken for granted, besides what was before.
    #[must_use]
    pub fn assuming(mut self, what: impl Into<String>) -> Self {
        let what = what.into();
        self.assumed = Some(self.assumed.map_or_else(|| what.clone(), |known| format!("{known}; {what}")));
        self
    }

    /// Says all of this.
    #[must_use]
    pub fn assuming_all(self, what: impl IntoIterator<Item = String>) -> Self {
        what.into_iter().fold(self, Self::assuming)
    }
}
