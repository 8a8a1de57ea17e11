//! Where a task's outputs go.

use thalweg_core::pattern::{FieldType, PatternEnv};
use thalweg_core::{Fields, Value};

use super::evaluate::span_of;
use super::gather::{Gathered, value_at};
use super::{Facts, FileFact, KeyId, TaskOutput};
use crate::{Flow, Product, Step, Verb};

/// Returns all fields that placeholders and output patterns of a key can use: those of the key, and those in which
/// all driving files agree.
pub(crate) fn fields_of(key: &KeyId, gathered: &Gathered) -> Fields {
    let mut fields = Fields::new();
    if let Some((first, rest)) = gathered.driving.split_first() {
        for (name, value) in &first.fields {
            if rest.iter().all(|file| file.fields.get(name) == Some(value)) {
                fields.insert(name.clone(), value.clone());
            }
        }
    }
    fields.extend(key.fields.iter().map(|(name, value)| (name.clone(), value.clone())));
    fields
}

/// Returns the outputs of a key, or why their paths cannot be formed.
pub(crate) fn outputs(
    flow: &Flow,
    step: &Step,
    key: &KeyId,
    gathered: &Gathered,
    facts: &dyn Facts,
) -> Result<Vec<TaskOutput>, String> {
    let fields = fields_of(key, gathered);
    let mut outputs = Vec::new();
    let stations: Vec<&str> =
        if step.to.is_empty() { vec![key.station.as_str()] } else { step.to.iter().map(String::as_str).collect() };
    if matches!(step.does, Verb::Send | Verb::Fetch) {
        for file in &gathered.driving {
            let Some(product) = flow.products.get(&file.product) else { continue };
            for station in &stations {
                outputs.push(one(flow, product, station, &file.fields, Some(file), facts)?);
            }
        }
        return Ok(outputs);
    }
    for make in &step.makes {
        let Some(product) = flow.products.get(&make.product) else { continue };
        let mut own = fields.clone();
        complete_fields(step, key, gathered, product, &mut own);
        for station in &stations {
            if make.many {
                outputs.push(TaskOutput {
                    station: (*station).to_owned(),
                    product: product.name.clone(),
                    path: None,
                    fields: own.clone(),
                    replaces: None,
                    update: make.update,
                });
            } else {
                let mut output = one(flow, product, station, &own, gathered.driving.first(), facts)?;
                output.update = make.update;
                outputs.push(output);
            }
        }
    }
    Ok(outputs)
}

// What a cell and a step's version say about a product's fields.
fn complete_fields(step: &Step, key: &KeyId, gathered: &Gathered, product: &Product, fields: &mut Fields) {
    let start = key.cell.or_else(|| span_of(&gathered.driving)).map(|span| span.start);
    if let (Some(name), Some(start)) = (&product.time_field, start)
        && let Some(kind) = product.types.get(name)
        && (key.cell.is_some() || !fields.contains_key(name))
        && let Some(value) = value_at(kind, start)
    {
        fields.insert(name.clone(), value);
    }
    if let Some(version) = &product.version {
        fields.insert(version.clone(), Value::Int(i64::from(step.version)));
    }
    // Labels do not distinguish files: what the making step does not know stays empty.
    for label in &product.labels {
        fields.entry(label.clone()).or_insert_with(|| Value::Text(String::new()));
    }
}

fn one(
    flow: &Flow,
    product: &Product,
    station: &str,
    fields: &Fields,
    like: Option<&FileFact>,
    facts: &dyn Facts,
) -> Result<TaskOutput, String> {
    let env = PatternEnv { tables: &flow.tables };
    let fields = as_typed(product, fields);
    let path = product
        .pattern_at(station)
        .format(&fields, &env, like.map(|file| file.path.file_name()))
        .map_err(|error| format!("the path of {} at {station} cannot be formed: {error}", product.name))?;
    // Only what the flow itself put there may be replaced.
    let identity = super::identity_of_file(product, &fields);
    let own = facts.file_at(station, &path).filter(|file| {
        file.is_usable()
            && file.origin != super::Origin::Seen
            && file.product == product.name
            && file.identity == identity
    });
    let replaces = own.and_then(|file| file.hash);
    Ok(TaskOutput {
        station: station.to_owned(),
        product: product.name.clone(),
        path: Some(path),
        fields,
        replaces,
        update: false,
    })
}

// A field may be a number in one product and text in another: it is carried over as the output's own type.
fn as_typed(product: &Product, fields: &Fields) -> Fields {
    let mut typed = fields.clone();
    for (name, kind) in &product.types {
        let value = typed.get(name);
        let changed = match (kind, value) {
            (
                FieldType::Text | FieldType::Path | FieldType::Regex(_) | FieldType::Choice(_),
                Some(value @ Value::Int(_)),
            ) => Some(Value::Text(value.to_string())),
            (FieldType::Int { .. } | FieldType::Letter, Some(Value::Text(text))) => text.parse().ok().map(Value::Int),
            _ => None,
        };
        if let Some(value) = changed {
            typed.insert(name.clone(), value);
        }
    }
    typed
}
