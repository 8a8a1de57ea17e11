//! Whether the names in conditions stand for something, and whether questions to the ledger stand where they may.

use std::collections::{BTreeMap, BTreeSet};

use thalweg_core::Value;
use thalweg_core::expr::{Expr, Predicate, Side};
use thalweg_core::pattern::FieldType;

use crate::diagnostic::Problem;
use crate::model::{Flow, Match, Product, Step, WithWhat};
use crate::parse::Draft;
use crate::reader::{Reader, Text, nearest, unknown_help};

/// What every file has.
const OF_FILES: [&str; 5] = ["size", "mtime", "age", "product", "station"];

/// Checks all conditions of a flow.
pub(super) fn check(reader: &mut Reader<'_>, draft: &Draft) {
    let flow = &draft.flow;
    for product in flow.products.values() {
        if let Some(require) = &product.require {
            names(reader, require, &format!("products.{}.require", product.name), &Scope::of_files(&[product]));
            no_questions(reader, require, &format!("products.{}.require", product.name));
        }
    }
    for step in flow.steps.values() {
        if !super::is_whole(reader, flow, step) {
            continue;
        }
        let scope = Scope::of_step(flow, step);
        let place = format!("steps.{}", step.name);
        if let Some(condition) = &step.condition {
            names(reader, condition, &format!("{place}.if"), &scope);
            no_questions(reader, condition, &format!("{place}.if"));
        }
        for (role, with) in &step.with {
            if let WithWhat::Product { on: Match::Computed(computed), .. } = &with.what {
                for (field, expr) in computed {
                    names(reader, expr, &format!("{place}.with.{role}.match.{field}.expression"), &scope);
                }
            }
        }
    }
    for keep in flow.keeps.values() {
        let products: Vec<&Product> = keep.products.iter().filter_map(|name| flow.products.get(name)).collect();
        for (n, condition) in keep.only_if.iter().enumerate() {
            questions(reader, draft, condition, &format!("keeps.{}.only_if.{n}", keep.name));
        }
        // What the products' files have is known only when all of them could be read.
        let named = (0..).take_while(|n| reader.spot(&format!("keeps.{}.products.{n}", keep.name)).is_some()).count();
        if products.len() < named || products.is_empty() {
            continue;
        }
        let scope = Scope::of_files(&products);
        for (n, condition) in keep.only_if.iter().enumerate() {
            names(reader, condition, &format!("keeps.{}.only_if.{n}", keep.name), &scope);
        }
        if let Some(condition) = &keep.condition {
            let place = format!("keeps.{}.if", keep.name);
            names(reader, condition, &place, &scope);
            no_questions(reader, condition, &place);
        }
    }
}

/// What a value is, as far as comparing goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Number,
    Text,
    Time,
    Span,
}

impl Sort {
    fn of_value(value: &Value) -> Option<Self> {
        match value {
            Value::Int(_) | Value::Float(_) => Some(Self::Number),
            Value::Text(_) => Some(Self::Text),
            Value::Time(_) => Some(Self::Time),
            Value::Duration(_) => Some(Self::Span),
            Value::Bool(_) | Value::List(_) => None,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Number => "a number",
            Self::Text => "a text",
            Self::Time => "a time",
            Self::Span => "a span of time",
        }
    }

    fn example(self) -> &'static str {
        match self {
            Self::Number => {
                "compare it with a number, without quotes: `0`; a letter counts from a = 0; a size may be written `10GB`"
            }
            Self::Text => "compare it with a text in quotes",
            Self::Time => {
                "compare it with a time: `2024-01-31`, `2024-01-31T06:00:00Z`; or its age with a span: `now - time > 2h`"
            }
            Self::Span => "write the number with its unit: `5s`, `5m`, `5h`, `5d`",
        }
    }
}

