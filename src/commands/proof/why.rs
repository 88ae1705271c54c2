//! What is said of a script that fails where nothing goes wrong: in which run, and by which answer perhaps.

use crate::{journal::Recorded, script::diagnostics::Diagnostic};

/// It failed in what the script says the tests begin with.
pub const GIVEN: &str = "this was in `given`, on an empty fleet: it makes what the tests begin with";
/// It failed in the run before the one that is tested.
pub const EARLIER: &str = "this was the first run, on an empty fleet, which makes what the tests begin with; `given` says it otherwise";
/// It failed in the run that is tested.
pub const LATER: &str = "this was the run that is tested, on a fleet that has what the run before it, or `given`, has made";

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
