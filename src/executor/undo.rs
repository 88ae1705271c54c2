//! Takes back what a run, or a block of it, did: folds its records backwards.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    Branches, Call, Cancellation, Executor, Recorded, Urgency,
    branches::each,
    pending::{Containers, done, gone, passing, since_commit, started_again, to_do},
};
use crate::{
    failure::{Failure, FailureKind},
    model::{Front, Host, HostName, Key, ProjectName, RunInfo, ServiceName, Share},
    op::{Op, SetWeights},
};

/// An inverse that could not be done.
#[derive(Clone, Debug)]
pub struct Left {
    /// The record that it would have taken back.
    pub record: Recorded,
    /// Why it was not.
    pub failure: Failure,
}

/// What undoes: the executor that does it, and how.
pub struct Undo<'a> {
    /// Performs the inverses.
    pub executor: &'a dyn Executor,
    /// The run that is undone.
    pub run: &'a Arc<RunInfo>,
    /// How the parts of a call are undone.
    pub branches: Branches,
    /// Ends it: what is not undone by then is left.
    pub cancellation: &'a Cancellation,
}

impl Undo<'_> {
    /// Undoes what a block (see [`Key::block`](crate::model::Key::block)) did since its last commit, the last call first, under keys
    /// `undo/KEY.n`; parts of one call that have no host in common side by side. What was undone already stays undone, and what
    /// could not be undone then is tried again; so is the part of its work that a call had done when it failed.
    ///
    /// Weights go straight to what they were at the commit, so that what the run has given traffic meanwhile gets none again. An
    /// inverse that fails is left, with the rest of its own record's and with what it protects: containers whose traffic could
    /// not be moved keep running. The other records' go on, and where a proxy has given the traffic to others by them it is tried again.
    pub fn block(&self, records: &[Recorded], block: &str) -> Vec<Left> {
        let pending = since_commit(records, block);
        self.executor.reach_again();
        let undoing = Undoing {
            undo: self,
            done: done(records),
            gone: gone(records),
            passing: passing(&pending),
            again: started_again(&pending),
            oldest: Oldest::of(&pending),
            pending: &pending,
            begun: Mutex::default(),
            left: Mutex::default(),
            protected: Mutex::default(),
            early: Mutex::default(),
        };
        undoing.level(&pending, 0);
        undoing.try_early_ones();
        let mut left = undoing.left.into_inner().unwrap_or_else(PoisonError::into_inner);
        left.sort_by_key(|left| std::cmp::Reverse(left.record.key.path()));
        left
    }
}

/// A service on a host as a proxy sees it.
type Seat = (HostName, ProjectName, ServiceName, HostName);

/// What the proxies' tables were before the first of the pending records. One whose undo was done counts too: an undo that failed
/// in between leads back to the same tables.
struct Oldest {
    shares: BTreeMap<Seat, (Vec<Share>, bool)>,
    /// Each service's front at a proxy, and whether the proxy did not know it before.
    fronts: BTreeMap<(HostName, ProjectName, ServiceName), (Front, bool)>,
}

impl Oldest {
    fn of(pending: &[&Recorded]) -> Self {
        let mut oldest = Self { shares: BTreeMap::new(), fronts: BTreeMap::new() };
        for record in pending {
            for op in record.inverse() {
                let Op::SetWeights(op) = op else { continue };
                let fronts = oldest.fronts.entry((op.proxy.name.clone(), op.project.clone(), op.service.clone()));
                // Of calls side by side whichever came first has met a proxy that did not know the service.
                fronts.or_insert_with(|| (op.front.clone(), false)).1 |= op.removes_empty;
                for (host, shares) in &op.changes {
                    oldest.shares.entry(seat(op, host)).or_insert_with(|| (shares.clone(), op.allow_downtime));
                }
            }
        }
        oldest
    }
}

fn seat(op: &SetWeights, host: &HostName) -> Seat {
    (op.proxy.name.clone(), op.project.clone(), op.service.clone(), host.clone())
}

