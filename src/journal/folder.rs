//! The runs of a project on this machine: a folder each, below `.podlift/runs`.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::{
    Chain, Entry, Journal, State, Store,
    chain::is_damage,
    store::{Locked, is_locked},
};
use crate::{failure::Failure, model::RunId};

/// A journal's file in its run's folder.
const FILE: &str = "journal.jsonl";
/// The plan that a run is held to, beside it.
const PLAN: &str = "plan.json";

/// What was in it before another machine's took its place: the first such file's name, and the others' with a number.
const APART: &str = "journal.apart";

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
            Err(error) => return Err(unreadable(&self.0, &error)),
        };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        // What belongs to somebody else is not missing.
        let is_run = |id: &RunId| match fs::metadata(self.file(id)) {
            Ok(known) => known.is_file(),
            Err(error) => !is_missing(&error),
        };
        let mut ids: Vec<RunId> = names.filter_map(|name| RunId::new(name).ok()).filter(is_run).collect();
        ids.sort();
        Ok(ids.into_iter().map(|id| self.look(id)).collect())
    }

    /// A run's journal.
    ///
    /// # Errors
    /// Refused where it is not there, and where nobody can tell whether it is.
    pub fn find(&self, id: &RunId) -> Result<Kept, Failure> {
        let file = self.file(id);
        match fs::metadata(&file) {
            Ok(known) if known.is_file() => return Ok(self.look(id.clone())),
            Err(error) if !is_missing(&error) => return Err(unreadable(&file, &error)),
            _ => {}
        }
        Err(Failure::refused(format!("there is no run {id} in {}", self.0.display()))
            .hint("`podlift runs` lists those that are; `--from HOST` looks on a host"))
    }

    /// All of them as [`list`](Self::list) has them.
    ///
    /// # Errors
    /// Refused where there is none.
    pub fn some(&self) -> Result<Vec<Kept>, Failure> {
        let runs = self.list()?;
        if runs.is_empty() {
            return Err(Failure::refused(format!("there is no run in {}", self.0.display()))
                .hint("runs are kept in the project that podlift is run in; `--from HOST` looks on a host"));
        }
        Ok(runs)
    }

    /// How many whole lines a run's journal has here, whatever they say.
    pub fn lines(&self, id: &RunId) -> usize {
        fs::read(self.file(id)).map_or(0, |bytes| String::from_utf8_lossy(&bytes).matches('\n').count())
    }

    fn look(&self, id: RunId) -> Kept {
        let file = self.file(&id);
        let chain = read(&file);
        // One that cannot be read is not forgotten.
        let state = chain.as_ref().map_or(State::Interrupted, |chain| State::of(chain, is_locked(&file)));
        Kept { id, chain, state }
    }

    /// Opens a new run's journal, and forgets the oldest runs.
    ///
    /// Refused where the run has begun before, as that of a plan may have: only one that ended before it asked for any change is
    /// begun anew.
    pub fn begin(&self, id: &RunId, wrap: impl FnOnce(Locked) -> Box<dyn Store>) -> Result<Journal, Failure> {
        self.tidy();
        let (mut file, known) = self.lock(id)?;
        let chain = Chain::read(&known)?;
        let is_untouched = State::of(&chain, false) == State::Failed && !chain.entries().iter().any(Entry::is_change);
        if !chain.entries().is_empty() && !is_untouched {
            let refused = Failure::refused(format!("run {id} has begun before: what is planned is done once"));
            if State::of(&chain, false).is_open() {
                return Err(refused.hint(format!("`podlift resume {id}` goes on with it, `podlift undo {id}` takes it back")));
            }
            return Err(refused.hint(format!("`podlift show {id}` tells what became of it; make a new plan for what is still to be done")));
        }
        file.replace("").map_err(|error| unusable(&self.file(id), &error))?;
        Ok(Journal::open(wrap(file), Chain::default()))
    }

    /// Opens a run's journal to go on behind `chain`, which takes the place of what is there where another machine went on from an
    /// earlier record than this one did.
    ///
    /// Refused while another process has it, and where one has gone on behind `chain` since that was read.
    pub fn open(&self, id: &RunId, chain: &Chain, wrap: impl FnOnce(Locked) -> Box<dyn Store>) -> Result<Journal, Failure> {
        let (mut file, text) = self.lock(id)?;
        let (known, rest) = Chain::whole(&text)?;
        let is_damaged = is_damage(rest);
        let put = match chain.text().strip_prefix(known.text()) {
            Some(more) if !is_damaged => file.cut(known.text().len() as u64).and_then(|()| file.write(more, true)),
            None if !is_damaged && known.text().starts_with(chain.text()) => {
                return Err(
                    Failure::refused(format!("run {id} has gone on meanwhile")).hint("say it again: what is done next depends on that")
                );
            }
            // What only this machine told of is kept beside it.
            _ => keep(&self.file(id), &text).and_then(|()| file.replace(chain.text())),
        };
        put.map_err(|error| unusable(&self.file(id), &error))?;
        Ok(Journal::open(wrap(file), chain.clone()))
    }

    /// Locks a run's journal, which is made where it is missing, and reads it.
    fn lock(&self, id: &RunId) -> Result<(Locked, String), Failure> {
        let file = self.file(id);
        let folder = file.parent().unwrap_or(Path::new("."));
        let open = || {
            fs::create_dir_all(folder)?;
            private(folder)?;
            // So that a run does not make the working tree differ from its commit.
            let ignore = self.0.with_file_name(".gitignore");
            if !ignore.exists() {
                fs::write(ignore, "*\n")?;
            }
            Locked::open(&file)
        };
        open()
            .map_err(|error| unusable(&file, &error))?
            .ok_or_else(|| Failure::refused(format!("run {id} is still running")).hint("wait for it, or end it with ctrl-C where it runs"))
    }

    fn file(&self, id: &RunId) -> PathBuf {
        self.0.join(id.as_str()).join(FILE)
    }

    /// Where the plan is kept that a run is held to.
    pub fn plan(&self, id: &RunId) -> PathBuf {
        self.0.join(id.as_str()).join(PLAN)
    }

    /// Refuses a plan's run that may have begun and been forgotten since: ids are in the order of time.
    ///
    /// # Errors
    /// Refused where as many runs as are kept are younger.
    pub fn is_known(&self, id: &RunId) -> Result<(), Failure> {
        if self.file(id).exists() {
            return Ok(());
        }
        let runs = self.list().unwrap_or_default();
        let Some(oldest) = runs.first().filter(|oldest| runs.len() >= KEPT && *id < oldest.id) else { return Ok(()) };
        let refused = Failure::refused(format!("run {id} may have begun before: what is planned is done once"));
        Err(refused.hint(format!("the oldest run that is still known is {}; make a new plan", oldest.id)))
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
    let bytes = fs::read(file).map_err(|error| unreadable(file, &error))?;
    Chain::read(&String::from_utf8_lossy(&bytes))
}

