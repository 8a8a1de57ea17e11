//! Everything known of one file, gathered from the ledger and the planner, and told.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use serde::Serialize;
use serde_json::Value as Json;
use thalweg_core::{ContentHash, RelPath, Timestamp};
use thalweg_engine::facts::file_fact;
use thalweg_flow::planner::keep::{Proof, may_delete};
use thalweg_flow::planner::{Evaluation, Facts, FileState, Occasion, Readiness, Reason, evaluate, readiness, touched};
use thalweg_ledger::{
    CopyRow, EventRow, FileFilter, FileRow, HoldRow, QuarantineFilter, QuarantineRow, RunId, RunInput, RunOutput,
    RunRow, RunState, VersionRow,
};

use super::missing;
use crate::cmd::Context;
use crate::cmd::find::object;
use crate::cmd::plan::word;
use crate::cmd::runs::{made_with, took};
use crate::cmd::steering::hold_text;
use crate::failure::Failure;
use crate::out::{Cell, Table};
use crate::project::Project;
use crate::view::View;
use crate::words::{self, ago, opt_time, range, size, time};

/// What is known of a file.
#[derive(Debug, Serialize)]
pub(super) struct Story {
    station: String,
    path: RelPath,
    /// In a sentence: what it is and how it stands.
    summary: String,
    #[serde(skip)]
    row: Option<FileRow>,
    file: Option<Json>,
    ready: Option<Ready>,
    versions: Vec<VersionRow>,
    quarantine: Vec<QuarantineRow>,
    made_by: Vec<Attempt>,
    used_by: Vec<Attempt>,
    copies: Vec<CopyRow>,
    elsewhere: Vec<Json>,
    #[serde(skip)]
    others: Vec<FileRow>,
    holds: Vec<HoldRow>,
    next: Vec<Evaluation>,
    keeps: Vec<KeepWord>,
    events: Vec<EventRow>,
    /// What the station says of the path now, where that can be asked: it is there.
    there_now: Option<bool>,
    /// For a file that is not there: what would bring it, and what that lacks; for one that the ledger does not know: why.
    missing: Vec<missing::Cause>,
    #[serde(skip)]
    now: Timestamp,
}

/// What the ready rule says.
#[derive(Debug, Serialize)]
struct Ready {
    ready: bool,
    reason: Option<Reason>,
}

/// One run, with what it took and made.
#[derive(Debug, Serialize)]
struct Attempt {
    #[serde(flatten)]
    run: RunRow,
    inputs: Vec<RunInput>,
    outputs: Vec<RunOutput>,
}

/// What a keep says.
#[derive(Debug, Serialize)]
struct KeepWord {
    keep: String,
    may_delete: bool,
    reason: Option<Reason>,
    proofs: Vec<Proof>,
}

/// Finds a file by the end of its path, when only one has it.
pub(super) fn by_name(view: &View, text: &OsStr) -> Result<Option<(String, RelPath)>, Failure> {
    let name = RelPath::from_bytes(text.as_bytes());
    let text = name.to_string();
    let mut found = Vec::new();
    for station in view.reader.stations()? {
        if let Some(row) = view.reader.file_at(&station, &name)? {
            found.push((row.station, row.path));
        }
    }
    if found.len() > 1 {
        let places: Vec<String> = found.iter().map(|(station, path)| format!("{station}/{path}")).collect();
        return Err(
            Failure::usage(format!("{text} is at several stations")).help(format!("say which: {}", places.join(", ")))
        );
    }
    if found.is_empty() && !text.contains('/') {
        // A bare name: the listing is gone through once.
        let mut filter = FileFilter::default();
        loop {
            let page = view.reader.page(&filter, 10_000)?;
            let Some(last) = page.last() else { break };
            filter.after = Some(last.id);
            found.extend(
                page.into_iter().filter(|row| row.path.file_name() == name.as_str()).map(|row| (row.station, row.path)),
            );
        }
        if found.len() > 1 {
            let places: Vec<String> = found.iter().take(5).map(|(station, path)| format!("{station}/{path}")).collect();
            return Err(Failure::usage(format!("{} files are named {text}", found.len()))
                .help(format!("say which: {}", places.join(", "))));
        }
    }
    Ok(found.pop())
}

