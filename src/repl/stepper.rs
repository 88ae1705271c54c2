//! Steps through a run: stops before its ops, at lines and at failures, and does what is typed there.

mod acts;
mod view;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::{
    command::{Command, HELP},
    console::Console,
    places::Places,
    stops::{Break, Goal, Stops},
    values,
};
use crate::{
    executor::{Answer, Call, Cancellation, Outcome, Steps, Urgency},
    failure::{Failure, FailureKind, Origin},
    op::Class,
    script::{
        Checked, Evaluator, Frame, Paused, Session, Watcher,
        diagnostics::{Diagnostic, render},
        sources::Sources,
    },
    terminal::{Style, plan::States},
};

/// How many lines of a source are shown around the one that it stops at.
const AROUND: usize = 2;
/// How long a variable's value may be where all are listed.
const SHORT: usize = 60;

/// More ops than undo any call.
const TRIES: usize = 1000;

/// What a call would do: its hosts before and after it, and its answer.
pub type Forecast = (States, States, Outcome);

/// Asks a model what a call would do.
pub type Ask = dyn Fn(&Call) -> Result<Forecast, Failure> + Send + Sync;

/// Notes in the run's journal that a variable was set by hand.
pub type Note = dyn Fn(&str) -> Result<(), Failure> + Send + Sync;

/// A person who steps through a run.
pub struct Stepper {
    console: Box<dyn Console>,
    style: Style,
    sources: Sources,
    places: Places,
    forecast: Box<Ask>,
    note: Box<Note>,
    cancellation: Cancellation,
    evaluator: OnceLock<Evaluator>,
    state: Mutex<State>,
}

struct State {
    stops: Stops,
    here: Option<Here>,
    /// Variables that were set while a statement was going on: they are set where it goes on, at this level.
    pending: Vec<(usize, String, rhai::Dynamic)>,
    /// What was done and can be taken back, the last at the end.
    done: Vec<Call>,
    by_hand: Vec<String>,
    asides: usize,
    has_quit: bool,
}

/// Where the script is.
struct Here {
    origin: Origin,
    level: usize,
    frame: Frame,
    session: Option<Session>,
    calls: Vec<(String, Option<Origin>)>,
}

/// What it stops at.
#[derive(Clone, Copy)]
enum At<'a> {
    Line,
    Op(&'a Call),
    Failure(&'a Call, &'a Failure),
}

impl Stepper {
    /// A stepper over a script.
    pub fn new(
        console: Box<dyn Console>,
        style: Style,
        script: &Checked,
        breaks: Vec<Break>,
        cancellation: Cancellation,
        forecast: Box<Ask>,
        note: Box<Note>,
    ) -> Arc<Self> {
        let stops = Stops::new(breaks);
        let state =
            State { stops, here: None, pending: Vec::new(), done: Vec::new(), by_hand: Vec::new(), asides: first_aside(), has_quit: false };
        let (sources, places) = (script.sources().clone(), Places::of(script));
        Arc::new(Self {
            console,
            style,
            sources,
            places,
            forecast,
            note,
            cancellation,
            evaluator: OnceLock::new(),
            state: Mutex::new(state),
        })
    }

