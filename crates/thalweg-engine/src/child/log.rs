//! The log of a child: its first and its last bytes, however much it writes.

use std::fs::File;
use std::io::{self, Write as _};

/// Writes the head as it comes and keeps the tail until the end.
pub(super) struct Log {
    file: File,
    /// Bytes that each of the two parts may have.
    half: usize,
    head: usize,
    /// The last bytes; at most twice `half`, so that cutting is seldom.
    tail: Vec<u8>,
    left_out: u64,
    failed: bool,
}

impl Log {
    pub(super) fn new(file: File, limit: usize) -> Self {
        Self { file, half: limit / 2, head: 0, tail: Vec::new(), left_out: 0, failed: false }
    }

    /// Takes in output. A log that cannot be written is no reason to stop the child: it counts as cut.
    pub(super) fn take(&mut self, mut bytes: &[u8]) {
        if self.head < self.half {
            let now = bytes.len().min(self.half - self.head);
            self.write(&bytes[..now]);
            self.head += now;
            bytes = &bytes[now..];
        }
        self.tail.extend_from_slice(bytes);
        if self.tail.len() > self.half.saturating_mul(2) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let over = self.tail.len().saturating_sub(self.half);
        self.tail.drain(..over);
        self.left_out += over as u64;
    }

    fn write(&mut self, bytes: &[u8]) {
        let written: io::Result<()> = self.file.write_all(bytes);
        self.failed |= written.is_err();
    }

    /// Writes the tail; tells if anything is missing from the log.
    pub(super) fn finish(mut self) -> bool {
        self.cut();
        if self.left_out > 0 {
            let note = format!("\n[{} bytes of output left out here]\n", self.left_out);
            self.write(note.as_bytes());
        }
        let tail = std::mem::take(&mut self.tail);
        self.write(&tail);
        self.left_out > 0 || self.failed
    }
}
