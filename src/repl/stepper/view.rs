//! What is shown where a stepped run stops.

use super::{AROUND, At, SHORT, Stepper};
use crate::{
    executor::Call,
    failure::{Failure, Origin},
    script::diagnostics::{Diagnostic, render},
    terminal::{forecast, words::Line},
};

impl Stepper {
    pub(super) fn show(&self, at: At<'_>) {
        let call = match at {
            At::Line => None,
            At::Op(call) | At::Failure(call, _) => Some(call),
        };
        let here = self.state().here.as_ref().map(|here| here.origin.clone());
        let mut lines = Vec::new();
        if let Some(origin) = call.map(|call| call.origin.clone()).or(here) {
            lines.extend(self.source(&origin));
        }
        if let Some(call) = call {
            let Line { host, verb, description } = Line::of(&call.op);
            lines.push(format!("{} {verb} {description} on {host} (call {})", self.style.strong("op:"), call.key));
        }
        match at {
            At::Failure(_, failure) => {
                let diagnostic = Diagnostic::of_failure(&Failure { origin: None, ..failure.clone() }, &self.sources);
                lines.push(render(&[diagnostic], &self.sources, self.style.colour).trim_end().to_owned());
                lines.push("redo [CALL], skip [VALUE], fail, undo, print EXPR or quit".into());
            }
            At::Op(call) if call.op.class().changes() => lines.extend(self.changes(call)),
            At::Op(_) | At::Line => {}
        }
        lines.extend(self.variables(SHORT).into_iter().map(|line| self.style.faint(line)));
        self.console.tell(&lines.join("\n"));
    }

    pub(super) fn changes(&self, call: &Call) -> Vec<String> {
        let lines = match (self.forecast)(call) {
            Ok((before, after, _)) => forecast::lines(&before, &after, self.style),
            Err(failure) => vec![self.style.bad(format!("would fail: {}", failure.message))],
        };
        if lines.is_empty() {
            return vec!["  would change nothing that is seen on hosts".into()];
        }
        lines.into_iter().map(|line| format!("  {line}")).collect()
    }

    /// The lines of a source around a place.
    pub(super) fn source(&self, origin: &Origin) -> Vec<String> {
        let mut lines = vec![String::new(), self.style.strong(origin)];
        let Some(source) = self.sources.text(&origin.file) else { return lines };
        let first = origin.line.saturating_sub(AROUND).max(1);
        for (number, line) in (1..).zip(source.lines()).skip(first - 1).take(2 * AROUND + 1) {
            let line = format!("{number:>5} {line}");
            let (mark, line) = if number == origin.line { (self.style.good(">"), line) } else { (" ".to_owned(), self.style.faint(line)) };
            lines.push(format!("{mark}{line}"));
        }
        lines
    }

    pub(super) fn variables(&self, most: usize) -> Vec<String> {
        let variables = self.frame().variables();
        let line = |(name, value): &(String, rhai::Dynamic)| {
            let words = self.evaluator().words(value).replace('\n', " ");
            let short: String = words.chars().take(most).collect();
            let dots = if short.len() < words.len() { "…" } else { "" };
            format!("  {name} = {short}{dots}")
        };
        variables.iter().rev().map(line).collect()
    }

    pub(super) fn calls(&self) -> Vec<String> {
        let state = self.state();
        let calls = state.here.iter().flat_map(|here| here.calls.iter().rev());
        let line = |(name, origin): &(String, Option<Origin>)| {
            let name = if name.starts_with("anon$") { "a closure" } else { name };
            let place = origin.as_ref().map_or_else(String::new, |origin| format!(", called at {origin}"));
            format!("  in {name}{place}")
        };
        calls.map(line).collect()
    }
}
