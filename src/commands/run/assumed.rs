//! What a dry run that failed may have failed for: an answer that was assumed, where the script could go by it.

use crate::{
    executor::{Outcome, Recorded},
    failure::{Failure, Origin},
    op::{Invocation, Op},
    script::{
        pieces::{Kind, Pieces},
        sources::Sources,
    },
};

/// The last answer of a run that was assumed and that its script could use, in words; `None` where there is none, and where the run failed
/// by a call, as `why` says, whose answer was not assumed.
pub(super) fn told(records: &[Recorded], why: &str, sources: &Sources) -> Option<String> {
    let failed = |record: &&Recorded| record.result.as_ref().is_err_and(|failure| why.contains(&failure.message));
    if records.iter().rev().filter(|record| !record.key.is_undo()).find(failed).is_some_and(|record| !is_assumed(record)) {
        return None;
    }
    let record = records.iter().rev().find(|record| !record.key.is_undo() && is_assumed(record) && is_used(record, sources))?;
    let (function, place) = (record.op.verb(), &record.origin);
    if is_said(&record.op) && place.file.starts_with("std/") {
        // What a strategy says is not the script's to change.
        return None;
    }
    Some(if is_said(&record.op) {
        format!("what `{function}` answered at {place} is what its `assume` says")
    } else {
        format!("what `{function}` answered at {place} was assumed; `assume` says otherwise")
    })
}

/// Whether nobody really answered, or somebody only would have.
fn is_assumed(record: &Recorded) -> bool {
    match &record.result {
        Ok(outcome) => outcome.assumed.is_some() && !Outcome::is_skipped(outcome),
        // One that really failed says something else, most likely.
        Err(failure) => invocation(&record.op)
            .and_then(|known| Failure::of_command(known, known.assume.clone()?).err())
            .is_some_and(|assumed| assumed.message == failure.message),
    }
}

fn invocation(op: &Op) -> Option<&Invocation> {
    match op {
        Op::Hook(op) => Some(&op.invocation),
        Op::Probe(op) => Some(&op.invocation),
        _ => None,
    }
}

/// Whether the script says what is to be assumed.
fn is_said(op: &Op) -> bool {
    match op {
        Op::HttpGet(op) => op.assume.is_some() || op.assume_body.is_some(),
        Op::Traffic(op) => op.assume.is_some(),
        Op::Query(op) => op.assume.is_some(),
        Op::Measure(op) => op.assume.is_some(),
        op => invocation(op).is_some_and(|known| known.assume.is_some()),
    }
}

/// Whether the script can have gone by it: what only reads is asked for that. A command may be run for what it does.
fn is_used(record: &Recorded, sources: &Sources) -> bool {
    match &*record.op {
        Op::Probe(_) | Op::HttpGet(_) | Op::Traffic(_) | Op::Query(_) | Op::Measure(_) => true,
        Op::Hook(_) => record.result.is_err() || !is_dropped(&record.origin, sources),
        _ => false,
    }
}

/// Whether the call at this place is a statement of its own, whose value goes nowhere.
fn is_dropped(origin: &Origin, sources: &Sources) -> bool {
    let Some(text) = sources.text(&origin.file) else { return false };
    let before: usize = text.split_inclusive('\n').take(origin.line.saturating_sub(1)).map(str::len).sum();
    let line = text[before..].lines().next().unwrap_or_default();
    let start = before + line.chars().take(origin.column.saturating_sub(1)).map(char::len_utf8).sum::<usize>();
    let mut pieces = Pieces::of(&text).all;
    pieces.retain(|piece| piece.kind != Kind::Comment);
    let Some(at) = pieces.iter().position(|piece| piece.start == start) else { return false };
    let begins = at.checked_sub(1).is_none_or(|before| [";", "{", "}"].iter().any(|sign| pieces[before].is(sign)));
    let mut depth = 0usize;
    let end = pieces.iter().skip(at + 1).find(|piece| {
        match piece.kind {
            Kind::Open => depth += 1,
            Kind::Close => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && !piece.is(")")
    });
    begins && end.is_none_or(|piece| piece.is(";"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_whose_value_goes_nowhere_is_known() {
        let sources = Sources::default();
        let text = "// first\nhook(\"local\", \"a\"); let é = 1; hook(\"b\", [1, (2)]);\nlet code = hook(\"local\", \"c\").code;\n\
                    if true { hook(\"d\", \"e\"); }\nfn f() {\n    hook(\"g\", \"h\")\n}\n  // x\n  hook(\"last\", `${1}`)\n";
        sources.add("deploy.rhai", text).expect("it is short");
        let dropped = |line, column| is_dropped(&Origin { file: "deploy.rhai".into(), line, column }, &sources);
        assert!(dropped(2, 1) && dropped(2, 32) && dropped(4, 11) && dropped(9, 3));
        assert!(!dropped(3, 12) && !dropped(6, 5) && !dropped(7, 1) && !dropped(99, 1));
    }
}
