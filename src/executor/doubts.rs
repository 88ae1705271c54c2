//! Changes that were asked for and not answered, when their run is taken back.

use std::sync::Arc;

use super::{
    Call, Executor, Outcome, Recorded, RunInfo, Undo,
    record::{Decide, supposed, taken_back_by},
};
use crate::{
    failure::{Failure, FailureKind},
    journal::{Asked, Entry, Intent, Journal, now},
    op::Op,
};

/// All calls that did something, or may have.
pub fn touched(journal: &Journal) -> Vec<Recorded> {
    journal.records().into_iter().chain(journal.doubts().iter().map(Recorded::unanswered)).collect()
}

/// The commands that were begun and not answered: nothing but their answer tells whether they were done.
pub fn commands(journal: &Journal) -> Vec<Intent> {
    journal.doubts().into_iter().filter(|intent| intent.asked.op.is_known_by_its_answer_only()).collect()
}

/// Those of them of which a person has to say what became of them before the run is taken back: what takes them back depends on it.
pub fn undecided(journal: &Journal) -> Vec<Intent> {
    commands(journal).into_iter().filter(|intent| intent.asked.key.is_undo() || has_undo(intent)).collect()
}

/// Those of them that nothing would take back: whether they were done changes nothing of an undo.
pub fn unanswered(journal: &Journal) -> Vec<Intent> {
    commands(journal).into_iter().filter(|intent| !intent.asked.key.is_undo() && !has_undo(intent)).collect()
}

/// What a person says of calls that nothing but their answer could tell of.
pub struct Decided {
    answers: Vec<(Intent, Outcome)>,
    who: String,
}

/// Asks what became of every call that nothing but its answer could tell of, and that has an undo. Of those that have none nobody was
/// asked, so no answer goes for them.
///
/// # Errors
/// Where a person does not know it of one whose undo depends on it: then nothing is to be taken back.
pub fn decided(journal: &Journal, decide: &dyn Decide) -> Result<Decided, Vec<Failure>> {
    let (mut answers, mut failures) = (Vec::new(), Vec::new());
    for intent in commands(journal).into_iter().filter(|intent| !intent.asked.key.is_undo() && has_undo(intent)) {
        match supposed(&decide.decide(&intent), &intent.asked.op) {
            Some(outcome) => answers.push((intent, outcome)),
            None => failures.push(unknown(&intent.asked)),
        }
    }
    if failures.is_empty() { Ok(Decided { answers, who: decide.who() }) } else { Err(failures) }
}

/// Takes back what a run did since its last commit, what is in doubt settled first: by what a person has decided, else through
/// `settling`, which waits for hosts that were lost. What cannot be settled, or not be taken back, is left, and why is returned; the
/// rest goes on.
pub fn take_back(journal: &Journal, settling: &dyn Executor, decided: Decided, undo: &Undo<'_>) -> Vec<Failure> {
    let mut failures = note(journal, decided);
    let (records, unsettled) = settled(journal, settling, undo.run);
    failures.extend(unsettled);
    failures.extend(undo.block(&records, "").into_iter().map(|left| left.failure));
    failures
}

/// Notes what a person has decided; returns why some of it could not be.
fn note(journal: &Journal, Decided { answers, who }: Decided) -> Vec<Failure> {
    let entry = |(Intent { asked, .. }, outcome)| Entry::Done { asked, outcome, at: now(), seconds: 0.0, answered_by: Some(who.clone()) };
    answers.into_iter().filter_map(|answer| journal.append(entry(answer)).err()).collect()
}

/// The records with what is in doubt settled: what exists of it is known, and can be taken back. Also why what could not be settled
/// was not.
fn settled(journal: &Journal, executor: &dyn Executor, run: &Arc<RunInfo>) -> (Vec<Recorded>, Vec<Failure>) {
    let mut records = journal.records();
    let mut failures = Vec::new();
    for intent in journal.doubts().into_iter().filter(|intent| !intent.asked.key.is_undo()) {
        let asked = &intent.asked;
        let call = Call::new(asked.op.clone(), asked.key.clone(), asked.origin.clone(), run.clone());
        // A command that no answer was given for has nothing that takes it back.
        let is_command = asked.op.is_known_by_its_answer_only();
        let inverse = if is_command { Ok(Vec::new()) } else { taken_back_by(executor, &call, &intent) };
        records.retain(|record| record.key != asked.key);
        match inverse {
            Ok(inverse) => {
                settles(journal, asked, &inverse);
                records.push(recorded(&intent, inverse));
            }
            Err(failure) => failures.push(failure.from(&asked.origin)),
        }
    }
    (records, failures)
}

/// Notes what exists of a call that failed while nobody could be asked what an earlier process had done of it.
fn settles(journal: &Journal, asked: &Asked, inverse: &[Op]) {
    let Some(Recorded { result: Err(failure), seconds, .. }) = journal.recorded(&asked.key).filter(Recorded::is_in_doubt) else { return };
    let failure = Failure { in_doubt: false, ..failure }.undone_by(inverse.iter().cloned());
    // Where it cannot be noted it is asked for again.
    let _ = journal.append(Entry::Failed { asked: asked.clone(), failure, at: now(), seconds });
}

fn recorded(intent: &Intent, inverse: Vec<Op>) -> Recorded {
    let record = Recorded::unanswered(intent);
    Recorded { result: record.result.map_err(|failure| failure.undone_by(inverse)), ..record }
}

fn has_undo(intent: &Intent) -> bool {
    matches!(&*intent.asked.op, Op::Hook(hook) if hook.undo.is_some())
}

fn unknown(asked: &Asked) -> Failure {
    let message = format!("`{}` {} was begun, and nobody knows whether it was done", asked.op.verb(), asked.op.describe());
    Failure::new(FailureKind::Interrupted, message)
        .from(&asked.origin)
        .hint("find out, then `podlift undo` with `--in-doubt done` or `--in-doubt skip`")
}
