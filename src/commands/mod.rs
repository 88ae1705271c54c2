//! One file per command.

pub mod about;
mod afterwards;
pub mod answers;
pub mod between;
pub mod changes;
pub mod check;
pub mod complaint;
pub mod completions;
pub mod copies;
pub mod definitions;
pub mod docs;
pub mod doubt;
pub mod eject;
mod enter;
pub mod environment;
pub mod exec;
pub mod exit;
mod follow;
pub mod found;
pub mod identity;
pub mod interrupt;
pub mod inventory;
pub mod journaling;
mod latest;
mod leftovers;
pub mod lock;
pub mod logs;
pub mod look;
pub mod mode;
pub mod module;
pub mod new;
pub mod outside;
pub mod place;
pub mod plan;
mod proof;
pub mod ps;
pub mod rehearse;
pub mod repl;
pub mod report;
pub mod resume;
pub mod run;
pub mod runs;
pub mod show;
pub mod stack;
mod step;
pub mod tasks;
pub mod test;
pub mod undo;
pub mod work;

use self::exit::Exit;
use crate::{cli::Command, terminal::Printer};

/// Runs a command. One whose data could not be written has failed, but what a run did decides its exit code.
pub fn perform(command: &Command, printer: &Printer) -> Exit {
    let exit = dispatch(command, printer);
    let Some(why) = printer.lost() else { return exit };
    printer.tell(format!("! what this command prints could not be written: {why}"));
    let runs = match command {
        Command::Run(options) => !options.dry_run,
        Command::Resume(_) | Command::Undo(_) | Command::Repl(_) => true,
        _ => false,
    };
    if exit == Exit::Done && !runs { Exit::Error } else { exit }
}

fn dispatch(command: &Command, printer: &Printer) -> Exit {
    match command {
        Command::Run(options) => run::run(options, printer),
        Command::Plan(options) => plan::run(options, printer),
        Command::Runs(options) => runs::run(options, printer),
        Command::Show(options) => show::run(options, printer),
        Command::Resume(options) => resume::run(options, printer),
        Command::Undo(options) => undo::run(options, printer),
        Command::Check(options) => check::run(options, printer),
        Command::Test(options) => test::run(options, printer),
        Command::Ps(options) => ps::run(options, printer),
        Command::Logs(options) => logs::run(options, printer),
        Command::Exec(options) => exec::run(options, printer),
        Command::Report(options) => report::run(options, printer),
        Command::Repl(options) => repl::run(options, printer),
        Command::Lock(options) => lock::run(options, printer),
        Command::Tasks(options) => tasks::run(options, printer),
        Command::Docs(options) => docs::run(options, printer),
        Command::Definitions(options) => definitions::run(options, printer),
        Command::Eject(options) => eject::run(options, printer),
        Command::New(options) => new::run(options, printer),
        Command::Completions(options) => completions::run(options, printer),
    }
}
