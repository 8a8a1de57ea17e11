//! What goes into the ledger and comes out of it: plain data about keys, timers, listings, holds, events and requests.

use serde::Serialize;
use serde_json::Value as Json;
use thalweg_core::{Fields, RelPath, TimeRange, Timestamp};

use crate::kinds::{EventId, HoldId, HoldKind, KeyNext, KeyThere, RequestId, RequestState, RunId};

/// The state of one key of a step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeyRow {
    /// Step name.
    pub step: String,
    /// Key.
    pub key: String,
    /// Station name.
    pub station: String,
    /// Start of its cell or of its driving file's coverage.
    pub cell_start: Option<Timestamp>,
    /// End of it.
    pub cell_end: Option<Timestamp>,
    /// Its fields.
    pub fields: Fields,
    /// Product of the driving file, if it is about one.
    pub driving_product: Option<String>,
    /// Fields of the driving file.
    pub driving_fields_key: Option<String>,
    /// What is there.
    pub there: KeyThere,
    /// What comes next.
    pub next: KeyNext,
    /// Why.
    pub reason: Json,
    /// Since when it is so.
    pub since: Timestamp,
    /// When time alone may change it.
    pub wake: Option<Timestamp>,
    /// When the key was first known.
    pub opened: Timestamp,
    /// When this row was last changed.
    pub changed: Timestamp,
    /// Whether nothing is left to do, so that only new facts concern it.
    pub finished: bool,
}

/// What is asked of [`crate::Reader::keys`]; in order of step and key.
#[derive(Debug, Clone, Default)]
pub struct KeyFilter {
    /// Only of this step.
    pub step: Option<String>,
    /// Only at this station.
    pub station: Option<String>,
    /// Only with this there; empty: all.
    pub there: Vec<KeyThere>,
    /// Only with this next; empty: all.
    pub next: Vec<KeyNext>,
    /// Only finished or only open ones.
    pub finished: Option<bool>,
    /// Only cells that overlap this.
    pub overlapping: Option<TimeRange>,
    /// Only about this product and fields key.
    pub driving: Option<(String, String)>,
    /// Only after this step name and key: the next page (pages of one step only, unless ordered by step number).
    pub after: Option<(String, String)>,
    /// At most so many.
    pub limit: Option<u32>,
}

/// How many keys of a step are in which state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepTally {
    /// Step name.
    pub step: String,
    /// Whether nothing is left to do for them.
    pub finished: bool,
    /// What is there.
    pub there: KeyThere,
    /// What comes next.
    pub next: KeyNext,
    /// How many.
    pub keys: u64,
}

/// The keys of one step, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct StepSummary {
    /// Step name.
    pub step: String,
    /// Keys with something left to do.
    pub open: u64,
    /// Keys with nothing left to do.
    pub finished: u64,
    /// Open: may start.
    pub ready: u64,
    /// Open: a run is at it.
    pub running: u64,
    /// Open: something is absent, not ready or too young.
    pub waiting: u64,
    /// Open: something is in the way.
    pub blocked: u64,
    /// Open: the last run failed.
    pub failed: u64,
    /// Open: an input is bad.
    pub quarantined: u64,
    /// Open or finished: excluded by a condition.
    pub skipped: u64,
    /// Done without an input that may still come.
    pub partial: u64,
    /// Made with another identity.
    pub stale: u64,
    /// Gone without a rule.
    pub lost: u64,
    /// The same in full.
    pub tallies: Vec<StepTally>,
}

/// The timer of a step at a station.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RoundRow {
    /// Step name.
    pub step: String,
    /// Station name.
    pub station: String,
    /// Newest moment that was begun.
    pub last_moment: Option<Timestamp>,
    /// Moment whose round is not finished.
    pub open_moment: Option<Timestamp>,
    /// When the last round was finished.
    pub finished: Option<Timestamp>,
}

/// A listing that ended.
#[derive(Debug, Clone)]
pub struct NewListing {
    /// Station name.
    pub station: String,
    /// Folder listed with all below it; empty: the whole station.
    pub folder: RelPath,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// Why it failed; none when it succeeded.
    pub error: Option<String>,
    /// Entries seen.
    pub entries: u64,
}

/// The last listing of a folder, and the last that succeeded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListingRow {
    /// Station name.
    pub station: String,
    /// Folder; empty: the whole station.
    pub folder: RelPath,
    /// When the last one began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// Whether it succeeded.
    pub ok: bool,
    /// Why it failed.
    pub error: Option<String>,
    /// Entries seen.
    pub entries: u64,
    /// When the newest that succeeded began: what it did not show was absent then.
    pub ok_started: Option<Timestamp>,
    /// When that one ended.
    pub ok_ended: Option<Timestamp>,
}

