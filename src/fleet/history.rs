//! What was deployed on a host: a file a project, JSON lines, newest first.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Connection, Request};
use crate::{
    failure::Failure,
    model::{HistoryEntry, ProjectName, RunId, RunInfo, ServiceName, Version, moment::moment},
    op::{Forget, Record},
};

/// How many entries of a service are kept.
const KEPT: usize = 100;

const TIMEOUT: Duration = Duration::from_secs(20);

/// The system's folder for it.
const FOLDER: &str = "/var/lib/podlift";

/// How often a change is made anew because another one came between.
const TRIES: u32 = 20;

/// Finds the file: in the system's folder where that can be written, else in the user's own. `$1` is the project, `$2` the folder.
const FIND: &str = r#"
d=$2
if ! { mkdir -p "$d" 2>/dev/null && [ -w "$d" ]; }; then d=${XDG_DATA_HOME:-$HOME/.local/share}/podlift; fi
f=$d/$1.history
sum() { [ ! -f "$f" ] || cat "$f" | cksum; }
"#;

/// Prints the file behind its checksum.
const READ: &str = r#"sum | tr '\n' ' '; echo; [ ! -f "$f" ] || cat "$f""#;

/// Replaces the file, if its checksum is still `$3`. It is written beside and moved: whole, old or new, at any moment.
const WRITE: &str = r#"
mkdir -p "$d" || exit
if command -v flock >/dev/null; then
  exec 9>>"$f.lock" || exit
  n=0; until flock -n 9; do n=$((n + 1)); [ "$n" -lt 50 ] || exit; sleep 0.1 2>/dev/null || sleep 1; done
fi
[ "$(sum | tr '\n' ' ')" = "$3" ] || { echo conflict; exit 0; }
cat >"$f.new" && mv "$f.new" "$f""#;

/// One line of the file.
#[derive(Serialize, Deserialize)]
struct Line {
    service: ServiceName,
    #[serde(flatten)]
    entry: HistoryEntry,
}

/// Reads the history of all services of a project on a host, each newest first.
pub async fn read(connection: &Connection, project: &ProjectName) -> Result<BTreeMap<ServiceName, Vec<HistoryEntry>>, Failure> {
    let mut history: BTreeMap<ServiceName, Vec<HistoryEntry>> = BTreeMap::new();
    let file = File { connection, project, folder: FOLDER };
    // A line that does not fit is left alone: a newer podlift may have written it.
    for line in file.read().await?.1.iter().filter_map(|line| parse(line)) {
        history.entry(line.service).or_default().push(line.entry);
    }
    Ok(history)
}

/// Notes a deploy; noting the same run and version again changes nothing.
pub async fn record(connection: &Connection, op: &Record, run: &RunInfo) -> Result<(), Failure> {
    File { connection, project: &op.project, folder: FOLDER }.record(op, run).await
}

/// Takes a run's entry out again.
pub async fn forget(connection: &Connection, op: &Forget) -> Result<(), Failure> {
    let file = File { connection, project: &op.project, folder: FOLDER };
    file.change(|lines| lines.retain(|line| !is_entry(line, &op.service, &op.run, &op.version))).await
}

fn parse(line: &str) -> Option<Line> {
    serde_json::from_str(line).ok()
}

fn is_entry(line: &str, service: &ServiceName, run: &RunId, version: &Version) -> bool {
    parse(line).is_some_and(|line| line.service == *service && line.entry.run == *run && line.entry.version == *version)
}

/// A project's file on a host. Services are recorded side by side, and other runs record theirs: a change is made to what was
/// read only if that is still what is there.
struct File<'a> {
    connection: &'a Connection,
    project: &'a ProjectName,
    folder: &'a str,
}

