//! Which keys a change touches.

use std::collections::BTreeSet;

use thalweg_core::{Fields, TimeRange, Value};

use super::family::series_of;
use super::{Facts, FileFact, FileQuery, KeyId};
use crate::{Flow, Match, Step, WithWhat};

/// Returns the keys that a new, changed or vanished file touches.
///
/// Driving files touch their own keys; looked-up files touch only the keys they match; a file whose start releases
/// older ones of its series, by `not_newest` or by reaching past a cell's end, touches the keys of those.
pub fn touched(flow: &Flow, file: &FileFact, facts: &dyn Facts) -> BTreeSet<KeyId> {
    let mut keys = BTreeSet::new();
    for step in flow.steps.values() {
        if takes_at(step, file) {
            keys.extend(keys_of_file(step, file));
            if let crate::Complete::Each { covered_past_end: true, .. } = step.complete {
                keys.extend(cells_before(step, file));
            }
        }
        for with in step.with.values() {
            if let WithWhat::Product { product, from, on } = &with.what
                && *product == file.product
            {
                for at in &step.at {
                    let here = if from.is_empty() { *at == file.station } else { from.contains(&file.station) };
                    if here {
                        keys.extend(keys_looking_up(flow, step, at, on, file, facts));
                    }
                }
            }
        }
        // An output that was removed, came back or was changed touches the key that made it.
        let makes = step.makes.iter().any(|make| make.product == file.product) || step.to.contains(&file.station);
        if makes && let Some((name, text)) = facts.made_by(&file.station, &file.path) && name == step.name {
            keys.extend(facts.key_named(&step.name, &text));
        }
    }
    let waiting: Vec<KeyId> = keys.iter().cloned().collect();
    for key in waiting {
        keys.extend(following(flow, &key, file));
    }
    keys
}

/// Returns the held files of the same series that this file's start may release (`not_newest`).
pub fn released<'a>(flow: &'a Flow, file: &'a FileFact) -> Option<Vec<(&'a str, &'a Value)>> {
    let product = flow.products.get(&file.product)?;
    product.ready.not_newest.as_ref()?;
    Some(series_of(product, &file.fields))
}

fn takes_at(step: &Step, file: &FileFact) -> bool {
    step.takes.contains(&file.product) && step.at.iter().any(|at| step.sources(at).contains(&file.station.as_str()))
}

/// Returns the keys that a driving file belongs to.
pub(crate) fn keys_of_file(step: &Step, file: &FileFact) -> Vec<KeyId> {
    let mut keys = Vec::new();
    for at in step.at.iter().filter(|at| step.sources(at).contains(&file.station.as_str())) {
        for each in products_of(&step.each) {
            match &step.per {
                None => keys.push(KeyId::of_file(&step.name, at, file, each)),
                Some(per) => {
                    let mut fields = each;
                    let mut all = true;
                    for name in &per.fields {
                        match file.fields.get(name) {
                            Some(value) => _ = fields.insert(name.clone(), value.clone()),
                            None => all = false,
                        }
                    }
                    if !all {
                        continue;
                    }
                    let cells: Vec<Option<TimeRange>> = match (&per.grid, file.coverage) {
                        (None, _) => vec![None],
                        (Some(_), None) => Vec::new(),
                        (Some(grid), Some(coverage)) if step.by_start || per.grid_field.is_some() => {
                            vec![Some(grid.cell_at(coverage.start))]
                        }
                        (Some(grid), Some(coverage)) => grid.cells_overlapping(coverage, 10_000).into_iter().map(Some).collect(),
                    };
                    for cell in cells {
                        keys.push(KeyId { step: step.name.clone(), station: at.clone(), cell, fields: fields.clone(), driving: None });
                    }
                }
            }
        }
    }
    keys
}

/// Returns every combination of the values of `each`.
pub(crate) fn products_of(each: &std::collections::BTreeMap<String, Vec<Value>>) -> Vec<Fields> {
    let mut all = vec![Fields::new()];
    for (name, values) in each {
        all = all
            .into_iter()
            .flat_map(|fields| {
                values.iter().map(move |value| {
                    let mut fields = fields.clone();
                    fields.insert(name.clone(), value.clone());
                    fields
                })
            })
            .collect();
    }
    all
}

/// Returns the keys to look at again after a run of `key` ended: itself, and those that stand behind it.
pub fn touched_by_run(flow: &Flow, key: &KeyId, driving: &[FileFact]) -> BTreeSet<KeyId> {
    let mut keys = BTreeSet::from([key.clone()]);
    for file in driving {
        keys.extend(following(flow, key, file));
    }
    keys
}

// The cells before a file's start that its series now reaches past.
fn cells_before(step: &Step, file: &FileFact) -> Vec<KeyId> {
    let (Some(per), Some(coverage)) = (&step.per, file.coverage) else { return Vec::new() };
    let Some(grid) = &per.grid else { return Vec::new() };
    let before = grid.cell_at(coverage.start).start;
    let Ok(instant) = before.checked_sub(jiff::SignedDuration::from_nanos(1)) else { return Vec::new() };
    let mut earlier = file.clone();
    earlier.coverage = Some(TimeRange::new(instant, instant));
    keys_of_file(step, &earlier)
}

fn keys_looking_up(
    flow: &Flow,
    step: &Step,
    at: &str,
    on: &Match,
    file: &FileFact,
    facts: &dyn Facts,
) -> Vec<KeyId> {
    let wanted: Vec<(&str, &Value)> = match on {
        Match::Fields(names) => names.iter().filter_map(|name| Some((name.as_str(), file.fields.get(name)?))).collect(),
        Match::Computed(_) | Match::Overlap | Match::Newest => Vec::new(),
    };
    let overlapping = match on {
        Match::Overlap => file.coverage,
        // Fields that are also times narrow the search to the same moment.
        Match::Fields(_) => file.coverage.filter(|_| wanted.iter().any(|(name, _)| {
            flow.products.get(&file.product).is_some_and(|product| product.time_field.as_deref() == Some(*name))
        })),
        Match::Computed(_) => None,
        // A newer one later does not remake what was made with an older one: only open keys look again.
        Match::Newest => return facts.open_keys(&step.name).into_iter().filter(|key| key.station == at).collect(),
    };
    let mut keys = Vec::new();
    for product in &step.takes {
        for station in step.sources(at) {
            let fields = wanted
                .iter()
                .copied()
                .filter(|(name, _)| flow.products.get(product).is_some_and(|product| product.types.contains_key(*name)))
                .collect();
            let query = FileQuery { station: Some(station), product, fields, overlapping };
            for driving in facts.files(&query) {
                keys.extend(keys_of_file(step, &driving).into_iter().filter(|key| key.station == at));
            }
        }
    }
    // A cell can be known from the looked-up file alone, before any driving file is there.
    if let Some(per) = &step.per
        && per.fields.iter().all(|name| file.fields.contains_key(name))
        && per.grid.is_some()
        && file.coverage.is_some()
    {
        let mut like = file.clone();
        like.station = step.sources(at).first().map(|s| (*s).to_owned()).unwrap_or_default();
        keys.extend(keys_of_file(step, &like).into_iter().filter(|key| key.station == at));
    }
    keys
}

// Steps that come `after` or need another one for the same driving file are looked at again when that one moves.
fn following(flow: &Flow, key: &KeyId, file: &FileFact) -> Vec<KeyId> {
    flow.steps
        .values()
        .filter(|step| step.needs.contains(&key.step) || step.after.contains(&key.step))
        .filter(|step| step.takes.contains(&file.product))
        .flat_map(|step| keys_of_file(step, file))
        .collect()
}
