//! One call of one op.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::event::{Discard, Progress};
use crate::{
    failure::Origin,
    model::{RunId, RunInfo, Token},
    op::Op,
};

/// An op with what an executor needs to know about its circumstances.
#[derive(Clone)]
pub struct Call {
    /// What is asked for.
    pub op: Op,
    /// Which call of the run it is.
    pub key: Key,
    /// The mark of what it makes.
    pub token: Token,
    /// The place in the script.
    pub origin: Origin,
    /// The run.
    pub run: Arc<RunInfo>,
    /// Where to tell how far it is.
    pub progress: Arc<dyn Progress>,
    /// Tells when to stop.
    pub cancellation: Cancellation,
}

impl Call {
    /// A call of `op` in `run`, nobody listening.
    pub fn new(op: impl Into<Op>, key: Key, origin: Origin, run: Arc<RunInfo>) -> Self {
        let token = key.token(&run.id);
        Self { op: op.into(), key, token, origin, run, progress: Arc::new(Discard), cancellation: Cancellation::default() }
    }

    /// The same circumstances with another op: for what an executor has to know before or after the call itself.
    #[must_use]
    pub fn with(&self, op: impl Into<Op>) -> Self {
        Self { op: op.into(), progress: Arc::new(Discard), ..self.clone() }
    }
}

/// Which call of a run it is: `4`, the second host of it `4[1]`, the first call of that branch `4[1].1`. Deterministic: it
/// does not depend on which branch is faster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(String);

impl Key {
    /// The call number `number` (from 1) of the branch that `prefix` names; the run's own is empty.
    pub fn call(prefix: &str, number: usize) -> Self {
        Self(format!("{prefix}{number}"))
    }

    /// The part number `index` (from 0) of this call.
    #[must_use]
    pub fn part(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// What the keys of the calls in this branch begin with.
    pub fn branch(&self) -> String {
        format!("{}.", self.0)
    }

    /// The number `index` (from 0) of the ops that undo this call.
    #[must_use]
    pub fn undo(&self, index: usize) -> Self {
        Self(format!("undo/{}.{index}", self.0))
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

    /// The mark of what this call makes in this run.
    pub fn token(&self, run: &RunId) -> Token {
        let digest = Sha256::new().chain_update(run.as_str()).chain_update([0]).chain_update(&self.0).finalize();
        let number = digest.iter().take(5).fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        Token::new(format!("{number:010x}")).expect("five bytes are ten digits")
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Tells everyone who works for a run to stop.
#[derive(Clone, Debug, Default)]
pub struct Cancellation(Arc<(AtomicU8, tokio::sync::Notify)>);

/// How urgent a cancellation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Nobody asked.
    None = 0,
    /// The op in flight is finished, a wait ends at once, nothing new begins.
    Finish = 1,
    /// Everything stops now.
    Now = 2,
}

impl Cancellation {
    /// Asks for it; a lesser urgency than before changes nothing.
    pub fn request(&self, urgency: Urgency) {
        self.0.0.fetch_max(urgency as u8, Ordering::SeqCst);
        self.0.1.notify_waiters();
    }

    /// What was asked for.
    pub fn urgency(&self) -> Urgency {
        match self.0.0.load(Ordering::SeqCst) {
            0 => Urgency::None,
            1 => Urgency::Finish,
            _ => Urgency::Now,
        }
    }

    /// Waits until at least this is asked for.
    pub async fn requested(&self, urgency: Urgency) {
        loop {
            let notified = self.0.1.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if self.urgency() >= urgency {
                return;
            }
            notified.await;
        }
    }
}
