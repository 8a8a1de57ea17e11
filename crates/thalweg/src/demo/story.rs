//! What happened, as ledger and planner tell it: gathered once, then told as text or given as one document.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::SignedDuration;
use serde::Serialize;
use thalweg_core::Timestamp;
use thalweg_engine::Outcome;
use thalweg_engine::facts::file_fact;
use thalweg_flow::planner::keep::may_delete;
use thalweg_flow::planner::{FileState as Fact, KeyId, Next, Occasion, Readiness, evaluate, readiness, touched};
use thalweg_ledger::{FileFilter, FileRow, FileState, QuarantineFilter, RunFilter, RunState};

use super::System;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::{Cell, Out, Table, Tone};
use crate::project::Project;
use crate::view::View;
use crate::words::{count, size, time};

/// Runs read for the story; a demonstration has far fewer.
const RUNS: u32 = 10_000;
/// Paths named of each product at each station.
const PATHS: usize = 3;

/// The story.
#[derive(Debug, Serialize)]
pub(crate) struct Story {
    demo: &'static str,
    folder: String,
    flow: String,
    /// There was nothing left to do.
    already_done: bool,
    /// Seconds that the engine took this time.
    seconds: f64,
    outcome: Outcome,
    arrived: Arrived,
    made: Vec<Made>,
    lies: Vec<Lies>,
    held_back: Vec<HeldBack>,
    put_aside: Vec<PutAside>,
    retention: Vec<Retention>,
    /// What went wrong that is not part of the demonstration.
    unexpected: Vec<String>,
    notes: Vec<String>,
    commands: Vec<[String; 2]>,
}

/// What the instruments wrote.
#[derive(Debug, Default, Serialize)]
struct Arrived {
    files: u64,
    bytes: u64,
    sets: BTreeMap<String, u64>,
}

/// What a step did, over all times it was run in this folder.
#[derive(Debug, Serialize)]
struct Made {
    step: String,
    station: String,
    does: String,
    runs: u64,
    failed: u64,
    seconds: f64,
}

/// Files of one product at one station.
#[derive(Debug, Serialize)]
struct Lies {
    station: String,
    product: String,
    files: u64,
    bytes: u64,
    paths: Vec<String>,
}

/// Something that does not go on, and why.
#[derive(Debug, Serialize)]
struct HeldBack {
    what: String,
    step: Option<String>,
    state: String,
    why: String,
}

/// A bad file.
#[derive(Debug, Serialize)]
struct PutAside {
    file: String,
    now_at: Option<String>,
    report: Option<String>,
    why: String,
    /// It is bad on purpose.
    planted: bool,
}

/// What a keep says.
#[derive(Debug, Serialize)]
struct Retention {
    keep: String,
    station: String,
    /// Files that may go now.
    may_delete: u64,
    /// Files that may go as soon as they are old enough.
    too_young: u64,
    /// When the last of those is old enough.
    until: Option<Timestamp>,
    /// The copies on which those rest that may go, now or then.
    rests_on: BTreeSet<String>,
    /// Files that stay, whatever their age.
    stays: Vec<Stays>,
}

/// A reason for which files stay.
#[derive(Debug, Serialize)]
struct Stays {
    why: String,
    files: u64,
    example: String,
}

/// What the planner says of one key.
struct Word {
    key: KeyId,
    next: Next,
    why: String,
    about: String,
}

impl Story {
    /// Gathers it.
    ///
    /// # Errors
    ///
    /// Those of the ledger.
    pub(crate) fn gather(
        system: &System,
        folder: &Path,
        project: &Project,
        outcome: Outcome,
        seconds: f64,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        let ledger = project.ledger()?;
        let view = View::open(project, &ledger, now)?;
        let rows = all_files(&view)?;
        let words = words(project, &view, &rows)?;
        let put_aside = put_aside(system, &view)?;
        let mut unexpected: Vec<String> = put_aside
            .iter()
            .filter(|bad| !bad.planted)
            .map(|bad| format!("{} was put aside: {}", bad.file, bad.why))
            .collect();
        for word in &words {
            if matches!(word.next, Next::Failed | Next::Ready | Next::Blocked) {
                unexpected.push(format!("{} of {} is {}: {}", word.key.step, word.about, word.next, word.why));
            }
        }
        for name in system.damaged {
            if !put_aside.iter().any(|bad| bad.file.ends_with(name)) {
                unexpected.push(format!("{name} is damaged and was not put aside"));
            }
        }
        Ok(Self {
            demo: system.name,
            folder: folder.display().to_string(),
            flow: project.setup.flow_path.display().to_string(),
            already_done: outcome.done == 0 && outcome.failed == 0,
            seconds,
            outcome,
            arrived: arrived(&rows),
            made: made(project, &view)?,
            lies: lies(project, &rows),
            held_back: held_back(system, project, &view, &rows, &words)?,
            put_aside,
            retention: retention(project, &view, &rows)?,
            unexpected,
            notes: project.flow().notes.iter().map(|note| format!("{}: {}", note.place, note.message)).collect(),
            commands: commands(system, project),
        })
    }

