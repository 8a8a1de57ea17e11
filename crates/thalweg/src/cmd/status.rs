//! `status`: what is going on.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::json;
use thalweg_engine::engine_pid;
use thalweg_ledger::{FileFilter, FileTally, KeyFilter, QuarantineFilter, Reader, StepSummary};

use super::steering::hold_text;
use super::where_clause::Where;
use super::{Context, Done};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::{Cell, Table, Tone};
use crate::view::View;
use crate::words::{ago, count, opt_time, size};

/// Says what is going on: stations, products, steps, what is held or put aside
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  thalweg status\n  thalweg status --where site=sas\n  watch -n 10 thalweg status\n  thalweg status --json | jq '.steps[] | select(.failed > 0)'"
)]
pub(crate) struct Status {
    /// Counts only files and keys where a field has a value; repeatable
    #[arg(long = "where", value_name = "FIELD=VALUE")]
    wheres: Vec<String>,
}

impl Status {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        let project = context.project()?;
        let wheres = Where::all(&self.wheres)?;
        let now = context.now();
        let Some(ledger) = project.ledger_if_any()? else {
            if context.out.json {
                context
                    .out
                    .document(&json!({ "flow": project.flow().name, "now": now, "ledger": null, "engine": null }))?;
            } else {
                context.out.line(format!(
                    "{}: there is no ledger yet: `thalweg plan` says what would be done, `thalweg run` does it",
                    project.flow().name
                ))?;
            }
            return Ok(Exit::Done);
        };
        let view = View::open(&project, &ledger, now)?;
        let reader = &view.reader;
        let (tallies, mut steps) = if wheres.is_empty() {
            (reader.tallies()?, reader.step_summary()?)
        } else {
            (some_tallies(reader, &wheres, now)?, some_steps(reader, &wheres, now)?)
        };
        let order: BTreeMap<&String, usize> =
            project.flow().step_order.iter().enumerate().map(|(at, name)| (name, at)).collect();
        steps.sort_by_key(|summary| order.get(&summary.step).copied().unwrap_or(usize::MAX));
        let quarantined = reader.quarantined(&QuarantineFilter::default())?.len() as u64;
        let pid = engine_pid(&project.setup);
        let mut stations = Vec::new();
        for (name, station) in &project.flow().stations {
            let here = project.setup.here.contains(name);
            let listing = reader.listing(name, &thalweg_core::RelPath::default())?;
            let space = view.places.store(name).and_then(|store| store.free_space().ok());
            stations.push((name, station, here, listing, space));
        }
        if context.out.json {
            let stations: Vec<_> = stations
                .iter()
                .map(|(name, station, here, listing, space)| {
                    json!({
                        "station": name,
                        "here": here,
                        "root": station.root,
                        "reach": station.reach.as_ref().map(|reach| &reach.url),
                        "free": space.map(|space| space.free),
                        "total": space.map(|space| space.total),
                        "listed": listing.as_ref().and_then(|listing| listing.ok_started),
                        "listing_error": listing.as_ref().and_then(|listing| listing.error.as_ref()),
                    })
                })
                .collect();
            context.out.document(&json!({
                "flow": project.flow().name,
                "now": now,
                "ledger": project.setup.ledger,
                "engine": pid,
                "stations": stations,
                "files": tallies,
                "steps": steps,
                "holds": view.holds,
                "quarantined": quarantined,
            }))?;
            return Ok(Exit::Done);
        }
        let out = &mut context.out;
        let engine = match pid {
            Some(pid) => out.paint(Tone::Good, &format!("an engine runs, process {pid}")),
            None => out.paint(Tone::Odd, "no engine runs"),
        };
        out.line(format!("{}: {engine}", project.flow().name))?;
        out.line("")?;
        let mut table = Table::new(&["station", "free", "of", "listed", ""]);
        for (name, station, here, listing, space) in &stations {
            let place = match (&station.reach, here) {
                (_, true) => listing.as_ref().and_then(|listing| listing.error.clone()).unwrap_or_default(),
                (Some(reach), false) => format!("not of this host ({})", reach.url),
                (None, false) => "not of this host".to_owned(),
            };
            let listed = listing
                .as_ref()
                .and_then(|listing| listing.ok_started)
                .map_or_else(|| "never".to_owned(), |at| ago(at, now));
            table.row([
                name.as_str().into(),
                Cell::right(space.map_or_else(|| "-".to_owned(), |space| size(space.free))),
                Cell::right(space.map_or_else(|| "-".to_owned(), |space| size(space.total))),
                if *here { listed.into() } else { "-".into() },
                place.into(),
            ]);
        }
        out.table(&table)?;
        out.line("")?;
        let mut table = Table::new(&["product", "station", "", "files", "size"]);
        for tally in &tallies {
            table.row([
                tally.product.as_str().into(),
                tally.station.as_str().into(),
                Cell::state(tally.state.as_str()),
                tally.files.into(),
                Cell::right(size(tally.bytes)),
            ]);
        }
        if table.is_empty() {
            out.line("no file is known")?;
        }
        out.table(&table)?;
        out.line("")?;
        let mut table = Table::new(&[
            "step",
            "finished",
            "running",
            "ready",
            "waiting",
            "blocked",
            "failed",
            "quarantined",
            "last run",
        ]);
        for summary in &steps {
            let last = reader
                .runs(&thalweg_ledger::RunFilter { step: Some(summary.step.clone()), ..Default::default() }, 1)?;
            let last = last.first();
            table.row([
                summary.step.as_str().into(),
                summary.finished.into(),
                summary.running.into(),
                summary.ready.into(),
                summary.waiting.into(),
                summary.blocked.into(),
                summary.failed.into(),
                summary.quarantined.into(),
                last.map_or_else(|| "never".to_owned(), |run| format!("{} {}", opt_time(Some(run.started)), run.state))
                    .into(),
            ]);
        }
        if table.is_empty() {
            out.line("no step has had anything to do")?;
        } else {
            out.table(&table)?;
        }
        if !view.holds.is_empty() {
            out.line("")?;
            for hold in &view.holds {
                let number = out.paint(Tone::Odd, &format!("{:>3}", hold.id));
                out.line(format!("{number}  {}", hold_text(hold)))?;
            }
        }
        if quarantined > 0 {
            out.line("")?;
            let text =
                out.paint(Tone::Bad, &format!("{} put aside as bad", count(quarantined, "file is", "files are")));
            out.line(format!("{text}: `thalweg quarantine` says why"))?;
        }
        Ok(Exit::Done)
    }
}

