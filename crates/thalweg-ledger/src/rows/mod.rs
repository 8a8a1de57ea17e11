//! Rows: the data that callers hand in and get back.

mod files;
mod planning;
mod runs;

pub use files::*;
pub use planning::*;
pub use runs::*;
