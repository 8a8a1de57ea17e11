//! A store in memory, for simulations and for tests of what happens when a store fails.
//!
//! It behaves as [`crate::LocalStore`] does. Beside the trait it lets a test act as an instrument that writes, go away
//! as a whole, run full, lose power, or fail at a chosen call.

mod fault;
mod io;
mod operations;
mod tree;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use fault::Fault;
use thalweg_core::{Clock, RelPath};
use tree::Tree;

use crate::{Meta, StoreError};

/// A store in memory. Clones share the contents.
#[derive(Clone)]
pub struct MemoryStore {
    name: PathBuf,
    clock: Arc<dyn Clock>,
    tree: Arc<Mutex<Tree>>,
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("name", &self.name).finish_non_exhaustive()
    }
}

impl MemoryStore {
    /// Makes an empty store; `name` stands in errors, times come from `clock`.
    pub fn new(name: &str, clock: Arc<dyn Clock>) -> Self {
        Self { name: PathBuf::from(name), clock, tree: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Tree> {
        let mut tree = self.tree.lock().unwrap_or_else(PoisonError::into_inner);
        tree.set_now(self.clock.now());
        tree
    }

    /// Makes the store fail at a later call.
    pub fn inject(&self, fault: Fault) {
        self.lock().faults.push(fault);
    }

    /// Returns how many calls were made so far, as [`Fault`] counts them.
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// Takes the root away or brings it back.
    pub fn set_available(&self, available: bool) {
        self.lock().available = available;
    }

    /// Limits the bytes in all files; `None` lifts the limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.lock().capacity = bytes;
    }

    /// Loses what was not flushed: the tail of such files becomes zeros, renames that only seemed done are undone.
    pub fn power_cut(&self) {
        self.lock().power_cut();
    }

    /// Writes a file as an instrument would: at once under its name, in the same inode if it exists.
    ///
    /// # Panics
    ///
    /// If the path leaves the root or passes a file.
    pub fn put(&self, path: &RelPath, bytes: &[u8]) {
        self.lock().put(path, bytes, false);
    }

    /// Adds to a file as a logger would, making it if needed.
    ///
    /// # Panics
    ///
    /// As [`MemoryStore::put`].
    pub fn append(&self, path: &RelPath, bytes: &[u8]) {
        self.lock().put(path, bytes, true);
    }

    /// Removes a file or a folder with all below it, as another program would.
    pub fn remove(&self, path: &RelPath) {
        self.lock().remove_tree(&path.to_bytes());
    }

    /// Makes a symbolic link that leads nowhere.
    pub fn put_link(&self, path: &RelPath) {
        self.lock().put_link(path);
    }

    /// Returns the bytes of a file.
    pub fn contents(&self, path: &RelPath) -> Option<Vec<u8>> {
        self.lock().file(&path.to_bytes()).map(|inode| inode.lock().bytes.clone())
    }

    /// Returns the paths and facts of all files, those in staging and trash included, sorted.
    pub fn files(&self) -> Vec<(RelPath, Meta)> {
        self.lock().files()
    }

    fn unavailable(&self) -> StoreError {
        StoreError::Unavailable { root: self.name.clone(), what: "the root folder is missing".to_owned() }
    }
}
