//! Copies between stores: proofs, conflicts, interruptions, faults.

mod conflict;
mod copy;
mod faults;
mod killed;

use std::sync::Arc;

use thalweg_core::{ManualClock, RelPath, Timestamp};
use thalweg_store::MemoryStore;

fn memory(name: &str) -> MemoryStore {
    MemoryStore::new(name, Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH)))
}

fn path(text: &str) -> RelPath {
    RelPath::from_text(text)
}

/// Bytes that differ from block to block.
fn bytes(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}
