//! What a script says about its own tests: where they begin, and what must hold in them.
#![expect(deprecated, reason = "Rhai marks the stored context as volatile; there is no other way to call a module's closure later")]

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use rhai::{Dynamic, Engine, EvalAltResult, FnPtr, NativeCallContext, NativeCallContextStore};
use serde_json::Value;

use super::{
    checked::Ended, diagnostics::Diagnostic, placeholders::Placeholders, run::Stopped, session::Session, sources::Sources, values::json,
};
use crate::{
    failure::{Failure, Origin},
    model::HostName,
    world::watch::{Breach, Rules},
};

/// Whoever tests a script.
pub trait Tested: Send + Sync {
    /// Whether the script is run to make what its tests begin with: up to what `given` does, and no further.
    fn begins(&self) -> bool;

    /// Takes note of the hosts that the script has declared until its end.
    fn declares(&self, hosts: &[HostName]);

    /// Takes note that what `given` does begins.
    fn gives(&self);

    /// Takes note that what `given` does was done, or why it was not.
    fn given(&self, done: Result<(), Failure>);

    /// Changes the rules.
    fn rules(&self, change: &dyn Fn(&mut Rules));

    /// What the fleet was after each change since this was last asked for, as plain data; the first time, how it is now.
    fn looks(&self) -> Vec<Value>;

    /// Has how the fleet is now among what is looked at next: a rule that was just said is asked about it.
    fn look_now(&self);

    /// Takes note of a rule that was broken.
    fn broken(&self, breach: Breach);

    /// Takes note of an invariant that cannot be asked, or has no answer: the script is wrong there.
    fn mistaken(&self, diagnostic: Diagnostic);

    /// Takes note of one that comes to no end: so the run does not either.
    fn endless(&self, diagnostic: Diagnostic);

    /// Keeps the script's own invariants beyond its end: what it did may still be taken back.
    fn keeps(&self, invariants: Invariants);
}

/// A rule of the script's own.
#[derive(Clone)]
pub(super) struct Invariant {
    name: String,
    holds: FnPtr,
    /// Where it was said: a module's closure knows the functions of its module.
    said: NativeCallContextStore,
    /// Where the script says it.
    origin: Origin,
    /// Whether it was broken when it was last asked: what lasts is told once.
    is_broken: Arc<AtomicBool>,
}

impl Invariant {
    pub(super) fn new(name: String, holds: FnPtr, said: &NativeCallContext<'_>, origin: Origin) -> Self {
        let mut said = said.store_data();
        // The session has the invariant: one that had its session would keep both for ever.
        said.global.tag = Dynamic::UNIT;
        Self { name, holds, said, origin, is_broken: Arc::default() }
    }

    /// Asks it about a world, in this session.
    fn ask(&self, engine: &Engine, session: &Session, world: Dynamic) -> Result<Dynamic, Box<EvalAltResult>> {
        let mut said = self.said.clone();
        said.global.tag = Dynamic::from(session.clone());
        self.holds.call_within_context(&said.create_context(engine), (world,))
    }

    /// What breaks it, if it is broken.
    fn breach(&self, answer: Result<Dynamic, Box<EvalAltResult>>, asking: &Asking<'_>) -> Result<Option<String>, Diagnostic> {
        let wrong = |what: &str| Diagnostic::of_failure(&Failure::refused(what).from(&self.origin), asking.sources);
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if is_missing(&error, self.holds.fn_name()) => {
                return Err(wrong("its closure takes one argument, the world: `|world| …`"));
            }
            Err(error) if is_end(&error) => {
                let endless = wrong("it comes to no end");
                asking.tested.endless(self.mistaken(endless.clone()));
                return Err(endless);
            }
            Err(error) => return Err(asking.diagnose(error)),
        };
        match answer.as_bool() {
            Ok(true) => Ok(None),
            Ok(false) => Ok(Some("it does not hold".to_owned())),
            Err(_) => Err(wrong("it answers with something else than true or false")),
        }
    }

    /// What is told of it where it is wrong.
    fn mistaken(&self, mistake: Diagnostic) -> Diagnostic {
        let message = format!("the invariant `{}` cannot be asked: {}", self.name, mistake.message);
        Diagnostic { message, ..mistake }
    }
}

/// Whether the code was ended from outside.
fn is_end(error: &EvalAltResult) -> bool {
    matches!(error.unwrap_inner(), EvalAltResult::ErrorTerminated(..))
}

/// Whether there is no function of this name that takes what it was given.
fn is_missing(error: &EvalAltResult, function: &str) -> bool {
    matches!(error.unwrap_inner(), EvalAltResult::ErrorFunctionNotFound(name, _) if name.split(" (").next() == Some(function))
}

/// A script's own invariants, to be asked when it has ended.
pub struct Invariants {
    pub(super) engine: Engine,
    pub(super) session: Session,
    pub(super) all: Vec<Invariant>,
    pub(super) sources: Sources,
    pub(super) placeholders: Placeholders,
}

impl Invariants {
    /// Asks them about every state that the fleet was in since they were last asked.
    pub fn ask(&self, tested: &dyn Tested) {
        let asking = Asking { tested, sources: &self.sources, placeholders: &self.placeholders };
        asking.ask(&self.all, &self.engine, &self.session);
    }
}

/// What it takes to ask invariants.
pub(super) struct Asking<'a> {
    pub(super) tested: &'a dyn Tested,
    pub(super) sources: &'a Sources,
    pub(super) placeholders: &'a Placeholders,
}

impl Asking<'_> {
    /// Asks these invariants about every state that the fleet was in since they were last asked.
    pub(super) fn ask(&self, all: &[Invariant], engine: &Engine, session: &Session) {
        for world in self.tested.looks() {
            let world = json::dynamic(world);
            for invariant in all {
                let answer = invariant.ask(engine, session, world.clone());
                let was_ended = answer.as_ref().is_err_and(|error| is_end(error));
                let what = invariant.breach(answer, self).unwrap_or_else(|mistake| {
                    let place = mistake.origin().map(|origin| format!(" ({origin})")).unwrap_or_default();
                    let what = format!("it cannot be asked: {}{place}", mistake.message);
                    self.tested.mistaken(invariant.mistaken(mistake));
                    Some(what)
                });
                let was_broken = invariant.is_broken.swap(what.is_some(), Ordering::SeqCst);
                if let Some(what) = what.filter(|_| !was_broken) {
                    self.tested.broken(Breach::new(&invariant.name, what));
                }
                if was_ended {
                    return;
                }
            }
        }
    }

    fn diagnose(&self, error: Box<EvalAltResult>) -> Diagnostic {
        let stopped = Stopped { error, placeholders: self.placeholders.clone() };
        let mut diagnostic = Ended::of(&stopped, self.sources).diagnostic;
        if diagnostic.hints.is_empty() {
            diagnostic.hints.push("an invariant is asked about the fleet after each change, also where a service is not there yet".into());
        }
        diagnostic
    }
}
