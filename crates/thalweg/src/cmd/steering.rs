//! What `hold`, `release`, `pause` and `resume` share: what they are about, and how it is recorded.

use std::ffi::OsStr;
use std::path::Path;

use serde_json::{Value as Json, json};
use thalweg_core::{RelPath, Timestamp};
use thalweg_engine::{Request, engine_pid};
use thalweg_ledger::{HoldId, HoldKind, HoldRow, Ledger, NewEvent, NewHold};

use super::Context;
use super::where_clause::{self, Known};
use crate::failure::Failure;
use crate::project::Project;
use crate::words::{did_you_mean, time};
use crate::work;

/// What is held, paused, retried: a step, a station, a product or a path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Subject {
    /// A step.
    pub(crate) step: Option<String>,
    /// A station.
    pub(crate) station: Option<String>,
    /// A product.
    pub(crate) product: Option<String>,
    /// A path at the station.
    pub(crate) path: Option<RelPath>,
}

impl Subject {
    /// Reads a word of the command line; without one: everything.
    ///
    /// # Errors
    ///
    /// Usage, with a near name.
    pub(crate) fn parse(project: &Project, word: Option<&OsStr>) -> Result<Self, Failure> {
        let Some(given) = word else { return Ok(Self::default()) };
        let flow = project.flow();
        // Names are text; a path may be any bytes.
        let shown = given.to_string_lossy();
        let word = given.to_str().unwrap_or_default();
        if flow.steps.contains_key(word) {
            return Ok(Self { step: Some(word.to_owned()), ..Self::default() });
        }
        if flow.stations.contains_key(word) {
            return Ok(Self { station: Some(word.to_owned()), ..Self::default() });
        }
        if flow.products.contains_key(word) {
            return Ok(Self { product: Some(word.to_owned()), ..Self::default() });
        }
        if let Some((station, path)) = locate(project, given) {
            return Ok(Self { station: Some(station), path: Some(path), ..Self::default() });
        }
        let names = flow.steps.keys().chain(flow.stations.keys()).chain(flow.products.keys());
        Err(Failure::usage(format!("`{shown}` is no step, station or product of the flow, and no path at a station"))
            .help(did_you_mean(&shown, names.map(String::as_str))))
    }

    fn covers(&self, hold: &HoldRow) -> bool {
        let same = |wanted: &Option<String>, found: &Option<String>| wanted.is_none() || wanted == found;
        same(&self.step, &hold.step)
            && same(&self.station, &hold.station)
            && same(&self.product, &hold.product)
            && (self.path.is_none() || self.path == hold.path)
    }

    // Tells if a hold is about exactly this.
    fn is_of(&self, hold: &HoldRow) -> bool {
        self.step == hold.step && self.station == hold.station && self.product == hold.product && self.path == hold.path
    }

    /// Returns the condition of a command line for what is meant.
    ///
    /// # Errors
    ///
    /// Usage, when one of them is no condition, or names a field that nothing meant has.
    pub(crate) fn condition(&self, project: &Project, wheres: &[String]) -> Result<Option<String>, Failure> {
        where_clause::condition(wheres, &self.fields(project), &self.text())
    }

    // The fields that files and keys of what is meant can have; for those read from a content the type is not known.
    pub(crate) fn fields(&self, project: &Project) -> Known {
        let flow = project.flow();
        let step = self.step.as_ref().and_then(|step| flow.steps.get(step));
        let of_subject = |name: &String| match (&self.product, step) {
            (Some(product), _) => name == product,
            (None, Some(step)) => step.takes.contains(name),
            (None, None) => true,
        };
        let mut known = Known::new();
        for product in flow.products.values().filter(|product| of_subject(&product.name)) {
            known.extend(product.types.iter().map(|(name, kind)| (name.clone(), Some(kind.clone()))));
            known.extend(product.reads.keys().map(|name| (name.clone(), None)));
        }
        let steps = flow.steps.values().filter(|other| step.is_none_or(|step| step.name == other.name));
        for name in steps.flat_map(|step| step.each.keys()) {
            known.entry(name.clone()).or_insert(None);
        }
        for station in flow.stations.values() {
            for name in station.member_of.keys() {
                known.entry(name.clone()).or_insert(None);
            }
        }
        known
    }

    /// Returns it in words.
    pub(crate) fn text(&self) -> String {
        match self {
            Self { path: Some(path), station, .. } => format!("{}/{path}", station.as_deref().unwrap_or_default()),
            Self { step: Some(step), .. } => format!("step {step}"),
            Self { station: Some(station), .. } => format!("station {station}"),
            Self { product: Some(product), .. } => format!("product {product}"),
            _ => "everything".to_owned(),
        }
    }
}

