//! The verbs on sample files, against what other programs made of the same files.

#![expect(clippy::print_stderr, reason = "a test that finds no samples says so")]

mod data;
mod dmap;
mod peers;
mod pictures;
mod restructure;
mod to_dmap;
