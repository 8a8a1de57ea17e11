//! Parameters and lookup tables: values in force from the file, from what it refers to, and from outside.

use thalweg_core::Value;
use thalweg_core::pattern::Table;

use crate::diagnostic::{Problem, Severity};
use crate::keys;
use crate::reader::{Entries, Reader, Text, Val, in_order, is_name, unknown_help};
use crate::source::{Settings, Surroundings};

use super::Draft;

/// Reads `params` and `tables`.
pub(super) fn read<'s>(reader: &mut Reader<'s>, draft: &mut Draft, top: &Entries<'_, 's>) {
    if let Some(table) = top.get("params") {
        match table.get_ref().as_table() {
            Some(entries) => {
                let entries = in_order(entries);
                reader.param_names = entries.iter().map(|(name, _)| name.value.clone()).collect();
                for (name, value) in entries {
                    param(reader, &name, value);
                }
            }
            None => reader.wrong_type(table, "a table of names and values", "write [params] and below it name = value"),
        }
    }
    unknown_settings(reader);
    draft.flow.params = reader.params.clone();
    if let Some(tables) = top.get("tables") {
        match tables.get_ref().as_table() {
            Some(entries) => {
                for (name, value) in in_order(entries) {
                    if let Some(table) = table(reader, &name, value) {
                        draft.flow.tables.insert(name.value, table);
                    }
                }
            }
            None => reader.wrong_type(
                tables,
                "a table of named tables",
                "write [tables.NAME] and below it \"FROM..TO\" = \"value\"",
            ),
        }
    }
}

fn param<'s>(reader: &mut Reader<'s>, name: &Text, value: &Val<'s>) {
    if !is_name(&name.value) {
        reader.problem(
            Problem::error("bad-name", name.span.clone(), format!("`{}` cannot be a parameter's name", name.value))
                .label("not a name")
                .help("names of parameters start with a letter; letters, digits, `_` and `-` follow"),
        );
        return;
    }
    let outside = outside(&name.value, reader.settings, reader.around);
    let written = match value.get_ref().as_table() {
        Some(_) => referred(reader, name, value, outside.is_some()),
        None => reader.value(value),
    };
    let in_force = match outside {
        Some((text, origin)) => typed_as(reader, &text, written.as_ref(), &origin, name).or(written),
        None => written,
    };
    if let Some(value) = in_force {
        reader.params.insert(name.value.clone(), value);
    }
}

/// Returns what a parameter is set to from outside, and by what: the command line, else the environment.
pub(crate) fn outside(name: &str, settings: &Settings, around: &dyn Surroundings) -> Option<(String, String)> {
    if let Some(text) = settings.set.get(name) {
        return Some((text.clone(), format!("--set {name}")));
    }
    let variable = format!("THALWEG_PARAM_{}", name.to_uppercase().replace('-', "_"));
    around.environment(&variable).map(|text| (text, variable))
}

/// Reads `{ file = … }` or `{ env = … }`.
///
/// What is set from outside (`overridden`) replaces the reference, which then need not lead anywhere.
fn referred<'s>(reader: &mut Reader<'s>, name: &Text, value: &Val<'s>, overridden: bool) -> Option<Value> {
    let place = format!("params.{}", name.value);
    let entries = reader.entries(value, &keys::PARAM, &place)?;
    let file = reader.get_text(&entries, "file");
    let env = reader.get_text(&entries, "env");
    match (file, env) {
        (Some(file), None) => match reader.around.file(&file.value) {
            Ok(text) => Some(Value::List(lines(&text))),
            Err(_) if overridden => None,
            Err(reason) => {
                reader.problem(
                    Problem::error(
                        "unreadable-file",
                        file.part(&(0..file.value.len())),
                        format!("cannot read `{}`: {reason}", file.value),
                    )
                    .label("not readable")
                    .help("the path is relative to the flow file; one value on each line, `#` starts a comment"),
                );
                None
            }
        },
        (None, Some(variable)) => match reader.around.environment(&variable.value) {
            Some(text) => Some(scalar(&text)),
            None if overridden => None,
            None => {
                reader.problem(
                    Problem::error(
                        "missing-environment",
                        variable.part(&(0..variable.value.len())),
                        format!("the environment has no `{}`", variable.value),
                    )
                    .label("not set")
                    .help(format!("set the variable, or give the value with --set {}=…", name.value)),
                );
                None
            }
        },
        (Some(_), Some(env)) => {
            reader.problem(
                Problem::error(
                    "contradiction",
                    env.span.clone(),
                    "a parameter is read from a file or from the environment, not both",
                )
                .label("the second one")
                .help("remove `file` or `env`"),
            );
            None
        }
        (None, None) => {
            if !entries.has("file") && !entries.has("env") {
                reader.problem(
                    Problem::error("missing-key", value.span(), format!("parameter `{}` has no value", name.value))
                        .label("neither `file` nor `env`")
                        .help("write a value, { file = \"names.txt\" } or { env = \"VARIABLE\" }"),
                );
            }
            None
        }
    }
}

