//! What a run changed, by its records.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::{
    executor::{
        Outcome, Recorded,
        pending::{Containers, commits, done, gone, is_final, made, passing, since_commit, started_again, to_do},
    },
    failure::FailureKind,
    journal::{Asked, Intent},
    model::HostName,
    op::{Op, Place},
    terminal::words,
};

/// How much a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Counts {
    /// Calls that it made.
    pub calls: usize,
    /// Calls that failed.
    pub failed: usize,
    /// Changes that were made, or begun and known to have done a part of their work.
    pub changes: usize,
    /// Changes that were given up in the middle: what they did is not known.
    #[serde(skip_serializing_if = "is_zero")]
    pub doubtful: usize,
    /// Those of them that were not taken back, and that no `commit()` made final.
    pub standing: usize,
    /// Those of them that a `commit()` made final.
    #[serde(skip_serializing_if = "is_zero")]
    pub committed: usize,
    /// Commands, and statements in databases, that failed, or succeeded and have no `undo`: what they did is known to their author only.
    pub commands: usize,
    /// Whether it changed databases.
    #[serde(skip)]
    pub databases: bool,
    /// Those of the changes that are commands without `undo`, and that no `commit()` made final.
    #[serde(skip)]
    pub kept: usize,
    /// Whether something that was done, or may have been, can be taken back.
    #[serde(skip)]
    pub can_be_undone: bool,
    /// Whether the script alone does not lead to where the run is.
    #[serde(skip)]
    pub cannot_be_resumed: bool,
    /// Hosts that were changed.
    pub hosts: BTreeSet<HostName>,
    /// Whether a command changed something on the operator's machine.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub here: bool,
    /// Hosts that the script left out, and why.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: BTreeMap<HostName, String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Counts {
    /// Counts these records.
    pub fn of(records: &[Recorded]) -> Self {
        let (done, gone, commits) = (done(records), gone(records), commits(records));
        let pending = since_commit(records, "");
        let (again, made, passing) = (started_again(&pending), made(&pending), passing(&pending));
        let mut counts = Self { calls: records.len(), left_out: left_out(records), ..Self::default() };
        for record in records {
            let was_sent = record.result.as_ref().err().is_none_or(|failure| !failure.not_sent);
            counts.failed += usize::from(record.result.is_err());
            let was_skipped = record.result.as_ref().is_ok_and(Outcome::is_skipped);
            if !is_change(&record.op) || record.key.is_undo() || was_skipped {
                continue;
            }
            let inverse = record.inverse();
            if let Err(failure) = &record.result
                && inverse.is_empty()
                && !failure.half_done
            {
                // No host tells whether a database has done what was lost on its way.
                if failure.in_doubt && matches!(*record.op, Op::Sql(_)) {
                    let count = if is_final(&record.key, &commits) { &mut counts.committed } else { &mut counts.standing };
                    *count += 1;
                    counts.changes += 1;
                    counts.databases = true;
                    counts.hosts.extend(record.op.host().map(|host| host.name.clone()));
                    continue;
                }
                let was_given_up = was_sent && matches!(failure.kind, FailureKind::Interrupted | FailureKind::Timeout);
                counts.doubtful += usize::from(failure.in_doubt || was_given_up);
                continue;
            }
            counts.changes += 1;
            counts.databases |= matches!(*record.op, Op::Sql(_) | Op::Backfill(_));
            counts.hosts.extend(record.op.host().map(|host| host.name.clone()));
            counts.here |= is_local(&record.op);
            let is_final = is_final(&record.key, &commits);
            if is_command(&record.op) && inverse.is_empty() {
                let count = if is_final { &mut counts.committed } else { &mut counts.kept };
                *count += 1;
                continue;
            }
            let left = inverse.iter().enumerate().filter(|(_, op)| to_do(op, &gone, &passing).is_some());
            let undone = left.map(|(index, _)| record.key.undo(index)).all(|key| done.contains(key.as_str()));
            let undone = undone || again.contains(record.key.as_str());
            let stands =
                if inverse.is_empty() { has_effect(&record.op) && (is_final || !deletes_only(&record.op, &made)) } else { !undone };
            let count = if is_final { &mut counts.committed } else { &mut counts.standing };
            *count += usize::from(stands);
        }
        counts.commands = counts.kept + failed(records).count();
        let is_left = |record: &Recorded| {
            let mut inverse = record.inverse().iter().enumerate();
            let is_owed = |(index, op)| to_do(op, &gone, &passing).is_some() && !done.contains(record.key.undo(index).as_str());
            record.is_in_doubt() || inverse.any(is_owed)
        };
        counts.can_be_undone = counts.doubtful > 0 || pending.iter().any(|record| is_left(record));
        counts
    }

    /// Counts what was to be deleted by calls that nobody has an answer of: it may be gone, and nothing brings it back. What an undo
    /// deletes is the run's own, and what is left of that is looked for.
    pub fn may_have_deleted(&mut self, records: &[Recorded], doubts: &[Intent]) {
        let pending = since_commit(records, "");
        let made = made(&pending);
        let is_it = |asked: &&Asked| matches!(*asked.op, Op::Remove(_)) && !asked.key.is_undo() && !deletes_only(&asked.op, &made);
        for asked in doubts.iter().map(|intent| &intent.asked).filter(is_it) {
            let record = records.iter().rev().find(|record| record.key == asked.key);
            match record.and_then(|record| record.result.as_ref().err()) {
                Some(failure) if failure.half_done => continue,
                // It was given up in the middle, and counts as that already. Of one that was not sent there is a later try.
                Some(failure) if !failure.not_sent => self.doubtful = self.doubtful.saturating_sub(1),
                _ => {}
            }
            self.changes += 1;
            self.standing += 1;
            self.hosts.extend(asked.op.host().map(|host| host.name.clone()));
        }
    }

    /// Whether all of the changes were made on the operator's machine.
    pub fn is_all_here(&self) -> bool {
        self.here && self.hosts.is_empty() && !self.databases
    }

    /// The commands of which nobody knows whether what they did stays.
    pub fn commands_told(&self) -> String {
        let commands = words::count(self.commands, "command");
        match self.kept {
            kept if kept == self.commands => format!("{commands} without `undo`"),
            0 => format!("{commands} that failed"),
            _ => format!("{commands} that failed or have no `undo`"),
        }
    }

    /// The commands that failed, where there are such.
    pub fn failed_commands(&self) -> Option<String> {
        let failed = self.commands - self.kept;
        (failed > 0).then(|| format!("{} that failed", words::count(failed, "command")))
    }

    /// How many changes there were, and where.
    pub fn told(&self) -> String {
        let hosts = (!self.hosts.is_empty()).then(|| words::count(self.hosts.len(), "host"));
        let here = self.here.then(|| "this machine".to_owned());
        let places: Vec<String> = hosts.into_iter().chain(here).collect();
        let places = if places.is_empty() { String::new() } else { format!(" on {}", places.join(" and ")) };
        format!("{}{places}", words::count(self.changes, "change"))
    }
}

