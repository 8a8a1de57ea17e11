//! Where the elements of a dataset lie, and getting at rows of them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rust_hdf5::FilterPipeline;
use rust_hdf5::format::messages::filter::reverse_filters_masked_into;

use super::bytes::Bytes;
use super::error::Fault;
use super::source::{Failure, Source};

const UNDEFINED: u64 = u64::MAX;
const DEFLATE: u16 = 1;
/// Deflate makes at most 1032 bytes of one.
const DEFLATE_RATIO: u64 = 1032;
/// Bytes of absent data that are given as zeros without anything in the file to justify them.
const ABSENT_LIMIT: u64 = 1 << 20;

/// Storage of a dataset.
#[derive(Debug, Clone)]
pub(super) enum Layout {
    /// In the header itself.
    Compact(Vec<u8>),
    /// In one piece.
    Contiguous {
        /// Where; all ones if nothing was written.
        address: u64,
        /// Bytes.
        size: u64,
    },
    /// In equal pieces, found through a B-tree.
    Chunked {
        /// Root of the tree; all ones if nothing was written.
        tree: u64,
        /// Extent of a chunk.
        dims: Vec<usize>,
        /// What was done to chunks, in order of writing.
        filters: Option<FilterPipeline>,
    },
}

impl Layout {
    pub(super) fn decode(message: &[u8], filters: Option<&[u8]>) -> Result<Self, Fault> {
        let mut bytes = Bytes::new(message, "layout");
        let version = bytes.u8()?;
        let class = bytes.u8()?;
        match (version, class) {
            (3 | 4, 0) => {
                let size = usize::from(bytes.u16()?);
                Ok(Self::Compact(bytes.take(size)?.to_vec()))
            }
            (3 | 4, 1) => Ok(Self::Contiguous { address: bytes.u64()?, size: bytes.u64()? }),
            (3, 2) => {
                let rank = usize::from(bytes.u8()?);
                let tree = bytes.u64()?;
                let mut dims = Vec::with_capacity(rank);
                for _ in 0..rank {
                    let dim = bytes.u32()?;
                    dims.push(usize::try_from(dim).map_err(|_| Fault::Damaged { what: "layout" })?);
                }
                // The last is the size of an element.
                if dims.pop().is_none() || dims.is_empty() || dims.contains(&0) {
                    return Err(Fault::Damaged { what: "layout" });
                }
                let filters = filters.map(|message| guarded(|| FilterPipeline::decode(message))).transpose();
                let filters = filters.map_err(|_| Fault::Damaged { what: "filter pipeline" })?;
                Ok(Self::Chunked { tree, dims, filters: filters.map(|(pipeline, _)| pipeline) })
            }
            (3 | 4, 3) => Err(Fault::Unsupported { what: "a virtual dataset" }),
            (4.., 2) => Err(Fault::Unsupported { what: "a chunk index of version 4" }),
            _ => Err(Fault::Unsupported { what: "a layout of this version" }),
        }
    }
}

/// Calls into the HDF5 crate: a panic there is a fault of the file here.
fn guarded<T, E: std::fmt::Display>(work: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("the decoder gave up".to_owned()),
    }
}

/// A part of a dataset: rows `start..start + count` of the first dimension, everything of the others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) dims: &'a [usize],
    pub(super) element: usize,
    pub(super) start: usize,
    pub(super) count: usize,
}

impl Rows<'_> {
    fn row_bytes(&self) -> Option<usize> {
        let rest = self.dims.get(1..).unwrap_or_default();
        rest.iter().try_fold(self.element, |size, dim| size.checked_mul(*dim))
    }
}

