//! Questions about evidence: where verified copies are, who vouches for them, what was put aside or deleted.

use thalweg_core::ContentHash;

use super::{Reader, bind};
use crate::Error;
use crate::convert::{Columns, Conditions, us};
use crate::kinds::ReceiptId;
use crate::rows::{CopyRow, QuarantineFilter, QuarantineRow, ReceiptRow, RetirementFilter, RetirementRow};

const RECEIPT: &str = "r.id, (SELECT name FROM products WHERE id = r.product), r.fields_key, \
    (SELECT hash FROM contents WHERE id = r.content), (SELECT name FROM stations WHERE id = r.station), r.given, r.ledger, \
    r.relayed_by, r.inputs, r.confirmed, r.revoked";

fn receipt(row: &mut Columns<'_, '_>) -> rusqlite::Result<ReceiptRow> {
    Ok(ReceiptRow {
        id: row.get()?,
        product: row.get()?,
        fields_key: row.get()?,
        content: row.hash()?,
        station: row.get()?,
        given: row.time()?,
        ledger: row.get()?,
        relayed_by: row.get()?,
        inputs: row.json()?,
        confirmed: row.time()?,
        revoked: row.opt_time()?,
    })
}

const COPY: &str = "(SELECT name FROM products WHERE id = c.product), c.fields_key, \
    (SELECT hash FROM contents WHERE id = c.content), (SELECT name FROM stations WHERE id = c.station), c.path, c.verified, \
    c.verify_mode, c.present, c.run";

fn copy(row: &mut Columns<'_, '_>) -> rusqlite::Result<CopyRow> {
    Ok(CopyRow {
        product: row.get()?,
        fields_key: row.get()?,
        content: row.hash()?,
        station: row.get()?,
        path: row.path()?,
        verified: row.time()?,
        verify_mode: row.get()?,
        present: row.get()?,
        run: row.get()?,
    })
}

impl Reader {
    /// Returns the verified copies of a file, present or not, of one content or of all.
    pub fn copies_of(
        &self,
        product: &str,
        fields_key: &str,
        content: Option<&ContentHash>,
    ) -> Result<Vec<CopyRow>, Error> {
        let product = self.product_id(product)?;
        match content {
            Some(hash) => {
                let sql = format!(
                    "SELECT {COPY} FROM copies c WHERE c.content = ?1 AND c.product = ?2 AND c.fields_key = ?3 ORDER BY c.id"
                );
                self.db.all(&sql, (self.content_id(hash)?, product, fields_key), copy)
            }
            None => {
                let sql =
                    format!("SELECT {COPY} FROM copies c WHERE c.product = ?1 AND c.fields_key = ?2 ORDER BY c.id");
                self.db.all(&sql, (product, fields_key), copy)
            }
        }
    }

    /// Returns a receipt.
    pub fn receipt(&self, id: ReceiptId) -> Result<Option<ReceiptRow>, Error> {
        self.db.first(&format!("SELECT {RECEIPT} FROM receipts r WHERE r.id = ?1"), [id], receipt)
    }

    /// Returns the receipts for a content of a file, those taken back too.
    pub fn receipts_for(
        &self,
        product: &str,
        fields_key: &str,
        content: &ContentHash,
    ) -> Result<Vec<ReceiptRow>, Error> {
        let sql = format!(
            "SELECT {RECEIPT} FROM receipts r WHERE r.content = ?1 AND r.product = ?2 AND r.fields_key = ?3 ORDER BY r.id"
        );
        self.db.all(&sql, (self.content_id(content)?, self.product_id(product)?, fields_key), receipt)
    }

    /// Returns the receipts for what was made from a content of a file, those taken back too.
    pub fn receipts_naming_input(
        &self,
        product: &str,
        fields_key: &str,
        content: &ContentHash,
    ) -> Result<Vec<ReceiptRow>, Error> {
        let sql = format!(
            "SELECT {RECEIPT} FROM receipts r WHERE r.id IN (SELECT receipt FROM receipt_inputs WHERE content = ?1 \
             AND product = ?2 AND fields_key = ?3) ORDER BY r.id"
        );
        self.db.all(&sql, (self.content_id(content)?, self.product_id(product)?, fields_key), receipt)
    }

