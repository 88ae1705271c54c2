//! The names of a run's calls.

use std::{cmp::Ordering, fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::name::{RunId, Token};

/// Which call of a run it is: `4`, the second host of it `4[1]`, the first call of that branch `4[1].1`. Deterministic: it
/// does not depend on which branch is faster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String")]
pub struct Key(Arc<str>);

impl Key {
    /// The call number `number` (from 1) of the branch that `prefix` names; the run's own is empty.
    pub fn call(prefix: &str, number: usize) -> Self {
        format!("{prefix}{number}").into()
    }

    /// The part number `index` (from 0) of this call.
    #[must_use]
    pub fn part(&self, index: usize) -> Self {
        format!("{}[{index}]", self.0).into()
    }

    /// What the keys of the calls in this branch begin with.
    pub fn branch(&self) -> String {
        format!("{}.", self.0)
    }

    /// The number `index` (from 0) of the ops that undo this call.
    #[must_use]
    pub fn undo(&self, index: usize) -> Self {
        format!("undo/{}.{index}", self.0).into()
    }

    /// The block of code that makes this call: what the keys of its calls begin with; the run's own is empty.
    pub fn block(&self) -> &str {
        self.0.rfind('.').map_or("", |end| &self.0[..=end])
    }

    /// Whether it is the key of a call in this block, or in a block within it.
    pub fn is_in(&self, block: &str) -> bool {
        self.0.starts_with(block)
    }

    /// The way to it from the outermost block: at each level the call's number, and the part where it has parts.
    pub fn path(&self) -> Vec<(u64, Option<u64>)> {
        let level = |text: &str| {
            let (number, part) = text.trim_end_matches(']').split_once('[').map_or((text, None), |(number, part)| (number, Some(part)));
            (number.parse().unwrap_or(0), part.and_then(|part| part.parse().ok()))
        };
        self.0.split('.').map(level).collect()
    }

    /// Whether it is the key of an op that undoes a call.
    pub fn is_undo(&self) -> bool {
        self.0.starts_with("undo/")
    }

    /// The key, as text, of the call that it undoes.
    pub fn undoes(&self) -> Option<&str> {
        Some(self.0.strip_prefix("undo/")?.rsplit_once('.')?.0)
    }

    /// The key of what a person typed as number `number` while the run waited.
    pub fn aside(number: usize) -> Self {
        format!("aside/{number}").into()
    }

    /// The key of the leases that this call needs.
    #[must_use]
    pub fn lease(&self) -> Self {
        format!("lease/{}", self.0).into()
    }

    /// Whether a person typed it while the run waited.
    pub fn is_aside(&self) -> bool {
        self.0.starts_with("aside/")
    }

    /// The mark of what this call makes in this run.
    pub fn token(&self, run: &RunId) -> Token {
        let digest = Sha256::new().chain_update(run.as_str()).chain_update([0]).chain_update(self.as_str()).finalize();
        let number = digest.iter().take(5).fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        Token::new(format!("{number:010x}")).expect("five bytes are ten digits")
    }

    /// Compares keys as the script made the calls: `4[2]` comes before `4[10]`, `4[1]` before `4[1].1`, and what undoes comes last.
    #[must_use]
    pub fn in_script_order(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }

    /// Its place among the keys of its run, as [`in_script_order`](Self::in_script_order) compares them.
    pub fn place(&self) -> (bool, Vec<u64>) {
        let numbers = self.0.split(|character: char| !character.is_ascii_digit());
        (self.is_undo(), numbers.filter_map(|number| number.parse().ok()).collect())
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Key {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_by_their_numbers() {
        let mut keys = ["undo/1.0", "10", "4[10]", "4[2].1", "4[2]", "2"].map(|key| Key(key.into()));
        keys.sort_by(Key::in_script_order);
        assert_eq!(keys.each_ref().map(Key::as_str), ["2", "4[2]", "4[2].1", "4[10]", "10", "undo/1.0"]);
    }
}