/// The commands that were done, have no `undo`, and were not made final: what they did stays when a run is taken back.
pub fn kept(records: &[Recorded]) -> impl Iterator<Item = &Recorded> {
    let is_done = |record: &Recorded| record.result.as_ref().is_ok_and(|outcome| outcome.inverse.is_empty() && !outcome.is_skipped());
    since_commit(records, "").into_iter().filter(move |record| is_done(record) && is_command(&record.op) && is_change(&record.op))
}

/// The commands that failed, and whose author alone may know what they did until then. One that was done again with success, as by
/// `retry`, has done what it is for.
pub fn failed(records: &[Recorded]) -> impl Iterator<Item = &Recorded> {
    let is_done = |record: &Recorded| record.result.as_ref().is_ok_and(|outcome| !outcome.is_skipped());
    let is_again = move |later: &Recorded, record: &Recorded| (&later.origin, &later.op) == (&record.origin, &record.op) && is_done(later);
    let was_repeated = move |(index, record): (usize, &Recorded)| records[index + 1..].iter().any(|later| is_again(later, record));
    let all = records.iter().enumerate().filter(|(_, record)| may_have_worked(record));
    all.filter(move |one| !was_repeated(*one)).map(|(_, record)| record)
}

/// Whether any change was asked for: a plan that came so far is done.
pub fn is_begun(records: &[Recorded]) -> bool {
    let was_sent = |record: &Recorded| record.result.as_ref().map_or_else(|failure| !failure.not_sent, |outcome| !outcome.is_skipped());
    records.iter().any(|record| record.op.class().changes() && was_sent(record))
}

/// Whether a command failed once it was asked for, and nothing is known that takes back what it did.
fn may_have_worked(record: &Recorded) -> bool {
    let was_sent = record.result.as_ref().is_err_and(|failure| !failure.not_sent);
    was_sent && is_command(&record.op) && is_change(&record.op) && record.inverse().is_empty()
}

