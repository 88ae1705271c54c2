//! What a script says about its own tests: where they begin, and what must hold in them.

use serde_json::Value;

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
}
