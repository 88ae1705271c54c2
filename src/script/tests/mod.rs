//! The language, told as scripts and the calls that they make.
mod arguments;
mod branching;
mod commands;
mod declaring;
mod deploying;
mod killed;
mod lab;
mod language;
mod policies;
mod procedures;
mod pruning;
mod publishing;
mod reading;
mod secrets;
mod strategies;
mod undoing;
mod weighing;
