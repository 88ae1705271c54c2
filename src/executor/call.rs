//! One call of one op.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
};

use super::event::{Discard, Progress};
use crate::{
    failure::{Failure, Origin},
    model::{Key, Period, RunInfo, Shared, Token},
    op::{Inverse, Op},
};

/// An op with what an executor needs to know about its circumstances.
#[derive(Clone)]
pub struct Call {
    /// What is asked for.
    pub op: Shared<Op>,
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
    /// How long a host that is lost in it is tried again, where the script says so.
    pub reconnect: Option<Period>,
    /// What takes it back, as it was found before the first try: a later try may find it done already.
    pub foreseen: Inverse,
    /// Whether an earlier process asked for it and did not live to see its answer.
    pub is_in_doubt: bool,
}

impl Call {
    /// A call of `op` in `run`, nobody listening.
    pub fn new(op: impl Into<Shared<Op>>, key: Key, origin: Origin, run: Arc<RunInfo>) -> Self {
        let token = key.token(&run.id);
        Self {
            op: op.into(),
            key,
            token,
            origin,
            run,
            progress: Arc::new(Discard),
            cancellation: Cancellation::default(),
            reconnect: None,
            foreseen: Inverse::default(),
            is_in_doubt: false,
        }
    }

    /// Whether what it ends may be gone already: where it takes something back, or was asked for before, somebody else may have
    /// ended it meanwhile. A script that ends what is not there is wrong.
    pub fn may_find_it_gone(&self) -> bool {
        self.key.is_undo() || self.is_in_doubt
    }

    /// A failure that came before anything of this call was sent. What an earlier process had asked for may have been done.
    pub fn unsent(&self, failure: Failure) -> Failure {
        if self.is_in_doubt { failure } else { failure.not_sent() }
    }

    /// The same circumstances with another op: for what an executor has to know before or after the call itself.
    #[must_use]
    pub fn with(&self, op: impl Into<Shared<Op>>) -> Self {
        Self { op: op.into(), progress: Arc::new(Discard), foreseen: Inverse::default(), ..self.clone() }
    }
}

/// Tells everyone who works for a run to stop.
#[derive(Clone, Debug)]
pub struct Cancellation(Arc<Told>);

#[derive(Debug)]
struct Told {
    urgency: AtomicU8,
    notify: tokio::sync::Notify,
    /// How many steps the script's own code may take, and how many it has taken.
    steps: u64,
    taken: AtomicU64,
    is_spent: AtomicBool,
}

impl Default for Cancellation {
    fn default() -> Self {
        Self::within(u64::MAX)
    }
}

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
    /// One that also stops a script whose own code takes more steps than this.
    pub fn within(steps: u64) -> Self {
        let (urgency, is_spent) = (AtomicU8::new(Urgency::None as u8), AtomicBool::new(false));
        Self(Arc::new(Told { urgency, notify: tokio::sync::Notify::new(), steps, taken: AtomicU64::new(0), is_spent }))
    }

    /// One that nobody has asked for yet, with as many steps.
    #[must_use]
    pub fn again(&self) -> Self {
        Self::within(self.0.steps)
    }

    /// Takes note that the script's code has taken so many steps more, wherever it took them: its closures are counted too.
    pub fn spends(&self, steps: u64) {
        let taken = self.0.taken.fetch_add(steps, Ordering::Relaxed).saturating_add(steps);
        if taken > self.0.steps {
            self.0.is_spent.store(true, Ordering::SeqCst);
            self.request(Urgency::Finish);
        }
    }

    /// How many steps the script's code has taken.
    pub fn taken(&self) -> u64 {
        self.0.taken.load(Ordering::Relaxed)
    }

    /// Whether the script's code took more steps than it may.
    pub fn is_spent(&self) -> bool {
        self.0.is_spent.load(Ordering::SeqCst)
    }

    /// Asks for it; a lesser urgency than before changes nothing.
    pub fn request(&self, urgency: Urgency) {
        self.0.urgency.fetch_max(urgency as u8, Ordering::SeqCst);
        self.0.notify.notify_waiters();
    }

    /// Goes on behind what was stopped, as a session does that is typed line by line; what was told to stop now ends all the same.
    /// Returns whether it goes on.
    pub fn goes_on(&self) -> bool {
        let told = &self.0.urgency;
        let finish = told.compare_exchange(Urgency::Finish as u8, Urgency::None as u8, Ordering::SeqCst, Ordering::SeqCst);
        finish.is_ok() || self.urgency() == Urgency::None
    }

    /// What was asked for.
    pub fn urgency(&self) -> Urgency {
        match self.0.urgency.load(Ordering::SeqCst) {
            0 => Urgency::None,
            1 => Urgency::Finish,
            _ => Urgency::Now,
        }
    }

    /// Waits until at least this is asked for.
    pub async fn requested(&self, urgency: Urgency) {
        loop {
            let notified = self.0.notify.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if self.urgency() >= urgency {
                return;
            }
            notified.await;
        }
    }
}
