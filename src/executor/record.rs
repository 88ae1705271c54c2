//! Keeps what came back of every call, and gives it back to a run that asks again.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use super::{Call, Executor, Outcome, intend::made, settle::both};
pub use crate::journal::recorded::in_script_order;
use crate::{
    failure::{Failure, FailureKind},
    journal::{Asked, Entry, Intent, Journal, Recorded, now},
    model::Key,
    op::{CommandOutput, Op},
};

/// What is to be done about a call that only its answer could tell of, and that was asked for and not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was done: the run goes on as if it had succeeded.
    Done,
    /// It is done again.
    Redo,
    /// It was not done, and is left out.
    Skip,
    /// Nobody knows yet: the run stops.
    Abort,
}

/// Asks a person.
pub trait Decide: Send + Sync {
    /// Answers for the call of this intent.
    fn decide(&self, intent: &Intent) -> Answer;

    /// Who answers: `user@machine`.
    fn who(&self) -> String;
}

/// Nobody can be asked.
pub struct Nobody;

impl Decide for Nobody {
    fn decide(&self, _: &Intent) -> Answer {
        Answer::Abort
    }

    fn who(&self) -> String {
        "nobody".into()
    }
}

/// Returns the journaled outcome of a call that was answered in an earlier process; lets the executor within do any other,
/// and notes what came back.
pub struct Record<E> {
    inner: E,
    journal: Arc<Journal>,
    decide: Arc<dyn Decide>,
    /// The first call that differed from its record: nothing is done behind it.
    diverged: Mutex<Option<Failure>>,
    /// The calls that were answered from the journal, and the first that could not be.
    answered: Mutex<BTreeSet<String>>,
    missing: Mutex<Option<Key>>,
}

impl<E: Executor> Record<E> {
    /// Records what `inner` answers in memory.
    pub fn new(inner: E) -> Self {
        Self::journaled(inner, Arc::new(Journal::in_memory()), Arc::new(Nobody))
    }

    /// Records what `inner` answers in `journal`; `decide` answers for what only a person can know.
    pub fn journaled(inner: E, journal: Arc<Journal>, decide: Arc<dyn Decide>) -> Self {
        Self { inner, journal, decide, diverged: Mutex::default(), answered: Mutex::default(), missing: Mutex::default() }
    }

    /// The same journal, with something put around the executor within.
    pub fn around<F: Executor>(&self, wrap: impl FnOnce(E) -> F) -> Record<F>
    where
        E: Clone,
    {
        Record::journaled(wrap(self.inner.clone()), self.journal.clone(), self.decide.clone())
    }

    /// The last record of every call, in the order in which the calls ended.
    pub fn records(&self) -> Vec<Recorded> {
        self.journal.records()
    }

    /// The executor within: for reads that are no part of the script.
    pub const fn inner(&self) -> &E {
        &self.inner
    }

    /// Where calls were recorded that the script has not asked for, although it came past them: a replay of another script. Branches
    /// may each stop somewhere else, so nothing is said of them.
    pub fn not_asked(&self) -> Option<Failure> {
        let missing = lock(&self.missing).clone();
        let is_in_a_block = |key: &Key| !key.block().is_empty();
        if missing.as_ref().is_some_and(is_in_a_block) {
            return None;
        }
        let answered = lock(&self.answered);
        let is_left = |record: &&Recorded| {
            is_final(record)
                && !is_in_a_block(&record.key)
                && !record.key.is_undo()
                && !record.key.is_aside()
                && !answered.contains(record.key.as_str())
        };
        let mut records = self.journal.records();
        in_script_order(&mut records);
        let left = records.iter().filter(is_left).find(|record| missing.as_ref() != Some(&record.key))?;
        let told = told(&left.op);
        Some(
            Failure::new(FailureKind::Diverged, format!("call {} was recorded, and the script does not make it", left.key))
                .from(&left.origin)
                .detail("recorded", told)
                .hint("nothing was done or undone; the script or an import was changed before the place where the run stopped"),
        )
    }

