//! `podlift repl`

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Instant,
};

use super::{
    changes::Counts,
    complaint,
    environment::Environment,
    exit::Exit,
    identity,
    interrupt::Interrupt,
    journaling, leftovers, lock,
    mode::Mode,
    outside::Outside,
    place::Place,
    run::quoted,
    stack::{Modelled, Stack, states},
    work::{Finished, Manner, Work},
};
use crate::{
    cli,
    executor::{Cancellation, Executor, Narrator, Real, RunInfo, Terms, confirm::Confirming, record::Nobody},
    failure::Failure,
    journal::entry::TYPED,
    op::Class,
    repl::{
        console::Standard,
        editor::Help,
        known::Known,
        session::{Consent, Rehearse, Talk},
    },
    script::{Checked, Ended, ScriptRun, goes_on},
    terminal::{Conclusion, Plain, Plan, Printer, words, words::Detail},
};

/// A run that is typed, on the fleet or on a simulated one.
pub fn run(options: &cli::Repl, printer: &Printer) -> Exit {
    match begin(options, printer) {
        Ok(exit) => exit,
        Err(failure) => {
            complaint::tell_failure(printer, &failure);
            Exit::not_begun(failure.kind)
        }
    }
}

fn begin(options: &cli::Repl, printer: &Printer) -> Result<Exit, Failure> {
    let place = options.script.as_deref().map(Place::find).transpose()?;
    let folder = place.as_ref().map_or(Path::new("."), Place::folder).to_path_buf();
    let environment = Environment::beside(&folder)?;
    let outside = Outside::open(&options.ssh, &folder, &environment)?;
    let mode = if options.simulate { Mode::Simulation } else { Mode::Live };
    let model = mode.model(&outside)?.map(Arc::new);
    let detail = if options.verbose { Detail::All } else { Detail::Usual };
    let narrator: Arc<dyn Narrator> = Arc::new(Plain::new(printer.clone(), detail));
    let run = Arc::new(identity::new_run());
    let typed = Checked::new(TYPED, &folder, "");
    let header = journaling::header(&Place { file: TYPED.into() }, &typed, &options.arguments, &run, outside.executor().as_ref());
    let journal = Arc::new(mode.journal(&header, &outside)?);

    let known = Arc::new(Mutex::new(Known::default()));
    let help = Help { known: known.clone(), is_incomplete: Arc::new(goes_on), colour: printer.style().colour };
    let history = journaling::runs_folder().join("history");
    let cancellation = Cancellation::default();
    let console = Arc::new(Standard::new(printer.clone(), Some(help), Some(&history), cancellation.clone()));
    let consent = Consent::new(console.clone(), options.yes);
    let within: Arc<dyn Executor> = match &model {
        Some(model) => model.clone(),
        None => Arc::new(Confirming::new(outside.executor(), consent.clone())),
    };
    let terms = Terms { purpose: "podlift repl".into(), allow_older: options.allow_older, ..Terms::default() };
    let stack = Stack::journaled(None, within, narrator.clone(), journal.clone(), Arc::new(Nobody), terms)
        .stepping(consent.clone(), narrator.clone());
    let interrupt = Interrupt::listen(outside.runtime(), cancellation.clone(), printer.clone());
    let rehearse = rehearse(model.clone(), &outside, options.allow_older, printer.clone());
    let talk = ScriptRun {
        arguments: options.arguments.clone(),
        executor: stack.executor(),
        narrator,
        run: run.clone(),
        branches: mode.branches(),
        cancellation,
        secrets: Arc::new(environment),
    };
    let began = Instant::now();
    printer.tell("podlift: type script, or :help");
    let paper = printer.clone();
    let given = options.arguments.iter().map(|(key, value)| quoted(&format!("{key}={value}"))).collect();
    let ended = typed.converse(talk, move |evaluator| {
        let mut talk = Talk::new(console, paper, consent, rehearse, known, Arc::new(evaluator));
        if let Some(place) = place {
            talk.begin(&place.file, given);
        }
        talk.run()
    });
    drop(interrupt);
    if let Err(ended) = &ended {
        complaint::tell(printer, std::slice::from_ref(&ended.diagnostic), typed.sources());
    }
    let ended = ended.and_then(|ended| ended);
    let finished = Work { stack: &stack, journal: &journal, run: &run, decide: &Nobody, mode }.finish(&ended, Manner::Typed);
    finished.kept_leases.iter().for_each(|failure| printer.tell(lock::not_given_back(failure)));
    let kept = model.as_ref().map_or(Ok(()), |model| mode.keep(model));
    if ended.is_err() && !mode.is_modelled() {
        for line in leftovers::of_run(None, &finished.records, &[], &[]) {
            printer.tell(format!("! {line}"));
        }
    }
    let (end, next) = conclusion(mode, &ended, &finished, &run);
    let end = if kept.is_ok() { end } else { format!("{end}, but the fleet was not kept") };
    let good = finished.exit == Exit::Done && kept.is_ok();
    printer.tell(Conclusion { good, end, took: began.elapsed(), next }.render(printer.style()));
    outside.close();
    kept.map(|()| finished.exit)
}

/// The end state, and what to do next.
fn conclusion(mode: Mode, ended: &Result<(), Ended>, finished: &Finished, run: &RunInfo) -> (String, Option<String>) {
    let Finished { exit, counts, ending, .. } = finished;
    if ended.is_ok() {
        let (end, _) = mode.done(counts, ending.as_ref(), "", "");
        return (end, None);
    }
    let what = if *exit == Exit::Interrupted { "interrupted" } else { "failed, and what comes behind it was not done" };
    let Counts { changes, standing, kept, committed, .. } = counts;
    let standing = standing + kept + committed;
    let did = match (standing, changes, counts.failed_commands()) {
        (0, 0, Some(failed)) => format!("nothing was changed but what {failed} may have done"),
        (0, 0, None) => "nothing was changed".into(),
        (0, ..) => "nothing of what was changed stands".into(),
        _ => format!("{} of {changes} stand", words::count(standing, "change")),
    };
    let can_be_undone = counts.can_be_undone && !mode.is_modelled();
    (format!("{what}; {did}"), can_be_undone.then(|| format!("`podlift undo {}` takes it back", run.id)))
}

/// Runs what is asked for on a model of the fleet as it is now, and shows what that was.
fn rehearse(model: Option<Arc<Modelled>>, outside: &Outside, allow_older: bool, printer: Printer) -> Box<Rehearse> {
    let executor = outside.executor();
    Box::new(move |work| {
        let model = Arc::new(match &model {
            Some(model) => model.fork(),
            None => Modelled::new(Real(executor.clone())),
        });
        let stack = Stack::over(model.clone(), Arc::new(super::about::Deaf), Terms { allow_older, ..Terms::default() });
        let problem = work(stack.executor());
        let (records, before, after) = (stack.records(), model.before(), states(&model.world()));
        let nothing = records.iter().all(|record| record.result.is_ok() && record.op.class() == Class::Read);
        if let (true, None) = (nothing, &problem) {
            return Ok("it would change nothing, and wait for nothing".into());
        }
        let plan = Plan { records: &records, before: &before, after: &after }.render(false, printer.data_style());
        Ok(format!("{plan}{}", problem.unwrap_or_default()))
    })
}
