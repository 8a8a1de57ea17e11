//! Which folders are known to keep their names when power goes.
//!
//! A folder that is found may have been made a moment ago: by a run that was killed, or was told that it had failed, before
//! the name was flushed; or by somebody else. What is given a name in it lasts only if the folder does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Most folders that are kept in mind.
const KNOWN: usize = 10_000;

/// Folders whose names, and those of all above them, were flushed by this process; by path, with their inodes.
#[derive(Debug, Clone, Default)]
pub(super) struct Lasting(Arc<Mutex<HashMap<Vec<u8>, u64>>>);

impl Lasting {
    pub(super) fn holds(&self, path: &[u8], ino: u64) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(path) == Some(&ino)
    }

    pub(super) fn note(&self, path: &[u8], ino: u64) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN {
            known.clear();
        }
        known.insert(path.to_vec(), ino);
    }
}
