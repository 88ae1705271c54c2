//! `podlift undo`

use std::{path::Path, sync::Arc};

use super::{
    changes::Counts,
    complaint, copies,
    doubt::Doubt,
    exit::Exit,
    found::{self, Found},
    interrupt::Interrupt,
    journaling, leftovers,
    outside::Outside,
    run::Teller,
    show::complain,
    stack::Stack,
};
use crate::{
    cli,
    executor::{
        Call, Cancellation, Executor, Recorded, RunInfo, Urgency,
        ending::{Ending, State},
        overtaken::overtaken,
        record::{Answer, Decide, taken_back_by},
        undo::undo as fold,
    },
    failure::{Failure, FailureKind},
    journal::{How, Intent, Journal},
    op::{Class, Op},
    terminal::{Printer, words},
};

/// Takes back what a run did since its last commit.
pub fn run(options: &cli::Undo, printer: &Printer) -> Exit {
    let (outside, _) = match found::outside(&options.ssh, Path::new(".")) {
        Ok(outside) => outside,
        Err(failure) => return complain(printer, &failure),
    };
    match Found::find(options.run.as_ref(), &options.from, &outside) {
        Ok(found) => undo(options, found, outside, printer),
        Err(failure) => complain(printer, &failure),
    }
}

/// The same, for a run that was found.
pub fn undo(options: &cli::Undo, found: Found, outside: Outside, printer: &Printer) -> Exit {
    let teller = Teller::new(&options.as_run(), printer);
    let undoing = match begin(options, &found, &outside, printer) {
        Ok(undoing) => undoing,
        Err(failure) => return complain(printer, &failure),
    };
    let Undoing { journal, run, decide } = undoing;
    let stack = Stack::journaled(None, outside.executor(), teller.narrator.clone(), journal.clone(), decide.clone());
    let cancellation = Cancellation::default();
    let interrupt = Interrupt::listen(outside.runtime(), cancellation.clone(), printer.clone());
    let (records, unknown) = settled(&journal, stack.within(), decide.as_ref(), &run);
    let mut failures = unknown;
    if failures.is_empty() {
        failures.extend(fold(stack.executor().as_ref(), &records, &run, &cancellation).into_iter().map(|left| left.failure));
    }
    drop(interrupt);
    failures.iter().for_each(|failure| complaint::tell_failure(printer, failure));
    let ending = Ending::read(stack.within(), &records, &run);
    let exit = match (failures.is_empty(), cancellation.urgency() > Urgency::None || failures.iter().any(|f| f.kind.leaves_all())) {
        (_, true) => Exit::Interrupted,
        (true, false) if ending.state() != State::Mixed => Exit::Undone,
        _ => Exit::Mixed,
    };
    journaling::ended(&journal, exit, Some(&ending), failures.first().map(|failure| failure.message.clone()));
    if exit != Exit::Undone && !options.json {
        leftovers::lines(&ending).into_iter().for_each(|line| printer.tell(format!("! {line}")));
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
    let copies = copies::of(outside);
    let journal = Arc::new(journaling::go_on(found, copies)?);
    if let Some(later) = overtaken(outside.executor().as_ref(), &touched(&journal), &run) {
        return Err(later.refusal(&run.id));
    }
    journaling::began(&journal, How::Undo)?;
    journaling::undoing(&journal);
    let decide = Arc::new(Doubt { answer: options.in_doubt, printer: printer.clone() });
    Ok(Undoing { journal, run, decide })
}

/// All calls that did something, or may have.
pub fn touched(journal: &Journal) -> Vec<Recorded> {
    let doubts = journal.doubts().into_iter().map(|intent| recorded(&intent, Vec::new()));
    journal.records().into_iter().chain(doubts).collect()
}

/// The records with what is in doubt settled: what exists of it is known, and can be taken back. Also why it could not be.
fn settled(journal: &Journal, executor: &dyn Executor, decide: &dyn Decide, run: &Arc<RunInfo>) -> (Vec<Recorded>, Vec<Failure>) {
    let mut records = journal.records();
    let mut failures = Vec::new();
    for intent in journal.doubts().into_iter().filter(|intent| !intent.asked.key.is_undo()) {
        let asked = &intent.asked;
        let call = Call::new(asked.op.clone(), asked.key.clone(), asked.origin.clone(), run.clone());
        let inverse = match asked.op.class() {
            Class::Once => match (decide.decide(&intent), &asked.op) {
                (Answer::Done, Op::Hook(hook)) => Ok(hook.inverse().into_iter().collect()),
                (Answer::Done | Answer::Skip, _) => Ok(Vec::new()),
                (Answer::Redo | Answer::Abort, _) => Err(Failure::new(
                    FailureKind::Interrupted,
                    format!("`{}` {} was begun, and nobody knows whether it was done", asked.op.verb(), asked.op.describe()),
                )
                .hint("find out, then `podlift undo` with `--in-doubt done` or `--in-doubt skip`")),
            },
            _ => taken_back_by(executor, &call, &intent),
        };
        records.retain(|record| record.key != asked.key);
        match inverse {
            Ok(inverse) => records.push(recorded(&intent, inverse)),
            Err(failure) => failures.push(failure.from(&asked.origin)),
        }
    }
    (records, failures)
}

fn recorded(intent: &Intent, inverse: Vec<Op>) -> Recorded {
    let asked = intent.asked.clone();
    let failure = Failure::new(FailureKind::Interrupted, "it was begun and not answered").undone_by(inverse);
    Recorded { key: asked.key, op: asked.op, origin: asked.origin, result: Err(failure), seconds: 0.0 }
}
