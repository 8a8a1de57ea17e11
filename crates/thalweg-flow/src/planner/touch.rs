//! Which keys a change touches.

use std::collections::{BTreeMap, BTreeSet};

use thalweg_core::pattern::time_of;
use thalweg_core::{Fields, TimeRange, Value};

use super::family::series_of;
use super::{Contribution, Facts, FileFact, FileQuery, FileState, KeyId};
use crate::{Complete, Flow, Late, Match, Step, With, WithWhat};

/// Returns the keys that a new, changed or vanished file touches.
///
/// Driving files touch their own keys; looked-up files touch only the keys they match; a file whose start releases
/// older ones of its series, by `not_newest` or by reaching past a cell's end, touches the keys of those.
pub fn touched(flow: &Flow, file: &FileFact, facts: &dyn Facts) -> BTreeSet<KeyId> {
    let mut keys = BTreeSet::new();
    touched_alone(flow, file, facts, &mut keys);
    for held in held_before(flow, file, facts) {
        touched_alone(flow, &held, facts, &mut keys);
    }
    let mut open: Vec<KeyId> = keys.iter().cloned().collect();
    while let Some(key) = open.pop() {
        let Some(step) = flow.steps.get(&key.step).filter(|_| is_followed(flow, &key.step)) else { continue };
        for file in super::gather::gather(flow, step, &key, facts).driving {
            open.extend(following(flow, &key, &file).into_iter().filter(|next| keys.insert(next.clone())));
        }
    }
    keys
}

fn touched_alone(flow: &Flow, file: &FileFact, facts: &dyn Facts, keys: &mut BTreeSet<KeyId>) {
    // A file whose coverage may have changed may have left cells: those made from it, and those that are open.
    let moves = flow.products.get(&file.product).is_some_and(|product| product.covers_content || product.until_next);
    if moves {
        keys.extend(facts.users(&file.product, &file.identity));
    }
    for step in flow.steps.values() {
        if step.takes_from(&file.station, &file.product) {
            if moves && step.per.is_some() {
                let sources = |key: &KeyId| step.sources(&key.station).contains(&file.station.as_str());
                keys.extend(facts.open_keys(&step.name).into_iter().filter(sources));
            }
            keys.extend(believed_keys_of_file(flow, step, file, facts));
            if let Complete::Each { each, covered_past_end: true, .. } = &step.complete {
                keys.extend(cells_before(flow, step, each, file, facts));
            }
        }
        for with in step.with.values() {
            if let WithWhat::Product { product, from, on } = &with.what
                && *product == file.product
            {
                for at in &step.at {
                    let here = if from.is_empty() { *at == file.station } else { from.contains(&file.station) };
                    if here {
                        keys.extend(keys_looking_up(flow, step, at, with, on, file, facts));
                    }
                }
            }
        }
        // An output that was removed, came back or was changed touches the key that made it.
        let makes = step.makes.iter().any(|make| make.product == file.product);
        let brings =
            (step.to.contains(&file.station) || step.at.contains(&file.station)) && step.takes.contains(&file.product);
        if (makes || brings)
            && let Some((name, text)) = facts.made_by(&file.station, &file.path)
            && name == step.name
        {
            keys.extend(facts.key_named(&step.name, &text));
        }
        // And all whose parts are in it.
        if makes
            && step.updates()
            && let Some(hash) = &file.hash
        {
            contributors(step, &facts.contributions(&file.product, &file.identity, hash), facts, keys);
        }
        // And those whose parts were in it once and wait to be worked in again.
        if makes && step.updates() {
            keys.extend(facts.users(&file.product, &file.identity).into_iter().filter(|key| key.step == step.name));
            // What is to be built afresh may need it, too.
            if !file.is_usable() {
                keys.extend(facts.open_keys(&step.name));
            }
        }
        // A part that is revoked must go out of what holds it, and that concerns all whose parts are in there; what is to
        // be built afresh may need any part that changed.
        if step.updates() && step.takes_from(&file.station, &file.product) {
            let mut open: Vec<KeyId> =
                keys_of_file(step, file).into_iter().filter(|key| facts.last_done(key).is_some()).collect();
            if !open.is_empty() {
                keys.extend(facts.open_keys(&step.name));
            }
            while let Some(key) = open.pop() {
                let mut beside = BTreeSet::new();
                for left in facts.last_done(&key).into_iter().flat_map(|last| last.outputs) {
                    let versions = facts.files_of(&left.station, &left.product, &left.identity);
                    let hashes: BTreeSet<_> =
                        versions.iter().filter_map(|version| version.hash).chain([left.hash]).collect();
                    for hash in hashes {
                        contributors(
                            step,
                            &facts.contributions(&left.product, &left.identity, &hash),
                            facts,
                            &mut beside,
                        );
                    }
                }
                for key in beside {
                    let new = keys.insert(key.clone());
                    // A build afresh may have taken it into outputs of those beside it: what is revoked is looked for there.
                    if new && file.is_revoked() {
                        open.push(key);
                    }
                }
            }
        }
    }
}

