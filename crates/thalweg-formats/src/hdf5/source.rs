//! The bytes of a file, by offset, with a small cache for the many small structures.

use std::cell::RefCell;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::error::{Error, Fault};

const PAGE: usize = 32 << 10;
const PAGES: usize = 24;

#[derive(Debug)]
enum Backing {
    File(std::fs::File),
    Memory(Vec<u8>),
}

#[derive(Debug, Default)]
struct Page {
    number: u64,
    used: u64,
    bytes: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Source {
    backing: Backing,
    length: u64,
    /// Byte of the file that addresses count from.
    pub(super) base: u64,
    pages: RefCell<(u64, Vec<Page>)>,
}

/// Why bytes could not be had.
#[derive(Debug)]
pub(super) enum Failure {
    Io(u64, std::io::Error),
    Fault(Fault),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Failure {
    /// Names the object that was being read.
    pub(super) fn of(self, name: &str, address: u64) -> Error {
        match self {
            Self::Io(offset, source) => Error::Io { offset, source },
            Self::Fault(fault) => Error::Object { name: name.to_owned(), address, fault },
        }
    }
}

impl Source {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let open = |source| Error::Open { path: path.to_owned(), source };
        let file = std::fs::File::open(path).map_err(open)?;
        let length = file.metadata().map_err(open)?.len();
        Ok(Self::new(Backing::File(file), length))
    }

    pub(super) fn from_bytes(bytes: Vec<u8>) -> Self {
        let length = bytes.len() as u64;
        Self::new(Backing::Memory(bytes), length)
    }

    fn new(backing: Backing, length: u64) -> Self {
        Self { backing, length, base: 0, pages: RefCell::default() }
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Tells if `needed` bytes at address `at` are inside the file, and where.
    pub(super) fn check(&self, at: u64, needed: u64) -> Result<u64, Fault> {
        let offset = at.checked_add(self.base);
        let end = offset.and_then(|offset| offset.checked_add(needed));
        match (offset, end) {
            (Some(offset), Some(end)) if end <= self.length => Ok(offset),
            _ => Err(Fault::BeyondEnd { at, needed, length: self.length }),
        }
    }

    /// Fills `out` from address `at`.
    pub(super) fn read(&self, at: u64, out: &mut [u8]) -> Result<(), Failure> {
        let offset = self.check(at, out.len() as u64)?;
        match &self.backing {
            Backing::Memory(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let found = bytes.get(start..).and_then(|rest| rest.get(..out.len()));
                out.copy_from_slice(found.ok_or(Fault::CutShort { what: "file" })?);
                Ok(())
            }
            Backing::File(file) if out.len() >= PAGE => {
                file.read_exact_at(out, offset).map_err(|error| Failure::Io(offset, error))
            }
            Backing::File(file) => self.read_cached(file, offset, out),
        }
    }

    fn read_cached(&self, file: &std::fs::File, offset: u64, out: &mut [u8]) -> Result<(), Failure> {
        let mut guard = self.pages.borrow_mut();
        let (clock, pages) = &mut *guard;
        let mut done = 0;
        while done < out.len() {
            let at = offset + done as u64;
            let number = at / PAGE as u64;
            let within = usize::try_from(at % PAGE as u64).unwrap_or(0);
            *clock += 1;
            let slot = match pages.iter().position(|page| page.number == number && !page.bytes.is_empty()) {
                Some(slot) => slot,
                None => {
                    let slot = if pages.len() < PAGES {
                        pages.push(Page::default());
                        pages.len() - 1
                    } else {
                        let oldest = pages.iter().enumerate().min_by_key(|(_, page)| page.used);
                        oldest.map_or(0, |(slot, _)| slot)
                    };
                    let start = number * PAGE as u64;
                    let size = usize::try_from(self.length - start).unwrap_or(usize::MAX).min(PAGE);
                    let page = &mut pages[slot];
                    page.bytes.resize(size, 0);
                    page.number = number;
                    if let Err(error) = file.read_exact_at(&mut page.bytes, start) {
                        page.bytes.clear();
                        return Err(Failure::Io(start, error));
                    }
                    slot
                }
            };
            let page = &mut pages[slot];
            page.used = *clock;
            let Some(found) = page.bytes.get(within..) else {
                return Err(Fault::CutShort { what: "file" }.into());
            };
            let count = found.len().min(out.len() - done);
            if count == 0 {
                return Err(Fault::CutShort { what: "file" }.into());
            }
            out[done..done + count].copy_from_slice(&found[..count]);
            done += count;
        }
        Ok(())
    }

    /// Returns `size` bytes from address `at`; nothing is allocated that the file does not hold.
    pub(super) fn bytes(&self, at: u64, size: u64) -> Result<Vec<u8>, Failure> {
        self.check(at, size)?;
        let size = usize::try_from(size).map_err(|_| Fault::Damaged { what: "size" })?;
        let mut bytes = vec![0; size];
        self.read(at, &mut bytes)?;
        Ok(bytes)
    }

    /// Returns the text from address `at` to its NUL, of at most `longest` bytes.
    pub(super) fn text(&self, at: u64, longest: u64) -> Result<String, Failure> {
        let mut text = Vec::new();
        let mut piece = [0; 32];
        loop {
            let done = text.len() as u64;
            let here = at.saturating_add(done);
            let left = self.length.saturating_sub(here.saturating_add(self.base)).min(longest.saturating_sub(done));
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
            if count == 0 {
                return Err(Fault::CutShort { what: "name" }.into());
            }
            self.read(here, &mut piece[..count])?;
            match piece[..count].iter().position(|byte| *byte == 0) {
                Some(end) => {
                    text.extend_from_slice(&piece[..end]);
                    return Ok(String::from_utf8_lossy(&text).into_owned());
                }
                None => text.extend_from_slice(&piece[..count]),
            }
        }
    }
}