    /// Fails where the script asks for something else than what was recorded under this key.
    fn same(&self, call: &Call, recorded: &Op) -> Result<(), Failure> {
        // What undoes is decided by what is left to undo, which an earlier process may have seen otherwise.
        let is_same = || *recorded == *call.op || recorded.class() == call.op.class() && recorded.canonical() == call.op.canonical();
        if call.key.is_undo() || is_same() {
            return Ok(());
        }
        let failure = diverged(call, recorded);
        lock(&self.diverged).get_or_insert_with(|| failure.clone());
        Err(failure)
    }

    /// A call that an earlier process asked for, and whose answer it did not live to see.
    fn settle(&self, call: &Call, intent: &Intent) -> Result<(Outcome, Option<String>), Failure> {
        // What the earlier process had asked for may have been done, whatever this one is told.
        let may_be_done = |failure: Failure| Failure { not_sent: false, half_done: failure.half_done || call.op.deletes(), ..failure };
        let again = || self.inner.perform(&Call { is_in_doubt: true, ..call.clone() }).map_err(may_be_done);
        if intent.asked.op.is_known_by_its_answer_only() {
            let answer = self.decide.decide(intent);
            return match supposed(&answer, &call.op) {
                Some(outcome) => Ok((outcome, Some(self.decide.who()))),
                None if answer == Answer::Abort => Err(unanswered(call)),
                None => again().map(|outcome| (outcome, None)),
            };
        }
        match again() {
            // What it took away was there before the first try, which only the intent remembers.
            Ok(outcome) if !intent.inverse.is_empty() => Ok((Outcome { inverse: intent.inverse.clone(), ..outcome }, None)),
            Ok(outcome) => Ok((outcome, None)),
            Err(failure) if failure.inverse.is_empty() => {
                Err(match taken_back_by(&self.inner, call, intent) {
                    Ok(inverse) => failure.undone_by(inverse),
                    // Whoever takes the run back asks again.
                    Err(_) => failure.in_doubt(),
                })
            }
            Err(failure) if intent.inverse.is_empty() => Err(failure),
            Err(failure) => {
                let inverse = both(call.op.class(), intent.inverse.clone(), failure.inverse.clone());
                Err(Failure { inverse, ..failure })
            }
        }
    }
}

impl<E: Executor> Executor for Record<E> {
    fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
        if let Some(failure) = lock(&self.diverged).clone() {
            return Err(failure);
        }
        if let Some(recorded) = self.journal.recorded(&call.key)
            && is_final(&recorded)
        {
            self.same(call, &recorded.op)?;
            lock(&self.answered).insert(call.key.as_str().to_owned());
            if let Ok(outcome) = &recorded.result {
                self.inner.recall(call, outcome);
            }
            return recorded.result;
        }
        if self.journal.is_forgone(&call.key) {
            return Err(Failure::of_another_branch());
        }
        lock(&self.missing).get_or_insert_with(|| call.key.clone());
        let doubt = self.journal.in_doubt(&call.key);
        if let Some(intent) = &doubt {
            self.same(call, &intent.asked.op)?;
        }
        let begin = Instant::now();
        let result = match &doubt {
            Some(intent) => self.settle(call, intent),
            None => self.inner.perform(call).map(|outcome| (outcome, None)),
        };
        let (at, seconds) = (now(), begin.elapsed().as_secs_f64());
        let asked = Asked { key: call.key.clone(), origin: call.origin.clone(), op: call.op.clone() };
        let (entry, result) = match result {
            Ok((outcome, answered_by)) => (Entry::Done { asked, outcome: outcome.clone(), at, seconds, answered_by }, Ok(outcome)),
            Err(failure) => {
                let failure = failure.from(&call.origin);
                (Entry::Failed { asked, failure: failure.clone(), at, seconds }, Err(failure))
            }
        };
        match self.journal.append(entry) {
            Ok(()) => result,
            // What was done and cannot be noted stays in doubt: the run stops, and whoever resumes it looks.
            Err(failure) => Err(Failure { kind: FailureKind::Interrupted, ..failure.from(&call.origin) }),
        }
    }

    fn remembers(&self, call: &Call) -> bool {
        lock(&self.diverged).is_none() && self.journal.recorded(&call.key).is_some_and(|recorded| is_final(&recorded))
    }

    fn recall(&self, call: &Call, outcome: &Outcome) {
        self.inner.recall(call, outcome);
    }

    fn reach_again(&self) {
        self.inner.reach_again();
    }

    fn forgo(&self, key: &Key) {
        if !self.journal.is_forgone(key) {
            // Where nothing can be noted, the next change stops the run.
            let _ = self.journal.append(Entry::Forgone { key: key.clone() });
        }
    }
}