/// Something that happened, to be recorded.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// When.
    pub at: Timestamp,
    /// What kind, e.g. `delivered`.
    pub kind: String,
    /// Step, keep, check or request it is about.
    pub subject: Option<String>,
    /// Station name.
    pub station: Option<String>,
    /// Product name.
    pub product: Option<String>,
    /// Canonical text of the distinguishing fields.
    pub fields_key: Option<String>,
    /// Path at the station.
    pub path: Option<RelPath>,
    /// The run.
    pub run: Option<RunId>,
    /// More.
    pub data: Option<Json>,
}

impl NewEvent {
    /// Makes one that is about nothing in particular.
    pub fn new(kind: &str, at: Timestamp) -> Self {
        Self {
            at,
            kind: kind.to_owned(),
            subject: None,
            station: None,
            product: None,
            fields_key: None,
            path: None,
            run: None,
            data: None,
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone, Serialize)]
pub struct EventRow {
    /// Its number.
    pub id: EventId,
    /// When.
    pub at: Timestamp,
    /// What kind.
    pub kind: String,
    /// Step, keep, check or request it is about.
    pub subject: Option<String>,
    /// Station name.
    pub station: Option<String>,
    /// Product name.
    pub product: Option<String>,
    /// Canonical text of the distinguishing fields.
    pub fields_key: Option<String>,
    /// Path at the station.
    pub path: Option<RelPath>,
    /// The run.
    pub run: Option<RunId>,
    /// More.
    pub data: Option<Json>,
}

/// What is asked of [`crate::Reader::events`]; newest first.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Only of these kinds; empty: all.
    pub kinds: Vec<String>,
    /// Only about this.
    pub subject: Option<String>,
    /// Only at this station.
    pub station: Option<String>,
    /// Only at or after this.
    pub from: Option<Timestamp>,
    /// Only before this.
    pub to: Option<Timestamp>,
    /// Only recorded after this one, oldest first: to follow along.
    pub after: Option<EventId>,
}

/// A hold, pause or drain to be recorded.
#[derive(Debug, Clone)]
pub struct NewHold {
    /// What it does.
    pub kind: HoldKind,
    /// Only this step.
    pub step: Option<String>,
    /// Only this station.
    pub station: Option<String>,
    /// Only this product.
    pub product: Option<String>,
    /// Only this path.
    pub path: Option<RelPath>,
    /// Only files or keys for which this condition holds.
    pub where_text: Option<String>,
    /// Why.
    pub why: String,
    /// Who.
    pub by: String,
    /// When.
    pub since: Timestamp,
}

/// A hold, pause or drain.
#[derive(Debug, Clone, Serialize)]
pub struct HoldRow {
    /// Its number.
    pub id: HoldId,
    /// What it does.
    pub kind: HoldKind,
    /// Only this step.
    pub step: Option<String>,
    /// Only this station.
    pub station: Option<String>,
    /// Only this product.
    pub product: Option<String>,
    /// Only this path.
    pub path: Option<RelPath>,
    /// Only files or keys for which this condition holds.
    pub where_text: Option<String>,
    /// Why.
    pub why: String,
    /// Who.
    pub by: String,
    /// When.
    pub since: Timestamp,
    /// When it was lifted.
    pub ended: Option<Timestamp>,
}

/// A request to be recorded.
#[derive(Debug, Clone)]
pub struct NewRequest {
    /// What kind, e.g. `make`.
    pub kind: String,
    /// Product asked for.
    pub product: Option<String>,
    /// Start of the span.
    pub from: Option<Timestamp>,
    /// End of the span.
    pub to: Option<Timestamp>,
    /// How, e.g. `fill` or `rebuild`.
    pub mode: String,
    /// Who asks.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// More.
    pub data: Option<Json>,
}

/// A request.
#[derive(Debug, Clone, Serialize)]
pub struct RequestRow {
    /// Its number.
    pub id: RequestId,
    /// What kind.
    pub kind: String,
    /// Product asked for.
    pub product: Option<String>,
    /// Start of the span.
    pub from: Option<Timestamp>,
    /// End of the span.
    pub to: Option<Timestamp>,
    /// How.
    pub mode: String,
    /// Who asks.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// How far it is.
    pub state: RequestState,
    /// When that was last changed.
    pub changed: Timestamp,
    /// More.
    pub data: Option<Json>,
}

/// One appearance of a flag file that a step has taken note of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FlagRow {
    /// Station name.
    pub station: String,
    /// Path of the flag file.
    pub path: RelPath,
    /// Step name.
    pub step: String,
    /// Modification time or moment of the appearance.
    pub at: Timestamp,
}