fn some_tallies(reader: &Reader, wheres: &[Where], now: thalweg_core::Timestamp) -> Result<Vec<FileTally>, Failure> {
    let mut tallies: BTreeMap<_, (u64, u64)> = BTreeMap::new();
    let mut filter = FileFilter::default();
    loop {
        let page = reader.page(&filter, 10_000)?;
        let Some(last) = page.last() else { break };
        filter.after = Some(last.id);
        for row in page {
            if wheres.iter().all(|condition| condition.holds(&row.fields, now)) {
                let tally = tallies.entry((row.station, row.product, row.state)).or_default();
                tally.0 += 1;
                tally.1 += row.stat.size;
            }
        }
    }
    Ok(tallies
        .into_iter()
        .map(|((station, product, state), (files, bytes))| FileTally { station, product, state, files, bytes })
        .collect())
}

fn some_steps(reader: &Reader, wheres: &[Where], now: thalweg_core::Timestamp) -> Result<Vec<StepSummary>, Failure> {
    let mut summaries = Vec::new();
    for step in reader.steps()? {
        let mut summary = StepSummary { step: step.clone(), ..StepSummary::default() };
        for key in reader.keys(&KeyFilter { step: Some(step), ..KeyFilter::default() })? {
            let mut fields = key.fields.clone();
            // The fields of a driving file stand with the file.
            if let Some((product, identity)) = key.driving_product.as_ref().zip(key.driving_fields_key.as_ref()) {
                fields.extend(
                    reader
                        .files_of(None, product, identity)?
                        .into_iter()
                        .next()
                        .map(|row| row.fields)
                        .unwrap_or_default(),
                );
            }
            if !wheres.iter().all(|condition| condition.holds(&fields, now)) {
                continue;
            }
            if key.finished {
                summary.finished += 1;
                // Bad ones are counted with those that are put aside, as in the ledger's own summary.
                summary.quarantined += u64::from(key.next == thalweg_ledger::KeyNext::Quarantined);
                continue;
            }
            summary.open += 1;
            match key.next {
                thalweg_ledger::KeyNext::Ready => summary.ready += 1,
                thalweg_ledger::KeyNext::Running => summary.running += 1,
                thalweg_ledger::KeyNext::Waiting => summary.waiting += 1,
                thalweg_ledger::KeyNext::Blocked => summary.blocked += 1,
                thalweg_ledger::KeyNext::Failed => summary.failed += 1,
                thalweg_ledger::KeyNext::Quarantined => summary.quarantined += 1,
                thalweg_ledger::KeyNext::Skipped => summary.skipped += 1,
                thalweg_ledger::KeyNext::Nothing => {}
            }
        }
        if summary.open + summary.finished > 0 {
            summaries.push(summary);
        }
    }
    Ok(summaries)
}