    /// Returns the exit code: what is bad on purpose is no failure.
    pub(crate) fn exit(&self) -> Exit {
        if self.unexpected.is_empty() { Exit::Done } else { Exit::Failed }
    }

    /// Writes it for people.
    ///
    /// # Errors
    ///
    /// Those of writing.
    pub(crate) fn tell(&self, out: &mut Out) -> Result<(), Failure> {
        let how = if self.already_done {
            format!("already done: looked at in {:.1} s, nothing was left to do", self.seconds)
        } else {
            format!("{} in {:.1} s", count(self.outcome.done, "task done", "tasks done"), self.seconds)
        };
        out.line(format!("{} in {}: {how}", self.demo, self.folder))?;
        out.line("")?;
        out.heading("What arrived")?;
        out.line(format!(
            "  {}, {}, in {}",
            count(self.arrived.files, "file", "files"),
            size(self.arrived.bytes),
            count(self.arrived.sets.len() as u64, "set", "sets")
        ))?;
        out.line("")?;
        out.heading("What was done with it")?;
        let mut table = Table::new(&[]).indented(2);
        for made in &self.made {
            let failed = if made.failed > 0 { format!(", {} failed", made.failed) } else { String::new() };
            table.row([
                made.step.as_str().into(),
                format!("at {}", made.station).into(),
                made.does.as_str().into(),
                format!("{} done{failed}", made.runs).into(),
                Cell::right(format!("{:.2} s", made.seconds)),
            ]);
        }
        out.table(&table)?;
        out.line("")?;
        out.heading("Where it lies now")?;
        let mut table = Table::new(&[]).indented(2);
        for lies in &self.lies {
            // One is named; the document has some more.
            let more = lies.files.saturating_sub(1);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            table.row([
                lies.station.as_str().into(),
                lies.product.as_str().into(),
                Cell::from(lies.files),
                Cell::right(size(lies.bytes)),
                format!("{}{more}", lies.paths.first().map_or("", String::as_str)).into(),
            ]);
        }
        out.table(&table)?;
        self.tell_rest(out)
    }

    fn tell_rest(&self, out: &mut Out) -> Result<(), Failure> {
        out.line("")?;
        out.heading("What was held back, and why")?;
        for held in &self.held_back {
            let step = held.step.as_ref().map(|step| format!("{step}: ")).unwrap_or_default();
            out.line(format!("  {}", held.what))?;
            out.line(format!("      {step}{}: {}", held.state, held.why))?;
        }
        for bad in &self.put_aside {
            let planted = if bad.planted { " (damaged on purpose)" } else { "" };
            out.line(format!("  {}{planted}", bad.file))?;
            let now_at = bad.now_at.as_ref().map(|path| format!(", now at {path}")).unwrap_or_default();
            let report = if bad.report.is_some() { ", with a report beside it" } else { "" };
            out.line(format!("      put aside{now_at}{report}: {}", bad.why))?;
        }
        out.line("")?;
        out.heading("What may be deleted, and why the rest stays")?;
        for keep in &self.retention {
            let mut parts = vec![format!("{} now", count(keep.may_delete, "file", "files"))];
            if keep.too_young > 0 {
                let until = keep.until.map(|until| format!(" at {}", time(until))).unwrap_or_default();
                parts.push(format!("{} when old enough{until}", keep.too_young));
            }
            let copies: Vec<&str> = keep.rests_on.iter().map(String::as_str).collect();
            let rests = if copies.is_empty() { String::new() } else { format!("; proof: {}", copies.join(", ")) };
            out.line(format!("  {} at {}: {}{rests}", keep.keep, keep.station, parts.join(", ")))?;
            for stays in &keep.stays {
                let word = if stays.files == 1 { "stays" } else { "stay" };
                out.line(format!("      {} {word}: {} ({})", stays.files, stays.why, stays.example))?;
            }
        }
        for note in &self.notes {
            let word = out.paint(Tone::Odd, "note");
            out.line(format!("  {word}: {note}"))?;
        }
        for trouble in &self.unexpected {
            let word = out.paint(Tone::Bad, "unexpected");
            out.line(format!("{word}: {trouble}"))?;
        }
        out.line("")?;
        out.heading("Look further")?;
        let mut table = Table::new(&[]).indented(2);
        for [command, about] in &self.commands {
            table.row([command.as_str().into(), about.as_str().into()]);
        }
        out.table(&table)
    }
}

