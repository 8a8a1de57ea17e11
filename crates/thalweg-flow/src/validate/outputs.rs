//! Whether the paths of a step's outputs can be formed from its keys.

use std::collections::BTreeSet;

use crate::diagnostic::Problem;
use crate::model::{Flow, Product, Step, Verb};
use crate::parse::field_span;
use crate::reader::Reader;

/// Checks one step.
pub(super) fn check(reader: &mut Reader<'_>, flow: &Flow, step: &Step) {
    if matches!(step.does, Verb::Send | Verb::Fetch)
        || !super::is_whole(reader, flow, step)
        || !super::is_read(reader, step)
    {
        return;
    }
    let stations = if step.to.is_empty() { &step.at } else { &step.to };
    for (n, make) in step.makes.iter().enumerate().filter(|(_, make)| !make.many) {
        let Some(product) = flow.products.get(&make.product) else { continue };
        let known = Known::of(flow, step, product);
        // Members of a family share patterns: each text is judged once.
        let mut seen = BTreeSet::new();
        for station in stations {
            let pattern = product.pattern_at(station);
            if !seen.insert(pattern.as_str()) {
                continue;
            }
            let optional: BTreeSet<String> =
                pattern.base_fields().into_iter().filter(|field| field.optional).map(|field| field.name).collect();
            for field in pattern.uses().into_iter().filter(|field| !optional.contains(field)) {
                if !known.certain.contains(field.as_str()) {
                    missing(reader, flow, step, product, &field, n, station, &known);
                }
            }
            if pattern.uses_file_name() && step.per.is_some() {
                let span = reader.span_of(&format!("steps.{}.makes.{n}", step.name));
                reader.problem(
                    Problem::error(
                        "no-name",
                        span,
                        format!(
                            "`{}` takes its name from the input, and a key of `{}` has many",
                            product.name, step.name
                        ),
                    )
                    .label("{file} of which input?")
                    .help(format!("write the name out in products.{}.path", product.name)),
                );
            }
        }
    }
}

/// What is known about the fields of an output.
struct Known {
    /// Fields that every key has.
    certain: BTreeSet<String>,
    /// Fields that all driving files have but in which those of one key may differ.
    perhaps: BTreeSet<String>,
}

impl Known {
    fn of(flow: &Flow, step: &Step, product: &Product) -> Self {
        let driving = super::driving(flow, step);
        let mut shared: Option<BTreeSet<String>> = None;
        for product in &driving {
            let fields: BTreeSet<String> = super::fields_of(product).into_iter().map(str::to_owned).collect();
            shared = Some(shared.map_or(fields.clone(), |shared| shared.intersection(&fields).cloned().collect()));
        }
        let shared = shared.unwrap_or_default();
        let mut certain: BTreeSet<String> = step.each.keys().cloned().collect();
        // What a family's member is stands in its station, not in its files, and is no field of them.
        let timed = match &step.per {
            Some(per) => {
                certain.extend(per.fields.iter().cloned());
                certain.extend(per.grid_field.clone());
                per.grid.is_some()
            }
            None => {
                certain.extend(shared.iter().cloned());
                driving.is_empty()
                    || driving.iter().all(|product| product.time_field.is_some() || product.covers_content)
            }
        };
        if timed {
            certain.extend(product.time_field.clone());
        }
        certain.extend(product.version.clone());
        certain.extend(product.labels.iter().cloned());
        Self { certain, perhaps: shared }
    }
}

#[expect(clippy::too_many_arguments, reason = "one message, told with all that it needs")]
fn missing(
    reader: &mut Reader<'_>,
    flow: &Flow,
    step: &Step,
    product: &Product,
    field: &str,
    n: usize,
    station: &str,
    known: &Known,
) {
    let span = reader.span_of(&format!("steps.{}.makes.{n}", step.name));
    let at = format!("products.{}.path_at.{station}", product.name);
    let pattern = reader.spot(&at).or_else(|| reader.spot(&format!("products.{}.path", product.name))).cloned();
    let message =
        format!("the path of `{}` needs `{field}`, which the keys of `{}` do not have", product.name, step.name);
    let mut problem = if step.per.is_some() && known.perhaps.contains(field) {
        Problem::warning(
            "may-differ",
            span,
            format!("the path of `{}` needs `{field}`, in which the files of one key may differ", product.name),
        )
        .label(format!("which `{field}`?"))
        .help(format!("add it to the key: per = [\"{field}\", …]; as it stands, keys whose files differ in it fail"))
    } else {
        let lacking: Vec<&str> = super::driving(flow, step)
            .into_iter()
            .filter(|driving| !super::fields_of(driving).contains(field))
            .map(|product| product.name.as_str())
            .collect();
        let help = match (lacking.first(), step.per.is_some()) {
            (None, _) => format!(
                "give its values with each = {{ {field} = [\"…\"] }}, or say {{ product = \"{}\", many = true }} and let the verb name its files",
                product.name
            ),
            (Some(lacking), _) => format!(
                "`{lacking}` has no `{field}`: add it to its path or to its `reads`, give values with each = {{ {field} = [\"…\"] }}, or say {{ product = \"{}\", many = true }} and let the verb name its files",
                product.name
            ),
        };
        Problem::error("missing-field", span, message).label("its path cannot be formed").help(help)
    };
    if let Some(pattern) = pattern {
        problem = problem.also(field_span(&pattern, field), "needed here");
    }
    reader.problem(problem);
}
