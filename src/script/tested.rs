//! What a script says about its own tests: where they begin, and what must hold in them.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use rhai::{AST, Dynamic, Engine, EvalAltResult, FnPtr};
use serde_json::Value;

use super::{checked::Ended, diagnostics::Diagnostic, placeholders::Placeholders, run::Stopped, sources::Sources, values::json};
use crate::{
    failure::{Failure, Origin},
    world::watch::{Breach, Rules},
};

/// Whoever tests a script.
pub trait Tested: Send + Sync {
    /// Whether the script is run to make what its tests begin with: up to what `given` does, and no further.
    fn begins(&self) -> bool;

    /// Takes note that what `given` does begins.
    fn gives(&self);

    /// Takes note that what `given` does was done, or why it was not.
    fn given(&self, done: Result<(), Failure>);

    /// Changes the rules.
    fn rules(&self, change: &dyn Fn(&mut Rules));

    /// What the fleet was after each change since this was last asked for, as plain data.
    fn looks(&self) -> Vec<Value>;

    /// Takes note of a rule that was broken.
    fn broken(&self, breach: Breach);

    /// Takes note of an invariant that cannot be asked, or has no answer: the script is wrong there.
    fn mistaken(&self, diagnostic: Diagnostic);

    /// Keeps the script's own invariants beyond its end: what it did may still be taken back.
    fn keeps(&self, invariants: Invariants);
}

/// A rule of the script's own.
#[derive(Clone)]
pub(super) struct Invariant {
    name: String,
    holds: FnPtr,
    /// Where the script says it.
    origin: Origin,
    /// Whether it was broken when it was last asked: what lasts is told once.
    is_broken: Arc<AtomicBool>,
}

impl Invariant {
    pub(super) fn new(name: String, holds: FnPtr, origin: Origin) -> Self {
        Self { name, holds, origin, is_broken: Arc::default() }
    }

    /// What breaks it, if it is broken.
    fn breach(&self, answer: Result<Dynamic, Box<EvalAltResult>>, asking: &Asking<'_>) -> Result<Option<String>, Diagnostic> {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Err(asking.diagnose(error)),
        };
        match answer.as_bool() {
            Ok(true) => Ok(None),
            Ok(false) => Ok(Some("it does not hold".to_owned())),
            Err(_) => {
                let failure = Failure::refused("it answers with something else than true or false").from(&self.origin);
                Err(Diagnostic::of_failure(&failure, asking.sources))
            }
        }
    }
}

/// A script's own invariants, to be asked when it has ended.
pub struct Invariants {
    pub(super) engine: Engine,
    pub(super) tree: AST,
    pub(super) all: Vec<Invariant>,
    pub(super) sources: Sources,
    pub(super) placeholders: Placeholders,
}

impl Invariants {
    /// Asks them about every state that the fleet was in since they were last asked.
    pub fn ask(&self, tested: &dyn Tested) {
        let asking = Asking { tested, sources: &self.sources, placeholders: &self.placeholders };
        asking.ask(&self.all, |holds, world| holds.call(&self.engine, &self.tree, (world,)));
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
    pub(super) fn ask(&self, all: &[Invariant], call: impl Fn(&FnPtr, Dynamic) -> Result<Dynamic, Box<EvalAltResult>>) {
        for world in self.tested.looks() {
            let world = json::dynamic(world);
            for invariant in all {
                let what = invariant.breach(call(&invariant.holds, world.clone()), self).unwrap_or_else(|mistake| {
                    let place = mistake.origin().map(|origin| format!(" ({origin})")).unwrap_or_default();
                    let what = format!("it cannot be asked: {}{place}", mistake.message);
                    let message = format!("the invariant `{}` cannot be asked: {}", invariant.name, mistake.message);
                    self.tested.mistaken(Diagnostic { message, ..mistake });
                    Some(what)
                });
                let was_broken = invariant.is_broken.swap(what.is_some(), Ordering::SeqCst);
                if let Some(what) = what.filter(|_| !was_broken) {
                    self.tested.broken(Breach::new(&invariant.name, what));
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
