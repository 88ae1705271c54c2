//! The words that the narrators share.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::clean;
use crate::{
    executor::{Call, Outcome},
    failure::Failure,
    journal::timeline::{Fate, Step},
    model::{Bytes, Image},
    op::{BackedUp, Backfilled, Checks, CommandOutput, Drained, Op, Shipped, SqlDone},
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
        let description = clean::line(&op.describe());
        match op.host() {
            Some(host) => Self { host: host.name.to_string(), verb: op.verb(), description },
            None => Self { host: "here".into(), verb: op.verb(), description: description.trim_end_matches(" (here)").into() },
        }
    }
}

/// Whether an op is one that podlift does on the way.
const fn is_aside(op: &Op) -> bool {
    matches!(
        op,
        Op::Survey(_)
            | Op::Find(_)
            | Op::Routes(_)
            | Op::CheckNow(_)
            | Op::HistoryOf(_)
            | Op::TestWeights(_)
            | Op::Reachable(_)
            | Op::Git(_)
            | Op::CompareVersions(_)
            | Op::ReadEnv(_)
            | Op::ReadFile(_)
            | Op::FindContext(_)
            | Op::Now(_)
            | Op::ReadLeases(_)
            | Op::Resolve(_)
            | Op::Lock(_)
            | Op::Unlock(_)
    )
}

/// How much of a run is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// What the script says, and what is in flight while it is: for a dry run, whose plan tells the rest.
    Little,
    /// What the script does, and whatever else takes over a second.
    Usual,
    /// Also what podlift reads on the way, and every API call and command.
    All,
}

impl Detail {
    /// Whether a call is told when it begins.
    pub const fn begin(self, op: &Op) -> bool {
        match self {
            Self::Little => false,
            Self::Usual => !is_aside(op),
            Self::All => true,
        }
    }

    /// Whether a call is told when it has succeeded.
    pub fn end(self, call: &Call, took: Duration) -> bool {
        self.begin(&call.op) || (self == Self::Usual && took > Duration::from_secs(1))
    }

    /// Whether a call is told when it has failed.
    pub fn failure(self) -> bool {
        self != Self::Little
    }

    /// Whether a call is told that an earlier process of the run made.
    pub fn replayed(self) -> bool {
        self == Self::All
    }

    /// Whether API calls and commands are told.
    pub fn sent(self) -> bool {
        self == Self::All
    }
}

/// What became of a call that only a person could answer for, with who did.
pub fn said(step: &Step) -> Option<String> {
    match (step.fate, &step.answered_by) {
        (Fate::Done, Some(who)) => Some(format!("was done, says {who}")),
        (Fate::Skipped, Some(who)) => Some(format!("skipped by {who}: it was not done")),
        (Fate::Skipped, None) => Some("skipped by hand: it was not done".into()),
        _ => None,
    }
}

/// What is worth saying of what came back of a call.
pub fn result(op: &Op, result: &Result<Outcome, Failure>) -> Option<String> {
    match result {
        Ok(outcome) => summary(op, outcome),
        Err(failure) => Some(clean::line(&failure.message)),
    }
}

/// What is worth saying of an outcome, in a few words.
pub fn summary(op: &Op, outcome: &Outcome) -> Option<String> {
    if outcome.is_skipped() {
        return Some("skipped by hand".into());
    }
    let assumed = outcome.assumed.as_ref().map(|what| format!("assumed: {}", clean::line(what)));
    // What a model assumes of these is all that it knows of it.
    let known = if assumed.is_some() && matches!(op, Op::Ship(_) | Op::Backfill(_) | Op::Backup(_)) {
        None
    } else {
        of_value(op, &outcome.value.json())
    };
    let words: Vec<String> = known.into_iter().chain(assumed).chain(gone(outcome)).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

fn gone(outcome: &Outcome) -> Option<String> {
    match &outcome.gone[..] {
        [] => None,
        [one] => Some(format!("{one} was gone already")),
        [first, rest @ ..] => Some(format!("{first} and {} more were gone already", rest.len())),
    }
}

fn of_value(op: &Op, value: &Value) -> Option<String> {
    match op {
        Op::Ship(_) => {
            let shipped = Shipped::deserialize(value).ok()?;
            Some(match (shipped.sent, shipped.reused) {
                (0, _) => "nothing to send".into(),
                (sent, 0) => format!("{} sent", Bytes(sent)),
                (sent, reused) => format!("{} sent, {} were there", Bytes(sent), Bytes(reused)),
            })
        }
        Op::Push(_) => Some(format!("as {}", clean::line(&Image::deserialize(value).ok()?.registry_digest?))),
        Op::Healthcheck(_) => match Checks::deserialize(value).ok()?.checks {
            0 => None,
            1 => Some("healthy at the first check".into()),
            checks => Some(format!("healthy after {checks} checks")),
        },
        Op::Drain(_) => match Drained::deserialize(value).ok()?.cut {
            0 => None,
            cut => Some(format!("{} cut", count_of(cut, "connection"))),
        },
        Op::Hook(_) | Op::Probe(_) => match CommandOutput::deserialize(value).ok()?.code {
            0 => None,
            code => Some(format!("exit code {code}")),
        },
        Op::Sql(_) => {
            let done = SqlDone::deserialize(value).ok()?;
            let told = [
                (done.rows > 0).then(|| format!("{} changed", count_of(done.rows, "row"))),
                (done.settled > 0).then(|| format!("{} done before", count_of(done.settled, "statement"))),
                (done.retries > 0).then(|| format!("tried again {}", count_of(done.retries, "time"))),
                (!done.existed.is_empty()).then(|| format!("was there before: {}", clean::line(&done.existed.join(", ")))),
            ];
            let told: Vec<String> = told.into_iter().flatten().collect();
            (!told.is_empty()).then(|| told.join(", "))
        }
        Op::Backfill(_) => Some(format!("{} changed so far", count_of(Backfilled::deserialize(value).ok()?.rows, "row"))),
        Op::Backup(_) => {
            let done = BackedUp::deserialize(value).ok()?;
            Some(format!("{}, {}", clean::line(&done.path), Bytes(done.bytes)))
        }
        _ => None,
    }
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
    count_of(number as u64, noun)
}

/// The same for a larger number.
pub fn count_of(number: u64, noun: &str) -> String {
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