fn contributors(step: &Step, parts: &[Contribution], facts: &dyn Facts, keys: &mut BTreeSet<KeyId>) {
    let own = parts.iter().filter(|part| part.step == step.name);
    keys.extend(own.filter_map(|part| facts.key_named(&step.name, &part.key)));
}

// The files that are held as the newest of their series until one starts later: this one may do so, or may have done
// so and be gone now.
fn held_before(flow: &Flow, file: &FileFact, facts: &dyn Facts) -> Vec<FileFact> {
    let (Some(product), Some(coverage)) = (flow.products.get(&file.product), file.coverage) else { return Vec::new() };
    let Some(series) = released(flow, file) else { return Vec::new() };
    if super::suspect(product, Some(coverage.start), facts.now()).is_some() {
        return Vec::new();
    }
    let Ok(before) = coverage.start.checked_sub(jiff::SignedDuration::from_nanos(1)) else { return Vec::new() };
    let Some(start) = facts.newest_start(&file.station, &file.product, &series, before) else { return Vec::new() };
    let query = FileQuery {
        station: Some(&file.station),
        product: &file.product,
        fields: series,
        overlapping: Some(TimeRange::new(start, start)),
    };
    let mut files = facts.files(&query);
    files.retain(|other| other.state == FileState::Settling && other.coverage.is_some_and(|c| c.start == start));
    files
}

/// Returns the held files of the same series that this file's start may release (`not_newest`).
pub fn released<'a>(flow: &'a Flow, file: &'a FileFact) -> Option<Vec<(&'a str, &'a Value)>> {
    let product = flow.products.get(&file.product)?;
    product.ready.not_newest.as_ref()?;
    Some(series_of(product, &file.fields))
}

/// Returns the keys that a driving file belongs to; one whose time cannot be believed lies in no cell.
pub(crate) fn believed_keys_of_file(flow: &Flow, step: &Step, file: &FileFact, facts: &dyn Facts) -> Vec<KeyId> {
    let start = file.coverage.map(|coverage| coverage.start);
    let suspect = || flow.products.get(&file.product).and_then(|product| super::suspect(product, start, facts.now()));
    if step.per.is_some() && suspect().is_some() { Vec::new() } else { keys_of_file(step, file) }
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
                        (Some(grid), Some(coverage)) => {
                            grid.cells_overlapping(coverage, 10_000).into_iter().map(Some).collect()
                        }
                    };
                    for cell in cells {
                        keys.push(KeyId {
                            step: step.name.clone(),
                            station: at.clone(),
                            cell,
                            fields: fields.clone(),
                            driving: None,
                        });
                    }
                }
            }
        }
    }
    keys
}

/// Returns every combination of the values of `each`.
pub(crate) fn products_of(each: &BTreeMap<String, Vec<Value>>) -> Vec<Fields> {
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
    let mut open = vec![key.clone()];
    while let Some(key) = open.pop() {
        for file in driving {
            open.extend(following(flow, &key, file).into_iter().filter(|next| keys.insert(next.clone())));
        }
    }
    keys
}

// The cells before a file's start that its series now reaches past: the open ones, with a gap before it any of them,
// and those in which the series broke off, which may have been made without more.
fn cells_before(
    flow: &Flow,
    step: &Step,
    each: &BTreeMap<String, Vec<Value>>,
    file: &FileFact,
    facts: &dyn Facts,
) -> Vec<KeyId> {
    let Some(coverage) = file.coverage else { return Vec::new() };
    let mut broken_off = Vec::new();
    let before = coverage.start.checked_sub(jiff::SignedDuration::from_nanos(1));
    for (name, value) in each.keys().filter_map(|name| file.fields.get_key_value(name)) {
        let series = [(name.as_str(), value)];
        let newest =
            before.as_ref().ok().and_then(|before| facts.newest_start(&file.station, &file.product, &series, *before));
        let Some(start) = newest else { continue };
        let query = FileQuery {
            station: Some(&file.station),
            product: &file.product,
            fields: series.to_vec(),
            overlapping: Some(TimeRange::new(start, start)),
        };
        for other in facts.files(&query) {
            broken_off.extend(believed_keys_of_file(flow, step, &other, facts));
        }
    }
    let mut keys = facts.open_keys(&step.name);
    keys.retain(|key| {
        key.cell.is_some_and(|cell| cell.end <= coverage.start)
            && step.sources(&key.station).contains(&file.station.as_str())
    });
    keys.extend(broken_off);
    keys
}