    /// The variables that were set by hand: a run with any cannot be resumed.
    pub fn by_hand(&self) -> Vec<String> {
        self.state().by_hand.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn evaluator(&self) -> &Evaluator {
        self.evaluator.get().expect("the run begins before it stops")
    }

    /// Shows where it is and does what is typed, until the run is to go on. `None` stands for a stop that no call waits at.
    fn converse(&self, at: At<'_>) -> Option<Answer> {
        self.show(at);
        loop {
            let Some(line) = self.console.ask("(step) ") else { return Some(self.quit()) };
            let command = match Command::parse(&line) {
                Ok(command) => command,
                Err(problem) => {
                    self.console.tell(&problem);
                    continue;
                }
            };
            let level = self.state().here.as_ref().map_or(0, |here| here.level);
            let file = self.state().here.as_ref().map(|here| here.origin.file.to_string()).unwrap_or_default();
            let goal = match command {
                Command::Step => Goal::Op,
                Command::Next => Goal::Next(level),
                Command::Into => Goal::Line,
                Command::Out => Goal::Out(level),
                Command::Continue => Goal::Break,
                Command::Until(line) => {
                    if let Err(failure) = self.places.check(&Break::Line(Some(file.clone()), line)) {
                        self.refuse(&failure);
                        continue;
                    }
                    Goal::Until(file, line)
                }
                Command::Quit => return Some(self.quit()),
                Command::Redo(_) | Command::Skip(_) | Command::Fail => match self.answer(at, command) {
                    Some(answer) => {
                        self.state().stops.go(Goal::Op);
                        return Some(answer);
                    }
                    None => continue,
                },
                other => {
                    self.look(at, other);
                    continue;
                }
            };
            if let At::Failure(call, _) = at {
                self.console.tell(&format!("`{}` has failed: redo, skip or fail decides, quit ends the run", call.op.verb()));
                continue;
            }
            self.state().stops.go(goal);
            return match at {
                At::Line => None,
                At::Op(_) | At::Failure(..) => Some(Answer::Do),
            };
        }
    }

    /// What is typed and lets the run wait.
    fn look(&self, at: At<'_>, command: Command) {
        match command {
            Command::Print(text) | Command::Script(text) => match self.evaluate(&text) {
                Ok(value) if value.is_unit() => {}
                Ok(value) => self.console.show(&values::show(&value, self.evaluator(), self.style)),
                Err(diagnostic) => drop(self.complain(&diagnostic)),
            },
            Command::Variables => self.console.show(&self.variables(usize::MAX).join("\n")),
            Command::Where => {
                self.show(at);
                self.console.tell(&self.calls().join("\n"));
            }
            Command::Op => match at {
                At::Line => self.console.tell("no op waits here"),
                At::Op(call) | At::Failure(call, _) => {
                    self.console.show(&serde_json::to_string_pretty(&call.op).unwrap_or_default());
                }
            },
            Command::Break(None) => {
                let places: Vec<String> = self.state().stops.breaks().iter().map(ToString::to_string).collect();
                self.console.tell(&if places.is_empty() { "there are no break points".into() } else { places.join("\n") });
            }
            Command::Break(Some(place)) => match self.places.check(&place) {
                Ok(()) => {
                    self.console.tell(&format!("stops at {place}"));
                    self.state().stops.add(place);
                }
                Err(failure) => self.refuse(&failure),
            },
            Command::Undo => self.undo(),
            Command::Set(name, text) => self.set(name, &text),
            _ => self.console.tell(HELP),
        }
    }

    fn quit(&self) -> Answer {
        self.state().has_quit = true;
        self.cancellation.request(Urgency::Finish);
        Answer::Fail(Box::new(Failure::new(FailureKind::Interrupted, "the run was told to stop")))
    }

    /// Tells why something that was typed is not done.
    fn refuse(&self, failure: &Failure) {
        let hints = failure.hints.iter().map(|hint| format!("; {hint}"));
        self.console.tell(&std::iter::once(failure.message.clone()).chain(hints).collect::<String>());
    }

    fn complain(&self, diagnostic: &Diagnostic) -> Option<Answer> {
        self.console.tell(&render(std::slice::from_ref(diagnostic), &self.sources, self.style.colour));
        None
    }
}

/// The number before that of the first thing that is typed: no earlier process of the run had it.
pub fn first_aside() -> usize {
    usize::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default()
}

impl Watcher for Stepper {
    fn begins(&self, evaluator: Evaluator) {
        // A run begins once.
        let _ = self.evaluator.set(evaluator);
    }

    fn at(&self, paused: &mut Paused<'_, '_, '_, '_, '_, '_>) -> Result<(), Failure> {
        if self.state().has_quit {
            return Ok(());
        }
        let level = paused.level;
        let pending = std::mem::take(&mut self.state().pending);
        for (at, name, value) in pending {
            // A function that has returned has no variables.
            if at == level && paused.set(&name, value).is_err() {
                self.console.tell(&format!("`{name}` is not there any more"));
            }
        }
        if paused.is_call {
            let here =
                Here { origin: paused.origin.clone(), level, frame: paused.frame(), session: paused.session(), calls: paused.calls() };
            self.state().here = Some(here);
        } else if let Some(here) = &mut self.state().here {
            here.origin.clone_from(&paused.origin);
        }
        let function = self.state().here.as_ref().and_then(|here| Some(here.calls.last()?.0.clone()));
        if !self.state().stops.at(&paused.origin, level, function.as_deref()) {
            return Ok(());
        }
        let answer = self.converse(At::Line);
        let pending = std::mem::take(&mut self.state().pending);
        for (_, name, value) in pending {
            paused.set(&name, value)?;
        }
        match answer {
            Some(Answer::Fail(failure)) => Err(*failure),
            _ => Ok(()),
        }
    }
}

impl Steps for Stepper {
    fn before(&self, call: &Call) -> Answer {
        if self.state().has_quit {
            return self.quit();
        }
        if !self.state().stops.before(&call.op) {
            return Answer::Do;
        }
        self.converse(At::Op(call)).unwrap_or(Answer::Do)
    }

    fn done(&self, call: &Call, outcome: &Outcome) {
        if !outcome.inverse.is_empty() && call.op.class() != Class::Read {
            self.state().done.push(call.clone());
        }
    }

    fn failed(&self, call: &Call, failure: &Failure) -> Answer {
        if self.state().has_quit {
            return self.quit();
        }
        let answer = self.converse(At::Failure(call, failure)).unwrap_or_else(|| Answer::Fail(Box::new(failure.clone())));
        let again = matches!(answer, Answer::Do | Answer::Instead(_));
        let left = if again { self.clear(call, failure).err() } else { None };
        match left {
            Some(left) => Answer::Fail(Box::new(failure.clone().detail("what it had done could not be taken back", left.message))),
            None => answer,
        }
    }
}
