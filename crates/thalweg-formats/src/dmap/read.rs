//! Cutting a stream into records. Reads on from where it is, holds one record at a time, needs no seek.

use std::io::{self, Read};

use super::error::Error;
use super::parse::{RawRecord, TextMode};
use crate::bunzip::{Bunzip, BunzipError, MAGIC};

/// Largest record that is accepted, in bytes.
const RECORD_LIMIT: usize = 256 << 20;
/// Most bytes that a stream may unpack to before reading stops.
const OUTPUT_LIMIT: u64 = 64 << 30;
const STEP: usize = 64 << 10;

#[derive(Debug)]
enum Source<R> {
    Plain(R),
    Bzip2(Box<Bunzip<io::Chain<io::Cursor<Vec<u8>>, R>>>),
}

/// Reads records from a plain or bzip2-compressed stream; which of the two is seen from its first bytes.
#[derive(Debug)]
pub struct Reader<R> {
    source: Source<R>,
    /// Bytes read; the record at hand starts at `start`.
    window: Vec<u8>,
    start: usize,
    /// Bytes of the record that was given out last.
    given: usize,
    /// Offset of `start` in the uncompressed stream.
    offset: u64,
    index: u64,
    pulled: u64,
    limit: u64,
    at_end: bool,
    broken: bool,
}

impl<R: Read> Reader<R> {
    /// Looks at the first bytes.
    ///
    /// # Errors
    /// Fails when the source does, and with [`Error::Empty`] if it has no bytes.
    pub fn new(mut inner: R) -> Result<Self, Error> {
        let mut head = Vec::new();
        inner
            .by_ref()
            .take(MAGIC.len() as u64)
            .read_to_end(&mut head)
            .map_err(|source| Error::Io { offset: 0, source })?;
        if head.is_empty() {
            return Err(Error::Empty);
        }
        let pulled = head.len() as u64;
        let (source, window) = if head == MAGIC {
            (Source::Bzip2(Box::new(Bunzip::new(io::Cursor::new(head).chain(inner)))), Vec::new())
        } else {
            (Source::Plain(inner), head)
        };
        let pulled = if window.is_empty() { 0 } else { pulled };
        Ok(Self {
            source,
            window,
            start: 0,
            given: 0,
            offset: 0,
            index: 0,
            pulled,
            limit: OUTPUT_LIMIT,
            at_end: false,
            broken: false,
        })
    }

    /// Makes reading stop with an error after `bytes` bytes of the uncompressed stream (default 64 GiB).
    pub fn limit_output(&mut self, bytes: u64) {
        self.limit = bytes;
    }

    /// Tells if the stream is compressed.
    pub fn is_compressed(&self) -> bool {
        matches!(self.source, Source::Bzip2(_))
    }

    /// Returns the offset, in the uncompressed stream, of the next record.
    pub fn offset(&self) -> u64 {
        self.offset + self.given as u64
    }

    /// Returns the number of bytes that are at hand from the next record on.
    fn available(&self) -> usize {
        self.window.len() - self.start
    }

    /// Reads until `needed` bytes are at hand or the stream ends.
    fn ensure(&mut self, needed: usize) -> Result<(), Error> {
        while self.available() < needed && !self.at_end {
            if self.start > 0 && self.start >= self.window.len() / 2 {
                self.window.drain(..self.start);
                self.start = 0;
            }
            let before = self.window.len();
            // Grows with the bytes that are there, not with what a header claims.
            let more = (needed - self.available()).clamp(STEP, 1 << 20);
            self.window.resize(before + more, 0);
            let result = match &mut self.source {
                Source::Plain(inner) => read_some(inner, &mut self.window[before..])
                    .map_err(|source| Error::Io { offset: self.pulled, source }),
                Source::Bzip2(inner) => {
                    inner.read(&mut self.window[before..]).map_err(|source| bzip2_error(self.pulled, source))
                }
            };
            let count = *result.as_ref().unwrap_or(&0);
            self.window.truncate(before + count);
            self.pulled += count as u64;
            if result? == 0 {
                self.at_end = true;
            }
            if self.pulled > self.limit {
                return Err(Error::OutputLimit { limit: self.limit });
            }
        }
        Ok(())
    }

