//! `trim`: what keeps would delete, and doing it.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::json;
use thalweg_engine::Request;
use thalweg_engine::facts::file_fact;
use thalweg_engine::turns::turn_of_keep;
use thalweg_flow::planner::Reason;
use thalweg_flow::planner::keep::{Proof, may_delete};
use thalweg_flow::{Keep, When};
use thalweg_ledger::{FileFilter, FileRow, FileState};

use super::{Context, Done};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::{Cell, Table};
use crate::project::Project;
use crate::view::View;
use crate::words::{count, size, time};
use crate::work;

/// Lists what keeps would delete, on which proof, and why the rest stays; with --yes deletes it
///
/// With --yes a keep deletes whatever its `when` and `hours` say; every other part of its rule holds.
/// Every proof is looked at again at the moment of deletion. Free space is looked at after each file, so that a keep
/// with `when_free_below` may delete less than is listed.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  thalweg trim\n  thalweg trim radar\n  thalweg trim --yes\n  thalweg trim --json | jq 'select(.delete) | .path'"
)]
pub(crate) struct Trim {
    /// Only at this station
    #[arg(value_name = "STATION")]
    station: Option<String>,
    /// Delete
    #[arg(long)]
    yes: bool,
    /// List every file that stays, not only how many and why
    #[arg(long)]
    all: bool,
}

/// Reasons shown for files that stay.
const SHOWN: usize = 5;

struct Decision {
    keep: String,
    row: FileRow,
    word: Result<Vec<Proof>, Reason>,
}

