//! `podlift run`

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    changes::Counts,
    complaint,
    environment::Environment,
    exit::{Cause, Exit, Remains},
    identity,
    interrupt::Interrupt,
    outside::Outside,
    place::Place,
    stack::{Modelled, Stack, states},
};
use crate::{
    cli,
    executor::{
        Cancellation, Narrator, Real, Recorded, Simulated,
        ending::{Ending, State},
        simulated::{read_kept, write_kept},
        undo::undo,
    },
    failure::{Failure, FailureKind},
    fleet::nginx,
    script::{Branches, Checked, Ended, ScriptRun, diagnostics::Diagnostic},
    terminal::{
        Conclusion, Json, Plain, Plan, Printer, Tree, clean, plan,
        words::{self, Detail},
    },
};

/// Where simulated fleets are kept, beside where podlift is run.
const SIMULATED: &str = ".podlift/simulated.json";

/// Runs a script on the fleet, or on a model of it.
pub fn run(options: &cli::Run, printer: &Printer) -> Exit {
    let teller = Teller::new(options, printer);
    match prepare(options) {
        Ok(prepared) => prepared.perform(options, &teller),
        Err(Unprepared::Script(script)) => teller.bad(&script.diagnostics(), &script),
        Err(Unprepared::Failure(failure)) => teller.failed_early(&failure),
    }
}

/// Who listens to a run.
struct Teller<'a> {
    printer: &'a Printer,
    narrator: Arc<dyn Narrator>,
    json: Option<Arc<Json>>,
    began: Instant,
}

impl<'a> Teller<'a> {
    fn new(options: &cli::Run, printer: &'a Printer) -> Self {
        let json = options.json.then(|| Arc::new(Json::new(printer.clone(), options.verbose)));
        let detail = match (options.verbose, options.dry_run) {
            (true, _) => Detail::All,
            (false, true) => Detail::Little,
            (false, false) => Detail::Usual,
        };
        let narrator: Arc<dyn Narrator> = match &json {
            Some(json) => json.clone(),
            None if printer.is_live() => Arc::new(Tree::new(printer.clone(), detail)),
            None => Arc::new(Plain::new(printer.clone(), detail)),
        };
        Self { printer, narrator, json, began: Instant::now() }
    }

    fn bad(&self, findings: &[Diagnostic], script: &Checked) -> Exit {
        complaint::tell(self.printer, findings, script.sources());
        let end = format!("the script is not sound: {}", words::count(findings.len(), "finding"));
        self.conclude(Exit::Bad, end, Some("nothing was touched".into()), &Counts::default(), None, findings);
        Exit::Bad
    }

    fn failed_early(&self, failure: &Failure) -> Exit {
        complaint::tell_failure(self.printer, failure);
        let exit = Exit::of(Cause::Failure(failure.kind), Remains::Nothing);
        // What is refused before a script is there is an argument that does not fit.
        let exit = if exit == Exit::Refused { Exit::Bad } else { exit };
        self.conclude(exit, "not begun".into(), Some("nothing was touched".into()), &Counts::default(), None, &[]);
        exit
    }

