//! What must be true: each check looked at by the ledger and the stations of this host, at one moment.

mod look;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thalweg_core::Timestamp;
use thalweg_flow::planner::{due_moment, next_moment};
use thalweg_flow::{Check, CheckWhat, Flow, When};
use thalweg_ledger::Reader;

use crate::Places;
use look::Looking;

type Result<T> = std::result::Result<T, thalweg_ledger::Error>;

/// How a check stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// It is as it must be.
    Ok,
    /// It cannot be told.
    Unknown,
    /// Above (for free space below) the first limit.
    Warning,
    /// Above (or below) the second.
    Critical,
}

impl Level {
    /// Returns the word of monitoring plug-ins.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// Returns the exit code of monitoring plug-ins.
    pub fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Critical => 2,
            Self::Unknown => 3,
        }
    }
}

/// One thing that a check has looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// How it stands.
    pub level: Level,
    /// The values of the fields of `per`.
    pub of: BTreeMap<String, String>,
    /// The station, where that tells findings apart.
    pub station: Option<String>,
    /// The measured value: seconds, bytes or a number.
    pub value: Option<f64>,
    /// `s`, `B`, or nothing for a number.
    pub unit: String,
    /// The limit of WARNING, in the same unit.
    pub warning: Option<f64>,
    /// The limit of CRITICAL.
    pub critical: Option<f64>,
    /// The same in a sentence.
    pub text: String,
}

/// A check that was looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checked {
    /// Its name.
    pub check: String,
    /// The worst of its findings.
    pub level: Level,
    /// When it was looked at.
    pub at: Timestamp,
    /// The moment that this was for, where it is looked at at moments.
    pub moment: Option<Timestamp>,
    /// What was found.
    pub findings: Vec<Finding>,
}

impl Checked {
    /// Makes one of which nothing can be told.
    pub fn unknown(check: &str, at: Timestamp, text: String) -> Self {
        let findings = vec![Finding { text, ..Finding::none() }];
        Self { check: check.to_owned(), level: Level::Unknown, at, moment: None, findings }
    }
}

/// What a check found last, as the ledger keeps it.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    // What it was asked: another rule has found nothing yet.
    rule: String,
    found: Checked,
}

/// Returns the name under which the ledger keeps what a check found last, and the text that it keeps.
pub(crate) fn kept(check: &Check, found: &Checked) -> (String, String) {
    let kept = Kept { rule: rule_of(check), found: found.clone() };
    (name_of(check), serde_json::json!(kept).to_string())
}

fn name_of(check: &Check) -> String {
    format!("check {}", check.name)
}

fn rule_of(check: &Check) -> String {
    format!("{:?} at {:?} per {:?}: {:?}, {:?}", check.what, check.at, check.per, check.warning, check.critical)
}

/// Tells if a check is one of this host: it is looked at where its `at` is, or anywhere if it names none.
pub fn is_here(check: &Check, places: &Places) -> bool {
    check.at.is_empty() || check.at.iter().any(|at| places.is_here(at))
}

/// Returns the moment at which a check is due to be looked at by the engine; none if it is not.
///
/// # Errors
///
/// Those of the ledger.
pub(crate) fn due(reader: &Reader, check: &Check, now: Timestamp) -> Result<Option<Timestamp>> {
    if check.hours.as_ref().is_some_and(|hours| !hours.holds(now)) {
        return Ok(None);
    }
    let last = last_look(reader, check)?.and_then(|last| last.moment).map(|last| last.min(now));
    Ok(match (&check.when, last) {
        // The first look of a clock's check is at once: until then nothing is known.
        (When::Cron { .. }, None) => Some(now),
        (When::Every { .. } | When::Cron { .. }, last) => due_moment(&check.when, last, now, &check.name),
        _ => None,
    })
}

/// Returns when it is worth asking again whether a check is due.
///
/// # Errors
///
/// Those of the ledger.
pub(crate) fn next_look(reader: &Reader, check: &Check, now: Timestamp) -> Result<Timestamp> {
    let last = last_look(reader, check)?.and_then(|last| last.moment).map(|last| last.min(now));
    let opens = check.hours.as_ref().and_then(|hours| hours.next(now)).unwrap_or(now);
    let moment = next_moment(&check.when, last, now, &check.name).unwrap_or(now);
    Ok(opens.max(moment))
}

/// Returns what a check found last at one of its moments.
///
/// # Errors
///
/// Those of the ledger.
pub fn last_look(reader: &Reader, check: &Check) -> Result<Option<Checked>> {
    if !matches!(check.when, When::Every { .. } | When::Cron { .. }) {
        return Ok(None);
    }
    let kept = reader.meta(&name_of(check))?.and_then(|text| serde_json::from_str::<Kept>(&text).ok());
    Ok(kept.filter(|kept| kept.rule == rule_of(check)).map(|kept| kept.found))
}

/// Says how a check stands: what was found at its last moment where it has moments and an engine looked then, else what is
/// found now. Outside its hours it is OK.
///
/// # Errors
///
/// Those of the ledger.
pub fn stands(flow: &Flow, check: &Check, reader: &Reader, places: &Places, now: Timestamp) -> Result<Checked> {
    if let Some(hours) = check.hours.as_ref().filter(|hours| !hours.holds(now)) {
        let text = format!("it is not looked at outside {hours}");
        let finding = Finding { level: Level::Ok, text, ..Finding::none() };
        let findings = vec![finding];
        return Ok(Checked { check: check.name.clone(), level: Level::Ok, at: now, moment: None, findings });
    }
    if due(reader, check, now)?.is_none()
        && let Some(last) = last_look(reader, check)?
    {
        return Ok(last);
    }
    look(flow, check, reader, places, now)
}

/// Looks at a check now, whatever the time of day.
///
/// # Errors
///
/// Those of the ledger.
pub fn look(flow: &Flow, check: &Check, reader: &Reader, places: &Places, now: Timestamp) -> Result<Checked> {
    let looking = Looking { flow, check, reader, places, now };
    let findings = match &check.what {
        CheckWhat::Latency(product) => looking.latency(product)?,
        CheckWhat::LastSuccess(step) => looking.last_success(step)?,
        CheckWhat::Failing(step) => looking.failing(step)?,
        CheckWhat::Queue(step) => looking.queue(step)?,
        CheckWhat::Free(station) => looking.free(station),
        CheckWhat::Silent(station) => looking.silent(station)?,
    };
    let level = findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Unknown);
    Ok(Checked { check: check.name.clone(), level, at: now, moment: None, findings })
}

impl Finding {
    fn none() -> Self {
        Self {
            level: Level::Unknown,
            of: BTreeMap::new(),
            station: None,
            value: None,
            unit: String::new(),
            warning: None,
            critical: None,
            text: String::new(),
        }
    }
}
