//! The operator's machine: the repository, files, the clock.
#![expect(clippy::disallowed_types, reason = "fleet/ starts programs")]

use std::{
    io::{ErrorKind, Read},
    path::Path,
    process::Stdio,
    time::Duration,
};

use sha2::{Digest, Sha256};
use tokio::time::timeout;

use crate::{failure::Failure, op::GitState};

/// The largest file that a script may read, in bytes.
const LARGEST: u64 = 1 << 20;
/// How long one git command may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads the state of the repository that `folder` is in.
pub async fn git(folder: &Path) -> Result<GitState, Failure> {
    let commit = match run(folder, &["rev-parse", "--verify", "HEAD"]).await? {
        Ok(commit) => commit.trim().to_owned(),
        Err(words) if words.contains("not a git repository") => {
            return Err(Failure::failed(format!("{} is in no git repository", folder.display()))
                .hint("run `git init` and commit, or give the version yourself: `build(web, #{ tag: \"v1\" })`"));
        }
        Err(words) if words.contains("Needed a single revision") => {
            return Err(Failure::failed("The git repository has no commit yet").hint("commit first"));
        }
        Err(words) => return Err(refused("rev-parse", &words)),
    };
    let required = |what: &'static str, output: Result<String, String>| output.map_err(|words| refused(what, &words));
    let branch = run(folder, &["symbolic-ref", "--quiet", "--short", "HEAD"]).await?.unwrap_or_default();
    let tag = run(folder, &["describe", "--tags", "--exact-match", "HEAD"]).await?.ok();
    let message = required("log", run(folder, &["log", "-1", "--format=%s"]).await?)?;
    let status = required("status", run(folder, &["status", "--porcelain=v1", "-z", "--untracked-files=all"]).await?)?;
    let dirty = !status.is_empty();
    let difference = if dirty { difference(folder, &status).await? } else { String::new() };
    Ok(GitState {
        short: commit.chars().take(7).collect(),
        commit,
        branch: branch.trim().to_owned(),
        tag: tag.map(|tag| tag.trim().to_owned()),
        dirty,
        difference,
        message: message.trim().to_owned(),
    })
}

/// A hash over what differs from the commit: the changes of tracked files and the untracked files with their contents.
async fn difference(folder: &Path, status: &str) -> Result<String, Failure> {
    let changes =
        run(folder, &["diff", "HEAD", "--binary", "--no-ext-diff", "--no-color"]).await?.map_err(|words| refused("diff", &words))?;
    let root = run(folder, &["rev-parse", "--show-toplevel"]).await?.map_err(|words| refused("rev-parse", &words))?;
    let root = Path::new(root.trim_end_matches('\n'));
    let mut hash = Sha256::new().chain_update(status).chain_update([0]).chain_update(&changes);
    for path in status.split('\0').filter_map(|entry| entry.strip_prefix("?? ")) {
        let Ok(file) = std::fs::File::open(root.join(path)) else { continue };
        let mut content = std::io::BufReader::new(file);
        let mut chunk = vec![0; 64 << 10];
        while let Ok(count @ 1..) = content.read(&mut chunk) {
            hash.update(&chunk[..count]);
        }
    }
    Ok(hash.finalize().iter().take(4).map(|byte| format!("{byte:02x}")).collect())
}

fn refused(what: &str, words: &str) -> Failure {
    Failure::failed(format!("`git {what}` failed")).detail("git", words)
}

/// Runs git; its words where it fails.
async fn run(folder: &Path, arguments: &[&str]) -> Result<Result<String, String>, Failure> {
    let mut git = tokio::process::Command::new("git");
    git.arg("--no-optional-locks").args(arguments).current_dir(folder).env("LC_ALL", "C").env("GIT_TERMINAL_PROMPT", "0");
    let work = git.stdin(Stdio::null()).kill_on_drop(true).output();
    match timeout(PATIENCE, work).await {
        Ok(Ok(output)) if output.status.success() => Ok(Ok(String::from_utf8_lossy(&output.stdout).into_owned())),
        Ok(Ok(output)) => Ok(Err(String::from_utf8_lossy(&output.stderr).into_owned())),
        Ok(Err(error)) if error.kind() == ErrorKind::NotFound && folder.is_dir() => {
            Err(Failure::failed("There is no `git` on this machine").hint("install git, or do without `git()` and give `build` a `tag`"))
        }
        Ok(Err(error)) => Err(Failure::failed(format!("`git` could not be started in {}: {error}", folder.display()))),
        Err(_) => Err(Failure::failed(format!("`git {}` took longer than {} s", arguments.join(" "), PATIENCE.as_secs()))),
    }
}

