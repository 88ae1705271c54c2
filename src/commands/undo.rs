//! `podlift undo`

use std::{path::Path, sync::Arc};

use super::{
    changes::Counts,
    complaint,
    doubt::Doubt,
    enter::{enter, has_secrets},
    exit::Exit,
    found::{self, Found},
    interrupt::Interrupt,
    journaling, leftovers, lock,
    mode::Mode,
    outside::Outside,
    resume::place_of,
    run::Teller,
    show::complain,
    stack::Stack,
    work::{Finished, Work},
};
use crate::{
    cli,
    executor::{
        Cancellation, RunInfo, Terms,
        doubts::{touched, unanswered, undecided},
        ending::{Ending, State},
        record::Decide,
    },
    failure::Failure,
    journal::{How, Journal},
    terminal::{Printer, words},
};

/// Takes back what a run did since its last commit.
pub fn run(options: &cli::Undo, printer: &Printer) -> Exit {
    let (outside, _) = match found::outside(&options.ssh, Path::new(".")) {
        Ok(outside) => outside,
        Err(failure) => return complain(printer, &failure),
    };
    let found = Found::find_to(How::Undo, options.run.as_ref(), &options.from, &outside, printer);
    match found.and_then(|found| found.with_copies(&outside, options.journal.as_deref())) {
        Ok(found) => {
            found.tell_left_out(printer);
            outside.close();
            undo(options, &found, printer)
        }
        Err(failure) => Teller::new(&options.as_run(), printer).refuse(&failure),
    }
}

/// The same, for a run that was found: with what is beside its script, as the run itself had it.
pub fn undo(options: &cli::Undo, found: &Found, printer: &Printer) -> Exit {
    let teller = Teller::new(&options.as_run(), printer);
    let undoing = match begin(options, found, printer) {
        Ok(undoing) => undoing,
        Err(failure) => return teller.refuse(&failure),
    };
    let Undoing { outside, journal, run, decide } = undoing;
    let terms = Terms { purpose: format!("undo of {}", run.id), wait: options.wait, ..Terms::default() };
    let stack = Stack::journaled(None, outside.executor(), teller.narrator.clone(), journal.clone(), decide.clone(), terms);
    let cancellation = Cancellation::default();
    let interrupt = Interrupt::listen(outside.runtime(), cancellation.clone(), printer.clone());
    if let Err(failure) = enter(&stack, &journal, &run, How::Undo, &cancellation) {
        drop(interrupt);
        outside.close();
        return teller.refuse(&failure);
    }
    let work = Work { stack: &stack, journal: &journal, run: &run, decide: decide.as_ref(), mode: Mode::Live };
    let failures = work.take_back(&cancellation);
    drop(interrupt);
    for failure in &failures {
        complaint::tell_failure(printer, failure);
    }
    let Finished { exit, records, counts, ending, kept_leases, .. } = work.finish_undo(&failures, &cancellation);
    for failure in &kept_leases {
        printer.tell(lock::not_given_back(failure));
    }
    let (unanswered, doubts) = (unanswered(&journal), journal.doubts());
    teller.left(leftovers::calls(&run.id, &records, &unanswered, &doubts));
    if !options.json {
        let ending = ending.as_ref().filter(|_| exit != Exit::Undone);
        for line in leftovers::of_run(ending, &records, &unanswered, &doubts) {
            printer.tell(format!("! {line}"));
        }
    }
    let (end, next) = told(exit, found, &counts, ending.as_ref(), failures.is_empty());
    // What was asked for is done.
    let code = if exit == Exit::Undone { Exit::Done } else { exit };
    teller.conclude(code, end, next, &counts, ending.as_ref(), &[]);
    outside.close();
    code
}

fn told(exit: Exit, found: &Found, counts: &Counts, ending: Option<&Ending>, is_all_it_can: bool) -> (String, Option<String>) {
    let fleet = match ending.map(Ending::state) {
        Some(State::AllNew) => "the fleet is all new",
        _ if counts.is_all_here() => "what was done on this machine is mixed",
        _ => "the fleet is mixed",
    };
    let again = format!("`podlift undo {}` goes on", found.id);
    let standing = words::count(counts.standing, "change");
    let undone = if counts.committed > 0 { "everything since the last commit was taken back" } else { "everything is as it was" };
    match exit {
        Exit::Undone if counts.commands > 0 => (format!("undone: {undone}, but for what {} did", counts.commands_told()), None),
        Exit::Undone => (format!("undone: {undone}"), None),
        Exit::Interrupted => (format!("interrupted while undoing: {standing} may stand"), Some(again)),
        _ if is_all_it_can && !counts.can_be_undone && counts.standing == 0 && counts.committed > 0 => {
            (format!("{fleet}: {} that a commit made final stay", words::count(counts.committed, "change")), None)
        }
        _ if is_all_it_can && !counts.can_be_undone => (format!("{fleet}: {standing} that nothing takes back, such as a `remove`"), None),
        _ => (format!("{fleet}: {standing} may stand"), Some(again)),
    }
}

struct Undoing {
    outside: Outside,
    journal: Arc<Journal>,
    run: Arc<RunInfo>,
    decide: Arc<dyn Decide>,
}

fn begin(options: &cli::Undo, found: &Found, printer: &Printer) -> Result<Undoing, Failure> {
    found.is_open("undone")?;
    let header = found.header()?;
    let (outside, environment) = found::outside(&options.ssh, place_of(header).folder())?;
    let run = Arc::new(header.run.clone());
    let journal = Arc::new(journaling::go_on(found, &outside)?);
    has_secrets(&touched(&journal), &environment)?;
    let decide = Doubt::new(options.in_doubt, printer);
    decide.settle(&undecided(&journal), &run.id, How::Undo)?;
    let decide = Arc::new(decide);
    Ok(Undoing { outside, journal, run, decide })
}
