//! Opening files, following links, reading datasets and attributes.

use std::path::Path;

use super::array::Array;
use super::bytes::Bytes;
use super::chunk::{Layout, Rows, read_rows};
use super::dtype::Dtype;
use super::error::{Error, Fault};
use super::object::{self, Object};
use super::source::{Failure, Source};

const SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";
const UNDEFINED: u64 = u64::MAX;
/// Most bytes that one read allocates unless told otherwise.
const READ_LIMIT: u64 = 256 << 20;
const LONGEST_NAME: u64 = 4096;
/// Rows of a contiguous dataset are best read in pieces of about this many bytes.
const PIECE: usize = 256 << 10;

/// A file opened for reading.
#[derive(Debug)]
pub struct File {
    source: Source,
    root: u64,
    limit: u64,
}

/// An entry of a group that leads to an object of the same file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Name in the group.
    pub name: String,
    /// Path from the root.
    pub path: String,
    /// Address of the object's header; equal for hard links to the same object.
    pub address: u64,
}

/// A name and value that an object carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Name.
    pub name: String,
    /// Value.
    pub value: Array,
}

/// A dataset that is ready to be read.
#[derive(Debug, Clone)]
pub struct Dataset {
    object: Object,
    dtype: Dtype,
    shape: Option<Vec<usize>>,
    layout: Layout,
}

impl Dataset {
    /// Returns the type of the elements.
    pub fn dtype(&self) -> &Dtype {
        &self.dtype
    }

    /// Returns the dimensions, slowest first; `None` for a null dataspace.
    pub fn shape(&self) -> Option<&[usize]> {
        self.shape.as_deref()
    }

    /// Returns the object, for its attributes.
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// Returns the number of rows that are best read at once: those of a row of chunks, or of some 256 KiB.
    pub fn rows_at_once(&self) -> usize {
        match &self.layout {
            Layout::Chunked { dims, .. } => dims[0],
            _ => {
                let rest = self.shape.as_deref().unwrap_or_default().get(1..).unwrap_or_default();
                let row = rest.iter().fold(self.dtype.size(), |size, dim| size.saturating_mul(*dim));
                (PIECE / row.max(1)).max(1)
            }
        }
    }
}

