//! `podlift ps`

use jiff::Timestamp;

use super::{
    about::{self, spinner},
    between,
    exit::Exit,
    look::{self, split, tell_all},
};
use crate::{
    cli,
    terminal::{Printer, containers, schema},
};

/// Shows the containers of a project on its hosts, and the changes of a schema that are between their halves.
pub fn run(options: &cli::Ps, printer: &Printer) -> Exit {
    let about = match about::find(&options.place, printer) {
        Ok(about) => about,
        Err(exit) => return exit,
    };
    let about = if options.simulate {
        match about.simulated() {
            Ok(about) => about,
            Err(failure) => return tell_all(&[failure], printer),
        }
    } else {
        about
    };
    let (states, failures) = split(look::survey(&about, spinner(printer)));
    let rows = containers::rows(&states);
    // A simulated fleet has no database to ask.
    let (changes, unread) = if options.simulate { <_>::default() } else { changes(&about, printer) };
    if options.json {
        printer.data(serde_json::json!({ "containers": rows, "changes": changes, "unread": unread }));
    } else if rows.is_empty() && failures.is_empty() {
        printer.tell(format!("no container of the project {} is on {}", about.inventory.project, hosts(&about.inventory)));
    } else if !rows.is_empty() {
        printer.data(containers::table(&rows, Timestamp::now(), printer.data_style()));
    }
    if !options.json && !changes.is_empty() {
        printer.data(format!("\n{}", schema::table(&changes, Timestamp::now(), printer.data_style())));
    }
    about.outside.close();
    tell_all(&failures, printer)
}

/// The changes, and the databases that could not be asked. Such a one is told, and no reason to fail: the containers are there.
fn changes(about: &about::About, printer: &Printer) -> (Vec<schema::Between>, Vec<serde_json::Value>) {
    let (changes, failures) = between::read(about, &spinner(printer));
    for (database, failure) in &failures {
        printer.tell(format!("whether a change of {database} is between its halves could not be read: {}", failure.message));
    }
    let unread = failures.iter().map(|(database, failure)| serde_json::json!({ "database": database, "reason": failure.message }));
    (changes, unread.collect())
}

fn hosts(inventory: &super::inventory::Inventory) -> String {
    let names: Vec<&str> = inventory.hosts.keys().map(crate::model::HostName::as_str).collect();
    if names.is_empty() { "any host that the script names".into() } else { names.join(", ") }
}
