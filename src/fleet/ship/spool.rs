//! A temporary file without a name.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Bytes that do not fit into memory, appended and read at any place from several threads. The file has no name, so it is gone
/// with the last handle, however the process ends.
pub(super) struct Spool {
    file: File,
    end: AtomicU64,
}

impl Spool {
    /// An empty one, on the disk that `folder` is on.
    pub(super) fn new(folder: &Path) -> io::Result<Self> {
        Ok(Self { file: tempfile::tempfile_in(folder)?, end: AtomicU64::new(0) })
    }

    /// Adds bytes at the end and returns where they begin.
    pub(super) fn append(&self, bytes: &[u8]) -> io::Result<u64> {
        let start = self.end.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        self.file.write_all_at(bytes, start)?;
        Ok(start)
    }

    /// A handle that writes from the beginning, for the first and only one to fill it; [`Self::filled`] tells how far.
    pub(super) fn writer(&self) -> io::Result<tokio::fs::File> {
        Ok(tokio::fs::File::from_std(self.file.try_clone()?))
    }

    /// Counts what the writer wrote.
    pub(super) fn filled(&self, length: u64) {
        self.end.fetch_max(length, Ordering::SeqCst);
    }

    /// Reads these bytes.
    pub(super) fn read(&self, start: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, start)?;
        Ok(bytes)
    }

    /// The number of bytes in it.
    pub(super) fn len(&self) -> u64 {
        self.end.load(Ordering::SeqCst)
    }

    /// A reader of `length` bytes from `start` on.
    pub(super) fn section(self: &Arc<Self>, start: u64, length: u64) -> Section {
        Section { spool: Arc::clone(self), start, length, position: 0 }
    }
}

/// Reads a part of a spool.
pub(super) struct Section {
    spool: Arc<Spool>,
    start: u64,
    length: u64,
    position: u64,
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.length.saturating_sub(self.position);
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.spool.file.read_at(&mut buffer[..wanted], self.start + self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Section {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.length.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spool_leaves_no_file_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        let spool = Arc::new(Spool::new(folder.path()).expect("a spool"));
        assert_eq!(spool.append(b"hello ").expect("written"), 0);
        assert_eq!(spool.append(b"world").expect("written"), 6);
        assert_eq!(std::fs::read_dir(folder.path()).expect("readable").count(), 0);
        assert_eq!(spool.read(4, 4).expect("read"), b"o wo");

        let mut section = spool.section(6, 4);
        section.seek(SeekFrom::Current(1)).expect("sought");
        let mut text = String::new();
        section.read_to_string(&mut text).expect("read");
        assert_eq!(text, "orl");
        assert!(section.seek(SeekFrom::End(-9)).is_err());
        assert_eq!(spool.len(), 11);
    }
}
