//! Moving bytes between stations so that a delivered file is proven to be there.
//!
//! Knows stores and digests, nothing of flows, formats or the ledger. [`copy_verified`] moves one file or folder unit
//! between two stores that this process can reach; [`copy_many`] moves many small files and shares the flushes.

mod copy;
mod error;
mod folder;
mod many;
mod options;
mod present;
mod stage;

pub use copy::copy_verified;
pub use error::TransferError;
pub use many::copy_many;
pub use options::{Conflict, Copied, CopyOptions, Verify};
