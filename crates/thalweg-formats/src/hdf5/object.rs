//! Object headers: the messages that make something a group or a dataset.

use std::ops::Range;

use super::bytes::Bytes;
use super::error::Fault;
use super::source::{Failure, Source};

/// Most bytes of messages of one object; its attributes are at most 64 KiB each.
const HEADER_LIMIT: u64 = 16 << 20;
const CONTINUATIONS: usize = 4096;

pub(super) const DATASPACE: u16 = 0x01;
pub(super) const LINK_INFO: u16 = 0x02;
pub(super) const DATATYPE: u16 = 0x03;
pub(super) const LINK: u16 = 0x06;
pub(super) const EXTERNAL: u16 = 0x07;
pub(super) const LAYOUT: u16 = 0x08;
pub(super) const FILTERS: u16 = 0x0b;
pub(super) const ATTRIBUTE: u16 = 0x0c;
const CONTINUATION: u16 = 0x10;
pub(super) const SYMBOL_TABLE: u16 = 0x11;
pub(super) const ATTRIBUTE_INFO: u16 = 0x15;

/// Flag of a message whose body stands elsewhere.
pub(super) const SHARED: u8 = 2;

/// A group or dataset, by the messages of its header.
#[derive(Debug, Clone)]
pub struct Object {
    /// Path from the root, for messages.
    pub name: String,
    /// Address of the header: the identity of the object, whatever links lead to it.
    pub address: u64,
    blocks: Vec<u8>,
    messages: Vec<(u16, u8, Range<usize>)>,
}

impl Object {
    /// Tells if it is a group.
    pub fn is_group(&self) -> bool {
        self.messages.iter().any(|(kind, ..)| matches!(*kind, SYMBOL_TABLE | LINK_INFO | LINK))
    }

    /// Tells if it is a dataset.
    pub fn is_dataset(&self) -> bool {
        self.messages.iter().any(|(kind, ..)| *kind == LAYOUT)
    }

    /// Returns flags and bodies of the messages of one kind.
    pub(super) fn messages(&self, wanted: u16) -> impl Iterator<Item = (u8, &[u8])> {
        let of_kind = self.messages.iter().filter(move |(kind, ..)| *kind == wanted);
        of_kind.map(|(_, flags, range)| (*flags, self.blocks.get(range.clone()).unwrap_or_default()))
    }

    /// Returns flags and body of the first message of one kind.
    pub(super) fn message(&self, wanted: u16) -> Option<(u8, &[u8])> {
        self.messages(wanted).next()
    }

    pub(super) fn read(source: &Source, name: &str, address: u64) -> Result<Self, Failure> {
        let mut object = Self { name: name.to_owned(), address, blocks: Vec::new(), messages: Vec::new() };
        let head = source.bytes(address, 16)?;
        let mut next: Vec<(u64, u64)> = Vec::new();
        let version2 = head.starts_with(b"OHDR");
        let mut tracked = false;
        if version2 {
            let flags = head[5];
            if head[4] != 2 {
                return Err(Fault::Damaged { what: "object header" }.into());
            }
            tracked = flags & 4 != 0;
            let skip = 6 + if flags & 0x20 != 0 { 16 } else { 0 } + if flags & 0x10 != 0 { 4 } else { 0 };
            let width = 1_u64 << (flags & 3);
            let size = source.bytes(address.saturating_add(skip), width)?;
            let size = Bytes::new(&size, "object header").uint(size.len())?;
            next.push((address.saturating_add(skip + width), size));
        } else {
            let mut bytes = Bytes::new(&head, "object header");
            if bytes.u8()? != 1 {
                return Err(Fault::Signature { at: address, expected: "object header" }.into());
            }
            bytes.take(7)?;
            next.push((address.saturating_add(16), bytes.u32()?.into()));
        }
        let (mut total, mut count) = (0_u64, 0);
        while let Some((at, size)) = next.pop() {
            total = total.saturating_add(size);
            count += 1;
            if total > HEADER_LIMIT || count > CONTINUATIONS {
                return Err(Fault::TooLarge { size: total, limit: HEADER_LIMIT }.into());
            }
            let block = source.bytes(at, size)?;
            let start = object.blocks.len();
            object.blocks.extend_from_slice(&block);
            object.parse_block(start, version2, tracked, &mut next)?;
        }
        Ok(object)
    }

    /// Cuts the block that starts at `start` into messages; a rest too small for one is a gap.
    fn parse_block(
        &mut self,
        start: usize,
        version2: bool,
        tracked: bool,
        next: &mut Vec<(u64, u64)>,
    ) -> Result<(), Fault> {
        const WHAT: &str = "object header";
        let prefix = if version2 { 4 + if tracked { 2 } else { 0 } } else { 8 };
        let mut at = start;
        while self.blocks.len() - at >= prefix {
            let mut bytes = Bytes::new(&self.blocks[at..], WHAT);
            let kind = if version2 { u16::from(bytes.u8()?) } else { bytes.u16()? };
            let size = usize::from(bytes.u16()?);
            let flags = bytes.u8()?;
            let body = at + prefix..at + prefix + size;
            let Some(content) = self.blocks.get(body.clone()) else {
                return Err(Fault::CutShort { what: WHAT });
            };
            at = body.end;
            if kind == CONTINUATION {
                let mut content = Bytes::new(content, "continuation");
                let (address, length) = (content.u64()?, content.u64()?);
                // A block of version 2 is wrapped in a signature of 4 bytes and a checksum of 4 bytes.
                next.push(if version2 {
                    (address.saturating_add(4), length.saturating_sub(8))
                } else {
                    (address, length)
                });
            } else if kind != 0 {
                self.messages.push((kind, flags, body));
            }
        }
        Ok(())
    }
}
