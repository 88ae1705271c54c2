//! podlift, an interpreter for deployment scripts.
//!
//! A deploy plan is a Rhai script that calls host functions. Each call becomes one [`op`], which an [`executor`] performs: over
//! the real [`fleet`], or over a model of it, the [`world`]. Imports go one way only:
//! `commands → script → executor → op → model`, and `executor/live → fleet → model`.
//!
//! - [`model`]: the nouns, plain and validated.
//! - [`op`]: every operation: its arguments, its output, its class.
//! - [`failure`]: the one error that crosses the executor.
//! - [`executor`]: how an op gets done; a mode is a stack of executors.
//! - [`world`]: the pure model of hosts, images, containers, proxies and the clock.
//! - [`nginx_file`]: what a service's file at nginx says, as text.
//! - [`journal`]: what a run asked for and what came back, on disk.
//! - [`fleet`]: the live side: SSH, Docker, shipping, nginx.
//! - [`script`]: the interpreter: engine, functions, values, check, diagnostics.
//! - [`repl`]: what people type while a run goes on: the stepper, and a run that is typed.
//! - [`terminal`]: all output.
//! - [`commands`]: one file per command; [`cli`] is what they are called with.

pub mod cli;
pub mod commands;
pub mod executor;
pub mod failure;
pub mod fleet;
pub mod journal;
pub mod model;
pub mod nginx_file;
pub mod op;
pub mod repl;
pub mod script;
pub mod terminal;
pub mod world;
