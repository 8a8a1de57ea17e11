//! Which files belong to a key.

use std::collections::BTreeMap;

use thalweg_core::pattern::time_of;
use thalweg_core::{ContentHash, Value};

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
        match kept.iter_mut().find(|other| other.product == file.product && other.identity == file.identity && other.station == file.station) {
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
    let names = Names { flow, key: Some(key), driving: &gathered.driving, roles: &gathered.roles, now: facts.now() };
    let wanted: Vec<(String, Value)> = match on {
        Match::Fields(fields) => fields
            .iter()
            .filter_map(|name| Some((name.clone(), value_of_key(flow, key, &gathered.driving, product, name)?)))
            .collect(),
        Match::Computed(exprs) => exprs
            .iter()
            .filter_map(|(name, expr)| Some((name.clone(), expr.value(&names).ok()??)))
            .collect(),
        Match::Overlap | Match::Newest => Vec::new(),
    };
    let complete = match on {
        Match::Fields(fields) => wanted.len() == fields.len(),
        Match::Computed(exprs) => wanted.len() == exprs.len(),
        _ => true,
    };
    if !complete {
        return Vec::new();
    }
    let span = key.cell.or_else(|| super::evaluate::span_of(&gathered.driving));
    let overlapping = if matches!(on, Match::Overlap) { span } else { None };
    if matches!(on, Match::Overlap) && overlapping.is_none() {
        return Vec::new();
    }
    let mut files = Vec::new();
    for station in stations {
        let query = FileQuery {
            station: Some(station),
            product: &product.name,
            fields: wanted.iter().map(|(name, value)| (name.as_str(), value)).collect(),
            overlapping,
        };
        files.extend(facts.files(&query));
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

// The value of a key's field as a field of `product`: a field of the key or of its driving files, or the start of
// the cell where `product` knows the time by that name.
fn value_of_key(flow: &Flow, key: &KeyId, driving: &[FileFact], product: &Product, name: &str) -> Option<Value> {
    if let Some(value) = key.fields.get(name) {
        return Some(value.clone());
    }
    if let Some(value) = driving.first().and_then(|file| file.fields.get(name)) {
        return Some(value.clone());
    }
    let kind = product.types.get(name)?;
    let start = key.cell?.start;
    let _ = flow;
    kind.is_time().then(|| value_at(kind, start)).flatten().filter(|value| time_of(kind, value) == Some(start))
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
