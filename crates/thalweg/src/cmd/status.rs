//! `status`: what is going on.

mod amiss;

use std::collections::BTreeMap;

use clap::Args;
use serde_json::json;
use thalweg_engine::engine_pid;
use thalweg_ledger::{
    FileFilter, FileTally, HoldRow, KeyFilter, KeyNext, KeyRow, QuarantineFilter, Reader, StepSummary,
};

use super::steering::{Subject, hold_text};
use super::where_clause::{Known, Where, excludes};
use super::{Context, Done};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::{Cell, Table, Tone};
use crate::project::Project;
use crate::view::{View, strangers_text};
use crate::words::{ago, count, opt_time, size};

/// Says what is going on: stations, products, steps, what is held or put aside
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  thalweg status\n  thalweg status --where site=sas\n  watch -n 10 thalweg status\n  thalweg status --json | jq '.steps[] | select(.failed > 0)'"
)]
pub(crate) struct Status {
    /// Only files and keys where a field has a value, and a list of the keys with something left to do; repeatable
    #[arg(long = "where", value_name = "FIELD=VALUE")]
    wheres: Vec<String>,
}

impl Status {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        let project = context.project()?;
        let wheres = Where::all(&self.wheres)?;
        let known = Subject::default().fields(&project);
        wheres.iter().try_for_each(|condition| condition.known_to(&known))?;
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
        let (tallies, (mut steps, open)) = if wheres.is_empty() {
            (reader.tallies()?, (reader.step_summary()?, Vec::new()))
        } else {
            (some_tallies(reader, &wheres, now)?, some_steps(&project, reader, &wheres, now)?)
        };
        let order: BTreeMap<&String, usize> =
            project.flow().step_order.iter().enumerate().map(|(at, name)| (name, at)).collect();
        steps.sort_by_key(|summary| order.get(&summary.step).copied().unwrap_or(usize::MAX));
        let mut quarantined = 0;
        for row in reader.quarantined(&QuarantineFilter::default())? {
            let file = row.file.filter(|_| !wheres.is_empty()).map(|file| reader.file(file)).transpose()?.flatten();
            let fields = file.map(|file| file.fields).unwrap_or_default();
            quarantined += u64::from(wheres.iter().all(|condition| condition.holds(&fields, now)));
        }
        let holds: Vec<HoldRow> =
            view.holds.iter().filter(|hold| concerns(hold, &wheres, &known, now)).cloned().collect();
        let strangers = view.strangers()?;
        let pid = engine_pid(&project.setup);
        let mut stations = Vec::new();
        for (name, station) in &project.flow().stations {
            let here = project.setup.here.contains(name);
            let mut listing = reader.listing(name, &thalweg_core::RelPath::default())?;
            // As it is now, not as it was met last.
            if let (Some(listing), Some(missing)) = (&mut listing, view.places.missing_root(project.flow(), name)) {
                listing.error = Some(missing.to_string());
            }
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
                "holds": holds,
                "quarantined": quarantined,
                "of_no_product": strangers,
                "keys": (!wheres.is_empty()).then_some(&open),
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
        if !open.is_empty() {
            out.line("")?;
            out.heading(&format!(
                "{} where {}",
                count(open.len() as u64, "key is open", "keys are open"),
                self.wheres.join(" and ")
            ))?;
            let mut table = Table::new(&[]).indented(2);
            for key in open.iter().take(SHOWN) {
                table.row([
                    key.step.as_str().into(),
                    Cell::state(key.next.as_str()),
                    key.reason["text"].as_str().unwrap_or_default().into(),
                    key.key.as_str().into(),
                ]);
            }
            out.table(&table)?;
            if open.len() > SHOWN {
                out.line(format!("  and {} more: --json lists all", open.len() - SHOWN))?;
            }
        }
        if !holds.is_empty() {
            out.line("")?;
            for hold in &holds {
                let number = out.paint(Tone::Odd, &format!("{:>3}", hold.id));
                out.line(format!("{number}  {}", hold_text(hold)))?;
            }
        }
        let foot = amiss::Amiss::gather(reader, &steps, &holds, (!wheres.is_empty()).then_some(&open))?;
        foot.tell(out)?;
        if quarantined > 0 {
            out.line("")?;
            let text =
                out.paint(Tone::Bad, &format!("{} put aside as bad", count(quarantined, "file is", "files are")));
            out.line(format!("{text}: `thalweg quarantine` says where, why, and how to give one back"))?;
        }
        for text in strangers_text(&strangers) {
            out.line("")?;
            out.line(text)?;
        }
        Ok(Exit::Done)
    }
}

// Whether a hold can be about what is meant: not when its own condition contradicts the one asked with.
fn concerns(hold: &HoldRow, wheres: &[Where], known: &Known, now: thalweg_core::Timestamp) -> bool {
    wheres.is_empty() || hold.where_text.as_ref().is_none_or(|text| !excludes(wheres, known, text, now))
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

/// Keys shown with `--where`.
const SHOWN: usize = 20;

// The steps with only the keys meant counted, and those of them that are open.
fn some_steps(
    project: &Project,
    reader: &Reader,
    wheres: &[Where],
    now: thalweg_core::Timestamp,
) -> Result<(Vec<StepSummary>, Vec<KeyRow>), Failure> {
    let mut summaries = Vec::new();
    let mut open = Vec::new();
    for step in reader.steps()? {
        let mut summary = StepSummary { step: step.clone(), ..StepSummary::default() };
        for key in reader.keys(&KeyFilter { step: Some(step), ..KeyFilter::default() })? {
            let station = project.flow().stations.get(&key.station);
            let mut fields = station.map(|station| station.member_of.clone()).unwrap_or_default();
            // The fields of a driving file stand with the file.
            if let Some((product, identity)) = key.driving_product.as_ref().zip(key.driving_fields_key.as_ref()) {
                let file = reader.files_of(None, product, identity)?.into_iter().next();
                fields.extend(file.map(|row| row.fields).unwrap_or_default());
            }
            fields.extend(key.fields.clone());
            if !wheres.iter().all(|condition| condition.holds(&fields, now)) {
                continue;
            }
            count_key(&mut summary, &key);
            if !key.finished {
                open.push(key);
            }
        }
        if summary.open + summary.finished > 0 {
            summaries.push(summary);
        }
    }
    open.sort_by_key(|key| (rank(key.next), key.cell_start));
    Ok((summaries, open))
}

// What needs a person comes first.
fn rank(next: KeyNext) -> u8 {
    match next {
        KeyNext::Failed => 0,
        KeyNext::Blocked => 1,
        KeyNext::Running => 2,
        KeyNext::Ready => 3,
        _ => 4,
    }
}

fn count_key(summary: &mut StepSummary, key: &KeyRow) {
    if key.finished {
        summary.finished += 1;
        // Bad ones are counted with those that are put aside, as in the ledger's own summary.
        summary.quarantined += u64::from(key.next == KeyNext::Quarantined);
        return;
    }
    summary.open += 1;
    match key.next {
        KeyNext::Ready => summary.ready += 1,
        KeyNext::Running => summary.running += 1,
        KeyNext::Waiting => summary.waiting += 1,
        KeyNext::Blocked => summary.blocked += 1,
        KeyNext::Failed => summary.failed += 1,
        KeyNext::Quarantined => summary.quarantined += 1,
        KeyNext::Skipped => summary.skipped += 1,
        KeyNext::Nothing => {}
    }
}
