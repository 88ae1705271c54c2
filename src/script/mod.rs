//! The interpreter.

pub mod check;
pub mod resolver;
pub mod sources;
pub mod stdlib;
