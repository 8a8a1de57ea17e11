//! From text to a validated flow: each part of the file has its module here; what concerns several parts at once is
//! checked in `validate`.

mod command;
mod hours;
mod keeps;
mod log;
mod params;
mod products;
mod stations;
mod steps;

pub(crate) use params::outside;
pub(crate) use products::field_span;

use std::collections::BTreeMap;

use toml::de::DeTable;

use crate::diagnostic::{Diagnostics, Problem, Severity};
use crate::keys;
use crate::model::{BACKLOG, Flow};
use crate::reader::{Entries, Reader, Text, Val, in_order, listed, nearest, unknown_help};
use crate::source::{Settings, Source, Surroundings};
use crate::validate;

/// A flow file that can be used.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// What it says.
    pub flow: Flow,
    /// What is probably not meant as it is written.
    pub warnings: Vec<Problem>,
}

/// The flow under construction, and the names that are declared whether or not what they name is sound.
pub(crate) struct Draft {
    pub(crate) flow: Flow,
    /// Families of stations: the name as written to its members.
    pub(crate) families: BTreeMap<String, Vec<String>>,
    pub(crate) stations: Vec<String>,
    pub(crate) products: Vec<String>,
    pub(crate) steps: Vec<String>,
    pub(crate) notify: Vec<String>,
}

/// Reads and validates a flow file.
///
/// # Errors
///
/// Everything that is wrong with it, in the order of the file, warnings among them.
pub fn parse(source: &Source, settings: &Settings, around: &dyn Surroundings) -> Result<Parsed, Diagnostics> {
    let mut reader = Reader::new(source, settings, around);
    let (document, errors) = DeTable::parse_recoverable(&source.text);
    for error in errors {
        reader.syntax_error(error.message(), error.span());
    }
    let name = source.name.rsplit(['/', '\\']).next().unwrap_or_default().trim_end_matches(".toml").to_owned();
    let mut draft = Draft::new(name);
    let top = reader.entries_of(document.get_ref(), 0..0, &keys::FLOW, "");
    read_all(&mut reader, &mut draft, &top);
    drop(top);
    validate::validate(&mut reader, &draft);
    let Reader { problems, notes, .. } = reader;
    draft.flow.notes = notes;
    let found = Diagnostics::new(source.clone(), problems);
    if found.problems.iter().any(|problem| problem.severity == Severity::Error) {
        return Err(found);
    }
    Ok(Parsed { flow: draft.flow, warnings: found.problems })
}

fn read_all<'s>(reader: &mut Reader<'s>, draft: &mut Draft, top: &Entries<'_, 's>) {
    params::read(reader, draft, top);
    if let Some(name) = reader.get_text(top, "flow") {
        draft.flow.name = name.value;
    }
    let backlog = reader.get(top, "run", |reader, value| {
        let entries = reader.entries(value, &keys::RUNNING, "run")?;
        reader.get(&entries, "backlog", |reader, value| reader.integer(value, 0))
    });
    draft.flow.backlog = backlog.map_or(BACKLOG, |files| u64::try_from(files).unwrap_or(BACKLOG));
    draft.stations = declared(top, "stations");
    draft.products = declared(top, "products");
    draft.steps = declared(top, "steps");
    draft.notify = declared(top, "notify");
    each_named(reader, top, "stations", |reader, name, value| stations::read(reader, draft, name, value));
    stations::finish(reader, draft);
    each_named(reader, top, "products", |reader, name, value| products::read(reader, draft, name, value));
    each_named(reader, top, "steps", |reader, name, value| steps::read(reader, draft, name, value));
    each_named(reader, top, "keeps", |reader, name, value| keeps::read_keep(reader, draft, name, value));
    each_named(reader, top, "checks", |reader, name, value| keeps::read_check(reader, draft, name, value));
    each_named(reader, top, "notify", |reader, name, value| keeps::read_notify(reader, draft, name, value));
    if let Some(log) = reader.get(top, "log", log::read) {
        draft.flow.log = log;
    }
    each_named(reader, top, "serve", |reader, name, value| keeps::read_serve(reader, draft, name, value));
}

fn declared(top: &Entries<'_, '_>, section: &'static str) -> Vec<String> {
    top.get(section)
        .and_then(|value| value.get_ref().as_table())
        .map_or(Vec::new(), |table| in_order(table).into_iter().map(|(name, _)| name.value).collect())
}

