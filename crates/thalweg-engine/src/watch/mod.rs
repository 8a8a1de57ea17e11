//! Learning about files as they come: kernel events for speed, scans for certainty.
//!
//! [`Interpreter`] turns raw events into what is to be done and touches nothing; [`Watcher`] feeds it from the kernel
//! in a thread of its own; [`scan`] lists a tree through a store. None of them judges whether a file is complete or
//! belongs to a product.

mod message;

pub use message::{WatchEvent, WatchKind, WatchMessage, WatchReason};