/// An undo on its way.
struct Undoing<'a> {
    undo: &'a Undo<'a>,
    pending: &'a [&'a Recorded],
    /// The keys of inverses that were done before.
    done: BTreeSet<&'a str>,
    /// Containers that the run itself has deleted.
    gone: Containers<'a>,
    /// Containers that it has made, and that this undo deletes.
    passing: Containers<'a>,
    /// The keys of records that started again what the run had stopped: what ran before goes on running.
    again: BTreeSet<&'a str>,
    oldest: Oldest,
    /// The keys of records whose undoing has begun.
    begun: Mutex<BTreeSet<&'a str>>,
    left: Mutex<Vec<Left>>,
    /// Services on hosts whose traffic could not be moved.
    protected: Mutex<BTreeSet<(ServiceName, HostName)>>,
    /// Takings of traffic that were refused.
    early: Mutex<Vec<Early<'a>>>,
}

/// A taking of traffic that was refused, maybe only because nothing else had been given any by then.
struct Early<'a> {
    record: &'a Recorded,
    op: SetWeights,
    /// Whether the proxy has given the service's traffic to others since.
    has_passed: bool,
}

impl<'a> Undoing<'a> {
    /// Undoes records that have the way to `depth` in common, the last call first.
    fn level(&self, records: &[&'a Recorded], depth: usize) {
        let number = |record: &Recorded| record.key.path().get(depth).map(|(number, _)| *number);
        let part = |record: &Recorded| record.key.path().get(depth).and_then(|(_, part)| *part);
        let calls: Vec<_> = records.chunk_by(|left, right| number(left) == number(right)).collect();
        for call in calls.into_iter().rev() {
            let parts: Vec<_> = call.chunk_by(|left, right| part(left) == part(right)).collect();
            each(self.undo.branches, &lanes(&parts), |_, lane| lane.iter().for_each(|part| self.part(part, depth)), |()| false);
        }
    }

    /// Undoes one call, or what a block in its place did.
    fn part(&self, records: &[&'a Recorded], depth: usize) {
        if records.iter().any(|record| record.key.path().len() > depth + 1) {
            self.level(records, depth + 1);
        } else {
            records.iter().rev().for_each(|record| self.record(record));
        }
    }

    fn record(&self, record: &'a Recorded) {
        if !lock(&self.begun).insert(record.key.as_str()) || self.again.contains(record.key.as_str()) {
            return;
        }
        for (index, op) in record.inverse().iter().enumerate() {
            let key = record.key.undo(index);
            let Some(op) = to_do(op, &self.gone, &self.passing).filter(|_| !self.done.contains(key.as_str())) else { continue };
            if self.undo.cancellation.urgency() > Urgency::None {
                let message = format!("the undo of call {} was interrupted", record.key);
                self.leave(record, Failure::new(FailureKind::Interrupted, message));
                return;
            }
            let result = self.allowed(&op).and_then(|()| self.aimed(&op)).and_then(|op| {
                let call = Call::new(op, key, record.origin.clone(), self.undo.run.clone());
                let call = Call { cancellation: self.undo.cancellation.clone(), ..call };
                let result = self.undo.executor.perform(&call);
                self.note_traffic(record, &call.op, result.as_ref().err());
                result
            });
            if let Err(failure) = result {
                if let Op::SetWeights(op) = &op {
                    lock(&self.protected).extend(op.changes.keys().map(|host| (op.service.clone(), host.clone())));
                }
                self.leave(record, failure);
                return;
            }
        }
    }

    /// Takes note of traffic that could not be taken yet, and of what was given since.
    fn note_traffic(&self, record: &'a Recorded, op: &Op, failure: Option<&Failure>) {
        let Op::SetWeights(op) = op else { return };
        let gives = op.changes.values().any(|shares| !shares.is_empty());
        let mut early = lock(&self.early);
        match failure {
            None if gives => {
                let of_proxy = early.iter_mut().filter(|early| early.op.proxy.name == op.proxy.name && early.op.service == op.service);
                of_proxy.for_each(|early| early.has_passed = true);
            }
            Some(failure) if !gives && failure.kind == FailureKind::Refused => {
                early.push(Early { record, op: op.clone(), has_passed: false });
            }
            _ => {}
        }
    }

    /// Takes back what came too early: traffic that a proxy could not take from containers before it had given it to others, and what
    /// stayed for that reason. A run whose undo was done in part before has them in this order.
    fn try_early_ones(&self) {
        let passed: Vec<Early<'_>> = std::mem::take(&mut *lock(&self.early)).into_iter().filter(|early| early.has_passed).collect();
        let freed: BTreeSet<(ServiceName, HostName)> =
            passed.iter().flat_map(|early| early.op.changes.keys().map(|host| (early.op.service.clone(), host.clone()))).collect();
        lock(&self.protected).retain(|one| !freed.contains(one));
        let is_freed = |op: &Op| ended(op).is_some_and(|(host, service)| freed.contains(&(service.clone(), host.name.clone())));
        let is_early = |left: &Left| {
            passed.iter().any(|early| early.record.key == left.record.key)
                || left.failure.kind == FailureKind::Refused && left.record.inverse().iter().any(is_freed)
        };
        let keys: BTreeSet<Key> = lock(&self.left).extract_if(.., |left| is_early(left)).map(|left| left.record.key).collect();
        let mut records: Vec<&Recorded> = self.pending.iter().copied().filter(|record| keys.contains(&record.key)).collect();
        records.sort_by_key(|record| std::cmp::Reverse(record.key.path()));
        for record in records {
            lock(&self.begun).remove(record.key.as_str());
            self.record(record);
        }
    }

    fn leave(&self, record: &Recorded, failure: Failure) {
        lock(&self.left).push(Left { record: record.clone(), failure });
    }

    /// Containers whose traffic could not be moved are not ended.
    fn allowed(&self, op: &Op) -> Result<(), Failure> {
        let Some((host, service)) = ended(op) else { return Ok(()) };
        if lock(&self.protected).contains(&(service.clone(), host.name.clone())) {
            let message = format!("what serves {service} on {} stays: its traffic could not be given back to what had it", host.name);
            return Err(Failure::refused(message).on(&host.name));
        }
        Ok(())
    }

    /// The op with weights aimed at the oldest table: straight, as soon as the containers in it run again. Where an older record
    /// is still to start them, its undo is brought forward, unless the host had no traffic in between: then it has none again, as
    /// the script had it.
    fn aimed(&self, op: &Op) -> Result<Op, Failure> {
        let Op::SetWeights(op) = op else { return Ok(op.clone()) };
        let mut aimed = op.clone();
        for (host, shares) in &mut aimed.changes {
            let Some((oldest, allow_downtime)) = self.oldest.shares.get(&seat(op, host)) else { continue };
            let stopped = self.stopped(host, oldest);
            if shares.is_empty() && !stopped.is_empty() {
                continue;
            }
            for record in stopped {
                self.record(record);
                if lock(&self.left).iter().any(|left| left.record.key == record.key) {
                    let message = format!("{} on {host} gets no traffic back: its containers could not be started again", op.service);
                    return Err(Failure::refused(message).on(host));
                }
            }
            shares.clone_from(oldest);
            aimed.allow_downtime |= allow_downtime;
            let known = self.oldest.fronts.get(&(op.proxy.name.clone(), op.project.clone(), op.service.clone()));
            if let Some((front, was_unknown)) = known {
                aimed.front.clone_from(front);
                aimed.removes_empty |= was_unknown;
                // There was no traffic that could be lost.
                aimed.allow_downtime |= was_unknown;
            }
        }
        Ok(aimed.into())
    }

    /// The records, the last first, whose undo starts containers of these shares again and has not begun, or has failed: those that
    /// are stopped now, and were not when the last commit was made.
    fn stopped(&self, host: &HostName, shares: &[Share]) -> Vec<&'a Recorded> {
        let mut begun = lock(&self.begun).clone();
        for left in &*lock(&self.left) {
            begun.remove(left.record.key.as_str());
        }
        let was_undone = |record: &Recorded| {
            let count = record.inverse().len();
            count > 0 && (0..count).all(|index| self.done.contains(record.key.undo(index).as_str()))
        };
        let stands = |record: &&&'a Recorded| {
            let key = record.key.as_str();
            self.again.contains(key) || !begun.contains(key) && !was_undone(record)
        };
        let mut stopped: Vec<&'a Recorded> = Vec::new();
        for endpoint in shares.iter().flat_map(|share| &share.containers) {
            let named = |op: &Op| matches!(op, Op::StartAgain(op) if op.host.name == *host && op.containers.contains(&endpoint.container));
            let about = |record: &&&'a Recorded| named(&record.op) || record.inverse().iter().any(named);
            // The last record about a container says how it is now.
            let last = self.pending.iter().rev().filter(stands).find(about).filter(|record| !named(&record.op));
            stopped.extend(last.filter(|record| !stopped.iter().any(|known| known.key == record.key)));
        }
        stopped.sort_by_key(|record| std::cmp::Reverse(record.key.path()));
        stopped
    }
}

