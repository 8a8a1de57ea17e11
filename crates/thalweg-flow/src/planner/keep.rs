//! Retention: whether a keep may delete a file now, and if not, why.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use thalweg_core::expr::{ExprEnv, Lookup, Name, Predicate};
use thalweg_core::{ContentHash, RelPath, TimeRange, Timestamp};

use super::due_moment;
use super::family::in_words;
use super::reason::{Next, Reason, There};
use super::touch::keys_of_file;
use super::trigger::next_within;
use super::verdict::Names;
use super::{Facts, FileFact, FileQuery, FileState, Occasion, evaluate, suspect, touched};
use crate::{Flow, Keep, When};

/// A copy that a deletion rests on; it is looked at again at the moment of deletion.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Proof {
    /// Where it is.
    pub station: String,
    /// What it is.
    pub product: String,
    /// Its identity.
    pub identity: String,
    /// Its content.
    pub hash: ContentHash,
    /// Its path there; none if rules of the flow have removed it there since.
    pub path: Option<RelPath>,
}

/// Tells if a keep may set out at a station by itself: the moment that this is for, if it goes by moments; or why not now.
///
/// `last` is the last moment that was carried out, or the one at which the keep was first seen. Deleting by hand asks
/// nobody for the time of day.
pub fn turn(keep: &Keep, station: &str, last: Option<Timestamp>, now: Timestamp) -> Result<Option<Timestamp>, Reason> {
    if matches!(keep.when, When::Asked) {
        return Err(Reason::new("asked", "it deletes only when asked to (`thalweg trim --yes`)"));
    }
    // A clock that was ahead leaves a moment behind that is still to come.
    let last = last.map(|last| last.min(now));
    let due = match keep.when {
        When::Every { .. } | When::Cron { .. } => match due_moment(&keep.when, last, now, station) {
            Some(moment) => Some(moment),
            None => {
                let until = next_within(&keep.when, keep.hours.as_ref(), last, now, station);
                let text = until.map_or_else(|| "it has no next moment".to_owned(), |at| format!("it deletes at {at}"));
                return Err(Reason { code: "moment".into(), text, until });
            }
        },
        When::Arrives | When::Flag(_) | When::Asked => None,
    };
    match keep.hours.as_ref().filter(|hours| !hours.holds(now)) {
        None => Ok(due),
        Some(hours) => {
            let text = format!("it deletes within {hours} only");
            Err(Reason { code: "hours".into(), text, until: hours.next(now) })
        }
    }
}

/// Tells if a keep may delete a file now: the copies that this rests on, or why it stays.
///
/// Free space is not looked at here: whoever deletes looks after each file whether more has to go.
pub fn may_delete(flow: &Flow, keep: &Keep, file: &FileFact, facts: &dyn Facts) -> Result<Vec<Proof>, Reason> {
    let now = facts.now();
    if !file.is_usable() {
        return Err(Reason::new("not_recorded", format!("{} is not read and recorded", file.path)));
    }
    let product = flow.products.get(&file.product);
    if flow.stations.get(&file.station).is_some_and(|station| station.read_only) {
        return Err(Reason::new("read_only", format!("{} is only read", file.station)));
    }
    if let Some(why) = product.and_then(|product| suspect(product, file.coverage.map(|c| c.start), now)) {
        return Err(Reason::new("suspect", why));
    }
    if let Some(hold) = facts.file_hold(file) {
        return Err(Reason::new("hold", hold.text()));
    }
    let files = std::slice::from_ref(file);
    let roles = BTreeMap::new();
    let names = RuleNames { names: Names { flow, key: None, driving: files, roles: &roles, now }, file, facts };
    if let Some(condition) = &keep.condition {
        let verdict = condition.eval(&names).map_err(|error| Reason::new("condition_error", error.to_string()))?;
        if !verdict.holds {
            return Err(Reason { code: "condition".into(), text: verdict.because, until: verdict.changes_at });
        }
    }
    let older = keep.delete.older_than.unwrap_or_default().max(keep.min_age);
    let until = file.arrived.checked_add(older).unwrap_or(Timestamp::MAX);
    if until > now {
        let text = format!("it is here for {} of {}", in_words(now.duration_since(file.arrived)), in_words(older));
        return Err(Reason::until("too_young", text, until));
    }
    still_to_take(flow, file, facts)?;
    among_newest(flow, keep, file, facts)?;
    let mut proofs = BTreeSet::new();
    for condition in &keep.only_if {
        let verdict = condition.eval(&names).map_err(|error| Reason::new("condition_error", error.to_string()))?;
        if !verdict.holds {
            return Err(Reason { code: "only_if".into(), text: verdict.because, until: verdict.changes_at });
        }
        for predicate in condition.predicates() {
            proofs.extend(names.proofs(&predicate));
        }
    }
    let proofs: Vec<Proof> = proofs.into_iter().collect();
    if !proofs.is_empty() && proofs.iter().all(|proof| proof.path.is_none()) && !lives_on(flow, file, facts) {
        let text = "all copies that its rule names were removed by rules since: it would be the last one".to_owned();
        return Err(Reason::new("last_copy", text));
    }
    Ok(proofs)
}

