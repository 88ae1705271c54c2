//! The words that the narrators share.

use std::time::Duration;

use serde_json::Value;

use super::clean;
use crate::{
    executor::{Call, Outcome},
    model::Bytes,
    op::{Checks, CommandOutput, Drained, Op, Shipped},
};

/// A call in the columns of a line.
pub struct Line {
    /// The host's name, or `here`.
    pub host: String,
    /// The word for the op.
    pub verb: &'static str,
    /// What it does.
    pub description: String,
}

impl Line {
    /// The columns of this op's line.
    pub fn of(op: &Op) -> Self {
        let host = op.host().map_or_else(|| "here".into(), |host| host.name.to_string());
        Self { host, verb: op.verb(), description: clean::line(&op.describe()) }
    }
}

/// Whether an op is one that podlift does on the way, of which only `-v` tells unless it takes long or fails.
pub const fn is_aside(op: &Op) -> bool {
    matches!(
        op,
        Op::Survey(_)
            | Op::Find(_)
            | Op::CheckNow(_)
            | Op::HistoryOf(_)
            | Op::TestWeights(_)
            | Op::Reachable(_)
            | Op::Git(_)
            | Op::ReadEnv(_)
            | Op::ReadFile(_)
            | Op::Now(_)
    )
}

/// Whether a finished call is worth a line: all that the script asked for, and whatever took over a second.
pub fn is_told(call: &Call, took: Duration, verbose: bool) -> bool {
    verbose || !is_aside(&call.op) || took > Duration::from_secs(1)
}

/// What is worth saying of an outcome, in a few words.
pub fn summary(op: &Op, outcome: &Outcome) -> Option<String> {
    fn read<T: serde::de::DeserializeOwned>(value: &Value) -> Option<T> {
        T::deserialize(value).ok()
    }
    let words = match op {
        Op::Ship(_) => {
            let shipped: Shipped = read(&outcome.value)?;
            match (shipped.sent, shipped.reused) {
                (0, _) => "nothing to send".into(),
                (sent, 0) => format!("{} sent", Bytes(sent)),
                (sent, reused) => format!("{} sent, {} were there", Bytes(sent), Bytes(reused)),
            }
        }
        Op::Healthcheck(_) => match read::<Checks>(&outcome.value)?.checks {
            1 => "healthy at the first check".into(),
            checks => format!("healthy after {checks} checks"),
        },
        Op::Drain(_) => match read::<Drained>(&outcome.value)?.cut {
            0 => return assumed(outcome),
            1 => "1 connection was cut".into(),
            cut => format!("{cut} connections were cut"),
        },
        Op::Hook(_) | Op::Probe(_) => match read::<CommandOutput>(&outcome.value)?.code {
            0 => return assumed(outcome),
            code => format!("exit code {code}"),
        },
        _ => return assumed(outcome),
    };
    Some(match assumed(outcome) {
        Some(assumed) => format!("{words}, {assumed}"),
        None => words,
    })
}

fn assumed(outcome: &Outcome) -> Option<String> {
    outcome.assumed.as_ref().map(|what| format!("assumed: {}", clean::line(what)))
}

/// A length of time for people: `340ms`, `12.4s`, `1m05s`.
pub fn time(took: Duration) -> String {
    let milliseconds = took.as_millis();
    if milliseconds < 1000 {
        return format!("{milliseconds}ms");
    }
    if milliseconds < 59_950 {
        return format!("{:.1}s", took.as_secs_f64());
    }
    let seconds = (milliseconds + 500) / 1000;
    if seconds < 3600 {
        return format!("{}m{:02}s", seconds / 60, seconds % 60);
    }
    let minutes = (seconds + 30) / 60;
    format!("{}h{:02}m", minutes / 60, minutes % 60)
}

/// How much of how much: `1.0 MB of 4.0 MB, 25%`.
pub fn amount(done: u64, of: u64) -> String {
    let percent = u128::from(done.min(of)) * 100 / u128::from(of.max(1));
    format!("{} of {}, {percent}%", Bytes(done), Bytes(of))
}

/// A number with its noun: `1 host`, `3 hosts`.
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        for (milliseconds, text) in
            [(0, "0ms"), (999, "999ms"), (1000, "1.0s"), (59_949, "59.9s"), (59_950, "1m00s"), (65_000, "1m05s"), (3_600_000, "1h00m")]
        {
            assert_eq!(time(Duration::from_millis(milliseconds)), text);
        }
    }
}
