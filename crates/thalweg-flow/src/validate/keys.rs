//! Whether a step's keys can be formed: groups, grids, completeness, inputs by role.

use std::collections::BTreeSet;

use crate::diagnostic::Problem;
use crate::model::{Complete, Flow, Match, Product, Step, WithWhat};
use crate::reader::{Reader, listed, nearest};

/// Checks one step.
pub(super) fn check(reader: &mut Reader<'_>, flow: &Flow, step: &Step) {
    if !super::is_whole(reader, flow, step) {
        return;
    }
    let place = format!("steps.{}", step.name);
    let driving = super::driving(flow, step);
    per(reader, step, &driving, &place);
    complete(reader, step, &driving, &place);
    with(reader, flow, step, &place);
    if let Some(fields) = &step.one_at_a_time {
        let known = key_fields(flow, step);
        for (n, field) in fields.iter().enumerate().filter(|(_, field)| !known.contains(field.as_str())) {
            let names: Vec<&str> = known.iter().copied().collect();
            let span = reader.span_of(&format!("{place}.one_at_a_time.{n}"));
            reader.unknown_field(span, field, &names, &format!("`{}`", step.name));
        }
    }
}

/// Returns the fields that a step's keys have: of the key itself, and of its driving files.
pub(super) fn key_fields<'a>(flow: &'a Flow, step: &'a Step) -> BTreeSet<&'a str> {
    let mut fields: BTreeSet<&str> = step.each.keys().map(String::as_str).collect();
    if let Some(per) = &step.per {
        fields.extend(per.fields.iter().map(String::as_str));
        fields.extend(per.grid_field.as_deref());
    }
    for product in super::driving(flow, step) {
        fields.extend(super::fields_of(product));
    }
    fields
}

fn per(reader: &mut Reader<'_>, step: &Step, driving: &[&Product], place: &str) {
    let Some(per) = &step.per else {
        if step.by_start {
            let span = reader.span_of(place);
            reader.problem(
                Problem::error("contradiction", span, "`by` chooses among cells, and the step has no `per`")
                    .label("no cells")
                    .help("add per = \"1d\", or remove `by`"),
            );
        }
        return;
    };
    if driving.is_empty() {
        let span = reader.span_of(&format!("{place}.per"));
        reader.problem(
            Problem::error("contradiction", span, "`per` groups driving files, and the step takes none")
                .label("nothing to group")
                .help("add takes = \"PRODUCT\", or remove `per`"),
        );
        return;
    }
    for (n, field) in per.fields.iter().enumerate() {
        let Some(lacking) = driving.iter().find(|product| !super::fields_of(product).contains(field.as_str())) else {
            continue;
        };
        let fields: Vec<&str> = super::fields_of(lacking).into_iter().collect();
        let span = reader.span_of(&format!("{place}.per.{n}"));
        reader.unknown_field(span, field, &fields, &format!("`{}`", lacking.name));
    }
    if per.grid.is_some() && per.grid_field.is_none() {
        for product in driving.iter().filter(|product| product.time_field.is_none() && !product.covers_content) {
            let span = reader.span_of(&format!("{place}.per"));
            let other = reader.span_of(&format!("products.{}", product.name));
            reader.problem(
                Problem::error(
                    "no-coverage",
                    span,
                    format!("files of `{}` say no time, so they belong to no cell", product.name),
                )
                .label("a grid of time")
                .also(other, "no time in its path, no `covers`")
                .help("add the start to its path ({time:%Y%m%d.%H%M}), or covers = \"content\" with its format"),
            );
        }
    }
}

fn complete(reader: &mut Reader<'_>, step: &Step, driving: &[&Product], place: &str) {
    let span = reader.span_of(&format!("{place}.complete"));
    let grid = step.per.as_ref().is_some_and(|per| per.grid.is_some());
    let (needs_span, word) = match &step.complete {
        Complete::Any => return,
        Complete::Covered => (true, "covered"),
        Complete::Each { covered_past_end, each, .. } => {
            for field in each
                .keys()
                .filter(|field| !driving.iter().any(|product| super::fields_of(product).contains(field.as_str())))
            {
                if driving.is_empty() {
                    continue;
                }
                super::check_field(reader, driving, field, &format!("{place}.complete.each.{field}"));
            }
            for (field, values) in each.iter().filter(|(_, values)| values.is_empty()) {
                let _ = values;
                let span = reader.span_of(&format!("{place}.complete.each.{field}"));
                reader.problem(
                    Problem::warning("empty-list", span, format!("`{field}` has no values to wait for"))
                        .label("an empty list")
                        .help("fill the list; until then every cell counts as complete"),
                );
            }
            if step.per.is_none() {
                reader.problem(
                    Problem::error(
                        "contradiction",
                        span.clone(),
                        "`complete` speaks of cells, and the step has no `per`",
                    )
                    .label("no cells")
                    .help("add per = \"8h\", or remove `complete`"),
                );
                return;
            }
            (*covered_past_end, "covered_past_end")
        }
    };
    if !needs_span {
        return;
    }
    if !grid {
        reader.problem(
            Problem::error("contradiction", span, format!("`{word}` speaks of time, and the step has no grid of time"))
                .label("no cells of time")
                .help("add per = \"8h\", or remove it"),
        );
        return;
    }
    for product in
        driving.iter().filter(|product| product.span.is_none() && !product.covers_content && !product.until_next)
    {
        let other = reader.span_of(&format!("products.{}", product.name));
        reader.problem(
            Problem::error(
                "no-coverage",
                span.clone(),
                format!("files of `{}` do not say how long they cover", product.name),
            )
            .label("needs their length")
            .also(other, "no `span`, no `covers`")
            .help("add span = \"2h\", span = \"{dur}s\" or covers = \"content\" to the product"),
        );
    }
}