/// Reports comparisons that can never be made: an age with a bare number, a number with a text.
fn comparisons(reader: &mut Reader<'_>, condition: &Expr, text: &Text, scope: &Scope<'_>) {
    for (left, right, span) in condition.comparisons() {
        let ((Side::Literal(value), name) | (name, Side::Literal(value))) = (&left, &right) else { continue };
        let (shown, sort) = match name {
            Side::Now => ("now".to_owned(), Some(Sort::Time)),
            Side::Name(name) => (name.to_string(), scope.sorts.get(name.to_string().as_str()).copied().flatten()),
            _ => continue,
        };
        // What a text holds is the user's own matter: only what is never a text is judged.
        let (Some(sort), Some(given)) = (sort.filter(|sort| *sort != Sort::Text), Sort::of_value(value)) else {
            continue;
        };
        if sort != given {
            reader.problem(
                Problem::error(
                    "unlike",
                    text.part(&span),
                    format!("`{shown}` is {} and is compared with {}", sort.word(), given.word()),
                )
                .label("never comparable")
                .help(sort.example()),
            );
            return;
        }
    }
}

/// The names that a condition may use.
struct Scope<'a> {
    /// What is known of the values of names; none where products differ.
    sorts: BTreeMap<&'a str, Option<Sort>>,
    fields: BTreeSet<&'a str>,
    key: Option<BTreeSet<&'a str>>,
    roles: Vec<(&'a str, Option<&'a Product>)>,
    of: String,
}

