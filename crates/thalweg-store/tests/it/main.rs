//! The stores against the shared suite, and what only one of them can show.
#![expect(clippy::unwrap_used, reason = "a test ends where its ground gives way")]

mod local;
mod memory;
mod power;
