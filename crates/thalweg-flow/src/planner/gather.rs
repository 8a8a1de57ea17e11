//! Which files belong to a key.

use std::collections::BTreeMap;

use thalweg_core::pattern::time_of;
use thalweg_core::{ContentHash, TimeRange, Value};

use super::verdict::Names;
use super::{Facts, FileFact, FileQuery, KeyId};
use crate::{Flow, Match, Product, Step, WithWhat};

/// The files of a key, by role, in every state that matters.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    /// The driving files, in order of start and path.
    pub(crate) driving: Vec<FileFact>,
    /// Looked-up files by role.
    pub(crate) roles: BTreeMap<String, Vec<FileFact>>,
    /// Settings files by role: path and digest.
    pub(crate) settings: BTreeMap<String, (String, Option<ContentHash>)>,
}

/// Collects the files of a key.
pub(crate) fn gather(flow: &Flow, step: &Step, key: &KeyId, facts: &dyn Facts) -> Gathered {
    let mut driving = Vec::new();
    for station in step.sources(&key.station) {
        match &key.driving {
            Some((product, identity)) => {
                driving.extend(newest_version(flow, facts.files_of(station, product, identity)));
            }
            None => {
                for product in step.takes.iter().filter_map(|name| flow.products.get(name)) {
                    driving.extend(of_cell(flow, step, key, product, station, facts));
                }
            }
        }
    }
    if key.driving.is_some() {
        driving = of_best_station(driving);
    }
    driving.sort_by(|a, b| (a.coverage, &a.path).cmp(&(b.coverage, &b.path)));
    let mut gathered = Gathered { driving, ..Gathered::default() };
    for (role, with) in &step.with {
        match &with.what {
            WithWhat::File(template) => {
                let path = fill_file_template(template, key, &gathered.driving);
                let hash = facts.settings_file(&path);
                gathered.settings.insert(role.clone(), (path, hash));
            }
            WithWhat::Product { product, from, on } => {
                let files = flow
                    .products
                    .get(product)
                    .map(|product| of_role(flow, key, &gathered, product, from, on, facts))
                    .unwrap_or_default();
                gathered.roles.insert(role.clone(), files);
            }
        }
    }
    gathered
}

// The same file at several sources is taken from one: where it is whole, which is where it is longest. One that was
// removed there after use still counts, so that a shorter copy elsewhere never takes its place.
fn of_best_station(files: Vec<FileFact>) -> Vec<FileFact> {
    let rank =
        |file: &FileFact| (file.is_usable() || file.was_retired(), !file.is_revoked(), file.size, file.is_usable());
    let mut best: Option<&FileFact> = None;
    for file in &files {
        if best.is_none_or(|best| rank(file) > rank(best)) {
            best = Some(file);
        }
    }
    let Some(station) = best.map(|best| best.station.clone()) else { return files };
    files.into_iter().filter(|file| file.station == station).collect()
}

fn of_cell(
    flow: &Flow,
    step: &Step,
    key: &KeyId,
    product: &Product,
    station: &str,
    facts: &dyn Facts,
) -> Vec<FileFact> {
    let per = step.per.clone().unwrap_or_default();
    let fields = per.fields.iter().filter_map(|name| key.fields.get_key_value(name));
    let query = FileQuery {
        station: Some(station),
        product: &product.name,
        fields: fields.map(|(name, value)| (name.as_str(), value)).collect(),
        overlapping: key.cell,
    };
    let mut files = facts.files(&query);
    files.retain(|file| {
        let suspect = super::suspect(product, file.coverage.map(|c| c.start), facts.now()).is_some();
        let inside = match (key.cell, file.coverage) {
            (Some(cell), Some(coverage)) => {
                let by_start = step.by_start || per.grid_field.is_some();
                if by_start { cell.contains(coverage.start) } else { cell.overlaps(&coverage) }
            }
            (Some(_), None) => false,
            (None, _) => true,
        };
        inside && !suspect
    });
    newest_version(flow, files)
}

// Of files with equal identity only the one with the highest version, and of those the last to arrive, counts.
pub(crate) fn newest_version(flow: &Flow, files: Vec<FileFact>) -> Vec<FileFact> {
    let mut kept: Vec<FileFact> = Vec::with_capacity(files.len());
    for file in files {
        let Some(product) = flow.products.get(&file.product) else { continue };
        if product.version.is_none() && product.labels.is_empty() {
            kept.push(file);
            continue;
        }
        let rank = |file: &FileFact| {
            let version = product.version.as_ref().and_then(|name| file.fields.get(name)).cloned();
            (file.is_usable(), version, file.arrived)
        };
        match kept.iter_mut().find(|other| {
            other.product == file.product && other.identity == file.identity && other.station == file.station
        }) {
            Some(other) if rank(other) < rank(&file) => *other = file,
            Some(_) => {}
            None => kept.push(file),
        }
    }
    kept
}

