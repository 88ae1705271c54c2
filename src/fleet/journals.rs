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

/// Puts what it reads behind the first `$2` bytes of the run `$1`, whose last line has the hash `$4` (behind `{"hash":"`, so in the
/// columns 10 to 73); says `other` if those are not there. What is sent from the beginning takes the place of what is there, unless
/// that is longer: then it says `ahead`. Of all runs this one and the newest are kept, `$3` in all.
const APPEND: &str = r#"
mkdir -p "$d/$1" || exit
f=$d/$1/journal.jsonl
have=0; [ ! -f "$f" ] || have=$(wc -c <"$f")
if [ "$2" -eq 0 ]; then
  cat >"$f.new" || exit
  [ "$have" -le "$(wc -c <"$f.new")" ] || { rm -f "$f.new"; echo ahead; exit 0; }
  mv "$f.new" "$f" || exit
  n=$(ls -1 "$d" | wc -l)
  [ "$n" -le "$3" ] || ls -1 "$d" | grep -vxF -e "$1" | sort | head -n "$((n - $3))" | while read -r old; do
    case $old in *[!0-9a-zA-Z-]*|-*|'') ;; *) rm -rf "$d/$old" ;; esac
  done
elif [ "$have" -lt "$2" ] || [ "$(head -c "$2" "$f" | tail -n 1 | cut -c 10-73)" != "$4" ]; then
  echo other; exit 0
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

/// What a host says to lines for its copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has them.
    Kept,
    /// Its copy does not begin with what comes before them: all is to be sent.
    Other,
    /// Its copy is longer than all that was sent: another machine has gone on with the run.
    Ahead,
}

/// Puts lines behind the first `offset` bytes of the host's copy, whose last line has the hash `head`.
pub async fn append(connection: &Connection, run: &RunId, offset: usize, head: &str, lines: &str) -> Result<Answer, Failure> {
    let said = script(connection, APPEND, &[run.as_str(), &offset.to_string(), KEPT, head], lines).await?;
    match said.trim() {
        "kept" => Ok(Answer::Kept),
        "other" => Ok(Answer::Other),
        "ahead" => Ok(Answer::Ahead),
        _ => Err(Failure::failed(format!("the copy of the journal on {} was answered with something else", connection.host().name))),
    }
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

    /// A line of a journal, as far as the script looks.
    fn line(hash: char, text: &str) -> String {
        format!("{{\"hash\":\"{}\",\"record\":{text}}}\n", head(hash))
    }

    fn head(hash: char) -> String {
        hash.to_string().repeat(64)
    }

    #[test]
    fn a_copy_grows_from_where_it_is_and_only_the_newest_are_kept() {
        let home = tempfile::tempdir().expect("a folder");
        let append =
            |run: &str, offset: usize, hash: char, text: &str| sh(home.path(), APPEND, &[run, &offset.to_string(), "3", &head(hash)], text);
        let read = |run: &str| sh(home.path(), READ, &[run, "1", "1000"], "");
        let (one, two, three) = (line('a', "1"), line('b', "2"), line('c', "3"));
        assert_eq!(append("2-b", 4, 'a', &two), "other\n", "there is none");
        assert_eq!(append("2-b", 0, ' ', &one), "kept\n");
        assert_eq!(append("2-b", one.len(), 'a', &two), "kept\n");
        assert_eq!(append("2-b", one.len(), 'a', &three), "kept\n", "sent again after an answer that was lost");
        assert_eq!(read("2-b"), format!("{one}{three}"));
        assert_eq!(sh(home.path(), READ, &["2-b", "2", "4"], ""), "\"has");
        for run in ["3-c", "4-d"] {
            append(run, 0, ' ', "x\n");
        }
        append("1-a", 0, ' ', "x\n");
        assert_eq!(sh(home.path(), LIST, &[], ""), "1-a\n3-c\n4-d\n", "the run that goes on is kept, however old");
    }

    #[test]
    fn a_copy_of_another_chain_is_not_continued_and_a_longer_one_stays() {
        let home = tempfile::tempdir().expect("a folder");
        let append = |offset: usize, hash: char, text: &str| sh(home.path(), APPEND, &["r1", &offset.to_string(), "3", &head(hash)], text);
        let read = || sh(home.path(), READ, &["r1", "1", "1000"], "");
        let (one, two, other) = (line('a', "1"), line('b', "2"), line('c', "3"));
        append(0, ' ', &format!("{one}{two}"));
        assert_eq!(append(one.len() + two.len(), 'c', &other), "other\n", "as long, and another");
        assert_eq!(append(0, ' ', &one), "ahead\n");
        assert_eq!(read(), format!("{one}{two}"));
        assert_eq!(append(0, ' ', &format!("{one}{other}")), "kept\n");
        assert_eq!(read(), format!("{one}{other}"));
    }
}
