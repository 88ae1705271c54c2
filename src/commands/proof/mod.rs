//! What `podlift test` does: a script is run on a modelled fleet again and again, and each time something else goes wrong.
//!
//! - [`tale`]: one run with what befalls it, and the runs that take it back or go on with it. It runs on the same stack as a real
//!   one; what is modelled is below it.
//! - [`given`]: what the script says of its tests. - [`judge`]: whether its end is what it says; [`left_out`]: where it leaves hosts
//!   out. - [`listen`]: what it tells besides its ops. - [`desk`]: what scripts read of the operator's machine, the same each time.
//! - [`explore`]: all of them. - [`together`]: those that begin alike. - [`findings`]: those that are told. - [`why`]: what is said where the script
//!   fails by itself.

mod desk;
mod explore;
mod findings;
mod given;
mod judge;
mod left_out;
mod listen;
mod random;
mod tale;
#[cfg(test)]
mod tests;
mod together;
mod why;

use std::sync::Arc;

pub use self::{
    desk::Desk,
    explore::{Bounds, Finding, Proof, Unprovable, prove, retell},
};
use crate::{
    executor::Executor,
    model::Period,
    script::{Checked, SecretNames},
    world::watch::Rules,
};

/// What is tested.
#[derive(Clone)]
pub struct Subject {
    /// The script.
    pub script: Arc<Checked>,
    /// Its arguments.
    pub arguments: Vec<(String, String)>,
    /// What it reads of the operator's machine.
    pub desk: Arc<Desk>,
    /// Which secrets there are.
    pub secrets: Arc<dyn SecretNames>,
    /// What must hold.
    pub rules: Rules,
    /// How long a lost host is tried again.
    pub patience: Period,
    /// Puts something around the fleet; a real run has nothing there.
    pub around: fn(Arc<dyn Executor>) -> Arc<dyn Executor>,
}
