//! `podlift completions`

use clap::CommandFactory;

use super::exit::Exit;
use crate::{
    cli::{self, Cli},
    terminal::Printer,
};

/// Prints a shell's completion script.
pub fn run(options: &cli::Completions, printer: &Printer) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), "podlift", &mut script);
    printer.data(String::from_utf8_lossy(&script));
    Exit::Done
}
