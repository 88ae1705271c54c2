//! `podlift definitions`

use std::fs;

use super::{complaint, exit::Exit};
use crate::{cli, failure::Failure, script::definitions, terminal::Printer};

/// Writes the definition files, over those of an earlier version.
pub fn run(options: &cli::Definitions, printer: &Printer) -> Exit {
    for (name, text) in definitions::files() {
        let file = options.folder.join(name);
        let write = || {
            file.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::write(&file, &text)
        };
        if let Err(error) = write() {
            complaint::tell_failure(printer, &Failure::failed(format!("{} cannot be written: {error}", file.display())));
            return Exit::Error;
        }
        printer.data(file.display());
    }
    Exit::Done
}
