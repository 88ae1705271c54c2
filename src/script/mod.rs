//! The interpreter.

pub mod resolver;
pub mod sources;
pub mod stdlib;