/// Returns station and path of a path as people give it: absolute, relative to here, or `STATION/PATH`, `STATION:PATH`.
pub(crate) fn locate(project: &Project, text: &OsStr) -> Option<(String, RelPath)> {
    use std::os::unix::ffi::OsStrExt;
    let places = thalweg_engine::Places::look(&project.setup);
    let path = Path::new(text);
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if let Some(found) = places.locate(&absolute).filter(|(_, path)| path.is_confined()) {
        return Some(found);
    }
    // A folder in between may be a link.
    let resolved = absolute.parent().and_then(|folder| folder.canonicalize().ok()).zip(absolute.file_name());
    if let Some((folder, name)) = resolved {
        for (station, root, _) in places.stations() {
            let Ok(root) = root.canonicalize() else { continue };
            if let Ok(below) = folder.join(name).strip_prefix(&root) {
                let below = RelPath::from_bytes(below.as_os_str().as_bytes());
                if below.is_confined() {
                    return Some((station.to_owned(), below));
                }
            }
        }
    }
    let bytes = text.as_bytes();
    for sign in *b":/" {
        if let Some(at) = bytes.iter().position(|byte| *byte == sign)
            && let Ok(station) = std::str::from_utf8(&bytes[..at])
            && project.flow().stations.contains_key(station)
        {
            let below = RelPath::from_bytes(&bytes[at + 1..]);
            if below.is_confined() {
                return Some((station.to_owned(), below));
            }
        }
    }
    None
}

/// Returns who gives the command.
pub(crate) fn who() -> String {
    let named =
        ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    named.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}

fn event(kind: &str, subject: &Subject, data: Json, at: Timestamp) -> NewEvent {
    NewEvent {
        subject: subject.step.clone(),
        station: subject.station.clone(),
        product: subject.product.clone(),
        path: subject.path.clone(),
        data: Some(data),
        ..NewEvent::new(kind, at)
    }
}

/// Records a hold, pause or drain and tells the engine.
///
/// # Errors
///
/// Usage, and those of the ledger.
pub(crate) fn put_up(
    context: &mut Context,
    kind: HoldKind,
    word: Option<&OsStr>,
    wheres: &[String],
    why: Option<String>,
) -> Result<(), Failure> {
    let project = context.project()?;
    let subject = Subject::parse(&project, word)?;
    if kind == HoldKind::Drain && (subject.product.is_some() || subject.path.is_some()) {
        return Err(Failure::usage(format!("{} cannot be drained", subject.text()))
            .help("name a step or a station; `thalweg hold` keeps files from being taken"));
    }
    let condition = subject.condition(&project, wheres)?;
    let at = context.now();
    let hold = NewHold {
        kind,
        step: subject.step.clone(),
        station: subject.station.clone(),
        product: subject.product.clone(),
        path: subject.path.clone(),
        where_text: condition.clone(),
        why: why.unwrap_or_else(|| "no reason given".to_owned()),
        by: who(),
        since: at,
    };
    let data = json!({ "by": hold.by, "why": hold.why, "where": condition });
    let what = event(kind.as_str(), &subject, data, at);
    // A ledger that is not there yet is made: a hold put up before the first run must hold in it.
    let ledger = Ledger::create(ready_folder(&project)?)?;
    let id = ledger.write(move |tx| {
        let id = tx.hold_add(&hold)?;
        tx.event(&what)?;
        Ok(id)
    })?;
    drop(ledger);
    let what = subject.step.clone().or_else(|| subject.station.clone());
    let request =
        if kind == HoldKind::Drain { Request::Drain { what, r#where: condition.clone() } } else { Request::Refresh };
    tell_engine(&project, request, context)?;
    if context.out.json {
        context.out.document(&json!({ "id": id.0, "kind": kind, "subject": subject.text(), "where": condition }))?;
    } else {
        let condition = condition.map(|condition| format!(" where {condition}")).unwrap_or_default();
        context.out.line(format!("{kind} {id}: {}{condition}", subject.text()))?;
    }
    Ok(())
}

fn ready_folder(project: &Project) -> Result<&Path, Failure> {
    let path = project.setup.ledger.as_path();
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| {
            Failure::config(format!("failed to make the ledger's folder {}: {error}", folder.display()))
                .help("make it, or let this account write in the folder above")
        })?;
    }
    Ok(path)
}

