//! A flow file with every default filled in: what holds, whether it was written or not.
//!
//! The defaults are those of [`crate::keys`], which the manual names too. What was written stays as it was written.

use thalweg_core::Value;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::Diagnostics;
use crate::keys::{self, Key, Section, Shape};
use crate::model::Flow;
use crate::parse::{outside, parse};
use crate::reader::{Val, in_order};
use crate::source::{Settings, Source, Surroundings};

/// Marks a line that was not written.
const MARK: &str = "  # default";

/// One line, or one key with a value of several lines.
struct Line {
    text: String,
    /// It was not written.
    default: bool,
}

/// Returns a flow file as it is in force: parameters with their values, and every default, marked as such.
///
/// It reads again to the same flow.
///
/// # Errors
///
/// Everything that is wrong with the file.
pub fn effective(source: &Source, settings: &Settings, around: &dyn Surroundings) -> Result<String, Diagnostics> {
    let flow = parse(source, settings, around)?.flow;
    let (document, _) = DeTable::parse_recoverable(&source.text);
    let mut writer = Writer { source, settings, around, flow: &flow, lines: Vec::new() };
    writer.file(document.get_ref());
    let mut lines = writer.lines;
    // What may be left out and not be said as well (it would mean nothing there) is told in a comment.
    let plain = Settings { set: std::collections::BTreeMap::new(), ..settings.clone() };
    loop {
        let (text, starts) = render(&lines);
        let again = Source::new(source.name.clone(), text.clone());
        let problems = match parse(&again, &plain, around) {
            Ok(parsed) => parsed.warnings,
            Err(found) => found.problems,
        };
        let mut changed = false;
        for span in problems.into_iter().filter_map(|problem| problem.span) {
            let at = starts.partition_point(|start| *start <= span.start).saturating_sub(1);
            if let Some(line) = lines.get_mut(at).filter(|line| line.default && !line.text.starts_with('#')) {
                line.text = format!("# {}", line.text);
                changed = true;
            }
        }
        if !changed {
            return Ok(text);
        }
    }
}

fn render(lines: &[Line]) -> (String, Vec<usize>) {
    let (mut text, mut starts) = (String::new(), Vec::new());
    for line in lines {
        starts.push(text.len());
        text.push_str(&line.text);
        if line.default {
            text.push_str(MARK);
        }
        text.push('\n');
    }
    (text, starts)
}

struct Writer<'a> {
    source: &'a Source,
    settings: &'a Settings,
    around: &'a dyn Surroundings,
    flow: &'a Flow,
    lines: Vec<Line>,
}

/// Returns a key as TOML writes it.
fn key_text(name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if bare { name.to_owned() } else { quoted(name) }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn value_text(value: &Value) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => toml::Value::Float(*value).to_string(),
        Value::Text(value) => quoted(value),
        Value::Time(at) => at.to_string(),
        Value::Duration(span) => quoted(&thalweg_core::units::format_duration(*span)),
        Value::List(values) => format!("[{}]", values.iter().map(value_text).collect::<Vec<_>>().join(", ")),
    }
}

/// Returns the section whose keys a table at this place has.
fn section_of(shape: &Shape) -> Option<&'static Section> {
    match shape {
        Shape::Table(section) => Some(section),
        Shape::OneOrMany(shape) | Shape::List(shape) => section_of(shape),
        Shape::Any(shapes) => shapes.iter().find_map(section_of),
        _ => None,
    }
}

/// Returns the shape of the values of a table whose keys the user chooses.
fn inner_of(shape: &Shape) -> Option<&'static Shape> {
    match shape {
        Shape::Map(shape) => Some(shape),
        Shape::Any(shapes) => shapes.iter().find_map(inner_of),
        _ => None,
    }
}