    fn conclude(
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

/// A run that can begin.
struct Prepared {
    place: Place,
    script: Checked,
    environment: Environment,
    outside: Outside,
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

fn prepare(options: &cli::Run) -> Result<Prepared, Unprepared> {
    let place = Place::find(&options.script)?;
    let script = place.check()?;
    if !script.diagnostics().is_empty() {
        return Err(Unprepared::Script(Box::new(script)));
    }
    let environment = Environment::beside(place.folder())?;
    let outside = Outside::open(&options.ssh, place.folder(), &environment)?;
    Ok(Prepared { place, script, environment, outside })
}

impl Prepared {
    fn perform(self, options: &cli::Run, teller: &Teller<'_>) -> Exit {
        let model = match self.model(options) {
            Ok(model) => model.map(Arc::new),
            Err(failure) => return teller.failed_early(&failure),
        };
        let stack = match &model {
            Some(model) => Stack::over(model.clone(), teller.narrator.clone()),
            None => Stack::over(self.outside.executor(), teller.narrator.clone()),
        };
        let run = Arc::new(identity::new_run());
        let cancellation = Cancellation::default();
        let interrupt = Interrupt::listen(self.outside.runtime(), cancellation.clone(), teller.printer.clone());
        let ended = self.script.run(ScriptRun {
            arguments: options.arguments.clone(),
            executor: stack.executor(),
            narrator: teller.narrator.clone(),
            run: run.clone(),
            branches: if options.dry_run { Branches::InOrder } else { Branches::default() },
            cancellation,
            secrets: Arc::new(self.environment.clone()),
        });
        // What failed is taken back; what was interrupted stays as it is.
        let left = match &ended {
            Err(ended) if ended.kind != Some(FailureKind::Interrupted) => undo(stack.executor().as_ref(), &stack.records(), &run),
            _ => Vec::new(),
        };
        drop(interrupt);
        for left in &left {
            complaint::tell_failure(teller.printer, &left.failure);
        }
        let records = stack.records();
        let counts = Counts::of(&records);
        // What is live is read from every host, never inferred; a run that changed nothing has nothing to read.
        let ending = (counts.changes > 0).then(|| Ending::read(stack.within(), &records, &run));
        if let Some(model) = &model {
            self.tell_model(options, teller, &records, model);
        }
        let kept = match &model {
            Some(model) if !options.dry_run => write_kept(Path::new(SIMULATED), &model.world().kept()),
            _ => Ok(()),
        };
        let exit = self.conclude(options, teller, ended, &counts, ending.as_ref());
        self.outside.close();
        match kept {
            Ok(()) => exit,
            Err(failure) => teller.failed_early(&failure),
        }
    }

    /// The model that the run is to happen in, if it is to happen in one.
    fn model(&self, options: &cli::Run) -> Result<Option<Modelled>, Failure> {
        Ok(match (options.simulate, options.dry_run) {
            (true, _) => Some(Modelled::new(Simulated::new(read_kept(&PathBuf::from(SIMULATED))?, self.outside.executor()))),
            (false, true) => Some(Modelled::new(Real(self.outside.executor()))),
            (false, false) => None,
        })
    }

    fn tell_model(&self, options: &cli::Run, teller: &Teller<'_>, records: &[Recorded], model: &Modelled) {
        let (before, world) = (model.before(), model.world());
        let after = states(&world);
        let plan = Plan { records, before: &before, after: &after };
        let style = teller.printer.data_style();
        if let Some(json) = &teller.json {
            json.event("plan", plan.json());
            return;
        }
        if options.dry_run {
            teller.printer.data(plan.render(options.verbose, style));
        }
        if options.diff {
            teller.printer.data(plan.proxy_files(&|_, table| nginx::preview(table), style));
        }
        let traffic = plan::traffic(world.traffic(), style);
        if options.simulate && !traffic.is_empty() {
            teller.printer.data(format!("{}{traffic}", if options.dry_run { "\n" } else { "" }));
        }
    }

    fn conclude(
        &self,
        options: &cli::Run,
        teller: &Teller<'_>,
        ended: Result<(), Ended>,
        counts: &Counts,
        ending: Option<&Ending>,
    ) -> Exit {
        let script = self.place.name();
        let did = format!("{} on {}", words::count(counts.changes, "change"), words::count(counts.hosts.len(), "host"));
        let state = ending.map_or(State::Unchanged, Ending::state);
        match ended {
            Ok(()) => {
                let (end, next) = match (options.dry_run, options.simulate) {
                    (true, _) => (format!("plan: {did}, nothing was touched"), Some(format!("`{}` does it", again(options, &script)))),
                    (false, true) => (format!("simulated: {did}"), Some(format!("the fleet is kept in {SIMULATED}"))),
                    (false, false) if counts.changes == 0 => ("done: nothing changed".into(), None),
                    (false, false) => (format!("done: {did}{}", serving(state)), Some(format!("`podlift ps {script}` shows what runs"))),
                };
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
                let modelled = options.dry_run || options.simulate;
                let remains = if options.dry_run { Remains::Nothing } else { Remains::of(counts.changes, counts.standing, state) };
                let exit = Exit::of(cause, remains);
                let (end, next) = failed(exit, remains, counts, &script, &again(options, &script), modelled);
                teller.conclude(exit, end, Some(next), counts, ending, &[diagnostic]);
                exit
            }
        }
    }
}

/// The command that does for real, or again, what was done.
fn again(options: &cli::Run, script: &str) -> String {
    let arguments = options.arguments.iter().map(|(key, value)| format!("{key}={value}"));
    let simulate = options.simulate.then(|| "--simulate".to_string());
    let words = [script.to_string()].into_iter().chain(arguments).chain(simulate);
    words.fold("podlift run".into(), |command, word| format!("{command} {}", quoted(&word)))
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let word = clean::line(word);
    let is_plain = word.chars().all(|character| character.is_alphanumeric() || "_-./=:,@%+".contains(character));
    if is_plain && !word.is_empty() { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

fn serving(state: State) -> &'static str {
    match state {
        State::AllNew => ", all new",
        State::Mixed => ", old and new side by side",
        State::AllOld | State::Unchanged => "",
    }
}

/// The end state of a run that failed, and what to do next.
fn failed(exit: Exit, remains: Remains, counts: &Counts, script: &str, again: &str, modelled: bool) -> (String, String) {
    let what = if exit == Exit::Interrupted { "interrupted" } else { "failed" };
    if modelled && remains == Remains::Nothing && exit != Exit::Interrupted {
        return (format!("{what}, as a run would; nothing was touched"), format!("`{again}` would end the same way"));
    }
    let standing = words::count(counts.standing, "change");
    match remains {
        Remains::Nothing if exit == Exit::Bad => {
            (format!("{what}: the script is wrong; nothing was changed"), format!("correct {script} and run it again"))
        }
        Remains::Nothing => (format!("{what}; nothing was changed"), format!("`{again}` tries again")),
        Remains::Undone if counts.commands > 0 => (
            format!("{what}; everything was undone but {} without `undo`", words::count(counts.commands, "command")),
            format!("see what it did; `{again}` tries again"),
        ),
        Remains::Undone => (format!("{what}; everything was undone"), format!("`{again}` tries again")),
        Remains::Changes => (
            format!("{what}, and the fleet is mixed: {standing} of {} stand", counts.changes),
            format!("`podlift ps {script}` shows what runs; running the script again goes on from there"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_command_is_one_that_can_be_pasted() {
        assert_eq!(quoted("version=v2"), "version=v2");
        assert_eq!(quoted("note=it's $HOME"), r"'note=it'\''s $HOME'");
    }

    #[test]
    fn the_last_line_of_a_failure_says_what_stands() {
        let counts = Counts { calls: 9, failed: 1, changes: 4, standing: 3, ..Counts::default() };
        let (end, next) = failed(Exit::Mixed, Remains::Changes, &counts, "deploy.rhai", "podlift run deploy.rhai", false);
        assert_eq!(end, "failed, and the fleet is mixed: 3 changes of 4 stand");
        assert_eq!(next, "`podlift ps deploy.rhai` shows what runs; running the script again goes on from there");
        let (end, _) = failed(Exit::Unreachable, Remains::Nothing, &Counts::default(), "deploy.rhai", "podlift run deploy.rhai", false);
        assert_eq!(end, "failed; nothing was changed");
        let (end, _) = failed(Exit::Interrupted, Remains::Nothing, &Counts::default(), "deploy.rhai", "podlift run deploy.rhai", false);
        assert_eq!(end, "interrupted; nothing was changed");
    }
}
