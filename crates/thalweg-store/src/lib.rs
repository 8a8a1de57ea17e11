//! Where files lie: one small trait over every kind of storage, and the stores that implement it.
//!
//! A store knows paths, bytes and rights. It knows nothing of flows, products, ledgers or formats, never prints, never
//! asks a clock, and never decides that something should be removed: it only carries out, safely, what it is told.
//!
//! Start reading at [`Store`]; [`LocalStore`] is a folder of this machine, [`MemoryStore`] lives in memory and can be
//! made to fail on purpose.

mod atomic;
#[cfg(feature = "conformance")]
pub mod conformance;
mod disk;
mod error;
mod hash;
mod local;
mod memory;
mod meta;
mod store;
mod writers;

pub use atomic::write_atomically;
pub use error::StoreError;
pub use hash::{FolderHasher, Hashed, Hasher, hash, hash_stream};
pub use local::{DiskStore, LocalStore, RootId};
pub use memory::{CallInfo, Fault, MemoryStore, Moment};
pub use meta::{Entry, Kind, Meta, Space};
pub use store::{DROPPED, OldContent, Publish, ReadStable, STAGING, Store, TRASH, WriteStaged, is_own_folder};
pub use writers::OpenWriters;
