//! What the end of a run writes into the ledger, gathered before the transaction begins.

use thalweg_core::{RelPath, Timestamp};
use thalweg_flow::Verb;
use thalweg_ledger::{
    FileId, FileRow, InputRef, NewReceipt, NewRun, Origin, Output, RunEnd, RunId, RunOutput, RunState, Tx,
};

use super::{Active, Dispatcher};
use crate::EngineError;
use crate::classify::identity;
use crate::edits::{Edit, Given};
use crate::runner::{End, How, Left, Staged};
use crate::scan::{stat_of, stat_of_unit};

/// The command of a run as it was filled, and its log.
pub(super) struct Detail {
    run: RunId,
    command: Vec<String>,
    log: String,
}

impl Detail {
    pub(super) fn write(&self, tx: &mut Tx<'_>) -> Result<(), thalweg_ledger::Error> {
        tx.run_detail(self.run, &self.command, &self.log)
    }
}

/// All that the end of a run writes.
pub(super) struct Closing {
    runs: Vec<RunId>,
    outputs: Vec<Output>,
    rows: Vec<RunOutput>,
    receipts: Vec<NewReceipt>,
    retire: Vec<FileId>,
    /// What earlier runs of these keys left and this one did not make again.
    extras: Vec<FileRow>,
    edited: Vec<(usize, Edit)>,
    covered: Vec<NewRun>,
    finish: RunEnd,
    by: String,
    detail: Option<Detail>,
}

impl Closing {
    /// Returns the files to be removed when this is recorded, and by what.
    pub(super) fn extras(&self) -> Option<(Vec<FileRow>, String)> {
        (!self.extras.is_empty()).then(|| (self.extras.clone(), self.by.clone()))
    }

    pub(super) fn write(
        &self,
        tx: &mut Tx<'_>,
        now: Timestamp,
        files: &mut Vec<FileId>,
    ) -> Result<(), thalweg_ledger::Error> {
        let none = serde_json::json!([]);
        if let Some(detail) = &self.detail {
            detail.write(tx)?;
        }
        for output in &self.outputs {
            files.push(tx.put_output(output)?);
        }
        for receipt in &self.receipts {
            tx.receipt_add(receipt)?;
        }
        for file in self.retire.iter().copied().chain(self.extras.iter().map(|row| row.id)) {
            tx.retire(file, &self.by, &none, self.runs.first().copied(), now)?;
        }
        for (n, run) in self.runs.iter().enumerate() {
            let own = self.edited.iter().filter(|(task, _)| *task == n).map(|(_, edit)| edit.left.clone());
            let all: Vec<RunOutput> = self.rows.iter().cloned().chain(own).collect();
            tx.run_staged(*run, &all)?;
            tx.run_finish(*run, &self.finish)?;
        }
        for run in &self.covered {
            let id = tx.run_start(run)?;
            tx.run_staged(id, &self.rows)?;
            tx.run_finish(id, &self.finish)?;
        }
        for (n, edit) in &self.edited {
            files.push(edit.record(tx, &self.by, self.runs.get(*n).copied(), now)?);
        }
        Ok(())
    }
}

