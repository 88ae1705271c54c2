//! `podlift exec`

use std::io::{self, IsTerminal};

use super::{
    about::{self, About, spinner},
    exit::Exit,
    look::{split, survey, tell_all},
};
use crate::{
    cli,
    failure::Failure,
    fleet::containers::enter,
    model::{ContainerState, Host},
    terminal::{Printer, containers, containers::Row},
};

/// Runs a command in a container of a service that runs: one that gets traffic, where there is one.
pub fn run(options: &cli::Exec, printer: &Printer) -> Exit {
    let about = match about::find(&options.place, printer) {
        Ok(about) => about,
        Err(exit) => return exit,
    };
    let (states, mut failures) = split(survey(&about, spinner(printer)));
    let chosen = chosen(options, containers::rows(&states)).and_then(|row| Some((host(&about, &row)?, row)));
    let exit = if let Some((host, row)) = chosen {
        within(options, &about, &host, &row, printer)
    } else {
        if failures.is_empty() {
            failures.push(none(options, &about));
        }
        tell_all(&failures, printer)
    };
    about.outside.close();
    exit
}

/// The first that gets traffic, else the first that runs.
fn chosen(options: &cli::Exec, rows: Vec<Row>) -> Option<Row> {
    let fits = |row: &Row| {
        row.service == options.service
            && row.state == ContainerState::Running
            && options.version.as_ref().is_none_or(|version| row.version == *version)
    };
    let (serving, others): (Vec<Row>, Vec<Row>) = rows.into_iter().filter(fits).partition(|row| row.weight > 0);
    serving.into_iter().chain(others).next()
}

fn host(about: &About, row: &Row) -> Option<Host> {
    about.inventory.hosts.get(&row.host).cloned()
}

fn none(options: &cli::Exec, about: &About) -> Failure {
    let version = options.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
    let service = &options.service;
    Failure::refused(format!("no container of {service}{version} in the project {} runs there", about.inventory.project))
        .hint("`podlift ps` shows what there is")
}

fn within(options: &cli::Exec, about: &About, host: &Host, row: &Row, printer: &Printer) -> Exit {
    printer.tell(format!("in {} on {}", row.container, row.host));
    let has_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    let fleet = about.outside.fleet();
    let ended = about.outside.runtime().block_on(async {
        let connection = fleet.host(host).await?;
        enter(&connection, &row.container, &options.command, has_terminal).await
    });
    match ended {
        Ok(0) => Exit::Done,
        Ok(code) => {
            printer.tell(format!("the command ended with exit code {code}"));
            Exit::Error
        }
        Err(failure) => tell_all(&[failure.on(&host.name)], printer),
    }
}