fn all_files(view: &View) -> Result<Vec<FileRow>, Failure> {
    let mut filter = FileFilter::default();
    let mut rows = Vec::new();
    loop {
        let page = view.reader.page(&filter, 1000)?;
        let Some(last) = page.last() else { break };
        filter.after = Some(last.id);
        rows.extend(page);
    }
    rows.sort_by(|a, b| (&a.station, &a.product, &a.path).cmp(&(&b.station, &b.product, &b.path)));
    Ok(rows)
}

fn place(row: &FileRow) -> String {
    format!("{}/{}", row.station, row.path)
}

// The files of the products that no step makes, where no step brings them.
fn arrived(rows: &[FileRow]) -> Arrived {
    let mut arrived = Arrived::default();
    for row in rows.iter().filter(|row| row.origin == thalweg_ledger::Origin::Seen) {
        arrived.files += 1;
        arrived.bytes += row.stat.size;
        *arrived.sets.entry(row.start.map_or_else(|| "no time".to_owned(), time)).or_default() += 1;
    }
    arrived
}

fn words(project: &Project, view: &View, rows: &[FileRow]) -> Result<Vec<Word>, Failure> {
    let flow = project.flow();
    let facts = view.facts(flow);
    let mut keys: BTreeMap<KeyId, String> = BTreeMap::new();
    for row in rows {
        for key in touched(flow, &file_fact(flow, row.clone()), &facts) {
            let own = flow
                .steps
                .get(&key.step)
                .is_some_and(|step| step.takes.contains(&row.product) && key.station == row.station);
            if own {
                keys.entry(key).or_insert_with(|| place(row));
            }
        }
    }
    let mut words = Vec::new();
    for (key, about) in keys {
        let evaluation = evaluate(flow, &key, &facts, Occasion::default());
        words.push(Word { key, next: evaluation.next, why: evaluation.reason.text, about });
    }
    facts.trouble()?;
    words.sort_by_key(|word| flow.step_order.iter().position(|step| *step == word.key.step));
    Ok(words)
}

fn put_aside(system: &System, view: &View) -> Result<Vec<PutAside>, Failure> {
    let rows = view.reader.quarantined(&QuarantineFilter::default())?;
    let one = |row: thalweg_ledger::QuarantineRow| PutAside {
        file: format!("{}/{}", row.station, row.path),
        now_at: row.moved_to.as_ref().map(|path| format!("{}/{path}", row.station)),
        report: row.report_path.as_ref().map(|path| format!("{}/{path}", row.station)),
        planted: system.damaged.contains(&row.path.file_name()),
        why: row.message.lines().next().unwrap_or_default().to_owned(),
    };
    Ok(rows.into_iter().map(one).collect())
}

fn made(project: &Project, view: &View) -> Result<Vec<Made>, Failure> {
    let mut by_step: BTreeMap<(usize, String, String), (u64, u64, f64)> = BTreeMap::new();
    let order = &project.flow().step_order;
    for run in view.reader.runs(&RunFilter::default(), RUNS)? {
        let at = order.iter().position(|step| *step == run.step).unwrap_or(usize::MAX);
        let (done, failed, seconds) = by_step.entry((at, run.step, run.station)).or_default();
        match run.state {
            RunState::Done => *done += 1,
            RunState::Failed => *failed += 1,
            _ => {}
        }
        *seconds += run.ended.map_or(0.0, |ended| ended.duration_since(run.started).as_secs_f64());
    }
    let one = |((_, step, station), (runs, failed, seconds))| {
        let does = project.flow().steps.get(&step).map(crate::view::verb_text).unwrap_or_default();
        Made { step, station, does, runs, failed, seconds }
    };
    Ok(by_step.into_iter().map(one).collect())
}

fn lies(project: &Project, rows: &[FileRow]) -> Vec<Lies> {
    let mut lies: Vec<Lies> = Vec::new();
    for row in rows.iter().filter(|row| matches!(row.state, FileState::Present | FileState::Settling)) {
        if lies.last().is_none_or(|last| last.station != row.station || last.product != row.product) {
            lies.push(Lies {
                station: row.station.clone(),
                product: row.product.clone(),
                files: 0,
                bytes: 0,
                paths: Vec::new(),
            });
        }
        if let Some(last) = lies.last_mut() {
            last.files += 1;
            last.bytes += row.stat.size;
            if last.paths.len() < PATHS {
                let root = project.flow().stations.get(&row.station).map_or("", |station| station.root.as_str());
                last.paths.push(format!("{root}/{}", row.path));
            }
        }
    }
    // From the instrument to those who use its data, as the flow file names the steps.
    let flow = project.flow();
    let first_step = |station: &str| {
        let step = |name: &String| {
            flow.steps.get(name).is_some_and(|step| step.at.iter().chain(&step.to).any(|at| at == station))
        };
        flow.step_order.iter().position(step).unwrap_or(usize::MAX)
    };
    let works = |station: &str| flow.steps.values().any(|step| step.at.iter().any(|at| at == station));
    lies.sort_by_key(|lies| (!works(&lies.station), first_step(&lies.station)));
    lies
}

