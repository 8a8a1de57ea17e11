//! Questions about runs: what was tried for a key, what a run took and made, and what came from what.

use rusqlite::params;
use thalweg_core::{ContentHash, RelPath};

use super::{Reader, bind};
use crate::Error;
use crate::convert::{Columns, Conditions, us};
use crate::kinds::RunId;
use crate::rows::{Contribution, RunFilter, RunInput, RunOutput, RunRow};

const RUN: &str = "r.id, (SELECT name FROM steps WHERE id = r.step), r.step_version, \
    (SELECT name FROM stations WHERE id = r.station), r.key, r.identity, r.state, r.class, r.message, r.started, r.ended, \
    r.exit, r.signal, r.attempt, r.retry_at, r.pid, r.host, r.program, r.verb_version, r.command, r.log, r.staging, r.partial, r.awaited, \
    r.user_ms, r.system_ms, r.peak_kib, r.report, r.fresh, r.batch";

fn run(row: &mut Columns<'_, '_>) -> rusqlite::Result<RunRow> {
    Ok(RunRow {
        id: row.get()?,
        step: row.get()?,
        step_version: row.get()?,
        station: row.get()?,
        key: row.get()?,
        identity: row.hash()?,
        state: row.get()?,
        class: row.class()?,
        message: row.get()?,
        started: row.time()?,
        ended: row.opt_time()?,
        exit: row.get()?,
        signal: row.get()?,
        attempt: row.get()?,
        retry_at: row.opt_time()?,
        pid: row.get()?,
        host: row.get()?,
        program: row.get()?,
        verb_version: row.get()?,
        command: row.json()?,
        log: row.get()?,
        staging: row.get()?,
        partial: row.get()?,
        awaited: row.opt_json()?,
        user_ms: row.opt_count()?,
        system_ms: row.opt_count()?,
        peak_kib: row.opt_count()?,
        report: row.opt_json()?,
        fresh: row.get()?,
        batch: row.get()?,
    })
}

const CONTRIBUTION: &str = "(SELECT name FROM products WHERE id = c.product), c.fields_key, \
    (SELECT hash FROM contents WHERE id = c.content), (SELECT name FROM steps WHERE id = c.step), c.step_version, c.key, \
    c.identity, c.run, c.inputs, c.verb_version";

fn contribution(row: &mut Columns<'_, '_>) -> rusqlite::Result<Contribution> {
    Ok(Contribution {
        product: row.get()?,
        fields_key: row.get()?,
        content: row.hash()?,
        step: row.get()?,
        step_version: row.get()?,
        key: row.get()?,
        identity: row.hash()?,
        run: row.get()?,
        inputs: row.json()?,
        verb_version: row.get()?,
    })
}

impl Reader {
    /// Returns a run.
    pub fn run(&self, id: RunId) -> Result<Option<RunRow>, Error> {
        self.db.first(&format!("SELECT {RUN} FROM runs r WHERE r.id = ?1"), [id], run)
    }

    /// Returns the newest run of a key that was done.
    pub fn last_done(&self, step: &str, key: &str) -> Result<Option<RunRow>, Error> {
        let sql = format!(
            "SELECT {RUN} FROM runs r WHERE r.step = ?1 AND r.key = ?2 AND +r.state = 3 ORDER BY r.id DESC LIMIT 1"
        );
        self.db.first(&sql, params![self.step_id(step)?, key], run)
    }

    /// Returns the newest run of a key that has ended, done or failed.
    pub fn last_over(&self, step: &str, key: &str) -> Result<Option<RunRow>, Error> {
        let sql = format!(
            "SELECT {RUN} FROM runs r WHERE r.step = ?1 AND r.key = ?2 AND +r.state IN (3, 4) ORDER BY r.id DESC LIMIT 1"
        );
        self.db.first(&sql, params![self.step_id(step)?, key], run)
    }

    /// Returns the runs of a key with this identity, oldest first.
    pub fn attempts(&self, step: &str, key: &str, identity: &ContentHash) -> Result<Vec<RunRow>, Error> {
        let sql =
            format!("SELECT {RUN} FROM runs r WHERE r.step = ?1 AND r.key = ?2 AND r.identity = ?3 ORDER BY r.id");
        self.db.all(&sql, params![self.step_id(step)?, key, identity.0.as_slice()], run)
    }

