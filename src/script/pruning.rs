//! What a script has asked to be pruned: it is noted, and done when nothing can be undone any more.

use std::collections::{BTreeMap, BTreeSet};

use super::session::{Session, lock};
use crate::{
    executor::{Level, Recorded, pending::since_commit},
    failure::{Failure, Origin},
    model::{Host, HostName, ProjectName, Service},
    op::{Find, Needed, Op, Prune, Sought},
};

/// One `prune` of a script.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) project: ProjectName,
    pub(super) service: Service,
    pub(super) hosts: Vec<Host>,
    /// How many releases stay.
    pub(super) keep: usize,
    pub(super) origin: Origin,
}

impl Session {
    /// Notes what is to be pruned.
    pub(super) fn ask_to_prune(&self, asked: Asked) {
        lock(self.asked()).push(asked);
    }

    /// Takes over what a block of this one has asked for, which came to its end.
    pub(super) fn take_over_from(&self, block: &Self) {
        let asked = std::mem::take(&mut *lock(block.asked()));
        lock(self.asked()).extend(asked);
    }

    /// Forgets what was asked for: it was undone.
    pub(super) fn forget_to_prune(&self) {
        lock(self.asked()).clear();
    }

    /// Prunes what was asked for, if this is the script itself and not a block of it: a block's work can still be undone by those
    /// around it. A host where that does not succeed is warned of; only what ends the run is an error.
    pub(super) fn prune(&self) -> Result<(), Failure> {
        if self.is_block() {
            return Ok(());
        }
        let asked = last_asked(std::mem::take(&mut *lock(self.asked())));
        let records = self.circumstances().executor.records();
        let (needed, left_out) = (needed(&records), left_out(&records));
        for asked in asked {
            self.prune_one(asked, &needed, &left_out)?;
        }
        Ok(())
    }

    fn prune_one(&self, asked: Asked, needed: &Needed, left_out: &BTreeSet<HostName>) -> Result<(), Failure> {
        let Asked { project, service, hosts, keep, origin } = asked;
        let find = |host: &Host| Find {
            host: host.clone(),
            project: project.clone(),
            service: service.name.clone(),
            proxies: service.proxies(std::slice::from_ref(host)).to_vec(),
            sought: Sought::Releases,
        };
        let finds: Vec<Find> = hosts.iter().filter(|host| !left_out.contains(&host.name)).map(find).collect();
        let warn = |host: &Host, failure: &Failure| {
            let words = format!("old releases of {} on {} were not deleted: {}", service.name, host.name, failure.message);
            self.say(Level::Warn, &words, &origin);
        };
        let mut prunes = Vec::new();
        for (find, found) in finds.iter().zip(self.perform_apart(&origin, finds.clone())?) {
            match found {
                Ok(found) => prunes.extend(Prune::beyond(keep, find.clone(), &found, needed)),
                Err(failure) => warn(&find.host, &failure),
            }
        }
        for (prune, pruned) in prunes.iter().zip(self.perform_apart(&origin, prunes.clone())?) {
            if let Err(failure) = pruned {
                warn(&prune.host, &failure);
            }
        }
        Ok(())
    }
}

/// What was asked for last of every service on every host.
fn last_asked(mut asked: Vec<Asked>) -> Vec<Asked> {
    let mut known = BTreeSet::new();
    for asked in asked.iter_mut().rev() {
        let place = |host: &Host| (asked.project.clone(), asked.service.name.clone(), host.name.clone());
        asked.hosts = asked.hosts.iter().rev().filter(|host| known.insert(place(host))).cloned().collect();
        asked.hosts.reverse();
    }
    asked.retain(|asked| !asked.hosts.is_empty());
    asked
}

/// What these records could still need when they are undone, and what their run has brought to its hosts.
fn needed(records: &[Recorded]) -> Needed {
    let mut needed = Needed::default();
    for op in since_commit(records, "").into_iter().flat_map(Recorded::inverse) {
        if let Op::SetWeights(op) = op {
            let endpoints = op.changes.values().flatten().flat_map(|share| &share.containers);
            needed.containers.extend(endpoints.map(|endpoint| endpoint.container.clone()));
        }
        needed.containers.extend(op.clone().containers_mut().into_iter().flat_map(|containers| containers.drain(..)));
    }
    needed.images.extend(records.iter().filter_map(|record| match &*record.op {
        Op::Ship(op) => Some(op.reference.clone()),
        Op::Pull(op) => Some(op.reference.clone()),
        Op::Push(op) => Some(op.reference.clone()),
        Op::Build(op) => Some(op.reference()),
        _ => None,
    }));
    needed
}

/// The hosts that the script leaves as they are.
fn left_out(records: &[Recorded]) -> BTreeSet<HostName> {
    let mut marks: BTreeMap<HostName, bool> = BTreeMap::new();
    for record in records.iter().filter(|record| record.result.is_ok()) {
        if let Op::LeaveOut(op) = &*record.op {
            marks.insert(op.host.name.clone(), !op.taken_back);
        }
    }
    marks.into_iter().filter_map(|(host, is_left_out)| is_left_out.then_some(host)).collect()
}
