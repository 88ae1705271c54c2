//! What takes an op back.

use std::{ops::Deref, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Op;

/// The ops that take one back, in the order in which they are to be done. Whoever keeps what came of an op has them too: copies share
/// them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inverse(Arc<[Op]>);

impl Inverse {
    /// Adds ops behind those that are there.
    pub fn extend(&mut self, more: impl IntoIterator<Item = Op>) {
        let more: Vec<Op> = more.into_iter().collect();
        if !more.is_empty() {
            self.0 = if self.0.is_empty() { more.into() } else { self.iter().cloned().chain(more).collect() };
        }
    }
}

impl Deref for Inverse {
    type Target = [Op];

    fn deref(&self) -> &[Op] {
        &self.0
    }
}

impl From<Vec<Op>> for Inverse {
    fn from(ops: Vec<Op>) -> Self {
        Self(ops.into())
    }
}

impl IntoIterator for Inverse {
    type Item = Op;
    type IntoIter = std::vec::IntoIter<Op>;

    fn into_iter(self) -> Self::IntoIter {
        let ops: Vec<Op> = self.0.iter().cloned().collect();
        ops.into_iter()
    }
}

impl<'a> IntoIterator for &'a Inverse {
    type Item = &'a Op;
    type IntoIter = std::slice::Iter<'a, Op>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Serialize for Inverse {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Inverse {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::from)
    }
}

/// Whether nothing takes the op back, for serde.
pub(crate) fn is_none(inverse: &Inverse) -> bool {
    inverse.is_empty()
}
