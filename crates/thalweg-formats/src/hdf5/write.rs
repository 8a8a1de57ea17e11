//! Writing files in the oldest layout, which every reader knows.

use std::borrow::Cow;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use rust_hdf5::format::messages::datatype::EnumMember;
use rust_hdf5::{DatatypeMessage, H5Dataset, H5File, H5Group, H5Type, LibverBound};

use super::array::Array;
use super::dtype::Dtype;
use super::error::Error;

/// How the elements of a dataset are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Storage {
    /// In one piece.
    Contiguous,
    /// In chunks of the given extent, deflated at a level of 1 to 9.
    Deflate {
        /// Level.
        level: u32,
        /// Extent of a chunk, one number per dimension.
        chunk: Vec<usize>,
    },
}

/// A file being written. It is complete only after [`FileWriter::close`].
pub struct FileWriter {
    file: H5File,
    name: String,
}

impl std::fmt::Debug for FileWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileWriter").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Calls into the HDF5 crate; its errors and panics become errors that name the object.
fn guarded<T, E: Display>(name: &str, work: impl FnOnce() -> Result<T, E>) -> Result<T, Error> {
    let message = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the writer gave up".to_owned(),
    };
    Err(Error::Write { name: name.to_owned(), message })
}

fn datatype(dtype: &Dtype) -> Option<DatatypeMessage> {
    Some(match dtype {
        Dtype::Int { size: 1, signed: false } => DatatypeMessage::u8_type(),
        Dtype::Int { size: 1, signed: true } => DatatypeMessage::i8_type(),
        Dtype::Int { size: 2, signed: false } => DatatypeMessage::u16_type(),
        Dtype::Int { size: 2, signed: true } => DatatypeMessage::i16_type(),
        Dtype::Int { size: 4, signed: false } => DatatypeMessage::u32_type(),
        Dtype::Int { size: 4, signed: true } => DatatypeMessage::i32_type(),
        Dtype::Int { size: 8, signed: false } => DatatypeMessage::u64_type(),
        Dtype::Int { size: 8, signed: true } => DatatypeMessage::i64_type(),
        Dtype::Float { size: 4 } => DatatypeMessage::f32_type(),
        Dtype::Float { size: 8 } => DatatypeMessage::f64_type(),
        Dtype::Bool => {
            let member = |name: &str, value: u8| EnumMember { name: name.to_owned(), value: vec![value] };
            // Signed, as the usual writer has it.
            DatatypeMessage::enumeration(DatatypeMessage::i8_type(), vec![member("FALSE", 0), member("TRUE", 1)])
        }
        Dtype::Complex64 => rust_hdf5::Complex32::hdf5_type(),
        // NUL-padded ASCII.
        Dtype::Text { size } => DatatypeMessage::FixedString { size: *size, padding: 1, charset: 0 },
        _ => return None,
    })
}

impl FileWriter {
    /// Makes a file; one that exists is replaced.
    ///
    /// # Errors
    /// Fails if it cannot be made.
    pub fn create(path: &Path) -> Result<Self, Error> {
        let name = path.display().to_string();
        let file = guarded(&name, || H5File::options().no_locking().libver(LibverBound::Earliest).create(path))?;
        Ok(Self { file, name })
    }

    /// Makes a group below the root.
    ///
    /// # Errors
    /// Fails if there is one of the name already.
    pub fn group(&self, name: &str) -> Result<GroupWriter, Error> {
        let group = guarded(name, || self.file.create_group(name))?;
        Ok(GroupWriter { group, path: name.to_owned() })
    }

    /// Returns the root group.
    pub fn root(&self) -> GroupWriter {
        GroupWriter { group: self.file.root_group(), path: String::new() }
    }

    /// Completes the file and synchronises it with the disk.
    ///
    /// # Errors
    /// Fails if that fails; the file is then not complete.
    pub fn close(self) -> Result<(), Error> {
        guarded(&self.name, || self.file.close())
    }
}

/// A group being written.
pub struct GroupWriter {
    group: H5Group,
    path: String,
}

impl std::fmt::Debug for GroupWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupWriter").field("path", &self.path).finish_non_exhaustive()
    }
}

