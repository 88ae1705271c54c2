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
    journal::{
        Chain, Entry, State,
        state::stopped,
        timeline::{Fate, Step, timeline},
    },
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

/// The mark of a call's line.
const fn mark(fate: Fate) -> &'static str {
    match fate {
        Fate::Done => "✓",
        Fate::Skipped => "-",
        Fate::Failed => "✗",
        Fate::InDoubt => "?",
        Fate::UnderWay => "…",
    }
}

/// What is said of a call behind its line.
fn note(step: &Step) -> String {
    let took = || words::time(Duration::from_secs_f64(step.record.seconds.clamp(0.0, 1e9)));
    words::said(step).unwrap_or_else(|| match (step.fate, &step.record.result) {
        (Fate::InDoubt, _) => "in doubt: it was begun and not answered".into(),
        (Fate::UnderWay, _) => "under way".into(),
        (_, Err(failure)) => failure.message.clone(),
        (_, Ok(_)) => took(),
    })
}

fn render(found: &Found, verbose: bool) -> String {
    let id = &found.id;
    let mut lines = Vec::new();
    if let Some(header) = found.chain.header() {
        let commit = header.git.as_ref().map(|git| format!(", commit {}", git.short)).unwrap_or_default();
        lines.push(format!("run {id} is {}", found.state.word()));
        lines.push(format!("{} of {}, begun {}{commit}", header.words(), header.run.operator, header.run.started));
    } else {
        lines.push(format!("run {id} has no beginning: its journal was cut off"));
    }
    lines.extend(why(&found.chain));
    let mut by_host: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for step in timeline(&found.chain, found.state).iter().filter(|step| verbose || step.record.op.class() != Class::Read) {
        let (key, origin, mark, note) = (step.record.key.as_str(), &step.record.origin, mark(step.fate), note(step));
        let Line { host, verb, description } = Line::of(&step.record.op);
        by_host.entry(host).or_default().push(format!("  {mark} {key:<12} {verb} {description}  ({note}, {origin})"));
    }
    for (host, steps) in by_host {
        lines.extend([String::new(), host]);
        lines.extend(steps);
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

/// Why the run's script did not reach its end, and where, in one sentence.
pub fn why(chain: &Chain) -> Option<String> {
    let ended = stopped(chain)?;
    let place = ended.origin.as_ref().map(|origin| format!(" at {origin}")).unwrap_or_default();
    Some(clean::block(&format!("its script stopped{place}: {}", ended.why.as_ref()?)))
}

fn last_origin(chain: &Chain) -> Option<String> {
    chain.entries().iter().rev().find_map(|entry| match entry {
        Entry::Done { asked, .. } | Entry::Failed { asked, .. } => Some(asked.origin.to_string()),
        Entry::Intent(intent) => Some(intent.asked.origin.to_string()),
        _ => None,
    })
}

fn as_json(found: &Found) -> Value {
    let call = |step: Step| {
        let Line { host, verb, description } = Line::of(&step.record.op);
        json!({
            "key": step.record.key, "state": step.fate, "host": host, "verb": verb, "description": description,
            "origin": step.record.origin.to_string(), "note": note(&step), "answered_by": step.answered_by,
        })
    };
    let calls: Vec<Value> = timeline(&found.chain, found.state).into_iter().map(call).collect();
    let header = found.chain.header();
    let why = stopped(&found.chain);
    let why = why.map(|ended| json!({ "message": ended.why, "origin": ended.origin.as_ref().map(ToString::to_string) }));
    json!({
        "run": found.id, "state": found.state, "undoing": found.chain.is_undoing(), "operator": header.map(|header| &header.run.operator),
        "started": header.map(|header| &header.run.started), "script": header.map(|header| &header.script.name),
        "arguments": header.map(|header| &header.arguments), "git": header.map(|header| &header.git), "why": why, "calls": calls,
    })
}

/// What a command about a run says when it cannot begin.
pub fn complain(printer: &Printer, failure: &Failure) -> Exit {
    complaint::tell_failure(printer, failure);
    Exit::of(Cause::Failure(failure.kind), Remains::Nothing)
}
