//! Steps through a run: stops before its ops, at lines and at failures, and does what is typed there.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde_json::Value;

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
    op::{Class, Op},
    script::{
        Checked, Evaluator, Frame, Paused, Session, Watcher,
        diagnostics::{Diagnostic, render},
        sources::Sources,
    },
    terminal::{Style, forecast, plan::States, words::Line},
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

/// A person who steps through a run.
pub struct Stepper {
    console: Box<dyn Console>,
    style: Style,
    sources: Sources,
    places: Places,
    forecast: Box<Ask>,
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
    done: Vec<(Call, Vec<Op>)>,
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
    ) -> Arc<Self> {
        let stops = Stops::new(breaks);
        let state =
            State { stops, here: None, pending: Vec::new(), done: Vec::new(), by_hand: Vec::new(), asides: first_aside(), has_quit: false };
        let (sources, places) = (script.sources().clone(), Places::of(script));
        Arc::new(Self { console, style, sources, places, forecast, cancellation, evaluator: OnceLock::new(), state: Mutex::new(state) })
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
            let file = self.state().here.as_ref().map(|here| here.origin.file.clone()).unwrap_or_default();
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

    /// What is to be done with a call, where what was typed decides that.
    fn answer(&self, at: At<'_>, command: Command) -> Option<Answer> {
        let (call, failure) = match at {
            At::Line => {
                self.console.tell("no op waits here: step goes to the next one");
                return None;
            }
            At::Op(call) => (call, None),
            At::Failure(call, failure) => (call, Some(failure)),
        };
        let number = self.aside();
        match command {
            Command::Redo(Some(text)) => match self.evaluator().capture(&text, &self.frame(), &call.op, number) {
                Ok(op) => Some(Answer::Instead(Box::new(op))),
                Err(diagnostic) => self.complain(&diagnostic),
            },
            Command::Redo(None) => Some(Answer::Do),
            Command::Skip(value) => self.skip(call, value.as_deref()),
            _ => {
                let by_hand = || Failure::failed("it was made to fail by hand").from(&call.origin);
                Some(Answer::Fail(Box::new(failure.cloned().unwrap_or_else(by_hand))))
            }
        }
    }

    fn skip(&self, call: &Call, value: Option<&str>) -> Option<Answer> {
        let modelled = (self.forecast)(call).map(|(_, _, outcome)| outcome.value);
        let value = match value.map(|text| self.evaluate(text)) {
            None => modelled.unwrap_or_default(),
            Some(Err(diagnostic)) => return self.complain(&diagnostic),
            Some(Ok(value)) => match (modelled, self.evaluator().plain(&value)) {
                (Ok(Value::Object(mut answer)), Value::Object(given)) => {
                    answer.extend(given);
                    Value::Object(answer)
                }
                (_, given) => given,
            },
        };
        if let Err(problem) = call.op.answers(&value) {
            self.console.tell(&format!("`{}` does not answer with that: {problem}", call.op.verb()));
            return None;
        }
        Some(Answer::Skip(Box::new(Outcome { value, ..Outcome::default() }.assuming("skipped by hand"))))
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

    fn evaluate(&self, text: &str) -> Result<rhai::Dynamic, Box<Diagnostic>> {
        let prefix = crate::executor::Key::aside(self.aside()).branch();
        let mut frame = self.frame();
        let session = self.state().here.as_ref().and_then(|here| here.session.clone());
        let session = session.unwrap_or_else(|| self.evaluator().session()).aside(prefix);
        let value = self.evaluator().evaluate("(step)", text, &mut frame, &session)?;
        // What is declared here can be seen until the script goes on.
        if let Some(here) = &mut self.state().here {
            here.frame = frame;
        }
        Ok(value)
    }

    fn frame(&self) -> Frame {
        let frame = self.state().here.as_ref().map(|here| here.frame.clone());
        frame.unwrap_or_else(|| self.evaluator().frame())
    }

    fn aside(&self) -> usize {
        let mut state = self.state();
        state.asides += 1;
        state.asides
    }

    fn set(&self, name: String, text: &str) {
        let value = match self.evaluate(text) {
            Ok(value) => value,
            Err(diagnostic) => return drop(self.complain(&diagnostic)),
        };
        let mut state = self.state();
        let Some(here) = &mut state.here else { return };
        if let Err(failure) = here.frame.set(&name, value.clone()) {
            return self.console.tell(&failure.message);
        }
        let level = here.level;
        state.pending.push((level, name.clone(), value));
        if !state.by_hand.contains(&name) {
            state.by_hand.push(name.clone());
        }
        self.console.tell(&format!("`{name}` is set by hand: this run can be undone, but not resumed"));
    }

    fn undo(&self) {
        let Some((call, inverse)) = self.state().done.pop() else {
            return self.console.tell("nothing was done that can be taken back");
        };
        let Line { host, verb, description } = Line::of(&call.op);
        for (index, op) in inverse.into_iter().enumerate() {
            if let Err(failure) = self.evaluator().perform(op, call.key.undo(index), &call.origin) {
                self.console.tell(&self.style.bad(format!("{verb} on {host} could not be taken back: {}", failure.message)));
                return;
            }
        }
        self.console.tell(&format!("taken back: {verb} {description} on {host}; the script goes on as if it were done"));
    }

    /// Takes back what a failed try had done, so that it can be done again. Its keys are none that the call's own undo has.
    fn clear(&self, call: &Call, failure: &Failure) -> Result<(), Failure> {
        failure.inverse.iter().try_for_each(|op| {
            let key = call.key.undo(TRIES + self.aside());
            self.evaluator().perform(op.clone(), key, &call.origin).map(drop)
        })
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

    fn show(&self, at: At<'_>) {
        let call = match at {
            At::Line => None,
            At::Op(call) | At::Failure(call, _) => Some(call),
        };
        let here = self.state().here.as_ref().map(|here| here.origin.clone());
        let mut lines = Vec::new();
        if let Some(origin) = call.map(|call| call.origin.clone()).or(here) {
            lines.extend(self.source(&origin));
        }
        if let Some(call) = call {
            let Line { host, verb, description } = Line::of(&call.op);
            lines.push(format!("{} {verb} {description} on {host} (call {})", self.style.strong("op:"), call.key));
        }
        match at {
            At::Failure(_, failure) => {
                let diagnostic = Diagnostic::of_failure(&Failure { origin: None, ..failure.clone() }, &self.sources);
                lines.push(render(&[diagnostic], &self.sources, self.style.colour).trim_end().to_owned());
                lines.push("redo [CALL], skip [VALUE], fail, undo, print EXPR or quit".into());
            }
            At::Op(call) if call.op.class().changes() => lines.extend(self.changes(call)),
            At::Op(_) | At::Line => {}
        }
        lines.extend(self.variables(SHORT).into_iter().map(|line| self.style.faint(line)));
        self.console.tell(&lines.join("\n"));
    }

    fn changes(&self, call: &Call) -> Vec<String> {
        let lines = match (self.forecast)(call) {
            Ok((before, after, _)) => forecast::lines(&before, &after, self.style),
            Err(failure) => vec![self.style.bad(format!("would fail: {}", failure.message))],
        };
        if lines.is_empty() {
            return vec!["  would change nothing that is seen on hosts".into()];
        }
        lines.into_iter().map(|line| format!("  {line}")).collect()
    }

    /// The lines of a source around a place.
    fn source(&self, origin: &Origin) -> Vec<String> {
        let mut lines = vec![String::new(), self.style.strong(origin)];
        let Some(source) = self.sources.text(&origin.file) else { return lines };
        let first = origin.line.saturating_sub(AROUND).max(1);
        for (number, line) in (1..).zip(source.lines()).skip(first - 1).take(2 * AROUND + 1) {
            let line = format!("{number:>5} {line}");
            let (mark, line) = if number == origin.line { (self.style.good(">"), line) } else { (" ".to_owned(), self.style.faint(line)) };
            lines.push(format!("{mark}{line}"));
        }
        lines
    }

    fn variables(&self, most: usize) -> Vec<String> {
        let variables = self.frame().variables();
        let line = |(name, value): &(String, rhai::Dynamic)| {
            let words = self.evaluator().words(value).replace('\n', " ");
            let short: String = words.chars().take(most).collect();
            let dots = if short.len() < words.len() { "…" } else { "" };
            format!("  {name} = {short}{dots}")
        };
        variables.iter().rev().map(line).collect()
    }

    fn calls(&self) -> Vec<String> {
        let state = self.state();
        let calls = state.here.iter().flat_map(|here| here.calls.iter().rev());
        let line = |(name, origin): &(String, Option<Origin>)| {
            let name = if name.starts_with("anon$") { "a closure" } else { name };
            let place = origin.as_ref().map_or_else(String::new, |origin| format!(", called at {origin}"));
            format!("  in {name}{place}")
        };
        calls.map(line).collect()
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
            self.state().done.push((call.clone(), outcome.inverse.clone()));
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
