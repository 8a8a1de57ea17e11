//! What has the name at the destination already, and what that means for a copy.

use thalweg_core::{ContentHash, RelPath};
use thalweg_store::{Kind, Meta, OldContent, Store, StoreError};

use crate::{Conflict, Copied, CopyOptions, TransferError};

/// Versions tried before a conflict is given back to the caller.
const MOST_VERSIONS: u32 = 1000;

/// What to do about a name.
pub(crate) enum Verdict<'a> {
    /// Write there; nothing has the name.
    Free(RelPath),
    /// Write there in place of this version.
    Replace(RelPath, Meta, OldContent<'a>),
    /// The same content is there.
    Same(Copied),
}

/// The source as far as it is known, so that it is read no more often than needed.
pub(crate) struct Known<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) path: &'a RelPath,
    pub(crate) meta: Meta,
    /// Its digest and size, once known.
    pub(crate) content: Option<(ContentHash, u64)>,
}

impl Known<'_> {
    /// Returns digest and size, reading the source if nothing else tells.
    pub(crate) fn content(&mut self) -> Result<(ContentHash, u64), TransferError> {
        if let Some(content) = self.content {
            return Ok(content);
        }
        let hashed = self.store.hash(self.path, &mut |_| {}).map_err(TransferError::at_source(self.path))?;
        self.content = Some((hashed.hash, hashed.size));
        Ok((hashed.hash, hashed.size))
    }
}

/// Looks at the name `to` and applies the conflict rule.
pub(crate) fn look<'a>(
    known: &mut Known<'_>,
    destination: &dyn Store,
    to: &RelPath,
    options: &CopyOptions<'a>,
) -> Result<Verdict<'a>, TransferError> {
    let there = match compare(known, destination, to)? {
        There::Free => return Ok(Verdict::Free(to.clone())),
        There::Same(copied) => return Ok(Verdict::Same(copied)),
        There::Other(there) => there,
    };
    match options.conflict {
        Conflict::Refuse => Err(there.conflict(known, to)),
        Conflict::Version => beside(known, destination, to, &there),
        Conflict::Quarantine { folder } => {
            let aside = folder.join(to.as_str());
            match compare(known, destination, &aside)? {
                There::Free => Ok(Verdict::Free(aside)),
                There::Same(copied) => Ok(Verdict::Same(copied)),
                There::Other(other) => beside(known, destination, &aside, &other),
            }
        }
        Conflict::Replace { allow_shrink, keep_old } => replace(known, to, &there, allow_shrink, keep_old),
        Conflict::ReplaceOlder { allow_shrink, keep_old } => {
            let newer = if known.meta.mtime_ns == there.meta.mtime_ns {
                let theirs = there.hash.map_or_else(
                    || {
                        destination
                            .hash(to, &mut |_| {})
                            .map(|hashed| hashed.hash)
                            .map_err(TransferError::at_destination(to))
                    },
                    Ok,
                )?;
                known.content()?.0 > theirs
            } else {
                known.meta.mtime_ns > there.meta.mtime_ns
            };
            if newer { replace(known, to, &there, allow_shrink, keep_old) } else { Err(there.conflict(known, to)) }
        }
    }
}

/// Other content under a name.
struct Other {
    meta: Meta,
    hash: Option<ContentHash>,
}

impl Other {
    fn conflict(&self, known: &Known<'_>, to: &RelPath) -> TransferError {
        TransferError::Conflict {
            path: to.clone(),
            there_size: self.meta.size,
            there_hash: self.hash,
            here_size: known.content.map_or(known.meta.size, |(_, size)| size),
        }
    }
}

enum There {
    Free,
    Same(Copied),
    Other(Other),
}

/// Compares the source with what has the name; reads both only where sizes do not tell already.
fn compare(known: &mut Known<'_>, destination: &dyn Store, to: &RelPath) -> Result<There, TransferError> {
    let Some(meta) = destination.stat(to).map_err(TransferError::at_destination(to))? else { return Ok(There::Free) };
    let comparable = match (known.meta.kind, meta.kind) {
        (Kind::File, Kind::File) => known.meta.size == meta.size,
        (Kind::Folder, Kind::Folder) => true,
        _ => false,
    };
    if !comparable {
        return Ok(There::Other(Other { meta, hash: None }));
    }
    let theirs = match destination.hash(to, &mut |_| {}) {
        // It went away meanwhile.
        Err(StoreError::NotFound { .. }) => return Ok(There::Free),
        other => other.map_err(TransferError::at_destination(to))?,
    };
    let (hash, size) = known.content()?;
    if theirs.hash == hash {
        let meta = theirs.meta;
        return Ok(There::Same(Copied { path: to.clone(), hash, size, meta, already_there: true, resumed_from: 0 }));
    }
    Ok(There::Other(Other { meta: theirs.meta, hash: Some(theirs.hash) }))
}

/// Finds the first name `NAME.v2`, `NAME.v3`, ... that is free or holds the same content.
fn beside<'a>(
    known: &mut Known<'_>,
    destination: &dyn Store,
    to: &RelPath,
    there: &Other,
) -> Result<Verdict<'a>, TransferError> {
    for number in 2..=MOST_VERSIONS {
        let name = RelPath::from_text(format!("{}.v{number}", to.as_str()));
        match compare(known, destination, &name)? {
            There::Free => return Ok(Verdict::Free(name)),
            There::Same(copied) => return Ok(Verdict::Same(copied)),
            There::Other(_) => {}
        }
    }
    Err(there.conflict(known, to))
}

/// Allows the replacement unless it would lose more than half of the size.
fn replace<'a>(
    known: &mut Known<'_>,
    to: &RelPath,
    there: &Other,
    allow_shrink: bool,
    keep_old: Option<&'a str>,
) -> Result<Verdict<'a>, TransferError> {
    if known.meta.kind != there.meta.kind {
        return Err(there.conflict(known, to));
    }
    if known.meta.kind == Kind::File && !allow_shrink && known.meta.size < there.meta.size.div_ceil(2) {
        let (old_size, new_size) = (there.meta.size, known.meta.size);
        return Err(TransferError::Shrinks { path: to.clone(), old_size, new_size });
    }
    let old = keep_old.map_or(OldContent::Drop, |day| OldContent::Trash { day });
    Ok(Verdict::Replace(to.clone(), there.meta, old))
}
