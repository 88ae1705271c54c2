//! The operator's environment: the process's variables, then `.env` beside the script.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{failure::Failure, script::SecretNames};

/// Where secrets come from.
#[derive(Clone)]
pub struct Environment {
    folder: PathBuf,
    file: BTreeMap<String, String>,
    process: fn(&str) -> Option<String>,
}

impl Environment {
    /// This process's, with the `.env` in `folder` if there is one.
    pub fn beside(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join(".env");
        let file = if path.exists() { read(&path)? } else { BTreeMap::new() };
        Ok(Self { folder: folder.to_path_buf(), file, process: |name| std::env::var(name).ok() })
    }

    /// A secret's value. One of an env file is called `PATH#NAME`, its path relative to the script's folder.
    pub fn value(&self, name: &str) -> Option<String> {
        match name.rsplit_once('#') {
            Some((path, name)) => read(&self.folder.join(path)).ok()?.remove(name),
            None => (self.process)(name).or_else(|| self.file.get(name).cloned()),
        }
    }
}

impl SecretNames for Environment {
    fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    fn in_file(&self, path: &str) -> Result<Vec<String>, Failure> {
        Ok(read(&self.folder.join(path))?.into_keys().collect())
    }
}

/// Reads an env file; its errors never show its text.
fn read(path: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let unreadable = |error: &dotenvy::Error| {
        let why = match error {
            dotenvy::Error::Io(error) => error.to_string(),
            _ => "a line of it is not NAME=VALUE".into(),
        };
        Failure::refused(format!("the env file {} cannot be read: {why}", path.display()))
    };
    let entries = dotenvy::from_path_iter(path).map_err(|error| unreadable(&error))?;
    entries.collect::<Result<_, _>>().map_err(|error| unreadable(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_wins_over_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(".env"), "TOKEN=from-file\nOTHER='a b'\n").expect("writes");
        std::fs::write(folder.path().join("web.env"), "PORT=8000\n").expect("writes");
        let process = |name: &str| (name == "TOKEN").then(|| "from-process".to_string());
        let environment = Environment { process, ..Environment::beside(folder.path()).expect("reads") };
        assert_eq!(environment.value("TOKEN").as_deref(), Some("from-process"));
        assert_eq!(environment.value("OTHER").as_deref(), Some("a b"));
        assert_eq!(environment.in_file("web.env").expect("reads"), ["PORT"]);
        assert_eq!(environment.value("web.env#PORT").as_deref(), Some("8000"));
        assert!(!environment.has("NONE"));
    }

    #[test]
    fn a_broken_file_does_not_tell_its_text() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(".env"), "hunter2 is my password\n").expect("writes");
        let Err(failure) = Environment::beside(folder.path()) else { panic!("it is broken") };
        assert!(failure.message.contains(".env") && !failure.message.contains("hunter2"), "{failure}");
    }
}
