//! What people type while a run goes on: the stepper's commands, and the session of `podlift repl`.

pub mod chain;
pub mod command;
pub mod console;
pub mod editor;
pub mod known;
pub mod places;
pub mod session;
pub mod stepper;
pub mod stops;
pub mod values;
