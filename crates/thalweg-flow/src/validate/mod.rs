//! What concerns several parts of a flow at once: places that lie in each other, steps that feed themselves, paths
//! that cannot be formed, conditions over names that nothing has.
//!
//! Each check stands alone and assumes nothing of the others; what could not be read has been reported already and is
//! absent here, so absence is never reported a second time.

mod conditions;
mod cycles;
mod keys;
mod outputs;
mod overlaps;
mod verbs;

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostic::Problem;
use crate::model::{Flow, Product, Step, Verb};
use crate::parse::Draft;
use crate::reader::Reader;

/// Checks everything that the parts could not check by themselves.
pub(crate) fn validate(reader: &mut Reader<'_>, draft: &Draft) {
    let flow = &draft.flow;
    overlaps::stations(reader, draft);
    overlaps::products(reader, flow);
    overlaps::makers(reader, flow);
    cycles::check(reader, flow);
    for step in flow.step_order.iter().filter_map(|name| flow.steps.get(name)) {
        verbs::check(reader, draft, step);
        keys::check(reader, flow, step);
        outputs::check(reader, flow, step);
    }
    conditions::check(reader, draft);
    keeps(reader, flow);
    checks(reader, flow);
}

/// Returns every field that files of a product have: those of its paths and those read from the content.
pub(super) fn fields_of(product: &Product) -> BTreeSet<&str> {
    product.types.keys().chain(product.reads.keys()).map(String::as_str).collect()
}

/// Returns the driving products that could be read.
pub(super) fn driving<'a>(flow: &'a Flow, step: &Step) -> Vec<&'a Product> {
    step.takes.iter().filter_map(|name| flow.products.get(name)).collect()
}

/// Tells if all driving products could be read; else nothing is said about their fields.
pub(super) fn is_whole(reader: &Reader<'_>, flow: &Flow, step: &Step) -> bool {
    let named = (0..).take_while(|n| reader.spot(&format!("steps.{}.takes.{n}", step.name)).is_some()).count();
    let read = !step.takes.is_empty() || reader.spot(&format!("steps.{}.takes", step.name)).is_none();
    read && named == step.takes.len() && driving(flow, step).len() == step.takes.len()
}

/// Tells if the outputs, the key and its values could be read as they are given; else nothing is said about what they lack.
pub(super) fn is_read(reader: &Reader<'_>, step: &Step) -> bool {
    let given = |key: &str| reader.spot(&format!("steps.{}.{key}", step.name)).is_some();
    let makes = !given("makes.unread") && (!step.makes.is_empty() || !given("makes"));
    makes && (step.per.is_some() || !given("per")) && (!step.each.is_empty() || !given("each"))
}

/// Returns the stations at which each product is met: where a step takes it, makes it or brings it.
pub fn presence(flow: &Flow) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut at: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for step in flow.steps.values() {
        for product in &step.takes {
            let places = at.entry(product).or_default();
            if step.from.is_empty() || matches!(step.does, Verb::Fetch) {
                places.extend(step.at.iter().map(String::as_str));
            }
            places.extend(step.from.iter().map(String::as_str));
            if matches!(step.does, Verb::Send) {
                places.extend(step.to.iter().map(String::as_str));
            }
        }
        for make in &step.makes {
            let stations = if step.to.is_empty() { &step.at } else { &step.to };
            at.entry(&make.product).or_default().extend(stations.iter().map(String::as_str));
        }
    }
    at
}

fn keeps(reader: &mut Reader<'_>, flow: &Flow) {
    let presence = presence(flow);
    for keep in flow.keeps.values() {
        let place = format!("keeps.{}", keep.name);
        let products: Vec<&Product> = keep.products.iter().filter_map(|name| flow.products.get(name)).collect();
        if keep.only_if.is_empty() && reader.spot(&format!("{place}.only_if.0")).is_none() {
            let safe = keep
                .at
                .iter()
                .filter_map(|name| flow.stations.get(name))
                .all(|station| station.scratch || station.dropbox);
            if !safe && !keep.at.is_empty() {
                let example = presence
                    .iter()
                    .filter(|(product, _)| keep.products.iter().any(|name| name == *product))
                    .flat_map(|(_, stations)| stations.iter())
                    .find(|station| !keep.at.iter().any(|at| at == *station));
                let help = example.map_or("add only_if = \"2 copies elsewhere\"".to_owned(), |station| {
                    format!("add only_if = \"receipted at {station}\"")
                });
                reader.problem(
                    Problem::warning(
                        "unproven",
                        reader.span_of(&place),
                        format!("`{}` deletes without proof of a copy elsewhere", keep.name),
                    )
                    .label("no `only_if`")
                    .help(format!("{help}; leave it so only if these files may be lost")),
                );
            }
        }
        for station in keep.at.iter().filter_map(|name| flow.stations.get(name)).filter(|station| station.read_only) {
            reader.problem(
                Problem::error(
                    "read-only",
                    reader.span_of(&format!("{place}.at")),
                    format!("nothing is deleted at `{}`", station.name),
                )
                .label("this station is read_only")
                .help("remove the keep, or read_only from the station"),
            );
        }
        if let Some(newest) = &keep.keep_newest {
            for (n, field) in newest.per.iter().enumerate() {
                check_field(reader, &products, field, &format!("{place}.keep_newest.per.{n}"));
            }
        }
    }
}

fn checks(reader: &mut Reader<'_>, flow: &Flow) {
    use crate::model::CheckWhat;
    for check in flow.checks.values() {
        let products: Vec<&Product> = match &check.what {
            CheckWhat::Latency(product) => flow.products.get(product).into_iter().collect(),
            CheckWhat::LastSuccess(step) | CheckWhat::Failing(step) | CheckWhat::Queue(step) => {
                flow.steps.get(step).map_or(Vec::new(), |step| driving(flow, step))
            }
            CheckWhat::Free(_) | CheckWhat::Silent(_) => Vec::new(),
        };
        if products.is_empty() {
            continue;
        }
        for (n, field) in check.per.iter().enumerate() {
            check_field(reader, &products, field, &format!("checks.{}.per.{n}", check.name));
        }
    }
}

/// Reports a field that none of the products has.
pub(super) fn check_field(reader: &mut Reader<'_>, products: &[&Product], field: &str, place: &str) {
    if products.is_empty() || products.iter().any(|product| fields_of(product).contains(field)) {
        return;
    }
    let known: BTreeSet<&str> = products.iter().flat_map(|product| fields_of(product)).collect();
    let known: Vec<&str> = known.into_iter().collect();
    let of = match products {
        [one] => format!("`{}`", one.name),
        _ => products.iter().map(|product| format!("`{}`", product.name)).collect::<Vec<_>>().join(" or "),
    };
    reader.unknown_field(reader.span_of(place), field, &known, &of);
}
