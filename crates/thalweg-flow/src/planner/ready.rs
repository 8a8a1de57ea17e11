//! When a file that something else writes may be taken.

use thalweg_core::{RelPath, Timestamp};

use super::family::{in_words, series_of, start_of, suspect};
use super::reason::Reason;
use super::{Evidence, Facts, FileFact, Origin};
use crate::Product;

/// The answer of a ready rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It may be taken.
    Yes,
    /// Not yet, and why; `until` of the reason says when time alone changes that.
    No(Reason),
}

/// Judges a file from outside by its product's ready rule.
///
/// What the flow itself made or delivered is ready at once. A file with a time that cannot be believed is held.
pub fn readiness(product: &Product, file: &FileFact, facts: &dyn Facts) -> Readiness {
    let now = facts.now();
    let start = file.coverage.map(|coverage| coverage.start).or_else(|| start_of(product, &file.fields));
    if let Some(why) = suspect(product, start, now) {
        let until = start.and_then(|start| start.checked_sub(product.ahead).ok()).filter(|until| *until > now);
        return Readiness::No(Reason { code: "suspect".into(), text: format!("{} is held: {why}", file.path), until });
    }
    if file.origin != Origin::Seen {
        return Readiness::Yes;
    }
    match first_unmet(product, file, start, facts) {
        None => Readiness::Yes,
        Some(reason) => {
            let limit = product.ready.max_hold.and_then(|hold| file.arrived.checked_add(hold).ok());
            match limit {
                Some(limit) if limit <= now => Readiness::Yes,
                Some(limit) => Readiness::No(Reason {
                    until: Some(reason.until.map_or(limit, |until| until.min(limit))),
                    ..reason
                }),
                None => Readiness::No(reason),
            }
        }
    }
}

fn first_unmet(product: &Product, file: &FileFact, start: Option<Timestamp>, facts: &dyn Facts) -> Option<Reason> {
    let ready = &product.ready;
    let now = facts.now();
    if (ready.closed || ready.unopened) && file.evidence == Evidence::None {
        return Some(Reason::new("open", format!("{} is not known to be closed by its writer", file.path)));
    }
    if ready.renamed && !ready.closed && file.evidence != Evidence::MovedIn {
        return Some(Reason::new("not_renamed", format!("{} was not moved onto its name", file.path)));
    }
    for (span, since, code, what) in
        [(ready.quiet, file.unchanged_since, "not_quiet", "unchanged"), (ready.age, file.arrived, "too_young", "here")]
    {
        let Some(span) = span else { continue };
        let until = since.checked_add(span).unwrap_or(Timestamp::MAX);
        if until > now {
            let so_far = in_words(now.duration_since(since));
            return Some(Reason::until(
                code,
                format!("{} is {what} for {so_far} of {}", file.path, in_words(span)),
                until,
            ));
        }
    }
    if let Some(marker) = &ready.marker {
        let name = marker.replace("{file}", file.path.file_name());
        let path = if name.contains('/') { RelPath::from_text(name) } else { file.path.parent().join(&name) };
        if !facts.exists(&file.station, &path) {
            return Some(Reason::new("no_marker", format!("{} has no marker {path}", file.path)));
        }
    }
    if let Some(event) = &ready.event
        && !facts.event(event, file)
    {
        return Some(Reason::new("no_event", format!("{} waits for the event {event}", file.path)));
    }
    if ready.not_newest.is_some() {
        let series = series_of(product, &file.fields);
        let latest = now.checked_add(product.ahead).unwrap_or(Timestamp::MAX);
        let newest = facts.newest_start(&file.station, &file.product, &series, latest);
        if start >= newest {
            let of = if series.is_empty() {
                String::from("all")
            } else {
                series.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
            };
            return Some(Reason::new(
                "not_newest",
                format!("{} is among the newest of {of}: it is released when a later one starts", file.path),
            ));
        }
    }
    None
}
