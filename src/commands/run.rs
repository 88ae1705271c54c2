//! `podlift run`

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    afterwards::{self, Over, Then},
    answers::Answers,
    changes::Counts,
    complaint,
    enter::enter,
    environment::Environment,
    exit::{Cause, Exit, Remains},
    identity,
    interrupt::Interrupt,
    journaling, leftovers, lock,
    mode::{Mode, SIMULATED},
    outside::Outside,
    place::Place,
    stack::{Modelled, Stack},
    step,
};
use crate::{
    cli,
    executor::{
        Cancellation, Executor, Narrator, PlanFile, Recorded, RunInfo, Terms, Undo, Urgency,
        confirm::Confirming,
        doubts::{take_back, touched},
        ending::{Ending, State},
        record::{Decide, Nobody},
    },
    failure::{Failure, FailureKind},
    journal::{How, Journal},
    op::Release,
    repl::{places::Places, stops::Break},
    script::{Branches, Checked, Ended, ScriptRun, diagnostics::Diagnostic},
    terminal::{Conclusion, Json, Plain, Printer, Tree, clean, words},
};

/// Runs a script on the fleet, or on a model of it.
pub fn run(options: &cli::Run, printer: &Printer) -> Exit {
    save(options, None, printer)
}

/// The same; what a dry run found out is saved in `file`.
pub fn save(options: &cli::Run, file: Option<&Path>, printer: &Printer) -> Exit {
    let teller = Teller::new(options, printer);
    match prepare(options, file) {
        Ok((prepared, options)) => prepared.perform(&options, &teller).decided(&options, printer),
        Err(Unprepared::Script(script)) => teller.bad(&script.diagnostics(), &script),
        Err(Unprepared::Failure(failure)) => teller.failed_early(&failure),
    }
}

/// Who listens to a run.
pub(super) struct Teller<'a> {
    printer: &'a Printer,
    pub(super) narrator: Arc<dyn Narrator>,
    json: Option<Arc<Json>>,
    began: Instant,
}

impl<'a> Teller<'a> {
    pub(super) fn new(options: &cli::Run, printer: &'a Printer) -> Self {
        let json = options.json.then(|| Arc::new(Json::new(printer.clone(), options.verbose)));
        let detail = Mode::of(options).detail(options.verbose);
        let narrator: Arc<dyn Narrator> = match &json {
            Some(json) => json.clone(),
            None if printer.is_live() && !options.step => Arc::new(Tree::new(printer.clone(), detail)),
            None => Arc::new(Plain::new(printer.clone(), detail)),
        };
        Self { printer, narrator, json, began: Instant::now() }
    }

    pub(super) fn bad(&self, findings: &[Diagnostic], script: &Checked) -> Exit {
        complaint::tell(self.printer, findings, script.sources());
        let end = format!("the script is not sound: {}", words::count(findings.len(), "finding"));
        self.conclude(Exit::Bad, end, Some("nothing was touched".into()), &Counts::default(), None, findings);
        Exit::Bad
    }

    /// Tells why a run that there is already does not go on.
    pub(super) fn refuse(&self, failure: &Failure) -> Exit {
        complaint::tell_failure(self.printer, failure);
        let exit = Exit::of(Cause::Failure(failure.kind), Remains::Nothing);
        let next = Some("nothing was done or undone".into());
        self.conclude(exit, "not begun".into(), next, &Counts::default(), None, &[]);
        exit
    }

    fn failed_early(&self, failure: &Failure) -> Exit {
        complaint::tell_failure(self.printer, failure);
        let exit = Exit::of(Cause::Failure(failure.kind), Remains::Nothing);
        // What is refused before a script is there is an argument that does not fit.
        let exit = if failure.kind == FailureKind::Refused { Exit::Bad } else { exit };
        self.conclude(exit, "not begun".into(), Some("nothing was touched".into()), &Counts::default(), None, &[]);
        exit
    }

