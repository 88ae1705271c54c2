//! Changes that were asked for and not answered, when their run is taken back.

use std::sync::Arc;

use super::{
    Call, Executor, Recorded, RunInfo, Undo,
    record::{Answer, Decide, taken_back_by},
};
use crate::{
    failure::{Failure, FailureKind},
    journal::{Asked, Entry, Intent, Journal, now},
    op::Op,
};

/// All calls that did something, or may have.
pub fn touched(journal: &Journal) -> Vec<Recorded> {
    let doubts = journal.doubts().into_iter().map(|intent| recorded(&intent, Vec::new()));
    journal.records().into_iter().chain(doubts).collect()
}

/// Takes back what a run did since its last commit, what is in doubt settled first, through `settling`, which waits for hosts that
/// were lost. What cannot be settled, or not be taken back, is left, and why is returned; the rest goes on. Only where a person is
/// asked and does not know, nothing is taken back.
pub fn take_back(journal: &Journal, settling: &dyn Executor, decide: &dyn Decide, undo: &Undo<'_>) -> Vec<Failure> {
    let (records, mut failures) = settled(journal, settling, decide, undo.run);
    if !failures.iter().any(|failure| failure.kind.leaves_all()) {
        failures.extend(undo.block(&records, "").into_iter().map(|left| left.failure));
    }
    failures
}

/// The records with what is in doubt settled: what exists of it is known, and can be taken back. Also why what could not be settled
/// was not.
fn settled(journal: &Journal, executor: &dyn Executor, decide: &dyn Decide, run: &Arc<RunInfo>) -> (Vec<Recorded>, Vec<Failure>) {
    let mut records = journal.records();
    let mut failures = Vec::new();
    for intent in journal.doubts().into_iter().filter(|intent| !intent.asked.key.is_undo()) {
        let asked = &intent.asked;
        let call = Call::new(asked.op.clone(), asked.key.clone(), asked.origin.clone(), run.clone());
        let inverse = if asked.op.is_known_by_its_answer_only() {
            match (decide.decide(&intent), &*asked.op) {
                (Answer::Done, Op::Hook(hook)) => Ok(hook.inverse().into_iter().collect()),
                (Answer::Done | Answer::Skip, _) => Ok(Vec::new()),
                (Answer::Redo | Answer::Abort, _) => Err(Failure::new(
                    FailureKind::Interrupted,
                    format!("`{}` {} was begun, and nobody knows whether it was done", asked.op.verb(), asked.op.describe()),
                )
                .hint("find out, then `podlift undo` with `--in-doubt done` or `--in-doubt skip`")),
            }
        } else {
            taken_back_by(executor, &call, &intent)
        };
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
    let asked = intent.asked.clone();
    let failure = Failure::new(FailureKind::Interrupted, "it was begun and not answered").undone_by(inverse);
    Recorded { key: asked.key, op: asked.op, origin: asked.origin, result: Err(failure), seconds: 0.0 }
}
