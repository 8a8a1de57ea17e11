//! Decompressing bzip2: several streams one after the other, and only bytes whose checksum was right.
//!
//! A decoder hands out the bytes of a block before it compares the block's checksum. Here bytes wait until the decoder
//! has asked for input beyond their block, which it does only after the comparison; so what comes out is good even
//! when a later block is not.

use std::io::{self, Read};

use bzip2::{Decompress, Status};
use thalweg_core::ErrorClass;

/// First bytes of every bzip2 stream.
pub(crate) const MAGIC: &[u8] = b"BZh";

const STEP: usize = 32 << 10;

/// What is wrong with a bzip2 stream. Offsets count bytes of the compressed file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BunzipError {
    /// The source failed.
    #[error("read compressed byte {at}")]
    Io {
        /// Where.
        at: u64,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// A block is damaged.
    #[error("the data is damaged near compressed byte {at}")]
    Damaged {
        /// Where, within a block.
        at: u64,
    },
    /// The input ends inside a stream.
    #[error("the stream ends early, at compressed byte {at}")]
    CutShort {
        /// Bytes there are.
        at: u64,
    },
    /// Something else follows a complete stream.
    #[error("bytes that are not bzip2 follow the last stream at compressed byte {at}")]
    Garbage {
        /// Where it starts.
        at: u64,
    },
}

impl BunzipError {
    /// Says what can be done about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Io { .. } => ErrorClass::Transient,
            _ => ErrorClass::Data,
        }
    }
}

/// Decompresses what `R` gives.
pub(crate) struct Bunzip<R> {
    inner: R,
    decoder: Decompress,
    in_stream: bool,
    input: Box<[u8]>,
    input_at: usize,
    input_len: usize,
    consumed: u64,
    /// Bytes whose block was compared.
    ready: Vec<u8>,
    ready_at: usize,
    /// Bytes that wait for the comparison.
    pending: Vec<u8>,
    failure: Option<BunzipError>,
    ended: bool,
}

impl<R> std::fmt::Debug for Bunzip<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bunzip").field("consumed", &self.consumed).finish_non_exhaustive()
    }
}

impl<R: Read> Bunzip<R> {
    /// Starts at the beginning of a stream.
    pub(crate) fn new(inner: R) -> Self {
        Self {
            inner,
            decoder: Decompress::new(false),
            in_stream: true,
            input: vec![0; STEP].into(),
            input_at: 0,
            input_len: 0,
            consumed: 0,
            ready: Vec::new(),
            ready_at: 0,
            pending: Vec::new(),
            failure: None,
            ended: false,
        }
    }

    /// Copies decompressed bytes into `out`; 0 at the end.
    pub(crate) fn read(&mut self, out: &mut [u8]) -> Result<usize, BunzipError> {
        loop {
            let rest = &self.ready[self.ready_at..];
            if !rest.is_empty() {
                let count = rest.len().min(out.len());
                out[..count].copy_from_slice(&rest[..count]);
                self.ready_at += count;
                return Ok(count);
            }
            if let Some(failure) = self.failure.take() {
                self.ended = true;
                return Err(failure);
            }
            if self.ended {
                return Ok(0);
            }
            if let Err(failure) = self.step() {
                self.failure = Some(failure);
            }
        }
    }

    /// Moves what waited to what is ready.
    fn release(&mut self) {
        if self.ready_at == self.ready.len() {
            self.ready.clear();
            self.ready_at = 0;
            std::mem::swap(&mut self.ready, &mut self.pending);
        } else {
            self.ready.append(&mut self.pending);
        }
    }

    fn fill(&mut self) -> Result<(), BunzipError> {
        while self.input_at == self.input_len {
            match self.inner.read(&mut self.input) {
                Ok(count) => {
                    self.input_at = 0;
                    self.input_len = count;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(BunzipError::Io { at: self.consumed, source }),
            }
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), BunzipError> {
        self.fill()?;
        let at_end = self.input_at == self.input_len;
        if !self.in_stream {
            if at_end {
                self.ended = true;
                return Ok(());
            }
            if self.input[self.input_at] != MAGIC[0] {
                return Err(BunzipError::Garbage { at: self.consumed });
            }
            self.decoder = Decompress::new(false);
            self.in_stream = true;
        }
        let (in_before, out_before) = (self.decoder.total_in(), self.decoder.total_out());
        self.pending.reserve(STEP);
        let status = self
            .decoder
            .decompress_vec(&self.input[self.input_at..self.input_len], &mut self.pending)
            .map_err(|_| self.bad_input(in_before))?;
        let taken = self.decoder.total_in() - in_before;
        let given = usize::try_from(self.decoder.total_out() - out_before).unwrap_or(usize::MAX);
        self.input_at += usize::try_from(taken).unwrap_or(usize::MAX).min(self.input_len - self.input_at);
        self.consumed += taken;
        if taken > 0 {
            // Input was needed, so all that earlier calls gave has been compared; what this call gave may not be.
            let fresh = self.pending.split_off(self.pending.len().saturating_sub(given));
            self.release();
            self.pending = fresh;
        }
        match status {
            Status::StreamEnd => {
                self.in_stream = false;
                self.release();
                Ok(())
            }
            _ if taken == 0 && given == 0 && at_end => Err(BunzipError::CutShort { at: self.consumed }),
            _ => Ok(()),
        }
    }

    /// Tells damage from foreign bytes after a complete stream.
    fn bad_input(&self, in_before: u64) -> BunzipError {
        if in_before == 0 && self.consumed > 0 && !self.input[self.input_at..self.input_len].starts_with(MAGIC) {
            return BunzipError::Garbage { at: self.consumed };
        }
        BunzipError::Damaged { at: self.consumed + (self.decoder.total_in() - in_before) }
    }
}