impl File<'_> {
    async fn record(&self, op: &Record, run: &RunInfo) -> Result<(), Failure> {
        let entry = HistoryEntry {
            version: op.version.clone(),
            image: op.image.clone(),
            run: run.id.clone(),
            at: moment(jiff::Timestamp::now()),
            by: run.operator.clone(),
        };
        self.change(|lines| {
            // Noted once more it is the same deploy.
            let newest = lines.iter().find(|line| parse(line).is_some_and(|line| line.service == op.service));
            let known = newest.filter(|line| is_entry(line, &op.service, &run.id, &op.version)).and_then(|line| parse(line));
            let at = known.map_or_else(|| entry.at.clone(), |known| known.entry.at);
            let entry = HistoryEntry { at, ..entry.clone() };
            let new = serde_json::to_string(&Line { service: op.service.clone(), entry }).expect("plain data");
            lines.retain(|line| !is_entry(line, &op.service, &run.id, &op.version));
            lines.insert(0, new);
            let mut of_service = 0;
            lines.retain(|line| {
                of_service += usize::from(parse(line).is_some_and(|line| line.service == op.service));
                of_service <= KEPT || parse(line).is_none_or(|line| line.service != op.service)
            });
        })
        .await
    }

    async fn change(&self, change: impl Fn(&mut Vec<String>)) -> Result<(), Failure> {
        for tried in 0..TRIES {
            let (sum, mut lines) = self.read().await?;
            change(&mut lines);
            let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
            if self.script(WRITE, Some(&sum), text.into_bytes()).await?.trim() != "conflict" {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(u64::from(20 * tried))).await;
        }
        Err(self.unkept().hint("look who else writes it again and again"))
    }

    /// The file's checksum and its lines.
    async fn read(&self) -> Result<(String, Vec<String>), Failure> {
        let text = self.script(READ, None, Vec::new()).await?;
        let (sum, text) = text.split_once('\n').unwrap_or_default();
        Ok((sum.to_owned(), text.lines().map(Into::into).collect()))
    }

    async fn script(&self, what: &str, sum: Option<&str>, stdin: Vec<u8>) -> Result<String, Failure> {
        let script = format!("{FIND}{what}");
        let program: Vec<&str> = ["sh", "-c", &script, "podlift", self.project.as_str(), self.folder].into_iter().chain(sum).collect();
        let output = self.connection.run(Request::new(&program).stdin(stdin).timeout(TIMEOUT).called("the script for the history")).await?;
        if output.code == 0 { Ok(output.stdout) } else { Err(self.unkept().detail("the host said", output.stderr)) }
    }

    fn unkept(&self) -> Failure {
        Failure::failed(format!("the history of {} on {} could not be kept", self.project, self.connection.host().name))
    }
}

#[cfg(test)]
mod tests {
    use std::{path::PathBuf, sync::Arc};

    use futures_util::future::try_join_all;

    use super::*;
    use crate::model::Host;

    #[tokio::test]
    async fn services_that_are_recorded_side_by_side_all_stay() {
        let folder = tempfile::tempdir().expect("a folder");
        let host = Host::parse("local").expect("valid");
        let connection = Connection::new(host.clone(), None, PathBuf::from("/tmp"), Arc::default());
        let (project, version) = (ProjectName::default(), Version::new("v1").expect("valid"));
        let file = File { connection: &connection, project: &project, folder: folder.path().to_str().expect("text") };
        let foreign = "{\"of\":\"a newer podlift\"}";
        file.change(|lines| lines.push(foreign.into())).await.expect("written");
        let run = RunInfo { id: RunId::new("r1").expect("valid"), operator: "me".into(), started: "2026-01-01T00:00:00Z".into() };
        let records: Vec<Record> = ["api", "web", "worker", "mail"]
            .map(|service| Record {
                host: host.clone(),
                project: project.clone(),
                service: ServiceName::new(service).expect("valid"),
                version: version.clone(),
                image: "i:v1".into(),
            })
            .to_vec();
        try_join_all(records.iter().map(|record| file.record(record, &run))).await.expect("recorded");
        let (_, lines) = file.read().await.expect("read");
        assert_eq!(lines.len(), 5, "{lines:?}");
        assert!(lines.contains(&foreign.to_owned()));
        file.record(&records[0], &run).await.expect("recorded again");
        assert_eq!(file.read().await.expect("read").1.len(), 5);
    }
}