impl File {
    /// Opens a file and reads its superblock.
    ///
    /// # Errors
    /// Tells apart: not to be opened, not HDF5, shorter than it says it is, damaged.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::new(Source::open(path)?)
    }

    /// Opens a file that is held in memory.
    ///
    /// # Errors
    /// As [`File::open`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, Error> {
        Self::new(Source::from_bytes(bytes))
    }

    /// Sets how many bytes one read may allocate (default 256 MiB).
    pub fn limit_reads(&mut self, bytes: u64) {
        self.limit = bytes;
    }

    fn new(mut source: Source) -> Result<Self, Error> {
        let length = source.length();
        // The signature stands at 0 or, behind a block of the user's, at a power of two from 512 on.
        let mut at = 0;
        loop {
            let mut found = [0; 8];
            match source.read(at, &mut found) {
                Ok(()) if found == SIGNATURE => break,
                Ok(()) => {}
                Err(Failure::Fault(_)) => return Err(Error::NotHdf5 { length }),
                Err(failure) => return Err(failure.of("superblock", at)),
            }
            at = if at == 0 { 512 } else { at.saturating_mul(2) };
        }
        source.base = at;
        let superblock = |fault: Fault| Failure::from(fault).of("superblock", 0);
        let available = usize::try_from(length - at).unwrap_or(usize::MAX).min(128);
        let mut head = vec![0; available];
        source.read(0, &mut head).map_err(|failure| failure.of("superblock", 0))?;
        let (end, root) = superblock_fields(&head).map_err(superblock)?;
        // The stored end counts from the start of the file or of the superblock, depending on the writer's base.
        if end > length {
            return Err(Error::Truncated { length, stored_end: end });
        }
        Ok(Self { source, root, limit: READ_LIMIT })
    }

    /// Returns the root group.
    ///
    /// # Errors
    /// Fails if its header cannot be read.
    pub fn root(&self) -> Result<Object, Error> {
        self.object(self.root, "/")
    }

    fn object(&self, address: u64, name: &str) -> Result<Object, Error> {
        Object::read(&self.source, name, address).map_err(|failure| failure.of(name, address))
    }

    /// Returns the object that a link leads to.
    ///
    /// # Errors
    /// Fails if its header cannot be read.
    pub fn open_link(&self, link: &Link) -> Result<Object, Error> {
        self.object(link.address, &link.path)
    }

    /// Lists the hard links of a group in order of their names; soft and external links are left out.
    ///
    /// # Errors
    /// Fails if the object is no group or its index is damaged or of a kind that is not read.
    pub fn links(&self, group: &Object) -> Result<Vec<Link>, Error> {
        let mut links = Vec::new();
        self.collect_links(group, &mut links).map_err(|failure| failure.of(&group.name, group.address))?;
        links.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(links)
    }

    fn collect_links(&self, group: &Object, links: &mut Vec<Link>) -> Result<(), Failure> {
        if !group.is_group() {
            return Err(Fault::Kind { expected: "group" }.into());
        }
        let prefix = if group.name == "/" { "" } else { &group.name };
        if let Some((_, table)) = group.message(object::SYMBOL_TABLE) {
            let mut table = Bytes::new(table, "symbol table");
            let (tree, heap) = (table.u64()?, table.u64()?);
            let head = self.source.bytes(heap, 32)?;
            let mut head = Bytes::new(&head, "local heap");
            if head.take(4)? != b"HEAP" {
                return Err(Fault::Signature { at: heap, expected: "local heap" }.into());
            }
            head.take(4)?;
            let size = head.u64()?;
            head.u64()?;
            let names = Names { address: head.u64()?, size };
            let mut nodes = 0;
            self.symbols(tree, None, &names, prefix, &mut nodes, links)?;
        }
        if let Some((_, info)) = group.message(object::LINK_INFO) {
            let mut info = Bytes::new(info, "link info");
            info.u8()?;
            if info.u8()? & 1 != 0 {
                info.u64()?;
            }
            if info.u64()? != UNDEFINED {
                return Err(Fault::Unsupported { what: "a group in a fractal heap" }.into());
            }
        }
        for (_, message) in group.messages(object::LINK) {
            if let Some((name, address)) = link_message(message)? {
                links.push(Link { path: format!("{prefix}/{name}"), name, address });
            }
        }
        Ok(())
    }

    fn symbols(
        &self,
        at: u64,
        above: Option<u8>,
        names: &Names,
        prefix: &str,
        nodes: &mut u64,
        links: &mut Vec<Link>,
    ) -> Result<(), Failure> {
        const WHAT: &str = "group index";
        *nodes += 1;
        if *nodes > self.source.length() / 24 + 1 {
            return Err(Fault::Damaged { what: WHAT }.into());
        }
        let head = self.source.bytes(at, 24)?;
        let mut bytes = Bytes::new(&head, WHAT);
        if bytes.take(4)? != b"TREE" || bytes.u8()? != 0 {
            return Err(Fault::Signature { at, expected: WHAT }.into());
        }
        let level = bytes.u8()?;
        let used = u64::from(bytes.u16()?);
        if above.is_some_and(|above| level >= above) {
            return Err(Fault::Damaged { what: WHAT }.into());
        }
        let body = self.source.bytes(at.saturating_add(24), used * 16)?;
        let mut body = Bytes::new(&body, WHAT);
        for _ in 0..used {
            body.u64()?;
            let child = body.u64()?;
            if level > 0 {
                self.symbols(child, Some(level), names, prefix, nodes, links)?;
            } else {
                self.symbol_node(child, names, prefix, links)?;
            }
        }
        Ok(())
    }

    fn symbol_node(&self, at: u64, names: &Names, prefix: &str, links: &mut Vec<Link>) -> Result<(), Failure> {
        const WHAT: &str = "symbol table node";
        const SOFT: u32 = 2;
        let head = self.source.bytes(at, 8)?;
        let mut bytes = Bytes::new(&head, WHAT);
        if bytes.take(4)? != b"SNOD" {
            return Err(Fault::Signature { at, expected: WHAT }.into());
        }
        bytes.u16()?;
        let count = u64::from(bytes.u16()?);
        let body = self.source.bytes(at.saturating_add(8), count * 40)?;
        let mut body = Bytes::new(&body, WHAT);
        for _ in 0..count {
            let offset = body.u64()?;
            let address = body.u64()?;
            let cache = body.u32()?;
            body.take(20)?;
            if cache == SOFT {
                continue;
            }
            let longest = names.size.saturating_sub(offset).min(LONGEST_NAME);
            let name = self.source.text(names.address.saturating_add(offset), longest)?;
            // Every entry takes 40 bytes, so a file cannot have more than this without naming nodes twice.
            if links.len() as u64 > self.source.length() / 40 {
                return Err(Fault::Damaged { what: WHAT }.into());
            }
            links.push(Link { path: format!("{prefix}/{name}"), name, address });
        }
        Ok(())
    }

    /// Makes a dataset of an object: its type, shape and layout; no data is read.
    ///
    /// # Errors
    /// Fails if it is no dataset, is damaged or is stored in a way that is not read.
    pub fn dataset(&self, object: Object) -> Result<Dataset, Error> {
        match self.dataset_parts(&object) {
            Ok((dtype, shape, layout)) => Ok(Dataset { object, dtype, shape, layout }),
            Err(fault) => Err(Failure::from(fault).of(&object.name, object.address)),
        }
    }

    fn dataset_parts(&self, object: &Object) -> Result<(Dtype, Option<Vec<usize>>, Layout), Fault> {
        let (Some((_, layout)), Some((_, space)), Some((flags, dtype))) =
            (object.message(object::LAYOUT), object.message(object::DATASPACE), object.message(object::DATATYPE))
        else {
            return Err(Fault::Kind { expected: "dataset" });
        };
        if flags & object::SHARED != 0 {
            return Err(Fault::Unsupported { what: "a committed datatype" });
        }
        if object.message(object::EXTERNAL).is_some() {
            return Err(Fault::Unsupported { what: "data in an external file" });
        }
        let filters = object.message(object::FILTERS).map(|(_, message)| message);
        Ok((Dtype::decode(dtype)?, shape(space)?, Layout::decode(layout, filters)?))
    }

    /// Reads a whole dataset.
    ///
    /// # Errors
    /// Fails if its data is not there, cannot be unpacked or exceeds the limit.
    pub fn read(&self, dataset: &Dataset) -> Result<Array, Error> {
        let count = dataset.shape.as_deref().and_then(|shape| shape.first().copied());
        let bytes = self.read_rows(dataset, 0, count.unwrap_or(1))?;
        Ok(Array { dtype: dataset.dtype.clone(), shape: dataset.shape.clone(), bytes })
    }

    /// Reads the bytes of rows `start..start + count` (of the first dimension); a scalar is one row.
    ///
    /// # Errors
    /// As [`File::read`], and if the rows are not all inside.
    pub fn read_rows(&self, dataset: &Dataset, start: usize, count: usize) -> Result<Vec<u8>, Error> {
        let fail = |failure: Failure| failure.of(&dataset.object.name, dataset.object.address);
        let Some(shape) = dataset.shape.as_deref() else { return Ok(Vec::new()) };
        let scalar = [1];
        let dims = if shape.is_empty() { &scalar[..] } else { shape };
        if start.checked_add(count).is_none_or(|end| end > dims[0]) {
            return Err(fail(Fault::CutShort { what: "first dimension" }.into()));
        }
        let rows = Rows { dims, element: dataset.dtype.size(), start, count };
        read_rows(&self.source, &dataset.layout, rows, self.limit).map_err(fail)
    }

    /// Reads the attributes of an object, in the order of the file.
    ///
    /// # Errors
    /// Fails if one is damaged or they are stored in a way that is not read.
    pub fn attributes(&self, object: &Object) -> Result<Vec<Attribute>, Error> {
        let fail = |fault: Fault| Failure::from(fault).of(&object.name, object.address);
        if let Some((_, info)) = object.message(object::ATTRIBUTE_INFO) {
            let mut info = Bytes::new(info, "attribute info");
            let heap = info.u16().and_then(|head| {
                info.take(if head >> 8 & 1 != 0 { 2 } else { 0 })?;
                info.u64()
            });
            if heap.map_err(fail)? != UNDEFINED {
                return Err(fail(Fault::Unsupported { what: "a fractal heap of attributes" }));
            }
        }
        let mut attributes = Vec::new();
        for (flags, message) in object.messages(object::ATTRIBUTE) {
            if flags & object::SHARED != 0 {
                return Err(fail(Fault::Unsupported { what: "a shared attribute" }));
            }
            attributes.push(attribute(message).map_err(fail)?);
        }
        Ok(attributes)
    }

    /// Returns the texts of an array; a null dataspace is one empty text. Bytes that are not UTF-8 are replaced.
    ///
    /// # Errors
    /// Fails if the array is no text or a text in the heap cannot be read.
    pub fn texts(&self, array: &Array) -> Result<Vec<String>, Error> {
        if array.shape.is_none() && array.dtype.is_text() {
            return Ok(vec![String::new()]);
        }
        match &array.dtype {
            // A text of no bytes has nothing that could be cut into texts.
            Dtype::Text { size: 0 } => Ok(vec![String::new(); usize::from(array.dims().is_empty())]),
            Dtype::Text { .. } => Ok(array.bytes.chunks(array.dtype.size()).map(fixed_text).collect()),
            Dtype::VarText => {
                let mut texts = Vec::new();
                let mut total = 0;
                for place in array.bytes.chunks_exact(16) {
                    let text = self.heap_text(place).map_err(|failure| failure.of("text in the global heap", 0))?;
                    total += text.len() as u64;
                    if total > self.limit {
                        return Err(Failure::from(Fault::TooLarge { size: total, limit: self.limit }).of("texts", 0));
                    }
                    texts.push(text);
                }
                Ok(texts)
            }
            _ => Err(Failure::from(Fault::Kind { expected: "text" }).of("value", 0)),
        }
    }

    /// Returns texts of variable length as texts of fixed length, and anything else as it is.
    ///
    /// # Errors
    /// As [`File::texts`].
    pub fn fixed(&self, array: Array) -> Result<Array, Error> {
        if array.dtype != Dtype::VarText {
            return Ok(array);
        }
        let texts = self.texts(&array)?;
        // One long text makes all as long.
        let size = texts.iter().map(String::len).max().unwrap_or(0).saturating_mul(texts.len()) as u64;
        if size > self.limit {
            return Err(Failure::from(Fault::TooLarge { size, limit: self.limit }).of("texts", 0));
        }
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        Ok(Array { shape: array.shape, ..Array::texts(&texts) })
    }

    fn heap_text(&self, place: &[u8]) -> Result<String, Failure> {
        const WHAT: &str = "global heap";
        let mut place = Bytes::new(place, WHAT);
        let (length, address, wanted) = (u64::from(place.u32()?), place.u64()?, place.u32()?);
        if length == 0 || address == 0 {
            return Ok(String::new());
        }
        let head = self.source.bytes(address, 16)?;
        let mut head = Bytes::new(&head, WHAT);
        if head.take(4)? != b"GCOL" {
            return Err(Fault::Signature { at: address, expected: WHAT }.into());
        }
        head.u32()?;
        let end = address.saturating_add(head.u64()?);
        let mut at = address.saturating_add(16);
        while at.saturating_add(16) <= end {
            let object = self.source.bytes(at, 16)?;
            let mut object = Bytes::new(&object, WHAT);
            let index = u32::from(object.u16()?);
            object.take(6)?;
            let size = object.u64()?;
            if index == wanted && length <= size {
                let bytes = self.source.bytes(at + 16, length)?;
                return Ok(fixed_text(&bytes));
            }
            if index == 0 {
                break;
            }
            at = at.saturating_add(16).saturating_add(size.div_ceil(8).saturating_mul(8));
        }
        Err(Fault::Damaged { what: WHAT }.into())
    }
}

