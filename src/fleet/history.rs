//! What was deployed on a host: a file for each service, a JSON line for each deploy, newest first.
//!
//! It is in `/var/lib/podlift` where the user is root or may `sudo -n sh`, else in the user's `~/.local/share/podlift`; both
//! are read.

use std::{collections::BTreeMap, time::Duration};

use super::{Connection, Request};
use crate::{
    failure::Failure,
    model::{HistoryEntry, ProjectName, RunId, RunInfo, ServiceName, Version},
    op::{Forget, HistoryOf, Record},
};

/// Prints every line of a project's files behind the place and the service: `s web {…}`.
const READ: &str = r#"for place in s u; do
case $place in s) d=/var/lib/podlift ;; u) d=${HOME:-/nonexistent}/.local/share/podlift ;; esac
for f in "$d/$1"/*.json; do [ -r "$f" ] || continue
n=${f##*/}; while IFS= read -r l || [ -n "$l" ]; do printf '%s %s %s\n' "$place" "${n%.json}" "$l"; done <"$f"
done; done"#;

/// Writes a service's file: beside it first, so that nobody ever reads half of it.
const WRITE: &str = r#"set -e; umask 022
case $1 in s) d=/var/lib/podlift/$2 ;; u) d=$HOME/.local/share/podlift/$2 ;; esac
mkdir -p "$d"; t=$(mktemp "$d/.$3.XXXXXX"); trap 'rm -f "$t"' EXIT
cat >"$t"; chmod 644 "$t"; mv -f "$t" "$d/$3.json""#;

/// How long a file operation may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How many deploys of a service are kept.
const KEPT: usize = 500;

/// Where a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    System,
    User,
}

impl Place {
    const fn word(self) -> &'static str {
        match self {
            Self::System => "s",
            Self::User => "u",
        }
    }
}

type Lines = Vec<(Place, ServiceName, HistoryEntry)>;

/// The whole project's history on a host, newest first.
pub async fn all(connection: &Connection, project: &ProjectName) -> Result<BTreeMap<ServiceName, Vec<HistoryEntry>>, Failure> {
    let mut all: BTreeMap<ServiceName, Vec<HistoryEntry>> = BTreeMap::new();
    for (_, service, entry) in read(connection, project).await? {
        let entries = all.entry(service).or_default();
        if !entries.contains(&entry) {
            entries.push(entry);
        }
    }
    for entries in all.values_mut() {
        // Both places are sorted already; RFC 3339 in UTC sorts as text.
        entries.sort_by(|one, other| other.at.cmp(&one.at));
    }
    Ok(all)
}

/// A service's history on a host, newest first.
pub async fn of(connection: &Connection, op: &HistoryOf) -> Result<Vec<HistoryEntry>, Failure> {
    Ok(all(connection, &op.project).await?.remove(&op.service).unwrap_or_default())
}

/// Notes a deploy; a second time for the same run and version it changes nothing.
pub async fn record(connection: &Connection, op: &Record, run: &RunInfo, now: String) -> Result<(), Failure> {
    let lines = read(connection, &op.project).await?;
    let lines: Vec<_> = lines.into_iter().filter(|(_, service, _)| *service == op.service).collect();
    if lines.iter().any(|(_, _, entry)| entry.run == run.id && entry.version == op.version) {
        return Ok(());
    }
    let new = HistoryEntry { version: op.version.clone(), image: op.image.clone(), run: run.id.clone(), at: now, by: run.operator.clone() };
    let with_new = |place| print(std::iter::once(&new).chain(of_place(&lines, place)));
    if write(connection, Place::System, &op.project, &op.service, with_new(Place::System)).await.is_ok() {
        return Ok(());
    }
    write(connection, Place::User, &op.project, &op.service, with_new(Place::User)).await
}

/// Takes a run's entry out.
pub async fn forget(connection: &Connection, op: &Forget) -> Result<(), Failure> {
    let lines = read(connection, &op.project).await?;
    let lines: Vec<_> = lines.into_iter().filter(|(_, service, _)| *service == op.service).collect();
    for place in [Place::System, Place::User] {
        if of_place(&lines, place).any(|entry| is(entry, &op.run, &op.version)) {
            let rest = print(of_place(&lines, place).filter(|entry| !is(entry, &op.run, &op.version)));
            write(connection, place, &op.project, &op.service, rest).await?;
        }
    }
    Ok(())
}

fn is(entry: &HistoryEntry, run: &RunId, version: &Version) -> bool {
    entry.run == *run && entry.version == *version
}

fn of_place(lines: &Lines, place: Place) -> impl Iterator<Item = &HistoryEntry> {
    lines.iter().filter(move |(at, _, _)| *at == place).map(|(_, _, entry)| entry)
}

fn print<'a>(entries: impl Iterator<Item = &'a HistoryEntry>) -> String {
    let line = |entry: &HistoryEntry| serde_json::to_string(entry).expect("an entry is plain data") + "\n";
    entries.take(KEPT).map(line).collect()
}

async fn read(connection: &Connection, project: &ProjectName) -> Result<Lines, Failure> {
    let program = ["sh", "-c", READ, "sh", project.as_str()];
    let output = connection.run(Request::new(&program).timeout(PATIENCE)).await?;
    Ok(output.stdout.lines().filter_map(parse).collect())
}

/// Reads what [`READ`] prints; lines that are no entries are passed over.
fn parse(line: &str) -> Option<(Place, ServiceName, HistoryEntry)> {
    let mut words = line.splitn(3, ' ');
    let place = if words.next()? == Place::System.word() { Place::System } else { Place::User };
    let service = ServiceName::new(words.next()?).ok()?;
    Some((place, service, serde_json::from_str(words.next()?).ok()?))
}

async fn write(connection: &Connection, place: Place, project: &ProjectName, service: &ServiceName, text: String) -> Result<(), Failure> {
    let program = ["sh", "-c", WRITE, "sh", place.word(), project.as_str(), service.as_str()];
    let request = Request::new(&program).sudo(place == Place::System).stdin(text).timeout(PATIENCE);
    let output = connection.run(request).await?;
    if output.code == 0 {
        return Ok(());
    }
    let host = &connection.host().name;
    Err(Failure::failed(format!("The history of {service} was not written on {host}")).on(host).detail("standard error", output.stderr))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_were_written() {
        let entry = HistoryEntry {
            version: Version::new("v2").expect("valid"),
            image: "shop-web:v2".into(),
            run: RunId::new("r1").expect("valid"),
            at: "2026-01-02T03:04:05Z".into(),
            by: "me@here".into(),
        };
        let line = print(std::iter::once(&entry));
        assert_eq!(
            line,
            "{\"version\":\"v2\",\"image\":\"shop-web:v2\",\"run\":\"r1\",\"at\":\"2026-01-02T03:04:05Z\",\"by\":\"me@here\"}\n"
        );
        let web = ServiceName::new("web").expect("valid");
        assert_eq!(parse(&format!("s web {}", line.trim())), Some((Place::System, web, entry)));
        assert_eq!(parse("s web {broken"), None);
    }
}
