//! Where a journal's lines are kept.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use super::Entry;

/// Keeps lines in their order.
pub trait Store: Send {
    /// Adds a record's line; that of a durable one is on the disk when it returns. A line that could not be added whole is not
    /// there.
    fn append(&mut self, entry: &Entry, line: &str) -> io::Result<()>;

    /// Whether it keeps lines. One that does not is given records only: to write and hash what nobody reads is most of the work of
    /// a modelled run.
    fn keeps_lines(&self) -> bool {
        true
    }

    /// Waits until a record that was added is known elsewhere too, where its change may not begin before that. What fails here is
    /// added all the same.
    fn acknowledge(&mut self, _entry: &Entry) -> io::Result<()> {
        Ok(())
    }
}

impl Store for Box<dyn Store> {
    fn append(&mut self, entry: &Entry, line: &str) -> io::Result<()> {
        self.as_mut().append(entry, line)
    }

    fn keeps_lines(&self) -> bool {
        self.as_ref().keeps_lines()
    }

    fn acknowledge(&mut self, entry: &Entry) -> io::Result<()> {
        self.as_mut().acknowledge(entry)
    }
}

/// Keeps nothing: the records are in memory.
#[derive(Debug, Default)]
pub struct Memory;

impl Store for Memory {
    fn append(&mut self, _: &Entry, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn keeps_lines(&self) -> bool {
        false
    }
}

/// A file that is this process's alone while it is open.
#[derive(Debug)]
pub struct Locked {
    file: File,
    path: PathBuf,
    length: u64,
}

impl Locked {
    /// Opens the file, which is made where it is missing, and locks it; `None` if another process has it. Also returns what is in
    /// it by then.
    pub fn open(path: &Path) -> io::Result<Option<(Self, String)>> {
        let Some(mut file) = locked(path)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let length = bytes.len() as u64;
        Ok(Some((Self { file, path: path.to_owned(), length }, String::from_utf8_lossy(&bytes).into_owned())))
    }

    /// Keeps only what is before `length` bytes.
    pub fn cut(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        self.file.seek(SeekFrom::End(0))?;
        self.length = length;
        Ok(())
    }

    /// Puts `text` in the place of all that is there; whenever this process dies, one of both is whole.
    pub fn replace(&mut self, text: &str) -> io::Result<()> {
        let beside = self.path.with_extension("new");
        let mut file = private().truncate(true).open(&beside)?;
        // Locked before it is there, so that no other process can have it.
        file.lock()?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, &self.path)?;
        (self.file, self.length) = (file, text.len() as u64);
        Ok(())
    }

    /// Adds text, which is on the disk when it returns if it is durable.
    pub fn write(&mut self, line: &str, durable: bool) -> io::Result<()> {
        let written = self.file.write_all(line.as_bytes()).and_then(|()| if durable { self.file.sync_data() } else { Ok(()) });
        if written.is_err() {
            // So that what comes later does not stand behind half a line.
            let _ = self.file.set_len(self.length).and_then(|()| self.file.seek(SeekFrom::End(0)));
        } else {
            self.length += line.len() as u64;
        }
        written
    }
}

impl Store for Locked {
    fn append(&mut self, entry: &Entry, line: &str) -> io::Result<()> {
        self.write(line, entry.is_durable())
    }
}

fn locked(path: &Path) -> io::Result<Option<File>> {
    loop {
        let file = private().open(path)?;
        match file.try_lock() {
            // Another process may have put another file in its place before this one had the lock.
            Ok(()) if is_at(&file, path)? => return Ok(Some(file)),
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Whether the open file is the one that is there.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let (open, there) = (file.metadata()?, std::fs::metadata(path));
    Ok(there.is_ok_and(|there| (open.dev(), open.ino()) == (there.dev(), there.ino())))
}

/// Whether another process has the file.
pub fn is_locked(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> Option<(Locked, String)> {
        Locked::open(path).expect("opens")
    }

    #[test]
    fn a_file_belongs_to_one_process_at_a_time_and_loses_its_torn_tail() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal.jsonl");
        std::fs::write(&path, "whole\nto").expect("writes");
        let (mut store, text) = open(&path).expect("nobody has it");
        assert_eq!(text, "whole\nto");
        assert!(is_locked(&path));
        assert!(open(&path).is_none());
        store.cut(6).expect("cuts");
        store.write("next\n", true).expect("writes");
        drop(store);
        assert!(!is_locked(&path));
        assert_eq!(std::fs::read_to_string(&path).expect("reads"), "whole\nnext\n");
    }

    #[test]
    fn what_takes_the_place_of_a_file_is_locked_as_that_was() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal.jsonl");
        std::fs::write(&path, "one\n").expect("writes");
        let (mut store, _) = open(&path).expect("nobody has it");
        let mut former = File::open(&path).expect("opens");
        store.replace("two\n").expect("writes");
        store.write("three\n", true).expect("writes");
        assert!(is_locked(&path) && open(&path).is_none());
        let mut text = String::new();
        former.read_to_string(&mut text).expect("reads");
        assert_eq!(text, "one\n", "who has it open reads on in what it was");
        drop(store);
        assert_eq!(open(&path).expect("nobody has it").1, "two\nthree\n");
    }
}