impl<'a> Scope<'a> {
    fn of_files(products: &[&'a Product]) -> Self {
        let mut fields: BTreeSet<&str> = OF_FILES.into_iter().collect();
        let mut sorts: BTreeMap<&str, Option<Sort>> =
            [("size", Some(Sort::Number)), ("mtime", Some(Sort::Time)), ("age", Some(Sort::Span))].into();
        for product in products {
            let own = |name: &str| match product.types.get(name) {
                _ if product.reads.contains_key(name) => None,
                Some(FieldType::Int { .. } | FieldType::Letter) => Some(Sort::Number),
                Some(FieldType::Time { .. }) => Some(Sort::Time),
                Some(FieldType::Text | FieldType::Choice(_) | FieldType::Regex(_) | FieldType::Path) => {
                    Some(Sort::Text)
                }
                _ => None,
            };
            for name in super::fields_of(product) {
                let sort = own(name);
                let known = sorts.entry(name).or_insert(sort);
                if *known != sort {
                    *known = None;
                }
            }
            fields.extend(super::fields_of(product));
            if product.time_field.is_some() || product.covers_content {
                fields.insert("time");
            }
        }
        let of = products.iter().map(|product| format!("`{}`", product.name)).collect::<Vec<_>>().join(" or ");
        Self { sorts, fields, key: None, roles: Vec::new(), of }
    }

    fn of_step(flow: &'a Flow, step: &'a Step) -> Self {
        let driving = super::driving(flow, step);
        let mut scope = Self::of_files(&driving);
        let mut key: BTreeSet<&str> = ["start", "end"].into();
        key.extend(step.each.keys().map(String::as_str));
        if let Some(per) = &step.per {
            key.extend(per.fields.iter().map(String::as_str));
            key.extend(per.grid_field.as_deref());
        }
        scope.fields.extend(step.each.keys().map(String::as_str));
        scope.sorts.retain(|name, _| !step.each.contains_key(*name));
        scope.key = Some(key);
        scope.roles = step
            .with
            .iter()
            .map(|(role, with)| match &with.what {
                WithWhat::Product { product, .. } => (role.as_str(), flow.products.get(product)),
                WithWhat::File(_) => (role.as_str(), None),
            })
            .collect();
        if driving.is_empty() {
            scope.of = format!("`{}`", step.name);
        }
        scope
    }
}

fn names(reader: &mut Reader<'_>, condition: &Expr, place: &str, scope: &Scope<'_>) {
    let Some(text) = reader.spot(place).cloned() else { return };
    comparisons(reader, condition, &text, scope);
    let mut reported = BTreeSet::new();
    for (name, span) in condition.names_with_spans() {
        if !reported.insert(name.clone()) {
            continue;
        }
        let span = text.part(&span);
        if name.is_param() {
            let param = name.0[0].trim_start_matches('$').to_owned();
            reader.param(&param, &span);
            continue;
        }
        let parts: Vec<&str> = name.0.iter().map(String::as_str).collect();
        match parts.as_slice() {
            ["now"] => {}
            ["key", part] => match &scope.key {
                Some(key) if key.contains(part) => {}
                Some(key) => {
                    let known: Vec<&str> = key.iter().copied().collect();
                    reader.unknown_field(span, part, &known, "`key`");
                }
                None => unknown(reader, span, &name.to_string(), scope),
            },
            ["in", role, field] => match scope.roles.iter().find(|(name, _)| name == role) {
                Some((_, Some(product))) => {
                    let mut known = super::fields_of(product);
                    known.extend(OF_FILES);
                    known.insert("time");
                    if !known.contains(field) {
                        let known: Vec<&str> = known.into_iter().collect();
                        reader.unknown_field(span, field, &known, &format!("`{}`", product.name));
                    }
                }
                // A settings file has no fields but what every file has; a product that was not read had its problem.
                Some((_, None)) => {}
                None => {
                    let known: Vec<&str> = scope.roles.iter().map(|(name, _)| *name).collect();
                    let help = nearest(role, &known).map_or_else(
                        || format!("add with.{role} = {{ product = \"…\" }} to the step"),
                        |near| format!("did you mean `in.{near}.{field}`?"),
                    );
                    reader.problem(
                        Problem::error("unknown-role", span, format!("there is no role `{role}`"))
                            .label("unknown role")
                            .help(help),
                    );
                }
            },
            [field] if scope.fields.contains(field) => {}
            _ => unknown(reader, span, &name.to_string(), scope),
        }
    }
}

fn unknown(reader: &mut Reader<'_>, span: std::ops::Range<usize>, name: &str, scope: &Scope<'_>) {
    if reader.param_names.contains(name) && !scope.fields.contains(name) {
        let problem = Problem::error("unknown-field", span, format!("{} has no field `{name}`", scope.of))
            .label("unknown field")
            .help(format!("the parameter is written `${name}`"));
        reader.problem(problem);
        return;
    }
    let mut known: Vec<&str> = scope.fields.iter().copied().collect();
    known.push("now");
    reader.unknown_field(span, name, &known, &scope.of);
}

fn no_questions(reader: &mut Reader<'_>, condition: &Expr, place: &str) {
    if condition.predicates().is_empty() {
        return;
    }
    let span = reader.span_of(place);
    reader.problem(
        Problem::error("wrong-place", span, "receipts and copies are asked for in a keep's `only_if` only")
            .label("not here")
            .help("to wait for another step of the same file use needs = [\"STEP\"]"),
    );
}

fn questions(reader: &mut Reader<'_>, draft: &Draft, condition: &Expr, place: &str) {
    let Some(text) = reader.spot(place).cloned() else { return };
    for predicate in condition.predicates() {
        match predicate {
            Predicate::ReceiptedAt { product, station } => {
                let named = word(&text, &station);
                reader.stations(draft, &named);
                if let Some(product) = product {
                    let named = word(&text, &product);
                    reader.product(draft, &named);
                }
            }
            Predicate::StepDone(step) => {
                if !draft.steps.contains(&step) {
                    let known: Vec<&str> = draft.steps.iter().map(String::as_str).collect();
                    let named = word(&text, &step);
                    reader.problem(
                        Problem::error("unknown-step", named.span.clone(), format!("there is no step `{step}`"))
                            .label("unknown step")
                            .help(unknown_help(&step, &known, "step", "[steps]")),
                    );
                }
            }
            Predicate::CopiesElsewhere(count) => copies(reader, draft, count, &text),
        }
    }
}

fn copies(reader: &mut Reader<'_>, draft: &Draft, count: u32, text: &Text) {
    let domains: BTreeSet<&str> = draft
        .flow
        .stations
        .values()
        .filter(|station| !station.scratch)
        .map(|station| station.domain.as_str())
        .collect();
    if usize::try_from(count).is_ok_and(|count| count + 1 > domains.len()) {
        reader.problem(
            Problem::warning(
                "never-holds",
                text.part(&(0..text.value.len())),
                format!(
                    "{count} copies elsewhere need {} failure domains, and the flow has {}",
                    u64::from(count) + 1,
                    domains.len()
                ),
            )
            .label("never holds")
            .help("ask for fewer copies, or add stations"),
        );
    }
}

/// Returns a word of a condition as a text with its place.
fn word(text: &Text, name: &str) -> Text {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    let at = text.value.match_indices(name).map(|(at, _)| at).find(|at| {
        !text.value[..*at].chars().next_back().is_some_and(is_part)
            && !text.value[at + name.len()..].chars().next().is_some_and(is_part)
    });
    let span = at.map_or_else(|| text.part(&(0..text.value.len())), |at| text.part(&(at..at + name.len())));
    Text::named(name, span)
}
