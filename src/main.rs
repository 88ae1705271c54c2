//! The `podlift` command.

use std::process::ExitCode;

use clap::{
    Error, Parser,
    error::{ContextKind, ContextValue},
};
use podlift::{
    cli::Cli,
    commands::{self, exit::Exit, place::Place},
    terminal::Printer,
};

/// A test of a script makes and drops millions of small values, on each core at once: the system's own allocator is half of its time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // One provider for the process; a second one makes rustls panic.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let printer = Printer::standard();
    match Cli::try_parse() {
        Ok(cli) => commands::perform(&cli.command, &printer).into(),
        Err(error) => {
            let error = meant_run(error);
            let text = error.render();
            let is_data = !error.use_stderr();
            let style = if is_data { printer.data_style() } else { printer.style() };
            let text = if style.colour { text.ansi().to_string() } else { text.to_string() };
            if is_data {
                printer.data(text);
            } else {
                printer.tell(text);
            }
            if printer.lost().is_some() { Exit::Error.into() } else { ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2)) }
        }
    }
}

/// Who writes a script's name, a task's, or what other tools call it in a command's place means `podlift run`.
fn meant_run(mut error: Error) -> Error {
    if let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand)
        && (word == "deploy" || Place::find(word.as_ref()).is_ok())
    {
        let run = if word == "deploy" && Place::find(word.as_ref()).is_err() { "run".to_owned() } else { format!("run {word}") };
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(vec![run]));
    }
    error
}
