//! Reading a log while it is written: by this or another process, over the end of a day, until its run has ended.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often is looked for more. Logs may lie on network file systems, which tell of no change.
const PAUSE: Duration = Duration::from_millis(200);

/// Most bytes read at once.
const CHUNK: u64 = 1 << 20;

/// A file that grows, read from some place on.
#[derive(Debug)]
pub(super) struct Growing {
    path: PathBuf,
    file: Option<File>,
    at: u64,
}

impl Growing {
    /// Follows a file, which need not be there yet.
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), file: None, at: 0 }
    }

    /// Follows a file from this place on.
    pub(super) fn from(path: &Path, at: u64) -> Self {
        Self { path: path.to_owned(), file: None, at }
    }

    /// Returns which file it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns what has come since the last call; a file that was replaced or cut is read from its beginning.
    pub(super) fn more(&mut self) -> std::io::Result<Vec<u8>> {
        if self.file.is_none() {
            self.file = match File::open(&self.path) {
                Ok(file) => Some(file),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
                Err(error) => return Err(error),
            };
        }
        let Some(file) = &mut self.file else { return Ok(Vec::new()) };
        let open = file.metadata()?;
        let mut bytes = Vec::new();
        if open.len() < self.at {
            self.at = 0;
        }
        file.seek(SeekFrom::Start(self.at))?;
        file.take(CHUNK).read_to_end(&mut bytes)?;
        self.at += bytes.len() as u64;
        if bytes.is_empty() {
            // What stands under the name now may be another file; the rest of this one was read.
            let named = self.path.metadata().ok();
            if named.is_some_and(|named| (named.dev(), named.ino()) != (open.dev(), open.ino())) {
                *self = Self::new(&self.path.clone());
                return self.more();
            }
        }
        Ok(bytes)
    }
}

/// Waits between two looks; nothing ends it but time.
pub(super) fn pause() {
    std::thread::park_timeout(PAUSE);
}

/// Returns where the last lines of a text begin.
pub(super) fn last_lines(text: &[u8], count: usize) -> usize {
    let end = text.strip_suffix(b"\n").unwrap_or(text);
    let mut ends = end.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    match count {
        0 => text.len(),
        count => ends.nth(count - 1).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;

    use super::*;

    fn add(path: &Path, text: &str) {
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn what_comes_is_read_once_over_cuts_and_replacements() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut growing = Growing::new(&path);
        assert_eq!(growing.more().unwrap(), b"");
        add(&path, "one\n");
        assert_eq!(growing.more().unwrap(), b"one\n");
        assert_eq!(growing.more().unwrap(), b"");
        add(&path, "two\n");
        assert_eq!(growing.more().unwrap(), b"two\n");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(growing.more().unwrap(), b"");
        add(&path, "new\n");
        assert_eq!(growing.more().unwrap(), b"new\n");
        OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
        assert_eq!(growing.more().unwrap(), b"");
        add(&path, "x\n");
        assert_eq!(growing.more().unwrap(), b"x\n");
    }

    #[test]
    fn the_last_lines_of_a_text() {
        for (text, count, at) in [("a\nb\nc\n", 2, 2), ("a\nb\nc", 1, 4), ("a\n", 5, 0), ("", 3, 0), ("a\nb\n", 0, 4)] {
            assert_eq!(last_lines(text.as_bytes(), count), at, "{text:?} {count}");
        }
    }
}