    /// Returns receipts in order of their numbers, after one: to pass them on.
    pub fn receipts_after(&self, after: ReceiptId, limit: u32) -> Result<Vec<ReceiptRow>, Error> {
        self.db.all(
            &format!("SELECT {RECEIPT} FROM receipts r WHERE r.id > ?1 ORDER BY r.id LIMIT ?2"),
            (after, limit),
            receipt,
        )
    }

    /// Returns what was put aside as bad, newest first.
    pub fn quarantined(&self, filter: &QuarantineFilter) -> Result<Vec<QuarantineRow>, Error> {
        let mut conditions = Conditions::default();
        if !filter.released {
            conditions.plain("q.released IS NULL");
        }
        if let Some(station) = &filter.station {
            conditions.with("q.station = ?", [bind(self.station_id(station)?)]);
        }
        if let Some(product) = &filter.product {
            conditions.with("q.product = ?", [bind(self.product_id(product)?)]);
        }
        if let Some(content) = &filter.content {
            conditions.with("q.content = ?", [bind(self.content_id(content)?)]);
        }
        if let Some(file) = filter.file {
            conditions.with("q.file = ?", [bind(file.0)]);
        }
        let sql = format!(
            "SELECT q.id, q.file, (SELECT name FROM stations WHERE id = q.station), \
             (SELECT name FROM products WHERE id = q.product), q.fields_key, q.path, q.moved_to, q.report_path, \
             (SELECT hash FROM contents WHERE id = q.content), q.class, q.message, q.run, q.at, q.released \
             FROM quarantine q{} ORDER BY q.id DESC LIMIT {}",
            conditions.text(),
            filter.limit.map_or(-1, i64::from)
        );
        self.db.all(&sql, conditions.values().as_slice(), |row| {
            Ok(QuarantineRow {
                id: row.get()?,
                file: row.get()?,
                station: row.get()?,
                product: row.get()?,
                fields_key: row.get()?,
                path: row.path()?,
                moved_to: row.opt_path()?,
                report_path: row.opt_path()?,
                content: row.opt_hash()?,
                class: row.get()?,
                message: row.get()?,
                run: row.get()?,
                at: row.time()?,
                released: row.opt_time()?,
            })
        })
    }

    /// Returns the audit of deletions, newest first.
    pub fn retirements(&self, filter: &RetirementFilter) -> Result<Vec<RetirementRow>, Error> {
        let mut conditions = Conditions::default();
        if let Some(station) = &filter.station {
            conditions.with("t.station = ?", [bind(self.station_id(station)?)]);
        }
        if let Some(product) = &filter.product {
            conditions.with("t.product = ?", [bind(self.product_id(product)?)]);
        }
        if let Some(file) = filter.file {
            conditions.with("t.file = ?", [bind(file.0)]);
        }
        if let Some(from) = filter.from {
            conditions.with("t.at >= ?", [bind(us(from))]);
        }
        if let Some(to) = filter.to {
            conditions.with("t.at < ?", [bind(us(to))]);
        }
        let sql = format!(
            "SELECT t.file, (SELECT name FROM stations WHERE id = t.station), \
             (SELECT name FROM products WHERE id = t.product), t.fields_key, t.path, \
             (SELECT hash FROM contents WHERE id = t.content), t.size, t.keep, t.at, t.receipts \
             FROM retirements t{} ORDER BY t.id DESC LIMIT {}",
            conditions.text(),
            filter.limit.map_or(-1, i64::from)
        );
        self.db.all(&sql, conditions.values().as_slice(), |row| {
            Ok(RetirementRow {
                file: row.get()?,
                station: row.get()?,
                product: row.get()?,
                fields_key: row.get()?,
                path: row.path()?,
                content: row.opt_hash()?,
                size: row.count()?,
                keep: row.get()?,
                at: row.time()?,
                receipts: row.json()?,
            })
        })
    }
}
