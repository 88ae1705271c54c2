//! `podlift repl`

use std::{
    io::{self, IsTerminal},
    path::Path,
    sync::{Arc, Mutex},
};

use super::{
    changes::Counts,
    complaint,
    environment::Environment,
    exit::Exit,
    identity,
    interrupt::Interrupt,
    journaling, lock,
    mode::Mode,
    outside::Outside,
    place::Place,
    stack::{Modelled, Stack, states},
};
use crate::{
    cli,
    executor::{Cancellation, Executor, Narrator, Real, Terms, ending::Ending, record::Nobody},
    failure::Failure,
    op::{Class, Release},
    repl::{
        console::Standard,
        editor::Help,
        known::Known,
        session::{Consent, Parting, Rehearse, Talk},
    },
    script::{Checked, ScriptRun},
    terminal::{Conclusion, Plain, Plan, Printer, words::Detail},
};

/// What messages call what is typed.
const NAME: &str = "(typed)";

/// A run that is typed, on the fleet or on a simulated one.
pub fn run(options: &cli::Repl, printer: &Printer) -> Exit {
    match begin(options, printer) {
        Ok(exit) => exit,
        Err(failure) => {
            complaint::tell_failure(printer, &failure);
            Exit::Error
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
    let within: Arc<dyn Executor> = match &model {
        Some(model) => model.clone(),
        None => outside.executor(),
    };
    let detail = if options.verbose { Detail::All } else { Detail::Usual };
    let narrator: Arc<dyn Narrator> = Arc::new(Plain::new(printer.clone(), detail));
    let run = Arc::new(identity::new_run());
    let typed = Checked::new(NAME, &folder, "");
    let header = journaling::header(&Place { file: folder.join(NAME) }, &typed, &[], &run, outside.executor().as_ref());
    let journal = Arc::new(mode.journal(&header, &outside)?);

    let known = Arc::new(Mutex::new(Known::default()));
    let is_incomplete = Arc::new(crate::script::goes_on);
    let help = Help { known: known.clone(), is_incomplete, colour: printer.style().colour };
    let history = journaling::runs_folder().join("history");
    let console = Arc::new(Standard::new(printer.clone(), Some(help), Some(&history)));
    let consent = Consent::new(console.clone(), options.yes);
    let terms = Terms { purpose: "podlift repl".into(), allow_older: options.allow_older, ..Terms::default() };
    let stack = Stack::journaled(None, within, narrator.clone(), journal.clone(), Arc::new(Nobody), terms)
        .stepping(consent.clone(), narrator.clone());
    let cancellation = Cancellation::default();
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
    let began = std::time::Instant::now();
    printer.tell("podlift: type script, or :help");
    let (paper, script) = (printer.clone(), place.map(|place| place.file));
    let ended = typed.converse(talk, move |evaluator| {
        let mut talk = Talk::new(console, paper, consent, rehearse, known, Arc::new(evaluator));
        if let Some(script) = script {
            talk.load(&script);
        }
        talk.run()
    });
    drop(interrupt);
    if let Err(ended) = &ended {
        complaint::tell(printer, std::slice::from_ref(&ended.diagnostic), typed.sources());
    }
    let records = stack.records();
    let counts = Counts::of(&records);
    let ending = (counts.changes + counts.doubtful > 0).then(|| Ending::read(stack.within(), &records, &run, stack.branches()));
    let parting = *ended.as_ref().unwrap_or(&Parting::Stopped);
    let stays = parting == Parting::Stopped && counts.standing + counts.doubtful > 0;
    let release = if stays { Release::Left } else { Release::Free };
    stack.release(&run, &release).iter().for_each(|failure| printer.tell(lock::not_given_back(failure)));
    let kept = model.as_ref().map_or(Ok(()), |model| mode.keep(model));
    let exit = if parting == Parting::Stopped { Exit::Interrupted } else { Exit::Done };
    let (end, _) = mode.done(&counts, ending.as_ref(), "", "");
    printer.tell(Conclusion { good: exit == Exit::Done, end, took: began.elapsed(), next: None }.render(printer.style()));
    journaling::ended(&journal, exit, ending.as_ref(), None);
    outside.close();
    // A person has seen what failed; whoever sent lines down a pipe reads the exit code.
    let failed = parting == Parting::Failed && !io::stdin().is_terminal();
    kept.map(|()| if failed { Exit::Error } else { exit })
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