    /// Returns at most `limit` runs that a filter describes, newest first.
    pub fn runs(&self, filter: &RunFilter, limit: u32) -> Result<Vec<RunRow>, Error> {
        let mut conditions = Conditions::default();
        if let Some(step) = &filter.step {
            conditions.with("r.step = ?", [bind(self.step_id(step)?)]);
        }
        if let Some(key) = &filter.key {
            conditions.with("r.key = ?", [bind(key.clone())]);
        }
        if let Some(station) = &filter.station {
            conditions.with("r.station = ?", [bind(self.station_id(station)?)]);
        }
        conditions.codes("r.state", filter.states.iter().map(|state| state.code()));
        if let Some(from) = filter.from {
            conditions.with("r.started >= ?", [bind(us(from))]);
        }
        if let Some(to) = filter.to {
            conditions.with("r.started < ?", [bind(us(to))]);
        }
        if let Some(before) = filter.before {
            conditions.with("r.id < ?", [bind(before.0)]);
        }
        let sql = format!("SELECT {RUN} FROM runs r{} ORDER BY r.id DESC LIMIT {limit}", conditions.text());
        self.db.all(&sql, conditions.values().as_slice(), run)
    }

    /// Returns the runs that have not ended, oldest first: after a crash, those to be cleared up.
    pub fn unfinished_runs(&self) -> Result<Vec<RunRow>, Error> {
        self.db.all(&format!("SELECT {RUN} FROM runs r WHERE r.state IN (0, 1, 2) ORDER BY r.id"), [], run)
    }

    /// Returns what a run took.
    pub fn run_inputs(&self, id: RunId) -> Result<Vec<RunInput>, Error> {
        let sql = "SELECT i.role, (SELECT name FROM products WHERE id = i.product), i.fields_key, \
                   (SELECT hash FROM contents WHERE id = i.content), (SELECT name FROM stations WHERE id = i.station), \
                   i.path, i.start_us, i.end_us FROM run_inputs i WHERE i.run = ?1 ORDER BY i.role, i.product, i.fields_key";
        self.db.all(sql, [id], |row| {
            Ok(RunInput {
                role: row.get()?,
                product: row.get()?,
                fields_key: row.get()?,
                content: row.opt_hash()?,
                station: row.get()?,
                path: row.path()?,
                start: row.opt_time()?,
                end: row.opt_time()?,
            })
        })
    }

    /// Returns how many bytes a run took, as far as they are known.
    pub fn run_input_bytes(&self, id: RunId) -> Result<u64, Error> {
        let sql = "SELECT total(c.size) FROM run_inputs i JOIN contents c ON c.id = i.content WHERE i.run = ?1";
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sizes are not negative")]
        Ok(self.db.value::<f64>(sql, [id])?.unwrap_or_default() as u64)
    }

    /// Returns the journal of a run's outputs.
    pub fn run_outputs(&self, id: RunId) -> Result<Vec<RunOutput>, Error> {
        let sql = "SELECT (SELECT name FROM products WHERE id = o.product), o.fields_key, \
                   (SELECT name FROM stations WHERE id = o.station), o.path, (SELECT hash FROM contents WHERE id = o.content), \
                   o.size, o.staged_name, o.published FROM run_outputs o WHERE o.run = ?1 ORDER BY o.station, o.path";
        self.db.all(sql, [id], |row| {
            Ok(RunOutput {
                product: row.get()?,
                fields_key: row.get()?,
                station: row.get()?,
                path: row.path()?,
                content: row.opt_hash()?,
                size: row.count()?,
                staged_name: row.get()?,
                published: row.get()?,
            })
        })
    }

    /// Returns the runs that took this content, newest first.
    pub fn runs_using_content(&self, hash: &ContentHash) -> Result<Vec<RunRow>, Error> {
        let sql = format!(
            "SELECT {RUN} FROM runs r WHERE r.id IN (SELECT run FROM run_inputs WHERE content = ?1) ORDER BY r.id DESC"
        );
        self.db.all(&sql, [self.content_id(hash)?], run)
    }

    /// Returns the runs that took this file, whichever content, newest first.
    pub fn runs_using(&self, product: &str, fields_key: &str) -> Result<Vec<RunRow>, Error> {
        let sql = format!(
            "SELECT {RUN} FROM runs r WHERE r.id IN (SELECT run FROM run_inputs WHERE product = ?1 AND fields_key = ?2) \
             ORDER BY r.id DESC"
        );
        self.db.all(&sql, (self.product_id(product)?, fields_key), run)
    }

