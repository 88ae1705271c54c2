//! `podlift runs`

use std::collections::BTreeMap;

use serde_json::json;

use super::{
    complaint, copies,
    exit::{Cause, Exit, Remains},
    found, journaling,
};
use crate::{
    cli,
    failure::Failure,
    journal::{Chain, Header, State, folder::Kept, forks::Copy},
    model::RunId,
    terminal::{Printer, clean, table::Table},
};

/// Lists the runs of this project, or those that hosts keep.
pub fn run(options: &cli::Runs, printer: &Printer) -> Exit {
    match list(options) {
        Ok(runs) if options.json => {
            let rows: Vec<_> = runs.iter().map(row_json).collect();
            printer.data(json!(rows));
            tell_unreadable(&runs, printer)
        }
        Ok(runs) if runs.is_empty() => {
            printer.tell("no run is kept here");
            Exit::Done
        }
        Ok(runs) => {
            let mut table = Table::new(["RUN", "STATE", "STARTED", "BY", "SCRIPT"]);
            for Kept { id, chain, state } in &runs {
                let header = chain.as_ref().ok().and_then(Chain::header);
                let of = |text: fn(&Header) -> String| header.map(|header| clean::line(&text(header))).unwrap_or_default();
                table.row([
                    id.to_string(),
                    state.word().into(),
                    of(|header| header.run.started.clone()),
                    of(|header| header.run.operator.clone()),
                    of(Header::words),
                ]);
            }
            printer.data(table.render(printer.data_style()));
            tell_unreadable(&runs, printer)
        }
        Err(failure) => {
            complaint::tell_failure(printer, &failure);
            Exit::of(Cause::Failure(failure.kind), Remains::Nothing)
        }
    }
}

/// Tells why the journals of some runs cannot be read, so that their rows are almost empty.
fn tell_unreadable(runs: &[Kept], printer: &Printer) -> Exit {
    let failures: Vec<&Failure> = runs.iter().filter_map(|run| run.chain.as_ref().err()).collect();
    for failure in &failures {
        complaint::tell_failure(printer, failure);
    }
    if failures.is_empty() { Exit::Done } else { Exit::Error }
}

/// All runs, the newest first.
fn list(options: &cli::Runs) -> Result<Vec<Kept>, Failure> {
    if options.from.is_empty() {
        let mut runs = journaling::runs().list()?;
        runs.reverse();
        return Ok(runs);
    }
    let (outside, _) = found::outside(&options.ssh, std::path::Path::new("."))?;
    let copies = copies::read(&outside, &options.from, None)?;
    outside.close();
    let mut runs: BTreeMap<RunId, Vec<Copy>> = BTreeMap::new();
    for (id, copy) in copies {
        runs.entry(id).or_default().push(copy);
    }
    let look = |(id, copies): (RunId, Vec<Copy>)| {
        let chain = found::best(&id, copies).0?.copy.chain;
        let state = State::of(&chain, false);
        Some(Kept { id, chain: Ok(chain), state })
    };
    Ok(runs.into_iter().rev().filter_map(look).collect())
}

fn row_json(Kept { id, chain, state }: &Kept) -> serde_json::Value {
    let header = chain.as_ref().ok().and_then(Chain::header);
    json!({
        "run": id, "state": state, "started": header.map(|header| &header.run.started), "operator": header.map(|header| &header.run.operator),
        "script": header.map(|header| &header.script.name), "arguments": header.map(|header| &header.arguments),
        "unreadable": chain.as_ref().err().map(|failure| &failure.message),
    })
}
