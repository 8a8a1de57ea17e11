//! The vocabulary of thalweg: names, times, patterns, conditions, sizes, digests.
//!
//! Nothing here reads a file, opens a socket or looks at a clock by itself.

mod class;
mod clock;
mod digest;
pub mod expr;
mod path;
pub mod pattern;
mod report;
pub mod time;
pub mod units;
mod value;

pub use class::ErrorClass;
pub use clock::{Clock, ManualClock, SystemClock};
pub use digest::{ContentHash, DigestError};
pub use path::RelPath;
pub use report::{ReportLine, VerbExit};
pub use time::{TimeRange, Timestamp};
pub use value::{Fields, Value, fields_text};