/// Ends the holds or pauses that a word (a number, or what they are about) names, and tells the engine.
///
/// # Errors
///
/// Usage, and those of the ledger.
pub(crate) fn take_down(
    context: &mut Context,
    kinds: &[HoldKind],
    word: Option<&OsStr>,
    wheres: &[String],
    verb: &str,
) -> Result<(), Failure> {
    let number = word.and_then(OsStr::to_str).and_then(|word| word.parse::<i64>().ok());
    if number.is_some() && !wheres.is_empty() {
        return Err(
            Failure::usage("a number names one hold or pause: --where says nothing more").help("leave one of them out")
        );
    }
    let project = context.project()?;
    let ledger = project.ledger_for_writing()?;
    let active = ledger.reader()?.holds_active()?;
    let subject = if number.is_some() { Subject::default() } else { Subject::parse(&project, word)? };
    let condition = subject.condition(&project, wheres)?;
    let (ending, others): (Vec<HoldRow>, Vec<HoldRow>) = active.into_iter().partition(|hold| match number {
        Some(number) => hold.id == HoldId(number),
        // With a condition exactly what was put up with it ends, without one everything that the word is about.
        None if condition.is_some() => {
            kinds.contains(&hold.kind) && subject.is_of(hold) && hold.where_text == condition
        }
        None => kinds.contains(&hold.kind) && subject.covers(hold),
    });
    let near: Vec<&HoldRow> = others
        .iter()
        .filter(|hold| kinds.contains(&hold.kind) && condition.is_some() && hold.where_text == condition)
        .collect();
    if ending.is_empty() && !near.is_empty() {
        let there: Vec<String> = near.iter().map(|hold| format!("{} ({})", hold.id, hold_text(hold))).collect();
        return Err(Failure::usage(format!(
            "nothing is {} of {} with this condition, only: {}",
            if verb == "release" { "held" } else { "paused" },
            subject.text(),
            there.join("; ")
        ))
        .help(format!("name it as it was put up, or by its number: `thalweg {verb} {}`", near[0].id)));
    }
    if ending.is_empty() && number.is_none() {
        // Twice is as good as once.
        if context.out.json {
            return context.out.document(&json!({ "ended": [] }));
        }
        let (state, other) = if verb == "release" { ("held", "resume") } else { ("paused or drained", "release") };
        let with = condition.as_ref().map(|condition| format!(" where {condition}")).unwrap_or_default();
        context.out.line(format!("there is nothing to {verb}: {} is not {state}{with}", subject.text()))?;
        for hold in &others {
            // What is there of the same name: of the other kind, or with another condition.
            let command = match kinds.contains(&hold.kind) {
                true if subject.is_of(hold) => verb,
                false if subject.covers(hold) => other,
                _ => continue,
            };
            let text = hold_text(hold);
            context.out.line(format!("there is {} ({text}): `thalweg {command} {}` ends it", hold.id, hold.id))?;
        }
        return context.out.line("`thalweg status` lists what is held, paused or drained, with its number");
    }
    if ending.is_empty() {
        return Err(Failure::usage(format!(
            "nothing of the number {} is held",
            word.unwrap_or_default().to_string_lossy()
        ))
        .help("`thalweg status` lists what is held, with its number"));
    }
    let at = context.now();
    let ids: Vec<HoldId> = ending.iter().map(|hold| hold.id).collect();
    let what = event(verb, &subject, json!({ "by": who(), "holds": ids }), at);
    ledger.write(move |tx| {
        for id in ids {
            tx.hold_end(id, at)?;
        }
        tx.event(&what)
    })?;
    drop(ledger);
    tell_engine(&project, Request::Refresh, context)?;
    if context.out.json {
        context.out.document(&json!({ "ended": ending }))?;
    } else {
        for hold in &ending {
            context.out.line(format!("{verb} {}: {}", hold.id, hold_text(hold)))?;
        }
    }
    Ok(())
}

/// Returns a hold in words.
pub(crate) fn hold_text(hold: &HoldRow) -> String {
    let subject = Subject {
        step: hold.step.clone(),
        station: hold.station.clone(),
        product: hold.product.clone(),
        path: hold.path.clone(),
    };
    let condition = hold.where_text.as_ref().map(|text| format!(" where {text}")).unwrap_or_default();
    format!("{} of {}{condition} by {} since {}: {}", hold.kind, subject.text(), hold.by, time(hold.since), hold.why)
}

// A running engine is told at once; without one nothing runs, and the next one reads the ledger.
fn tell_engine(project: &Project, request: Request, context: &mut Context) -> Result<(), Failure> {
    if engine_pid(&project.setup).is_some() {
        work::ask(project, request, None, context)?;
    }
    Ok(())
}
