//! What is read of the operator's machine: its git repository, variables, files and clock.

use std::{io::ErrorKind, path::Path, time::Duration};

use sha2::{Digest, Sha256};

use super::Fleet;
use crate::{
    failure::Failure,
    model::{Period, Text},
    op::{CommandLine, CommandOutput, GitState, Invocation, Place},
};

/// The largest file that `read_file` reads.
const FILE_LIMIT: u64 = 1 << 20;

/// How long git may take.
const GIT: Duration = Duration::from_secs(30);

/// Reads the state of the repository that the script's folder is in.
pub async fn git(fleet: &Fleet) -> Result<GitState, Failure> {
    let commit = asked(fleet, &["rev-parse", "HEAD"]).await?;
    let branch = git_output(fleet, &["symbolic-ref", "--quiet", "--short", "HEAD"]).await?.stdout.trim().to_owned();
    let tag = git_output(fleet, &["describe", "--tags", "--exact-match", "HEAD"]).await?;
    let message = asked(fleet, &["log", "-1", "--format=%s"]).await?;
    let changed = asked(fleet, &["status", "--porcelain", "--untracked-files=normal"]).await?;
    let dirty = !changed.is_empty();
    let difference = if dirty { difference(fleet, &changed).await? } else { String::new() };
    Ok(GitState {
        short: commit.chars().take(7).collect(),
        commit,
        branch,
        tag: (tag.code == 0).then(|| tag.stdout.trim().to_owned()),
        dirty,
        difference,
        message,
    })
}

/// A hash over what differs from the commit: tracked files by their difference, new ones by their content's hash.
async fn difference(fleet: &Fleet, changed: &str) -> Result<String, Failure> {
    let tracked = asked(fleet, &["diff", "HEAD", "--binary"]).await?;
    let new = asked(fleet, &["ls-files", "--others", "--exclude-standard", "-z", "--full-name"]).await?;
    let mut hash = Sha256::new().chain_update(changed).chain_update(&tracked);
    for file in new.split('\0').filter(|file| !file.is_empty()) {
        let path = asked(fleet, &["rev-parse", "--show-toplevel"]).await.map(|top| Path::new(&top).join(file))?;
        hash.update(tokio::fs::read(path).await.unwrap_or_default());
    }
    let digest = hash.finalize();
    Ok(digest.iter().take(4).fold(String::new(), |text, byte| format!("{text}{byte:02x}")))
}

async fn asked(fleet: &Fleet, arguments: &[&str]) -> Result<String, Failure> {
    let output = git_output(fleet, arguments).await?;
    if output.code == 0 {
        return Ok(output.stdout.trim().to_owned());
    }
    let place = fleet.folder().display();
    Err(Failure::failed(format!("git does not know a commit of {place}"))
        .detail("git", output.stderr)
        .hint("commit once, or name the version: build(service, #{ tag: \"v1\" })"))
}

async fn git_output(fleet: &Fleet, arguments: &[&str]) -> Result<CommandOutput, Failure> {
    let words = ["git"].iter().chain(arguments).map(|word| Text::from(*word)).collect();
    let invocation = Invocation {
        place: Place::Local,
        command: CommandLine::Program(words),
        env: [("GIT_OPTIONAL_LOCKS".to_owned(), Text::from("0")), ("LC_ALL".to_owned(), Text::from("C"))].into(),
        stdin: None,
        timeout: Period::milliseconds(u64::try_from(GIT.as_millis()).expect("half a minute")),
        check: false,
        name: Some("git".into()),
        assume: None,
    };
    let token = crate::model::Token::new("0000000000").expect("ten digits");
    Box::pin(super::command::run(fleet, &invocation, &token, &crate::executor::event::Discard)).await
}

/// Reads a text file, its path relative to the script's folder.
pub async fn read_file(fleet: &Fleet, path: &str) -> Result<String, Failure> {
    let unreadable = |why: String| Failure::failed(format!("{path} cannot be read: {why}"));
    let root = tokio::fs::canonicalize(fleet.folder()).await.map_err(|error| unreadable(error.to_string()))?;
    let full = tokio::fs::canonicalize(root.join(path)).await.map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            unreadable("there is no such file".into()).hint(format!("paths are relative to {}", fleet.folder().display()))
        }
        _ => unreadable(error.to_string()),
    })?;
    if !full.starts_with(&root) {
        return Err(Failure::refused(format!("{path} leads out of the script's folder")).hint("copy the file beside the script"));
    }
    let metadata = tokio::fs::metadata(&full).await.map_err(|error| unreadable(error.to_string()))?;
    if !metadata.is_file() {
        return Err(unreadable("it is no file".into()));
    }
    if metadata.len() > FILE_LIMIT {
        return Err(unreadable(format!("it has {} bytes, and 1 MB is the most", metadata.len())));
    }
    tokio::fs::read_to_string(&full).await.map_err(|error| unreadable(error.to_string()))
}

/// The time: RFC 3339, UTC, whole seconds.
pub fn now() -> String {
    jiff::Timestamp::now().round(jiff::Unit::Second).unwrap_or_else(|_| jiff::Timestamp::now()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::{FleetOptions, Secrets};

    #[tokio::test]
    async fn only_text_inside_the_scripts_folder_is_read() {
        let outside = tempfile::tempdir().expect("a folder");
        let folder = outside.path().join("deploy");
        std::fs::create_dir(&folder).expect("a folder");
        std::fs::write(folder.join("a.txt"), "text").expect("written");
        std::fs::write(folder.join("binary"), [0xff, 0xfe]).expect("written");
        std::fs::write(folder.join("large"), vec![b'a'; (1 << 20) + 1]).expect("written");
        std::fs::write(outside.path().join("secret"), "outside").expect("written");
        std::os::unix::fs::symlink("../secret", folder.join("link")).expect("linked");
        let options = FleetOptions { ssh_config: None, state: folder.clone(), folder, secrets: Secrets::new(|_| None) };
        let fleet = Fleet::new(options);
        assert_eq!(read_file(&fleet, "a.txt").await.expect("read"), "text");
        for path in ["../secret", "link", "/etc/passwd", "binary", "large", "missing", "."] {
            assert!(read_file(&fleet, path).await.is_err(), "{path}");
        }
    }
}