/// Returns the values of a parameter file: one on each line, numbers if all are numbers.
fn lines(text: &str) -> Vec<Value> {
    let words: Vec<&str> = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty())
        .collect();
    if !words.is_empty() && words.iter().all(|word| matches!(scalar(word), Value::Int(_))) {
        return words.iter().map(|word| scalar(word)).collect();
    }
    words.into_iter().map(Value::from).collect()
}

/// Reads a text from outside: a number if it is written as one, else text.
fn scalar(text: &str) -> Value {
    let text = text.trim();
    // A number with leading zeros or a sign is a name that looks like one.
    match text.parse::<i64>() {
        Ok(number) if number.to_string() == text => Value::Int(number),
        _ => Value::from(text),
    }
}

/// Reads a value from outside by the type of the one in the file.
fn typed_as(reader: &mut Reader<'_>, text: &str, written: Option<&Value>, origin: &str, name: &Text) -> Option<Value> {
    let value = match written {
        Some(Value::List(values)) => {
            let given = lines(&text.trim_matches(['[', ']']).replace(',', "\n"));
            let numbers = !values.is_empty() && values.iter().all(|value| matches!(value, Value::Int(_)));
            (!numbers || given.iter().all(|value| matches!(value, Value::Int(_)))).then_some(Value::List(given))
        }
        Some(Value::Bool(_)) => text.parse().ok().map(Value::Bool),
        Some(Value::Int(_)) => text.trim().parse().ok().map(Value::Int),
        Some(Value::Float(_)) => text.trim().parse().ok().map(Value::Float),
        Some(Value::Text(_)) => Some(Value::from(text)),
        Some(Value::Time(_)) => {
            thalweg_core::time::parse_instant(text, jiff::Timestamp::UNIX_EPOCH).ok().map(Value::Time)
        }
        Some(Value::Duration(_)) | None => Some(scalar(text)),
    };
    if value.is_none() {
        let kind = match written {
            Some(Value::Bool(_)) => "true or false",
            Some(Value::Time(_)) => "a date",
            Some(Value::List(_)) => "a list of whole numbers, as in 1,2,3",
            _ => "a number",
        };
        reader.problem(
            Problem::error("bad-setting", name.span.clone(), format!("{origin}: {text:?} is not {kind}"))
                .label(format!("{kind} here, so from outside too"))
                .help(format!("give {kind}, or change the type of the parameter in the file")),
        );
    }
    value
}

fn unknown_settings(reader: &mut Reader<'_>) {
    let settings = reader.settings;
    for name in settings.set.keys() {
        if reader.param_names.contains(name) {
            continue;
        }
        let known: Vec<&str> = reader.param_names.iter().map(String::as_str).collect();
        let help = unknown_help(name, &known, "parameter", "[params]");
        reader.problems.push(Problem {
            severity: Severity::Error,
            code: "unknown-parameter",
            message: format!("--set {name}: the flow has no parameter `{name}`"),
            span: None,
            label: String::new(),
            more: Vec::new(),
            help: Some(help),
        });
    }
}

fn table<'s>(reader: &mut Reader<'s>, name: &Text, value: &Val<'s>) -> Option<Table> {
    let rows = reader.map(
        value,
        "a table of ranges and values",
        "\"815000000..875000000\" = \"S5\"",
        |reader, _, value| match reader.value(value)? {
            Value::List(_) => {
                reader.wrong_type(value, "one value", "write one text or number for each range");
                None
            }
            value => Some(value),
        },
    )?;
    let places: Vec<Text> = rows.iter().map(|(range, _)| range.clone()).collect();
    let rows: Vec<(String, Value)> = rows.into_iter().map(|(range, value)| (range.value, value)).collect();
    match Table::parse(&rows) {
        Ok(table) => Some(table),
        Err(error) => {
            let message = error.to_string();
            let at =
                places.iter().find(|place| !place.value.is_empty() && message.contains(&format!("{:?}", place.value)));
            let span = at.map_or(name.span.clone(), |place| place.span.clone());
            reader.problem(
                Problem::error("bad-table", span, format!("table `{}`: {message}", name.value))
                    .label("this range")
                    .help("ranges are \"FROM..TO\" (TO not included), \"FROM..\" or \"..TO\", numbers or dates, without overlap"),
            );
            None
        }
    }
}
