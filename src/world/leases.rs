//! Leases in a model.

use super::{ModelledHost, World};
use crate::{
    failure::{Failure, FailureKind},
    model::{Lease, Period, RunId, RunInfo},
    op::{Lock, Locking, Outcome, ReadLeases, Release, Unlock},
};

/// How long a lease lasts where the op does not say it.
const LASTING: Period = Period::seconds(60);

impl World {
    pub(super) fn lock(&mut self, op: &Lock, run: &RunInfo) -> Result<Outcome, Failure> {
        for host in &op.hosts {
            let known = self.at(host)?;
            if let Some(lease) = known.state.leases.get(&op.service).filter(|lease| lease.run != run.id) {
                let lease = Box::new(self.lease_now(known, lease));
                return Ok(Outcome::of(Locking::Held { host: host.name.clone(), lease }));
            }
        }
        let clock = self.clock;
        for host in &op.hosts {
            let known = self.at_mut(host)?;
            let generation = known.state.leases.get(&op.service).map_or(0, |lease| lease.generation) + 1;
            let lease = Lease {
                service: op.service.clone(),
                run: run.id.clone(),
                owner: run.operator.clone(),
                purpose: op.purpose.clone(),
                since: run.started.clone(),
                age: Period::default(),
                remaining: op.lasting.unwrap_or(LASTING),
                left: false,
                generation,
            };
            known.state.leases.insert(op.service.clone(), lease);
            known.renewed.insert(op.service.clone(), clock);
        }
        Ok(Outcome::of(Locking::Taken))
    }

    pub(super) fn unlock(&mut self, op: &Unlock, run: &RunInfo) -> Result<Outcome, Failure> {
        let leases = &mut self.at_mut(&op.host)?.state.leases;
        let Some(lease) = leases.get_mut(&op.service) else { return Ok(Outcome::of(())) };
        match &op.release {
            Release::Free if lease.run == run.id => drop(leases.remove(&op.service)),
            Release::Left if lease.run == run.id => (lease.left, lease.remaining) = (true, Period::default()),
            Release::Free | Release::Left => {}
            Release::Broken { generation, .. } if lease.generation == *generation => drop(leases.remove(&op.service)),
            Release::Broken { .. } => {
                return Err(Failure::new(FailureKind::Conflict, format!("the lease of {} has changed meanwhile", op.service)));
            }
        }
        Ok(Outcome::of(()))
    }

    pub(super) fn leases(&self, op: &ReadLeases) -> Result<Outcome, Failure> {
        let known = self.at(&op.host)?;
        Ok(Outcome::of(known.state.leases.values().map(|lease| self.lease_now(known, lease)).collect::<Vec<_>>()))
    }

    /// A run that does something renews its leases.
    pub(super) fn is_active(&mut self, run: &RunId) {
        match self.active.get_mut(run) {
            Some(last) => *last = self.clock,
            None => drop(self.active.insert(run.clone(), self.clock)),
        }
    }

    /// A lease of this host, as it is now.
    fn lease_now(&self, known: &ModelledHost, lease: &Lease) -> Lease {
        let taken = known.renewed.get(&lease.service).copied().unwrap_or_default();
        let renewed = taken.max(self.active.get(&lease.run).copied().unwrap_or_default());
        let passed = self.clock.as_milliseconds().saturating_sub(renewed.as_milliseconds());
        let minus = |period: Period| Period::milliseconds(period.as_milliseconds().saturating_sub(passed));
        let age = Period::milliseconds(lease.age.as_milliseconds() + passed);
        Lease { age, remaining: minus(lease.remaining), ..lease.clone() }
    }
}
