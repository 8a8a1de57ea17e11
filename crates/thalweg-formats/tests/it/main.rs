//! Tests against files made by other programs, and against damaged ones.

#![expect(clippy::print_stderr, reason = "a test that finds no samples says so")]

mod data;
mod hdf5_write;
