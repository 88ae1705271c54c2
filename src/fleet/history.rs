//! What was deployed on a host: a file a project, JSON lines, newest first.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Connection, Request};
use crate::{
    failure::Failure,
    model::{HistoryEntry, ProjectName, RunInfo, ServiceName},
    op::{Forget, Record},
};

/// How many entries of a service are kept.
const KEPT: usize = 100;

const TIMEOUT: Duration = Duration::from_secs(20);

/// Finds the folder: the system's where it can be written, else the user's own. `$1` is the project.
const FOLDER: &str = r#"
d=/var/lib/podlift
if ! { mkdir -p "$d" 2>/dev/null && [ -w "$d" ]; }; then d=${XDG_DATA_HOME:-$HOME/.local/share}/podlift; fi
f=$d/$1.history
"#;

/// One line of the file.
#[derive(Serialize, Deserialize)]
struct Line {
    service: ServiceName,
    #[serde(flatten)]
    entry: HistoryEntry,
}

/// Reads the history of all services of a project on a host, each newest first.
pub async fn read(connection: &Connection, project: &ProjectName) -> Result<BTreeMap<ServiceName, Vec<HistoryEntry>>, Failure> {
    let text = script(connection, r#"[ ! -f "$f" ] || cat "$f""#, project, Vec::new()).await?;
    let mut history: BTreeMap<ServiceName, Vec<HistoryEntry>> = BTreeMap::new();
    // A line that does not fit is left alone: a newer podlift may have written it.
    for line in text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok()) {
        history.entry(line.service).or_default().push(line.entry);
    }
    Ok(history)
}

/// Notes a deploy; noting the same run and version again changes nothing.
pub async fn record(connection: &Connection, op: &Record, run: &RunInfo) -> Result<(), Failure> {
    let entry = HistoryEntry {
        version: op.version.clone(),
        image: op.image.clone(),
        run: run.id.clone(),
        at: run.started.clone(),
        by: run.operator.clone(),
    };
    let mut entries = read(connection, &op.project).await?;
    let of_service = entries.entry(op.service.clone()).or_default();
    of_service.retain(|known| known.run != entry.run || known.version != entry.version);
    of_service.insert(0, entry);
    of_service.truncate(KEPT);
    write(connection, &op.project, entries).await
}

/// Takes a run's entry out again.
pub async fn forget(connection: &Connection, op: &Forget) -> Result<(), Failure> {
    let mut entries = read(connection, &op.project).await?;
    if let Some(of_service) = entries.get_mut(&op.service) {
        of_service.retain(|known| known.run != op.run || known.version != op.version);
    }
    write(connection, &op.project, entries).await
}

async fn write(connection: &Connection, project: &ProjectName, entries: BTreeMap<ServiceName, Vec<HistoryEntry>>) -> Result<(), Failure> {
    let mut text = Vec::new();
    for (service, entries) in entries {
        for entry in entries {
            serde_json::to_writer(&mut text, &Line { service: service.clone(), entry }).expect("plain data");
            text.push(b'\n');
        }
    }
    // Written beside and moved: the file is whole, old or new, at any moment.
    script(connection, r#"mkdir -p "$d" && cat >"$f.new" && mv "$f.new" "$f""#, project, text).await.map(drop)
}

async fn script(connection: &Connection, what: &str, project: &ProjectName, stdin: Vec<u8>) -> Result<String, Failure> {
    let script = format!("{FOLDER}{what}");
    let program = ["sh", "-c", &script, "podlift", project.as_str()];
    let output = connection.run(Request::new(&program).stdin(stdin).timeout(TIMEOUT).called("the script for the history")).await?;
    if output.code == 0 {
        return Ok(output.stdout);
    }
    Err(Failure::failed(format!("the history of {project} on {} could not be kept", connection.host().name))
        .detail("the host said", output.stderr))
}