/// Returns a default as TOML, if it is a value and not a word of explanation.
fn literal(shape: &Shape, text: &str) -> Option<String> {
    let one_word = !text.is_empty() && !text.contains(char::is_whitespace);
    match shape {
        Shape::Boolean => matches!(text, "true" | "false").then(|| text.to_owned()),
        Shape::Integer(_) => text.parse::<i64>().ok().map(|number| number.to_string()),
        Shape::Word(words) => words.contains(&text).then(|| quoted(text)),
        Shape::Duration => thalweg_core::units::parse_duration(text).ok().map(|_| quoted(text)),
        Shape::DurationRange | Shape::Size | Shape::Rate | Shape::CountRate | Shape::Threshold | Shape::Percent => {
            one_word.then(|| quoted(text))
        }
        Shape::Text => one_word.then(|| quoted(text)),
        Shape::OneOrMany(shape) => literal(shape, text),
        Shape::Any(shapes) => shapes.iter().find_map(|shape| literal(shape, text)),
        Shape::Pattern | Shape::Condition | Shape::List(_) | Shape::Table(_) | Shape::Map(_) | Shape::Value => None,
    }
}

/// Returns the default of a key beside the others that are given: `A; for newest: B` is B where `match = "newest"`.
fn default_beside<'t>(text: &'t str, table: Option<&DeTable<'_>>) -> &'t str {
    let mut parts = text.split("; for ");
    let mut chosen = parts.next().unwrap_or_default();
    for part in parts {
        let Some((kinds, value)) = part.split_once(": ") else { continue };
        let is = |kind: &str| match kind {
            "file" => table.is_some_and(|table| table.get("file").is_some()),
            word => table.and_then(|table| table.get("match")).is_some_and(|v| v.get_ref().as_str() == Some(word)),
        };
        if kinds.split(" and ").any(is) {
            chosen = value;
        }
    }
    // What stands in parentheses explains it.
    chosen.split(" (").next().unwrap_or_default().trim()
}

