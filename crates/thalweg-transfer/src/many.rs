//! Copying many small files with shared flushes.

use thalweg_core::RelPath;
use thalweg_store::Store;

use crate::{Copied, CopyOptions, TransferError, copy_verified};

/// Copies many files; one answer for each, in order.
pub fn copy_many(
    source: &dyn Store,
    destination: &dyn Store,
    files: &[(RelPath, RelPath)],
    options: &CopyOptions<'_>,
) -> Vec<Result<Copied, TransferError>> {
    files.iter().map(|(from, to)| copy_verified(source, from, destination, to, options)).collect()
}
