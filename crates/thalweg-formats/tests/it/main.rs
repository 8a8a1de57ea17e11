//! Tests against files made by other programs, and against damaged ones.

#![expect(clippy::print_stderr, reason = "a test that finds no samples says so")]

mod data;
mod dmap;
mod dmap_damage;
mod hdf5_samples;
mod hdf5_write;
mod mutate;
mod restructure;
mod synth;