/// Keeps on the disk, beside a run's journal and what was kept before, what another machine's takes the place of.
fn keep(file: &Path, text: &str) -> io::Result<()> {
    let mut names = std::iter::once(format!("{APART}.jsonl")).chain((2..).map(|number: u32| format!("{APART}.{number}.jsonl")));
    let mut kept = loop {
        let Some(name) = names.next() else { return Err(io::ErrorKind::AlreadyExists.into()) };
        match fs::File::create_new(file.with_file_name(name)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            created => break created?,
        }
    };
    kept.write_all(text.as_bytes())?;
    kept.sync_all()
}

fn private(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    Ok(())
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("{} cannot be read: {error}", path.display()))
        .hint("podlift keeps its journals there: see whose it is, and to its rights")
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("{} cannot be used: {error}", path.display()))
        .hint("podlift keeps its journal there: see to rights and free space")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        failure::FailureKind,
        journal::{Ended, Memory, now},
    };

    fn boxed(file: Locked) -> Box<dyn Store> {
        Box::new(file)
    }

    fn ended(exit: &str) -> Entry {
        Entry::Ended(Ended { at: now(), exit: exit.into(), state: None, why: None, origin: None })
    }

    /// The runs of a project of its own, one of them with these records.
    fn runs(records: &[&str]) -> (tempfile::TempDir, Runs, RunId, Chain) {
        let folder = tempfile::tempdir().expect("a folder");
        let (runs, id) = (Runs::of(folder.path()), RunId::new("r1").expect("valid"));
        let journal = runs.begin(&id, boxed).expect("a new run");
        for record in records {
            journal.append(ended(record)).expect("writes");
        }
        let chain = journal.chain();
        (folder, runs, id, chain)
    }

    #[test]
    fn a_run_begins_once() {
        for exit in ["done", "undone", "mixed", "interrupted"] {
            let (_folder, runs, id, chain) = runs(&[exit]);
            let Err(refused) = runs.begin(&id, boxed) else { panic!("{exit} is begun again") };
            assert!(refused.message.contains("has begun before"), "{refused}");
            assert_eq!(runs.find(&id).expect("it is there").chain.expect("reads"), chain, "{exit}");
        }
        let (_folder, runs, id, _) = runs(&["refused"]);
        runs.begin(&id, boxed).expect("it had changed nothing");
    }

    #[test]
    fn a_run_that_cannot_be_read_is_there() {
        let (folder, runs, id, _) = runs(&["interrupted"]);
        fs::write(runs.0.join("notes"), "no run").expect("writes");
        // Nobody may read this, not even root.
        fs::remove_file(runs.file(&id)).expect("it is there");
        std::os::unix::fs::symlink("journal.jsonl", runs.file(&id)).expect("a link that leads to itself");
        let listed = runs.list().expect("the others can be read");
        let [Kept { chain: Err(told), state: State::Interrupted, .. }] = &listed[..] else { panic!("{} are listed", listed.len()) };
        for told in [told, &runs.find(&id).err().expect("it cannot be read")] {
            assert!(told.message.contains("journal.jsonl cannot be read: ") && told.kind == FailureKind::Failed, "{told}");
        }
        let nowhere = folder.path().join("nowhere");
        fs::create_dir_all(nowhere.join(".podlift")).expect("a folder");
        fs::write(nowhere.join(".podlift/runs"), "").expect("writes");
        let told = Runs::of(&nowhere).list().err().expect("it is no folder");
        assert!(told.message.contains("runs cannot be read: "), "{told}");
    }

    #[test]
    fn what_went_on_meanwhile_is_not_cut_off() {
        let (_folder, runs, id, chain) = runs(&["interrupted"]);
        runs.open(&id, &chain, boxed).expect("nobody has it").append(ended("mixed")).expect("writes");
        let Err(refused) = runs.open(&id, &chain, boxed) else { panic!("what was read is old") };
        assert_eq!(refused.message, "run r1 has gone on meanwhile");
        let known = runs.find(&id).expect("it is there").chain.expect("reads");
        assert_eq!(known.entries().len(), 2);
        assert!(runs.open(&id, &known, boxed).is_ok());
    }

    #[test]
    fn a_damaged_journal_is_kept_and_gives_way_to_a_whole_copy() {
        let (_folder, runs, id, chain) = runs(&["interrupted", "interrupted", "mixed"]);
        let damaged = chain.text().replacen("interrupted", "undone", 1);
        fs::write(runs.file(&id), &damaged).expect("writes");
        let kept = runs.find(&id).expect("it is there");
        assert_eq!((kept.chain.is_err(), kept.state, runs.lines(&id)), (true, State::Interrupted, 3));
        let journal = runs.open(&id, &chain, boxed).expect("nobody has it");
        assert_eq!(runs.find(&id).expect("it is there").chain.expect("reads"), journal.chain());
        assert_eq!(fs::read_to_string(runs.file(&id).with_file_name("journal.apart.jsonl")).expect("it is kept"), damaged);
    }

    #[test]
    fn another_machines_chain_takes_the_place_of_what_is_here() {
        let (_folder, runs, id, _) = runs(&["interrupted", "interrupted"]);
        let elsewhere = Journal::open(Memory, Chain::default());
        for exit in ["mixed", "mixed", "undone"] {
            elsewhere.append(ended(exit)).expect("in memory");
        }
        let there = Chain::of(elsewhere.chain().entries());
        let journal = runs.open(&id, &there, boxed).expect("nobody has it");
        assert!(matches!(runs.open(&id, &there, boxed), Err(failure) if failure.message.contains("still running")));
        journal.append(ended("done")).expect("writes");
        assert_eq!(runs.find(&id).expect("it is there").chain.expect("reads"), journal.chain());
        let beside = |name: &str| {
            let text = fs::read_to_string(runs.file(&id).with_file_name(name)).expect("it is kept");
            Chain::read(&text).expect("reads").entries().len()
        };
        assert_eq!(beside("journal.apart.jsonl"), 2);
        drop(journal);
        runs.open(&id, &Chain::of(&[ended("undone")]), boxed).expect("nobody has it");
        assert_eq!((beside("journal.apart.jsonl"), beside("journal.apart.2.jsonl")), (2, 4), "the first is still there");
    }
}