/// The hosts that a script has left out and why, those aside whose mark was taken back.
fn left_out(records: &[Recorded]) -> BTreeMap<HostName, String> {
    let done = done(records);
    let stands = |record: &&Recorded| record.result.is_ok() && !record.key.is_undo() && !done.contains(record.key.undo(0).as_str());
    let marks = records.iter().filter(stands).filter_map(|record| if let Op::LeaveOut(op) = &*record.op { Some(op) } else { None });
    marks.map(|op| (op.host.name.clone(), op.why.clone())).collect()
}

/// Whether only its author knows what it did: a command, or statements of a database.
fn is_command(op: &Op) -> bool {
    matches!(op, Op::Hook(_) | Op::Sql(_) | Op::Backfill(_))
}

/// Whether an op changes what runs or serves on the fleet, or is a command that may change anything. Images that were built, shipped,
/// pushed or pulled are no change, nor are old releases that are deleted, and messages; a dependency stays whatever becomes of the run.
fn is_change(op: &Op) -> bool {
    match op {
        Op::Build(_) | Op::Ship(_) | Op::Push(_) | Op::Pull(_) | Op::Depend(_) | Op::Backup(_) | Op::Notify(_) | Op::Prune(_) => false,
        Op::Hook(hook) => hook.matters(),
        _ => op.class().changes(),
    }
}

/// Whether it is a command of the operator's own machine.
fn is_local(op: &Op) -> bool {
    matches!(op, Op::Hook(hook) if hook.invocation.place == Place::Local)
}

/// Whether a change without inverse stands. What could be taken back has none where it found nothing to do: a drain without
/// weight, weights that were so already, a stop of what had stopped, a start of what ran.
fn has_effect(op: &Op) -> bool {
    !matches!(op, Op::Drain(_) | Op::SetWeights(_) | Op::Preview(_) | Op::Stop(_) | Op::StartAgain(_))
}

