//! Files that are written as a whole: at any moment there is what was there before, or all of what is there now.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use tempfile::NamedTempFile;

use crate::failure::Failure;

/// Writes a file. One that is there keeps its rights; what is no ordinary file (a pipe, a device) is written to, and a link is
/// followed.
pub fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let known = fs::metadata(file);
    if fs::symlink_metadata(file).is_ok() && !known.as_ref().is_ok_and(fs::Metadata::is_file) {
        return File::options().write(true).create(true).truncate(true).open(file)?.write_all(bytes);
    }
    let file = fs::canonicalize(file).unwrap_or_else(|_| file.to_path_buf());
    let beside = beside(&file, bytes)?;
    if let Ok(known) = known {
        beside.as_file().set_permissions(known.permissions())?;
    }
    beside.persist(file)?;
    Ok(())
}

/// Writes a file that is not there yet; where something is there it stays, and the error is [`io::ErrorKind::AlreadyExists`].
pub fn create(file: &Path, bytes: &[u8]) -> io::Result<()> {
    beside(file, bytes)?.persist_noclobber(file)?;
    Ok(())
}

/// The bytes in a file beside the one that is meant, with the rights of any new file.
fn beside(file: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let made = tempfile::Builder::new().permissions(Permissions::from_mode(0o666)).tempfile_in(folder(file));
    let mut beside = made.map_err(|error| unnamed(&error))?;
    beside.as_file_mut().write_all(bytes)?;
    beside.as_file().sync_all()?;
    Ok(beside)
}

fn folder(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The error without the name of a file that nobody has asked for, which `tempfile` puts behind what the system says.
fn unnamed(error: &io::Error) -> io::Error {
    let told = error.to_string();
    io::Error::new(error.kind(), told.split_once(" at path ").map_or(&*told, |(why, _)| why))
}

/// Refuses to write a file whose folder is not there, and one that is a folder.
pub fn has_folder(file: &Path) -> Result<(), Failure> {
    if file.is_dir() {
        return Err(Failure::refused(format!("{} cannot be written: it is a folder", file.display())).hint("name a file in it"));
    }
    let folder = folder(file);
    match fs::metadata(folder) {
        Ok(known) if known.is_dir() => Ok(()),
        Ok(_) => Err(Failure::refused(format!("{} cannot be written: {} is no folder", file.display(), folder.display()))),
        Err(error) => {
            let failure = Failure::refused(format!("{} cannot be written: its folder {}: {error}", file.display(), folder.display()));
            Err(failure.hint("podlift makes no folder there"))
        }
    }
}

/// Refuses to write a file that holds something else than what is written to it: `is_one` tells by its text whether that is one
/// too, `what` names it.
pub fn may_replace(file: &Path, what: &str, is_one: impl FnOnce(&str) -> bool) -> Result<(), Failure> {
    let is_there = fs::metadata(file).is_ok_and(|known| known.is_file() && known.len() > 0);
    if !is_there || fs::read_to_string(file).is_ok_and(|text| is_one(&text)) {
        return Ok(());
    }
    let failure = Failure::refused(format!("{} is there already, and is no {what} of podlift", file.display()));
    Err(failure.hint("--force replaces it, -o FILE writes another"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_already_is_not_created_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("notes");
        create(&file, b"first").expect("writes");
        assert_eq!(create(&file, b"second").expect_err("it is there").kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&file).expect("reads"), "first");
        write(&file, b"third").expect("writes");
        assert_eq!(fs::read_to_string(&file).expect("reads"), "third");
        assert_eq!(fs::read_dir(folder.path()).expect("reads").count(), 1, "nothing else is left");
    }

    #[test]
    fn what_cannot_be_written_is_told_without_names_that_nobody_has_asked_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = write(&folder.path().join("nowhere/plan"), b"text").expect_err("there is no such folder");
        assert_eq!(error.to_string(), "No such file or directory (os error 2)");
    }

    #[test]
    fn a_file_has_a_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("notes");
        assert_eq!(has_folder(&file), Ok(()));
        assert_eq!(has_folder(Path::new("notes")), Ok(()));
        let none = has_folder(&folder.path().join("nowhere/plan")).expect_err("there is no such folder");
        assert!(none.message.ends_with("nowhere: No such file or directory (os error 2)"), "{none:?}");
        fs::write(&file, "").expect("writes");
        assert!(has_folder(&file.join("plan")).expect_err("it is a file").message.ends_with("notes is no folder"));
    }

    #[test]
    fn only_what_is_one_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("notes");
        let may = |text: Option<&str>| {
            if let Some(text) = text {
                fs::write(&file, text).expect("writes");
            }
            may_replace(&file, "plan", |text| text == "a plan")
        };
        assert_eq!(may(None), Ok(()), "nothing is there");
        assert_eq!(may(Some("")), Ok(()), "nothing is lost");
        assert_eq!(may(Some("a plan")), Ok(()));
        assert!(may(Some("precious")).expect_err("it is something else").message.contains("is no plan of podlift"));
        assert_eq!(may_replace(Path::new("/dev/null"), "plan", |_| false), Ok(()), "a device holds nothing");
    }
}
