//! `podlift report`

use std::path::Path;

use super::{
    complaint,
    exit::Exit,
    found::{self, Found},
    show::{complain, why},
};
use crate::{
    cli,
    executor::whole,
    failure::Failure,
    journal::timeline::timeline,
    terminal::{Printer, report},
};

/// Writes a run's journal as a page.
pub fn run(options: &cli::Report, printer: &Printer) -> Exit {
    if !options.force
        && let Err(failure) = whole::may_replace(&options.output, "report", report::is_one)
    {
        complaint::tell_failure(printer, &failure);
        return Exit::Bad;
    }
    let found = found::outside(&options.ssh, Path::new(".")).and_then(|(outside, _)| {
        let found = Found::find(options.run.as_ref(), &options.from, &outside);
        outside.close();
        found
    });
    match found.and_then(|found| write(options, &found)) {
        Ok(()) => {
            printer.tell(format!("{} wrote {}", printer.style().good("✓"), options.output.display()));
            Exit::Done
        }
        Err(failure) => complain(printer, &failure),
    }
}

fn write(options: &cli::Report, found: &Found) -> Result<(), Failure> {
    let file = &options.output;
    let steps = timeline(&found.chain, found.state);
    let header = found.chain.header();
    let head = header.map(|header| {
        let commit = header.git.as_ref().map(|git| format!(", commit {}", git.short)).unwrap_or_default();
        format!("{}, by {}, begun {}{commit}", header.words(), header.run.operator, header.run.started)
    });
    let title = format!("Run {} is {}", found.id, found.state.word());
    let page =
        report::page(&title, &head.into_iter().chain(why(&found.chain)).collect::<Vec<_>>(), &steps, header).map_err(Failure::failed)?;
    whole::write(file, page.as_bytes()).map_err(|error| Failure::failed(format!("{} cannot be written: {error}", file.display())))
}