fn held_back(
    system: &System,
    project: &Project,
    view: &View,
    rows: &[FileRow],
    words: &[Word],
) -> Result<Vec<HeldBack>, Failure> {
    let flow = project.flow();
    let facts = view.facts(flow);
    let mut held = Vec::new();
    for row in rows.iter().filter(|row| row.state == FileState::Settling) {
        let fact = file_fact(flow, row.clone());
        let word = flow.products.get(&row.product).map(|product| readiness(product, &fact, &facts));
        if let (Some(Readiness::No(reason)), Fact::Settling) = (word, &fact.state) {
            held.push(HeldBack { what: place(row), step: None, state: "waiting".to_owned(), why: reason.text });
        }
    }
    facts.trouble()?;
    let told: BTreeSet<String> = held.iter().map(|held| held.what.clone()).collect();
    for word in words {
        let chosen = word.next == Next::Skipped && system.choosing.contains(&word.key.step.as_str());
        if chosen || (word.next == Next::Waiting && !told.contains(&word.about)) {
            held.push(HeldBack {
                what: word.about.clone(),
                step: Some(word.key.step.clone()),
                state: word.next.to_string(),
                why: word.why.clone(),
            });
        }
    }
    Ok(held)
}

fn retention(project: &Project, view: &View, rows: &[FileRow]) -> Result<Vec<Retention>, Failure> {
    let flow = project.flow();
    let facts = view.facts(flow);
    let mut told = Vec::new();
    for keep in flow.keeps.values() {
        // Everything here is minutes old: what matters is what the rule says when age is none of its reasons.
        let mut ageless = keep.clone();
        ageless.min_age = SignedDuration::ZERO;
        ageless.delete.older_than = None;
        let mut retention = Retention {
            keep: keep.name.clone(),
            station: keep.at.join(", "),
            may_delete: 0,
            too_young: 0,
            until: None,
            rests_on: BTreeSet::new(),
            stays: Vec::new(),
        };
        // Files with reasons of one kind are told together, by the words of the first.
        let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
        let of_keep = rows.iter().filter(|row| {
            let there = matches!(row.state, FileState::Present | FileState::Settling);
            there && keep.at.contains(&row.station) && keep.products.contains(&row.product)
        });
        for row in of_keep {
            let fact = file_fact(flow, row.clone());
            match may_delete(flow, &ageless, &fact, &facts) {
                Ok(proofs) => {
                    retention
                        .rests_on
                        .extend(proofs.iter().map(|proof| format!("{} at {}", proof.product, proof.station)));
                    match may_delete(flow, keep, &fact, &facts) {
                        Ok(_) => retention.may_delete += 1,
                        Err(reason) => {
                            retention.too_young += 1;
                            retention.until = retention.until.max(reason.until);
                        }
                    }
                }
                Err(reason) => {
                    let at = *kinds.entry(reason.code.clone()).or_insert(retention.stays.len());
                    match retention.stays.get_mut(at) {
                        Some(stays) => stays.files += 1,
                        None => retention.stays.push(Stays { why: reason.text, files: 1, example: place(row) }),
                    }
                }
            }
        }
        told.push(retention);
    }
    facts.trouble()?;
    Ok(told)
}

fn commands(system: &System, project: &Project) -> Vec<[String; 2]> {
    let flow = project.setup.flow_path.display().to_string();
    let quoted = if flow.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+".contains(c)) {
        flow
    } else {
        format!("'{}'", flow.replace('\'', r"'\''"))
    };
    let line = |rest: String, about: &str| [format!("thalweg --flow {quoted} {rest}"), about.to_owned()];
    vec![
        line("status".to_owned(), "where everything is"),
        line(format!("why {}", system.example), "the whole story of one file"),
        line(format!("coverage {}", system.coverage), "which times are there"),
        line("runs".to_owned(), "what was tried, how long it took"),
        line("quarantine".to_owned(), "what is put aside"),
        line("trim --all".to_owned(), "what retention says of each file"),
        line("graph --svg > flow.svg".to_owned(), "a picture of the flow"),
    ]
}
