//! What an undo of the run would need: containers that it would start again or give their traffic back. Until a commit has made final
//! what took both from them, nobody deletes them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Call, Key, pending::is_final};
use crate::{
    failure::Failure,
    model::{ContainerName, HostName},
    op::{Inverse, Op, Remove},
};

/// The containers that an undo would need, and those that the run has made: these it would delete.
#[derive(Default)]
pub struct Needed(Mutex<Both>);

#[derive(Default)]
struct Both {
    needed: Vec<Of>,
    made: Vec<Of>,
}

/// A container that the undo of a call is about.
struct Of {
    call: Key,
    host: HostName,
    container: ContainerName,
}

impl Both {
    fn has_made(&self, host: &HostName, container: &ContainerName) -> bool {
        self.made.iter().any(|of| of.is(host, container))
    }

    /// Whether an undo would need it. What it would delete before it comes so far, it does not: what was made in the block that the undo
    /// takes back.
    fn needs(&self, host: &HostName, container: &ContainerName) -> bool {
        let is_own = |need: &Of| self.made.iter().any(|made| made.is(host, container) && made.call.is_in(need.call.block()));
        self.needed.iter().any(|need| need.is(host, container) && !is_own(need))
    }
}

impl Of {
    fn is(&self, host: &HostName, container: &ContainerName) -> bool {
        self.host == *host && self.container == *container
    }
}

impl Needed {
    /// No undo reaches any more what this commit has made final.
    pub fn commit(&self, call: &Call) {
        let mut both = self.lock();
        let is_reached = |of: &Of| !is_final(&of.call, &[&call.key]);
        both.needed.retain(is_reached);
        both.made.retain(is_reached);
    }

    /// Takes note of what the undo of a call needs: of one that was done, or that has done a part of its work.
    pub fn learn(&self, call: &Call, inverse: &Inverse) {
        if call.key.is_undo() {
            return;
        }
        let mut both = self.lock();
        let of =
            |host: &HostName, container: &ContainerName| Of { call: call.key.clone(), host: host.clone(), container: container.clone() };
        for op in inverse {
            match op {
                Op::Remove(op) => both.made.extend(op.containers.iter().map(|container| of(&op.host.name, container))),
                Op::StartAgain(op) => both.needed.extend(op.containers.iter().map(|container| of(&op.host.name, container))),
                Op::SetWeights(op) => {
                    for (host, shares) in &op.changes {
                        let serving = shares.iter().filter(|share| share.weight > 0).flat_map(|share| &share.containers);
                        both.needed.extend(serving.map(|endpoint| of(host, &endpoint.container)));
                    }
                }
                _ => {}
            }
        }
    }

    /// Refuses to delete what an undo would need, and what is `running` without a proxy but for what the run has made. What an undo itself
    /// deletes is the run's own.
    ///
    /// # Errors
    /// `refused`, with the first such container.
    pub fn may_be_deleted(&self, call: &Call, op: &Remove, running: &[ContainerName]) -> Result<(), Failure> {
        if op.allow_downtime || call.key.is_undo() {
            return Ok(());
        }
        let (both, host) = (self.lock(), &op.host.name);
        let is_needed = |container: &&ContainerName| {
            // What has a proxy and gets no traffic from it does nothing that anybody would miss.
            let works = op.proxies.is_empty() && running.contains(*container);
            both.needs(host, container) || works && !both.has_made(host, container)
        };
        op.containers.iter().find(is_needed).map_or(Ok(()), |container| {
            let (why, hint) = if both.needs(host, container) {
                ("this run has taken its traffic or stopped it, and an undo would need it", "`commit()` makes final what was done")
            } else {
                ("it runs, and no undo brings back what is deleted", "`stop` it, and `commit()`: that makes final what was done")
            };
            let hint = format!("{hint}; then `remove` it. What stays stopped does no harm: `prune` deletes old releases");
            Err(Failure::refused(format!("{container} on {host} must not be deleted yet: {why}")).on(host).hint(hint))
        })
    }

    fn lock(&self) -> MutexGuard<'_, Both> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