impl Writer<'_> {
    fn say(&mut self, text: impl Into<String>) {
        self.lines.push(Line { text: text.into(), default: false });
    }

    fn raw(&self, value: &Val<'_>) -> String {
        self.source.text.get(value.span()).unwrap_or_default().to_owned()
    }

    fn file(&mut self, top: &DeTable<'_>) {
        self.say("# Every key that holds, and its value. What was not written says so: it may be left out.");
        let text = format!("flow = {}", quoted(&self.flow.name));
        self.lines.push(Line { text, default: top.get("flow").is_none() });
        self.params(top);
        for key in keys::FLOW.keys.iter().filter(|key| !matches!(key.name, "flow" | "params")) {
            match (top.get(key.name), section_of(&key.shape)) {
                (given, Some(section)) => {
                    self.say("");
                    self.say(format!("[{}]", key.name));
                    self.section(given.and_then(|value| value.get_ref().as_table()), section, "");
                }
                (Some(value), None) => {
                    let Some(table) = value.get_ref().as_table() else { continue };
                    let inner = inner_of(&key.shape);
                    for (name, value) in in_order(table) {
                        self.say("");
                        self.say(format!("[{}.{}]", key.name, key_text(&name.value)));
                        let Some(table) = value.get_ref().as_table() else { continue };
                        match inner.and_then(section_of) {
                            Some(section) => self.section(Some(table), section, ""),
                            None => {
                                for (name, value) in in_order(table) {
                                    let raw = self.raw(value);
                                    self.say(format!("{} = {raw}", key_text(&name.value)));
                                }
                            }
                        }
                    }
                }
                (None, None) => {}
            }
        }
    }

    // Parameters stand there with the values in force; what was set from outside, or refers to it, says so.
    fn params(&mut self, top: &DeTable<'_>) {
        let Some(table) = top.get("params").and_then(|value| value.get_ref().as_table()) else { return };
        self.say("");
        self.say("[params]");
        for (name, value) in in_order(table) {
            let said = outside(&name.value, self.settings, self.around).map(|(_, origin)| origin);
            let referred = || value.get_ref().as_table().map(|_| self.raw(value).replace(['\n', '\r'], " "));
            let key = key_text(&name.value);
            match (said.or_else(referred), self.flow.params.get(&name.value)) {
                (Some(origin), Some(value)) => {
                    let text = format!("{key} = {}  # from {origin}", value_text(value));
                    self.say(text);
                }
                _ => {
                    let raw = self.raw(value);
                    self.say(format!("{key} = {raw}"));
                }
            }
        }
    }

    fn section(&mut self, table: Option<&DeTable<'_>>, section: &'static Section, prefix: &str) {
        for key in section.keys {
            let name = format!("{prefix}{}", key_text(key.name));
            match table.and_then(|table| table.get(key.name)) {
                Some(value) => self.value(&name, value, &key.shape),
                None => self.default(&name, key, table),
            }
        }
    }

    fn value(&mut self, name: &str, value: &Val<'_>, shape: &'static Shape) {
        match value.get_ref() {
            DeValue::Table(table) if !table.is_empty() => {
                if let Some(section) = section_of(shape) {
                    return self.section(Some(table), section, &format!("{name}."));
                }
                if let Some(inner) = inner_of(shape) {
                    for (key, value) in in_order(table) {
                        self.value(&format!("{name}.{}", key_text(&key.value)), value, inner);
                    }
                    return;
                }
                let raw = self.raw(value);
                self.say(format!("{name} = {raw}"));
            }
            DeValue::Table(_) => self.say(format!("{name} = {{}}")),
            DeValue::Array(values) if values.iter().any(|value| value.get_ref().as_table().is_some()) => {
                let parts: Vec<String> = values.iter().map(|value| self.inline(value, shape)).collect();
                self.say(format!("{name} = [{}]", parts.join(", ")));
            }
            _ => {
                let raw = self.raw(value);
                self.say(format!("{name} = {raw}"));
            }
        }
    }

    // A table within a list: its defaults stand in it, unmarked.
    fn inline(&self, value: &Val<'_>, shape: &Shape) -> String {
        let (Some(table), Some(section)) = (value.get_ref().as_table(), section_of(shape)) else {
            return self.raw(value);
        };
        let entry = |key: &Key| {
            let text = match table.get(key.name) {
                Some(value) => self.raw(value),
                None => literal(&key.shape, default_beside(key.default()?, Some(table)))?,
            };
            Some(format!("{} = {text}", key_text(key.name)))
        };
        format!("{{ {} }}", section.keys.iter().filter_map(entry).collect::<Vec<_>>().join(", "))
    }

    fn default(&mut self, name: &str, key: &'static Key, table: Option<&DeTable<'_>>) {
        let Some(said) = key.default() else {
            // A table that may be left out with all its keys.
            if let Shape::Table(section) = &key.shape
                && section.keys.iter().all(|key| !key.required)
            {
                self.section(None, section, &format!("{name}."));
            }
            return;
        };
        let text = match literal(&key.shape, default_beside(said, table)) {
            Some(value) => format!("{name} = {value}"),
            None => format!("# {name}: {said}"),
        };
        self.lines.push(Line { text, default: true });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_beside_others_goes_by_them() {
        let (table, _) = DeTable::parse_recoverable("match = \"newest\"");
        let said = "forever; for newest: 0s";
        assert_eq!(default_beside(said, Some(table.get_ref())), "0s");
        assert_eq!(default_beside(said, None), "forever");
        let (table, _) = DeTable::parse_recoverable("file = \"x\"");
        assert_eq!(default_beside("upgrade; for newest and file: ignore", Some(table.get_ref())), "ignore");
        assert_eq!(default_beside("any (act on what is there)", None), "any");
    }

    #[test]
    fn a_default_that_the_list_of_keys_names_is_a_value_or_explains_itself() {
        for section in keys::sections() {
            for key in section.keys {
                let Some(said) = key.default() else { continue };
                let words = said.contains(' ');
                let value = literal(&key.shape, default_beside(said, None));
                assert!(value.is_some() || words, "{}.{}: {said}", section.name, key.name);
            }
        }
    }
}
