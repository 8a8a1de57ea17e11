//! What a key waits for: inputs that are not there, not ready, or not complete. Silence is not absence here: an input
//! is called missing only by a listing that succeeded.

use std::collections::BTreeMap;

use thalweg_core::{TimeRange, Timestamp, Value};

use super::evaluate::{Look, Stop};
use super::family::in_words;
use super::ready::{Readiness, readiness};
use super::reason::{Next, Reason, There};
use super::standing::{Standing, counts, used_before};
use super::{FileFact, FileState};
use crate::{Complete, Match, Wait, WithWhat};

/// A series that a cell lacks: its name as `field=value`, and what is wrong with it.
struct Lacking {
    name: String,
    text: String,
}

impl Look<'_> {
    /// Says why a file that was not read yet was not.
    pub(super) fn unready(&self, file: &FileFact) -> Stop {
        let product = self.flow.products.get(&file.product);
        match product.map(|product| readiness(product, file, self.facts)) {
            Some(Readiness::No(reason)) => (Next::Waiting, reason),
            _ => (Next::Waiting, Reason::new("being_read", format!("{} is about to be read and recorded", file.path))),
        }
    }

    /// Waits for a driving file that was not read yet.
    pub(super) fn driving_ready(&self) -> Result<(), Stop> {
        let driving = &self.gathered.driving;
        let settling = driving.iter().find(|file| file.state == FileState::Settling);
        let usable = driving.iter().any(FileFact::is_usable);
        match settling {
            // A cell acts on what is there; a single file is waited for.
            Some(file) if self.key.driving.is_some() || !usable => Err(self.unready(file)),
            _ => Ok(()),
        }
    }

    /// Waits for missing inputs; returns what it goes on without: roles, and series as `field=value`.
    pub(super) fn missing_inputs(&self, standing: &Standing) -> Result<Vec<String>, Stop> {
        let mut awaited = Vec::new();
        self.driving_ready()?;
        if let Some(products) = self.missing_driving(standing)? {
            awaited.push(products);
        } else {
            awaited.extend(self.complete(standing)?);
        }
        for (role, with) in &self.step.with {
            match &with.what {
                WithWhat::File(_) => {
                    let (path, hash) = &self.gathered.settings[role];
                    if hash.is_none() {
                        let text = format!("the settings file {path} cannot be read");
                        return Err((Next::Waiting, Reason::new("missing_settings", text)));
                    }
                }
                WithWhat::Product { product, .. } => {
                    let files = &self.gathered.roles[role];
                    let used = standing.last.iter().flat_map(|last| &last.inputs).any(|used| used.role == *role);
                    if files.iter().any(FileFact::is_usable) || used {
                        continue;
                    }
                    self.missing_role(role, product, with.wait, files)?;
                    // What would be ignored when it comes is not waited for any more.
                    if counts(self.step, role) {
                        awaited.push(role.clone());
                    }
                }
            }
        }
        Ok(awaited)
    }

    /// Says if what was made without something still waits for it: what the flow does not ask for any more, or whose
    /// series has gone on beyond the cell, will not come.
    pub(super) fn still_partial(&self, standing: &Standing) -> (There, Option<Reason>) {
        let Some(last) = &standing.last else { return (standing.there, standing.because.clone()) };
        let mut awaited = last.awaited.clone();
        if let (Complete::Each { each, covered_past_end, .. }, Some(cell)) = (&self.step.complete, self.key.cell) {
            let lacking = self.lacking(&self.there(standing), each, *covered_past_end, cell);
            let of_series = |name: &String| name.split_once('=').is_some();
            awaited.retain(|name| !of_series(name) || lacking.iter().any(|lacking| lacking.name == *name));
        }
        if awaited.is_empty() && !last.awaited.is_empty() {
            return (There::Done, None);
        }
        let mut text = format!("made without {}", awaited.join(", "));
        let give_up = self.step.window.and(self.step.give_up);
        if let Some(until) = give_up.and_then(|give_up| last.ended.checked_add(give_up).ok()) {
            text.push_str(&format!(", awaited until {until}"));
        }
        (There::Partial, Some(Reason::new("partial", text)))
    }

    // Nothing that drives the key is there; `--partial` goes on from what else depends on it.
    fn missing_driving(&self, standing: &Standing) -> Result<Option<String>, Stop> {
        let driving = &self.gathered.driving;
        if self.step.takes.is_empty() || driving.iter().any(FileFact::is_usable) || standing.last.is_some() {
            return Ok(None);
        }
        if let Some(file) = driving.iter().find(|file| file.was_retired()) {
            let text = format!("its input {} was removed by a rule before it was used here", file.path);
            return Err((Next::Blocked, Reason::new("retired_input", text)));
        }
        let gone = driving.iter().find(|file| matches!(file.state, FileState::Gone { .. }));
        if let Some(file) = gone.filter(|_| self.key.driving.is_some()) {
            let text = format!("{} vanished before it was taken", file.path);
            return Err((Next::Skipped, Reason::new("vanished", text)));
        }
        let products = self.step.takes.join(" or ");
        if self.occasion.partial && self.has_dependent_role() {
            return Ok(Some(products));
        }
        let text = format!("no {products} is there for {}", self.key.text());
        Err((Next::Waiting, Reason::new("missing_input", self.with_listing_state(text))))
    }

    // The newest of a product says nothing of this key; a file that matched it does.
    fn has_dependent_role(&self) -> bool {
        self.gathered.roles.iter().any(|(role, files)| {
            let newest = matches!(
                self.step.with.get(role).map(|with| &with.what),
                Some(WithWhat::Product { on: Match::Newest, .. })
            );
            !newest && files.iter().any(FileFact::is_usable)
        })
    }

    fn missing_role(&self, role: &str, product: &str, wait: Wait, files: &[FileFact]) -> Result<(), Stop> {
        if self.occasion.partial {
            return Ok(());
        }
        if let Some(file) = files.iter().find(|file| file.state == FileState::Settling) {
            return Err(self.unready(file));
        }
        let Wait::For(wait) = wait else {
            if let Some(file) = files.iter().find(|file| file.is_revoked()) {
                let text = format!("{}, the {role} of {}, is put aside or withdrawn", file.path, self.key.text());
                return Err((Next::Quarantined, Reason::new("bad_input", text)));
            }
            let text = format!("no {product} is there for {role} of {}; it is required", self.key.text());
            let stations = self.role_stations(role);
            return Err((Next::Waiting, Reason::new("missing_input", self.with_failing(text, &stations))));
        };
        let arrived = self.arrived();
        let until = arrived.checked_add(wait).unwrap_or(Timestamp::MAX);
        if self.now < until {
            let text = format!("no {product} is there for {role}: waited for {} until {until}", in_words(wait));
            return Err((Next::Waiting, Reason::until("missing_input", text, until)));
        }
        let stations = self.role_stations(role);
        self.listed_since(until, &stations, &format!("{product} for {role}"))
    }

    // The wait is over at `until`; whether the thing is missing only a look after that can tell.
    fn listed_since(&self, until: Timestamp, stations: &[&str], what: &str) -> Result<(), Stop> {
        for station in stations {
            let listing = self.facts.listing(station);
            if listing.last_ok.is_none_or(|at| at < until) {
                let why = listing.failing.unwrap_or_else(|| format!("it was not listed since {until}"));
                let text = format!("{station} is silent ({why}), so that {what} cannot be called missing");
                return Err((Next::Waiting, Reason::new("silent_station", text)));
            }
        }
        Ok(())
    }

    /// Returns the stations where a role's files are looked for.
    pub(super) fn role_stations(&self, role: &str) -> Vec<&str> {
        match self.step.with.get(role).map(|with| &with.what) {
            Some(WithWhat::Product { from, .. }) if !from.is_empty() => from.iter().map(String::as_str).collect(),
            _ => vec![self.key.station.as_str()],
        }
    }

    fn with_listing_state(&self, text: String) -> String {
        self.with_failing(text, &self.step.sources(&self.key.station))
    }

    fn with_failing(&self, text: String, stations: &[&str]) -> String {
        let failing = stations.iter().find_map(|station| {
            self.facts.listing(station).failing.map(|why| format!("{text}; {station} cannot be listed: {why}"))
        });
        failing.unwrap_or(text)
    }

    /// Returns when the newest driving input arrived.
    pub(super) fn arrived(&self) -> Timestamp {
        let times = self.gathered.driving.iter().filter(|file| file.is_usable()).map(|file| file.arrived);
        times.max().or(self.key.cell.map(|cell| cell.end)).unwrap_or(self.now)
    }

    // The driving files that are there, and those that were and are in what was made.
    fn there(&self, standing: &Standing) -> Vec<&FileFact> {
        let last = standing.last.as_ref();
        let used = |file: &FileFact| !file.is_revoked() && last.is_some_and(|last| used_before(last, "", file));
        self.gathered.driving.iter().filter(|file| file.is_usable() || used(file)).collect()
    }

    /// Waits until a cell is complete; returns the series it goes on without.
    fn complete(&self, standing: &Standing) -> Result<Vec<String>, Stop> {
        let there = self.there(standing);
        match (&self.step.complete, self.key.cell) {
            (Complete::Any, _) | (Complete::Covered | Complete::Each { .. }, None) => Ok(Vec::new()),
            (Complete::Covered, Some(cell)) => match first_gap(&there, cell) {
                None => Ok(Vec::new()),
                Some(gap) if self.occasion.partial => Ok(vec![gap.to_string()]),
                Some(gap) => Err((Next::Waiting, Reason::new("gap", format!("nothing covers {gap} yet")))),
            },
            (Complete::Each { each, covered_past_end, or_after }, Some(cell)) => {
                let lacking = self.lacking(&there, each, *covered_past_end, cell);
                let names = || lacking.iter().map(|lacking| lacking.name.clone()).collect();
                let Some(first) = lacking.first() else { return Ok(Vec::new()) };
                if self.occasion.partial {
                    return Ok(names());
                }
                let newest = there.iter().map(|file| file.arrived).max().unwrap_or(cell.end);
                let until = or_after.and_then(|after| cell.end.max(newest).checked_add(after).ok());
                match until {
                    Some(until) if until <= self.now => {
                        let sources = self.step.sources(&self.key.station);
                        self.listed_since(until, &sources, &first.name)?;
                        Ok(names())
                    }
                    Some(until) => {
                        let text = format!("{}; at the latest at {until} it goes on without", first.text);
                        Err((Next::Waiting, Reason::until("incomplete", text, until)))
                    }
                    None => Err((Next::Waiting, Reason::new("incomplete", first.text.clone()))),
                }
            }
        }
    }

    // The series that make a cell complete and are not there, or do not reach past the cell's end.
    fn lacking(
        &self,
        there: &[&FileFact],
        each: &BTreeMap<String, Vec<Value>>,
        past_end: bool,
        cell: TimeRange,
    ) -> Vec<Lacking> {
        let mut lacking = Vec::new();
        for (field, values) in each {
            for value in values {
                let mut of_series = there.iter().filter(|file| file.fields.get(field) == Some(value)).peekable();
                let text = if of_series.peek().is_none() {
                    format!("nothing of {field} {value} is there for {cell}")
                } else if past_end
                    && !of_series.any(|file| file.coverage.is_some_and(|c| c.end >= cell.end))
                    && !self.later_starts(field, value, cell.end)
                {
                    format!("{field} {value} does not reach past {} yet", cell.end)
                } else {
                    continue;
                };
                lacking.push(Lacking { name: format!("{field}={value}"), text });
            }
        }
        lacking
    }

    fn later_starts(&self, field: &str, value: &Value, end: Timestamp) -> bool {
        let products = self.step.takes.iter().filter_map(|name| self.flow.products.get(name));
        products.filter(|product| product.types.contains_key(field) || product.reads.contains_key(field)).any(
            |product| {
                let latest = self.now.checked_add(product.ahead).unwrap_or(Timestamp::MAX);
                self.step.sources(&self.key.station).into_iter().any(|station| {
                    let newest = self.facts.newest_start(station, &product.name, &[(field, value)], latest);
                    newest.is_some_and(|start| start >= end)
                })
            },
        )
    }
}

fn first_gap(files: &[&FileFact], cell: TimeRange) -> Option<TimeRange> {
    let mut reached = cell.start;
    let mut spans: Vec<TimeRange> = files.iter().filter_map(|file| file.coverage).collect();
    spans.sort();
    for span in &spans {
        if span.start > reached {
            break;
        }
        reached = reached.max(span.end);
    }
    let end = spans.iter().map(|span| span.start).find(|start| *start > reached).unwrap_or(cell.end).min(cell.end);
    (reached < cell.end).then(|| TimeRange::new(reached, end))
}