/// Where the names of a group lie.
struct Names {
    address: u64,
    size: u64,
}

/// Returns the stored end of the file and the address of the root group's header.
fn superblock_fields(head: &[u8]) -> Result<(u64, u64), Fault> {
    let mut bytes = Bytes::new(head, "superblock");
    bytes.take(8)?;
    let version = bytes.u8()?;
    let sizes = match version {
        0 | 1 => {
            bytes.take(4)?;
            let sizes = [bytes.u8()?, bytes.u8()?];
            bytes.take(if version == 0 { 9 } else { 13 })?;
            sizes
        }
        2 | 3 => {
            let sizes = [bytes.u8()?, bytes.u8()?];
            bytes.u8()?;
            sizes
        }
        _ => return Err(Fault::Unsupported { what: "a superblock of this version" }),
    };
    if sizes != [8, 8] {
        return Err(Fault::Unsupported { what: "a size of addresses other than 8 bytes" });
    }
    let _base = bytes.u64()?;
    let _free_space_or_extension = bytes.u64()?;
    let end = bytes.u64()?;
    if version < 2 {
        let _driver = bytes.u64()?;
        let _name = bytes.u64()?;
    }
    Ok((end, bytes.u64()?))
}

fn shape(message: &[u8]) -> Result<Option<Vec<usize>>, Fault> {
    const WHAT: &str = "dataspace";
    let mut bytes = Bytes::new(message, WHAT);
    let version = bytes.u8()?;
    let rank = usize::from(bytes.u8()?);
    bytes.u8()?;
    let kind = bytes.u8()?;
    match version {
        1 => {
            bytes.u32()?;
        }
        2 if kind == 2 => return Ok(None),
        2 => {}
        _ => return Err(Fault::Unsupported { what: "a dataspace of this version" }),
    }
    let mut dims = Vec::with_capacity(rank.min(32));
    for _ in 0..rank {
        dims.push(usize::try_from(bytes.u64()?).map_err(|_| Fault::Damaged { what: WHAT })?);
    }
    if dims.iter().try_fold(1_usize, |product, dim| product.checked_mul((*dim).max(1))).is_none() {
        return Err(Fault::Damaged { what: WHAT });
    }
    Ok(Some(dims))
}

