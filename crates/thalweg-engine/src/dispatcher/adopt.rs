//! Outputs that were there before: entered as done, with receipts for copies, and without making anything.

use std::collections::BTreeSet;

use thalweg_core::Timestamp;
use thalweg_flow::planner::adopt::{Adopting, Adoption, LeftOut, plan_adoption, steps_of};
use thalweg_flow::{Compare, Step, WithWhat};
use thalweg_ledger::{
    Contribution, FileRow, NewEvent, NewReceipt, NewRequest, NewRun, Origin, Output, RequestState, RunEnd, RunOutput,
    RunState,
};

use super::Dispatcher;
use super::parts::part;
use crate::classify::identity;
use crate::facts::{file_fact, where_holds};
use crate::{Adopt, EngineError, Event, adopted};

/// Keys entered in one transaction.
const TOGETHER: usize = 500;

/// What one key's adoption writes.
struct Entry {
    run: NewRun,
    end: RunEnd,
    outputs: Vec<RunOutput>,
    files: Vec<Output>,
    receipts: Vec<NewReceipt>,
    parts: Vec<Contribution>,
    events: Vec<NewEvent>,
}

impl Dispatcher<'_> {
    /// Takes over what a request asks for, once every file that this depends on is read.
    pub(super) fn adopt_when_read(&mut self, n: usize, adopt: &Adopt) -> Result<(), EngineError> {
        let products = self.concerned(&adopt.product);
        let unread = self.settling.values().filter(|file| file.in_work && products.contains(&file.product)).count();
        let listing = self.scans.values().any(|scan| scan.under_way || scan.again);
        if listing || unread > 0 || !self.dirty.is_empty() || !self.changed.is_empty() {
            let open = u64::try_from(unread).unwrap_or(u64::MAX);
            if let Some(request) = self.requests.get_mut(n) {
                request.how_far(0, 0, open);
            }
            return Ok(());
        }
        self.adopt(n, adopt)
    }

    // The product, and what the steps that make it take.
    fn concerned(&self, product: &str) -> BTreeSet<String> {
        let looked_up = |step: &Step| {
            let of = |what: &WithWhat| match what {
                WithWhat::Product { product, .. } => Some(product.clone()),
                WithWhat::File(_) => None,
            };
            step.with.values().filter_map(|with| of(&with.what)).collect::<Vec<_>>()
        };
        let mut products = BTreeSet::from([product.to_owned()]);
        for step in steps_of(&self.flow, product) {
            products.extend(step.takes.iter().cloned());
            products.extend(looked_up(step));
        }
        products
    }

    fn adopt(&mut self, n: usize, adopt: &Adopt) -> Result<(), EngineError> {
        let now = self.now();
        let plan = {
            let facts = self.facts();
            let meant = |file: &thalweg_flow::planner::FileFact| {
                adopt.r#where.as_ref().is_none_or(|text| where_holds(text, &file.fields))
            };
            let wanted = Adopting { product: &adopt.product, span: adopt.span, meant: &meant, by_size: false };
            let plan = plan_adoption(&self.flow, &wanted, &facts);
            facts.trouble()?;
            plan
        };
        let there = u64::try_from(plan.there.len()).unwrap_or(u64::MAX);
        let total = plan.adopt.len();
        let mut files = BTreeSet::new();
        for (done, some) in plan.adopt.chunks(TOGETHER).enumerate() {
            if let Some(request) = self.requests.get_mut(n) {
                let (made, open) = (done * TOGETHER, total - done * TOGETHER);
                request.how_far(u64::try_from(made).unwrap_or(0), there, u64::try_from(open).unwrap_or(0));
            }
            for adoption in some {
                files.extend(adoption.outputs.iter().map(|file| (file.station.clone(), file.path.clone())));
            }
            self.enter(some, &adopt.by, now)?;
        }
        for left in &plan.left {
            self.say(&Event::NotAdopted {
                station: left.station.clone(),
                path: left.path.clone(),
                why: in_words(left),
            });
        }
        let row = NewRequest {
            kind: "adopt".into(),
            product: Some(adopt.product.clone()),
            from: adopt.span.map(|span| span.start),
            to: adopt.span.map(|span| span.end),
            mode: "adopt".into(),
            by: adopt.by.clone(),
            at: now,
            data: Some(serde_json::json!({
                "where": adopt.r#where, "adopted": files.len(), "there": there, "left": plan.left.len(),
            })),
        };
        self.ledger.write(move |tx| {
            let id = tx.request_add(&row)?;
            tx.request_state(id, RequestState::Done, None, now)
        })?;
        if let Some(request) = self.requests.get_mut(n) {
            let left = plan.left.iter().map(|left| format!("{}/{}: {}", left.station, left.path, in_words(left)));
            request.adoption_is_over(files.len(), there, left.collect());
        }
        Ok(())
    }

    fn enter(&mut self, some: &[Adoption], by: &str, now: Timestamp) -> Result<(), EngineError> {
        let mut entries = Vec::new();
        let mut told = Vec::new();
        for adoption in some {
            let mut rows = Vec::new();
            for file in &adoption.outputs {
                let row = self.reader.file_at(&file.station, &file.path)?;
                // What changed since it was judged is not entered.
                rows.extend(row.filter(|row| file_fact(&self.flow, row.clone()).hash == file.hash));
            }
            if rows.len() == adoption.outputs.len() {
                entries.push(self.entry(adoption, rows, by, now)?);
                told.push(adoption);
            }
        }
        self.ledger.write(move |tx| {
            for entry in entries {
                let id = tx.run_start(&entry.run)?;
                tx.run_staged(id, &entry.outputs)?;
                tx.run_finish(id, &entry.end)?;
                for file in entry.files {
                    tx.put_output(&Output { run: Some(id), ..file })?;
                }
                entry.receipts.iter().try_for_each(|receipt| tx.receipt_add(receipt).map(drop))?;
                for part in entry.parts {
                    tx.contribute(&Contribution { run: Some(id), ..part })?;
                }
                for event in entry.events {
                    tx.event(&NewEvent { run: Some(id), ..event })?;
                }
            }
            Ok(())
        })?;
        for adoption in told {
            self.dirty.insert(adoption.task.key.clone());
            for file in &adoption.outputs {
                let event = Event::Adopted {
                    station: file.station.clone(),
                    path: file.path.clone(),
                    step: adoption.task.key.step.clone(),
                    key: adoption.task.key.text(),
                };
                self.say(&event);
                let row = self.reader.file_at(&file.station, &file.path)?;
                self.changed.extend(row.map(|row| file_fact(&self.flow, row)));
            }
        }
        Ok(())
    }

    fn entry(&self, adoption: &Adoption, rows: Vec<FileRow>, by: &str, now: Timestamp) -> Result<Entry, EngineError> {
        let task = &adoption.task;
        let mut entry = Entry {
            run: NewRun { pid: None, ..self.new_run(task, 1, &crate::host_name(), now) },
            end: RunEnd {
                message: Some(format!("adopted by {by}: it was there before")),
                report: Some(adopted::report(by)),
                ..RunEnd::new(RunState::Done, now)
            },
            outputs: Vec::new(),
            files: Vec::new(),
            receipts: Vec::new(),
            parts: Vec::new(),
            events: Vec::new(),
        };
        for row in rows {
            let Some(product) = self.flow.products.get(&row.product) else { continue };
            let by_data = product.compare == Compare::Data;
            let content = row.data_hash.filter(|_| by_data).or(row.content);
            let (Some(bytes), Some(content)) = (row.content, content) else { continue };
            let output = RunOutput {
                product: row.product.clone(),
                fields_key: row.fields_key.clone(),
                station: row.station.clone(),
                path: row.path.clone(),
                content: Some(content),
                size: row.stat.size,
                staged_name: String::new(),
                published: true,
            };
            if adoption.update {
                entry.parts.push(part(task, &output, content));
            }
            entry.outputs.push(output);
            entry.events.push(NewEvent {
                subject: Some(task.key.step.clone()),
                station: Some(row.station.clone()),
                product: Some(row.product.clone()),
                fields_key: Some(row.fields_key.clone()),
                path: Some(row.path.clone()),
                data: Some(serde_json::json!({ "by": by, "key": task.key.text() })),
                ..NewEvent::new("adopted", now)
            });
            let range = row.range();
            let file = Output {
                identity: identity(product, row.fields, range, now),
                station: row.station,
                path: row.path,
                stat: row.stat,
                content: bytes,
                data_hash: row.data_hash,
                indexed: crate::facts::indexed_fields(&self.flow, &row.product).into_iter().collect(),
                origin: if adoption.delivered { Origin::Delivered } else { Origin::Adopted },
                run: None,
                verify_mode: "read".into(),
                at: now,
            };
            if adoption.delivered {
                entry.receipts.push(self.receipt(&file, now)?);
            }
            entry.files.push(file);
        }
        Ok(entry)
    }
}

fn in_words(left: &LeftOut) -> String {
    match &left.key {
        Some((step, key)) => format!("{} ({step} {key})", left.reason.text),
        None => left.reason.text.clone(),
    }
}
