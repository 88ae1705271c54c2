//! Where scripts are.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use super::tasks;
use crate::{
    failure::Failure,
    script::{Checked, options::nearest},
};

/// A script's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its file as the user wrote it, or as a task's name stands for it.
    pub file: PathBuf,
}

/// The largest script.
const SCRIPT_SIZE: u64 = 4 << 20;

impl Place {
    /// Finds a script: a path as it is written, else `deploy/NAME.rhai`.
    pub fn find(script: &Path) -> Result<Self, Failure> {
        match fs::metadata(script) {
            Ok(known) if known.is_file() => return Ok(Self { file: script.to_path_buf() }),
            Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Err(unreadable(script, &error.to_string()));
            }
            _ => {}
        }
        let is_name = script.components().count() == 1 && script.extension().is_none();
        let task = Path::new("deploy").join(script).with_extension("rhai");
        if is_name && task.is_file() {
            return Ok(Self { file: task });
        }
        let shown = script.display();
        if argument(script).is_some() {
            let failure = Failure::refused(format!("{shown} is an argument, and no script comes before it"));
            return Err(failure.hint(format!("`… SCRIPT {shown}` hands it to a script")));
        }
        if script.is_dir() {
            let failure = Failure::refused(format!("{shown} is a folder, and a script is a file"));
            return Err(failure.hint("`podlift tasks` lists those that are run by name"));
        }
        let failure = Failure::refused(format!("there is no script {shown}"));
        let meant = Path::new("deploy").join(script);
        if script.components().count() == 1 && meant.is_file() {
            return Err(failure.hint(format!("did you mean {}?", meant.display())));
        }
        let failure = match likely(script) {
            Some(likely) => failure.hint(format!("did you mean `{likely}`?")),
            None => failure,
        };
        Err(if is_name { failure.hint(format!("a task of that name would be {}", task.display())) } else { failure })
    }

    /// What messages call it.
    pub fn name(&self) -> String {
        self.file.display().to_string()
    }

    /// The folder that it is in.
    pub fn folder(&self) -> &Path {
        self.file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    /// Reads and checks it.
    pub fn check(&self) -> Result<Checked, Failure> {
        Ok(Checked::new(&self.name(), self.folder(), &self.read()?))
    }

    fn read(&self) -> Result<String, Failure> {
        let size = fs::metadata(&self.file).map_err(|error| unreadable(&self.file, &error.to_string()))?.len();
        if size > SCRIPT_SIZE {
            return Err(unreadable(&self.file, "it is larger than 4 MiB"));
        }
        let text = fs::read_to_string(&self.file).map_err(|error| unreadable(&self.file, &error.to_string()))?;
        // Some editors begin a text with a mark of its byte order.
        Ok(text.trim_start_matches('\u{feff}').to_owned())
    }
}

/// The argument that stands where a script was to be, where there is no such file.
pub fn argument(script: &Path) -> Option<(String, String)> {
    let (key, value) = script.to_str()?.split_once('=').filter(|(key, _)| !key.is_empty() && !key.contains('/'))?;
    (!script.exists()).then(|| (key.to_owned(), value.to_owned()))
}

fn unreadable(script: &Path, why: &str) -> Failure {
    Failure::refused(format!("the script {} cannot be read: {why}", script.display()))
}

/// The script beside the one that is not there, or the task, whose name is most like it.
fn likely(script: &Path) -> Option<String> {
    let folder = script.parent().filter(|folder| !folder.as_os_str().is_empty());
    let files = fs::read_dir(folder.unwrap_or(Path::new("."))).into_iter().flatten().flatten();
    let files = files.filter_map(|file| file.file_name().into_string().ok()).filter(|name| name.strip_suffix(".rhai").is_some());
    let tasks = tasks::all().unwrap_or_default().into_iter().map(|task| task.name).filter(|_| folder.is_none());
    let known: Vec<String> = files.chain(tasks).collect();
    // What all names end in makes none of them likely.
    let bare = |name: &str| name.trim_end_matches(".rhai").to_owned();
    let bares: Vec<String> = known.iter().map(|name| bare(name)).collect();
    let near = nearest(&bare(script.file_name()?.to_str()?), &bares.iter().map(String::as_str).collect::<Vec<_>>())?.to_owned();
    let name = known.iter().find(|name| bare(name) == near)?;
    Some(folder.map_or_else(|| name.clone(), |folder| folder.join(name).display().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_taken_as_written_and_a_name_is_a_task() {
        let failure = Place::find(Path::new("no-such-task")).expect_err("there is none");
        assert_eq!(failure.hints, ["a task of that name would be deploy/no-such-task.rhai"]);
        let folder = Place::find(Path::new("src")).expect_err("it is a folder");
        assert_eq!(folder.message, "src is a folder, and a script is a file");
        let argument = Place::find(Path::new("version=v2")).expect_err("it is none");
        assert_eq!(argument.message, "version=v2 is an argument, and no script comes before it");
        assert!(Place::find(Path::new("lib/none.rhai")).expect_err("there is none").hints.is_empty());
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("deploy.rhai");
        fs::write(&file, "").expect("writes");
        let place = Place::find(&file).expect("it is there");
        assert_eq!((place.folder(), place.file.as_path()), (folder.path(), file.as_path()));
        fs::write(&file, "\u{feff}info(1);").expect("writes");
        assert!(place.check().expect("it is read").diagnostics().is_empty(), "a mark of the byte order is no part of the text");
        assert_eq!(Place { file: "deploy.rhai".into() }.folder(), Path::new("."));
    }

    #[test]
    fn a_script_that_nobody_may_look_at_is_not_said_to_be_missing() {
        let folder = tempfile::tempdir().expect("a folder");
        // Nobody may read this, not even root.
        let locked = folder.path().join("locked");
        std::os::unix::fs::symlink("locked", &locked).expect("a link that leads to itself");
        let told = Place::find(&locked.join("deploy.rhai")).expect_err("it cannot be read");
        assert!(told.message.contains("locked/deploy.rhai cannot be read: "), "{told}");
    }
}
