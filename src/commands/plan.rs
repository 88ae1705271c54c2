//! `podlift plan`

use super::{
    exit::Exit,
    run::{self, Save},
};
use crate::{
    cli,
    executor::{lease::LASTING, settle::PATIENCE},
    model::Period,
    terminal::Printer,
};

/// Shows what a run would do, and saves it.
pub fn run(options: &cli::Plan, printer: &Printer) -> Exit {
    let cli::Plan { script, arguments, output, force, diff, simulate, allow_older, json, verbose, ssh } = options.clone();
    let (wait, lease) = (Period::default(), LASTING);
    let dry_run = cli::Run {
        wait,
        lease,
        reconnect: PATIENCE,
        on_interrupt: cli::OnInterrupt::Leave,
        script: Some(script),
        arguments,
        dry_run: true,
        plan: None,
        step: false,
        breaks: Vec::new(),
        diff,
        simulate,
        allow_older,
        yes: Vec::new(),
        json,
        verbose,
        ssh,
    };
    let save = output.map(|file| Save { file, replaces: force });
    run::save(&dry_run, save, printer)
}
