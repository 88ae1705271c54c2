//! One call of one op.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use super::event::{Discard, Progress};
use crate::{
    failure::Origin,
    model::{Key, RunInfo, Token},
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
