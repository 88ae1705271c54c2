//! The `podlift` command.

use std::process::ExitCode;

use clap::Parser;
use podlift::{
    cli::Cli,
    commands::{self, exit::Exit},
    terminal::Printer,
};

fn main() -> ExitCode {
    // One provider for the process; a second one makes rustls panic.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let printer = Printer::standard();
    match Cli::try_parse() {
        Ok(cli) => commands::perform(&cli.command, &printer).into(),
        Err(error) => {
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
