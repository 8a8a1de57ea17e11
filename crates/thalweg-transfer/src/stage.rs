//! Reading a source once, while hashing, into a staged file at the destination.

use std::io::ErrorKind;

use thalweg_core::{ContentHash, RelPath};
use thalweg_store::{Hasher, Meta, ReadStable, Store, StoreError, WriteStaged, hash_stream};

use crate::{CopyOptions, TransferError, Verify};

/// Bytes moved at once.
pub(crate) const BUFFER: usize = 1 << 20;

/// Bytes written between two flushes of a long file: what a power cut may cost.
const FLUSH_EVERY: u64 = 64 << 20;

/// The two ends of one staging.
pub(crate) struct Ends<'a> {
    pub(crate) source: &'a dyn Store,
    pub(crate) from: &'a RelPath,
    pub(crate) destination: &'a dyn Store,
    pub(crate) staged: &'a RelPath,
}

/// A staged and proven file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Staged {
    /// Digest of all bytes.
    pub(crate) hash: ContentHash,
    /// Number of bytes.
    pub(crate) size: u64,
    /// The version of the source that was read.
    pub(crate) source: Meta,
    /// Bytes taken over from an interrupted attempt.
    pub(crate) resumed_from: u64,
}

/// Where a report of progress stands within a larger work.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    /// Bytes done before this file.
    pub(crate) before: u64,
    /// Bytes in all, if more than this file.
    pub(crate) total: Option<u64>,
}

/// Stages one file: afterwards its bytes, size, time and mode at the destination are those of one version of the source.
///
/// What an interrupted attempt left under the staged name is compared with the source and taken over as far as equal.
pub(crate) fn stage_file(
    ends: &Ends<'_>,
    options: &CopyOptions<'_>,
    progress: Progress,
    buffer: &mut Vec<u8>,
) -> Result<Staged, TransferError> {
    let Ends { source, from, destination, staged } = *ends;
    let at_source = || TransferError::at_source(from);
    let at_destination = || TransferError::at_destination(staged);
    let mut reader = source.open_read(from).map_err(at_source())?;
    let opened = *reader.opened();
    let total = progress.total.unwrap_or(opened.size);
    let wanted = BUFFER.min(usize::try_from(opened.size).unwrap_or(BUFFER)).max(4096);
    if buffer.len() < wanted {
        buffer.resize(wanted, 0);
    }

    let mut hasher = Hasher::new();
    let resumed_from = equal_prefix(ends, &mut *reader, &mut hasher, options, buffer)?;
    let dense = reader.data_after(0).map_err(at_source())?.is_none_or(|data| data == (0..opened.size));
    let reserve = if dense { opened.size } else { 0 };
    let mut writer = destination.write_staged(staged, resumed_from, reserve).map_err(at_destination())?;

    let mut at = resumed_from;
    let mut flushed = at;
    loop {
        let Some(data) = reader.data_after(at).map_err(at_source())? else {
            let hole = opened.size.saturating_sub(at);
            write_hole(&mut *writer, &mut hasher, hole).map_err(at_destination())?;
            at += hole;
            break;
        };
        write_hole(&mut *writer, &mut hasher, data.start.saturating_sub(at)).map_err(at_destination())?;
        at = at.max(data.start);
        reader.seek_to(at).map_err(at_source())?;
        let mut ended = false;
        while at < data.end {
            options.check_cancel(from)?;
            let want = usize::try_from(data.end - at).unwrap_or(usize::MAX).min(buffer.len());
            let got = read_full(&mut *reader, &mut buffer[..want], from)?;
            hasher.update(&buffer[..got]);
            writer.append(&buffer[..got]).map_err(at_destination())?;
            at += got as u64;
            options.progress(progress.before + at, total);
            if got < want {
                ended = true;
                break;
            }
            if at - flushed >= FLUSH_EVERY {
                writer.flush_to_medium().map_err(at_destination())?;
                flushed = at;
            }
        }
        if ended || at >= opened.size {
            break;
        }
    }
    // The source decides first: a version that changed is worth nothing, whatever the destination says.
    let source_meta = reader.finish(at).map_err(at_source())?;
    // Through the handle that wrote it: of a server that started again meanwhile only that one tells.
    writer.flush_to_medium().map_err(at_destination())?;
    let mode = options.mode.unwrap_or(source_meta.mode & 0o777);
    let written =
        writer.finish(options.keep_mtime.then_some(source_meta.mtime_ns), Some(mode)).map_err(at_destination())?;
    if written.size != at {
        return Err(TransferError::WrongSize { path: staged.clone(), expected: at, found: written.size });
    }
    let hash = hasher.digest();
    if options.verify == Verify::Readback {
        let back = destination.open_read_back(staged).and_then(|file| hash_stream(file, staged, &mut |_| {}));
        let found = back.map_err(at_destination())?.hash;
        if found != hash {
            return Err(TransferError::Corrupted { path: staged.clone(), expected: hash, found });
        }
    }
    Ok(Staged { hash, size: at, source: source_meta, resumed_from })
}

/// Adds zeros to file and digest.
fn write_hole(writer: &mut dyn WriteStaged, hasher: &mut Hasher, length: u64) -> Result<(), StoreError> {
    if length > 0 {
        hasher.update_zeros(length);
        writer.append_hole(length)?;
    }
    Ok(())
}

/// Fills the buffer as far as the file goes.
fn read_full(file: &mut dyn ReadStable, buffer: &mut [u8], path: &RelPath) -> Result<usize, TransferError> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(got) => filled += got,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                let source = StoreError::Io { action: "read", path: path.clone(), source: error };
                return Err(TransferError::Source { path: path.clone(), source });
            }
        }
    }
    Ok(filled)
}

/// Compares what lies staged with the source, block by block, and returns how many bytes agree.
///
/// The hasher has taken in exactly those bytes afterwards. A file of one block is not worth the comparison.
fn equal_prefix(
    ends: &Ends<'_>,
    reader: &mut dyn ReadStable,
    hasher: &mut Hasher,
    options: &CopyOptions<'_>,
    buffer: &mut [u8],
) -> Result<u64, TransferError> {
    let size = reader.opened().size;
    if size <= BUFFER as u64 {
        return Ok(0);
    }
    let staged = match ends.destination.stat(ends.staged).map_err(TransferError::at_destination(ends.staged))? {
        Some(meta) if meta.size > 0 => meta,
        _ => return Ok(0),
    };
    let mut left = ends.destination.open_read(ends.staged).map_err(TransferError::at_destination(ends.staged))?;
    let mut other = vec![0; buffer.len()];
    let mut at = 0;
    let end = staged.size.min(size);
    while at < end {
        options.check_cancel(ends.from)?;
        let want = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        let here = read_full(reader, &mut buffer[..want], ends.from)?;
        let there = read_full(&mut *left, &mut other[..want], ends.staged)?;
        if here != want || there != want || buffer[..want] != other[..want] {
            break;
        }
        hasher.update(&buffer[..want]);
        at += want as u64;
    }
    reader.seek_to(at).map_err(TransferError::at_source(ends.from))?;
    Ok(at)
}
