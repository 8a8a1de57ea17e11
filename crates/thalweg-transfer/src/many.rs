//! Copying many small files with shared flushes.

use std::collections::BTreeMap;

use thalweg_core::RelPath;
use thalweg_store::{Kind, Store, StoreError};

use crate::copy::{copy_or_find, discard, give_up};
use crate::stage::{BUFFER, Ends, Progress, Staged, stage_file};
use crate::{Copied, CopyOptions, TransferError};

/// Most files staged before they are published together.
const FILES_AT_ONCE: usize = 512;

/// Most bytes staged before they are published together; a larger file goes alone.
const BYTES_AT_ONCE: u64 = 64 << 20;

/// A file that is staged and waits for its name.
struct Waiting {
    /// Place in the caller's list.
    index: usize,
    staged: RelPath,
    done: Staged,
}

/// Copies many files with the promises of [`crate::copy_verified`] for each; one answer for each, in order.
///
/// Small files whose names are free are staged, flushed side by side, named, and the folders flushed once for all;
/// everything else goes the way of [`crate::copy_verified`]. A failure of one file touches no other. `options.expected` is not
/// used, and progress is told per file.
pub fn copy_many(
    source: &dyn Store,
    destination: &dyn Store,
    files: &[(RelPath, RelPath)],
    options: &CopyOptions<'_>,
) -> Vec<Result<Copied, TransferError>> {
    let options = &CopyOptions { expected: None, ..*options };
    let mut batch = Batch {
        source,
        destination,
        files,
        options,
        alone: format!("{}.one", options.task_id),
        stagings: BTreeMap::new(),
        waiting: Vec::new(),
        found: Vec::new(),
        bytes: 0,
        buffer: Vec::new(),
        results: files.iter().map(|_| None).collect(),
    };
    for index in 0..files.len() {
        batch.take(index);
        if batch.waiting.len() + batch.found.len() >= FILES_AT_ONCE || batch.bytes >= BYTES_AT_ONCE {
            batch.publish();
        }
    }
    batch.publish();
    for staging in batch.stagings.values() {
        discard(destination, staging);
    }
    let unanswered = |index: usize| TransferError::Cancelled { path: files[index].0.clone() };
    batch
        .results
        .into_iter()
        .enumerate()
        .map(|(index, result)| result.unwrap_or_else(|| Err(unanswered(index))))
        .collect()
}

/// The work of one call.
struct Batch<'a> {
    source: &'a dyn Store,
    destination: &'a dyn Store,
    files: &'a [(RelPath, RelPath)],
    options: &'a CopyOptions<'a>,
    /// Task id for files that go alone: they must not discard what waits.
    alone: String,
    /// Staging folder by target folder.
    stagings: BTreeMap<RelPath, RelPath>,
    waiting: Vec<Waiting>,
    /// Places in the caller's list of files that were there already and are to be flushed.
    found: Vec<usize>,
    bytes: u64,
    buffer: Vec<u8>,
    results: Vec<Option<Result<Copied, TransferError>>>,
}

impl Batch<'_> {
    /// Stages one file, or copies it at once if it cannot wait for the others.
    fn take(&mut self, index: usize) {
        match self.stage(index) {
            Ok(Some(waiting)) => {
                self.bytes += waiting.done.size;
                self.waiting.push(waiting);
            }
            Ok(None) => self.copy_alone(index),
            Err(error) => self.results[index] = Some(Err(error)),
        }
    }

    fn copy_alone(&mut self, index: usize) {
        let (from, to) = &self.files[index];
        let options = CopyOptions { task_id: &self.alone, ..*self.options };
        let result = copy_or_find(self.source, from, self.destination, to, &options);
        if result.as_ref().is_ok_and(|copied| copied.already_there) {
            self.found.push(index);
        }
        self.results[index] = Some(result);
    }

    /// Stages one file if it is small, regular and its name is free.
    fn stage(&mut self, index: usize) -> Result<Option<Waiting>, TransferError> {
        let (from, to) = &self.files[index];
        self.options.check_cancel(from)?;
        let meta = self.source.stat(from).map_err(TransferError::at_source(from))?;
        let small = meta.is_some_and(|meta| meta.kind == Kind::File && meta.size <= BUFFER as u64);
        if !small || self.destination.stat(to).map_err(TransferError::at_destination(to))?.is_some() {
            return Ok(None);
        }
        let folder = to.parent();
        let staging = match self.stagings.get(&folder) {
            Some(staging) => staging.clone(),
            None => {
                let made =
                    self.destination.staging(self.options.task_id, to).map_err(TransferError::at_destination(to))?;
                self.stagings.insert(folder, made.clone());
                made
            }
        };
        let staged = staging.join(&index.to_string());
        let ends = Ends { source: self.source, from, destination: self.destination, staged: &staged };
        let done = stage_file(&ends, self.options, Progress { before: 0, total: None }, &mut self.buffer)
            .inspect_err(|error| give_up(self.destination, &staged, error))?;
        Ok(Some(Waiting { index, staged, done }))
    }

    /// Flushes what was there already.
    fn flush_found(&mut self) {
        let place = |index: &usize| match &self.results[*index] {
            Some(Ok(copied)) => Some((*index, copied.path.clone())),
            _ => None,
        };
        let (indices, paths): (Vec<usize>, Vec<RelPath>) = self.found.iter().filter_map(place).unzip();
        self.found.clear();
        let flushed = self.destination.flush_all(&paths);
        for ((index, path), flushed) in indices.into_iter().zip(paths).zip(flushed) {
            if let Err(source) = flushed {
                self.results[index] = Some(Err(TransferError::Destination { path, source }));
            }
        }
    }

    /// Names all that waits.
    fn publish(&mut self) {
        self.bytes = 0;
        let waiting = std::mem::take(&mut self.waiting);
        let names: Vec<(RelPath, RelPath)> =
            waiting.iter().map(|one| (one.staged.clone(), self.files[one.index].1.clone())).collect();
        let published = self.destination.publish_all(&names);
        for ((one, (_, target)), result) in waiting.into_iter().zip(names).zip(published) {
            let Staged { hash, size, resumed_from, .. } = one.done;
            match result {
                Ok(meta) => {
                    let copied = Copied { path: target, hash, size, meta, already_there: false, resumed_from };
                    self.results[one.index] = Some(Ok(copied));
                }
                // Somebody took the name meanwhile: the conflict rule speaks.
                Err(StoreError::AlreadyExists { .. }) => self.copy_alone(one.index),
                Err(source) => {
                    self.results[one.index] = Some(Err(TransferError::Destination { path: target, source }));
                }
            }
        }
        self.flush_found();
    }
}