impl Dispatcher<'_> {
    pub(super) fn detail(&self, active: &Active, end: &End) -> Option<Detail> {
        if end.command.is_empty() {
            return None;
        }
        let (run, log) = (active.runs.first().copied()?, self.log_of(active)?);
        Some(Detail { run, command: end.command.clone(), log })
    }

    // What the end of a run writes.
    pub(super) fn closing(&self, active: &Active, end: &End, now: Timestamp) -> Result<Option<Closing>, EngineError> {
        let Some(step) = active.tasks.first().and_then(|first| self.flow.steps.get(&first.key.step)) else {
            return Ok(None);
        };
        let mut outputs = Vec::new();
        let mut rows = Vec::new();
        for left in &end.left {
            let Some(output) = self.output_row(left, active.runs.first().copied(), now) else { continue };
            rows.push(run_output(&self.flow, &left.output, true));
            outputs.push(output);
        }
        let receipts: Vec<NewReceipt> = self.receipts(&end.left, &outputs, now)?;
        let mut retire = Vec::new();
        if matches!(step.does, Verb::Move) {
            for input in active.tasks.iter().flat_map(|task| &task.inputs).filter(|input| input.role.is_empty()) {
                retire.extend(self.reader.file_at(&input.station, &input.path)?.map(|row| row.id));
            }
        }
        let extras = self.extras(active, &rows)?;
        Ok(Some(Closing {
            runs: active.runs.clone(),
            outputs,
            rows,
            receipts,
            retire,
            extras,
            edited: if step.edits { self.edited(active)? } else { Vec::new() },
            covered: self.covered_by(active, &end.left)?,
            finish: run_end(RunState::Done, end, now),
            by: format!("step {}", step.name),
            detail: self.detail(active, end),
        }))
    }

    fn output_row(&self, left: &Left, run: Option<RunId>, now: Timestamp) -> Option<Output> {
        let product = self.flow.products.get(&left.output.product)?;
        let stat = if left.meta.kind == thalweg_store::Kind::Folder {
            let store = self.places.store(&left.output.station)?;
            stat_of_unit(store.as_ref(), &left.output.path).ok()?
        } else {
            stat_of(&left.meta)
        };
        Some(Output {
            station: left.output.station.clone(),
            path: left.output.path.clone(),
            identity: identity(product, left.output.fields.clone(), left.output.coverage, now),
            stat,
            content: left.output.hash,
            data_hash: left.output.data_hash,
            indexed: crate::facts::indexed_fields(&self.flow, &left.output.product).into_iter().collect(),
            origin: if left.delivered { Origin::Delivered } else { Origin::Made },
            run,
            verify_mode: "stream".into(),
            at: now,
        })
    }

    fn receipts(&self, left: &[Left], outputs: &[Output], now: Timestamp) -> Result<Vec<NewReceipt>, EngineError> {
        let delivered = left.iter().zip(outputs).filter(|(left, _)| left.delivered);
        delivered.map(|(_, output)| self.receipt(output, now)).collect()
    }

    /// Returns the receipt for a verified copy, with what it was made from.
    pub(super) fn receipt(&self, output: &Output, now: Timestamp) -> Result<NewReceipt, EngineError> {
        let mut inputs = Vec::new();
        for run in self.reader.runs_making(&output.identity.product, &output.identity.fields_key)? {
            let made = run.state == RunState::Done
                && self.flow.steps.get(&run.step).is_some_and(|step| !matches!(step.does, Verb::Send | Verb::Fetch));
            if made {
                inputs = self.reader.run_inputs(run.id)?;
                break;
            }
        }
        // A version of an `update` was made of all that is in it, not of the last run's part alone.
        let hash = output.data_hash.unwrap_or(output.content);
        let parts = self.reader.contributions_of(&output.identity.product, &output.identity.fields_key, &hash)?;
        let last = inputs.into_iter().filter_map(|input| {
            Some(InputRef { product: input.product, fields_key: input.fields_key, content: input.content? })
        });
        let mut all: Vec<InputRef> = parts.into_iter().flat_map(|part| part.inputs).chain(last).collect();
        all.sort_by(|a, b| (&a.product, &a.fields_key, &a.content).cmp(&(&b.product, &b.fields_key, &b.content)));
        all.dedup();
        Ok(NewReceipt {
            product: output.identity.product.clone(),
            fields_key: output.identity.fields_key.clone(),
            content: output.content,
            station: output.station.clone(),
            given: now,
            ledger: self.reader.ledger_id()?,
            relayed_by: None,
            inputs: all,
            confirmed: now,
        })
    }

    // Keys whose part was built in afresh are done with their new identity, if nothing else of theirs is outstanding.
    fn covered_by(&self, active: &Active, left: &[Left]) -> Result<Vec<NewRun>, EngineError> {
        let mut covered = Vec::new();
        let rebuilt: Vec<(&str, &RelPath)> = left.iter().map(|l| (l.output.station.as_str(), &l.output.path)).collect();
        for task in &active.tasks {
            if !task.previous.is_empty() {
                continue;
            }
            for other in task.with_contributions.iter().filter(|other| other.step == task.key.step) {
                let Some(last) = self.reader.last_done(&other.step, &other.key)? else { continue };
                if last.identity == other.identity || active.tasks.iter().any(|t| t.key.text() == other.key) {
                    continue;
                }
                let outputs = self.reader.run_outputs(last.id)?;
                if !outputs.iter().all(|output| rebuilt.contains(&(output.station.as_str(), &output.path))) {
                    continue;
                }
                let mut inputs = self.reader.run_inputs(last.id)?;
                for input in &mut inputs {
                    let now = other
                        .inputs
                        .iter()
                        .find(|used| used.product == input.product && used.identity == input.fields_key);
                    if let Some(used) = now {
                        input.content = Some(used.hash);
                    }
                }
                covered.push(NewRun {
                    step: other.step.clone(),
                    step_version: i64::from(other.step_version),
                    station: task.key.station.clone(),
                    key: other.key.clone(),
                    identity: other.identity,
                    inputs,
                    started: active.started,
                    attempt: 1,
                    pid: None,
                    host: crate::host_name(),
                    program: self.setup.version.clone(),
                    verb_version: other.verb_version.clone(),
                    command: Vec::new(),
                    log: None,
                    staging: None,
                    partial: last.partial,
                    awaited: last.awaited,
                    fresh: true,
                    batch: active.runs.first().copied(),
                });
            }
        }
        Ok(covered)
    }

    // What a step that may edit its inputs did to them: a new version, or a new name.
    fn edited(&self, active: &Active) -> Result<Vec<(usize, Edit)>, EngineError> {
        let look = self.look();
        let mut edits = Vec::new();
        for (n, task) in active.tasks.iter().enumerate() {
            for input in task.inputs.iter().filter(|input| input.role.is_empty()) {
                let run = active.runs.get(n).copied();
                edits.extend(look.edit(&Given::from(input), run)?.map(|edit| (n, edit)));
            }
        }
        Ok(edits)
    }
}

pub(super) fn run_output(flow: &thalweg_flow::Flow, output: &Staged, published: bool) -> RunOutput {
    let product = flow.products.get(&output.product);
    RunOutput {
        product: output.product.clone(),
        fields_key: product.map(|p| thalweg_flow::planner::identity_of_file(p, &output.fields)).unwrap_or_default(),
        station: output.station.clone(),
        path: output.path.clone(),
        content: Some(match (&output.data_hash, product.map(|p| p.compare)) {
            (Some(data), Some(thalweg_flow::Compare::Data)) => *data,
            _ => output.hash,
        }),
        size: output.size,
        staged_name: match output.how {
            How::There => String::new(),
            _ => output.staged.as_str().to_owned(),
        },
        published,
    }
}

pub(super) fn run_end(state: RunState, end: &End, now: Timestamp) -> RunEnd {
    RunEnd {
        exit: end.exit,
        signal: end.signal,
        user_ms: u64::try_from(end.user.as_millis()).ok(),
        system_ms: u64::try_from(end.system.as_millis()).ok(),
        peak_kib: end.peak_rss.map(|bytes| bytes / 1024),
        report: (!end.reports.is_empty()).then(|| serde_json::to_value(&end.reports).unwrap_or_default()),
        ..RunEnd::new(state, now)
    }
}