impl GroupWriter {
    fn child(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}/{name}", self.path) }
    }

    /// Writes a scalar attribute.
    ///
    /// # Errors
    /// Fails for a type that is not written.
    pub fn attribute(&self, name: &str, value: &Array) -> Result<(), Error> {
        let path = self.child(name);
        let value = there(value);
        let dtype = supported(&path, &value)?;
        guarded(&path, || self.group.set_attr_typed(name, dtype, value.bytes.clone()))
    }

    /// Writes a dataset with scalar attributes of its own. A scalar is always stored in one piece.
    ///
    /// # Errors
    /// Fails for a type that is not written, or if the bytes do not fill the shape.
    pub fn dataset(
        &self,
        name: &str,
        value: &Array,
        storage: &Storage,
        attributes: &[(&str, Array)],
    ) -> Result<(), Error> {
        let path = self.child(name);
        let value = there(value);
        supported(&path, &value)?;
        let dataset = guarded(&path, || self.create(name, &value, storage))?;
        if !value.bytes.is_empty() {
            guarded(&path, || dataset.write_raw_bytes(&value.bytes))?;
        }
        notes(&dataset, &path, attributes)
    }

    fn create(&self, name: &str, value: &Array, storage: &Storage) -> rust_hdf5::Result<H5Dataset> {
        let dims = value.dims();
        let dtype = datatype(&value.dtype).unwrap_or_else(DatatypeMessage::u8_type);
        let builder = self.group.new_dataset::<u8>().datatype(dtype);
        let builder = if dims.is_empty() { builder.scalar() } else { builder.shape(dims) };
        let builder = match storage {
            Storage::Deflate { level, chunk } if !dims.is_empty() => builder.chunk(chunk).deflate(*level),
            _ => builder,
        };
        builder.create(name)
    }

    /// Makes a dataset `[count, dims ...]` that is written row by row, deflated.
    ///
    /// # Errors
    /// Fails for a type that is not written.
    pub fn rows(
        &self,
        name: &str,
        dtype: &Dtype,
        count: usize,
        dims: &[usize],
        level: u32,
    ) -> Result<RowWriter, Error> {
        let shape: Vec<usize> = std::iter::once(count).chain(dims.iter().copied()).collect();
        self.in_rows(name, dtype, shape, dims.iter().product::<usize>() * dtype.size(), level)
    }

    /// Makes a dataset of one dimension that is written piece by piece, `count` of `length` elements each, deflated.
    ///
    /// # Errors
    /// As [`GroupWriter::rows`].
    pub fn run(
        &self,
        name: &str,
        dtype: &Dtype,
        count: usize,
        length: usize,
        level: u32,
        attributes: &[(&str, Array)],
    ) -> Result<RowWriter, Error> {
        let rows = self.in_rows(name, dtype, vec![count * length], length * dtype.size(), level)?;
        if let Some(dataset) = &rows.dataset {
            notes(dataset, &rows.path, attributes)?;
        }
        Ok(rows)
    }

    fn in_rows(
        &self,
        name: &str,
        dtype: &Dtype,
        shape: Vec<usize>,
        row: usize,
        level: u32,
    ) -> Result<RowWriter, Error> {
        let path = self.child(name);
        if shape.contains(&0) {
            // Nothing will ever be in it, and chunks have an extent.
            let empty = Array { dtype: dtype.clone(), shape: Some(shape), bytes: Vec::new() };
            self.dataset(name, &empty, &Storage::Contiguous, &[])?;
            return Ok(RowWriter { dataset: None, path, size: 0, pending: Vec::new(), next: 0 });
        }
        let all = shape[0] * shape[1..].iter().product::<usize>() * dtype.size();
        let count = all / row;
        let rows = (CHUNK / row).clamp(1, count);
        let mut chunk = shape.clone();
        chunk[0] = rows * (shape[0] / count);
        let frame = Array { dtype: dtype.clone(), shape: Some(shape), bytes: Vec::new() };
        let known = datatype(dtype).is_some();
        if !known {
            return Err(Error::Write { name: path, message: format!("the type {dtype} is not written") });
        }
        let dataset = guarded(&path, || self.create(name, &frame, &Storage::Deflate { level, chunk }))?;
        Ok(RowWriter { dataset: Some(dataset), path, size: rows * row, pending: Vec::new(), next: 0 })
    }

    /// Makes a hard link in this group to the object at `path` (from the root).
    ///
    /// # Errors
    /// Fails if there is no such object.
    pub fn link(&self, name: &str, path: &str) -> Result<(), Error> {
        guarded(&self.child(name), || self.group.link(name, path))
    }
}

/// Bytes that a chunk of rows has at most, unless one row has more.
const CHUNK: usize = 1 << 20;

/// A dataset that is written row by row; it is complete after [`RowWriter::finish`].
pub struct RowWriter {
    /// None if it has no elements.
    dataset: Option<H5Dataset>,
    path: String,
    /// Bytes of a chunk.
    size: usize,
    pending: Vec<u8>,
    next: usize,
}

impl std::fmt::Debug for RowWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowWriter").field("path", &self.path).finish_non_exhaustive()
    }
}

impl RowWriter {
    /// Appends the bytes of a row.
    ///
    /// # Errors
    /// Fails if they cannot be written.
    pub fn push(&mut self, row: &[u8]) -> Result<(), Error> {
        if self.dataset.is_none() {
            return Ok(());
        }
        self.pending.extend_from_slice(row);
        if self.pending.len() >= self.size { self.chunk() } else { Ok(()) }
    }

    fn chunk(&mut self) -> Result<(), Error> {
        let Some(dataset) = &self.dataset else { return Ok(()) };
        guarded(&self.path, || dataset.write_chunk(self.next, &self.pending))?;
        self.next += 1;
        self.pending.clear();
        Ok(())
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// As [`RowWriter::push`].
    pub fn finish(mut self) -> Result<(), Error> {
        if self.pending.is_empty() {
            return Ok(());
        }
        // The last chunk reaches beyond the extent.
        self.pending.resize(self.size, 0);
        self.chunk()
    }
}

fn notes(dataset: &H5Dataset, path: &str, attributes: &[(&str, Array)]) -> Result<(), Error> {
    for (name, value) in attributes {
        let value = there(value);
        let dtype = supported(path, &value)?;
        guarded(path, || dataset.set_attr_typed(name, dtype, value.bytes.clone()))?;
    }
    Ok(())
}

/// Text in a null dataspace, or of no bytes, means the empty text; that is written as one NUL.
fn there(value: &Array) -> Cow<'_, Array> {
    let none = value.shape.is_none() || (value.bytes.is_empty() && value.dims().is_empty());
    if value.dtype.is_text() && none { Cow::Owned(Array::text("")) } else { Cow::Borrowed(value) }
}

fn supported(path: &str, value: &Array) -> Result<DatatypeMessage, Error> {
    let error = |message: String| Error::Write { name: path.to_owned(), message };
    let expected = value.len().checked_mul(value.dtype.size());
    if expected != Some(value.bytes.len()) {
        return Err(error(format!("{} bytes do not fill the shape {:?}", value.bytes.len(), value.dims())));
    }
    datatype(&value.dtype).ok_or_else(|| error(format!("the type {} is not written", value.dtype)))
}
