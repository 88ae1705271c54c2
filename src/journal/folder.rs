//! The runs of a project on this machine: a folder each, below `.podlift/runs`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    Chain, Journal, State, Store,
    store::{Locked, is_locked},
};
use crate::{failure::Failure, model::RunId};

/// A journal's file in its run's folder.
const FILE: &str = "journal.jsonl";

/// How many runs are kept; of those beyond it only the unfinished.
const KEPT: usize = 50;

/// Where a project's runs are kept.
#[derive(Clone, Debug)]
pub struct Runs(PathBuf);

/// What is known of a run on this machine.
pub struct Kept {
    /// Its id.
    pub id: RunId,
    /// Its journal, or why that cannot be read.
    pub chain: Result<Chain, Failure>,
    /// What became of it.
    pub state: State,
}

impl Runs {
    /// Those of the project in this folder.
    pub fn of(project: &Path) -> Self {
        Self(project.join(".podlift/runs"))
    }

    /// All of them, the oldest first.
    pub fn list(&self) -> Result<Vec<Kept>, Failure> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unusable(&self.0, &error)),
        };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut ids: Vec<RunId> = names.filter_map(|name| RunId::new(name).ok()).filter(|id| self.file(id).is_file()).collect();
        ids.sort();
        Ok(ids.into_iter().map(|id| self.look(id)).collect())
    }

    /// A run's journal; without a name the last run's.
    pub fn find(&self, id: Option<&RunId>) -> Result<Kept, Failure> {
        let known = match id {
            Some(id) => self.file(id).is_file().then(|| self.look(id.clone())),
            None => self.list()?.pop(),
        };
        known.ok_or_else(|| match id {
            Some(id) => Failure::refused(format!("there is no run {id} in {}", self.0.display()))
                .hint("`podlift runs` lists those that are; `--from HOST` looks on a host"),
            None => Failure::refused(format!("there is no run in {}", self.0.display()))
                .hint("runs are kept in the project that podlift is run in; `--from HOST` looks on a host"),
        })
    }

    fn look(&self, id: RunId) -> Kept {
        let file = self.file(&id);
        let chain = read(&file);
        let state = chain.as_ref().map_or(State::Failed, |chain| State::of(chain, is_locked(&file)));
        Kept { id, chain, state }
    }

    /// Opens a new run's journal, and forgets the oldest runs.
    pub fn begin(&self, id: &RunId, wrap: impl FnOnce(Locked) -> Box<dyn Store>) -> Result<Journal, Failure> {
        self.tidy();
        self.open(id, &Chain::default(), wrap)
    }

    /// Opens a run's journal to go on behind `chain`, which takes the place of what is there. Refused while another process has it.
    pub fn open(&self, id: &RunId, chain: &Chain, wrap: impl FnOnce(Locked) -> Box<dyn Store>) -> Result<Journal, Failure> {
        let file = self.file(id);
        let folder = file.parent().unwrap_or(Path::new("."));
        let prepare = || -> io::Result<Option<Locked>> {
            fs::create_dir_all(folder)?;
            private(folder)?;
            // So that a run does not make the working tree differ from its commit.
            let ignore = self.0.with_file_name(".gitignore");
            if !ignore.exists() {
                fs::write(ignore, "*\n")?;
            }
            let known = read(&file).map(|known| known.text().to_owned()).unwrap_or_default();
            if chain.text().starts_with(&known) {
                let mut store = Locked::open(&file, known.len() as u64)?;
                if let Some(store) = &mut store {
                    store.write(&chain.text()[known.len()..], true)?;
                }
                return Ok(store);
            }
            // Another machine went on with the run from an earlier record than this one did.
            let mut store = Locked::open(&file, 0)?;
            if let Some(store) = &mut store {
                store.write(chain.text(), true)?;
            }
            Ok(store)
        };
        match prepare() {
            Ok(Some(store)) => Ok(Journal::open(wrap(store), chain.clone())),
            Ok(None) => {
                Err(Failure::refused(format!("run {id} is still running")).hint("wait for it, or end it with ctrl-C where it runs"))
            }
            Err(error) => Err(unusable(&file, &error)),
        }
    }

    fn file(&self, id: &RunId) -> PathBuf {
        self.0.join(id.as_str()).join(FILE)
    }

    /// Forgets the oldest finished runs; what cannot be deleted is left.
    fn tidy(&self) {
        let Ok(runs) = self.list() else { return };
        let many = runs.len().saturating_sub(KEPT - 1);
        for run in runs.into_iter().take(many).filter(|run| !run.state.is_open() && run.state != State::Running) {
            let _ = fs::remove_dir_all(self.0.join(run.id.as_str()));
        }
    }
}

fn read(file: &Path) -> Result<Chain, Failure> {
    let bytes = fs::read(file).map_err(|error| unusable(file, &error))?;
    Chain::read(&String::from_utf8_lossy(&bytes))
}

fn private(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    Ok(())
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("{} cannot be used: {error}", path.display()))
        .hint("podlift keeps its journal there: see to rights and free space")
}
