//! `podlift run`

mod assumed;
mod teller;
mod words;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use self::words::{Next, again, failed, follow, incomplete, look, new_plan, planning, purpose};
pub(super) use self::{
    teller::Teller,
    words::{path, quoted},
};
use super::{
    afterwards::{self, Over, Then},
    answers::Answers,
    changes::{self, Counts},
    complaint,
    enter::enter,
    environment::Environment,
    exit::{Exit, Remains},
    identity,
    interrupt::Interrupt,
    journaling, leftovers, lock,
    mode::Mode,
    outside::Outside,
    place::{self, Place},
    stack::{Modelled, Stack},
    step,
    work::{Finished, Manner, Work},
};
use crate::{
    cli,
    executor::{
        Cancellation, Executor, Made, PlanFile, Recorded, RunInfo, Terms, Urgency,
        confirm::Confirming,
        ending::Ending,
        record::{Decide, Nobody},
        whole,
    },
    failure::{Failure, FailureKind},
    journal::{Header, How, Journal},
    repl::{places::Places, stops::Break},
    script::{Branches, Checked, Ended, ScriptRun, diagnostics::Diagnostic},
    terminal::Printer,
};

/// Runs a script on the fleet, or on a model of it.
pub fn run(options: &cli::Run, printer: &Printer) -> Exit {
    save(options, None, printer)
}

/// Where the plan is saved that a dry run makes.
pub struct Save {
    /// The file.
    pub file: PathBuf,
    /// Whether it takes the place of whatever is there.
    pub replaces: bool,
}

/// The same; what a dry run found out is saved.
pub fn save(options: &cli::Run, save: Option<Save>, printer: &Printer) -> Exit {
    let teller = Teller::new(options, printer);
    match prepare(options, save) {
        Ok((prepared, options)) => prepared.perform(&options, &teller).decided(&options, printer),
        Err(Unprepared::Script(script)) => teller.bad(&script.diagnostics(), &script),
        Err(Unprepared::Failure(failure)) => teller.failed_early(&failure),
    }
}

/// A run that goes on behind what its journal has.
pub(super) struct Resumed {
    pub(super) place: Place,
    pub(super) script: Checked,
    pub(super) environment: Environment,
    pub(super) outside: Outside,
    /// The plan that it is held to.
    pub(super) plan: Option<PlanFile>,
    pub(super) journal: Arc<Journal>,
    pub(super) run: Arc<RunInfo>,
    pub(super) decide: Arc<dyn Decide>,
}

/// Goes on with a run.
pub(super) fn go_on(options: &cli::Run, resumed: Resumed, printer: &Printer) -> Exit {
    let teller = Teller::new(options, printer);
    let Resumed { place, script, environment, outside, plan, journal, run, decide } = resumed;
    let texts = script.sources().all();
    Prepared { place, script, texts, environment, outside, plan, save: None }
        .perform_in(journal, &run, decide, None, options, &teller)
        .decided(options, printer)
}

/// A run that can begin.
struct Prepared {
    place: Place,
    script: Checked,
    /// The script and what it imports by a name that is written out: what a plan is bound to. An import whose name is made when it
    /// runs is no part of it; what it does is.
    texts: Vec<(String, Arc<str>)>,
    environment: Environment,
    outside: Outside,
    /// The plan that it is held to.
    plan: Option<PlanFile>,
    /// Where the plan is saved that it makes.
    save: Option<PathBuf>,
}

enum Unprepared {
    Script(Box<Checked>),
    Failure(Failure),
}

