//! A store in memory, for simulations and for tests of what happens when a store fails.
//!
//! It is the very code of [`crate::LocalStore`] over a disk in memory. Beside the trait it lets a test act as an
//! instrument that writes, go away as a whole, run full, lose power, or fail at a chosen call; and a simulator is told
//! of every call, so that it can look, let another actor go on, or end the caller there.

mod disk;
mod fault;
mod files;
mod hook;
mod medium;

use std::path::PathBuf;
use std::sync::Arc;

pub(crate) use disk::SimDisk;
pub use fault::Fault;
use files::{Files, ROOT};
pub use hook::{CallInfo, Moment};
use rustix::io::Errno;
use thalweg_core::{Clock, RelPath};

use crate::local::{DiskStore, RootId};
use crate::{Kind, Meta};

/// A store in memory. Clones share the contents.
///
/// What other programs write through [`MemoryStore::put`] and its like is neither counted nor told, and, as theirs is,
/// not flushed: a power cut may take it unless the store was told to flush it or time passed ([`MemoryStore::settle`]).
pub type MemoryStore = DiskStore<SimDisk>;

impl MemoryStore {
    /// Makes an empty store; `name` stands in errors, times come from `clock`.
    pub fn new(name: &str, clock: Arc<dyn Clock>) -> Self {
        // Stores of other names are other file systems: two files of one inode number are not one file.
        let device = name.bytes().fold(1_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        Self::open_on(SimDisk::new(clock, device), PathBuf::from(name), RootId { dev: device, ino: ROOT })
    }

    /// Makes the store fail at a later call.
    pub fn inject(&self, fault: Fault) {
        self.disk.lock().faults.push(fault);
    }

    /// Forgets all faults that were not shown yet.
    pub fn clear_faults(&self) {
        self.disk.lock().faults.clear();
    }

    /// Returns how many calls were made so far, as [`Fault`] counts them.
    pub fn calls(&self) -> u64 {
        self.disk.lock().calls
    }

    /// Tells `hook` of every call from now on, before and after it, in place of an earlier hook.
    ///
    /// Nothing is locked meanwhile: the hook may use the store, wait, or panic, which ends the caller at that moment
    /// as a kill would; the store is as usable after that as a folder is.
    pub fn set_hook(&self, hook: impl Fn(&CallInfo<'_>) + Send + Sync + 'static) {
        self.disk.lock().hook = Some(Arc::new(hook));
    }

    /// Tells nobody any more.
    pub fn clear_hook(&self) {
        self.disk.lock().hook = None;
    }

    /// Takes the root away or brings it back.
    pub fn set_available(&self, available: bool) {
        self.disk.lock().available = available;
    }

    /// Limits the bytes in all files; `None` lifts the limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.disk.lock().capacity = bytes;
    }

    /// Makes renames know no flags, as on NFS, or know them.
    pub fn set_plain_renames(&self, plain: bool) {
        self.disk.lock().plain = plain;
    }

    /// Loses everything that was not flushed: bytes, times, rights and names. What was open is of no use any more.
    pub fn power_cut(&self) {
        self.disk.lock().power_cut(None);
    }

    /// As [`MemoryStore::power_cut`], but the seed chooses what of it had reached the medium nevertheless.
    ///
    /// Of the changes of names some first part, in their order; of each file any version between the flushed one and
    /// the last, perhaps with zeros in place of its last bytes.
    pub fn power_cut_seeded(&self, seed: u64) {
        self.disk.lock().power_cut(Some(seed));
    }

    /// Brings everything to the medium, as some seconds without a power cut do.
    pub fn settle(&self) {
        self.disk.lock().settle();
    }

    /// Writes a file as an instrument would: at once under its name, in the same inode if it exists.
    ///
    /// # Panics
    ///
    /// If the path leaves the root or passes a file.
    pub fn put(&self, path: &RelPath, bytes: &[u8]) {
        let done = write_outside(&mut self.disk.lock_now(), path, bytes, false);
        assert!(done.is_ok(), "{path} passes something that is no folder");
    }

    /// Adds to a file as a logger would, making it if needed.
    ///
    /// # Panics
    ///
    /// As [`MemoryStore::put`].
    pub fn append(&self, path: &RelPath, bytes: &[u8]) {
        let done = write_outside(&mut self.disk.lock_now(), path, bytes, true);
        assert!(done.is_ok(), "{path} passes something that is no folder");
    }

    /// Removes a file or a folder with all below it, as another program would.
    pub fn remove(&self, path: &RelPath) {
        // That it is not there is what was asked for.
        let _ = remove_outside(&mut self.disk.lock_now(), &path.to_bytes());
    }

    /// Makes a symbolic link that leads nowhere.
    pub fn put_link(&self, path: &RelPath) {
        let mut files = self.disk.lock_now();
        let (parent, name) = split(path);
        // Where it cannot be made there is something already.
        let _ = make_parents(&mut files, &parent).and_then(|parent| files.create(parent, &name, Kind::Link, 0o777));
    }

    /// Returns the bytes of a file.
    pub fn contents(&self, path: &RelPath) -> Option<Vec<u8>> {
        let files = self.disk.lock();
        let inode = files.find(&path.to_bytes()).and_then(|ino| files.inode(ino)).ok()?;
        (inode.kind == Kind::File).then(|| inode.bytes.to_vec())
    }

    /// Returns the paths and facts of all files, those in staging and trash included, sorted.
    pub fn files(&self) -> Vec<(RelPath, Meta)> {
        let files = self.disk.lock().files();
        files.into_iter().map(|(path, meta)| (RelPath::from_bytes(&path), meta)).collect()
    }
}

fn split(path: &RelPath) -> (Vec<u8>, Vec<u8>) {
    (path.parent().to_bytes(), RelPath::from_text(path.file_name()).to_bytes())
}

/// Makes the folders of a path; returns the last.
fn make_parents(files: &mut Files, path: &[u8]) -> Result<u64, Errno> {
    let mut folder = ROOT;
    for part in path.split(|&b| b == b'/').filter(|part| !part.is_empty()) {
        folder = match files.look(folder, part) {
            Err(Errno::NOENT) => files.create(folder, part, Kind::Folder, 0o755)?,
            other => other?,
        };
        files.folder(folder)?;
    }
    Ok(folder)
}

fn write_outside(files: &mut Files, path: &RelPath, bytes: &[u8], append: bool) -> Result<(), Errno> {
    assert!(path.is_confined(), "{path} leaves the store");
    let (parent, name) = split(path);
    let folder = make_parents(files, &parent)?;
    let ino = match files.look(folder, &name) {
        Err(Errno::NOENT) => files.create(folder, &name, Kind::File, 0o644)?,
        other => other?,
    };
    if files.inode(ino)?.kind != Kind::File {
        return Err(Errno::ISDIR);
    }
    if !append {
        files.set_size(ino, 0)?;
    }
    let at = files.inode(ino)?.bytes.len() as u64;
    // What others write is their concern: the limit is ours.
    let capacity = files.capacity.take();
    let written = files.write(ino, bytes, at);
    files.capacity = capacity;
    written.map(|_| ())
}

fn remove_outside(files: &mut Files, path: &[u8]) -> Result<(), Errno> {
    let at = path.iter().rposition(|&b| b == b'/');
    let (folder, name) = at.map_or((&[][..], path), |at| (&path[..at], &path[at + 1..]));
    let folder = files.find(folder)?;
    let ino = files.look(folder, name)?;
    let is_folder = files.inode(ino)?.kind == Kind::Folder;
    let below: Vec<Box<[u8]>> = files.inode(ino)?.names.keys().cloned().collect();
    for name in below {
        remove_outside(files, &files::joined(path, &name))?;
    }
    files.unlink(folder, name, is_folder)
}
