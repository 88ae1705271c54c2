//! A fleet that needs nothing installed: every host exists, and what was deployed is kept in a file between runs.

use std::{fs, io, path::Path};

use super::{Call, Executor, Outcome, Source, whole};
use crate::{
    failure::Failure,
    model::{Host, HostState, ProjectName},
    op::Op,
    world::Kept,
};

/// Where a simulated fleet begins. Only what concerns the operator's machine (git, environment, files, clock) is really read.
pub struct Simulated<E> {
    kept: Kept,
    local: E,
}

impl<E: Executor> Simulated<E> {
    /// Begins where the last run ended; `local` reads the operator's machine.
    pub const fn new(kept: Kept, local: E) -> Self {
        Self { kept, local }
    }
}

impl<E: Executor> Source for Simulated<E> {
    fn survey(&self, _: &Call, host: &Host, project: &ProjectName) -> Result<HostState, Failure> {
        Ok(self.kept.projects.get(project).and_then(|hosts| hosts.get(&host.name)).cloned().unwrap_or_default())
    }

    fn read(&self, call: &Call) -> Option<Result<Outcome, Failure>> {
        matches!(*call.op, Op::Git(_) | Op::CompareVersions(_) | Op::ReadEnv(_) | Op::ReadFile(_) | Op::FindContext(_) | Op::Now(_))
            .then(|| self.local.perform(call))
    }

    fn needs_nothing(&self) -> bool {
        true
    }
}

/// Reads what the last simulated run left; nothing where there was none.
pub fn read_kept(file: &Path) -> Result<Kept, Failure> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Kept::default()),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(broken(file, &error.to_string())),
        Err(error) => return Err(unusable(file, &error)),
    };
    serde_json::from_str(&text).map_err(|error| broken(file, &error.to_string()))
}

/// Keeps what a simulated run ends with: the file is whole, old or new, at any moment.
pub fn write_kept(file: &Path, kept: &Kept) -> Result<(), Failure> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let text = serde_json::to_string_pretty(kept).map_err(|error| broken(file, &error.to_string()))?;
    let write = || -> io::Result<()> {
        fs::create_dir_all(folder)?;
        // So that a simulated run does not make the working tree differ from its commit.
        let ignore = folder.join(".gitignore");
        if !ignore.exists() {
            fs::write(ignore, "*\n")?;
        }
        whole::write(file, text.as_bytes())
    };
    write().map_err(|error| unusable(file, &error))
}

/// What is in it is no simulated fleet.
fn broken(file: &Path, error: &str) -> Failure {
    cannot_be_used(file, error).hint("delete it to begin with an empty fleet")
}

fn unusable(file: &Path, error: &io::Error) -> Failure {
    cannot_be_used(file, &error.to_string()).hint("the fleet is kept there between runs: see to its folder's rights, and to free space")
}

fn cannot_be_used(file: &Path, error: &str) -> Failure {
    Failure::failed(format!("the simulated fleet's file {} cannot be used: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::HostName;

    #[test]
    fn what_is_kept_is_read_again() {
        let folder = tempfile::tempdir().expect("there is a temporary directory");
        let file = folder.path().join(".podlift/simulated.json");
        assert_eq!(read_kept(&file).expect("nothing yet"), Kept::default());
        let hosts = [(HostName::new("h1").expect("valid"), HostState::default())].into();
        let kept = Kept { projects: [(ProjectName::default(), hosts)].into() };
        write_kept(&file, &kept).expect("writes");
        assert_eq!(read_kept(&file).expect("reads"), kept);
        fs::write(&file, "{").expect("writes");
        let told = read_kept(&file).expect_err("is broken");
        assert!(told.message.contains("simulated.json") && told.hints[0].starts_with("delete it"), "{told:?}");
        // No folder can be made where a file is.
        let told = write_kept(&file.join("simulated.json"), &kept).expect_err("it has no place");
        assert!(told.hints[0].contains("rights"), "{told:?}");
    }
}
