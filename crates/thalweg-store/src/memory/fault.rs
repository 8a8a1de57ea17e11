//! Failures on purpose.

/// A failure that a [`crate::MemoryStore`] shows once.
///
/// Calls are counted from 1 over the life of the store: each method of the trait, each append and each flush is one;
/// [`crate::MemoryStore::calls`] tells where the count stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call numbered `call` (or the first one after) fails with an input/output error and does nothing.
    Fail {
        /// Number of the call.
        call: u64,
    },
    /// That call does its work but the caller is told that it failed, as when power goes before the answer.
    FailAfter {
        /// Number of the call.
        call: u64,
    },
    /// The first append from that call on writes half its bytes, then fails.
    TornWrite {
        /// Number of the call.
        call: u64,
    },
    /// The first publish from that call on tells success but is undone by the next power cut.
    RenameLost {
        /// Number of the call.
        call: u64,
    },
}
