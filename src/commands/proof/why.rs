//! What is said of a script that fails where nothing goes wrong: in which run, and by which answer perhaps.

use crate::{
    failure::Failure,
    journal::Recorded,
    op::Op,
    script::{diagnostics::Diagnostic, sources::Sources},
};

/// It failed in what the script says the tests begin with.
pub const GIVEN: &str = "this was in `given`, on an empty fleet: it makes what the tests begin with";
/// It failed in the run before the one that is tested.
pub const EARLIER: &str = "this was the first run, on an empty fleet, which makes what the tests begin with; `given` says it otherwise";
/// It failed in the run that is tested.
pub const LATER: &str = "this was the run that is tested, on a fleet that has what the run before it, or `given`, has made";

/// What to do with a script that leaves hosts out whatever happens.
const LEFT_OUT: &str = "a run that leaves a host out ends as mixed, also here; to test it, take the host out of those that it deploys to";

/// What is said of a run that failed where nothing goes wrong and no script did: with the place where it leaves a host out, if it does.
pub fn not_done(records: &[Recorded], why: &str, sources: &Sources) -> Diagnostic {
    let mut failure = Failure::failed(why);
    if let Some(leaving) = records.iter().find(|record| matches!(*record.op, Op::LeaveOut(_))) {
        failure.origin = Some(leaving.origin.clone());
        failure.hints.push(LEFT_OUT.into());
    }
    Diagnostic::of_failure(&failure, sources)
}

/// An answer that was taken for granted because the script does not say it: that on the line where it fails, else the last one.
pub fn unsaid(records: &[Recorded], diagnostic: &Diagnostic) -> Option<String> {
    let is_there =
        |record: &&Recorded| diagnostic.file.as_deref() == Some(&record.origin.file) && diagnostic.line == Some(record.origin.line);
    let mut unsaid = records.iter().rev().filter(|record| record.op.has_no_assume());
    let of_a_read = unsaid.clone().find(|record| !record.op.class().changes());
    let last = unsaid.find(is_there).or(of_a_read)?;
    let assumed = last.result.as_ref().ok()?.assumed.as_ref()?;
    Some(format!("what `{}` answers at {} is taken for granted ({assumed}); with `assume` the script says it", last.op.verb(), last.origin))
}