impl Story {
    /// Gathers it.
    pub(super) fn gather(project: &Project, view: &View, station: &str, path: &RelPath) -> Result<Self, Failure> {
        let flow = project.flow();
        let facts = view.facts(flow);
        let reader = &view.reader;
        let now = facts.now();
        let row = reader.file_at(station, path)?;
        let mut story = Self {
            station: station.to_owned(),
            path: path.clone(),
            summary: String::new(),
            file: row.as_ref().map(object),
            ready: None,
            versions: Vec::new(),
            quarantine: Vec::new(),
            made_by: attempts(view, reader.runs_making_path(station, path)?)?,
            used_by: Vec::new(),
            copies: Vec::new(),
            elsewhere: Vec::new(),
            others: Vec::new(),
            holds: Vec::new(),
            next: Vec::new(),
            keeps: Vec::new(),
            events: reader.events_for_path(station, path)?,
            there_now: view.places.store(station).and_then(|store| Some(store.stat(path).ok()?.is_some())),
            missing: Vec::new(),
            row,
            now,
        };
        let Some(row) = story.row.clone() else {
            story.summary = unknown(project, view, station, path)?;
            story.missing = missing::causes(flow, &facts, &view.places, station, path);
            facts.trouble()?;
            return Ok(story);
        };
        let (product, identity) = (row.product.as_str(), row.fields_key.as_str());
        story.versions = reader.versions(row.id)?;
        story.quarantine = reader.quarantined(&QuarantineFilter {
            file: Some(row.id),
            released: true,
            ..QuarantineFilter::default()
        })?;
        story.used_by = attempts(view, reader.runs_using(product, identity)?)?;
        story.copies = reader.copies_of(product, identity, None)?;
        story.others =
            reader.files_of(None, product, identity)?.into_iter().filter(|other| other.id != row.id).collect();
        story.elsewhere = story.others.iter().map(object).collect();
        let fact = file_fact(flow, row.clone());
        story.holds = view
            .holds
            .iter()
            .filter(|hold| {
                let same = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
                same(&hold.station, station)
                    && same(&hold.product, product)
                    && hold.path.as_ref().is_none_or(|held| held == path)
                    && hold.step.is_none()
                    && hold.where_text.as_ref().is_none_or(|text| thalweg_engine::facts::where_holds(text, &row.fields))
            })
            .cloned()
            .collect();
        if let Some(definition) = flow.products.get(product) {
            story.ready = Some(match readiness(definition, &fact, &facts) {
                Readiness::Yes => Ready { ready: true, reason: None },
                Readiness::No(reason) => Ready { ready: false, reason: Some(reason) },
            });
        }
        for key in touched(flow, &fact, &facts) {
            story.next.push(evaluate(flow, &key, &facts, Occasion::default()));
        }
        story.next.sort_by_key(|evaluation| flow.step_order.iter().position(|step| *step == evaluation.key.step));
        // What is not there any more is no keep's concern.
        let there = matches!(fact.state, FileState::Present | FileState::Settling);
        for keep in flow.keeps.values().filter(|_| there) {
            if keep.at.iter().any(|at| at == station) && keep.products.iter().any(|kept| kept == product) {
                story.keeps.push(match may_delete(flow, keep, &fact, &facts) {
                    Ok(proofs) => KeepWord { keep: keep.name.clone(), may_delete: true, reason: None, proofs },
                    Err(reason) => KeepWord {
                        keep: keep.name.clone(),
                        may_delete: false,
                        reason: Some(reason),
                        proofs: Vec::new(),
                    },
                });
            }
        }
        facts.trouble()?;
        story.summary = story.summarise(&row, &fact.state);
        Ok(story)
    }

