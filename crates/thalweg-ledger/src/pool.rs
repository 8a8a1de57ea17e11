//! Connections for reading that nobody uses at the moment, kept with their prepared statements.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use crate::db::Db;

/// Most idle connections that are kept.
const KEPT: usize = 4;

/// Idle connections of one ledger.
#[derive(Clone, Default)]
pub(crate) struct Pool(Arc<Mutex<Vec<Db>>>);

/// A connection that goes back to its pool when it is dropped.
pub(crate) struct Pooled {
    /// None only while it is dropped.
    db: Option<Db>,
    pool: Pool,
}

impl Pool {
    /// Takes an idle connection, if there is one.
    pub(crate) fn take(&self) -> Option<Pooled> {
        let db = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        Some(self.lend(db))
    }

    /// Makes a connection one of this pool.
    pub(crate) fn lend(&self, db: Db) -> Pooled {
        Pooled { db: Some(db), pool: self.clone() }
    }
}

impl Deref for Pooled {
    type Target = Db;

    #[expect(clippy::expect_used, reason = "it is there until the drop")]
    fn deref(&self) -> &Db {
        self.db.as_ref().expect("a connection that is not being dropped")
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let Some(db) = self.db.take() else { return };
        // One in a view that cannot be left is of no use to anybody else.
        if !db.conn.is_autocommit() && db.batch("ROLLBACK").is_err() {
            return;
        }
        let mut idle = self.pool.0.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT {
            idle.push(db);
        }
    }
}
