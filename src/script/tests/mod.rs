//! The language, told as scripts and the calls that they make.
mod arguments;
mod branching;
mod commands;
mod declaring;
mod deploying;
mod language;
mod reading;
mod secrets;
mod undoing;
mod weighing;
