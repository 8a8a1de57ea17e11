//! The engine: triggers, dispatcher, executors, retention.
//!
//! [`Engine`] owns the truth and carries a flow out; [`child`] runs one verb, [`watch`] learns about files. It knows no
//! format, no terminal and no page.

pub mod child;
mod event;
pub mod facts;
mod setup;
pub mod watch;

pub use event::Event;
pub use facts::LedgerFacts;
pub use setup::{Places, Setup, root_of};
