//! How an op gets done. Two executors do anything ([`live`](self) over the fleet, and [`model`] over a [`World`](crate::world::World));
//! the rest wrap another. A mode is a stack of them, never a flag.

pub mod ages;
pub mod branches;
pub mod call;
pub mod confirm;
pub mod departures;
pub mod doubts;
pub mod ending;
pub mod event;
pub mod faults;
pub mod fronts;
pub mod guard;
pub mod intend;
pub mod lease;
pub mod live;
pub mod model;
pub mod narrate;
pub mod needed;
pub mod overtaken;
pub mod pending;
pub mod plan;
pub mod record;
pub mod regain;
pub mod settle;
pub mod simulated;
pub mod step;
pub mod turns;
pub mod undo;
pub mod whole;

pub use self::{
    branches::Branches,
    call::{Call, Cancellation, Urgency},
    event::{Event, Level, Narrator, Progress},
    guard::Guard,
    intend::Intend,
    lease::{Leased, Terms},
    live::Live,
    model::{Model, Real, Source},
    narrate::Narrate,
    plan::{Follow, Made, PlanFile},
    record::Record,
    settle::Settle,
    simulated::Simulated,
    step::{Answer, Step, Steps},
    undo::Undo,
};

use crate::{failure::Failure, model::HostName};
pub use crate::{
    journal::Recorded,
    model::{Key, RunInfo},
    op::Outcome,
};

/// Performs calls.
pub trait Executor: Send + Sync {
    /// Performs one call and blocks until it is done.
    fn perform(&self, call: &Call) -> Result<Outcome, Failure>;

    /// Whether a call is answered by what an earlier process of the run noted of it, and not made again.
    fn remembers(&self, _call: &Call) -> bool {
        false
    }

    /// Takes note of a call that an earlier process of the run did: what it learned then it has to know now.
    fn recall(&self, _call: &Call, _outcome: &Outcome) {}

    /// Takes note that a person leaves a call out: it is not done, and whoever holds the run to a plan does not miss it.
    fn leave_out(&self, _call: &Call) {}

    /// Takes note that a call, or a branch, is not made because another branch has failed: so it is when the run is resumed,
    /// whichever branch is faster then.
    fn forgo(&self, _key: &Key) {}

    /// Takes note that nobody waits for this host any longer: later calls do not wait for it as long again.
    fn give_up(&self, _host: &HostName) {}

    /// Takes note that what comes now is worth another attempt on the hosts that were given up: an undo begins, or a `retry` tries
    /// again.
    fn reach_again(&self) {}
}

impl<E: Executor + ?Sized> Executor for std::sync::Arc<E> {
    fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
        self.as_ref().perform(call)
    }

    fn remembers(&self, call: &Call) -> bool {
        self.as_ref().remembers(call)
    }

    fn recall(&self, call: &Call, outcome: &Outcome) {
        self.as_ref().recall(call, outcome);
    }

    fn leave_out(&self, call: &Call) {
        self.as_ref().leave_out(call);
    }

    fn forgo(&self, key: &Key) {
        self.as_ref().forgo(key);
    }

    fn give_up(&self, host: &HostName) {
        self.as_ref().give_up(host);
    }

    fn reach_again(&self) {
        self.as_ref().reach_again();
    }
}