    /// Returns the bytes of the next record, framed by its size; its fields are not looked at.
    ///
    /// # Errors
    /// Fails if the header or size is bad, if the stream ends inside the record, or if the source fails. There are no
    /// more records after an error, unless [`Reader::resume`] finds one.
    pub fn next_raw(&mut self) -> Result<Option<RawRecord<'_>>, Error> {
        self.offset += self.given as u64;
        self.start += self.given;
        self.given = 0;
        if self.broken {
            return Ok(None);
        }
        match self.frame() {
            Ok(0) => Ok(None),
            Ok(size) => {
                let index = self.index;
                self.given = size;
                self.index += 1;
                Ok(Some(RawRecord { index, offset: self.offset, bytes: &self.window[self.start..][..size] }))
            }
            Err(error) => {
                self.broken = true;
                Err(error)
            }
        }
    }

    /// Returns the size of the next record, all of which is at hand then; 0 at the end.
    fn frame(&mut self) -> Result<usize, Error> {
        self.ensure(16)?;
        let (index, offset, left) = (self.index, self.offset, self.available());
        if left == 0 {
            return if offset == 0 { Err(Error::Empty) } else { Ok(0) };
        }
        let header = &self.window[self.start..];
        let size = header.get(4..8).and_then(|bytes| bytes.first_chunk()).map(|bytes| i32::from_le_bytes(*bytes));
        let size = match size {
            Some(size) if left > 8 => size,
            _ => return Err(Error::HeaderCutShort { index, offset, left: left as u64 }),
        };
        let length = usize::try_from(size).unwrap_or(0);
        if length == 0 {
            return Err(Error::BadSize { index, offset, size });
        }
        if length > RECORD_LIMIT {
            // Still told apart from a record that is merely cut short, without holding its bytes.
            let left = self.available() as u64;
            return Err(if self.at_end {
                Error::BeyondEnd { index, offset, size: length as u64, left }
            } else {
                Error::TooLarge { index, offset, size: length as u64, limit: RECORD_LIMIT as u64 }
            });
        }
        self.ensure(length)?;
        let left = self.available();
        if left < length {
            return Err(Error::BeyondEnd { index, offset, size: length as u64, left: left as u64 });
        }
        if length < 16 {
            return Err(Error::BadSize { index, offset, size });
        }
        Ok(length)
    }

    /// Searches on for the next plausible record after a bad one, from one byte behind the start of the bad one.
    ///
    /// Plausible: code 65537, a size that fits, 1 to 1000 scalars and vectors, a printable first name, and fields that
    /// parse. Returns the offset where the search began and the bytes skipped; `None` if nothing was found.
    ///
    /// # Errors
    /// Fails when the source does.
    pub fn resume(&mut self) -> Result<Option<(u64, u64)>, Error> {
        let began = self.offset;
        self.given = 0;
        self.broken = true;
        loop {
            self.ensure(1 + 17)?;
            if self.available() < 1 + 17 {
                return Ok(None);
            }
            self.start += 1;
            self.offset += 1;
            // A fast jump over bytes that cannot begin a header.
            let window = &self.window[self.start..];
            let step = window.iter().position(|byte| *byte == 1).unwrap_or(window.len() - 1);
            self.start += step;
            self.offset += step as u64;
            if self.plausible()? {
                self.broken = false;
                return Ok(Some((began, self.offset - began)));
            }
        }
    }

    fn plausible(&mut self) -> Result<bool, Error> {
        self.ensure(17)?;
        let header = &self.window[self.start..];
        let int =
            |at: usize| header.get(at..).and_then(|rest| rest.first_chunk()).map(|chunk| i32::from_le_bytes(*chunk));
        let (Some(code), Some(size), Some(scalars), Some(vectors)) = (int(0), int(4), int(8), int(12)) else {
            return Ok(false);
        };
        let name = header.get(16).copied().unwrap_or(0);
        let counts = (1..=1000).contains(&scalars) && (1..=1000).contains(&vectors);
        let Some(size) = usize::try_from(size).ok().filter(|size| (17..=RECORD_LIMIT).contains(size)) else {
            return Ok(false);
        };
        if code != super::write::CODE || !counts || !(0x20..0x7f).contains(&name) {
            return Ok(false);
        }
        self.ensure(size)?;
        let bytes = self.window.get(self.start..self.start + size);
        Ok(bytes.is_some_and(|bytes| {
            RawRecord { index: self.index, offset: self.offset, bytes }.parse(TextMode::Replace).is_ok()
        }))
    }

    /// Returns the number of bytes of the uncompressed stream read so far.
    pub(super) fn end(&self) -> u64 {
        self.pulled
    }

    /// Counts a bad record, so that the ones after it keep their numbers.
    pub(super) fn count_bad(&mut self) {
        self.index += 1;
    }
}

fn read_some(inner: &mut impl Read, out: &mut [u8]) -> io::Result<usize> {
    loop {
        match inner.read(out) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

fn bzip2_error(offset: u64, source: BunzipError) -> Error {
    match source {
        BunzipError::Io { source, .. } => Error::Io { offset, source },
        source => Error::Bzip2 { offset, source },
    }
}