impl From<Failure> for Unprepared {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// Also returns the options with what a plan says of script and arguments.
fn prepare(options: &cli::Run, save: Option<Save>) -> Result<(Prepared, cli::Run), Unprepared> {
    save.iter().try_for_each(|save| whole::has_folder(&save.file))?;
    save.iter().filter(|save| !save.replaces).try_for_each(|save| whole::may_replace(&save.file, "plan", PlanFile::is_one))?;
    let plan = options.plan.as_deref().map(PlanFile::read).transpose()?;
    let mut options = options.clone();
    let place = match &plan {
        Some(plan) => place_of(plan, &mut options)?,
        None => Place::find(options.script.as_deref().unwrap_or(Path::new("")))?,
    };
    let script = place.check()?;
    let texts = script.sources().all();
    if let Some(plan) = &plan {
        plan.is_for(options.simulate, options.plan.as_deref().unwrap_or(Path::new("")))?;
        plan.check(&place.name(), &options.arguments, texts.iter().map(|(name, text)| (name.as_str(), text.as_ref())))?;
    }
    if !script.diagnostics().is_empty() {
        return Err(Unprepared::Script(Box::new(script)));
    }
    let places = Places::of(&script);
    options.yes.iter().filter(|name| !name.is_empty()).try_for_each(|name| script.asks(name))?;
    options.breaks.iter().try_for_each(|place| places.check(&Break::parse(place)))?;
    let environment = Environment::beside(place.folder())?;
    let outside = Outside::open(&options.ssh, place.folder(), &environment)?;
    Ok((Prepared { place, script, texts, environment, outside, plan, save: save.map(|save| save.file) }, options))
}

/// The place of the script that the plan is for, which need not be named: then neither need its arguments.
fn place_of(plan: &PlanFile, options: &mut cli::Run) -> Result<Place, Failure> {
    if let Some(first) = options.script.as_deref().and_then(place::argument) {
        options.script = None;
        options.arguments.insert(0, first);
    }
    if let Some(script) = &options.script {
        return Place::find(script);
    }
    if options.arguments.is_empty() {
        options.arguments.clone_from(&plan.arguments);
    }
    let script = options.script.insert(plan.script.clone().into());
    Place::find(script).map_err(|failure| failure.hint("a plan is followed in the folder that it was made in"))
}

impl Prepared {
    fn perform(self, options: &cli::Run, teller: &Teller<'_>) -> Over {
        let mode = Mode::of(options);
        let model = match mode.model(&self.outside) {
            Ok(model) => model.map(Arc::new),
            Err(failure) => return teller.failed_early(&failure).into(),
        };
        let mut run = identity::new_run();
        if let Some(plan) = &self.plan {
            run.id = plan.run.clone();
        }
        let run = Arc::new(run);
        let header = journaling::header(&self.place, &self.script, &options.arguments, &run, self.outside.executor().as_ref());
        let header = Header { planned: self.plan.is_some(), ..header };
        let journal = mode.journal(&header, &self.outside).and_then(|journal| {
            let mut kept = self.plan.iter().filter(|_| mode == Mode::Live);
            kept.try_for_each(|plan| plan.write(&journaling::runs().plan(&run.id)))?;
            Ok(Arc::new(journal))
        });
        let journal = match journal {
            Ok(journal) => journal,
            Err(failure) => return teller.refuse(&failure).into(),
        };
        self.perform_in(journal, &run, Arc::new(Nobody), model, options, teller)
    }

    /// With `--on-interrupt undo` what was interrupted is taken back as what failed is, and another ctrl-C ends that.
    fn undone_instead(
        &self,
        options: &cli::Run,
        teller: &Teller<'_>,
        ended: Result<(), Ended>,
        cancellation: Cancellation,
        interrupt: io::Result<Interrupt>,
    ) -> (Result<(), Ended>, Cancellation, io::Result<Interrupt>) {
        let is_meant = options.on_interrupt == cli::OnInterrupt::Undo
            && cancellation.urgency() == Urgency::Finish
            && matches!(&ended, Err(ended) if ended.kind == Some(FailureKind::Interrupted));
        if !is_meant {
            return (ended, cancellation, interrupt);
        }
        drop(interrupt);
        let again = Cancellation::default();
        let listening = Interrupt::listen(self.outside.runtime(), again.clone(), teller.printer.clone());
        (ended.map_err(|ended| Ended { kind: Some(FailureKind::Failed), ..ended }), again, listening)
    }

