//! The interpreter.
//!
//! A script's call becomes an op in [`functions`], gets its key in [`session`], and goes through the executor that the
//! [`ScriptRun`] was given.

pub mod check;
mod checked;
mod debugger;
pub mod definitions;
pub mod diagnostics;
pub mod documentation;
pub mod engine;
mod evaluator;
pub mod functions;
mod isolation;
mod kinds;
mod ledger;
mod members;
pub mod options;
mod parallel;
pub mod pieces;
pub mod placeholders;
mod pruning;
pub mod reference;
pub mod resolver;
mod run;
pub mod service;
pub mod session;
pub mod sources;
pub mod stdlib;
mod tested;
mod types;
pub mod values;
mod worked;
mod yaml;

pub use self::{
    checked::{Checked, Ended},
    debugger::{Paused, Watcher},
    evaluator::{Broken, Evaluator, Frame, Imported, TakenBack, goes_on},
    functions::{REPLACED, signatures},
    members::Members,
    run::{ScriptRun, Stopped},
    session::{SecretNames, Session},
    tested::{Invariants, Tested},
    worked::worked,
};

pub use crate::executor::Branches;

#[cfg(test)]
mod recording;
#[cfg(test)]
mod tests;
