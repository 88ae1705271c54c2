//! Copies of journals on a host: so that a run can be resumed or undone from another machine.

use std::time::Duration;

use super::{Connection, Request};
use crate::{
    failure::{Failure, FailureKind},
    model::RunId,
};

const TIMEOUT: Duration = Duration::from_secs(20);

/// How many runs a host keeps.
const KEPT: &str = "20";

/// How much is read at once: less than what a command may say.
const CHUNK: usize = 900_000;

/// Finds the folder of all runs: the system's where that can be written, else the user's own.
const FIND: &str = r#"
d=/var/lib/podlift/runs
if ! { mkdir -p "$d" 2>/dev/null && [ -w "$d" ]; }; then d=${XDG_DATA_HOME:-$HOME/.local/share}/podlift/runs; fi
umask 077
"#;

/// Puts what it reads behind the first `$2` bytes of the run `$1`; says `short` if there are fewer. Of all runs the newest `$3` are
/// kept.
const APPEND: &str = r#"
mkdir -p "$d/$1" || exit
f=$d/$1/journal.jsonl
have=0; [ ! -f "$f" ] || have=$(wc -c <"$f")
[ "$have" -ge "$2" ] || { echo short; exit 0; }
if [ "$2" -eq 0 ]; then
  cat >"$f.new" && mv "$f.new" "$f" || exit
  n=$(ls -1 "$d" | wc -l)
  [ "$n" -le "$3" ] || ls -1 "$d" | sort | head -n "$((n - $3))" | while read -r old; do
    case $old in *[!0-9a-zA-Z-]*|-*|'') ;; *) rm -rf "$d/$old" ;; esac
  done
else
  if [ "$have" -gt "$2" ]; then head -c "$2" "$f" >"$f.new" && mv "$f.new" "$f" || exit; fi
  cat >>"$f" || exit
fi
sync "$f" 2>/dev/null || sync
echo kept"#;

/// Prints the names of the runs.
const LIST: &str = r#"[ ! -d "$d" ] || ls -1 "$d""#;

/// Prints at most `$3` bytes of the run `$1` from the byte `$2` on, counted from 1.
const READ: &str = r#"f=$d/$1/journal.jsonl; [ ! -f "$f" ] || tail -c "+$2" "$f" | head -c "$3""#;

/// Puts lines behind the first `offset` bytes of the host's copy. `false` if the copy is shorter than that: then all is to be sent.
pub async fn append(connection: &Connection, run: &RunId, offset: usize, lines: &str) -> Result<bool, Failure> {
    let said = script(connection, APPEND, &[run.as_str(), &offset.to_string(), KEPT], lines).await?;
    Ok(said.trim() == "kept")
}

/// The runs that a host keeps.
pub async fn list(connection: &Connection) -> Result<Vec<RunId>, Failure> {
    let said = script(connection, LIST, &[], "").await?;
    let mut ids: Vec<RunId> = said.lines().filter_map(|name| RunId::new(name).ok()).collect();
    ids.sort();
    Ok(ids)
}

/// The text of a run's copy; empty if the host has none.
pub async fn read(connection: &Connection, run: &RunId) -> Result<String, Failure> {
    let mut text = String::new();
    loop {
        let (from, most) = ((text.len() + 1).to_string(), CHUNK.to_string());
        let chunk = script(connection, READ, &[run.as_str(), &from, &most], "").await?;
        text.push_str(&chunk);
        if chunk.len() < CHUNK {
            return Ok(text);
        }
    }
}

async fn script(connection: &Connection, script: &str, arguments: &[&str], stdin: &str) -> Result<String, Failure> {
    let script = format!("{FIND}{script}");
    let program: Vec<&str> = ["sh", "-c", &script, "podlift"].iter().chain(arguments).copied().collect();
    let output = connection.run(Request::new(&program).stdin(stdin).timeout(TIMEOUT).called("the script for journals")).await?;
    if output.code == 0 {
        return Ok(output.stdout);
    }
    let host = &connection.host().name;
    Err(Failure::new(FailureKind::Command, format!("the copy of the journal on {host} could not be used"))
        .on(host)
        .detail("what it said", output.stderr))
}

#[cfg(test)]
mod tests {
    use std::{path::Path, process::Stdio};

    use super::*;

    /// Runs a script in a home of its own.
    #[expect(clippy::disallowed_types, reason = "a test of a script runs it")]
    fn sh(home: &Path, script: &str, arguments: &[&str], stdin: &str) -> String {
        use std::io::Write;
        // The system's folder is not the test's to write.
        let script = format!("{FIND}{script}").replace("/var/lib/podlift/runs", "/proc/none");
        let mut child = std::process::Command::new("sh")
            .args(["-c", &script, "podlift"])
            .args(arguments)
            .env("HOME", home)
            .env_remove("XDG_DATA_HOME")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh starts");
        child.stdin.take().expect("piped").write_all(stdin.as_bytes()).expect("it reads");
        String::from_utf8(child.wait_with_output().expect("it ends").stdout).expect("text")
    }

    #[test]
    fn a_copy_grows_from_where_it_is_and_only_the_newest_are_kept() {
        let home = tempfile::tempdir().expect("a folder");
        let append = |run: &str, offset: &str, text: &str| sh(home.path(), APPEND, &[run, offset, "3"], text);
        let read = |run: &str| sh(home.path(), READ, &[run, "1", "1000"], "");
        assert_eq!(append("2-b", "4", "more\n"), "short\n");
        assert_eq!(append("2-b", "0", "one\n"), "kept\n");
        assert_eq!(append("2-b", "4", "two\n"), "kept\n");
        assert_eq!(append("2-b", "4", "three\n"), "kept\n", "sent again after an answer that was lost");
        assert_eq!(read("2-b"), "one\nthree\n");
        assert_eq!(sh(home.path(), READ, &["2-b", "5", "3"], ""), "thr");
        for run in ["1-a", "3-c", "4-d"] {
            append(run, "0", "x\n");
        }
        assert_eq!(sh(home.path(), LIST, &[], ""), "2-b\n3-c\n4-d\n");
    }
}
