//! Tests of the ledger through its public face.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its case has failed")]

mod common;
mod files;
mod killing;
mod opening;
mod queries;
mod records;
mod writing;
