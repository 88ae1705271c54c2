//! What a person does at a stop: answers for a call, evaluates, sets variables, and takes back.

use serde_json::Value;

use super::{super::command::Command, At, Stepper, TRIES};
use crate::{
    executor::{Answer, Call, Outcome},
    failure::Failure,
    script::{Frame, TakenBack, diagnostics::Diagnostic},
    terminal::words::Line,
};

impl Stepper {
    /// What is to be done with a call, where what was typed decides that.
    pub(super) fn answer(&self, at: At<'_>, command: Command) -> Option<Answer> {
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

    pub(super) fn skip(&self, call: &Call, value: Option<&str>) -> Option<Answer> {
        let modelled = (self.forecast)(call).map(|(_, _, outcome)| outcome.value.json());
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
        Some(Answer::Skip(Box::new(Outcome::by_hand(value))))
    }

    pub(super) fn evaluate(&self, text: &str) -> Result<rhai::Dynamic, Box<Diagnostic>> {
        let prefix = crate::executor::Key::aside(self.aside()).branch();
        let mut frame = self.frame();
        let session = self.state().here.as_ref().and_then(|here| here.session.clone());
        let session = session.unwrap_or_else(|| self.evaluator().session()).aside(prefix);
        let value = self.evaluator().evaluate("(step)", text, &mut frame, &session).map_err(|broken| Box::new(broken.ended.diagnostic))?;
        // What is declared here can be seen until the script goes on.
        if let Some(here) = &mut self.state().here {
            here.frame = frame;
        }
        Ok(value)
    }

    pub(super) fn frame(&self) -> Frame {
        let frame = self.state().here.as_ref().map(|here| here.frame.clone());
        frame.unwrap_or_else(|| self.evaluator().frame())
    }

    pub(super) fn aside(&self) -> usize {
        let mut state = self.state();
        state.asides += 1;
        state.asides
    }

    pub(super) fn set(&self, name: String, text: &str) {
        let value = match self.evaluate(text) {
            Ok(value) => value,
            Err(diagnostic) => return drop(self.complain(&diagnostic)),
        };
        let mut state = self.state();
        let Some(here) = &mut state.here else { return };
        if let Err(failure) = here.frame.clone().set(&name, value.clone()).and_then(|()| (self.note)(&name)) {
            return self.console.tell(&failure.message);
        }
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

    pub(super) fn undo(&self) {
        let Some(call) = self.state().done.pop() else {
            return self.console.tell("nothing was done that can be taken back");
        };
        let Line { host, verb, description } = Line::of(&call.op);
        let TakenBack { finals, left, .. } = self.evaluator().undo(&[call.key].into());
        if let Some(left) = left.first() {
            let why = format!("{verb} on {host} could not be taken back: {}", left.failure.message);
            return self.console.tell(&self.style.bad(why));
        }
        if !finals.is_empty() {
            self.state().done.clear();
            return self.console.tell(&format!("commit() has made {verb} {description} on {host} final, and what came before it"));
        }
        self.console.tell(&format!("taken back: {verb} {description} on {host}; the script goes on as if it were done"));
    }

    /// Takes back what a failed try had done, so that it can be done again. Its keys are none that the call's own undo has.
    pub(super) fn clear(&self, call: &Call, failure: &Failure) -> Result<(), Failure> {
        failure.inverse.iter().try_for_each(|op| {
            let key = call.key.undo(TRIES + self.aside());
            self.evaluator().perform(op.clone(), key, &call.origin).map(drop)
        })
    }
}