    /// Returns the runs that journalled an output at this path, newest first.
    pub fn runs_making_path(&self, station: &str, path: &RelPath) -> Result<Vec<RunRow>, Error> {
        let sql = format!(
            "SELECT {RUN} FROM runs r WHERE r.id IN (SELECT run FROM run_outputs WHERE station = ?1 AND path = ?2) \
             ORDER BY r.id DESC"
        );
        self.db.all(&sql, (self.station_id(station)?, path.as_str()), run)
    }

    /// Returns the runs of a key that failed, were lost or stopped after they had journalled their outputs, since the last one
    /// that was done, newest first; of those with the same content under the same name the newest.
    pub fn runs_leaving(&self, step: &str, key: &str) -> Result<Vec<RunRow>, Error> {
        let sql = format!(
            "SELECT {RUN} FROM runs r WHERE r.id IN (SELECT max(o.run) FROM runs f CROSS JOIN run_outputs o ON o.run = f.id \
             WHERE f.step = ?1 AND f.key = ?2 AND +f.state IN (4, 5, 6) AND f.id > ifnull((SELECT max(d.id) FROM runs d \
             WHERE d.step = ?1 AND d.key = ?2 AND +d.state = 3), 0) \
             GROUP BY o.station, o.path, o.content) ORDER BY r.id DESC"
        );
        self.db.all(&sql, params![self.step_id(step)?, key], run)
    }

    /// Returns the same of a path, whichever keys they were of.
    pub fn runs_leaving_at(&self, station: &str, path: &RelPath) -> Result<Vec<RunRow>, Error> {
        let sql = format!(
            "SELECT {RUN} FROM runs r WHERE r.id IN (SELECT max(o.run) FROM run_outputs o CROSS JOIN runs f ON f.id = o.run \
             WHERE o.station = ?1 AND o.path = ?2 AND f.state IN (4, 5, 6) AND o.run > ifnull((SELECT max(p.run) \
             FROM run_outputs p CROSS JOIN runs d ON d.id = p.run WHERE p.station = ?1 AND p.path = ?2 AND d.state = 3), \
             0) GROUP BY o.content) ORDER BY r.id DESC"
        );
        self.db.all(&sql, (self.station_id(station)?, path.as_str()), run)
    }

    /// Returns the runs that journalled this file as an output, newest first.
    pub fn runs_making(&self, product: &str, fields_key: &str) -> Result<Vec<RunRow>, Error> {
        let sql = format!(
            "SELECT {RUN} FROM runs r WHERE r.id IN (SELECT run FROM run_outputs WHERE product = ?1 AND fields_key = ?2) \
             ORDER BY r.id DESC"
        );
        self.db.all(&sql, (self.product_id(product)?, fields_key), run)
    }

    /// Returns the runs that journalled an output with this content, newest first.
    pub fn runs_making_content(&self, hash: &ContentHash) -> Result<Vec<RunRow>, Error> {
        let sql = format!(
            "SELECT {RUN} FROM runs r WHERE r.id IN (SELECT run FROM run_outputs WHERE content = ?1) ORDER BY r.id DESC"
        );
        self.db.all(&sql, [self.content_id(hash)?], run)
    }

    /// Returns what was worked into one version of an `update` product.
    pub fn contributions_of(
        &self,
        product: &str,
        fields_key: &str,
        content: &ContentHash,
    ) -> Result<Vec<Contribution>, Error> {
        let sql = format!(
            "SELECT {CONTRIBUTION} FROM contributions c WHERE c.product = ?1 AND c.fields_key = ?2 AND c.content = ?3 \
             ORDER BY c.step, c.key"
        );
        self.db.all(&sql, (self.product_id(product)?, fields_key, self.content_id(content)?), contribution)
    }

    /// Returns everything that a key has worked in, into whichever version.
    pub fn contributions_by(&self, step: &str, key: &str) -> Result<Vec<Contribution>, Error> {
        let sql = format!(
            "SELECT {CONTRIBUTION} FROM contributions c WHERE c.step = ?1 AND c.key = ?2 \
             ORDER BY c.product, c.fields_key, c.content"
        );
        self.db.all(&sql, (self.step_id(step)?, key), contribution)
    }
}
