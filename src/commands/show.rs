//! `podlift show`

use std::{collections::BTreeMap, path::Path, time::Duration};

use serde_json::{Value, json};

use super::{
    complaint,
    exit::{Cause, Exit, Remains},
    found::{self, Found},
};
use crate::{
    cli,
    failure::Failure,
    journal::{Chain, Entry, Journal, Memory, State, recorded::in_script_order},
    op::Class,
    terminal::{
        Printer, clean,
        words::{self, Line},
    },
};

/// Shows what a run did, host by host.
pub fn run(options: &cli::Show, printer: &Printer) -> Exit {
    let found = found::outside(&options.ssh, Path::new(".")).and_then(|(outside, _)| {
        let found = Found::find(options.run.as_ref(), &options.from, &outside);
        outside.close();
        found
    });
    if let Ok(Found { apart: Some(failure), .. }) = &found {
        complaint::tell_failure(printer, failure);
    }
    match found {
        Ok(found) if options.json => {
            printer.data(as_json(&found));
            Exit::Done
        }
        Ok(found) => {
            printer.data(render(&found, options.verbose));
            Exit::Done
        }
        Err(failure) => {
            complaint::tell_failure(printer, &failure);
            Exit::of(Cause::Failure(failure.kind), Remains::Nothing)
        }
    }
}

/// One call of the timeline.
struct Step {
    key: String,
    mark: &'static str,
    line: Line,
    origin: String,
    note: String,
}

/// What is known of every call: done, failed, in doubt.
fn steps(chain: &Chain, verbose: bool) -> Vec<Step> {
    let journal = Journal::open(Memory, chain.clone());
    let mut records = journal.records();
    in_script_order(&mut records);
    let is_shown = |class: Class| verbose || class != Class::Read;
    let done = records.iter().filter(|record| is_shown(record.op.class()) && journal.in_doubt(&record.key).is_none()).map(|record| {
        let took = words::time(Duration::from_secs_f64(record.seconds.clamp(0.0, 1e9)));
        let (mark, note) = match &record.result {
            Ok(_) => ("✓", took),
            Err(failure) => ("✗", failure.message.clone()),
        };
        Step { key: record.key.to_string(), mark, line: Line::of(&record.op), origin: record.origin.to_string(), note }
    });
    let doubts = journal.doubts().into_iter().map(|intent| Step {
        key: intent.asked.key.to_string(),
        mark: "?",
        line: Line::of(&intent.asked.op),
        origin: intent.asked.origin.to_string(),
        note: "in doubt: it was begun and not answered".into(),
    });
    done.chain(doubts).collect()
}

fn render(found: &Found, verbose: bool) -> String {
    let id = &found.id;
    let mut lines = Vec::new();
    if let Some(header) = found.chain.header() {
        let arguments = header.arguments.iter().map(|(key, value)| format!("{key}={value}"));
        let words: Vec<String> = std::iter::once(header.script.name.clone()).chain(arguments).collect();
        let commit = header.git.as_ref().map(|git| format!(", commit {}", git.short)).unwrap_or_default();
        lines.push(format!("run {id} is {}", found.state.word()));
        lines.push(format!("{} of {}, begun {}{commit}", words.join(" "), header.run.operator, header.run.started));
    } else {
        lines.push(format!("run {id} has no beginning: its journal was cut off"));
    }
    let mut by_host: BTreeMap<String, Vec<Step>> = BTreeMap::new();
    for step in steps(&found.chain, verbose) {
        by_host.entry(step.line.host.clone()).or_default().push(step);
    }
    for (host, steps) in by_host {
        lines.extend([String::new(), host]);
        lines.extend(steps.iter().map(|Step { key, mark, line, origin, note }| {
            format!("  {mark} {key:<12} {} {}  ({note}, {origin})", line.verb, line.description)
        }));
    }
    let left = found.left_its_script();
    let next = match (found.state, last_origin(&found.chain)) {
        (State::Interrupted, Some(origin)) if found.chain.is_undoing() => {
            format!("it stopped while it was being undone, at {origin}: `podlift undo {id}` goes on")
        }
        (State::Interrupted, _) if left.is_some() => {
            let why = left.unwrap_or_default();
            format!("it cannot be resumed: {why}; `podlift undo {id}` takes back what is done")
        }
        (State::Interrupted, Some(origin)) => {
            format!("missing: what comes behind {origin}; `podlift resume {id}` does it, `podlift undo {id}` takes back what is done")
        }
        (State::Interrupted, None) if found.chain.header().is_none() => {
            "its journal has no beginning: podlift died before it did anything; run the script again".to_owned()
        }
        (State::Interrupted, None) if !found.chain.entries().iter().any(Entry::is_change) => {
            format!(
                "it stopped before any of its calls was answered: nothing was changed; `podlift resume {id}` runs it from its beginning"
            )
        }
        (State::Interrupted, None) => {
            format!(
                "it stopped before any of its calls was answered: `podlift resume {id}` goes on, `podlift undo {id}` takes back what is done"
            )
        }
        (State::Mixed, _) => format!("`podlift undo {id}` tries again to take back what stands"),
        _ => return clean::block(&lines.join("\n")),
    };
    lines.extend([String::new(), next]);
    clean::block(&lines.join("\n"))
}

fn last_origin(chain: &Chain) -> Option<String> {
    chain.entries().iter().rev().find_map(|entry| match entry {
        Entry::Done { asked, .. } | Entry::Failed { asked, .. } => Some(asked.origin.to_string()),
        Entry::Intent(intent) => Some(intent.asked.origin.to_string()),
        _ => None,
    })
}

fn as_json(found: &Found) -> Value {
    let state = |mark: &str| match mark {
        "✓" => "done",
        "✗" => "failed",
        _ => "in-doubt",
    };
    let calls: Vec<Value> = steps(&found.chain, true)
        .into_iter()
        .map(|step| {
            json!({
                "key": step.key, "state": state(step.mark), "host": step.line.host, "verb": step.line.verb,
                "description": step.line.description, "origin": step.origin, "note": step.note,
            })
        })
        .collect();
    let header = found.chain.header();
    json!({
        "run": found.id, "state": found.state, "undoing": found.chain.is_undoing(), "operator": header.map(|header| &header.run.operator),
        "started": header.map(|header| &header.run.started), "script": header.map(|header| &header.script.name),
        "arguments": header.map(|header| &header.arguments), "git": header.map(|header| &header.git), "calls": calls,
    })
}

/// What a command about a run says when it cannot begin.
pub fn complain(printer: &Printer, failure: &Failure) -> Exit {
    complaint::tell_failure(printer, failure);
    Exit::of(Cause::Failure(failure.kind), Remains::Nothing)
}