    fn summarise(&self, row: &FileRow, state: &FileState) -> String {
        let what = format!("{}/{} is {} of {}", self.station, self.path, words::fields(&row.fields), row.product);
        let how = match state {
            FileState::Settling => match self.ready.as_ref().and_then(|ready| ready.reason.as_ref()) {
                Some(reason) => format!("seen, not taken yet: {}", reason.text),
                None => "seen, and ready to be read".to_owned(),
            },
            FileState::Present => match self.changed_since() {
                Some(run) => format!("there, and was changed by something else since run {run} made it"),
                None => "there, read and recorded".to_owned(),
            },
            FileState::Retired { by, at } => format!("removed by {by} {}", ago(*at, self.now)),
            FileState::Gone { at } => format!("gone: it vanished without a rule, noticed {}", ago(*at, self.now)),
            FileState::Quarantined { why } => format!("put aside as bad: {why}"),
            FileState::Withdrawn => "withdrawn by the operator".to_owned(),
            FileState::Taken => "taken away by the owner of the dropbox: delivered".to_owned(),
        };
        // The ledger is as old as the last listing.
        let removed = self.there_now == Some(false) && matches!(state, FileState::Present | FileState::Settling);
        let now = if removed {
            format!(", as the ledger has it; it is not there now: `thalweg scan {}` takes note of that", self.station)
        } else {
            String::new()
        };
        format!("{what}; it is {how}{now}")
    }

    // The run that made another content at this path, if another hand changed it since.
    fn changed_since(&self) -> Option<RunId> {
        let row = self.row.as_ref().filter(|row| row.origin == thalweg_ledger::Origin::Seen)?;
        let made = |attempt: &&Attempt| {
            let other = |output: &RunOutput| output.path == self.path && output.content != row.content;
            attempt.run.state == RunState::Done && attempt.outputs.iter().any(other)
        };
        self.made_by.iter().find(made).map(|attempt| attempt.run.id)
    }

