//! Digests of files and of folders taken as one unit.

use std::ops::ControlFlow;

use thalweg_core::{ContentHash, RelPath};

use crate::{Entry, Kind, Meta, ReadStable, Store, StoreError};

/// Bytes read at once.
pub(crate) const BUFFER: usize = 1 << 20;

/// A digest together with the version that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hashed {
    /// The digest.
    pub hash: ContentHash,
    /// Bytes that went into it; for a folder the sum over its files.
    pub size: u64,
    /// The facts of the version that was read.
    pub meta: Meta,
}

/// Computes the digest of a stream of bytes.
#[derive(Debug, Clone, Default)]
pub struct Hasher(blake3::Hasher);

impl Hasher {
    /// Makes one that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Takes in `length` zero bytes.
    pub fn update_zeros(&mut self, mut length: u64) {
        static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
        while length > 0 {
            let now = usize::try_from(length).unwrap_or(usize::MAX).min(ZEROS.len());
            self.0.update(&ZEROS[..now]);
            length -= now as u64;
        }
    }

    /// Returns the digest of what was taken in so far.
    pub fn digest(&self) -> ContentHash {
        ContentHash(*self.0.finalize().as_bytes())
    }
}

/// Computes the digest of a folder from its files, given in any order.
///
/// The digest is that of the list sorted by path bytes, each line `path NUL size(8, LE) digest(32)`.
#[derive(Debug, Default)]
pub struct FolderHasher(Vec<(Vec<u8>, u64, ContentHash)>);

impl FolderHasher {
    /// Makes one without files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file by its path relative to the folder.
    pub fn add(&mut self, relative: &RelPath, size: u64, hash: ContentHash) {
        self.0.push((relative.to_bytes(), size, hash));
    }

    /// Returns the digest and the number of bytes in all files.
    pub fn digest(mut self) -> (ContentHash, u64) {
        self.0.sort_unstable();
        let mut hasher = Hasher::new();
        let mut total = 0_u64;
        for (path, size, hash) in &self.0 {
            hasher.update(path);
            hasher.update(&[0]);
            hasher.update(&size.to_le_bytes());
            hasher.update(&hash.0);
            total = total.saturating_add(*size);
        }
        (hasher.digest(), total)
    }
}

/// Reads an open file to its end and returns its digest; holes are not read.
///
/// # Errors
///
/// Those of reading, and [`StoreError::ChangedWhileReading`].
pub fn hash_stream(
    mut file: Box<dyn ReadStable>,
    path: &RelPath,
    progress: &mut dyn FnMut(u64),
) -> Result<Hashed, StoreError> {
    let mut hasher = Hasher::new();
    let size = file.opened().size;
    let mut buffer = vec![0; BUFFER.min(usize::try_from(size).unwrap_or(BUFFER).max(4096))];
    let mut at = 0_u64;
    loop {
        let Some(data) = file.data_after(at)? else {
            hasher.update_zeros(size.saturating_sub(at));
            at = at.max(size);
            break;
        };
        if data.start > at {
            hasher.update_zeros(data.start - at);
            at = data.start;
            file.seek_to(at)?;
        }
        let mut ended = false;
        while at < data.end {
            let want = usize::try_from(data.end - at).unwrap_or(usize::MAX).min(buffer.len());
            let got = read_some(&mut *file, &mut buffer[..want], path)?;
            if got == 0 {
                ended = true;
                break;
            }
            hasher.update(&buffer[..got]);
            at += got as u64;
            progress(at);
        }
        if ended || at >= size {
            break;
        }
    }
    let meta = file.finish(at)?;
    Ok(Hashed { hash: hasher.digest(), size: at, meta })
}

/// Reads once, again after a signal.
fn read_some(file: &mut dyn ReadStable, buffer: &mut [u8], path: &RelPath) -> Result<usize, StoreError> {
    loop {
        match file.read(buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            result => return result.map_err(|error| StoreError::from_io("read", path, error)),
        }
    }
}

/// Returns the digest of a file or folder of any store; what [`Store::hash`] does where a store knows no better.
///
/// # Errors
///
/// As [`Store::hash`].
pub fn hash(store: &dyn Store, path: &RelPath, progress: &mut dyn FnMut(u64)) -> Result<Hashed, StoreError> {
    let missing = || StoreError::NotFound { action: "read", path: path.clone() };
    let meta = store.stat(path)?.ok_or_else(missing)?;
    if meta.kind != Kind::Folder {
        return hash_stream(store.open_read(path)?, path, progress);
    }
    let list = list_files(store, path)?;
    let mut folder = FolderHasher::new();
    let mut before = 0_u64;
    for (relative, _) in &list {
        let full = path.join(relative.as_str());
        let one = hash_stream(store.open_read(&full)?, &full, &mut |read| progress(before + read))?;
        before += one.size;
        folder.add(relative, one.size, one.hash);
    }
    if list_files(store, path)? != list {
        let what = "its list of files".to_owned();
        return Err(StoreError::ChangedWhileReading { action: "read", path: path.clone(), what });
    }
    let (hash, size) = folder.digest();
    Ok(Hashed { hash, size, meta: store.stat(path)?.ok_or_else(missing)? })
}

/// A file of a folder unit and its version: path in the folder, (size, modification time, inode).
type Listed = (RelPath, (u64, i64, u64));

/// Lists the files of a folder unit with their versions, sorted.
fn list_files(store: &dyn Store, path: &RelPath) -> Result<Vec<Listed>, StoreError> {
    let prefix = if path.as_str().is_empty() { 0 } else { path.as_str().len() + 1 };
    let mut list = Vec::new();
    let mut failed = None;
    store.walk(path, &mut |_| true, &mut |entry| match entry {
        Entry::Found { path, meta } if meta.kind == Kind::File => {
            let relative = RelPath::from_text(path.as_str().get(prefix..).unwrap_or_default());
            list.push((relative, (meta.size, meta.mtime_ns, meta.ino)));
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
        Entry::Found { .. } => ControlFlow::Continue(()),
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    list.sort_unstable();
    Ok(list)
}
