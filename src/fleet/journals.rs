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
/// columns 10 to 73); says `other` if those are not there. Of all runs this one and the newest are kept, `$3` in all.
///
/// What is sent from the beginning takes the place of what is there where it continues that. Where that continues it, it says
/// `ahead`. Where the two have gone apart it says `apart`, unless more processes have begun to work on what is sent: then it took
/// over from what is there; or a person has decided against that, whose last hash is in `$5` then. What is replaced so is kept
/// beside it.
const APPEND: &str = r#"
mkdir -p "$d/$1" || exit
f=$d/$1/journal.jsonl
have=0; [ ! -f "$f" ] || have=$(wc -c <"$f")
last() { if [ -z "$(tail -c 1 "$1")" ]; then tail -n 1 "$1"; else tail -n 2 "$1" | head -n 1; fi | cut -c 10-73; }
has() { grep -q "^{\"hash\":\"$2\"" "$1"; }
began() { grep -c '^.\{73\}","record":{"kind":"began"' "$1"; }
if [ "$2" -eq 0 ]; then
  cat >"$f.new" || exit
  if [ "$have" -gt 0 ]; then
    old=$(last "$f")
    if has "$f.new" "$old"; then :
    elif has "$f" "$(last "$f.new")"; then rm -f "$f.new"; echo ahead; exit 0
    else
      case " $5 " in
        *" $old "*) ;;
        *) [ "$(began "$f.new")" -gt "$(began "$f")" ] || { rm -f "$f.new"; echo apart; exit 0; } ;;
      esac
      a=$d/$1/journal.apart.jsonl n=1
      while [ -e "$a" ]; do n=$((n + 1)); a=$d/$1/journal.apart.$n.jsonl; done
      mv "$f" "$a" || exit
    fi
  fi
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
    /// Its copy continues all that was sent: another machine has gone on with the run.
    Ahead,
    /// Its copy went another way, and nothing tells which one counts.
    Apart,
}

/// Puts lines behind the first `offset` bytes of the host's copy, whose last line has the hash `head`.
/// `instead_of` are the last hashes of copies that a person has decided against.
pub async fn append(
    connection: &Connection,
    run: &RunId,
    offset: usize,
    head: &str,
    instead_of: &[&str],
    lines: &str,
) -> Result<Answer, Failure> {
    let said = script(connection, APPEND, &[run.as_str(), &offset.to_string(), KEPT, head, &instead_of.join(" ")], lines).await?;
    match said.trim() {
        "kept" => Ok(Answer::Kept),
        "other" => Ok(Answer::Other),
        "ahead" => Ok(Answer::Ahead),
        "apart" => Ok(Answer::Apart),
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
            append(run, 0, ' ', &one);
        }
        append("1-a", 0, ' ', &one);
        assert_eq!(sh(home.path(), LIST, &[], ""), "1-a\n3-c\n4-d\n", "the run that goes on is kept, however old");
    }

    #[test]
    fn a_copy_of_another_chain_is_not_continued_and_one_that_goes_on_stays() {
        let home = tempfile::tempdir().expect("a folder");
        let append = |offset: usize, hash: char, text: &str| sh(home.path(), APPEND, &["r1", &offset.to_string(), "3", &head(hash)], text);
        let read = || sh(home.path(), READ, &["r1", "1", "1000"], "");
        let (one, two, other) = (line('a', "1"), line('b', "2"), line('c', "3"));
        append(0, ' ', &format!("{one}{two}"));
        assert_eq!(append(one.len() + two.len(), 'c', &other), "other\n", "as long, and another");
        assert_eq!(append(0, ' ', &one), "ahead\n");
        assert_eq!(read(), format!("{one}{two}"));
        assert_eq!(append(0, ' ', &format!("{one}{two}{other}")), "kept\n");
        assert_eq!(append(one.len(), 'a', "{\"hash\":\"tor"), "kept\n", "an answer that was cut off");
        assert_eq!(append(0, ' ', &format!("{one}{two}{other}")), "kept\n", "the torn line is nobody's");
        assert_eq!(read(), format!("{one}{two}{other}"));
    }

    #[test]
    fn of_copies_that_went_apart_the_one_that_took_over_stays_and_the_other_is_kept_beside_it() {
        let home = tempfile::tempdir().expect("a folder");
        let append = |instead_of: &str, text: &str| sh(home.path(), APPEND, &["r1", "0", "3", " ", instead_of], text);
        let kept = |name: &str| std::fs::read_to_string(home.path().join(".local/share/podlift/runs/r1").join(name)).unwrap_or_default();
        let began = |hash| line(hash, r#"{"kind":"began","by":"me"}}"#);
        let base = format!("{}{}", line('a', "1"), began('b'));
        let cut_off = format!("{base}{}{}{}", line('c', "3"), line('d', "4"), line('e', "5"));
        let resumed = format!("{base}{}", began('f'));
        let undone = format!("{base}{}", began('9'));
        append("", &cut_off);
        assert_eq!(append("", &resumed), "kept\n", "shorter, and it took over");
        assert_eq!((kept("journal.jsonl"), kept("journal.apart.jsonl")), (resumed.clone(), cut_off.clone()));
        assert_eq!(append("", &cut_off), "apart\n", "longer, and it was cut off");
        assert_eq!(append("", &undone), "apart\n", "nobody knows which one counts");
        assert_eq!(kept("journal.jsonl"), resumed);
        assert_eq!(append(&format!("{} {}", head('1'), head('f')), &undone), "kept\n", "a person has decided");
        assert_eq!((kept("journal.jsonl"), kept("journal.apart.2.jsonl")), (undone, resumed));
        assert_eq!(kept("journal.apart.jsonl"), cut_off, "what was replaced first is kept too");
    }
}