/// Reads a text file inside `folder`; its links may not lead out.
pub fn read_file(folder: &Path, path: &str) -> Result<String, Failure> {
    let failed = |reason: String| Failure::failed(format!("{path} could not be read: {reason}"));
    let root = folder.canonicalize().map_err(|error| failed(error.to_string()))?;
    let full = root.join(path).canonicalize().map_err(|error| match error.kind() {
        ErrorKind::NotFound => failed("there is no such file".into()).hint(format!("paths are relative to {}", folder.display())),
        _ => failed(error.to_string()),
    })?;
    if !full.starts_with(&root) {
        return Err(Failure::refused(format!("{path} is outside of the script's folder")).hint("copy the file beside the script"));
    }
    let file = std::fs::File::open(&full).map_err(|error| failed(error.to_string()))?;
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Err(failed("it is no file".into()));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| failed(error.to_string()))?;
    if bytes.len() as u64 > LARGEST {
        return Err(failed("it is larger than 1 MB".into()));
    }
    String::from_utf8(bytes).map_err(|_| failed("it is no UTF-8 text".into()))
}

/// The time: RFC 3339, UTC, whole seconds.
pub fn now() -> String {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_text_inside_the_folder_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let inside = folder.path().join("deploy");
        std::fs::create_dir(&inside).expect("a folder");
        std::fs::write(inside.join("a.txt"), "text").expect("written");
        std::fs::write(folder.path().join("secret"), "outside").expect("written");
        std::fs::write(inside.join("binary"), [0xff, 0xfe]).expect("written");
        std::fs::write(inside.join("large"), vec![b'a'; (1 << 20) + 1]).expect("written");
        std::os::unix::fs::symlink("../secret", inside.join("link")).expect("linked");
        assert_eq!(read_file(&inside, "a.txt").expect("read"), "text");
        for path in ["../secret", "link", "/etc/passwd", "binary", "large", "missing", "."] {
            assert!(read_file(&inside, path).is_err(), "{path}");
        }
    }

    #[test]
    fn the_time_has_whole_seconds() {
        let now = now();
        assert!(now.len() == 20 && now.ends_with('Z'), "{now}");
    }

    #[tokio::test]
    async fn a_repository_tells_what_differs() {
        let folder = tempfile::tempdir().expect("a folder");
        let git_does = |arguments: &'static [&'static str]| run(folder.path(), arguments);
        assert!(git(folder.path()).await.expect_err("none").message.contains("in no git repository"));
        git_does(&["init", "-q", "-b", "main"]).await.expect("git").expect("made");
        assert_eq!(git(folder.path()).await.expect_err("empty").message, "The git repository has no commit yet");
        std::fs::write(folder.path().join("a"), "1").expect("written");
        git_does(&["add", "a"]).await.expect("git").expect("added");
        git_does(&["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "one\n\nmore"]).await.expect("git").expect("made");
        let clean = git(folder.path()).await.expect("read");
        assert_eq!((clean.dirty, clean.branch.as_str(), clean.message.as_str()), (false, "main", "one"));
        assert_eq!((clean.commit.len(), clean.short.len(), clean.tag, clean.difference.len()), (40, 7, None, 0));
        std::fs::write(folder.path().join("b"), "new").expect("written");
        let one = git(folder.path()).await.expect("read");
        std::fs::write(folder.path().join("b"), "newer").expect("written");
        let other = git(folder.path()).await.expect("read");
        assert!(one.dirty && one.difference.len() == 8 && one.difference != other.difference);
    }
}
