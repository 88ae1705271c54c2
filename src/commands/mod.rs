//! One file per command.

pub mod changes;
pub mod exit;
