//! Copying one file, or one folder as a unit.

use thalweg_core::{ContentHash, RelPath};
use thalweg_store::{Kind, Publish, Store, StoreError};

use crate::folder::stage_folder;
use crate::present::{Known, Verdict, look};
use crate::stage::{Ends, Progress, Staged, stage_file};
use crate::{Copied, CopyOptions, TransferError};

/// Name of the content inside the staging folder: short, whatever the file is called.
pub(crate) const CONTENT: &str = "content";

/// Rounds of looking again when somebody else takes the name between look and publish.
const ROUNDS: usize = 3;

/// Copies a file, or a folder as one unit, and proves the copy.
///
/// The source is read once while its digest is computed; it must be the same version from the first to the last byte.
/// The copy is made in the staging folder of `options.task_id`, proven, flushed, and only then given its name; a folder
/// gets its name with all its files at once. If the same content has the name already nothing is written, and the
/// digest of what is there is proven by reading it. After a failure nothing under the final name has changed; what is
/// staged is kept for the next attempt unless it cannot be of use.
///
/// # Errors
///
/// See [`TransferError`].
pub fn copy_verified(
    source: &dyn Store,
    from: &RelPath,
    destination: &dyn Store,
    to: &RelPath,
    options: &CopyOptions<'_>,
) -> Result<Copied, TransferError> {
    let copied = copy_or_find(source, from, destination, to, options)?;
    if copied.already_there {
        // Whoever wrote it may not have flushed it, and from now on it counts as a copy.
        destination.flush(&copied.path).map_err(TransferError::at_destination(&copied.path))?;
    }
    Ok(copied)
}

/// As [`copy_verified`], but does not flush what is there already.
pub(crate) fn copy_or_find(
    source: &dyn Store,
    from: &RelPath,
    destination: &dyn Store,
    to: &RelPath,
    options: &CopyOptions<'_>,
) -> Result<Copied, TransferError> {
    options.check_cancel(from)?;
    let missing = || StoreError::NotFound { action: "read", path: from.clone() };
    let meta = source.stat(from).and_then(|meta| meta.ok_or_else(missing)).map_err(TransferError::at_source(from))?;
    let content = options.expected.filter(|_| meta.kind == Kind::File).map(|hash| (hash, meta.size));
    let mut known = Known { store: source, path: from, meta, content };
    let mut staged = None;
    for _ in 0..ROUNDS {
        let (target, replaced) = match look(&mut known, destination, to, options)? {
            Verdict::Free(target) => (target, None),
            Verdict::Replace(target, meta, old) => (target, Some((meta, old))),
            Verdict::Same(copied) => {
                if let Some((staging, _)) = &staged {
                    discard(destination, staging);
                }
                return Ok(copied);
            }
        };
        let staging = destination.staging(options.task_id, &target).map_err(TransferError::at_destination(&target))?;
        let path = staging.join(CONTENT);
        let done: Staged = match &staged {
            Some((before, done)) if *before == staging => *done,
            _ => stage(&Ends { source, from, destination, staged: &path }, meta.kind, options)
                .inspect_err(|error| give_up(destination, &staging, error))?,
        };
        check_expected(from, options.expected, done.hash).inspect_err(|_| discard(destination, &staging))?;
        known.content = Some((done.hash, done.size));
        known.meta = done.source;
        let how = match &replaced {
            None => Publish::NoReplace,
            Some((expected, old)) => Publish::Replace { expected, old: *old },
        };
        match destination.publish(&path, &target, how) {
            Ok(meta) => {
                discard(destination, &staging);
                let Staged { hash, size, resumed_from, .. } = done;
                return Ok(Copied { path: target, hash, size, meta, already_there: false, resumed_from });
            }
            // Somebody was faster: look at what they put there.
            Err(StoreError::AlreadyExists { .. }) => staged = Some((staging, done)),
            Err(source) => return Err(TransferError::Destination { path: target, source }),
        }
    }
    let source = StoreError::AlreadyExists { action: "publish", path: to.clone() };
    Err(TransferError::Destination { path: to.clone(), source })
}

/// Stages a file or folder.
fn stage(ends: &Ends<'_>, kind: Kind, options: &CopyOptions<'_>) -> Result<Staged, TransferError> {
    if kind == Kind::Folder {
        stage_folder(ends, options)
    } else {
        stage_file(ends, options, Progress { before: 0, total: None }, &mut Vec::new())
    }
}

/// Fails if the source turned out to be other content than the caller knows.
pub(crate) fn check_expected(
    from: &RelPath,
    expected: Option<ContentHash>,
    found: ContentHash,
) -> Result<(), TransferError> {
    match expected {
        Some(expected) if expected != found => Err(TransferError::NotExpected { path: from.clone(), expected, found }),
        _ => Ok(()),
    }
}

/// Removes staged content that is done with. That it stays is no failure of a copy: its task id finds it later.
pub(crate) fn discard(destination: &dyn Store, staging: &RelPath) {
    let _ = destination.discard_staging(staging);
}

/// Removes staged content that no next attempt can use, or that fills the disk.
pub(crate) fn give_up(destination: &dyn Store, staging: &RelPath, error: &TransferError) {
    let useless = match error {
        TransferError::Source { source, .. } => {
            matches!(source, StoreError::ChangedWhileReading { .. } | StoreError::NotFound { .. })
        }
        TransferError::Destination { source, .. } => matches!(source, StoreError::Full { .. }),
        TransferError::Corrupted { .. } | TransferError::WrongSize { .. } | TransferError::NotExpected { .. } => true,
        _ => false,
    };
    if useless {
        discard(destination, staging);
    }
}
