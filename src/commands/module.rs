//! A module of the project's own: where its file is, and how scripts import it.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Component, Path, PathBuf},
};

use super::{place::Place, tasks};
use crate::{
    cli,
    executor::whole,
    failure::Failure,
    script::{engine, resolver::project_folder},
};

/// A module that is to be written.
pub struct Module {
    name: String,
    file: PathBuf,
    /// The folders of the scripts that are told how to import it.
    importers: Vec<PathBuf>,
}

impl Module {
    /// The module `name` where the command line wants it: `lib/NAME.rhai` beside the scripts that import it, unless a file is named.
    pub fn find(name: &str, wanted: &cli::ModulePlace) -> Result<Self, Failure> {
        // The name that it is imported as is a variable's.
        if engine::language().compile(format!("import \"x\" as {name};")).is_err() {
            let failure = Failure::refused(format!("{name:?} cannot be a module's name"));
            return Err(failure.hint("a name is letters, digits and `_`, and no reserved word of the language"));
        }
        let importers = match &wanted.script {
            Some(script) => vec![folder(script)?],
            None if Path::new(tasks::FOLDER).is_dir() => vec![tasks::FOLDER.into(), PathBuf::new()],
            None => vec![PathBuf::new()],
        };
        let file = wanted.to.clone().unwrap_or_else(|| importers[0].join("lib").join(name).with_extension("rhai"));
        if file.extension() != Some(OsStr::new("rhai")) {
            return Err(Failure::refused(format!("{} is no module's file", file.display())).hint("its name ends in .rhai"));
        }
        let module = Self { name: name.into(), file, importers };
        module.importers.iter().try_for_each(|importer| module.within_reach(importer))?;
        Ok(module)
    }

    /// Scripts import files of their own project only.
    fn within_reach(&self, importer: &Path) -> Result<(), Failure> {
        let project = project_folder(importer);
        let reached = absolute(&self.file).is_ok_and(|file| file.starts_with(&project));
        if reached {
            return Ok(());
        }
        let failure = Failure::refused(format!("{} is outside of the project {}", self.file.display(), project.display()));
        Err(failure.hint("a script imports files of its own project only"))
    }

    /// Its file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The path that a script of the first importer's folder writes.
    pub fn path(&self) -> String {
        path_from(&self.importers[0], &self.file)
    }

    /// The line that imports it; where scripts of several folders may, a line for each.
    pub fn imports(&self) -> Vec<String> {
        let line = |importer: &PathBuf| format!("import \"{}\" as {};", path_from(importer, &self.file), self.name);
        match &self.importers[..] {
            [one] => vec![line(one)],
            several => several
                .iter()
                .map(|importer| {
                    let whose = if importer.as_os_str().is_empty() { "this folder".into() } else { format!("{}/", importer.display()) };
                    format!("{} // in a script of {whose}", line(importer))
                })
                .collect(),
        }
    }

    /// Writes it; a file that is there stays, unless it may be replaced.
    pub fn write(&self, text: &str, replace: bool) -> Result<(), Failure> {
        let write = || -> io::Result<()> {
            self.file.parent().map_or(Ok(()), fs::create_dir_all)?;
            let write = if replace { whole::write } else { whole::create };
            write(&self.file, text.as_bytes())
        };
        write().map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                Failure::refused(format!("{} is there already", self.file.display())).hint("--force replaces it, --to FILE writes another")
            }
            _ => Failure::failed(format!("{} cannot be written: {error}", self.file.display())),
        })
    }
}

/// The folder of a script that is there, or that is going to be.
fn folder(script: &Path) -> Result<PathBuf, Failure> {
    match Place::find(script) {
        Ok(place) => Ok(place.file.parent().unwrap_or(Path::new("")).to_path_buf()),
        Err(_) if script.extension() == Some(OsStr::new("rhai")) => Ok(script.parent().unwrap_or(Path::new("")).to_path_buf()),
        Err(failure) => Err(failure),
    }
}

/// The path without `.` and `..`, from the root; the file need not be there.
fn absolute(path: &Path) -> io::Result<PathBuf> {
    let mut found = fs::canonicalize(".")?;
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                found.pop();
            }
            component => found.push(component),
        }
        // What is there may be a link.
        if let Ok(real) = fs::canonicalize(&found) {
            found = real;
        }
    }
    Ok(found)
}

/// How a script in `folder` writes the path of a module's file.
fn path_from(folder: &Path, file: &Path) -> String {
    let (Ok(folder), Ok(file)) = (absolute(folder), absolute(file)) else { return file.display().to_string() };
    let shared = folder.components().zip(file.components()).take_while(|(left, right)| left == right).count();
    let up = folder.components().skip(shared).map(|_| "..".to_owned());
    let down = file.components().skip(shared).map(|component| component.as_os_str().to_string_lossy().into_owned());
    let path = up.chain(down).collect::<Vec<_>>().join("/");
    path.strip_suffix(".rhai").unwrap_or(&path).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_written_from_where_the_script_is() {
        let from = |folder: &str, file: &str| path_from(Path::new(folder), Path::new(file));
        assert_eq!(from("deploy", "deploy/lib/rolling.rhai"), "lib/rolling");
        assert_eq!(from("", "deploy/lib/rolling.rhai"), "deploy/lib/rolling");
        assert_eq!(from("ops/night", "deploy/lib/rolling.rhai"), "../../deploy/lib/rolling");
        assert_eq!(from(".", "./a/../lib/x.rhai"), "lib/x");
    }

    #[test]
    fn a_name_that_cannot_be_imported_is_refused() {
        let place = cli::ModulePlace { script: None, to: None, force: false };
        for name in ["default", "a b", "x;y", "", "1a"] {
            assert!(Module::find(name, &place).is_err(), "{name}");
        }
        assert!(Module::find("blue_green", &place).is_ok());
    }
}
