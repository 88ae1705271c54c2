//! What became of all requests: in total, by failure, by version, and between the marks that a test set.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// The name of the phase before the first mark.
const FIRST_PHASE: &str = "start";

/// Every way in which a request can fail. *Stale* is on a connection that had answered before, *fresh* on a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The connection was refused.
    Refused,
    /// There was no connection for another reason.
    Connect,
    /// The connection was reset before any of the answer came.
    ResetStale,
    ResetFresh,
    /// The connection was closed before any of the answer came.
    EofStale,
    EofFresh,
    /// The connection ended within the answer.
    Short,
    /// A status from 500 on.
    #[serde(rename = "5xx")]
    ServerError,
    /// Another status than 200, or a body that is not the app's answer to this request.
    Other,
    /// Neither answer nor error came in time.
    Timeout,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    Get,
    Post,
}

/// One request, whatever became of it. Times are in microseconds, the start since the Unix epoch.
pub struct Record {
    pub start: u64,
    pub latency: u64,
    pub failure: Option<FailureKind>,
}

/// A failed request, in full.
#[derive(Serialize)]
pub struct Sample {
    pub at: u64,
    pub target: String,
    pub kind: FailureKind,
    pub method: Method,
    /// Whether the connection was opened for this request.
    pub fresh: bool,
    pub detail: String,
}

/// A moment that a test named, in microseconds since the Unix epoch.
#[derive(Debug, PartialEq, Eq)]
pub struct Mark {
    pub at: u64,
    pub name: String,
}

impl Mark {
    /// Reads marks from lines of the form `MICROSECONDS NAME`, leaving out others, and sorts them.
    pub fn parse_all(text: &str) -> Vec<Self> {
        let mark = |line: &str| {
            let (at, name) = line.trim().split_once(' ')?;
            Some(Self { at: at.parse().ok()?, name: name.to_owned() })
        };
        let mut marks: Vec<_> = text.lines().filter_map(mark).collect();
        marks.sort_by_key(|mark| mark.at);
        marks
    }
}

/// Latencies of the requests that were answered, in milliseconds.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
}

impl Latency {
    fn of(records: &[&Record]) -> Self {
        let mut micros: Vec<u64> = records.iter().filter(|record| record.failure.is_none()).map(|record| record.latency).collect();
        micros.sort_unstable();
        let percentile = |percent: usize| {
            let rank = (micros.len() * percent).div_ceil(100).max(1);
            micros.get(rank - 1).map_or(0.0, |&latency| Self::millis(latency))
        };
        Self { p50: percentile(50), p95: percentile(95), p99: percentile(99), max: percentile(100) }
    }

    #[expect(clippy::cast_precision_loss, reason = "a latency in microseconds has far less than 52 bits")]
    fn millis(micros: u64) -> f64 {
        micros as f64 / 1000.0
    }
}

/// The requests that began after a mark and before the next.
#[derive(Serialize)]
pub struct Phase {
    pub name: String,
    pub requests: usize,
    pub failed: usize,
    pub failures: BTreeMap<FailureKind, usize>,
    pub latency: Latency,
}

impl Phase {
    fn new(name: &str, records: &[&Record]) -> Self {
        let mut failures = BTreeMap::new();
        for kind in records.iter().filter_map(|record| record.failure) {
            *failures.entry(kind).or_default() += 1;
        }
        Self { name: name.to_owned(), requests: records.len(), failed: failures.values().sum(), failures, latency: Latency::of(records) }
    }
}

#[derive(Serialize)]
pub struct Summary {
    pub total: usize,
    pub ok: usize,
    pub failed: usize,
    pub failures: BTreeMap<FailureKind, usize>,
    /// Answers by the version that gave them.
    pub versions: BTreeMap<String, usize>,
    /// Idle connections that were found closed before a request was sent on them. They are not failures.
    pub reconnected: usize,
    pub latency: Latency,
    pub phases: Vec<Phase>,
    /// The first failures.
    pub samples: Vec<Sample>,
}

impl Summary {
    pub fn new(records: &[Record], marks: &[Mark], versions: BTreeMap<String, usize>, reconnected: usize, samples: Vec<Sample>) -> Self {
        let all = Phase::new("all", &records.iter().collect::<Vec<_>>());
        Self {
            total: all.requests,
            ok: all.requests - all.failed,
            failed: all.failed,
            failures: all.failures,
            versions,
            reconnected,
            latency: all.latency,
            phases: phases(records, marks),
            samples,
        }
    }
}

/// A table for people: a line a phase, and what failed.
impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{:<14}{:>10}{:>8}{:>10}{:>10}{:>10}", "", "requests", "failed", "p50 ms", "p99 ms", "max ms")?;
        let mut line = |name: &str, requests: usize, failed: usize, latency: &Latency| {
            let Latency { p50, p99, max, .. } = latency;
            writeln!(formatter, "{name:<14}{requests:>10}{failed:>8}{p50:>10.1}{p99:>10.1}{max:>10.1}")
        };
        for phase in &self.phases {
            line(&phase.name, phase.requests, phase.failed, &phase.latency)?;
        }
        line("all", self.total, self.failed, &self.latency)?;
        for (kind, count) in &self.failures {
            writeln!(formatter, "failed: {count} {kind:?}")?;
        }
        let versions: Vec<String> = self.versions.iter().map(|(version, count)| format!("{version} {count}")).collect();
        writeln!(formatter, "answered by: {}", versions.join(", "))
    }
}

fn phases(records: &[Record], marks: &[Mark]) -> Vec<Phase> {
    let starts = std::iter::once((0, FIRST_PHASE)).chain(marks.iter().map(|mark| (mark.at, mark.name.as_str())));
    let ends = marks.iter().map(|mark| mark.at).chain(std::iter::once(u64::MAX));
    let within = |start, end| records.iter().filter(|record| (start..end).contains(&record.start)).collect::<Vec<_>>();
    starts.zip(ends).map(|((start, name), end)| Phase::new(name, &within(start, end))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(start: u64, millis: u64, failure: Option<FailureKind>) -> Record {
        Record { start, latency: millis * 1000, failure }
    }

    #[test]
    fn a_request_belongs_to_the_phase_in_which_it_began() {
        let records = [record(10, 1, None), record(19, 5, Some(FailureKind::Refused)), record(20, 2, None), record(30, 3, None)];
        let marks = Mark::parse_all("30 after\nnonsense\n20 during the deploy\n");
        let phases = phases(&records, &marks);
        let counts: Vec<_> = phases.iter().map(|phase| (phase.name.as_str(), phase.requests, phase.failed)).collect();
        assert_eq!(counts, [("start", 2, 1), ("during the deploy", 1, 0), ("after", 1, 0)]);
    }

    #[test]
    fn percentiles_are_of_the_answered_requests() {
        let mut records: Vec<_> = (1..=100).map(|millis| record(0, millis, None)).collect();
        records.push(record(0, 5000, Some(FailureKind::Timeout)));
        let latency = Latency::of(&records.iter().collect::<Vec<_>>());
        assert_eq!(latency, Latency { p50: 50.0, p95: 95.0, p99: 99.0, max: 100.0 });
    }
}