/// Whether it deletes containers, and none but these.
fn deletes_only(op: &Op, made: &Containers<'_>) -> bool {
    matches!(op, Op::Remove(op) if op.containers.iter().all(|container| made.contains(&(&op.host.name, container))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        executor::Key,
        failure::{Failure, Origin},
        model::{ContainerName, Database, Host, Period, ProjectName, RunId, ServiceName, Version},
        op::{Commit, Forget, Inverse, Now, Record, Remove, Sql, Stop, Transactions},
    };

    fn record(key: Key, op: impl Into<Op>, result: Result<Outcome, Failure>) -> Recorded {
        Recorded { key, op: op.into().into(), origin: Origin { file: "deploy.rhai".into(), line: 1, column: 1 }, result, seconds: 0.0 }
    }

    #[test]
    fn what_found_nothing_to_do_does_not_stand_and_what_cannot_be_taken_back_does() {
        let (host, project, service) = (Host::parse("h1").expect("valid"), ProjectName::default(), ServiceName::new("web").expect("valid"));
        let (containers, proxies) = (vec![ContainerName::new("shop-web-v1-0123456789-1").expect("valid")], Vec::new());
        let remove = Remove {
            host: host.clone(),
            project: project.clone(),
            service: service.clone(),
            containers: containers.clone(),
            proxies: proxies.clone(),
            allow_downtime: false,
        };
        let stop = Stop { host, project, service, containers, proxies, timeout: Period::seconds(1), allow_downtime: false };
        let stands = |op: Op| Counts::of(&[record(Key::call("", 1), op, Ok(Outcome::of(())))]).standing;
        assert_eq!((stands(stop.clone().into()), stands(remove.clone().into())), (0, 1));
        // What the run itself has made may be deleted as if it had never been, until it is final.
        let made = record(Key::call("", 1), stop, Ok(Outcome::of(()).undone_by([remove.clone().into()])));
        let deleted = record(Key::call("", 3), remove.clone(), Ok(Outcome::of(())));
        assert_eq!(Counts::of(&[made.clone(), deleted.clone()]).standing, 0);
        let commit = record(Key::call("", 2), Commit::default(), Ok(Outcome::of(())));
        assert_eq!(Counts::of(&[made, commit, deleted]).standing, 1);

        let failed = |failure| Counts::of(&[record(Key::call("", 1), remove.clone(), Err(failure))]);
        let half = failed(Failure::failed("the second one is in use").half_done());
        assert_eq!((half.changes, half.standing, half.can_be_undone), (1, 1, false), "the first one is gone for good");
        assert_eq!(failed(Failure::failed("the first one is in use")).changes, 0);

        // What nobody has an answer of may be gone, and counts once.
        let counted = |key: Key, records: &[Recorded]| {
            let Recorded { origin, op, .. } = record(key.clone(), remove.clone(), Ok(Outcome::of(())));
            let doubt = Intent { asked: Asked { key, origin, op }, at: String::new(), inverse: Inverse::default() };
            let mut counts = Counts::of(records);
            counts.may_have_deleted(records, &[doubt]);
            (counts.changes, counts.standing, counts.doubtful)
        };
        let key = Key::call("", 1);
        let ended = |failure: Failure| [record(key.clone(), remove.clone(), Err(failure))];
        let stopped = || Failure::new(FailureKind::Interrupted, "another branch has failed");
        assert_eq!(counted(key.clone(), &[]), (1, 1, 0));
        assert_eq!(counted(key.clone(), &ended(stopped())), (1, 1, 0));
        assert_eq!(counted(key.clone(), &ended(stopped().half_done())), (1, 1, 0));
        assert_eq!(counted(key.clone(), &ended(stopped().not_sent())), (1, 1, 0), "it was asked for again");
        assert_eq!(counted(key.undo(0), &[]), (0, 0, 0), "that is the run's own");
    }

    #[test]
    fn a_command_that_was_never_sent_has_done_nothing() {
        let database = Database::new("postgres://app@db/shop".into(), None, Period::seconds(1)).expect("a URL");
        let sql = Sql {
            database,
            text: "DELETE FROM carts; DELETE FROM users".into(),
            name: None,
            undo: None,
            lock_timeout: Period::seconds(1),
            retries: 0,
            transaction: Transactions::Each,
            is_undo: false,
        };
        let locked = || Failure::new(FailureKind::Locked, "the row is locked");
        let counts = |failure| Counts::of(&[record(Key::call("", 1), sql.clone(), Err(failure))]);
        assert_eq!(counts(locked()).commands, 1, "the first statement may be done");
        assert_eq!(counts(locked().not_sent()).commands, 0);
        let lost = counts(Failure::new(FailureKind::Unreachable, "h1 does not answer").in_doubt());
        assert_eq!((lost.changes, lost.standing, lost.can_be_undone), (1, 1, true), "only its database knows");
        let waited = Failure::new(FailureKind::Interrupted, "the wait for a lease was ended");
        assert_eq!((counts(waited.clone()).doubtful, counts(waited.not_sent()).doubtful), (1, 0));
    }

    #[test]
    fn a_change_whose_inverse_was_done_does_not_stand() {
        let host = Host::parse("h1").expect("valid");
        let (service, version) = (ServiceName::new("web").expect("valid"), Version::new("v1").expect("valid"));
        let project = ProjectName::default();
        let note = Record {
            host: host.clone(),
            project: project.clone(),
            service: service.clone(),
            version: version.clone(),
            image: "i:v1".into(),
        };
        let forget = Forget { host, project, service, run: RunId::new("r1").expect("valid"), version };
        let done = || Ok(Outcome::of(()).undone_by([Op::from(forget.clone())]));
        let key = Key::call("", 2);
        let mut records = vec![
            record(Key::call("", 1), Now {}, Ok(Outcome::of("now"))),
            record(key.clone(), note.clone(), done()),
            record(Key::call("", 3), note, Err(Failure::failed("disk full"))),
        ];
        let counts = Counts::of(&records);
        assert_eq!((counts.calls, counts.failed, counts.changes, counts.standing, counts.hosts.len()), (3, 1, 1, 1, 1));
        let left_out = record(key.undo(0), forget.clone(), Ok(Outcome::of(()).skipped()));
        let counts = Counts::of(&[&records[..], &[left_out]].concat());
        assert_eq!((counts.changes, counts.standing), (1, 1), "a person left its inverse out");
        records.push(record(key.undo(0), forget.clone(), Ok(Outcome::of(()))));
        let counts = Counts::of(&records);
        assert_eq!((counts.changes, counts.standing), (1, 0));

        let half = Failure::failed("half of it").undone_by([Op::from(forget.clone())]);
        records.push(record(Key::call("", 4), forget.clone(), Err(half)));
        records.push(record(Key::call("", 5), forget, Err(Failure::new(FailureKind::Interrupted, "stopped in the middle"))));
        let counts = Counts::of(&records);
        assert_eq!((counts.changes, counts.standing, counts.doubtful), (2, 1, 1));
    }
}
