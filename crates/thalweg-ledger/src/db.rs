//! One connection, with errors that name the ledger's file. Nothing above this calls the connection directly.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, Params};

use crate::Error;
use crate::convert::Columns;

/// A connection and the path of its file.
pub(crate) struct Db {
    pub(crate) conn: Connection,
    pub(crate) path: Arc<Path>,
    /// Collects the queries that are made, while someone wants to know their plans.
    pub(crate) queries: RefCell<Option<Vec<String>>>,
}

impl Db {
    pub(crate) fn error(&self, error: rusqlite::Error) -> Error {
        Error::sql(&self.path, error)
    }

    pub(crate) fn no_such(&self, what: &'static str, id: impl ToString) -> Error {
        Error::NoSuch { path: self.path.to_path_buf(), what, id: id.to_string() }
    }

    /// Runs statements without values or rows.
    pub(crate) fn batch(&self, sql: &str) -> Result<(), Error> {
        self.conn.execute_batch(sql).map_err(|error| self.error(error))
    }

    /// Runs a statement and returns how many rows it changed.
    pub(crate) fn run(&self, sql: &str, values: impl Params) -> Result<usize, Error> {
        self.conn
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(values))
            .map_err(|error| self.error(error))
    }

    /// Runs an insert and returns the new row's number.
    pub(crate) fn insert(&self, sql: &str, values: impl Params) -> Result<i64, Error> {
        self.run(sql, values)?;
        Ok(self.conn.last_insert_rowid())
    }

    /// Hands each row to `read` until it says stop.
    pub(crate) fn each(
        &self,
        sql: &str,
        values: impl Params,
        mut read: impl FnMut(&mut Columns<'_, '_>) -> rusqlite::Result<ControlFlow<()>>,
    ) -> Result<(), Error> {
        if let Some(queries) = self.queries.borrow_mut().as_mut() {
            queries.push(sql.to_owned());
        }
        let visit = || {
            let mut statement = self.conn.prepare_cached(sql)?;
            let mut rows = statement.query(values)?;
            while let Some(row) = rows.next()? {
                if read(&mut Columns::new(row))?.is_break() {
                    break;
                }
            }
            Ok(())
        };
        visit().map_err(|error| self.error(error))
    }

    /// Returns all rows.
    pub(crate) fn all<T>(
        &self,
        sql: &str,
        values: impl Params,
        mut read: impl FnMut(&mut Columns<'_, '_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, Error> {
        let mut found = Vec::new();
        self.each(sql, values, |row| {
            found.push(read(row)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// Returns the first row, if there is one.
    pub(crate) fn first<T>(
        &self,
        sql: &str,
        values: impl Params,
        mut read: impl FnMut(&mut Columns<'_, '_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, Error> {
        let mut found = None;
        self.each(sql, values, |row| {
            found = Some(read(row)?);
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }

    /// Returns the first column of the first row.
    pub(crate) fn value<T: rusqlite::types::FromSql>(
        &self,
        sql: &str,
        values: impl Params,
    ) -> Result<Option<T>, Error> {
        self.first(sql, values, |row| row.get())
    }
}
