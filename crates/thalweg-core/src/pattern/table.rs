//! Tables from ranges of numbers or times to values.

use crate::{ErrorClass, Timestamp, Value};

/// A table of ranges, `from <= x < to`, in order and without overlap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    rows: Vec<(Option<i64>, Option<i64>, Value)>,
    of_times: bool,
}

/// A table that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// There are no rows.
    #[error("the table has no rows")]
    Empty,
    /// A range that cannot be read.
    #[error("read range {found:?}: {reason}")]
    BadRange {
        /// The range as written.
        found: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Two ranges share a value.
    #[error("ranges {first:?} and {second:?} overlap")]
    Overlap {
        /// The earlier range.
        first: String,
        /// The later one.
        second: String,
    },
    /// Some ranges are numbers, others times.
    #[error("range {found:?} is not of the same kind as the others: numbers and times do not mix")]
    Mixed {
        /// The range that differs from the first one.
        found: String,
    },
}

impl TableError {
    /// Returns what can be done about it: edit the text.
    pub fn class(&self) -> ErrorClass {
        ErrorClass::Config
    }
}

impl Table {
    /// Reads rows such as `"815000000..875000000"`, `"875000000.."`, `"..2020-01-01"`, `"2020-01-01..2021-01-01"`.
    ///
    /// # Errors
    /// For no rows, empty ranges, overlapping ones, and when numbers and times are mixed.
    pub fn parse(rows: &[(String, Value)]) -> Result<Self, TableError> {
        let mut read = Vec::new();
        let mut of_times = None;
        for (text, value) in rows {
            let bad = |reason: &str| TableError::BadRange { found: text.clone(), reason: reason.to_owned() };
            let (from, to) = text.split_once("..").ok_or_else(|| bad("write `FROM..TO`, `FROM..` or `..TO`"))?;
            let from = bound(from).map_err(|reason| bad(&reason))?;
            let to = bound(to).map_err(|reason| bad(&reason))?;
            for (_, is_time) in [from, to].into_iter().flatten() {
                if *of_times.get_or_insert(is_time) != is_time {
                    return Err(TableError::Mixed { found: text.clone() });
                }
            }
            let (from, to) = (from.map(|b| b.0), to.map(|b| b.0));
            if from.is_some_and(|from| to.is_some_and(|to| from >= to)) {
                return Err(bad("it is empty: the end is not after the start"));
            }
            read.push((from, to, value.clone(), text));
        }
        if read.is_empty() {
            return Err(TableError::Empty);
        }
        read.sort_by_key(|row| row.0);
        for pair in read.windows(2) {
            // No end, or no start of the later one, reaches over everything on that side.
            let apart = matches!((pair[0].1, pair[1].0), (Some(end), Some(start)) if end <= start);
            if !apart {
                return Err(TableError::Overlap { first: pair[0].3.clone(), second: pair[1].3.clone() });
            }
        }
        let rows = read.into_iter().map(|(from, to, value, _)| (from, to, value)).collect();
        Ok(Self { rows, of_times: of_times.unwrap_or(false) })
    }

    /// Tells if the ranges are times rather than numbers.
    pub fn is_of_times(&self) -> bool {
        self.of_times
    }

    /// Returns the ranges with their values, in order; times as seconds since 1970.
    pub fn rows(&self) -> &[(Option<i64>, Option<i64>, Value)] {
        &self.rows
    }

    /// Returns the value of the range that holds `key`: a number, or a time if the ranges are times.
    pub fn lookup(&self, key: &Value) -> Option<&Value> {
        let key = match key {
            Value::Int(number) if !self.of_times => *number,
            Value::Time(at) if self.of_times => at.as_nanosecond().div_euclid(1_000_000_000).try_into().ok()?,
            _ => return None,
        };
        let after = self.rows.partition_point(|row| row.0.is_none_or(|from| from <= key));
        let (_, to, value) = &self.rows[after.checked_sub(1)?];
        to.is_none_or(|to| key < to).then_some(value)
    }
}

/// Reads one end of a range and tells if it is a time.
fn bound(text: &str) -> Result<Option<(i64, bool)>, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    if let Ok(number) = text.parse::<i64>() {
        return Ok(Some((number, false)));
    }
    let never = Timestamp::UNIX_EPOCH;
    let is_iso = text.as_bytes().get(4) == Some(&b'-');
    match crate::time::parse_instant(text, never) {
        Ok(at) if is_iso => Ok(Some((at.as_second(), true))),
        _ => Err(format!("`{text}` is neither a whole number nor an ISO 8601 time")),
    }
}
