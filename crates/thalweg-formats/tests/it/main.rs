//! Tests against files made by other programs, and against damaged ones.

mod data;
mod hdf5_write;
