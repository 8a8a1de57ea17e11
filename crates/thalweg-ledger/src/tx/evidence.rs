//! Writing evidence: copies, receipts, quarantine, deletions.

use rusqlite::params;
use serde_json::Value as Json;
use thalweg_core::{ContentHash, RelPath, Timestamp};

use super::{Naming, Tx, opt_path};
use crate::Error;
use crate::convert::us;
use crate::kinds::{FileId, FileState, QuarantineId, ReceiptId, RunId};
use crate::rows::{NewCopy, NewQuarantine, NewReceipt};

impl Tx<'_> {
    /// Records a verified presence, here or at another station.
    pub fn copy_put(&mut self, copy: &NewCopy) -> Result<(), Error> {
        let product = self.name(Naming::Product, &copy.product)?;
        let station = self.name(Naming::Station, &copy.station)?;
        let content = self.content(&copy.content, None, None)?;
        self.db().run(
            "INSERT INTO copies (product, fields_key, content, station, path, verified, verify_mode, present, run) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1, ?8) ON CONFLICT DO UPDATE SET path = excluded.path, \
             verified = excluded.verified, verify_mode = excluded.verify_mode, present = 1, run = excluded.run",
            params![
                product,
                copy.fields_key,
                content,
                station,
                copy.path.as_str(),
                us(copy.verified),
                copy.verify_mode,
                copy.run
            ],
        )?;
        Ok(())
    }

    /// Records that a copy is no longer at a station; tells if one was thought to be there.
    pub fn copy_absent(
        &mut self,
        product: &str,
        fields_key: &str,
        content: &ContentHash,
        station: &str,
    ) -> Result<bool, Error> {
        let product = self.name(Naming::Product, product)?;
        let station = self.name(Naming::Station, station)?;
        let changed = self.db().run(
            "UPDATE copies SET present = 0 WHERE present = 1 AND product = ?1 AND fields_key = ?2 AND station = ?3 \
             AND content = (SELECT id FROM contents WHERE hash = ?4)",
            params![product, fields_key, station, content.0.as_slice()],
        )?;
        Ok(changed > 0)
    }

    /// Records a receipt. The same receipt by another way or once more only confirms it.
    ///
    /// One that was taken back stays so, unless this was given after that.
    pub fn receipt_add(&mut self, receipt: &NewReceipt) -> Result<ReceiptId, Error> {
        let product = self.name(Naming::Product, &receipt.product)?;
        let station = self.name(Naming::Station, &receipt.station)?;
        let content = self.content(&receipt.content, None, None)?;
        let inputs = self.json(&receipt.inputs, "the inputs of a receipt")?;
        self.db().run(
            "INSERT INTO receipts (product, fields_key, content, station, given, ledger, relayed_by, inputs, confirmed) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO UPDATE SET \
             inputs = CASE WHEN excluded.given >= given THEN excluded.inputs ELSE inputs END, \
             relayed_by = CASE WHEN excluded.given >= given THEN excluded.relayed_by ELSE relayed_by END, \
             revoked = CASE WHEN excluded.given > revoked THEN NULL ELSE revoked END, \
             confirmed = max(confirmed, excluded.confirmed), given = max(given, excluded.given)",
            params![
                product,
                receipt.fields_key,
                content,
                station,
                us(receipt.given),
                receipt.ledger,
                receipt.relayed_by,
                inputs,
                us(receipt.confirmed)
            ],
        )?;
        let id: Option<ReceiptId> = self.db().value(
            "SELECT id FROM receipts WHERE content = ?1 AND product = ?2 AND fields_key = ?3 AND station = ?4 AND ledger = ?5",
            params![content, product, receipt.fields_key, station, receipt.ledger],
        )?;
        let id = id.ok_or_else(|| self.db().no_such("receipt of station", &receipt.station))?;
        for input in &receipt.inputs {
            let product = self.name(Naming::Product, &input.product)?;
            let content = self.content(&input.content, None, None)?;
            self.db().run(
                "INSERT OR IGNORE INTO receipt_inputs (product, fields_key, content, receipt) VALUES (?1, ?2, ?3, ?4)",
                params![product, input.fields_key, content, id],
            )?;
        }
        Ok(id)
    }

    /// Records that a receipt was confirmed by its giver just now.
    pub fn receipt_confirm(&mut self, receipt: ReceiptId, at: Timestamp) -> Result<(), Error> {
        let changed =
            self.db().run("UPDATE receipts SET confirmed = max(confirmed, ?2) WHERE id = ?1", (receipt, us(at)))?;
        if changed == 0 { Err(self.db().no_such("receipt", receipt)) } else { Ok(()) }
    }

    /// Records that its giver took a receipt back.
    pub fn receipt_revoke(&mut self, receipt: ReceiptId, at: Timestamp) -> Result<(), Error> {
        let changed = self.db().run("UPDATE receipts SET revoked = ?2 WHERE id = ?1", (receipt, us(at)))?;
        if changed == 0 { Err(self.db().no_such("receipt", receipt)) } else { Ok(()) }
    }

    /// Records a file that is put aside as bad.
    pub fn quarantine_add(&mut self, bad: &NewQuarantine) -> Result<QuarantineId, Error> {
        let product = self.name(Naming::Product, &bad.product)?;
        let station = self.name(Naming::Station, &bad.station)?;
        let content = self.opt_content(bad.content.as_ref())?;
        if let Some(file) = bad.file {
            self.set_state(file, FileState::Quarantined, Some(&bad.message), bad.at)?;
        }
        let id = self.db().insert(
            "INSERT INTO quarantine (file, station, product, fields_key, path, moved_to, report_path, content, class, \
             message, run, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            params![
                bad.file,
                station,
                product,
                bad.fields_key,
                bad.path.as_str(),
                opt_path(bad.moved_to.as_ref()),
                opt_path(bad.report_path.as_ref()),
                content,
                bad.class,
                bad.message,
                bad.run,
                us(bad.at)
            ],
        )?;
        Ok(QuarantineId(id))
    }

    /// Records where a quarantined file was put and where its report stands, once that is done.
    pub fn quarantine_moved(
        &mut self,
        id: QuarantineId,
        moved_to: &RelPath,
        report: Option<&RelPath>,
    ) -> Result<(), Error> {
        let changed = self.db().run(
            "UPDATE quarantine SET moved_to = ?2, report_path = ?3 WHERE id = ?1",
            (id, moved_to.as_str(), opt_path(report)),
        )?;
        if changed == 0 { Err(self.db().no_such("quarantine entry", id)) } else { Ok(()) }
    }

    /// Releases a quarantined file: it settles again, at its old path.
    pub fn quarantine_release(&mut self, id: QuarantineId, at: Timestamp) -> Result<(), Error> {
        let file: Option<Option<FileId>> =
            self.db().value("SELECT file FROM quarantine WHERE id = ?1 AND released IS NULL", [id])?;
        let Some(file) = file else { return Err(self.db().no_such("quarantine entry not released", id)) };
        self.db().run("UPDATE quarantine SET released = ?2 WHERE id = ?1", (id, us(at)))?;
        if let Some(file) = file {
            self.release(file, at)?;
        }
        Ok(())
    }

    /// Records a deletion by a rule, with the evidence it rests on; the file is retired.
    ///
    /// To be durable before the file is touched: a crash between the two leaves a file that a rescan finds again, never
    /// a deletion without a record.
    pub fn retire(
        &mut self,
        file: FileId,
        keep: &str,
        receipts: &Json,
        run: Option<RunId>,
        at: Timestamp,
    ) -> Result<(), Error> {
        let receipts = self.json(receipts, "the evidence of a deletion")?;
        self.set_state(file, FileState::Retired, Some(keep), at)?;
        if run.is_some() {
            self.db().run("UPDATE files SET run = ?2 WHERE id = ?1", (file, run))?;
        }
        self.db().run(
            "INSERT INTO retirements (file, station, product, fields_key, path, content, size, keep, at, receipts) \
             SELECT id, station, product, fields_key, path, content, size, ?2, ?3, ?4 FROM files WHERE id = ?1",
            params![file, keep, us(at), receipts],
        )?;
        Ok(())
    }
}