/// Calls `read` for each named table of a section, after checking the name.
fn each_named<'a, 's>(
    reader: &mut Reader<'s>,
    top: &Entries<'a, 's>,
    section: &'static str,
    mut read: impl FnMut(&mut Reader<'s>, &Text, &'a Val<'s>),
) {
    let Some(value) = top.get(section) else { return };
    let Some(table) = value.get_ref().as_table() else {
        reader.get(top, section, |reader, value| {
            reader.wrong_type(value, "a table of named tables", &format!("write [{section}.NAME] and its keys below"));
            None::<()>
        });
        return;
    };
    for (name, value) in in_order(table) {
        let family = section == "stations" && name.value.contains('{');
        let sound = |c: char| {
            c.is_alphanumeric()
                || matches!(c, '-' | '_')
                || (c == '.' && section == "stations")
                || (family && matches!(c, '{' | '}'))
        };
        if name.value.is_empty() || name.value.starts_with('-') || !name.value.chars().all(sound) {
            reader.problem(
                Problem::error("bad-name", name.span.clone(), format!("`{}` cannot be a name", name.value))
                    .label("not a name")
                    .help("names are made of letters, digits, `-` and `_`, and do not start with `-`"),
            );
            continue;
        }
        reader.remember(format!("{section}.{}", name.value), &name);
        read(reader, &name, value);
        // The table's own place must not hide that of its name.
        reader.remember(format!("{section}.{}", name.value), &name);
    }
}

impl Draft {
    fn new(name: String) -> Self {
        Self {
            flow: Flow {
                name,
                params: BTreeMap::new(),
                tables: BTreeMap::new(),
                stations: BTreeMap::new(),
                products: BTreeMap::new(),
                steps: BTreeMap::new(),
                step_order: Vec::new(),
                keeps: BTreeMap::new(),
                checks: BTreeMap::new(),
                backlog: BACKLOG,
                notify: BTreeMap::new(),
                serve: BTreeMap::new(),
                log: crate::model::Log::default(),
                notes: Vec::new(),
            },
            families: BTreeMap::new(),
            stations: Vec::new(),
            products: Vec::new(),
            steps: Vec::new(),
            notify: Vec::new(),
        }
    }

    /// Returns the stations that a name stands for: itself, or a family's members; none for an unknown name.
    pub(crate) fn members(&self, name: &str) -> Option<Vec<String>> {
        if let Some(members) = self.families.get(name) {
            return Some(members.clone());
        }
        (self.flow.stations.contains_key(name) || self.stations.iter().any(|known| known == name))
            .then(|| vec![name.to_owned()])
    }

    /// Returns every name by which a station can be meant.
    pub(crate) fn station_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.stations.iter().map(String::as_str).collect();
        for members in self.families.values() {
            names.extend(members.iter().map(String::as_str));
        }
        names.dedup();
        names
    }
}

/// Says the commonest slips of a line in plain words: a text without quotes, or with one.
fn plainly(text: &str, start: usize, end: usize) -> Option<(std::ops::Range<usize>, String, String)> {
    let line = text.get(start..end)?;
    let (key, value) = line.split_once('=')?;
    let key = key.trim();
    let offset = start + line.len() - value.trim_start().len();
    let value = value.trim();
    let quote = value.chars().next()?;
    if matches!(quote, '"' | '\'') && value.matches(quote).count() == 1 {
        return Some((
            offset..offset + value.len(),
            "the text is not closed".to_owned(),
            format!("close it where it began, on the same line: {key} = {value}{quote}"),
        ));
    }
    let bare = value.split('#').next().unwrap_or_default().trim();
    let word =
        |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '/' | '.' | ':' | '@' | ' ' | '%' | '~' | '{' | '}');
    let textual = quote.is_alphabetic()
        || matches!(quote, '/' | '~' | '.')
        || (quote.is_ascii_digit() && bare.contains(char::is_alphabetic));
    if textual && bare.chars().all(word) && !matches!(bare, "true" | "false" | "inf" | "nan") {
        return Some((
            offset..offset + bare.len(),
            "a text stands in quotes".to_owned(),
            format!("write {key} = \"{bare}\""),
        ));
    }
    None
}

