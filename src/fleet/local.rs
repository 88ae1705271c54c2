//! What is read of the operator's machine: its git repository, variables, files and clock.

use std::{io::ErrorKind, path::Path, time::Duration};

use sha2::{Digest, Sha256};

use super::Fleet;
use crate::{
    failure::Failure,
    model::{Period, Text, Version},
    op::{Age, CommandLine, CommandOutput, CompareVersions, Compared, GitState, Invocation, Place},
};

/// The largest file that `read_file` reads.
const FILE_LIMIT: u64 = 1 << 20;

/// How long git may take.
const GIT: Duration = Duration::from_secs(30);

/// git only reads what is there: it takes no lock, and fetches nothing and asks nobody where a clone is partial.
const ENVIRONMENT: [(&str, &str); 4] =
    [("GIT_OPTIONAL_LOCKS", "0"), ("GIT_NO_LAZY_FETCH", "1"), ("GIT_TERMINAL_PROMPT", "0"), ("LC_ALL", "C")];

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

/// Compares a version with others, as far as git knows their commits.
pub async fn compare(fleet: &Fleet, op: &CompareVersions) -> Compared {
    let Some(commit) = commit_of(fleet, &op.version).await else { return Compared::unknown(op.others.len()) };
    let mut others = Vec::new();
    for other in &op.others {
        others.push(match commit_of(fleet, other).await {
            Some(other) => age(fleet, &commit, &other).await.unwrap_or(Age::Unknown),
            None => Age::Unknown,
        });
    }
    Compared { known: true, others }
}

/// The commit that a version stands for: of the tag of its name, or the commit that begins with it. A branch of its name says
/// nothing: it goes on.
async fn commit_of(fleet: &Fleet, version: &Version) -> Option<String> {
    let name = version.as_str().split_once("-dirty-").map_or(version.as_str(), |(commit, _)| commit);
    let is_commit = (7..=40).contains(&name.len()) && name.chars().all(|digit| digit.is_ascii_hexdigit());
    for name in [Some(format!("refs/tags/{name}")), is_commit.then(|| name.to_owned())].into_iter().flatten() {
        let asked = ["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{name}^{{commit}}")];
        let answer = git_output(fleet, &asked).await.ok()?;
        let commit = answer.stdout.trim();
        // git takes a branch of that name before the commit that begins with it.
        if answer.code == 0 && (name.starts_with("refs/") || commit.starts_with(&name.to_ascii_lowercase())) {
            return Some(commit.to_owned());
        }
    }
    None
}

async fn age(fleet: &Fleet, commit: &str, other: &str) -> Option<Age> {
    if commit == other {
        return Some(Age::NotOlder);
    }
    match git_output(fleet, &["merge-base", "--is-ancestor", commit, other]).await.ok()?.code {
        0 => {
            let more = git_output(fleet, &["rev-list", "--count", &format!("{commit}..{other}")]).await.ok()?;
            more.stdout.trim().parse().ok().map(Age::Older)
        }
        1 => Some(Age::NotOlder),
        _ => None,
    }
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
    let place = match fleet.folder() {
        here if here == Path::new(".") => "here".to_owned(),
        folder => format!("in {}", folder.display()),
    };
    Err(Failure::failed(format!("there is no commit of git {place}"))
        .detail("git", output.stderr)
        .hint("commit once, or name the version: build(service, #{ tag: \"v1\" })"))
}

async fn git_output(fleet: &Fleet, arguments: &[&str]) -> Result<CommandOutput, Failure> {
    let words = ["git"].iter().chain(arguments).map(|word| Text::from(*word)).collect();
    let invocation = Invocation {
        place: Place::Local,
        command: CommandLine::Program(words),
        env: ENVIRONMENT.map(|(name, value)| (name.to_owned(), Text::from(value))).into(),
        stdin: None,
        timeout: Period::milliseconds(u64::try_from(GIT.as_millis()).expect("half a minute")),
        check: false,
        name: Some("git".into()),
        assume: None,
    };
    let token = crate::model::Token::new("0000000000").expect("ten digits");
    Box::pin(super::command::run(fleet, &invocation, super::command::Attempt::Read, &token, &crate::executor::event::Discard)).await
}

/// Reads a text file, its path relative to the script's folder.
pub async fn read_file(fleet: &Fleet, path: &str) -> Result<String, Failure> {
    let unreadable = |why: String| Failure::failed(format!("{path} cannot be read: {why}"));
    let root = tokio::fs::canonicalize(fleet.folder()).await.map_err(|error| unreadable(error.to_string()))?;
    let full = tokio::fs::canonicalize(root.join(path)).await.map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            unreadable("there is no such file".into()).hint(format!("it is looked for beside the script: {}", root.join(path).display()))
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

    fn fleet(folder: &Path) -> Fleet {
        Fleet::new(FleetOptions { ssh_config: None, state: folder.into(), folder: folder.into(), secrets: Secrets::new(|_| None) })
    }

    /// Runs git in a folder, as somebody.
    #[expect(clippy::disallowed_types, reason = "a test makes a repository")]
    fn run_git(folder: &Path, arguments: &[&str]) -> String {
        let who = ["-c", "user.name=me", "-c", "user.email=me@here", "-c", "init.defaultBranch=main", "-c", "commit.gpgsign=false"];
        let output = std::process::Command::new("git").current_dir(folder).args(who).args(arguments).output().expect("git is there");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    #[tokio::test]
    async fn versions_are_as_old_as_their_commits() {
        let folder = tempfile::tempdir().expect("a folder");
        let git = |arguments: &[&str]| run_git(folder.path(), arguments);
        let commit = |message: &str| {
            git(&["commit", "-q", "--allow-empty", "-m", message]);
            git(&["rev-parse", "--short=7", "HEAD"])
        };
        git(&["init", "-q"]);
        let first = commit("first");
        git(&["tag", "-a", "v1.0", "-m", "the first"]);
        git(&["branch", "v2.0"]);
        commit("second");
        let third = commit("third");
        git(&["checkout", "-q", "-b", "aside", "v1.0"]);
        let aside = commit("aside");

        let fleet = fleet(folder.path());
        let version = |text: &str| Version::new(text).expect("valid");
        let compare = async |one: &str, others: &[&str]| {
            compare(&fleet, &CompareVersions { version: version(one), others: others.iter().copied().map(version).collect() }).await
        };
        let dirty = format!("{first}-dirty-0123abcd");
        let compared = compare(&first, &[&third, &first, "v1.0", &dirty, &aside, "0123456789", "v2.0"]).await;
        let [same, unknown] = [Age::NotOlder, Age::Unknown];
        assert_eq!(compared, Compared { known: true, others: vec![Age::Older(2), same, same, same, Age::Older(1), unknown, unknown] });
        for older in ["v1.0", &dirty] {
            assert_eq!(compare(older, &[&third]).await.others, [Age::Older(2)], "{older}");
        }
        assert_eq!(compare(&third, &["v1.0", &aside]).await.others, [same, same], "a branch is not older than another one");
        assert_eq!(compare("v3", &[&third]).await, Compared::unknown(1));
        let elsewhere = tempfile::tempdir().expect("a folder");
        git(&["branch", "1234567", &first]);
        assert_eq!(compare(&third, &["1234567"]).await.others, [unknown], "a branch is no commit, whatever it is called");
        let op = CompareVersions { version: version(&first), others: vec![version(&third)] };
        assert_eq!(super::compare(&self::fleet(elsewhere.path()), &op).await, Compared::unknown(1), "no repository");
    }

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
