//! `podlift run --step`

use std::sync::Arc;

use super::{journaling, outside::Outside, stack::Modelled};
use crate::{
    cli,
    executor::{Cancellation, Real},
    journal::Journal,
    repl::{
        console::Standard,
        stepper::{Ask, Stepper},
        stops::Break,
    },
    script::Checked,
    terminal::Printer,
};

/// Someone at this process's terminal, or the lines of its standard input, who steps through a script's run.
pub fn stepper(
    options: &cli::Run,
    script: &Checked,
    model: Option<&Arc<Modelled>>,
    outside: &Outside,
    journal: &Arc<Journal>,
    cancellation: &Cancellation,
    printer: &Printer,
) -> Arc<Stepper> {
    let forecast: Box<Ask> = if let Some(model) = model.cloned() {
        Box::new(move |call| model.forecast(call))
    } else {
        // Each time anew: what others do to the hosts meanwhile is seen.
        let executor = outside.executor();
        Box::new(move |call| Modelled::new(Real(executor.clone())).forecast(call))
    };
    let breaks = options.breaks.iter().map(|place| Break::parse(place)).collect();
    let console = Box::new(Standard::new(printer.clone(), None, None, cancellation.clone()));
    let journal = journal.clone();
    let note = Box::new(move |variable: &str| journaling::set_by_hand(&journal, variable));
    Stepper::new(console, printer.style(), script, breaks, cancellation.clone(), forecast, note)
}