/// The host and the service of containers that an op ends.
fn ended(op: &Op) -> Option<(&Host, &ServiceName)> {
    match op {
        Op::Drain(op) => Some((&op.host, &op.service)),
        Op::Stop(op) => Some((&op.host, &op.service)),
        Op::Remove(op) => Some((&op.host, &op.service)),
        _ => None,
    }
}

/// The parts of a call, the last first, in lanes that can be undone side by side: parts that have a host in common are in one.
fn lanes<'r, 'a>(parts: &[&'r [&'a Recorded]]) -> Vec<Vec<&'r [&'a Recorded]>> {
    let mut lanes: Vec<(BTreeSet<&HostName>, Vec<usize>)> = Vec::new();
    for (index, part) in parts.iter().enumerate().rev() {
        let inverses = || part.iter().flat_map(|record| record.inverse());
        if inverses().next().is_none() {
            continue;
        }
        let mut lane = (inverses().flat_map(|op| op.hosts()).map(|host| &host.name).collect::<BTreeSet<_>>(), vec![index]);
        let (common, apart): (Vec<_>, Vec<_>) = lanes.into_iter().partition(|(hosts, _)| !hosts.is_disjoint(&lane.0));
        for (hosts, parts) in common {
            lane.0.extend(hosts);
            lane.1.extend(parts);
        }
        lane.1.sort_unstable_by(|left, right| right.cmp(left));
        lanes = apart.into_iter().chain([lane]).collect();
    }
    lanes.into_iter().map(|(_, indices)| indices.into_iter().map(|index| parts[index]).collect()).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        executor::Outcome,
        failure::Origin,
        model::{Period, RunId},
        op::{Commit, Now, Pause},
    };

    /// Does everything, and remembers under which keys.
    #[derive(Default)]
    struct Done(Mutex<Vec<String>>);

    impl Executor for Done {
        fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
            lock(&self.0).push(call.key.to_string());
            Ok(Outcome::of(()))
        }
    }

    /// Does everything, and remembers what is to get traffic.
    struct Asked<'a>(&'a Mutex<Vec<SetWeights>>);

    impl Executor for Asked<'_> {
        fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
            let Op::SetWeights(op) = &*call.op else { return Err(Failure::failed("nothing else is asked for")) };
            lock(self.0).push(op.clone());
            Ok(Outcome::of(()))
        }
    }

    fn inverse() -> [Op; 2] {
        [Pause { period: Period::seconds(1) }.into(), Pause { period: Period::seconds(2) }.into()]
    }

    fn key(text: &str) -> Key {
        serde_json::from_value(text.into()).expect("a key is text")
    }

    fn record(key: Key, result: Result<Outcome, Failure>) -> Recorded {
        Recorded { key, op: Now {}.into(), origin: Origin { file: "deploy.rhai".into(), line: 1, column: 1 }, result, seconds: 0.0 }
    }

    fn one_step(text: &str) -> Recorded {
        record(key(text), Ok(Outcome::of(()).undone_by([Pause { period: Period::seconds(1) }.into()])))
    }

    fn commit(text: &str) -> Recorded {
        Recorded { op: Commit::default().into(), ..record(key(text), Ok(Outcome::of(()))) }
    }

    fn undone_by(records: &[Recorded], block: &str, executor: &dyn Executor) {
        let run = RunInfo { id: RunId::new("r1").expect("valid"), operator: "me".into(), started: "2026-01-01T00:00:00Z".into() };
        let (run, cancellation) = (Arc::new(run), Cancellation::default());
        let undo = Undo { executor, run: &run, branches: Branches::InOrder, cancellation: &cancellation };
        assert!(undo.block(records, block).is_empty());
    }

    fn undone(records: &[Recorded], block: &str) -> Vec<String> {
        let done = Done::default();
        undone_by(records, block, &done);
        done.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    #[test]
    fn an_undo_that_failed_within_the_run_is_tried_again_from_where_it_failed() {
        let key = Key::call("", 4).part(1);
        let records = [
            record(key.clone(), Ok(Outcome::of(()).undone_by(inverse()))),
            record(key.undo(0), Ok(Outcome::of(()))),
            record(key.undo(1), Err(Failure::failed("the host was away"))),
        ];
        assert_eq!(undone(&records, ""), ["undo/4[1].1"]);
    }

    #[test]
    fn what_a_failed_call_had_done_is_undone() {
        let records = [
            record(Key::call("", 1), Ok(Outcome::of(()).undone_by(inverse()))),
            record(Key::call("", 2), Err(Failure::failed("half of it").undone_by(inverse()))),
            record(Key::call("", 3), Err(Failure::failed("nothing of it"))),
        ];
        assert_eq!(undone(&records, ""), ["undo/2.0", "undo/2.1", "undo/1.0", "undo/1.1"]);
    }

    #[test]
    fn of_calls_side_by_side_at_a_proxy_that_did_not_know_the_service_each_may_take_its_file_away() {
        let asked = |host: &str, removes_empty: bool| SetWeights {
            proxy: Host::parse("lb").expect("valid"),
            project: ProjectName::default(),
            service: ServiceName::new("web").expect("valid"),
            front: Front { domain: None, listen: 80, tls: None, server: true, sticky: None },
            changes: [(HostName::new(host).expect("valid"), Vec::new())].into(),
            hosts: vec![Host::parse(host).expect("valid")],
            allow_downtime: removes_empty,
            removes_empty,
        };
        // The second part came first: it has made the table that the first one has found.
        let records = [("h1", false), ("h2", true)].map(|(host, removes_empty)| {
            let part = usize::from(removes_empty);
            record(Key::call("", 1).part(part), Ok(Outcome::of(()).undone_by([asked(host, removes_empty).into()])))
        });
        let asked = Mutex::default();
        undone_by(&records, "", &Asked(&asked));
        let told: Vec<_> = lock(&asked).iter().map(|op: &SetWeights| (op.removes_empty, op.allow_downtime)).collect();
        assert_eq!(told, [(true, true), (true, true)]);
    }

    #[test]
    fn a_block_is_undone_and_its_neighbours_stay() {
        let records = ["1", "2[0].1", "2[0].2[1].1", "20[0].1", "3"].map(one_step);
        assert_eq!(undone(&records, "2[0]."), ["undo/2[0].2[1].1.0", "undo/2[0].1.0"]);
    }

    #[test]
    fn a_commit_makes_final_what_its_block_did_before_it() {
        let records = [one_step("1"), one_step("2[0].1"), commit("2[0].2"), one_step("2[0].3"), one_step("2[1].1"), one_step("10")];
        assert_eq!(undone(&records, ""), ["undo/10.0", "undo/2[1].1.0", "undo/2[0].3.0", "undo/1.0"]);
        let all: Vec<Recorded> = records.into_iter().chain([commit("11"), one_step("12")]).collect();
        assert_eq!(undone(&all, ""), ["undo/12.0"]);
    }

    #[test]
    fn what_the_script_does_in_order_is_undone_in_order_whatever_ended_first() {
        let records = ["10", "2", "4[1]", "4[0]"].map(one_step);
        assert_eq!(undone(&records, ""), ["undo/10.0", "undo/4[1].0", "undo/4[0].0", "undo/2.0"]);
    }
}