/// Reads rows of a dataset; `limit` bounds what is allocated.
pub(super) fn read_rows(source: &Source, layout: &Layout, rows: Rows<'_>, limit: u64) -> Result<Vec<u8>, Failure> {
    let damaged = Fault::Damaged { what: "extent" };
    let row = rows.row_bytes().ok_or(damaged.clone())?;
    let size = row.checked_mul(rows.count).ok_or(damaged.clone())?;
    if size as u64 > limit {
        return Err(Fault::TooLarge { size: size as u64, limit }.into());
    }
    let from = row.checked_mul(rows.start).ok_or(damaged)?;
    match layout {
        Layout::Compact(bytes) => {
            let end = from.checked_add(size);
            let found = end.and_then(|end| bytes.get(from..end));
            Ok(found.ok_or(Fault::CutShort { what: "compact dataset" })?.to_vec())
        }
        Layout::Contiguous { address: UNDEFINED, .. } => absent(size),
        Layout::Contiguous { address, size: stored } => {
            let end = (from as u64).checked_add(size as u64);
            if end.is_none_or(|end| end > *stored) {
                return Err(Fault::CutShort { what: "contiguous dataset" }.into());
            }
            if size == 0 {
                return Ok(Vec::new());
            }
            source.bytes(address.saturating_add(from as u64), size as u64)
        }
        Layout::Chunked { tree: UNDEFINED, .. } => absent(size),
        Layout::Chunked { tree, dims, filters } => {
            if dims.len() != rows.dims.len() {
                return Err(Fault::Damaged { what: "layout" }.into());
            }
            let mut search = Search { source, dims, rows: &rows, found: Vec::new(), nodes: 0 };
            if size > 0 {
                search.node(*tree, None)?;
            }
            let found = search.found;
            unpack(source, &found, dims, filters.as_ref(), &rows, size, limit)
        }
    }
}

/// Gives zeros for data that was never written.
fn absent(size: usize) -> Result<Vec<u8>, Failure> {
    if size as u64 > ABSENT_LIMIT {
        return Err(Fault::TooLarge { size: size as u64, limit: ABSENT_LIMIT }.into());
    }
    Ok(vec![0; size])
}

#[derive(Debug)]
struct Chunk {
    offsets: Vec<usize>,
    address: u64,
    stored: u64,
    mask: u32,
}

struct Search<'a> {
    source: &'a Source,
    dims: &'a [usize],
    rows: &'a Rows<'a>,
    found: Vec<Chunk>,
    nodes: u64,
}

impl Search<'_> {
    /// Collects the chunks below a node that overlap the rows; levels must go down, so that no loop is followed.
    fn node(&mut self, at: u64, above: Option<u8>) -> Result<(), Failure> {
        const WHAT: &str = "chunk index";
        self.nodes += 1;
        if self.nodes > self.source.length() / 24 + 1 {
            return Err(Fault::Damaged { what: WHAT }.into());
        }
        let head = self.source.bytes(at, 24)?;
        let mut bytes = Bytes::new(&head, WHAT);
        if bytes.take(4)? != b"TREE" || bytes.u8()? != 1 {
            return Err(Fault::Signature { at, expected: WHAT }.into());
        }
        let level = bytes.u8()?;
        let used = usize::from(bytes.u16()?);
        if above.is_some_and(|above| level >= above) {
            return Err(Fault::Damaged { what: WHAT }.into());
        }
        let key = 8 + 8 * (self.dims.len() + 1);
        let size = used * (key + 8) + key;
        let body = self.source.bytes(at.saturating_add(24), size as u64)?;
        let row_of = |n: usize| {
            let mut bytes = Bytes::new(body.get(n * (key + 8) + 8..).unwrap_or_default(), WHAT);
            bytes.u64()
        };
        let end = (self.rows.start + self.rows.count) as u64;
        for n in 0..used {
            let (this, next) = (row_of(n)?, row_of(n + 1)?);
            let first = if level == 0 { this.saturating_add(self.dims[0] as u64) } else { next.saturating_add(1) };
            if this >= end || first <= self.rows.start as u64 {
                continue;
            }
            let mut bytes = Bytes::new(&body[n * (key + 8)..], WHAT);
            let (stored, mask) = (bytes.u32()?, bytes.u32()?);
            let mut offsets = Vec::with_capacity(self.dims.len());
            for dim in self.dims {
                let offset = bytes.u64()?;
                let offset = usize::try_from(offset).ok().filter(|offset| offset.is_multiple_of(*dim));
                offsets.push(offset.ok_or(Fault::Damaged { what: WHAT })?);
            }
            bytes.u64()?;
            let child = bytes.u64()?;
            if level > 0 {
                self.node(child, Some(level))?;
            } else {
                self.source.check(child, stored.into())?;
                self.found.push(Chunk { offsets, address: child, stored: stored.into(), mask });
            }
        }
        Ok(())
    }
}

