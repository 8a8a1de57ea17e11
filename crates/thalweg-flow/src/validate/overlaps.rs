//! Places and paths that get into each other's way: stations inside stations, products that match the same path,
//! steps that make the same path.

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostic::Problem;
use crate::model::{Flow, Station, Step, Verb};
use crate::parse::Draft;
use crate::reader::Reader;

/// Reports local stations whose folders are the same or lie in each other.
pub(super) fn stations(reader: &mut Reader<'_>, draft: &Draft) {
    let families: BTreeMap<&str, &str> = draft
        .families
        .iter()
        .flat_map(|(family, members)| members.iter().map(move |member| (member.as_str(), family.as_str())))
        .collect();
    let local: Vec<&Station> = draft
        .flow
        .stations
        .values()
        .filter(|station| station.reach.is_none() && station.volume.is_none())
        .filter(|station| reader.spot(&format!("stations.{}.reach", station.name)).is_none())
        .collect();
    let family = |station: &Station| families.get(station.name.as_str()).copied();
    let declared = |station: &Station| family(station).map_or_else(|| station.name.clone(), str::to_owned);
    let split: Vec<Vec<&str>> = local.iter().map(|station| parts(&station.root)).collect();
    for (n, a) in local.iter().enumerate() {
        for (m, b) in local.iter().enumerate().skip(n + 1) {
            // Members of one family with one root stand each on a host of its own.
            if family(a).is_some() && family(a) == family(b) && a.root == b.root {
                continue;
            }
            let (first, second) = (&split[n], &split[m]);
            let shorter = first.len().min(second.len());
            if is_absolute(&a.root) != is_absolute(&b.root) || first[..shorter] != second[..shorter] {
                continue;
            }
            let (outer, inner) = if first.len() <= second.len() { (*a, *b) } else { (*b, *a) };
            let message = if first.len() == second.len() {
                format!("`{}` and `{}` are the same folder", a.name, b.name)
            } else {
                format!("`{}` lies inside `{}`", inner.name, outer.name)
            };
            let inner_span = reader.span_of(&format!("stations.{}.root", declared(inner)));
            let outer_span = reader.span_of(&format!("stations.{}.root", declared(outer)));
            reader.problem(
                Problem::error("overlapping-stations", inner_span, message)
                    .label(format!("root of `{}`", inner.name))
                    .also(outer_span, format!("root of `{}`", outer.name))
                    .help("give each station a folder of its own, beside the others: a file would be at two stations at once, and proof of a copy would be none"),
            );
        }
    }
}

fn is_absolute(root: &str) -> bool {
    root.starts_with('/') || root.starts_with('~')
}

fn parts(root: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for part in root.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            other => parts.push(other),
        }
    }
    parts
}

/// Warns of products that match the same paths at a station.
pub(super) fn products(reader: &mut Reader<'_>, flow: &Flow) {
    let presence = super::presence(flow);
    let names: Vec<&str> = flow.products.keys().map(String::as_str).collect();
    let mut seen: BTreeSet<(String, String)> = BTreeSet::new();
    for (n, first) in names.iter().enumerate() {
        for second in &names[n + 1..] {
            let (a, b) = (&flow.products[*first], &flow.products[*second]);
            let (Some(at_a), Some(at_b)) = (presence.get(first), presence.get(second)) else { continue };
            if a.otherwise || b.otherwise {
                continue;
            }
            // Many stations share the patterns: each pair of texts is looked at once.
            seen.clear();
            for station in at_a.intersection(at_b) {
                let (pattern_a, pattern_b) = (a.pattern_at(station), b.pattern_at(station));
                if pattern_a.uses_file_name()
                    || pattern_b.uses_file_name()
                    || !seen.insert((pattern_a.as_str().to_owned(), pattern_b.as_str().to_owned()))
                {
                    continue;
                }
                let Some(example) = pattern_a.overlap_example(pattern_b) else { continue };
                let (later, earlier) = if reader.span_of(&format!("products.{first}")).start
                    > reader.span_of(&format!("products.{second}")).start
                {
                    (a, b)
                } else {
                    (b, a)
                };
                let span = reader.span_of(&format!("products.{}.path", later.name));
                let other = reader.span_of(&format!("products.{}.path", earlier.name));
                reader.problem(
                    Problem::warning("overlapping-products", span, format!("`{}` and `{}` match the same paths at `{station}`", earlier.name, later.name))
                        .label(format!("matches {example}"))
                        .also(other, "and so does this")
                        .help("make the patterns differ in a literal part or a field's type ({site:[a-z]{3}}, {kind:rawacf|bfiq}), or say otherwise = true for the one that takes the rest"),
                );
            }
        }
    }
}

/// Reports steps that make the same path at the same station.
pub(super) fn makers(reader: &mut Reader<'_>, flow: &Flow) {
    let steps: Vec<&Step> = flow.step_order.iter().filter_map(|name| flow.steps.get(name)).collect();
    for (n, first) in steps.iter().enumerate() {
        for second in &steps[n + 1..] {
            // Conditions may exclude each other; that cannot be judged here, and a conflict of paths is seen at work.
            if (first.condition.is_some() && second.condition.is_some())
                || matches!(first.does, Verb::Send | Verb::Fetch)
            {
                continue;
            }
            if let Some((station, product, other)) = same_path(flow, first, second) {
                let place = |step: &Step, product: &str| {
                    let n = step.makes.iter().position(|make| make.product == product).unwrap_or_default();
                    format!("steps.{}.makes.{n}", step.name)
                };
                let what = if product == other {
                    format!("`{product}`")
                } else {
                    format!("`{product}` and `{other}`, which have the same paths,")
                };
                let span = reader.span_of(&place(second, other));
                let earlier = reader.span_of(&place(first, product));
                reader.problem(
                    Problem::error("same-path", span, format!("`{}` and `{}` both make {what} at `{station}`", first.name, second.name))
                        .label("the second one")
                        .also(earlier, "the first one")
                        .help("make one step of them, give the outputs different paths, or tell by `if` in both which files each is for"),
                );
            }
        }
    }
}

fn same_path<'a>(flow: &Flow, first: &'a Step, second: &'a Step) -> Option<(&'a str, &'a str, &'a str)> {
    let places = |step: &'a Step| if step.to.is_empty() { &step.at } else { &step.to };
    for station in places(first).iter().filter(|station| places(second).contains(station)) {
        for make in &first.makes {
            for other in &second.makes {
                let (Some(a), Some(b)) = (flow.products.get(&make.product), flow.products.get(&other.product)) else {
                    continue;
                };
                if make.product == other.product || a.pattern_at(station).as_str() == b.pattern_at(station).as_str() {
                    return Some((station, &make.product, &other.product));
                }
            }
        }
    }
    None
}
