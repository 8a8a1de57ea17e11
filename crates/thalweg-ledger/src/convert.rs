//! Between the types of the vocabulary and the columns of the database.
//!
//! Times are whole microseconds since 1970 UTC; what lies outside the range of either side saturates.

use rusqlite::types::{FromSql, Type};
use rusqlite::{Row, ToSql};
use serde::de::DeserializeOwned;
use thalweg_core::{ContentHash, ErrorClass, Fields, RelPath, Timestamp, Value};

use crate::rows::Stat;

/// Returns microseconds since 1970.
pub(crate) fn us(at: Timestamp) -> i64 {
    at.as_microsecond()
}

/// Returns microseconds since 1970, if there is a time.
pub(crate) fn opt_us(at: Option<Timestamp>) -> Option<i64> {
    at.map(us)
}

/// Reads microseconds since 1970; out of range gives the nearest instant that can be told.
pub(crate) fn time(us: i64) -> Timestamp {
    Timestamp::from_microsecond(us).unwrap_or(if us < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// Returns a count as a column value; what does not fit saturates.
pub(crate) fn int(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Returns fields as JSON. A number that JSON cannot hold (not finite) becomes text.
pub(crate) fn fields_json(fields: &Fields) -> Result<String, serde_json::Error> {
    fn finite(value: &Value) -> bool {
        match value {
            Value::Float(number) => number.is_finite(),
            Value::List(values) => values.iter().all(finite),
            _ => true,
        }
    }
    fn tame(value: &Value) -> Value {
        match value {
            Value::Float(number) if !number.is_finite() => Value::Text(number.to_string()),
            Value::List(values) => Value::List(values.iter().map(tame).collect()),
            other => other.clone(),
        }
    }
    if fields.values().all(finite) {
        return serde_json::to_string(fields);
    }
    serde_json::to_string(
        &fields.iter().map(|(name, value)| (name, tame(value))).collect::<std::collections::BTreeMap<_, _>>(),
    )
}

/// The columns of one row, taken from left to right.
pub(crate) struct Columns<'row, 'stmt> {
    row: &'row Row<'stmt>,
    next: usize,
}

type Read<T> = rusqlite::Result<T>;

impl<'row, 'stmt> Columns<'row, 'stmt> {
    pub(crate) fn new(row: &'row Row<'stmt>) -> Self {
        Self { row, next: 0 }
    }

    pub(crate) fn get<T: FromSql>(&mut self) -> Read<T> {
        let at = self.next;
        self.next += 1;
        self.row.get(at)
    }

    fn bad<E: std::error::Error + Send + Sync + 'static>(&self, kind: Type, error: E) -> rusqlite::Error {
        rusqlite::Error::FromSqlConversionFailure(self.next.saturating_sub(1), kind, Box::new(error))
    }

    pub(crate) fn time(&mut self) -> Read<Timestamp> {
        self.get().map(time)
    }

    pub(crate) fn opt_time(&mut self) -> Read<Option<Timestamp>> {
        Ok(self.get::<Option<i64>>()?.map(time))
    }

    /// A count that was stored by [`int`], or bits that were stored as such.
    pub(crate) fn count(&mut self) -> Read<u64> {
        Ok(u64::try_from(self.get::<i64>()?).unwrap_or(0))
    }

    pub(crate) fn opt_count(&mut self) -> Read<Option<u64>> {
        Ok(self.get::<Option<i64>>()?.map(|count| u64::try_from(count).unwrap_or(0)))
    }

    pub(crate) fn bits(&mut self) -> Read<u64> {
        self.get::<i64>().map(i64::cast_unsigned)
    }

    pub(crate) fn hash(&mut self) -> Read<ContentHash> {
        self.get().map(ContentHash)
    }

    pub(crate) fn opt_hash(&mut self) -> Read<Option<ContentHash>> {
        Ok(self.get::<Option<[u8; 32]>>()?.map(ContentHash))
    }

    pub(crate) fn path(&mut self) -> Read<RelPath> {
        self.get::<String>().map(RelPath::from_text)
    }

    pub(crate) fn opt_path(&mut self) -> Read<Option<RelPath>> {
        Ok(self.get::<Option<String>>()?.map(RelPath::from_text))
    }

    pub(crate) fn json<T: DeserializeOwned>(&mut self) -> Read<T> {
        let at = self.next;
        self.next += 1;
        let text = self.row.get_ref(at)?.as_str().map_err(|error| self.bad(Type::Text, error))?;
        serde_json::from_str(text).map_err(|error| self.bad(Type::Text, error))
    }

    pub(crate) fn opt_json<T: DeserializeOwned>(&mut self) -> Read<Option<T>> {
        let text: Option<String> = self.get()?;
        text.map(|text| serde_json::from_str(&text).map_err(|error| self.bad(Type::Text, error))).transpose()
    }

    pub(crate) fn class(&mut self) -> Read<Option<ErrorClass>> {
        // A word of a later program is kept as unknown rather than making the row unreadable.
        Ok(self.get::<Option<String>>()?.and_then(|word| ErrorClass::from_word(&word)))
    }

    pub(crate) fn stat(&mut self) -> Read<Stat> {
        Ok(Stat {
            size: self.count()?,
            mtime_ns: self.get()?,
            ctime_ns: self.get()?,
            ino: self.bits()?,
            dev: self.bits()?,
        })
    }
}

/// Conditions of a query that is put together from a filter; values are always bound, never part of the text.
#[derive(Default)]
pub(crate) struct Conditions {
    text: String,
    values: Vec<rusqlite::types::Value>,
}

impl Conditions {
    /// Adds a condition without a value.
    pub(crate) fn plain(&mut self, condition: &str) {
        self.text.push_str(if self.text.is_empty() { " WHERE " } else { " AND " });
        self.text.push_str(condition);
    }

    /// Adds a condition with one `?` for each value.
    pub(crate) fn with<const N: usize>(&mut self, condition: &str, values: [rusqlite::types::Value; N]) {
        self.plain(condition);
        self.values.extend(values);
    }

    /// Adds `column IN (codes)`, unless there are none, which means all. Codes are numbers of our own.
    pub(crate) fn codes(&mut self, column: &str, codes: impl IntoIterator<Item = i64>) {
        let codes: Vec<String> = codes.into_iter().map(|code| code.to_string()).collect();
        if !codes.is_empty() {
            self.plain(&format!("{column} IN ({})", codes.join(", ")));
        }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn values(&self) -> Vec<&dyn ToSql> {
        self.values.iter().map(|value| -> &dyn ToSql { value }).collect()
    }
}
