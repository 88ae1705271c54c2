//! `podlift undo`

use std::{path::Path, sync::Arc};

use super::{
    changes::Counts,
    complaint,
    doubt::Doubt,
    exit::Exit,
    found::{self, Found},
    interrupt::Interrupt,
    journaling, leftovers, lock,
    outside::Outside,
    run::Teller,
    show::complain,
    stack::Stack,
};
use crate::{
    cli,
    executor::{
        Branches, Cancellation, Recorded, RunInfo, Terms, Undo, Urgency,
        doubts::{settled, touched},
        ending::{Ending, State},
        overtaken::overtaken,
        record::Decide,
    },
    failure::Failure,
    journal::{How, Journal},
    op::Release,
    terminal::{Printer, words},
};

/// Takes back what a run did since its last commit.
pub fn run(options: &cli::Undo, printer: &Printer) -> Exit {
    let (outside, _) = match found::outside(&options.ssh, Path::new(".")) {
        Ok(outside) => outside,
        Err(failure) => return complain(printer, &failure),
    };
    match Found::find(options.run.as_ref(), &options.from, &outside) {
        Ok(found) => undo(options, found.with_copies(&outside), outside, printer),
        Err(failure) => Teller::new(&options.as_run(), printer).refuse(&failure),
    }
}

/// The same, for a run that was found.
pub fn undo(options: &cli::Undo, found: Found, outside: Outside, printer: &Printer) -> Exit {
    let teller = Teller::new(&options.as_run(), printer);
    let undoing = match begin(options, &found, &outside, printer) {
        Ok(undoing) => undoing,
        Err(failure) => return teller.refuse(&failure),
    };
    let Undoing { journal, run, decide } = undoing;
    let terms = Terms { purpose: format!("undo of {}", run.id), ..Terms::default() };
    let stack = Stack::journaled(None, outside.executor(), teller.narrator.clone(), journal.clone(), decide.clone(), terms);
    let cancellation = Cancellation::default();
    let interrupt = Interrupt::listen(outside.runtime(), cancellation.clone(), printer.clone());
    let (records, unknown) = settled(&journal, stack.within(), decide.as_ref(), &run);
    let mut failures = unknown;
    if failures.is_empty() {
        let executor = stack.executor();
        let undo = Undo { executor: executor.as_ref(), run: &run, branches: Branches::default(), cancellation: &cancellation };
        failures.extend(undo.block(&records, "").into_iter().map(|left| left.failure));
    }
    drop(interrupt);
    for failure in &failures {
        complaint::tell_failure(printer, failure);
    }
    let ending = Ending::read(stack.within(), &records, &run);
    let was_stopped = cancellation.urgency() > Urgency::None || failures.iter().any(|failure| failure.kind.leaves_all());
    let exit = match (was_stopped, failures.is_empty(), ending.state()) {
        (true, ..) => Exit::Interrupted,
        (false, true, State::Unchanged | State::AllOld) => Exit::Undone,
        // What was committed before stays.
        (false, true, State::AllNew) if has_commit(&records) => Exit::Undone,
        _ => Exit::Mixed,
    };
    let release = if exit == Exit::Interrupted { Release::Left } else { Release::Free };
    stack.release(&run, &release).iter().for_each(|failure| printer.tell(lock::not_given_back(failure)));
    journaling::ended(&journal, exit, Some(&ending), failures.first().map(|failure| failure.message.clone()));
    if exit != Exit::Undone && !options.json {
        for line in leftovers::lines(&ending) {
            printer.tell(format!("! {line}"));
        }
    }
    let counts = Counts::of(&stack.records());
    let (end, next) = told(exit, &found, counts.standing);
    // What was asked for is done.
    let code = if exit == Exit::Undone { Exit::Done } else { exit };
    teller.conclude(code, end, next, &counts, Some(&ending), &[]);
    outside.close();
    code
}

fn told(exit: Exit, found: &Found, standing: usize) -> (String, Option<String>) {
    let again = format!("`podlift undo {}` goes on", found.id);
    match exit {
        Exit::Undone => ("undone: everything is as it was".into(), None),
        Exit::Interrupted => (format!("interrupted while undoing: {} may stand", words::count(standing, "change")), Some(again)),
        _ => (format!("the fleet is mixed: {} may stand", words::count(standing, "change")), Some(again)),
    }
}

struct Undoing {
    journal: Arc<Journal>,
    run: Arc<RunInfo>,
    decide: Arc<dyn Decide>,
}

fn begin(options: &cli::Undo, found: &Found, outside: &Outside, printer: &Printer) -> Result<Undoing, Failure> {
    found.is_open("undone")?;
    let run = Arc::new(found.header()?.run.clone());
    let journal = Arc::new(journaling::go_on(found, outside)?);
    if let Some(later) = overtaken(outside.executor().as_ref(), &touched(&journal), &run) {
        return Err(later.refusal(&run.id));
    }
    journaling::began(&journal, How::Undo)?;
    journaling::undoing(&journal);
    let decide = Arc::new(Doubt { answer: options.in_doubt, printer: printer.clone() });
    Ok(Undoing { journal, run, decide })
}

/// Whether a part of what the run did was made final.
fn has_commit(records: &[Recorded]) -> bool {
    records.iter().any(|record| record.op.verb() == "commit")
}
