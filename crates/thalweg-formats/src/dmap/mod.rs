//! DMAP, the self-describing record stream of the radar network: reading, checking, writing, dumping.
//!
//! Knows bytes and field tables; knows nothing of file names, stations or how a record comes about.
//!
//! All numbers are little-endian, records follow each other without padding, there is no file header:
//!
//! | offset | type | name | meaning |
//! | --- | --- | --- | --- |
//! | 0 | i32 | code | 65537 in every file seen; not checked |
//! | 4 | i32 | size | bytes of the record, these 16 included |
//! | 8 | i32 | nscalar | number of scalar fields |
//! | 12 | i32 | nvector | number of vector fields |
//! | 16 | | scalar fields | name NUL, type code (i8), value (text: bytes NUL) |
//! | | | vector fields | name NUL, type code (i8), ndim (i32), dims (i32 each, fastest first), data in C order |
//!
//! Type codes: 1 char (i8), 2 short, 3 int, 4 float, 8 double, 9 string, 10 long, 16 uchar, 17 ushort, 18 uint, 19 ulong.

mod check;
mod error;
mod json;
mod meta;
mod model;
mod parse;
mod read;
mod select;
mod tables;
mod write;

pub use check::{Gap, Mode, Problem, Report, check, check_each, check_file};
pub use error::{Error, FieldFault};
pub use json::{dump, write_json};
pub use meta::{Head, Summary, probe, summarise};
pub use model::{Elements, Field, Kind, Record, Scalar, Vector};
pub use parse::{FieldRef, Fields, RawRecord, TextMode, VectorRef};
pub use read::Reader;
pub use select::{Numbers, Selection};
pub use tables::{Entry, Format};
pub use write::{RecordBuilder, Writer, encode};

/// Reads everything that `bytes` hold in all three modes and writes back what was read; never panics.
///
/// The entry point of the fuzz target and of the replay test. Returns the number of records that were good.
pub fn read_all_for_check(bytes: &[u8]) -> u64 {
    let mut good = 0;
    for mode in [Mode::Strict, Mode::Lax, Mode::Salvage] {
        if let Ok(report) = check(bytes, None, mode) {
            good += report.records;
        }
    }
    if let Ok(mut reader) = Reader::new(bytes) {
        reader.limit_output(64 << 20);
        while let Ok(Some(raw)) = reader.next_raw() {
            let Ok(record) = raw.parse(TextMode::Strict) else { continue };
            let mut again = Vec::new();
            if encode(&record, &mut again).is_ok() {
                debug_assert_eq!(again, raw.bytes, "a copied record keeps its bytes");
            }
        }
    }
    good
}