fn attribute(message: &[u8]) -> Result<Attribute, Fault> {
    let mut bytes = Bytes::new(message, "attribute");
    let version = bytes.u8()?;
    let flags = bytes.u8()?;
    let sizes = [bytes.u16()?, bytes.u16()?, bytes.u16()?].map(usize::from);
    if !(1..=3).contains(&version) {
        return Err(Fault::Unsupported { what: "an attribute of this version" });
    }
    if version == 3 {
        bytes.u8()?;
    }
    let mut part = |size: usize| bytes.take(if version == 1 { size.next_multiple_of(8) } else { size });
    let name = part(sizes[0])?;
    let (stored_type, space) = (part(sizes[1])?, part(sizes[2])?);
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let shape = shape(space)?;
    let shared = version > 1 && flags & 1 != 0;
    let dtype = if shared { Dtype::Other { size: 0, class: u8::MAX } } else { Dtype::decode(stored_type)? };
    let count = shape.as_deref().map_or(0, |dims| dims.iter().product());
    let size = dtype.size().checked_mul(count).ok_or(Fault::Damaged { what: "attribute" })?;
    let value = Array { dtype, shape, bytes: bytes.take(size)?.to_vec() };
    Ok(Attribute { name: String::from_utf8_lossy(name).into_owned(), value })
}

/// Returns name and address of a hard link; `None` for links of other sorts.
fn link_message(message: &[u8]) -> Result<Option<(String, u64)>, Fault> {
    let mut bytes = Bytes::new(message, "link");
    bytes.u8()?;
    let flags = bytes.u8()?;
    let kind = if flags & 8 != 0 { bytes.u8()? } else { 0 };
    bytes.take(if flags & 4 != 0 { 8 } else { 0 })?;
    bytes.take(usize::from(flags & 0x10 != 0))?;
    let length = bytes.uint(1 << (flags & 3))?;
    let length = usize::try_from(length).map_err(|_| Fault::Damaged { what: "link" })?;
    let name = String::from_utf8_lossy(bytes.take(length)?).into_owned();
    if kind != 0 {
        return Ok(None);
    }
    Ok(Some((name, bytes.u64()?)))
}

/// Cuts padding off: everything from the first NUL on, or blanks at the end.
pub(super) fn fixed_text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}
