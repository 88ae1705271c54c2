//! `podlift new`

use super::{eject, exit::Exit};
use crate::{cli, script::stdlib::STRATEGY, terminal::Printer};

/// Begins something.
pub fn run(options: &cli::New, printer: &Printer) -> Exit {
    let cli::New::Strategy { name, place } = options;
    eject::write(name, place, |module| STRATEGY.replace("PATH", &module.path()).replace("NAME", name), printer)
}