/// Whether a record answers its call for good. A call that was told to stop is made again, and so is an undo that failed or that a
/// person left out: who undoes the run once more wants it done.
pub fn is_final(recorded: &Recorded) -> bool {
    match &recorded.result {
        Ok(outcome) => !(recorded.key.is_undo() && outcome.is_skipped()),
        Err(failure) => failure.kind != FailureKind::Interrupted && !recorded.key.is_undo(),
    }
}

/// What takes back a change that is in doubt.
pub fn taken_back_by(executor: &dyn Executor, call: &Call, intent: &Intent) -> Result<Vec<Op>, Failure> {
    match &*call.op {
        Op::Start(op) => made(executor, call, op),
        // Only the database knows which of its statements are done: the rest is done too, then all of it is taken back.
        Op::Sql(op) if op.undo.is_some() => match executor.perform(call) {
            Ok(outcome) => Ok(outcome.inverse.to_vec()),
            Err(failure) if !failure.inverse.is_empty() => Ok(failure.inverse.to_vec()),
            Err(failure) => Err(failure),
        },
        _ => Ok(intent.inverse.to_vec()),
    }
}

/// What is taken for the outcome of a call that a person says was done, or can be left out; `None` where it is to be done again, or
/// nobody knows.
pub fn supposed(answer: &Answer, op: &Op) -> Option<Outcome> {
    let (outcome, inverse) = match op {
        Op::Hook(hook) => (Outcome::of(CommandOutput::default()), hook.inverse()),
        _ => (Outcome::of(()), None),
    };
    match answer {
        Answer::Done => Some(outcome.undone_by(inverse)),
        Answer::Skip => Some(outcome.skipped()),
        Answer::Redo | Answer::Abort => None,
    }
}

fn unanswered(call: &Call) -> Failure {
    let what = format!("`{}` {} at {} was begun, and nobody knows whether it was done", call.op.verb(), call.op.describe(), call.origin);
    Failure::new(FailureKind::Interrupted, what)
        .from(&call.origin)
        .hint("find out, then go on with `--in-doubt done`, `redo` or `skip`; done: it was done, redo: do it again, skip: leave it out")
}

/// What is told of the first call that is not the recorded one.
fn diverged(call: &Call, recorded: &Op) -> Failure {
    let message = format!("call {} is not the one that was recorded", call.key);
    let failure = Failure::new(FailureKind::Diverged, message)
        .from(&call.origin)
        .detail("recorded", told(recorded))
        .detail("asked for", told(&call.op));
    let failure = differences(&recorded.canonical(), &call.op.canonical(), "")
        .into_iter()
        .take(5)
        .fold(failure, |failure, (path, was, is)| failure.detail(format!("`{path}`"), format!("recorded {was}, asked for {is}")));
    failure
        .hint("nothing was done or undone; usually the script, an import or a file that it reads was changed before the place where the run stopped")
        .hint("resume the run with its own script, change only what comes later, or `podlift undo` it")
}