    /// Writes it for people.
    pub(super) fn tell(&self, context: &mut Context) -> Result<(), Failure> {
        let out = &mut context.out;
        out.line(&self.summary)?;
        if let Some(row) = &self.row {
            out.line("")?;
            let mut table = Table::new(&[]).indented(2);
            let mut say = |name: &str, text: String| table.row([name.into(), text.into()]);
            say("covers", row.range().map_or_else(|| "no time is known".to_owned(), range));
            say("size", format!("{} ({} B)", size(row.stat.size), row.stat.size));
            say("written", time(thalweg_engine::facts::nanoseconds(row.stat.mtime_ns)));
            say("content", row.content.as_ref().map_or_else(|| "not read yet".to_owned(), ContentHash::to_string));
            say("first seen", format!("{} ({})", time(row.first_seen), ago(row.first_seen, self.now)));
            say("this version", format!("{} of this path, here since {}", ordinal(row.version), time(row.arrived)));
            say("unchanged", format!("since {}", time(row.unchanged_since)));
            say("came by", origin(row));
            match &self.ready {
                Some(Ready { ready: true, .. }) => say("complete", "yes, by the ready rule of its product".to_owned()),
                Some(Ready { reason: Some(reason), .. }) => say("complete", format!("not yet: {}", with_until(reason))),
                _ => say("complete", format!("the flow has no product {} any more", row.product)),
            }
            if let Some(suspect) = &row.suspect {
                say("suspect", suspect.clone());
            }
            out.table(&table)?;
            if self.versions.len() > 1 {
                out.line("")?;
                out.heading("versions at this path")?;
                let mut table = Table::new(&[]).indented(2);
                for version in &self.versions {
                    table.row([
                        u64::from(version.no).into(),
                        time(version.seen).into(),
                        Cell::right(size(version.size)),
                        version.content.short().into(),
                        version.origin.as_str().into(),
                    ]);
                }
                out.table(&table)?;
            }
        }
        for bad in &self.quarantine {
            let place = bad
                .moved_to
                .as_ref()
                .map_or_else(|| "recorded only".to_owned(), |path| format!("now at {}/{path}", bad.station));
            let released = bad.released.map(|at| format!("; released {}", time(at))).unwrap_or_default();
            out.line(format!("  put aside {}: {} ({place}{released})", time(bad.at), bad.message))?;
            if bad.released.is_none() {
                out.line(format!(
                    "  `thalweg quarantine release {}/{}` gives it back as it is; a mended one at its old name is taken as new",
                    bad.station, bad.path
                ))?;
            }
        }
        missing::tell(&self.missing, context)?;
        self.tell_runs(context, "made by", &self.made_by)?;
        self.tell_runs(context, "used by", &self.used_by)?;
        self.tell_copies(context)?;
        let out = &mut context.out;
        for hold in &self.holds {
            out.line(format!("held: {}", hold_text(hold)))?;
        }
        if !self.next.is_empty() {
            out.line("")?;
            out.heading("what comes next")?;
            let mut table = Table::new(&[]).indented(2);
            for evaluation in &self.next {
                let mut reason = with_until(&evaluation.reason);
                if let Some(because) =
                    evaluation.there_because.as_ref().filter(|because| because.text != evaluation.reason.text)
                {
                    reason.push_str(&format!(" ({}: {})", evaluation.there, because.text));
                }
                table.row([
                    evaluation.key.step.as_str().into(),
                    Cell::state(word(evaluation)),
                    reason.into(),
                    evaluation.key.text().into(),
                ]);
            }
            out.table(&table)?;
        }
        if !self.keeps.is_empty() {
            out.line("")?;
            out.heading("keeps")?;
            for word in &self.keeps {
                let text = match &word.reason {
                    Some(reason) => format!("it stays: {}", with_until(reason)),
                    None => {
                        let proofs: Vec<String> =
                            word.proofs.iter().map(|proof| format!("{} at {}", proof.product, proof.station)).collect();
                        let rests = if proofs.is_empty() {
                            String::new()
                        } else {
                            format!(", resting on {}", proofs.join(", "))
                        };
                        format!("it may be deleted{rests}")
                    }
                };
                out.line(format!("  {}: {text}", word.keep))?;
            }
        }
        if !self.events.is_empty() {
            out.line("")?;
            out.heading("what happened")?;
            let mut table = Table::new(&[]).indented(2);
            for event in &self.events {
                let run = event.run.map(|run| format!("run {run}")).unwrap_or_default();
                let data = event.data.as_ref().map(short).unwrap_or_default();
                table.row([
                    time(event.at).into(),
                    event.kind.as_str().into(),
                    event.subject.as_deref().unwrap_or_default().into(),
                    run.into(),
                    data.into(),
                ]);
            }
            out.table(&table)?;
        }
        Ok(())
    }

    fn tell_runs(&self, context: &mut Context, title: &str, attempts: &[Attempt]) -> Result<(), Failure> {
        if attempts.is_empty() {
            return Ok(());
        }
        context.out.line("")?;
        context.out.heading(title)?;
        let mut table = Table::new(&[]).indented(2);
        for attempt in attempts {
            let run = &attempt.run;
            let what = match (&run.message, run.retry_at) {
                (Some(message), Some(at)) => format!("{message}; next try {}", time(at)),
                (Some(message), None) if title == "made by" && run.state == RunState::Done => {
                    format!("{message}; {}", from(attempt))
                }
                (Some(message), None) => message.clone(),
                (None, _) if title == "made by" => from(attempt),
                (None, _) => {
                    let made: Vec<String> =
                        attempt.outputs.iter().map(|output| format!("{}/{}", output.station, output.path)).collect();
                    if made.is_empty() { String::new() } else { format!("-> {}", listed(&made)) }
                }
            };
            table.row([
                run.step.as_str().into(),
                Cell::state(run.state.as_str()),
                time(run.started).into(),
                Cell::right(took(run, self.now)),
                format!("run {}, attempt {}", run.id, run.attempt).into(),
                made_with(run).into(),
                what.into(),
            ]);
        }
        context.out.table(&table)?;
        let failed = attempts.iter().find(|attempt| attempt.run.state == RunState::Failed);
        failed.map_or(Ok(()), |attempt| {
            context.out.line(format!("  `thalweg log {}` shows what that run did and said", attempt.run.id))
        })
    }

