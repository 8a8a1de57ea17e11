//! Staging a folder as one unit.

use std::ops::ControlFlow;

use thalweg_core::RelPath;
use thalweg_store::{Entry, FolderHasher, Kind, Meta, Store, StoreError};

use crate::stage::{Ends, Progress, Staged, stage_file};
use crate::{CopyOptions, TransferError};

/// What is in a folder: paths relative to it, sorted.
#[derive(Debug, PartialEq, Eq)]
struct Listing {
    files: Vec<(RelPath, Version)>,
    folders: Vec<RelPath>,
}

/// Size, modification time, inode.
type Version = (u64, i64, u64);

/// Stages every file of a folder; links, pipes, sockets and devices are left out.
pub(crate) fn stage_folder(ends: &Ends<'_>, options: &CopyOptions<'_>) -> Result<Staged, TransferError> {
    let Ends { source, from, destination, staged } = *ends;
    let at_source = || TransferError::at_source(from);
    let at_destination = || TransferError::at_destination(staged);
    let facts = |_: ()| -> Result<Meta, StoreError> {
        source.stat(from)?.ok_or_else(|| StoreError::NotFound { action: "read", path: from.clone() })
    };
    let meta = facts(()).map_err(at_source())?;
    let listing = list(source, from).map_err(at_source())?;
    clear_strangers(destination, staged, &listing).map_err(at_destination())?;

    let total = listing.files.iter().fold(0_u64, |sum, (_, (size, ..))| sum.saturating_add(*size));
    // Time and mode of the unit go to its top folder; its files keep their own modes.
    let per_file = CopyOptions { expected: None, mode: None, ..*options };
    destination.make_folder(staged).map_err(at_destination())?;
    for folder in &listing.folders {
        destination.make_folder(&staged.join(folder.as_str())).map_err(at_destination())?;
    }
    let mut hasher = FolderHasher::new();
    let (mut before, mut resumed_from) = (0, 0);
    let mut buffer = Vec::new();
    for (relative, _) in &listing.files {
        let (from, staged) = (from.join(relative.as_str()), staged.join(relative.as_str()));
        let one = Ends { source, from: &from, destination, staged: &staged };
        let done = stage_file(&one, &per_file, Progress { before, total: Some(total) }, &mut buffer)?;
        before += done.size;
        resumed_from += done.resumed_from;
        hasher.add(relative, done.size, done.hash);
    }
    if list(source, from).map_err(at_source())? != listing {
        let what = "its list of files".to_owned();
        let source = StoreError::ChangedWhileReading { action: "read", path: from.clone(), what };
        return Err(TransferError::Source { path: from.clone(), source });
    }
    if options.keep_mtime {
        destination.set_mtime(staged, meta.mtime_ns).map_err(at_destination())?;
    }
    let (hash, size) = hasher.digest();
    Ok(Staged { hash, size, source: meta, resumed_from })
}

/// Lists a folder with the versions of its files.
fn list(store: &dyn Store, folder: &RelPath) -> Result<Listing, StoreError> {
    let prefix = folder.as_str().len() + 1;
    let mut listing = Listing { files: Vec::new(), folders: Vec::new() };
    let mut failed = None;
    store.walk(folder, &mut |_| true, &mut |entry| match entry {
        Entry::Found { path, meta } => {
            let relative = RelPath::from_text(path.as_str().get(prefix..).unwrap_or_default());
            match meta.kind {
                Kind::File => listing.files.push((relative, (meta.size, meta.mtime_ns, meta.ino))),
                Kind::Folder => listing.folders.push(relative),
                Kind::Link | Kind::Other => {}
            }
            ControlFlow::Continue(())
        }
        Entry::Unreadable { error, .. } => {
            failed = Some(error);
            ControlFlow::Break(())
        }
        Entry::Unsettled { path } => {
            let what = "its list of files".to_owned();
            failed = Some(StoreError::ChangedWhileReading { action: "read", path, what });
            ControlFlow::Break(())
        }
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    listing.files.sort_unstable();
    listing.folders.sort_unstable();
    Ok(listing)
}

/// Empties the staged folder if an earlier attempt left files there that are not part of the unit now.
fn clear_strangers(destination: &dyn Store, staged: &RelPath, listing: &Listing) -> Result<(), StoreError> {
    if destination.stat(staged)?.is_none() {
        return Ok(());
    }
    let left = list(destination, staged)?;
    let expected = |path: &RelPath| listing.files.binary_search_by(|(file, _)| file.cmp(path)).is_ok();
    let all_expected = left.files.iter().all(|(path, _)| expected(path))
        && left.folders.iter().all(|path| listing.folders.binary_search(path).is_ok());
    if all_expected { Ok(()) } else { destination.discard_staging(staged) }
}
