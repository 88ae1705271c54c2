//! The interpreter.

pub mod check;
pub mod diagnostics;
pub mod resolver;
pub mod sources;
pub mod stdlib;