/// Unpacks chunks and puts what they hold of the rows in its place.
fn unpack(
    source: &Source,
    chunks: &[Chunk],
    dims: &[usize],
    filters: Option<&FilterPipeline>,
    rows: &Rows<'_>,
    size: usize,
    limit: u64,
) -> Result<Vec<u8>, Failure> {
    let image = dims.iter().try_fold(rows.element, |size, dim| size.checked_mul(*dim));
    let image = image.filter(|image| *image as u64 <= limit).ok_or(Fault::TooLarge { size: u64::MAX, limit })?;
    // Each place of the grid can be filled once: a file that names fewer chunks than its extent needs, or the same
    // one again and again, cannot make much of little.
    let across = rows.dims.iter().zip(dims).skip(1).map(|(extent, dim)| extent.div_ceil(*dim));
    let first = rows.start / dims[0];
    let along = (rows.start + rows.count).div_ceil(dims[0]) - first.min(rows.start + rows.count);
    let needed = across.fold(along, usize::saturating_mul);
    if chunks.len() > needed {
        return Err(Fault::Damaged { what: "chunk index" }.into());
    }
    if chunks.len() < needed {
        absent(size)?;
    }
    let mut out = Vec::new();
    let mut buffer = Vec::new();
    for chunk in chunks {
        let fault = |message: String| Fault::Chunk { at: chunk.address, message };
        let active = filters.filter(|pipeline| !pipeline.filters.is_empty());
        let packed = active.is_some_and(|pipeline| pipeline.filters.iter().any(|filter| filter.id == DEFLATE));
        let largest = if packed { chunk.stored.saturating_mul(DEFLATE_RATIO) + DEFLATE_RATIO } else { u64::MAX };
        if image as u64 > largest {
            return Err(fault(format!("{} bytes cannot unpack to {image}", chunk.stored)).into());
        }
        let stored = source.bytes(chunk.address, chunk.stored)?;
        buffer.clear();
        let unpacked: &[u8] = match active {
            None => &stored,
            Some(pipeline) => {
                buffer.resize(image, 0);
                guarded(|| reverse_filters_masked_into(pipeline, &stored, chunk.mask, &mut buffer)).map_err(fault)?;
                &buffer
            }
        };
        if unpacked.len() != image {
            return Err(fault(format!("it holds {} bytes, not {image}", unpacked.len())).into());
        }
        if out.is_empty() {
            out.resize(size, 0);
        }
        place(unpacked, &chunk.offsets, dims, rows, &mut out).ok_or_else(|| fault("it lies outside".to_owned()))?;
    }
    out.resize(size, 0);
    Ok(out)
}

/// Copies the overlap of a chunk and the rows, run by run along the last dimension.
fn place(chunk: &[u8], offsets: &[usize], dims: &[usize], rows: &Rows<'_>, out: &mut [u8]) -> Option<()> {
    let rank = dims.len();
    // Per axis: first element inside the chunk, first element inside the output, how many.
    let mut from = vec![0; rank];
    let mut to = vec![0; rank];
    let mut extent = vec![0; rank];
    for axis in 0..rank {
        let (low, high) = if axis == 0 { (rows.start, rows.start + rows.count) } else { (0, rows.dims[axis]) };
        let begin = offsets[axis].max(low);
        let end = offsets[axis].checked_add(dims[axis])?.min(high);
        if begin >= end {
            return Some(());
        }
        from[axis] = begin - offsets[axis];
        to[axis] = begin - low;
        extent[axis] = end - begin;
    }
    let run = extent[rank - 1] * rows.element;
    let mut counter = vec![0; rank];
    loop {
        let (mut source, mut target) = (0, 0);
        for axis in 0..rank {
            let width = if axis == 0 { rows.count } else { rows.dims[axis] };
            source = source * dims[axis] + from[axis] + counter[axis];
            target = target * width + to[axis] + counter[axis];
        }
        let (source, target) = (source * rows.element, target * rows.element);
        out.get_mut(target..target + run)?.copy_from_slice(chunk.get(source..source + run)?);
        let mut axis = rank.checked_sub(1)?;
        loop {
            if axis == 0 {
                return Some(());
            }
            axis -= 1;
            counter[axis] += 1;
            if counter[axis] < extent[axis] {
                break;
            }
            counter[axis] = 0;
        }
    }
}