fn of_role(
    flow: &Flow,
    key: &KeyId,
    gathered: &Gathered,
    product: &Product,
    from: &[String],
    on: &Match,
    facts: &dyn Facts,
) -> Vec<FileFact> {
    let stations: Vec<&str> =
        if from.is_empty() { vec![key.station.as_str()] } else { from.iter().map(String::as_str).collect() };
    let wanted: Vec<Vec<(String, Value)>> = match on {
        Match::Fields(names) => wanted_fields(key, &gathered.driving, product, names),
        Match::Computed(exprs) => {
            let names =
                Names { flow, key: Some(key), driving: &gathered.driving, roles: &gathered.roles, now: facts.now() };
            let values = exprs.iter().map(|(name, expr)| Some((name.clone(), expr.value(&names).ok()??)));
            values.collect::<Option<Vec<_>>>().into_iter().collect()
        }
        Match::Overlap | Match::Newest => vec![Vec::new()],
    };
    let span = key.cell.or_else(|| super::evaluate::span_of(&gathered.driving));
    let overlapping = if matches!(on, Match::Overlap) { span } else { None };
    if matches!(on, Match::Overlap) && overlapping.is_none() {
        return Vec::new();
    }
    let mut files = Vec::new();
    for station in stations {
        for fields in &wanted {
            let query = FileQuery {
                station: Some(station),
                product: &product.name,
                fields: fields.iter().map(|(name, value)| (name.as_str(), value)).collect(),
                overlapping: overlapping.or_else(|| named_start(product, fields)),
            };
            files.extend(facts.files(&query));
        }
    }
    files.retain(|file| super::suspect(product, file.coverage.map(|c| c.start), facts.now()).is_none());
    let mut files = newest_version(flow, files);
    if matches!(on, Match::Newest) {
        files.retain(FileFact::is_usable);
        files.sort_by(|a, b| (a.coverage.map(|c| c.start), a.arrived).cmp(&(b.coverage.map(|c| c.start), b.arrived)));
        files = files.pop().into_iter().collect();
    }
    files
}

// The start that wanted fields say: it narrows the search where coverage starts as the name says.
fn named_start(product: &Product, fields: &[(String, Value)]) -> Option<TimeRange> {
    let name = product.time_field.as_ref().filter(|_| !product.covers_content)?;
    let (_, value) = fields.iter().find(|(field, _)| field == name)?;
    let start = time_of(product.types.get(name)?, value)?;
    Some(TimeRange::new(start, start))
}

// The values that files of `product` must have in these fields to belong to the key: those of the key, the start of its
// cell where `product` knows the time by that name, or those of its driving files; where these differ, each of them.
fn wanted_fields(key: &KeyId, driving: &[FileFact], product: &Product, names: &[String]) -> Vec<Vec<(String, Value)>> {
    let of_key = |name: &String| {
        let kind = product.types.get(name);
        let of_cell = || {
            let kind = kind?;
            let start = key.cell?.start;
            value_at(kind, start).filter(|value| time_of(kind, value) == Some(start))
        };
        key.fields.get(name).cloned().or_else(of_cell)
    };
    let mut all: Vec<Vec<(String, Value)>> = Vec::new();
    let of_file = |file: Option<&FileFact>| {
        let value = |name: &String| of_key(name).or_else(|| file?.fields.get(name).cloned());
        names.iter().map(|name| Some((name.clone(), value(name)?))).collect::<Option<Vec<_>>>()
    };
    let files = driving.iter().filter(|file| !file.is_revoked()).map(Some);
    for wanted in files.chain(driving.is_empty().then_some(None)).filter_map(of_file) {
        if !all.contains(&wanted) {
            all.push(wanted);
        }
    }
    all
}

/// Returns an instant as a value of a time-like field type.
pub(crate) fn value_at(kind: &thalweg_core::pattern::FieldType, at: thalweg_core::Timestamp) -> Option<Value> {
    use thalweg_core::pattern::FieldType;
    use thalweg_core::time::{gps_from_utc, seconds_since};
    match kind {
        FieldType::Time { .. } => Some(Value::Time(at)),
        FieldType::Unix { .. } => Some(Value::Int(at.as_second())),
        FieldType::Gps { .. } => Some(Value::Int(gps_from_utc(at).seconds())),
        FieldType::Since { base, .. } => Some(Value::Int(seconds_since(*base, at))),
        _ => None,
    }
}

/// Fills the fields of a settings file's name.
pub(crate) fn fill_file_template(template: &str, key: &KeyId, driving: &[FileFact]) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        let Some(close) = rest[open..].find('}') else { break };
        text.push_str(&rest[..open]);
        let name = &rest[open + 1..open + close];
        let value = key.fields.get(name).or_else(|| driving.first().and_then(|file| file.fields.get(name)));
        if let Some(value) = value {
            text.push_str(&value.to_string());
        }
        rest = &rest[open + close + 1..];
    }
    text.push_str(rest);
    text
}
