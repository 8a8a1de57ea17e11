//! Failures on purpose.

/// A failure that a [`crate::MemoryStore`] shows once.
///
/// Calls are those to the disk (an open, a read, a flush, a rename, ...), some ten to each method of the trait. They are
/// counted from 1 over the life of the store; [`crate::MemoryStore::calls`] tells where the count stands.
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
    /// The first write from that call on writes half its bytes, then fails.
    TornWrite {
        /// Number of the call.
        call: u64,
    },
    /// The first rename to a final name from that call on seems done and flushed, but is undone by the next power cut.
    RenameLost {
        /// Number of the call.
        call: u64,
    },
}

/// The number of the call from which a fault is due.
pub(super) fn due(fault: Fault) -> u64 {
    match fault {
        Fault::Fail { call } | Fault::FailAfter { call } | Fault::TornWrite { call } | Fault::RenameLost { call } => {
            call
        }
    }
}
