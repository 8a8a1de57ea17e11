//! Steps that would wait for, or feed, themselves.

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostic::Problem;
use crate::model::{Flow, Match, Step, Verb, WithWhat};
use crate::reader::Reader;

/// Reports cycles of products and of `after` and `needs`.
pub(super) fn check(reader: &mut Reader<'_>, flow: &Flow) {
    own_products(reader, flow);
    let mut feeds: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for step in flow.steps.values() {
        for other in flow.steps.values().filter(|other| other.name != step.name) {
            if step.makes.iter().any(|make| depends(other, &make.product)) {
                feeds.entry(&step.name).or_default().insert(&other.name);
            }
        }
    }
    if let Some(cycle) = find(&feeds) {
        let through: Vec<String> = cycle.iter().map(|name| format!("`{name}`")).collect();
        let span = reader.span_of(&format!("steps.{}.makes.0", cycle[cycle.len() - 1]));
        let first = reader.span_of(&format!("steps.{}.takes.0", cycle[0]));
        reader.problem(
            Problem::error(
                "cycle",
                span,
                format!("these steps feed each other: {} → `{}`", through.join(" → "), cycle[0]),
            )
            .label("what comes out here goes in again")
            .also(first, "here")
            .help("let one of them make a product of another name"),
        );
    }
    let mut waits: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for step in flow.steps.values() {
        for other in step.after.iter().chain(&step.needs) {
            waits.entry(&step.name).or_default().insert(other);
        }
    }
    if let Some(cycle) = find(&waits) {
        let through: Vec<String> = cycle.iter().map(|name| format!("`{name}`")).collect();
        let place = |kind: &str| format!("steps.{}.{kind}.0", cycle[0]);
        let kind = if flow
            .steps
            .get(cycle[0])
            .is_some_and(|step| step.needs.iter().any(|name| name == cycle[1 % cycle.len()]))
        {
            "needs"
        } else {
            "after"
        };
        let span = reader.span_of(&place(kind));
        let message = if cycle.len() == 1 {
            format!("`{}` waits for itself", cycle[0])
        } else {
            format!("these steps wait for each other: {} → `{}`", through.join(" → "), cycle[0])
        };
        reader.problem(
            Problem::error("cycle", span, message)
                .label("none of them would ever start")
                .help("remove one of these `after` or `needs`"),
        );
    }
    for step in flow.steps.values() {
        for (kind, others) in [("needs", &step.needs), ("after", &step.after)] {
            for (n, name) in others.iter().enumerate() {
                let Some(other) = flow.steps.get(name) else { continue };
                if !other.takes.is_empty()
                    && !step.takes.is_empty()
                    && !step.takes.iter().any(|product| other.takes.contains(product))
                {
                    let help =
                        if step.takes.iter().any(|product| other.makes.iter().any(|make| make.product == *product)) {
                            format!("remove it: what `{name}` makes arrives only when `{name}` is done")
                        } else {
                            "name a step that takes the same product".to_owned()
                        };
                    let span = reader.span_of(&format!("steps.{}.{kind}.{n}", step.name));
                    reader.problem(
                        Problem::warning(
                            "no-effect",
                            span,
                            format!(
                                "`{kind}` speaks of the same driving file, and `{name}` takes none of these products"
                            ),
                        )
                        .label("has no effect")
                        .help(help),
                    );
                }
            }
        }
    }
}

/// Reports steps that take what they make.
fn own_products(reader: &mut Reader<'_>, flow: &Flow) {
    for step in flow.steps.values() {
        if step.edits
            || step.to.iter().any(|to| !step.at.contains(to))
                && matches!(step.does, Verb::Copy | Verb::Move | Verb::Link)
        {
            continue;
        }
        for (n, make) in
            step.makes.iter().enumerate().filter(|(_, make)| !make.update && step.takes.contains(&make.product))
        {
            let span = reader.span_of(&format!("steps.{}.makes.{n}", step.name));
            let taken = step.takes.iter().position(|product| *product == make.product).unwrap_or_default();
            let other = reader.span_of(&format!("steps.{}.takes.{taken}", step.name));
            reader.problem(
                Problem::error("feeds-itself", span, format!("`{}` takes the product that it makes", step.name))
                    .label("what comes out here goes in again")
                    .also(other, "here")
                    .help("let it make another product; a step that rewrites its input says edits = true and makes nothing, one that builds a file up says { product = …, update = true }"),
            );
        }
    }
}

fn depends(step: &Step, product: &str) -> bool {
    // What is computed or the newest may be an earlier output of the same chain.
    step.takes.iter().any(|taken| taken == product)
        || step.with.values().any(|with| matches!(&with.what, WithWhat::Product { product: wanted, on: Match::Fields(_) | Match::Overlap, .. } if wanted == product))
}

/// Returns a cycle of a graph, starting at its least name.
fn find<'a>(edges: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> Option<Vec<&'a str>> {
    let mut done: BTreeSet<&str> = BTreeSet::new();
    for start in edges.keys() {
        let mut path: Vec<&str> = Vec::new();
        // A walk with an explicit stack: each entry is a node and the neighbours still to see.
        let mut stack: Vec<(&str, Vec<&str>)> = Vec::new();
        let neighbours = |node: &str| edges.get(node).map_or(Vec::new(), |next| next.iter().rev().copied().collect());
        if !done.contains(start) {
            stack.push((start, neighbours(start)));
            path.push(start);
        }
        while let Some((node, open)) = stack.last_mut() {
            match open.pop() {
                Some(next) => {
                    if let Some(at) = path.iter().position(|name| *name == next) {
                        let mut cycle = path[at..].to_vec();
                        let least = cycle.iter().enumerate().min_by_key(|(_, name)| **name).map_or(0, |(n, _)| n);
                        cycle.rotate_left(least);
                        return Some(cycle);
                    }
                    if !done.contains(next) {
                        path.push(next);
                        stack.push((next, neighbours(next)));
                    }
                }
                None => {
                    done.insert(node);
                    stack.pop();
                    path.pop();
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph<'a>(edges: &[(&'a str, &'a str)]) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
        let mut graph: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (from, to) in edges {
            graph.entry(from).or_default().insert(to);
        }
        graph
    }

    #[test]
    fn cycles_are_found_and_start_at_the_least_name() {
        assert_eq!(find(&graph(&[("c", "b"), ("b", "a"), ("a", "c"), ("x", "c")])), Some(vec!["a", "c", "b"]));
        assert_eq!(find(&graph(&[("a", "a")])), Some(vec!["a"]));
    }

    #[test]
    fn a_diamond_is_no_cycle() {
        assert_eq!(find(&graph(&[("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")])), None);
        assert_eq!(find(&graph(&[])), None);
    }
}
