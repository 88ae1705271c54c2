//! What a script says about its own tests: where they begin, and what must hold in them.

use rhai::{AST, Dynamic, Engine, EvalAltResult, FnPtr};
use serde_json::Value;

use super::{functions::failure_of, values::json};
use crate::{
    failure::Failure,
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

    /// Keeps the script's own invariants beyond its end: what it did may still be taken back.
    fn keeps(&self, invariants: Invariants);
}

/// A script's own invariants, by name.
pub type Named = Vec<(String, FnPtr)>;

/// A script's own invariants, to be asked when it has ended.
pub struct Invariants {
    pub(super) engine: Engine,
    pub(super) tree: AST,
    pub(super) named: Named,
}

impl Invariants {
    /// Asks them about every state that the fleet was in since they were last asked.
    pub fn ask(&self, tested: &dyn Tested) {
        ask(tested, &self.named, |holds, world| holds.call(&self.engine, &self.tree, (world,)));
    }
}

/// Asks these invariants about every state that the fleet was in since they were last asked.
pub(super) fn ask(tested: &dyn Tested, named: &Named, call: impl Fn(&FnPtr, Dynamic) -> Result<Dynamic, Box<EvalAltResult>>) {
    for world in tested.looks() {
        let world = json::dynamic(world);
        for (name, holds) in named {
            let what = match call(holds, world.clone()) {
                Ok(answer) if answer.as_bool() == Ok(true) => continue,
                Ok(answer) if answer.is_bool() => "it does not hold".to_owned(),
                Ok(_) => "it answers with something else than true or false".to_owned(),
                Err(error) => format!("it cannot be asked: {}", failure_of(&error).message),
            };
            tested.broken(Breach::new(name, what));
        }
    }
}
