//! Which keys a step has: all of them, or those that touch a span of time.

use std::collections::BTreeSet;

use thalweg_core::{Fields, TimeRange};

use super::touch::{believed_keys_of_file, products_of};
use super::{Facts, FileQuery, KeyId};
use crate::{Flow, Step, When};

/// The most cells of a grid that one question may open up.
const CELLS: usize = 100_000;

/// Returns the keys of a step whose driving files exist, in `span` if given.
///
/// Files without coverage overlap every span.
pub fn keys_of_step(flow: &Flow, step: &Step, span: Option<TimeRange>, facts: &dyn Facts) -> BTreeSet<KeyId> {
    let mut keys = BTreeSet::new();
    for at in &step.at {
        for product in &step.takes {
            for station in step.sources(at) {
                let query = FileQuery { station: Some(station), product, fields: Vec::new(), overlapping: span };
                for file in facts.files(&query) {
                    keys.extend(
                        believed_keys_of_file(flow, step, &file, facts).into_iter().filter(|key| key.station == *at),
                    );
                }
            }
        }
        if step.takes.is_empty() {
            keys.extend(timer_keys(step, at, facts));
        }
    }
    if let Some(span) = span {
        keys.retain(|key| key.cell.is_none_or(|cell| cell.overlaps(&span)));
    }
    keys
}

/// Returns the key of the present moment of a step that takes nothing: the first, where `each` multiplies it.
pub fn timer_key(step: &Step, at: &str, facts: &dyn Facts) -> Option<KeyId> {
    timer_keys(step, at, facts).into_iter().next()
}

/// Returns the keys of the present moment of a step that takes nothing, one for each value of `each`.
pub fn timer_keys(step: &Step, at: &str, facts: &dyn Facts) -> Vec<KeyId> {
    let moment = super::due_round(step, at, facts)
        .or_else(|| super::next_moment(&step.when, facts.round(&step.name, at).last, facts.now(), at));
    moment.map(|moment| without_driving(step, at, TimeRange::new(moment, moment))).unwrap_or_default()
}

fn without_driving(step: &Step, at: &str, cell: TimeRange) -> Vec<KeyId> {
    let key =
        |fields| KeyId { step: step.name.clone(), station: at.to_owned(), cell: Some(cell), fields, driving: None };
    products_of(&step.each).into_iter().map(key).collect()
}

/// Returns the keys of a step in a span that its grid has, whether driving files exist or not.
///
/// Tuples of fields come from the files that exist; a grid with fields of which no file is known has no keys.
pub fn cells_of_step(flow: &Flow, step: &Step, span: TimeRange, facts: &dyn Facts) -> BTreeSet<KeyId> {
    let mut keys = keys_of_step(flow, step, Some(span), facts);
    let Some(per) = &step.per else {
        // Without files, grid and timer the span that is asked for is what it is about.
        if step.takes.is_empty() && matches!(step.when, When::Asked) {
            keys.extend(step.at.iter().flat_map(|at| without_driving(step, at, span)));
        }
        return keys;
    };
    let Some(grid) = &per.grid else { return keys };
    let mut tuples: BTreeSet<(String, Fields)> = BTreeSet::new();
    for at in &step.at {
        if per.fields.is_empty() {
            tuples.extend(products_of(&step.each).into_iter().map(|fields| (at.clone(), fields)));
        }
    }
    tuples.extend(keys.iter().map(|key| (key.station.clone(), key.fields.clone())));
    if tuples.is_empty() {
        let anywhere = keys_of_step(flow, step, None, facts);
        tuples.extend(anywhere.into_iter().map(|key| (key.station, key.fields)));
    }
    for cell in grid.cells_overlapping(span, CELLS) {
        for (at, fields) in &tuples {
            keys.insert(KeyId {
                step: step.name.clone(),
                station: at.clone(),
                cell: Some(cell),
                fields: fields.clone(),
                driving: None,
            });
        }
    }
    keys
}