    /// The same, with what came before in the journal, over a model or the fleet.
    fn perform_in(
        self,
        journal: Arc<Journal>,
        run: &Arc<RunInfo>,
        decide: Arc<dyn Decide>,
        model: Option<Arc<Modelled>>,
        options: &cli::Run,
        teller: &Teller<'_>,
    ) -> Over {
        let journal = &journal;
        let mode = Mode::of(options);
        let within: Arc<dyn Executor> = if let Some(model) = &model {
            model.clone()
        } else {
            let person = Answers::new(options.yes.clone(), teller.printer.clone());
            Arc::new(Confirming::new(self.outside.executor(), Arc::new(person)))
        };
        let terms = Terms {
            purpose: purpose(options, &self.place.name()),
            lasting: options.lease,
            wait: options.wait,
            patience: options.reconnect,
            allow_older: options.allow_older,
            branches: mode.branches(),
        };
        let stack = Stack::journaled(self.plan.clone(), within, teller.narrator.clone(), journal.clone(), decide.clone(), terms);
        let cancellation = Cancellation::default();
        let stepper = options
            .step
            .then(|| step::stepper(options, &self.script, model.as_ref(), &self.outside, journal, &cancellation, teller.printer));
        let stack = match &stepper {
            Some(stepper) => stack.stepping(stepper.clone(), teller.narrator.clone()),
            None => stack,
        };
        let listen = match options.on_interrupt {
            cli::OnInterrupt::Leave => Interrupt::listen,
            cli::OnInterrupt::Undo => Interrupt::listen_to_undo,
        };
        let interrupt = listen(self.outside.runtime(), cancellation.clone(), teller.printer.clone());
        if journal.goes_on()
            && let Err(failure) = enter(&stack, journal, run, How::Resume, &cancellation)
        {
            drop(interrupt);
            self.outside.close();
            return teller.refuse(&failure).into();
        }
        if journal.goes_on() {
            teller.replays(&stack.records());
        }
        let script = ScriptRun {
            arguments: options.arguments.clone(),
            executor: stack.executor(),
            narrator: teller.narrator.clone(),
            run: run.clone(),
            // Whoever steps takes one thing after the other.
            branches: if options.step { Branches::InOrder } else { mode.branches() },
            cancellation: cancellation.clone(),
            secrets: Arc::new(self.environment.clone()),
        };
        let ended = match &stepper {
            Some(stepper) => self.script.step(script, stepper.clone()),
            None => self.script.run(script),
        };
        let by_hand = stepper.map(|stepper| stepper.by_hand()).unwrap_or_default();
        if !by_hand.is_empty() {
            let names = by_hand.join("`, `");
            teller.printer.tell(format!("! `{names}` was set by hand: this run can be undone, but not resumed"));
        }
        let ended = ended.and_then(|()| match stack.unmade() {
            Some(failure) => Err(Ended { kind: Some(failure.kind), diagnostic: Diagnostic::of_failure(&failure, self.script.sources()) }),
            None => Ok(()),
        });
        let (ended, cancellation, interrupt) = self.undone_instead(options, teller, ended, cancellation, interrupt);
        let work = Work { stack: &stack, journal, run, decide: decide.as_ref(), mode };
        let failures = work.take_back_failed(&ended, &cancellation);
        drop(interrupt);
        let urgency = cancellation.urgency();
        for failure in &failures {
            complaint::tell_failure(teller.printer, failure);
        }
        let finished = work.finish(&ended, if by_hand.is_empty() { Manner::Script } else { Manner::ByHand });
        finished.kept_leases.iter().for_each(|failure| teller.printer.tell(lock::not_given_back(failure)));
        if let Some(model) = &model {
            mode.show(options, teller.printer, teller.json.as_deref(), &finished.records, model);
        }
        let kept = model.as_ref().map_or(Ok(()), |model| mode.keep(model));
        if let (Some(model), Some(file), Ok(())) = (&model, &self.save, &ended)
            && let Err(failure) = self.plan_of(options, run, &finished.records, model).write(file)
        {
            complaint::tell_failure(teller.printer, &failure);
            let diagnostic = complaint::harmless(Diagnostic::of_failure(&failure, self.script.sources()));
            let end = "the plan was not saved".into();
            teller.conclude(Exit::Error, end, Some("nothing was touched".into()), &finished.counts, None, &[diagnostic]);
            self.outside.close();
            return Exit::Error.into();
        }
        if let Err(failure) = kept {
            let exit = self.not_kept(teller, ended, &finished, &failure);
            self.outside.close();
            return exit.into();
        }
        let exit = finished.exit;
        self.conclude(options, teller, ended, &finished, run);
        let is_asked = exit == Exit::Interrupted && mode == Mode::Live && !options.step && !options.json && urgency == Urgency::Finish;
        let then = if is_asked { self.ask(run, &finished.counts, teller) } else { Then::Leave };
        self.outside.close();
        Over { exit, then }
    }

    /// The end of a simulated run whose fleet could not be kept.
    fn not_kept(&self, teller: &Teller<'_>, ended: Result<(), Ended>, finished: &Finished, failure: &Failure) -> Exit {
        let sources = self.script.sources();
        let (exit, what, script) = match ended {
            Ok(()) => (Exit::Error, "simulated", None),
            Err(ended) => {
                let assumed = assumed::told(&finished.records, &ended.diagnostic.message, sources);
                let what = words::modelled(assumed.is_some());
                (finished.exit, what, Some(complaint::harmless(hinted(ended.diagnostic, assumed))))
            }
        };
        let diagnostics: Vec<Diagnostic> =
            script.into_iter().chain([complaint::harmless(Diagnostic::of_failure(failure, sources))]).collect();
        complaint::tell(teller.printer, &diagnostics, sources);
        let next = Some("the next simulated run begins where this one did".into());
        teller.conclude(exit, format!("{what}, but the fleet was not kept"), next, &finished.counts, None, &diagnostics);
        exit
    }