    fn tell_copies(&self, context: &mut Context) -> Result<(), Failure> {
        if self.copies.is_empty() && self.others.is_empty() {
            return Ok(());
        }
        context.out.line("")?;
        context.out.heading("verified copies")?;
        let mut table = Table::new(&[]).indented(2);
        for copy in &self.copies {
            let there = if copy.present { "present" } else { "no longer there" };
            table.row([
                copy.station.as_str().into(),
                copy.path.to_string().into(),
                Cell::state(there),
                format!("verified {} ({})", time(copy.verified), copy.verify_mode).into(),
                copy.content.short().into(),
            ]);
        }
        for other in &self.others {
            let known = self.copies.iter().any(|copy| copy.station == other.station && copy.path == other.path);
            if !known {
                table.row([
                    other.station.as_str().into(),
                    other.path.to_string().into(),
                    Cell::state(other.state.as_str()),
                    format!("since {}", opt_time(Some(other.state_at))).into(),
                ]);
            }
        }
        context.out.table(&table)
    }
}

fn attempts(view: &View, runs: Vec<RunRow>) -> Result<Vec<Attempt>, Failure> {
    let mut attempts = Vec::new();
    for run in runs {
        let (inputs, outputs) = (view.reader.run_inputs(run.id)?, view.reader.run_outputs(run.id)?);
        attempts.push(Attempt { run, inputs, outputs });
    }
    Ok(attempts)
}

// Not in the ledger: what it would be, and whether it is there at all.
fn unknown(project: &Project, view: &View, station: &str, path: &RelPath) -> Result<String, Failure> {
    let meta = match view.places.store(station) {
        Some(store) => store.stat(path)?,
        None => None,
    };
    let is_folder = matches!(meta, Some(meta) if meta.kind == thalweg_store::Kind::Folder);
    let classifier = thalweg_engine::Classifier::new(project.flow());
    let product = classifier.product(project.flow(), station, path, is_folder);
    let what = match &product {
        Some((product, fields)) => format!("by its path {} of {}", words::fields(fields), product.name),
        None => "a path that no product's pattern matches there: the flow takes no notice of it".to_owned(),
    };
    let there = match (&meta, &product) {
        (None, _) => "it is not there, and never was as far as the ledger knows",
        (Some(_), Some(_)) => "it is there and the ledger does not know it yet",
        (Some(_), None) => "it is there",
    };
    Ok(format!("{station}/{path} is {what}; {there}"))
}

fn with_until(reason: &Reason) -> String {
    match reason.until {
        Some(until) => format!("{}, until {} at the latest", reason.text, time(until)),
        None => reason.text.clone(),
    }
}

fn origin(row: &FileRow) -> String {
    let run = row.run.map(|run| format!(" in run {run}")).unwrap_or_default();
    match row.origin {
        thalweg_ledger::Origin::Seen => "something outside the flow put it there".to_owned(),
        thalweg_ledger::Origin::Made => format!("a step made it{run}"),
        thalweg_ledger::Origin::Delivered => format!("a verified copy brought it{run}"),
        thalweg_ledger::Origin::Adopted => "taken over from an archive that existed before".to_owned(),
    }
}

fn from(attempt: &Attempt) -> String {
    let paths: Vec<String> = attempt.inputs.iter().map(|input| format!("{}/{}", input.station, input.path)).collect();
    format!("from {}", listed(&paths))
}

fn ordinal(number: u32) -> String {
    let end = match (number % 100, number % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("the {number}{end}")
}

fn listed(paths: &[String]) -> String {
    match paths {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [one, rest @ ..] => format!("{one} and {} more", rest.len()),
    }
}

fn short(data: &Json) -> String {
    match data {
        Json::Object(map) => map
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| match value {
                Json::String(text) => format!("{name}: {text}"),
                other => format!("{name}: {other}"),
            })
            .collect::<Vec<_>>()
            .join(", "),
        other => other.to_string(),
    }
}
