//! Learning about files as they come: kernel events for speed; a listing of the tree stays the authority.
//!
//! [`Interpreter`] turns raw events into what is to be done and touches nothing; [`Watcher`] feeds it from the kernel
//! in a thread of its own. None of them judges whether a file is complete or belongs to a product, and none lists
//! files: they say where a listing is due.

mod interpreter;
mod message;
mod names;
#[cfg(test)]
mod tests;
mod tree;
mod watcher;

pub use interpreter::{Action, Interpreter, RawEvent, RawKind};
pub use message::{WatchEvent, WatchKind, WatchMessage, WatchReason};
pub use names::{glob_matches, is_temporary, rescan_after};
pub use watcher::{Tell, Watcher};