impl Trim {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        let project = context.project()?;
        if let Some(station) = &self.station
            && !project.flow().stations.contains_key(station)
        {
            return Err(Failure::usage(format!("the flow has no station `{station}`"))
                .help(crate::words::did_you_mean(station, project.flow().stations.keys().map(String::as_str))));
        }
        let ledger = project.ledger()?;
        if self.yes {
            let outcome = work::ask(&project, Request::Trim { station: self.station, yes: true }, None, context)?;
            return work::conclude(&outcome, &mut context.out);
        }
        let view = View::open(&project, &ledger, context.now())?;
        let decisions = self.decide(&project, &view)?;
        self.show(context, &project, &view, &decisions)?;
        Ok(Exit::Done)
    }

    // The stations of a keep that were asked about.
    fn stations_of<'k>(&self, keep: &'k Keep) -> Vec<&'k str> {
        let wanted = |at: &&str| self.station.as_ref().is_none_or(|wanted| wanted == at);
        keep.at.iter().map(String::as_str).filter(wanted).collect()
    }

    fn decide(&self, project: &Project, view: &View) -> Result<Vec<Decision>, Failure> {
        let flow = project.flow();
        let facts = view.facts(flow);
        let mut decisions = Vec::new();
        for keep in flow.keeps.values() {
            for station in self.stations_of(keep).into_iter().filter(|at| project.setup.here.contains(*at)) {
                for product in &keep.products {
                    let mut filter = FileFilter {
                        station: Some(station.to_owned()),
                        product: Some(product.clone()),
                        states: vec![FileState::Present],
                        ..FileFilter::default()
                    };
                    loop {
                        let page = view.reader.page(&filter, 1000)?;
                        let Some(last) = page.last() else { break };
                        filter.after = Some(last.id);
                        for row in page {
                            let word = may_delete(flow, keep, &file_fact(flow, row.clone()), &facts);
                            decisions.push(Decision { keep: keep.name.clone(), row, word });
                        }
                    }
                }
            }
        }
        facts.trouble()?;
        Ok(decisions)
    }

    fn show(
        &self,
        context: &mut Context,
        project: &Project,
        view: &View,
        decisions: &[Decision],
    ) -> Result<(), Failure> {
        let now = context.now();
        if context.out.json {
            let mut waits = BTreeMap::new();
            for keep in project.flow().keeps.values() {
                for at in self.stations_of(keep) {
                    let waiting = turn_of_keep(&view.reader, keep, at, now)?.err();
                    waits.insert((keep.name.as_str(), at), waiting);
                }
            }
            for decision in decisions {
                let waits_for = waits.get(&(decision.keep.as_str(), decision.row.station.as_str()));
                let (proofs, reason) = match &decision.word {
                    Ok(proofs) => (Some(proofs), None),
                    Err(reason) => (None, Some(reason)),
                };
                context.out.object(&json!({
                    "keep": decision.keep,
                    "station": decision.row.station,
                    "product": decision.row.product,
                    "path": decision.row.path.as_str(),
                    "size": decision.row.stat.size,
                    "delete": proofs.is_some(),
                    "proofs": proofs,
                    "stays_because": reason,
                    "waits_for": waits_for,
                }))?;
            }
            return Ok(());
        }
        let out = &mut context.out;
        for keep in project.flow().keeps.values() {
            let stations = self.stations_of(keep);
            if stations.is_empty() {
                continue;
            }
            let of_keep: Vec<&Decision> = decisions.iter().filter(|decision| decision.keep == keep.name).collect();
            let free: Vec<&&Decision> = of_keep.iter().filter(|decision| decision.word.is_ok()).collect();
            let bytes: u64 = free.iter().map(|decision| decision.row.stat.size).sum();
            out.heading(&format!("{} at {}", keep.name, stations.join(", ")))?;
            let stay = of_keep.len() - free.len();
            out.line(format!(
                "  {} may be deleted ({}), {stay} stay",
                count(free.len() as u64, "file", "files"),
                size(bytes)
            ))?;
            if let Some(below) = &keep.delete.when_free_below {
                for at in &stations {
                    if let Some(space) = view.places.store(at).and_then(|store| store.free_space().ok()) {
                        let enough = space.free >= below.bytes_of(space.total);
                        let then = if enough {
                            "so nothing would be deleted now"
                        } else {
                            "so the oldest would be deleted until there is enough"
                        };
                        out.line(format!(
                            "  {at} has {} free of {}, the rule is {below}: {then}",
                            size(space.free),
                            size(space.total)
                        ))?;
                    }
                }
            }
            if keep.hours.is_some() || !matches!(keep.when, When::Arrives) {
                for at in stations.iter().filter(|at| project.setup.here.contains(**at)) {
                    let says = match turn_of_keep(&view.reader, keep, at, now)? {
                        Ok(_) => "by itself it would delete now; --yes does not wait".to_owned(),
                        Err(reason) if matches!(keep.when, When::Asked) => reason.text,
                        Err(Reason { code, text, until: Some(until) }) if code == "hours" => {
                            format!("by itself {text} (next {}); --yes does not wait", time(until))
                        }
                        Err(reason) => format!("by itself {}; --yes does not wait", reason.text),
                    };
                    out.line(format!("  {at}: {says}"))?;
                }
            }
            let mut table = Table::new(&[]).indented(2);
            for decision in &free {
                let proofs: Vec<String> = decision
                    .word
                    .iter()
                    .flatten()
                    .map(|proof| format!("{} at {}", proof.product, proof.station))
                    .collect();
                let rests = if proofs.is_empty() { String::new() } else { format!("rests on {}", proofs.join(", ")) };
                table.row([
                    Cell::from("delete"),
                    place(&decision.row).into(),
                    Cell::right(size(decision.row.stat.size)),
                    rests.into(),
                ]);
            }
            let limit = if self.all { usize::MAX } else { SHOWN };
            for decision in of_keep.iter().filter(|decision| decision.word.is_err()).take(limit) {
                let Err(reason) = &decision.word else { continue };
                let until = reason.until.map(|until| format!(", until {}", time(until))).unwrap_or_default();
                table.row([
                    Cell::from("stays"),
                    place(&decision.row).into(),
                    Cell::right(size(decision.row.stat.size)),
                    format!("{}{until}", reason.text).into(),
                ]);
            }
            out.table(&table)?;
            if stay > limit {
                out.line(format!("  and {} more that stay: --all shows them", stay - limit))?;
            }
        }
        if project.flow().keeps.is_empty() {
            out.line("the flow has no keeps: nothing is ever deleted")?;
        } else if decisions.iter().any(|decision| decision.word.is_ok()) {
            out.line("nothing was deleted: --yes does it")?;
        }
        Ok(())
    }
}

fn place(row: &FileRow) -> String {
    format!("{}/{}", row.station, row.path)
}