fn with(reader: &mut Reader<'_>, flow: &Flow, step: &Step, place: &str) {
    let own = key_fields(flow, step);
    for (role, with) in &step.with {
        let place = format!("{place}.with.{role}");
        match &with.what {
            WithWhat::File(template) => file(reader, &own, template, &place),
            WithWhat::Product { product, on, .. } => {
                let Some(product) = flow.products.get(product) else { continue };
                let theirs = super::fields_of(product);
                match on {
                    Match::Fields(fields) => {
                        for (n, field) in fields.iter().enumerate() {
                            let span = reader.span_of(&format!("{place}.match.{n}"));
                            if !theirs.contains(field.as_str()) {
                                reader.unknown_field(
                                    span,
                                    field,
                                    &theirs.iter().copied().collect::<Vec<_>>(),
                                    &format!("`{}`", product.name),
                                );
                            } else if !own.contains(field.as_str()) {
                                reader.unknown_field(
                                    span,
                                    field,
                                    &own.iter().copied().collect::<Vec<_>>(),
                                    &format!("the key of `{}`", step.name),
                                );
                            }
                        }
                    }
                    Match::Computed(computed) => {
                        for field in computed.keys().filter(|field| !theirs.contains(field.as_str())) {
                            let span = reader.span_of(&format!("{place}.match.{field}"));
                            reader.unknown_field(
                                span,
                                field,
                                &theirs.iter().copied().collect::<Vec<_>>(),
                                &format!("`{}`", product.name),
                            );
                        }
                    }
                    Match::Overlap => overlap(reader, flow, step, product, &place),
                    Match::Newest => {}
                }
            }
        }
    }
}

fn overlap(reader: &mut Reader<'_>, flow: &Flow, step: &Step, product: &Product, place: &str) {
    let timed = |product: &Product| product.time_field.is_some() || product.covers_content;
    let keyed = step.per.as_ref().is_some_and(|per| per.grid.is_some())
        || super::driving(flow, step).iter().all(|product| timed(product));
    if timed(product) && keyed {
        return;
    }
    let whose = if timed(product) {
        format!("the keys of `{}` cover", step.name)
    } else {
        format!("files of `{}` cover", product.name)
    };
    let known: Vec<&str> =
        super::fields_of(product).into_iter().filter(|field| key_fields(flow, step).contains(field)).collect();
    let help = if known.is_empty() {
        "say which file belongs to a key: match = [\"FIELD\"], match = { FIELD = \"expression\" } or match = \"newest\""
            .to_owned()
    } else {
        format!(
            "match by fields: match = [{}]",
            known.iter().map(|field| format!("\"{field}\"")).collect::<Vec<_>>().join(", ")
        )
    };
    let span = reader.span_of(place);
    reader.problem(
        Problem::error("no-coverage", span, format!("`overlap` compares times, and {whose} none"))
            .label("nothing overlaps")
            .help(help),
    );
}

fn file(reader: &mut Reader<'_>, own: &BTreeSet<&str>, template: &str, place: &str) {
    let Some(text) = reader.spot(&format!("{place}.file")).cloned() else { return };
    let mut at = 0;
    while let Some(open) = template[at..].find('{').map(|open| at + open) {
        let Some(close) = template[open..].find('}').map(|close| open + close) else {
            reader.problem(
                Problem::error("unclosed", text.part(&(open..template.len())), "this brace is not closed")
                    .label("opened here")
                    .help("close it with `}`"),
            );
            return;
        };
        let name = &template[open + 1..close];
        at = close + 1;
        if own.contains(name) {
            continue;
        }
        if let Some(param) = name.strip_prefix('$') {
            reader.param(param, &text.part(&(open..close + 1)));
            continue;
        }
        let known: Vec<&str> = own.iter().copied().collect();
        let help = nearest(name, &known).map_or_else(
            || format!("fields of the keys: {}", listed(&known)),
            |near| format!("did you mean {{{near}}}?"),
        );
        reader.problem(
            Problem::error(
                "unknown-field",
                text.part(&(open + 1..close)),
                format!("the keys of this step have no field `{name}`"),
            )
            .label("cannot be filled")
            .help(help),
        );
    }
}