fn told(op: &Op) -> String {
    let place = op.host().map(|host| format!(" on {}", host.name)).unwrap_or_default();
    format!("{} {}{place}", op.verb(), op.describe())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where two values differ, by path.
fn differences(was: &serde_json::Value, is: &serde_json::Value, path: &str) -> Vec<(String, String, String)> {
    use serde_json::Value;
    if was == is {
        return Vec::new();
    }
    let (Value::Object(left), Value::Object(right)) = (was, is) else {
        return vec![(path.trim_start_matches('.').to_owned(), was.to_string(), is.to_string())];
    };
    let names: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let value = |object: &serde_json::Map<String, Value>, name: &String| object.get(name).cloned().unwrap_or(Value::Null);
    names.into_iter().flat_map(|name| differences(&value(left, name), &value(right, name), &format!("{path}.{name}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        failure::Origin,
        model::{Host, Period, RunId, RunInfo, Shared},
        op::{CommandLine, Hook, Inverse, Invocation, Now, Pause, Place},
    };

    /// Answers each call with how often it was asked.
    #[derive(Default)]
    struct Counting(Mutex<u32>);

    impl Executor for Counting {
        fn perform(&self, _: &Call) -> Result<Outcome, Failure> {
            let mut count = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *count += 1;
            Ok(Outcome::of(*count))
        }
    }

    struct Says(Answer);

    impl Decide for Says {
        fn decide(&self, _: &Intent) -> Answer {
            self.0.clone()
        }
        fn who(&self) -> String {
            "ann@here".into()
        }
    }

    fn call(number: usize, op: impl Into<Shared<Op>>) -> Call {
        let run = RunInfo { id: RunId::new("r1").expect("valid"), operator: "me".into(), started: "2026-01-01T00:00:00Z".into() };
        Call::new(op, Key::call("", number), Origin { file: "deploy.rhai".into(), line: number, column: 1 }, Arc::new(run))
    }

    /// The journal as the next process finds it.
    fn later(journal: &Journal) -> Arc<Journal> {
        Arc::new(Journal::open(crate::journal::Memory, journal.chain()))
    }

    fn hook(command: &str) -> Hook {
        let invocation = Invocation {
            place: Place::Local,
            command: CommandLine::Shell(command.into()),
            env: std::collections::BTreeMap::new(),
            stdin: None,
            timeout: Period::seconds(1),
            check: true,
            name: None,
            assume: None,
        };
        Hook { invocation, undo: Some(CommandLine::Shell("back".into())), lease: None }
    }

    #[test]
    fn a_recorded_call_is_answered_and_not_made_again() {
        let journal = Arc::new(Journal::in_memory());
        let first = Record::journaled(Counting::default(), journal.clone(), Arc::new(Nobody));
        assert_eq!(first.perform(&call(1, Now {})).expect("answers").value.json(), 1);
        let again = Record::journaled(Counting::default(), later(&journal), Arc::new(Nobody));
        let mut moved = call(1, Now {});
        moved.origin.line = 40;
        assert_eq!(again.perform(&moved).expect("answers").value.json(), 1, "another line is the same call");
        assert_eq!(again.perform(&call(2, Now {})).expect("answers").value.json(), 1, "the first that is really made");
    }

    #[test]
    fn a_call_that_differs_stops_the_run_and_shows_both() {
        let journal = Arc::new(Journal::in_memory());
        Record::journaled(Counting::default(), journal.clone(), Arc::new(Nobody))
            .perform(&call(1, Pause { period: Period::seconds(1) }))
            .expect("answers");
        let again = Record::journaled(Counting::default(), later(&journal), Arc::new(Nobody));
        let failure = again.perform(&call(1, Pause { period: Period::seconds(2) })).expect_err("another pause");
        assert_eq!(failure.kind, FailureKind::Diverged);
        let told: Vec<_> = failure.details.iter().map(|detail| (detail.title.as_str(), detail.text.as_str())).collect();
        assert_eq!(told[..2], [("recorded", "pause 1s"), ("asked for", "pause 2s")]);
        assert_eq!(again.perform(&call(2, Now {})).expect_err("nothing is done behind it").kind, FailureKind::Diverged);
        assert_eq!(again.records().len(), 1);
    }

    #[test]
    fn a_command_without_an_answer_is_decided_by_a_person() {
        let settled = |answer| {
            let journal = Journal::in_memory();
            let asked = call(1, hook("migrate"));
            let asked = Asked { key: asked.key, origin: asked.origin, op: asked.op };
            journal
                .append(Entry::Intent(Intent { asked, at: "2026-01-01T00:00:00Z".into(), inverse: Inverse::default() }))
                .expect("in memory");
            let record = Record::journaled(Counting::default(), later(&journal), Arc::new(Says(answer)));
            let result = record.perform(&call(1, hook("migrate")));
            (result, *record.inner().0.lock().unwrap_or_else(PoisonError::into_inner))
        };
        let (done, made) = settled(Answer::Done);
        assert_eq!((done.expect("it was done").inverse.len(), made), (1, 0));
        let (skipped, made) = settled(Answer::Skip);
        assert_eq!((skipped.expect("it is left out").inverse.len(), made), (0, 0));
        let (_, made) = settled(Answer::Redo);
        assert_eq!(made, 1);
        let (aborted, made) = settled(Answer::Abort);
        let failure = aborted.expect_err("nobody knows");
        assert_eq!((failure.kind, made), (FailureKind::Interrupted, 0));
        assert!(failure.hints[0].contains("--in-doubt"), "{failure:?}");
    }

    /// The second try of a call that an earlier process did not live to see the end of may fail: the first one may have done it.
    #[test]
    fn a_second_try_that_fails_does_not_say_that_the_first_did_nothing() {
        struct Fails(Vec<Op>);
        impl Executor for Fails {
            fn perform(&self, _: &Call) -> Result<Outcome, Failure> {
                Err(Failure::failed("it cannot be done").not_sent().undone_by(self.0.clone()))
            }
        }
        let again = |op: &Op, foreseen: &[Op], inverse: &[Op]| {
            let journal = Journal::in_memory();
            let Call { key, origin, op, .. } = call(1, op.clone());
            let intent = Intent { asked: Asked { key, origin, op: op.clone() }, at: String::new(), inverse: foreseen.to_vec().into() };
            journal.append(Entry::Intent(intent)).expect("in memory");
            let record = Record::journaled(Fails(inverse.to_vec()), later(&journal), Arc::new(Says(Answer::Redo)));
            record.perform(&call(1, op)).expect_err("it fails")
        };
        let of = |verb: &str, containers: &[&str]| {
            let host = Host::parse("h1").expect("valid");
            let op = serde_json::json!({
                "op": verb, "host": host, "project": "shop", "service": "web", "containers": containers, "proxies": [],
                "timeout": "10s", "allow_downtime": true, "versions": [], "images": [],
            });
            serde_json::from_value::<Op>(op).expect("an op")
        };
        let (stop, both, second) = (of("stop", &["a", "b"]), of("start_again", &["a", "b"]), of("start_again", &["b"]));
        let failure = again(&stop, std::slice::from_ref(&both), &[second]);
        assert_eq!(*failure.inverse, [both], "the first try stopped one of the two");
        for verb in ["remove", "prune"] {
            let failure = again(&of(verb, &["a"]), &[], &[]);
            assert!(failure.half_done && !failure.not_sent, "{verb}: {failure:?}");
        }
        let failure = again(&hook("migrate").into(), &[], &[]);
        assert!(!failure.not_sent && !failure.half_done, "{failure:?}");
    }

    #[test]
    fn a_call_that_was_told_to_stop_is_made_again() {
        struct Stops;
        impl Executor for Stops {
            fn perform(&self, _: &Call) -> Result<Outcome, Failure> {
                Err(Failure::new(FailureKind::Interrupted, "stopped"))
            }
        }
        let journal = Arc::new(Journal::in_memory());
        Record::journaled(Stops, journal.clone(), Arc::new(Nobody)).perform(&call(1, Now {})).expect_err("stops");
        let again = Record::journaled(Counting::default(), later(&journal), Arc::new(Nobody));
        assert_eq!(again.perform(&call(1, Now {})).expect("answers").value.json(), 1);
    }

    #[test]
    fn a_thousand_recorded_calls_are_answered_and_none_is_made_again() {
        let journal = Arc::new(Journal::in_memory());
        let first = Record::journaled(Counting::default(), journal.clone(), Arc::new(Nobody));
        for number in 1..=1000 {
            first.perform(&call(number, hook("migrate"))).expect("answers");
        }
        let text = journal.text();
        let chain = crate::journal::Chain::read(&text).expect("reads");
        let again = Record::journaled(Counting::default(), Arc::new(Journal::open(crate::journal::Memory, chain)), Arc::new(Nobody));
        for number in 1..=1000 {
            again.perform(&call(number, hook("migrate"))).expect("answers");
        }
        assert_eq!(*again.inner().0.lock().unwrap_or_else(PoisonError::into_inner), 0);
    }
}
