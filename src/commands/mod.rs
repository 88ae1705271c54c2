//! One file per command.

pub mod about;
pub mod changes;
pub mod check;
pub mod complaint;
pub mod environment;
pub mod exit;
pub mod identity;
pub mod interrupt;
pub mod inventory;
mod leftovers;
pub mod lock;
pub mod logs;
pub mod look;
pub mod mode;
pub mod outside;
pub mod place;
pub mod ps;
pub mod run;
pub mod stack;

use self::exit::Exit;
use crate::{cli::Command, terminal::Printer};

/// Runs a command.
pub fn perform(command: &Command, printer: &Printer) -> Exit {
    match command {
        Command::Run(options) => run::run(options, printer),
        Command::Check(options) => check::run(options, printer),
        Command::Ps(options) => ps::run(options, printer),
        Command::Logs(options) => logs::run(options, printer),
        Command::Lock(options) => lock::run(options, printer),
    }
}
