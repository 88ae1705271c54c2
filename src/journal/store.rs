//! Where a journal's lines are kept.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Seek, SeekFrom, Write},
    path::Path,
};

use super::Entry;

/// Keeps lines in their order.
pub trait Store: Send {
    /// Adds a record's line; that of a durable one is on the disk when it returns. A line that could not be added whole is not
    /// there.
    fn append(&mut self, entry: &Entry, line: &str) -> io::Result<()>;

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

    fn acknowledge(&mut self, entry: &Entry) -> io::Result<()> {
        self.as_mut().acknowledge(entry)
    }
}

/// Keeps nothing: the chain itself is in memory.
#[derive(Debug, Default)]
pub struct Memory;

impl Store for Memory {
    fn append(&mut self, _: &Entry, _: &str) -> io::Result<()> {
        Ok(())
    }
}

/// A file that is this process's alone while it is open.
#[derive(Debug)]
pub struct Locked {
    file: File,
    length: u64,
}

impl Locked {
    /// Opens the file and locks it, or `None` if another process has it. What is behind `length` bytes is cut off.
    pub fn open(path: &Path, length: u64) -> io::Result<Option<Self>> {
        let Some(file) = locked(path)? else { return Ok(None) };
        file.set_len(length)?;
        let mut store = Self { file, length };
        store.file.seek(SeekFrom::End(0))?;
        Ok(Some(store))
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
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether another process has the file.
pub fn is_locked(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_belongs_to_one_process_at_a_time_and_loses_its_torn_tail() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal.jsonl");
        std::fs::write(&path, "whole\nto").expect("writes");
        let mut store = Locked::open(&path, 6).expect("opens").expect("nobody has it");
        assert!(is_locked(&path));
        assert!(Locked::open(&path, 6).expect("opens").is_none());
        store.write("next\n", true).expect("writes");
        drop(store);
        assert!(!is_locked(&path));
        assert_eq!(std::fs::read_to_string(&path).expect("reads"), "whole\nnext\n");
    }
}
