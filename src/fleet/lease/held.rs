//! The leases that this process has, as it knows them.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use super::{
    answer::Answer,
    words::{BASE, words},
};
use crate::{
    failure::{Failure, FailureKind},
    model::{Host, Period, ProjectName, RunId, ServiceName},
};

/// The leases that this process has on one host.
#[derive(Default)]
pub struct Leases(Mutex<Vec<Holding>>);

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Holding {
    pub(super) project: ProjectName,
    pub(super) service: ServiceName,
    pub(super) run: RunId,
    pub(super) owner: String,
    pub(super) purpose: String,
    pub(super) lasting: Period,
    /// The group in whose folder the host has it: Docker's socket may appear, go away or become another group's meanwhile.
    pub(super) group: Option<u32>,
    pub(super) lost: Option<Failure>,
    /// Whether the host has said that it is there. Where it has not, it is given back all the same, and never renewed.
    pub(super) known: bool,
    /// When the host was asked for it, the last time that it said so: by a clock that goes on while the machine sleeps.
    pub(super) confirmed: SystemTime,
}

impl Holding {
    fn is(&self, project: &ProjectName, service: &ServiceName) -> bool {
        self.project == *project && self.service == *service
    }

    const fn is_kept(&self) -> bool {
        self.known && self.lost.is_none()
    }

    /// Whether it may have run out since the host said that it is there.
    fn may_have_run_out(&self) -> bool {
        self.is_kept() && self.confirmed.elapsed().is_ok_and(|elapsed| elapsed >= self.lasting.duration())
    }
}

impl Leases {
    /// Why nothing may be changed there any longer, if another run has taken a lease over.
    pub fn lost(&self) -> Option<Failure> {
        self.held().into_iter().find_map(|holding| holding.lost)
    }

    /// How soon they have to be renewed; `None` where there is none.
    pub fn renewal(&self) -> Option<Duration> {
        let lasting = self.held().into_iter().filter(Holding::is_kept).map(|holding| holding.lasting.duration()).min()?;
        Some(lasting / 3)
    }

    /// The words that renew each of them, as a host's `sh` takes them.
    pub(in crate::fleet) fn renewals(&self, host: &Host, holder: &str) -> Vec<Renewal> {
        let held = self.held().into_iter().filter(Holding::is_kept);
        let renewal = |holding| Renewal { words: words("renew", BASE, host, &holding, holder, None), holding, asked: SystemTime::now() };
        held.map(renewal).collect()
    }

    /// Whether the host has said within this time, by a clock that goes on while the machine sleeps, that each is this run's.
    pub fn are_confirmed(&self, within: Duration) -> bool {
        let is_fresh = |holding: &Holding| holding.lost.is_none() && holding.confirmed.elapsed().is_ok_and(|elapsed| elapsed < within);
        self.held().iter().filter(|holding| holding.known).all(is_fresh)
    }

    /// Those that are this run's as far as it knows, and whether each may have run out meanwhile.
    pub(super) fn kept(&self) -> Vec<(ProjectName, ServiceName, bool)> {
        let kept = self.held().into_iter().filter(Holding::is_kept);
        kept.map(|holding| (holding.project.clone(), holding.service.clone(), holding.may_have_run_out())).collect()
    }

    /// Takes note of what a host said to a renewal. Fails where the lease is another's by now.
    pub(in crate::fleet) fn renewed(&self, host: &Host, renewal: &Renewal, output: &str) -> Result<(), Failure> {
        let Holding { project, service, .. } = &renewal.holding;
        let lease = match Answer::read(output) {
            Answer::Lost(lease) => lease,
            Answer::Done | Answer::Taken(_) => {
                self.change(project, service, |holding| holding.confirmed = renewal.asked);
                return Ok(());
            }
            _ => return Ok(()),
        };
        let who = match lease {
            Some(lease) => format!("the run {} of {} has taken the lease of {service} on {} over", lease.run, lease.owner, host.name),
            None => format!("the lease of {service} on {} was taken from this run", host.name),
        };
        let failure = Failure::new(FailureKind::Locked, who)
            .on(&host.name)
            .hint("this run changes nothing there any more; see what the other one does");
        self.change(project, service, |holding| holding.lost = Some(failure.clone()));
        Err(failure)
    }

    fn change(&self, project: &ProjectName, service: &ServiceName, change: impl Fn(&mut Holding)) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter_mut().filter(|holding| holding.is(project, service)).for_each(change);
    }

    fn held(&self) -> Vec<Holding> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn add(&self, holding: Holding) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|known| !known.is(&holding.project, &holding.service));
        all.push(holding);
    }

    /// Whether this lease was taken, or may have been.
    pub fn has(&self, project: &ProjectName, service: &ServiceName) -> bool {
        self.held().iter().any(|holding| holding.is(project, service))
    }

    pub(super) fn take_out(&self, project: &ProjectName, service: &ServiceName) -> Option<Holding> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let index = all.iter().position(|holding| holding.is(project, service))?;
        Some(all.remove(index))
    }
}

/// The renewal of a lease: what is sent, and what it is about.
pub(in crate::fleet) struct Renewal {
    /// The program and its arguments.
    pub(in crate::fleet) words: Vec<String>,
    holding: Holding,
    asked: SystemTime,
}