fn keys_looking_up(
    flow: &Flow,
    step: &Step,
    at: &str,
    with: &With,
    on: &Match,
    file: &FileFact,
    facts: &dyn Facts,
) -> Vec<KeyId> {
    let of_station = |keys: Vec<KeyId>| keys.into_iter().filter(|key| key.station == at);
    let Some(product) = flow.products.get(&file.product) else { return Vec::new() };
    let grid = step.per.as_ref().and_then(|per| per.grid.as_ref());
    let cells = |range: TimeRange| match grid {
        Some(grid) => TimeRange::new(grid.cell_at(range.start).start, grid.cell_at(range.end).end),
        None => range,
    };
    let mut wanted: Vec<(&str, &Value)> = Vec::new();
    let mut overlapping = None;
    let mut timed = false;
    match on {
        // A newer one later does not remake what was made with an older one: only open keys look again.
        Match::Newest if with.late == Late::Ignore => return of_station(facts.open_keys(&step.name)).collect(),
        Match::Newest => {
            return of_station(super::keys::keys_of_step(flow, step, None, facts).into_iter().collect()).collect();
        }
        Match::Overlap => {
            let Some(coverage) = file.coverage else { return Vec::new() };
            overlapping = Some(cells(coverage));
            timed = true;
        }
        Match::Fields(names) => {
            for name in names {
                let Some(value) = file.fields.get(name) else { return Vec::new() };
                let time = product.types.get(name).and_then(|kind| time_of(kind, value));
                timed |= time.is_some();
                match time {
                    // Equal to the start of the key's cell, whatever its driving files are called.
                    Some(time) if grid.is_some() => overlapping = Some(cells(TimeRange::new(time, time))),
                    _ => wanted.push((name, value)),
                }
                if grid.is_none() && product.time_field.as_ref() == Some(name) {
                    overlapping = file.coverage;
                }
            }
        }
        // A field that is simply equal narrows the search; the rest is computed for each key.
        Match::Computed(exprs) => {
            wanted.extend(exprs.iter().filter_map(|(name, expr)| {
                let [only] = expr.names().try_into().ok()?;
                let plain = only.to_string() == expr.as_str().trim() && !only.is_param();
                let value = file.fields.get(name)?;
                let known = step
                    .takes
                    .iter()
                    .all(|p| flow.products.get(p).is_some_and(|p| p.types.contains_key(expr.as_str().trim())));
                Some((expr.as_str().trim(), value)).filter(|_| plain && known)
            }));
        }
    }
    let mut keys = BTreeSet::new();
    for takes in &step.takes {
        let has = |name: &str| {
            flow.products.get(takes).is_some_and(|p| p.types.contains_key(name) || p.reads.contains_key(name))
        };
        let fields: Vec<_> = wanted.iter().copied().filter(|(name, _)| has(name)).collect();
        for station in step.sources(at) {
            let query = FileQuery { station: Some(station), product: takes, fields: fields.clone(), overlapping };
            for driving in facts.files(&query) {
                keys.extend(of_station(believed_keys_of_file(flow, step, &driving, facts)));
            }
        }
    }
    // A cell can be known from the looked-up file alone, before any driving file is there.
    if let Some(per) = &step.per
        && timed
        && grid.is_some()
        && per.fields.iter().all(|name| file.fields.contains_key(name))
        && let Some(source) = step.sources(at).first()
    {
        let like = FileFact { station: (*source).to_owned(), ..file.clone() };
        keys.extend(of_station(believed_keys_of_file(flow, step, &like, facts)));
    }
    if matches!(on, Match::Computed(_)) {
        keys.retain(|key| {
            let gathered = super::gather::gather(flow, step, key, facts);
            gathered.roles.values().flatten().any(|other| other.station == file.station && other.path == file.path)
        });
    }
    keys.into_iter()
        .filter(|key| overlapping.is_none_or(|range| key.cell.is_none_or(|cell| cell.overlaps(&range))))
        .collect()
}

fn is_followed(flow: &Flow, name: &str) -> bool {
    let names = |list: &[String]| list.iter().any(|other| other == name);
    flow.steps.values().any(|step| names(&step.needs) || names(&step.after))
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