// A content whose receipts are all of copies that rules have removed since must live on somewhere: as another copy, as
// something made from it, or in the hands of a dropbox's owner. Two keeps may rest on each other.
fn lives_on(flow: &Flow, file: &FileFact, facts: &dyn Facts) -> bool {
    let elsewhere = flow.stations.values().filter(|station| station.name != file.station);
    let copy = elsewhere
        .flat_map(|station| facts.files_of(&station.name, &file.product, &file.identity))
        .any(|other| other.hash == file.hash && (other.is_usable() || other.state == FileState::Taken));
    copy || flow.products.keys().any(|product| {
        facts.derived(file, product).iter().any(|used| {
            flow.stations.keys().flat_map(|station| facts.files_of(station, &used.product, &used.identity)).any(
                |other| {
                    // A copy that was brought is made from the file that it is a copy of: it does not live on in itself.
                    let itself = other.station == file.station && other.path == file.path;
                    !itself && other.hash == Some(used.hash) && (other.is_usable() || other.state == FileState::Taken)
                },
            )
        })
    })
}

// What a step there has still to take, or is using, stays.
fn still_to_take(flow: &Flow, file: &FileFact, facts: &dyn Facts) -> Result<(), Reason> {
    for key in touched(flow, file, facts) {
        let Some(step) = flow.steps.get(&key.step) else { continue };
        let takes = step.takes.contains(&file.product) && step.sources(&key.station).contains(&file.station.as_str());
        let looks_up = step
            .with
            .values()
            .any(|with| matches!(&with.what, crate::WithWhat::Product { product, .. } if *product == file.product));
        if !takes && !looks_up {
            continue;
        }
        let evaluation = evaluate(flow, &key, facts, Occasion::default());
        let by_itself = !matches!(evaluation.reason.code.as_str(), "asked" | "window");
        if !evaluation.next.is_finished() && by_itself && belongs(flow, step, &key, file, facts) {
            let text = format!("{} has still to take it: {} ({})", step.name, evaluation.next, evaluation.reason.text);
            return Err(Reason { code: "still_to_take".into(), text, until: evaluation.reason.until });
        }
    }
    Ok(())
}

// A file wakes keys to which it does not belong, such as that of the cell before its own.
fn belongs(flow: &Flow, step: &crate::Step, key: &super::KeyId, file: &FileFact, facts: &dyn Facts) -> bool {
    let gathered = super::gather::gather(flow, step, key, facts);
    let mut files = gathered.driving.iter().chain(gathered.roles.values().flatten());
    files.any(|other| other.station == file.station && other.path == file.path)
}

fn among_newest(flow: &Flow, keep: &Keep, file: &FileFact, facts: &dyn Facts) -> Result<(), Reason> {
    let Some(newest) = &keep.keep_newest else { return Ok(()) };
    let query = FileQuery {
        station: Some(&file.station),
        product: &file.product,
        fields: newest.per.iter().filter_map(|name| Some((name.as_str(), file.fields.get(name)?))).collect(),
        overlapping: file.coverage.map(|c| TimeRange::new(c.start, Timestamp::MAX)),
    };
    let start = |file: &FileFact| (file.coverage.map(|c| c.start), file.path.clone());
    // A file whose time cannot be believed is never anyone's newest.
    let believed = |other: &FileFact| {
        let product = flow.products.get(&other.product);
        product.is_none_or(|product| suspect(product, other.coverage.map(|c| c.start), facts.now()).is_none())
    };
    let later = facts
        .files(&query)
        .iter()
        .filter(|other| matches!(other.state, FileState::Present | FileState::Settling) && start(other) > start(file))
        .filter(|other| believed(other))
        .count();
    if u64::try_from(later).unwrap_or(u64::MAX) < newest.count {
        let text = format!("it is among the newest {} that stay", newest.count);
        return Err(Reason::new("keep_newest", text));
    }
    Ok(())
}

