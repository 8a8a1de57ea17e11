//! The durable memory of a flow: what was seen, made, delivered, verified and removed.
//!
//! This is the only code that speaks SQL. A [`Ledger`] is one SQLite file with one writer thread, which groups waiting
//! writes into one durable transaction, and any number of [`Reader`]s. What a row means for a step is not known here.

mod convert;
mod db;
mod error;
mod kinds;
mod ledger;
mod open;
mod pool;
mod reader;
mod rows;
mod tx;
mod writer;

pub use error::Error;
pub use kinds::{
    Change, EventId, FileId, FileState, HoldId, HoldKind, KeyNext, KeyThere, Origin, QuarantineId, ReceiptId,
    RequestId, RequestState, RunId, RunState,
};
pub use ledger::{BulkOutcome, Ledger, Pending};
pub use open::{Gate, Options, SCHEMA_VERSION};
pub use reader::{KnownFile, KnownFiles, Reader, View};
pub use rows::*;
pub use tx::Tx;