    pub(super) fn conclude(
        &self,
        exit: Exit,
        end: String,
        next: Option<String>,
        counts: &Counts,
        ending: Option<&Ending>,
        diagnostics: &[Diagnostic],
    ) {
        let took = self.began.elapsed();
        if let Some(json) = &self.json {
            let result = json!({
                "result": exit, "exit": exit.code(), "end": end, "state": ending.map(Ending::state), "seconds": took.as_secs_f64(),
                "counts": counts, "services": ending.map(|ending| &ending.parts), "diagnostics": diagnostics, "next": next,
            });
            json.event("result", result);
        } else {
            let took = Duration::from_millis(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
            self.printer.tell(Conclusion { good: exit == Exit::Done, end, took, next }.render(self.printer.style()));
        }
    }
}

/// A run that goes on behind what its journal has.
pub(super) struct Resumed {
    pub(super) place: Place,
    pub(super) script: Checked,
    pub(super) environment: Environment,
    pub(super) outside: Outside,
    pub(super) journal: Arc<Journal>,
    pub(super) run: Arc<RunInfo>,
    pub(super) decide: Arc<dyn Decide>,
}

/// Goes on with a run.
pub(super) fn go_on(options: &cli::Run, resumed: Resumed, printer: &Printer) -> Exit {
    let teller = Teller::new(options, printer);
    let Resumed { place, script, environment, outside, journal, run, decide } = resumed;
    Prepared { place, script, environment, outside, plan: None, save: None }
        .perform_in(journal, &run, decide, None, options, &teller)
        .decided(options, printer)
}

/// A run that can begin.
struct Prepared {
    place: Place,
    script: Checked,
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
fn prepare(options: &cli::Run, save: Option<&Path>) -> Result<(Prepared, cli::Run), Unprepared> {
    let plan = options.plan.as_deref().map(PlanFile::read).transpose()?;
    let mut options = options.clone();
    if let (None, Some(plan)) = (&options.script, &plan) {
        options.script = Some(plan.script.clone().into());
        options.arguments.clone_from(&plan.arguments);
    }
    let place = Place::find(options.script.as_deref().unwrap_or(Path::new("")))?;
    let script = place.check()?;
    if let Some(plan) = &plan {
        let texts = script.sources().all();
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
    Ok((Prepared { place, script, environment, outside, plan, save: save.map(Path::to_path_buf) }, options))
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
        let journal = match mode.journal(&header, &self.outside) {
            Ok(journal) => Arc::new(journal),
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
        let interrupt = Interrupt::listen(self.outside.runtime(), cancellation.clone(), teller.printer.clone());
        if journal.goes_on()
            && let Err(failure) = enter(&stack, journal, run, How::Resume, &cancellation)
        {
            drop(interrupt);
            self.outside.close();
            return teller.refuse(&failure).into();
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
        // What failed is taken back; what was interrupted stays as it is.
        let failures = match &ended {
            Err(ended) if !ended.kind.is_some_and(FailureKind::leaves_all) => {
                journaling::undoing(journal);
                let (executor, branches) = (stack.executor(), mode.branches());
                let undo = Undo { executor: executor.as_ref(), run, branches, cancellation: &cancellation };
                take_back(journal, stack.settling(), decide.as_ref(), &undo)
            }
            _ => Vec::new(),
        };
        drop(interrupt);
        let urgency = cancellation.urgency();
        for failure in &failures {
            complaint::tell_failure(teller.printer, failure);
        }
        let records = stack.records();
        let counts = Counts { cannot_be_resumed: !by_hand.is_empty(), ..Counts::of(&records) };
        // What is live is read from every host, never inferred; a run that changed nothing has nothing to read.
        let may_have_changed = counts.changes + counts.doubtful > 0 || !journal.doubts().is_empty();
        let ending = may_have_changed.then(|| Ending::read(stack.within(), &touched(journal), run));
        let stays = matches!(&ended, Err(ended) if ended.kind == Some(FailureKind::Interrupted)) && counts.standing + counts.doubtful > 0;
        // What an interrupted run leaves behind is the next one's to know.
        let release = if stays { Release::Left } else { Release::Free };
        stack.release(run, &release).iter().for_each(|failure| teller.printer.tell(lock::not_given_back(failure)));
        if let Some(model) = &model {
            mode.show(options, teller.printer, teller.json.as_deref(), &records, model);
        }
        let kept = model.as_ref().map_or(Ok(()), |model| mode.keep(model));
        if let (Some(model), Some(file), Ok(())) = (&model, &self.save, &ended)
            && let Err(failure) = self.plan_of(options, run, &records, model).write(file)
        {
            complaint::tell_failure(teller.printer, &failure);
            teller.conclude(Exit::Error, "the plan was not saved".into(), Some("nothing was touched".into()), &counts, None, &[]);
            self.outside.close();
            return Exit::Error.into();
        }
        let why = ended.as_ref().err().map(|ended| ended.diagnostic.message.clone());
        let exit = self.conclude(options, teller, ended, &counts, ending.as_ref(), run);
        journaling::ended(journal, exit, ending.as_ref(), why);
        let is_asked = exit == Exit::Interrupted && mode == Mode::Live && !options.step && !options.json && urgency == Urgency::Finish;
        let then = if is_asked { self.ask(run, &counts, teller) } else { Then::Leave };
        self.outside.close();
        match kept {
            Ok(()) => Over { exit, then },
            Err(failure) => teller.failed_early(&failure).into(),
        }
    }

    /// What the person at the terminal wants to become of the run; another ctrl-C leaves it as it is.
    fn ask(&self, run: &RunInfo, counts: &Counts, teller: &Teller<'_>) -> Then {
        let cancellation = Cancellation::default();
        let _listening = Interrupt::listen(self.outside.runtime(), cancellation.clone(), teller.printer.clone());
        afterwards::ask(&run.id, counts.can_be_undone, teller.printer, &cancellation)
    }

    /// What the dry run found out.
    fn plan_of(&self, options: &cli::Run, run: &RunInfo, records: &[Recorded], model: &Modelled) -> PlanFile {
        let texts = self.script.sources().all();
        let texts = texts.iter().map(|(name, text)| (name.as_str(), text.as_ref()));
        let plan = PlanFile::new(run, &self.place.name(), &options.arguments, texts, model.surveyed(), records);
        PlanFile { simulated: options.simulate, ..plan }
    }

    fn conclude(
        &self,
        options: &cli::Run,
        teller: &Teller<'_>,
        ended: Result<(), Ended>,
        counts: &Counts,
        ending: Option<&Ending>,
        run: &RunInfo,
    ) -> Exit {
        let mode = Mode::of(options);
        let script = self.place.name();
        let state = ending.map_or(State::Unchanged, Ending::state);
        match ended {
            Ok(()) if !mode.is_plan() && !counts.left_out.is_empty() => {
                let (end, next) = incomplete(counts, &again(options, &script), &look(options, &script));
                teller.conclude(Exit::Mixed, end, Some(next), counts, ending, &[]);
                Exit::Mixed
            }
            Ok(()) => {
                let again = self.save.as_deref().map_or_else(|| again(options, &script), |file| follow(options, file));
                let (end, next) = mode.done(counts, state, &again, &look(options, &script));
                teller.conclude(Exit::Done, end, next, counts, ending, &[]);
                Exit::Done
            }
            Err(Ended { kind, diagnostic }) => {
                let diagnostic = complaint::harmless(diagnostic);
                complaint::tell(teller.printer, std::slice::from_ref(&diagnostic), self.script.sources());
                let cause = match kind {
                    // A refusal that no call met is the script's or its arguments'.
                    None => Cause::Script,
                    Some(FailureKind::Refused) if counts.failed == 0 => Cause::Script,
                    Some(kind) => Cause::Failure(kind),
                };
                let taken_back = ending.is_none_or(Ending::is_taken_back);
                let remains = mode.remains(counts, state, taken_back);
                let exit = Exit::of(cause, remains);
                if remains != Remains::Nothing && !options.json {
                    ending.map(leftovers::lines).into_iter().flatten().for_each(|line| teller.printer.tell(format!("! {line}")));
                }
                let (again, look) = (again(options, &script), look(options, &script));
                let (end, next) =
                    failed(exit, remains, counts, &Next { script: &script, again: &again, look: &look, run: run.id.as_str() }, mode);
                let next = match &options.plan {
                    Some(plan) if kind == Some(FailureKind::Unplanned) && exit == Exit::Refused => new_plan(options, &script, plan),
                    _ => next,
                };
                teller.conclude(exit, end, Some(next), counts, ending, &[diagnostic]);
                exit
            }
        }
    }
}

/// The end of a run that came to its end and left hosts out.
fn incomplete(counts: &Counts, again: &str, look: &str) -> (String, String) {
    let hosts: Vec<String> = counts.left_out.iter().map(|(host, why)| format!("{host} ({})", clean::line(why))).collect();
    let end = format!("done without {}, so the fleet is mixed: left out {}", words::count(hosts.len(), "host"), hosts.join(", "));
    (end, format!("{look}; `{again}` tries again"))
}

/// The command that does for real, or again, what was done.
fn again(options: &cli::Run, script: &str) -> String {
    if let Some(plan) = &options.plan {
        return follow(options, plan);
    }
    let simulate = if options.simulate { " --simulate" } else { "" };
    format!("{}{simulate}", command("run", options, script))
}

/// What a run is for, told to whoever meets its lease.
fn purpose(options: &cli::Run, script: &str) -> String {
    let arguments = options.arguments.iter().map(|(key, value)| format!("{key}={value}"));
    clean::line(&std::iter::once(script.to_owned()).chain(arguments).collect::<Vec<_>>().join(" "))
}

/// The command that does what was saved.
fn follow(options: &cli::Run, plan: &Path) -> String {
    let simulate = if options.simulate { " --simulate" } else { "" };
    format!("podlift run --plan {}{simulate}", quoted(&plan.display().to_string()))
}

/// What to do where a plan does not fit any more.
fn new_plan(options: &cli::Run, script: &str, plan: &Path) -> String {
    let simulate = if options.simulate { " --simulate" } else { "" };
    format!("`{} -o {}{simulate}` makes a new plan, to look at", command("plan", options, script), quoted(&plan.display().to_string()))
}

/// Where to look at what runs.
fn look(options: &cli::Run, script: &str) -> String {
    if Mode::of(options).is_modelled() {
        return format!("the simulated fleet is kept as it is now in {SIMULATED}");
    }
    format!("`{}` shows what runs", command("ps", options, script))
}

fn command(verb: &str, options: &cli::Run, script: &str) -> String {
    let arguments = options.arguments.iter().map(|(key, value)| format!("{key}={value}"));
    let words = [script.to_string()].into_iter().chain(arguments);
    words.fold(format!("podlift {verb}"), |command, word| format!("{command} {}", quoted(&word)))
}

/// A word as a shell takes it.
pub(super) fn quoted(word: &str) -> String {
    let word = clean::line(word);
    let is_plain = word.chars().all(|character| character.is_alphanumeric() || "_-./=:,@%+".contains(character));
    if is_plain && !word.is_empty() { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// What can be done after a run.
struct Next<'a> {
    script: &'a str,
    again: &'a str,
    look: &'a str,
    run: &'a str,
}

/// The end state of a run that failed, and what to do next. One that was interrupted can be resumed, one that is mixed undone.
fn failed(exit: Exit, remains: Remains, counts: &Counts, next: &Next<'_>, mode: Mode) -> (String, String) {
    let (end, again) = ended(exit, remains, counts, next, mode);
    let Next { look, run, .. } = next;
    match exit {
        Exit::Interrupted if !mode.is_modelled() && counts.cannot_be_resumed => (end, format!("`podlift undo {run}` takes it back")),
        Exit::Interrupted if !mode.is_modelled() && !counts.can_be_undone => (end, format!("`podlift resume {run}` goes on")),
        Exit::Interrupted if !mode.is_modelled() => (end, format!("`podlift resume {run}` goes on, `podlift undo {run}` takes it back")),
        Exit::Mixed if !mode.is_modelled() && counts.can_be_undone => {
            (end, format!("{look}, `podlift undo {run}` tries again to take it back"))
        }
        _ => (end, again),
    }
}

fn ended(exit: Exit, remains: Remains, counts: &Counts, next: &Next<'_>, mode: Mode) -> (String, String) {
    let Next { script, again, look, .. } = next;
    let what = if exit == Exit::Interrupted { "interrupted" } else { "failed" };
    if mode.is_modelled() && remains == Remains::Nothing && exit != Exit::Interrupted {
        let next =
            if mode.is_plan() { format!("`{again}` would end the same way") } else { format!("correct {script}, and simulate it again") };
        return (format!("{what}, as a run would; nothing was touched"), next);
    }
    let standing = words::count(counts.standing, "change");
    let undone = if counts.committed > 0 { "everything since the last commit" } else { "everything" };
    match remains {
        Remains::Nothing if exit == Exit::Bad => {
            (format!("{what}: the script is wrong; nothing was changed"), format!("correct {script} and run it again"))
        }
        Remains::Nothing if counts.commands > 0 => (
            format!("{what}; nothing was changed but what {} may have done", words::count(counts.commands, "command")),
            format!("see what it did; `{again}` tries again"),
        ),
        Remains::Nothing => (format!("{what}; nothing was changed"), format!("`{again}` tries again")),
        Remains::Undone if counts.commands > 0 => (
            format!("{what}; {undone} was undone but {} without `undo`", words::count(counts.commands, "command")),
            format!("see what it did; `{again}` tries again"),
        ),
        Remains::Undone => (format!("{what}; {undone} was undone"), format!("`{again}` tries again")),
        Remains::Changes if counts.standing == 0 && counts.doubtful > 0 => (
            format!("{what}, and the fleet is mixed: what a call did that was given up is not known"),
            format!("{look}; running the script again makes a new release"),
        ),
        Remains::Changes if counts.standing == 0 => (
            format!("{what}, and the fleet is mixed: {} that a commit made final stay", words::count(counts.committed, "change")),
            format!("{look}; `{again}` makes it all new"),
        ),
        Remains::Changes => (
            format!("{what}, and the fleet is mixed: {standing} of {} stand", counts.changes),
            format!("{look}; running the script again makes a new release"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEXT: Next<'_> =
        Next { script: "deploy.rhai", again: "podlift run deploy.rhai", look: "`podlift ps deploy.rhai` shows what runs", run: "r1" };

    #[test]
    fn the_next_command_is_one_that_can_be_pasted() {
        assert_eq!(quoted("version=v2"), "version=v2");
        assert_eq!(quoted("note=it's $HOME"), r"'note=it'\''s $HOME'");
    }

    #[test]
    fn the_last_line_of_a_failure_says_what_stands() {
        let counts = Counts { calls: 9, failed: 1, changes: 4, standing: 3, can_be_undone: true, ..Counts::default() };
        let (end, next) = failed(Exit::Mixed, Remains::Changes, &counts, &NEXT, Mode::Live);
        assert_eq!(end, "failed, and the fleet is mixed: 3 changes of 4 stand");
        assert_eq!(next, "`podlift ps deploy.rhai` shows what runs, `podlift undo r1` tries again to take it back");
        let (end, _) = failed(Exit::Unreachable, Remains::Nothing, &Counts::default(), &NEXT, Mode::Live);
        assert_eq!(end, "failed; nothing was changed");
        let (end, next) = failed(Exit::Interrupted, Remains::Nothing, &Counts::default(), &NEXT, Mode::Live);
        assert_eq!(end, "interrupted; nothing was changed");
        assert_eq!(next, "`podlift resume r1` goes on", "there is nothing to take back");
        let counts = Counts { changes: 4, committed: 4, ..Counts::default() };
        let (end, next) = failed(Exit::Mixed, Remains::Changes, &counts, &NEXT, Mode::Live);
        assert_eq!(end, "failed, and the fleet is mixed: 4 changes that a commit made final stay");
        assert_eq!(next, "`podlift ps deploy.rhai` shows what runs; `podlift run deploy.rhai` makes it all new");
    }
}
