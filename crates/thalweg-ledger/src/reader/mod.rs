//! Reading: every question that can be put to a ledger. One module for each part of it.

mod coverage;
mod evidence;
mod files;
mod planning;
mod runs;

pub use files::{KnownFile, KnownFiles};

use std::cell::RefCell;
use std::collections::HashMap;

use rusqlite::types::Value;
use thalweg_core::ContentHash;

use crate::Error;
use crate::pool::Pooled;

/// A connection for reading. It belongs to one thread at a time; making another is cheap.
pub struct Reader {
    pub(crate) db: Pooled,
    /// Numbers of names that were asked for; the writer's own reader keeps none, since what it has seen may be undone.
    names: Option<RefCell<HashMap<(Name, String), i64>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Name {
    Station,
    Product,
    Step,
}

/// An unchanging view of the ledger, until it is dropped. Queries within it cost less than each by itself.
///
/// To be dropped soon: the write-ahead log grows as long as an old view is held.
#[derive(Debug)]
pub struct View<'r> {
    reader: &'r Reader,
}

impl Drop for View<'_> {
    fn drop(&mut self) {
        // It has only read: nothing is lost, and a connection that cannot go on says so at its next query.
        let _ = self.reader.db.run("RELEASE snapshot", []);
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("path", &self.db.path).finish()
    }
}

impl Reader {
    pub(crate) fn new(db: Pooled) -> Self {
        Self { db, names: Some(RefCell::default()) }
    }

    /// The reader of the writer itself.
    pub(crate) fn of_writer(db: Pooled) -> Self {
        Self { db, names: None }
    }

    /// Forgets the numbers of names: to be called when stations, products or steps were renamed.
    pub fn forget_names(&self) {
        if let Some(names) = &self.names {
            names.borrow_mut().clear();
        }
    }

    /// Begins an unchanging view; views may lie within each other.
    pub fn view(&self) -> Result<View<'_>, Error> {
        self.db.run("SAVEPOINT snapshot", [])?;
        Ok(View { reader: self })
    }

    /// Runs several queries on one unchanging view of the ledger.
    ///
    /// To be left soon: the write-ahead log grows as long as an old view is held.
    pub fn snapshot<T>(&self, body: impl FnOnce(&Self) -> Result<T, Error>) -> Result<T, Error> {
        let _view = self.view()?;
        // It is taken by the first query, so one is made here.
        self.db.value::<i64>("SELECT count(*) FROM meta", [])?;
        body(self)
    }

    /// Makes this reader see the ledger as it is now until it is dropped; to be dropped soon, as after
    /// [`Reader::snapshot`].
    pub fn fixed(self) -> Result<Self, Error> {
        self.db.batch("BEGIN")?;
        self.db.value::<i64>("SELECT count(*) FROM meta", [])?;
        Ok(self)
    }

    /// Returns a number that changes whenever another connection has changed the ledger.
    pub fn data_version(&self) -> Result<i64, Error> {
        Ok(self.db.value("PRAGMA data_version", [])?.unwrap_or(0))
    }

    /// Returns a value of the ledger's own book-keeping.
    pub fn meta(&self, key: &str) -> Result<Option<String>, Error> {
        self.db.value("SELECT value FROM meta WHERE key = ?1", [key])
    }

    /// Returns the id under which this ledger gives receipts, a UUID.
    pub fn ledger_id(&self) -> Result<String, Error> {
        self.meta("ledger")?.ok_or_else(|| self.db.no_such("meta value", "ledger"))
    }

    /// Returns the names of all stations that occur.
    pub fn stations(&self) -> Result<Vec<String>, Error> {
        self.db.all("SELECT name FROM stations ORDER BY name", [], |row| row.get())
    }

    /// Returns the names of all products that occur.
    pub fn products(&self) -> Result<Vec<String>, Error> {
        self.db.all("SELECT name FROM products ORDER BY name", [], |row| row.get())
    }

    /// Returns the names of all steps that occur.
    pub fn steps(&self) -> Result<Vec<String>, Error> {
        self.db.all("SELECT name FROM steps ORDER BY name", [], |row| row.get())
    }

    /// Checks the whole file for damage and returns what was found; reads all of it.
    pub fn damage(&self) -> Result<Vec<String>, Error> {
        let mut found = self.db.all("PRAGMA integrity_check(100)", [], |row| row.get::<String>())?;
        found.retain(|line| line != "ok");
        found.extend(self.db.all("PRAGMA foreign_key_check", [], |row| {
            let (table, row, parent) = (row.get::<String>()?, row.get::<Option<i64>>()?, row.get::<String>()?);
            Ok(format!("row {} of {table} names a row of {parent} that is not there", row.unwrap_or(0)))
        })?);
        Ok(found)
    }

    /// Runs `body` and returns each query it made with the plan by which SQLite answers it; for tests and measurements.
    #[doc(hidden)]
    pub fn explain(&self, body: impl FnOnce(&Self) -> Result<(), Error>) -> Result<Vec<(String, Vec<String>)>, Error> {
        self.db.queries.replace(Some(Vec::new()));
        let result = body(self);
        let queries = self.db.queries.take().unwrap_or_default();
        result?;
        let plan = |query: &str| -> rusqlite::Result<Vec<String>> {
            let mut statement = self.db.conn.prepare(&format!("EXPLAIN QUERY PLAN {query}"))?;
            // The plan does not depend on the values, which stay unbound.
            let mut rows = statement.raw_query();
            let mut lines = Vec::new();
            while let Some(row) = rows.next()? {
                lines.push(row.get(3)?);
            }
            Ok(lines)
        };
        queries
            .into_iter()
            .map(|query| plan(&query).map(|lines| (query, lines)).map_err(|error| self.db.error(error)))
            .collect()
    }

    /// The number of a station, or of none that exists.
    fn station_id(&self, name: &str) -> Result<i64, Error> {
        self.name_id(Name::Station, name)
    }

    fn product_id(&self, name: &str) -> Result<i64, Error> {
        self.name_id(Name::Product, name)
    }

    fn step_id(&self, name: &str) -> Result<i64, Error> {
        self.name_id(Name::Step, name)
    }

    fn name_id(&self, what: Name, name: &str) -> Result<i64, Error> {
        let known = self.names.as_ref().and_then(|names| names.borrow().get(&(what, name.to_owned())).copied());
        if let Some(id) = known {
            return Ok(id);
        }
        let sql = match what {
            Name::Station => "SELECT id FROM stations WHERE name = ?1",
            Name::Product => "SELECT id FROM products WHERE name = ?1",
            Name::Step => "SELECT id FROM steps WHERE name = ?1",
        };
        let Some(id) = self.db.value(sql, [name])? else { return Ok(-1) };
        if let Some(names) = &self.names {
            names.borrow_mut().insert((what, name.to_owned()), id);
        }
        Ok(id)
    }

    fn content_id(&self, hash: &ContentHash) -> Result<i64, Error> {
        Ok(self.db.value("SELECT id FROM contents WHERE hash = ?1", [hash.0.as_slice()])?.unwrap_or(-1))
    }
}

/// A bound value.
fn bind(value: impl Into<Value>) -> Value {
    value.into()
}