    /// What the person at the terminal wants to become of the run; another ctrl-C leaves it as it is.
    fn ask(&self, run: &RunInfo, counts: &Counts, teller: &Teller<'_>) -> Then {
        let cancellation = Cancellation::default();
        let _listening = Interrupt::listen(self.outside.runtime(), cancellation.clone(), teller.printer.clone());
        afterwards::ask(&run.id, counts.can_be_undone, teller.printer, &cancellation)
    }

    /// What the dry run found out.
    fn plan_of<'r>(&self, options: &cli::Run, run: &RunInfo, records: &'r [Recorded], model: &Modelled) -> PlanFile<Made<'r>> {
        let texts = self.texts.iter().map(|(name, text)| (name.as_str(), text.as_ref()));
        let plan = PlanFile::new(run, &self.place.name(), &options.arguments, texts, model.surveyed(), records);
        PlanFile { simulated: options.simulate, ..plan }
    }

    fn conclude(&self, options: &cli::Run, teller: &Teller<'_>, ended: Result<(), Ended>, finished: &Finished, run: &RunInfo) {
        let mode = Mode::of(options);
        let script = self.place.name();
        let Finished { exit, remains, records, counts, ending, .. } = finished;
        let (exit, remains, ending) = (*exit, *remains, ending.as_ref());
        let (again, look) = (again(options, &script), look(options, &script));
        let is_planned = self.plan.is_some();
        if ended.is_ok() {
            let failed: Vec<Recorded> = changes::failed(records).cloned().collect();
            tell_left(options, teller, run, exit, None, &failed);
        }
        match ended {
            Ok(()) if exit == Exit::Mixed => {
                let (end, next) = incomplete(counts, &again, &look);
                let next = if is_planned { format!("{look}; {}", new_plan(options, &script)) } else { next };
                teller.conclude(exit, end, Some(next), counts, ending, &[]);
            }
            Ok(()) => {
                let again = self.save.as_deref().map_or(again, |file| follow(options, file));
                let (end, next) = mode.done(counts, ending, &again, &look);
                teller.conclude(exit, end, next, counts, ending, &[]);
            }
            Err(Ended { kind, diagnostic }) => {
                let why = &diagnostic.message;
                let assumed = mode.is_modelled().then(|| assumed::told(records, why, self.script.sources())).flatten();
                let is_assumed = assumed.is_some();
                let diagnostic = complaint::harmless(hinted(diagnostic, assumed));
                complaint::tell(teller.printer, std::slice::from_ref(&diagnostic), self.script.sources());
                if remains != Remains::Nothing || counts.commands > 0 {
                    tell_left(options, teller, run, exit, ending.filter(|_| remains != Remains::Nothing), records);
                }
                let next = Next { script: &script, again: &again, look: &look, run: run.id.as_str(), is_assumed };
                let (end, next) = failed(exit, remains, counts, &next, mode);
                // What is planned is done once.
                let is_over = || kind == Some(FailureKind::Unplanned) || !mode.is_modelled() && changes::is_begun(records);
                let next = match is_planned {
                    true if !matches!(exit, Exit::Interrupted | Exit::Mixed) && is_over() => {
                        let look = if counts.commands > 0 && !mode.is_modelled() { "see what it did; " } else { "" };
                        format!("{look}{}", new_plan(options, &script))
                    }
                    false if exit == Exit::Interrupted && mode.is_plan() => {
                        format!("`{}` tries again", planning(options, &script, self.save.as_deref()))
                    }
                    _ => next,
                };
                teller.conclude(exit, end, Some(next), counts, ending, &[diagnostic]);
            }
        }
    }
}

/// A diagnostic that also says what was assumed.
fn hinted(mut diagnostic: Diagnostic, assumed: Option<String>) -> Diagnostic {
    diagnostic.hints.extend(assumed);
    diagnostic
}

/// Tells what a run left that nothing takes back.
fn tell_left(options: &cli::Run, teller: &Teller<'_>, run: &RunInfo, exit: Exit, ending: Option<&Ending>, records: &[Recorded]) {
    // What was interrupted was not taken back yet, and what was modelled was not done.
    let is_none = exit == Exit::Interrupted || Mode::of(options).is_modelled();
    let records: &[Recorded] = if is_none { &[] } else { records };
    teller.left(leftovers::calls(&run.id, records, &[], &[]));
    let lines = if options.json { Vec::new() } else { leftovers::of_run(ending, records, &[], &[]) };
    for line in lines {
        teller.printer.tell(format!("! {line}"));
    }
}