/// The names and predicates of `only_if`.
struct RuleNames<'a> {
    names: Names<'a>,
    file: &'a FileFact,
    facts: &'a dyn Facts,
}

impl RuleNames<'_> {
    /// Returns the copies that vouch for a predicate; empty if it does not hold (or rests on none).
    fn proofs(&self, predicate: &Predicate) -> Vec<Proof> {
        match predicate {
            Predicate::ReceiptedAt { product: None, station } => self.copy_at(station).into_iter().collect(),
            Predicate::ReceiptedAt { product: Some(product), station } => {
                self.derived_at(product, station).unwrap_or_default()
            }
            Predicate::CopiesElsewhere(_) => self.copies_elsewhere(),
            Predicate::StepDone(_) => Vec::new(),
        }
    }

    fn copy_at(&self, station: &str) -> Option<Proof> {
        let hash = self.file.hash?;
        self.vouched(station, &self.file.product, &self.file.identity, hash)
    }

    // A receipt: verified there, and gone since then only by the flow's own rules.
    fn vouched(&self, station: &str, product: &str, identity: &str, hash: ContentHash) -> Option<Proof> {
        if self.names.flow.stations.get(station).is_none_or(|station| station.scratch) {
            return None;
        }
        let files = self.facts.files_of(station, product, identity);
        let file = files.iter().find(|file| file.hash == Some(hash) && (file.is_usable() || file.was_retired()))?;
        Some(Proof {
            station: station.to_owned(),
            product: product.to_owned(),
            identity: identity.to_owned(),
            hash,
            path: file.is_usable().then(|| file.path.clone()),
        })
    }

    fn derived_at(&self, product: &str, station: &str) -> Option<Vec<Proof>> {
        let derived = self.facts.derived(self.file, product);
        if derived.is_empty() {
            return None;
        }
        derived.iter().map(|used| self.vouched(station, &used.product, &used.identity, used.hash)).collect()
    }

    fn copies_elsewhere(&self) -> Vec<Proof> {
        let flow = self.names.flow;
        let mut domains = BTreeSet::new();
        domains
            .insert(flow.stations.get(&self.file.station).map(|station| station.domain.as_str()).unwrap_or_default());
        let mut proofs = Vec::new();
        for station in flow.stations.values() {
            let copy = self.copy_at(&station.name).filter(|proof| proof.path.is_some());
            if let Some(proof) = copy
                && domains.insert(&station.domain)
            {
                proofs.push(proof);
            }
        }
        proofs
    }

    fn step_done(&self, step: &str) -> bool {
        let Some(step) = self.names.flow.steps.get(step) else { return false };
        let keys = keys_of_file(step, self.file);
        !keys.is_empty()
            && keys.iter().all(|key| {
                let evaluation = evaluate(self.names.flow, key, self.facts, Occasion::default());
                matches!(evaluation.there, There::Done | There::Retired) && evaluation.next == Next::Nothing
            })
    }
}

impl ExprEnv for RuleNames<'_> {
    fn lookup(&self, name: &Name) -> Lookup {
        self.names.lookup(name)
    }

    fn predicate(&self, predicate: &Predicate) -> bool {
        match predicate {
            Predicate::StepDone(step) => self.step_done(step),
            Predicate::CopiesElsewhere(count) => {
                u32::try_from(self.proofs(predicate).len()).unwrap_or(u32::MAX) >= *count
            }
            Predicate::ReceiptedAt { product: Some(product), station } => self.derived_at(product, station).is_some(),
            Predicate::ReceiptedAt { product: None, station } => self.copy_at(station).is_some(),
        }
    }

    fn now(&self) -> Timestamp {
        self.names.now
    }
}
