//! `podlift ps`

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    about::{self, spinner},
    complaint,
    exit::{Cause, Exit, Remains},
    look,
};
use crate::{
    cli,
    failure::Failure,
    terminal::{Printer, containers, plan::States},
};

/// Shows the containers of a project on its hosts.
pub fn run(options: &cli::Ps, printer: &Printer) -> Exit {
    let about = match about::find(&options.place, options.script.as_deref(), &options.arguments, &options.ssh, printer) {
        Ok(about) => about,
        Err(exit) => return exit,
    };
    let (states, failures) = split(look::survey(&about, spinner(printer)));
    let rows = containers::rows(&states);
    if options.json {
        printer.data(serde_json::json!(rows));
    } else if rows.is_empty() && failures.is_empty() {
        printer.tell(format!("no container of the project {} is on {}", about.inventory.project, hosts(&about.inventory)));
    } else if !rows.is_empty() {
        printer.data(containers::table(&rows, Timestamp::now(), printer.data_style()));
    }
    about.outside.close();
    tell_all(&failures, printer)
}

fn hosts(inventory: &super::inventory::Inventory) -> String {
    let names: Vec<&str> = inventory.hosts.keys().map(crate::model::HostName::as_str).collect();
    if names.is_empty() { "any host that the script names".into() } else { names.join(", ") }
}

/// The hosts that answered, and why the others did not.
pub fn split(answers: BTreeMap<crate::model::HostName, Result<crate::model::HostState, Failure>>) -> (States, Vec<Failure>) {
    let (mut states, mut failures) = (States::new(), Vec::new());
    for (host, answer) in answers {
        match answer {
            Ok(state) => {
                states.insert(host, state);
            }
            Err(failure) => failures.push(failure.on(&host)),
        }
    }
    (states, failures)
}

/// Tells failures, and the exit code of the first.
pub fn tell_all(failures: &[Failure], printer: &Printer) -> Exit {
    for failure in failures {
        complaint::tell_failure(printer, failure);
    }
    failures.first().map_or(Exit::Done, |failure| Exit::of(Cause::Failure(failure.kind), Remains::Nothing))
}
