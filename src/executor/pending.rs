//! What of a run's records an undo can still reach.

use std::collections::BTreeSet;

use super::Recorded;
use crate::{
    model::{ContainerName, HostName, Key},
    op::{Hook, Invocation, Op, Place},
};

/// The records of a block since its last commit, in the script's order. A commit makes final what its own block did before it,
/// blocks within that block included, and nothing else.
pub fn since_commit<'a>(records: &'a [Recorded], block: &str) -> Vec<&'a Recorded> {
    let commits = commits(records);
    let reached = |record: &&Recorded| !record.key.is_undo() && record.key.is_in(block) && !is_final(&record.key, &commits);
    let mut pending: Vec<&Recorded> = records.iter().filter(reached).collect();
    pending.sort_by_key(|record| record.key.path());
    pending
}

/// The keys of the commits.
pub fn commits(records: &[Recorded]) -> Vec<&Key> {
    let committed = |record: &&Recorded| matches!(*record.op, Op::Commit(_)) && record.result.is_ok();
    records.iter().filter(committed).map(|record| &record.key).collect()
}

/// The keys of the commits that finished what they made final.
pub fn finished(records: &[Recorded]) -> Vec<&Key> {
    let finished = |record: &&Recorded| matches!(&*record.op, Op::Commit(op) if !op.unfinished) && record.result.is_ok();
    records.iter().filter(finished).map(|record| &record.key).collect()
}

/// Whether one of these commits makes this call final.
pub fn is_final(key: &Key, commits: &[&Key]) -> bool {
    commits.iter().any(|commit| key.is_in(commit.block()) && key.path() < commit.path())
}

/// The keys of what succeeded; what a person left out was not done.
pub fn done(records: &[Recorded]) -> BTreeSet<&str> {
    let is_done = |record: &&Recorded| record.result.as_ref().is_ok_and(|outcome| !outcome.is_skipped());
    records.iter().filter(is_done).map(|record| record.key.as_str()).collect()
}

/// The keys of pending records that started again what an older one of them had stopped: together they changed nothing, and what
/// ran before keeps running.
pub fn started_again<'a>(pending: &[&'a Recorded]) -> BTreeSet<&'a str> {
    let stopped = |record: &Recorded, host: &HostName, container: &ContainerName| {
        let starts = |op: &Op| matches!(op, Op::StartAgain(op) if op.host.name == *host && op.containers.contains(container));
        record.inverse().iter().any(starts)
    };
    let again = pending.iter().enumerate().filter(|(index, record)| match &*record.op {
        Op::StartAgain(op) => {
            let older = &pending[..*index];
            op.containers.iter().all(|container| older.iter().any(|record| stopped(record, &op.host.name, container)))
        }
        _ => false,
    });
    again.map(|(_, record)| record.key.as_str()).collect()
}

/// The containers that pending records have made: who deletes them again leaves nothing that stands.
pub fn made<'a>(pending: &[&'a Recorded]) -> Containers<'a> {
    let removed = pending.iter().flat_map(|record| record.inverse()).filter_map(|op| match op {
        Op::Remove(op) => Some((&op.host.name, &op.containers)),
        _ => None,
    });
    removed.flat_map(|(host, containers)| containers.iter().map(move |container| (host, container))).collect()
}

/// Containers by host.
pub type Containers<'a> = BTreeSet<(&'a HostName, &'a ContainerName)>;

/// The containers that pending records have made, which the same undo deletes and nothing of it needs to run: no command is taken back
/// in them, and no proxy gives them traffic in the end.
pub fn passing<'a>(pending: &[&'a Recorded]) -> Containers<'a> {
    let mut passing = made(pending);
    for op in pending.iter().flat_map(|record| record.inverse()) {
        match op {
            Op::Hook(Hook { invocation: Invocation { place: Place::Container { host, container }, .. }, .. }) => {
                passing.remove(&(&host.name, container));
            }
            Op::SetWeights(op) => {
                for (host, share) in op.changes.iter().flat_map(|(host, shares)| shares.iter().map(move |share| (host, share))) {
                    passing.retain(|(on, name)| *on != host || share.containers.iter().all(|at| at.container != **name));
                }
            }
            _ => {}
        }
    }
    passing
}

/// What an inverse has to do: nothing with containers that are gone, and none of those that are [`passing`] has to run for that. `None`
/// where nothing is left to do.
pub fn to_do(inverse: &Op, gone: &Containers<'_>, passing: &Containers<'_>) -> Option<Op> {
    let op = on_what_is_there(inverse, gone)?;
    match op {
        Op::StartAgain(_) | Op::Healthcheck(_) => on_what_is_there(&op, passing),
        _ => Some(op),
    }
}

/// The op without the containers that are gone; `None` where nothing is left to do.
fn on_what_is_there(op: &Op, gone: &Containers<'_>) -> Option<Op> {
    let mut op = op.clone();
    let host = op.host().map(|host| host.name.clone());
    let (Some(host), Some(containers)) = (host, op.containers_mut()) else { return Some(op) };
    containers.retain(|container| !gone.contains(&(&host, container)));
    let is_left = !containers.is_empty();
    is_left.then_some(op)
}

/// The containers that the script deleted, or what took it back.
pub fn gone(records: &[Recorded]) -> Containers<'_> {
    let deleted = records.iter().filter(|record| record.result.is_ok());
    let removed = deleted.filter_map(|record| match &*record.op {
        Op::Remove(op) => Some((&op.host.name, &op.containers)),
        Op::Prune(op) => Some((&op.host.name, &op.containers)),
        _ => None,
    });
    removed.flat_map(|(host, containers)| containers.iter().map(move |container| (host, container))).collect()
}
