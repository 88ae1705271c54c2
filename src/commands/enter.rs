//! How a process comes to work on a run that another one began.

use std::sync::Arc;

use super::{environment::Environment, journaling, stack::Stack};
use crate::{
    executor::{
        Cancellation, Recorded, RunInfo,
        doubts::touched,
        overtaken::{Reach, overtaken},
        pending::{done, since_commit},
    },
    failure::Failure,
    journal::{How, Journal},
    op::Op,
    script::SecretNames,
};

/// Takes the run's leases and notes that this process works on it. Only then is anything replayed or undone.
///
/// # Errors
/// Where another run has changed since what this one did, or has one of the leases: then nothing is noted, and nothing taken.
pub fn enter(stack: &Stack, journal: &Journal, run: &Arc<RunInfo>, how: How, cancellation: &Cancellation) -> Result<(), Failure> {
    let touched = touched(journal);
    let reach = if how == How::Undo { Reach::Changed } else { Reach::Seen };
    if let Some(later) = overtaken(stack.within(), journal.chain().entries(), reach, run) {
        return Err(later.refusal(&run.id));
    }
    stack.regain(run, &touched, cancellation)?;
    journaling::began(journal, how)
}

/// Fails where what is to be taken back needs secrets that are not here.
pub fn has_secrets(records: &[Recorded], environment: &Environment) -> Result<(), Failure> {
    let done = done(records);
    let inverses = since_commit(records, "").into_iter().flat_map(|record| {
        let left = record.inverse().iter().enumerate().filter(|(index, _)| !done.contains(record.key.undo(*index).as_str()));
        left.map(|(_, op)| op).collect::<Vec<&Op>>()
    });
    let mut missing: Vec<String> = inverses.flat_map(Op::secrets).filter(|name| !environment.has(name)).collect();
    missing.sort();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::refused(format!("what takes the run back needs what is not here: {}", missing.join(", ")))
        .hint("set these environment variables, or write them into .env beside the script, then try again"))
}