impl Reader<'_> {
    fn syntax_error(&mut self, message: &str, span: Option<std::ops::Range<usize>>) {
        let text = &self.source.text;
        let span = span.unwrap_or(text.len()..text.len());
        let start = text.get(..span.start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
        let end = text.get(span.end..).and_then(|after| after.find('\n')).map_or(text.len(), |at| span.end + at);
        if let Some((span, message, help)) = plainly(text, start, end) {
            self.problems.push(Problem::error("syntax", span, message).label("here").help(help));
            self.broken.push(start..end.max(start + 1));
            return;
        }
        let help = if message.contains("must be quoted") || message.contains("string values") {
            "put text in quotes: key = \"value\""
        } else if message.contains("duplicate key") {
            "each key and each [table] stands once in a file: remove one of them, or give it another name"
        } else if message.contains("unclosed") || message.contains("missing closing") {
            "close what is opened: every quote, bracket and brace needs its partner"
        } else {
            "a flow file is TOML: key = \"text\", key = 5, key = [\"a\", \"b\"], key = { inner = \"x\" }, [table.name]"
        };
        self.problems.push(
            Problem::error("syntax", span, format!("this is no TOML: {message}"))
                .label(message.split(',').next().unwrap_or(message))
                .help(help),
        );
        self.broken.push(start..end.max(start + 1));
    }

    /// Resolves a station's or a family's name.
    pub(crate) fn stations(&mut self, draft: &Draft, text: &Text) -> Vec<String> {
        if let Some(members) = draft.members(&text.value) {
            return members;
        }
        let known = draft.station_names();
        let family = draft.families.keys().find(|family| text.value.contains('{') && family.contains('{'));
        let help = match family {
            Some(family) if nearest(&text.value, &known).is_none() => format!("families of stations: `{family}`"),
            _ => unknown_help(&text.value, &known, "station", "[stations]"),
        };
        self.problem(
            Problem::error(
                "unknown-station",
                text.part(&(0..text.value.len())),
                format!("there is no station `{}`", text.value),
            )
            .label("unknown station")
            .help(help),
        );
        Vec::new()
    }

    /// Checks that a product is declared.
    pub(crate) fn product(&mut self, draft: &Draft, text: &Text) -> Option<String> {
        self.declared_name(&draft.products, text, "product", "unknown-product", "[products]")
    }

    /// Checks that a step is declared.
    pub(crate) fn step(&mut self, draft: &Draft, text: &Text) -> Option<String> {
        self.declared_name(&draft.steps, text, "step", "unknown-step", "[steps]")
    }

    /// Checks that a name is among those declared.
    pub(crate) fn declared_name(
        &mut self,
        known: &[String],
        text: &Text,
        what: &str,
        code: &'static str,
        wherever: &str,
    ) -> Option<String> {
        if known.contains(&text.value) {
            return Some(text.value.clone());
        }
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let help = unknown_help(&text.value, &known, what, wherever);
        self.problem(
            Problem::error(code, text.part(&(0..text.value.len())), format!("there is no {what} `{}`", text.value))
                .label(format!("unknown {what}"))
                .help(help),
        );
        None
    }

    /// Records that a field is unknown.
    pub(crate) fn unknown_field(&mut self, span: std::ops::Range<usize>, field: &str, known: &[&str], of: &str) {
        let help = match nearest(field, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => format!("{of} has no fields; fields stand in braces in the path"),
            None => format!("{of} has {}", listed(known)),
        };
        self.problem(
            Problem::error("unknown-field", span, format!("{of} has no field `{field}`"))
                .label("unknown field")
                .help(help),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::InMemory;

    #[test]
    fn every_listed_key_is_read() {
        // Each table of keys asserts, when it is let go in tests, that everything it lists has been asked for.
        let text = include_str!("../../tests/flows/everything.toml");
        let mut around = InMemory::default();
        around.files.insert("dsms.txt".to_owned(), "a\nb\n".to_owned());
        let parsed = parse(&Source::new("everything.toml", text), &Settings::default(), &around);
        assert!(parsed.is_ok(), "{}", parsed.err().map_or(String::new(), |found| found.render(false, 120)));
    }

    #[test]
    fn every_key_of_the_language_stands_in_the_flow_that_uses_all() {
        let text = include_str!("../../tests/flows/everything.toml");
        for section in keys::sections() {
            for key in section.keys {
                let given = text.lines().any(|line| {
                    let line = line.trim_start();
                    line.starts_with(&format!("{} =", key.name))
                        || line.starts_with(&format!("{}.", key.name))
                        || line.contains(&format!("[{}", key.name))
                        || line.contains(&format!("{{ {} =", key.name))
                        || line.contains(&format!(", {} =", key.name))
                });
                assert!(given, "{} of {}", key.name, section.name);
            }
        }
    }
}
