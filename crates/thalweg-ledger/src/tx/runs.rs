//! Writing runs: their start, their journal of outputs, their end, and what `update` products are made of.

use rusqlite::params;
use thalweg_core::{ContentHash, ErrorClass, RelPath};

use super::{Naming, Tx};
use crate::Error;
use crate::convert::{int, opt_us, us};
use crate::kinds::{RunId, RunState};
use crate::rows::{Contribution, NewRun, RunEnd, RunOutput};

impl Tx<'_> {
    /// Records a run that is about to start, with its inputs.
    pub fn run_start(&mut self, run: &NewRun) -> Result<RunId, Error> {
        let step = self.name(Naming::Step, &run.step)?;
        let station = self.name(Naming::Station, &run.station)?;
        let command = self.json(&run.command, "a command line")?;
        let awaited = self.opt_json(run.awaited.as_ref(), "the awaited inputs of a run")?;
        let id = self.db().insert(
            "INSERT INTO runs (step, step_version, station, key, identity, state, started, attempt, pid, host, program, \
             command, log, staging, partial, awaited, fresh, batch, verb_version) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
            params![
                step,
                run.step_version,
                station,
                run.key,
                run.identity.0.as_slice(),
                RunState::Running,
                us(run.started),
                run.attempt,
                run.pid,
                run.host,
                run.program,
                command,
                run.log,
                run.staging,
                run.partial,
                awaited,
                run.fresh,
                run.batch,
                run.verb_version
            ],
        )?;
        for input in &run.inputs {
            let product = self.name(Naming::Product, &input.product)?;
            let station = self.name(Naming::Station, &input.station)?;
            let content = self.opt_content(input.content.as_ref())?;
            self.db().run(
                "INSERT INTO run_inputs (run, role, product, fields_key, content, station, path, start_us, end_us) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                params![
                    id,
                    input.role,
                    product,
                    input.fields_key,
                    content,
                    station,
                    input.path.as_str(),
                    opt_us(input.start),
                    opt_us(input.end)
                ],
            )?;
        }
        Ok(RunId(id))
    }

    /// Records the process that carries out a run.
    pub fn run_pid(&mut self, run: RunId, pid: u32) -> Result<(), Error> {
        self.changed_run(run, self.db().run("UPDATE runs SET pid = ?2 WHERE id = ?1", (run, pid))?)
    }

    /// Records the command line of a run and where its log is.
    pub fn run_detail(&mut self, run: RunId, command: &[String], log: &str) -> Result<(), Error> {
        let command = self.json(&command, "a command line")?;
        let sql = "UPDATE runs SET command = ?2, log = ?3 WHERE id = ?1";
        self.changed_run(run, self.db().run(sql, rusqlite::params![run, command, log])?)
    }

    /// Journals the outputs that are complete in the staging folder: from here on they appear together or not at all.
    ///
    /// Replaces an earlier journal of the run.
    pub fn run_staged(&mut self, run: RunId, outputs: &[RunOutput]) -> Result<(), Error> {
        self.run_state(run, RunState::Staged)?;
        self.db().run("DELETE FROM run_outputs WHERE run = ?1", [run])?;
        for output in outputs {
            let product = self.name(Naming::Product, &output.product)?;
            let station = self.name(Naming::Station, &output.station)?;
            let content = match &output.content {
                Some(hash) => Some(self.content(hash, Some(int(output.size)), None)?),
                None => None,
            };
            self.db().run(
                "INSERT INTO run_outputs (run, product, fields_key, station, path, content, size, staged_name, published) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                params![
                    run,
                    product,
                    output.fields_key,
                    station,
                    output.path.as_str(),
                    content,
                    int(output.size),
                    output.staged_name,
                    output.published
                ],
            )?;
        }
        Ok(())
    }

    /// Records that publishing begins.
    pub fn run_publishing(&mut self, run: RunId) -> Result<(), Error> {
        self.run_state(run, RunState::Publishing)
    }

    /// Records that one output of a run has been renamed into place.
    pub fn run_output_published(&mut self, run: RunId, station: &str, path: &RelPath) -> Result<(), Error> {
        let station = self.name(Naming::Station, station)?;
        let changed = self.db().run(
            "UPDATE run_outputs SET published = 1 WHERE run = ?1 AND station = ?2 AND path = ?3",
            params![run, station, path.as_str()],
        )?;
        if changed == 0 { Err(self.db().no_such("output", path.as_str())) } else { Ok(()) }
    }

    /// Records how a run ended.
    pub fn run_finish(&mut self, run: RunId, end: &RunEnd) -> Result<(), Error> {
        let report = self.opt_json(end.report.as_ref(), "the report of a run")?;
        let changed = self.db().run(
            "UPDATE runs SET state = ?2, class = ?3, message = ?4, ended = ?5, exit = ?6, signal = ?7, retry_at = ?8, \
             user_ms = ?9, system_ms = ?10, peak_kib = ?11, report = ?12 WHERE id = ?1",
            params![
                run,
                end.state,
                end.class.map(ErrorClass::as_str),
                end.message,
                us(end.ended),
                end.exit,
                end.signal,
                opt_us(end.retry_at),
                end.user_ms.map(int),
                end.system_ms.map(int),
                end.peak_kib.map(int),
                report
            ],
        )?;
        self.changed_run(run, changed)
    }

    fn run_state(&mut self, run: RunId, state: RunState) -> Result<(), Error> {
        self.changed_run(run, self.db().run("UPDATE runs SET state = ?2 WHERE id = ?1", (run, state))?)
    }

    fn changed_run(&self, run: RunId, changed: usize) -> Result<(), Error> {
        if changed == 0 { Err(self.db().no_such("run", run)) } else { Ok(()) }
    }

    /// Records what a key has worked into one version of an `update` product.
    pub fn contribute(&mut self, contribution: &Contribution) -> Result<(), Error> {
        let product = self.name(Naming::Product, &contribution.product)?;
        let step = self.name(Naming::Step, &contribution.step)?;
        let content = self.content(&contribution.content, None, None)?;
        let inputs = self.json(&contribution.inputs, "the inputs of a contribution")?;
        self.db().run(
            "INSERT INTO contributions (product, fields_key, content, step, key, step_version, identity, run, inputs, \
             verb_version) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO UPDATE SET \
             step_version = excluded.step_version, identity = excluded.identity, run = excluded.run, \
             inputs = excluded.inputs, verb_version = excluded.verb_version",
            params![
                product,
                contribution.fields_key,
                content,
                step,
                contribution.key,
                contribution.step_version,
                contribution.identity.0.as_slice(),
                contribution.run,
                inputs,
                contribution.verb_version
            ],
        )?;
        Ok(())
    }

    /// Gives a new version of an `update` product all that was worked into an older one; returns how many.
    pub fn contributions_carry(
        &mut self,
        product: &str,
        fields_key: &str,
        from: &ContentHash,
        to: &ContentHash,
    ) -> Result<usize, Error> {
        let product = self.name(Naming::Product, product)?;
        let to = self.content(to, None, None)?;
        self.db().run(
            "INSERT OR IGNORE INTO contributions (product, fields_key, content, step, key, step_version, identity, run, \
             inputs, verb_version) SELECT product, fields_key, ?4, step, key, step_version, identity, run, inputs, \
             verb_version FROM contributions \
             WHERE product = ?1 AND fields_key = ?2 AND content = (SELECT id FROM contents WHERE hash = ?3)",
            params![product, fields_key, from.0.as_slice(), to],
        )
    }
}
