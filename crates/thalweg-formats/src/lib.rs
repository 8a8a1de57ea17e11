//! File formats, one module each: bytes in, values out, and back.
//!
//! Each module can be used by someone who never heard of flows: nothing here knows stations, products or the ledger.
//! Readers never allocate more than their input justifies and never panic on it.

pub mod borealis;
mod bunzip;
pub mod dmap;
pub mod hdf5;

mod probe;

pub use bunzip::BunzipError;
pub use probe::{Probe, open_class};
