//! Products: path patterns, coverage, readiness, what tells files apart.

use std::collections::BTreeMap;

use thalweg_core::Value;
use thalweg_core::pattern::{FieldType, Pattern};
use thalweg_core::units::parse_duration;

use crate::diagnostic::Problem;
use crate::keys;
use crate::model::{AHEAD, Compare, Product, Ready, SpanRule};
use crate::reader::{Reader, Text, Val, is_name, listed, unknown_help};

use super::Draft;

/// Reads one entry of `products`.
pub(super) fn read<'s>(reader: &mut Reader<'s>, draft: &mut Draft, name: &Text, value: &Val<'s>) {
    let place = format!("products.{}", name.value);
    let Some(entries) = reader.entries(value, &keys::PRODUCT, &place) else { return };
    let mut types = BTreeMap::new();
    let written = reader.get(&entries, "path", |reader, value| pattern_text(reader, value, &format!("{place}.path")));
    let main_text = written.clone();
    let path = written.and_then(|text| compile(reader, draft, &text, &mut types));
    let own: Vec<String> =
        path.as_ref().map_or(Vec::new(), |path| path.base_fields().into_iter().map(|field| field.name).collect());
    let path_at = reader
        .get(&entries, "path_at", |reader, value| {
            reader.map(
                value,
                "a table of stations and patterns",
                "path_at.STATION = \"{site}/{file}\"",
                |reader, station, value| {
                    let text = pattern_text(reader, value, &format!("{place}.path_at.{}", station.value))?;
                    Some((station.clone(), text))
                },
            )
        })
        .unwrap_or_default();
    let mut other_paths = BTreeMap::new();
    let mut dropped: Vec<(Text, Text, Vec<String>)> = Vec::new();
    for (_, (station, text)) in path_at {
        let members = reader.stations(draft, &station);
        let own_name = main_text.as_ref().and_then(|main| with_own_name(main, &text, &types));
        let Some(pattern) = compile(reader, draft, own_name.as_ref().unwrap_or(&text), &mut types) else { continue };
        if own_name.is_none() && !pattern.uses_file_name() {
            let used = pattern.uses();
            dropped.push((
                station.clone(),
                text.clone(),
                own.iter().filter(|field| !used.contains(*field)).cloned().collect(),
            ));
        }
        for field in pattern.uses() {
            if path.is_some() && !own.contains(&field) {
                let known: Vec<&str> = own.iter().map(String::as_str).collect();
                let span = field_span(&text, &field);
                let nearest = crate::reader::nearest(&field, &known);
                let help = nearest.map_or(
                    format!("`path` has {}: use these only, or add `{{{field}}}` to `path`", listed(&known)),
                    |near| format!("did you mean `{near}`?"),
                );
                reader.problem(
                    Problem::error(
                        "unknown-field",
                        span,
                        format!(
                            "`path_at.{}` needs `{field}`, which the product's `path` does not have",
                            station.value
                        ),
                    )
                    .label("files of this product have no such field")
                    .help(help),
                );
            }
        }
        for member in members {
            other_paths.insert(member, pattern.clone());
        }
    }
    // Fields without a type are text; only now, so that another pattern of the product may give one.
    for field in path.iter().chain(other_paths.values()).flat_map(Pattern::base_fields) {
        types.entry(field.name).or_insert(field.kind);
    }
    let format = reader.get_text(&entries, "format").map(|format| format.value);
    let reads: BTreeMap<String, String> = reader
        .get(&entries, "reads", |reader, value| {
            reader.map(
                value,
                "a table of fields and the probe's names",
                "reads = { cpid = \"cp\" }",
                |reader, _, value| Some(reader.text(value)?.value),
            )
        })
        .map_or(BTreeMap::new(), |reads| reads.into_iter().map(|(field, name)| (field.value, name)).collect());
    let covers_content = reader.get(&entries, "covers", |reader, value| reader.word(value, &["content"])).is_some();
    let compare = match reader.get(&entries, "compare", |reader, value| reader.word(value, &["bytes", "data"])) {
        Some(1) => Compare::Data,
        _ => Compare::Bytes,
    };
    let mut fields: Vec<String> = own.clone();
    fields.extend(reads.keys().cloned());
    let number = entries.get("span").and_then(|value| match value.get_ref() {
        toml::de::DeValue::Integer(number) => Some((value.span(), number.to_string())),
        _ => None,
    });
    if let Some((span, number)) = &number {
        reader.problem(
            Problem::error("missing-unit", span.clone(), format!("`span` needs a unit: {number} what?"))
                .label("so many what?")
                .help(format!(
                    "write it in quotes with its unit: \"{number}s\" for seconds; from a field: \"{{dur}}s\""
                )),
        );
    }
    let written = if number.is_some() { None } else { reader.get_text(&entries, "span") };
    let span = written.and_then(|text| read_span(reader, &text, &types));
    let time_field = path.as_ref().and_then(Pattern::time_field).map(|field| field.name);
    let until_next = reader.get(&entries, "until", |reader, value| reader.word(value, &["next"])).is_some();
    let product = Product {
        name: name.value.clone(),
        was: reader.get_text(&entries, "was").map(|was| was.value),
        path_at: other_paths,
        time_field,
        until_next,
        group: known_fields(reader, &entries, "group", &fields),
        covers_content,
        ready: reader
            .get(&entries, "ready", |reader, value| read_ready(reader, value, &fields, &place))
            .unwrap_or(Ready { closed: true, ..Ready::default() }),
        require: reader.get(&entries, "require", |reader, value| reader.condition(value, &format!("{place}.require"))),
        ahead: reader.get_duration(&entries, "ahead").unwrap_or(AHEAD),
        version: reader
            .get_text(&entries, "version")
            .filter(|text| {
                let known: Vec<&str> = fields.iter().map(String::as_str).collect();
                if !fields.contains(&text.value) {
                    reader.unknown_field(
                        text.part(&(0..text.value.len())),
                        &text.value,
                        &known,
                        "the product's `path`",
                    );
                }
                true
            })
            .map(|version| version.value),
        labels: known_fields(reader, &entries, "labels", &fields),
        compare,
        otherwise: reader.get_flag(&entries, "otherwise").unwrap_or_default(),
        temporary: reader
            .get(&entries, "temporary", Reader::list)
            .map_or(Vec::new(), |globs| globs.into_iter().map(|glob| glob.value).collect()),
        span,
        reads,
        format,
        types,
        path: match path {
            Some(path) => path,
            None => {
                // The other keys have been read for their own problems; without a path there is no product.
                return;
            }
        },
    };
    if product.format.is_none() {
        if product.compare == Compare::Data {
            reader.problem(
                Problem::warning(
                    "missing-format",
                    entries.key_span("compare"),
                    "`compare = \"data\"` reads the content, and the product has no `format`",
                )
                .label("the bytes decide")
                .help("add the format whose probe reads it, e.g. format = \"dmap\", or write compare = \"bytes\""),
            );
        }
        for (key, needed) in [("covers", product.covers_content), ("reads", !product.reads.is_empty())] {
            if needed {
                reader.problem(
                    Problem::error(
                        "missing-format",
                        entries.key_span(key),
                        format!("`{key}` reads the content, and the product has no `format`"),
                    )
                    .label("which format?")
                    .help("add the format whose probe reads it, e.g. format = \"dmap\""),
                );
            }
        }
    }
    for (station, text, fields) in dropped {
        let distinct: Vec<&str> = fields
            .iter()
            .map(String::as_str)
            .filter(|field| !product.labels.iter().chain(&product.version).any(|other| other == field))
            .collect();
        if !distinct.is_empty() {
            let message = format!(
                "`path_at.{}` drops {}, so that two files could get one path",
                station.value,
                listed(&distinct)
            );
            let help = format!(
                "add {} to it, or end it with {{file}}, which keeps the name; fields that tell no files apart are `labels`",
                distinct.iter().map(|field| format!("{{{field}}}")).collect::<Vec<_>>().join(", ")
            );
            reader.problem(
                Problem::error("same-path", text.part(&(0..text.value.len())), message)
                    .label("not one path for each file")
                    .help(help),
            );
        }
    }
    known_format(reader, &product, &place);
    if product.time_field.is_none() {
        for (key, needed) in [
            ("span", product.span.is_some() && !product.covers_content),
            ("until", product.until_next && !product.covers_content),
        ] {
            if needed {
                reader.problem(
                    Problem::error("no-start", entries.key_span(key), format!("`{key}` needs a start, and the path says no time"))
                        .label("from when?")
                        .help("add the start to the path, e.g. {time:%Y%m%d.%H%M} or {gps:gps}, or read coverage from the content with covers = \"content\""),
                );
            }
        }
    }
    draft.flow.products.insert(name.value.clone(), product);
}

/// Writes out a last part `{file}` as the last part of the product's own path, so that a file found there has its fields.
///
/// None where the name alone cannot be read back: then `{file}` stays as it is.
fn with_own_name(main: &Text, text: &Text, types: &BTreeMap<String, FieldType>) -> Option<Text> {
    let (folder, name) = text.value.rsplit_once('/').map_or(("", text.value.as_str()), |(folder, name)| (folder, name));
    let mut depth = 0_usize;
    let mut start = 0;
    for (at, c) in main.value.char_indices() {
        match c {
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            '/' if depth == 0 => start = at + 1,
            _ => {}
        }
    }
    let own = &main.value[start..];
    if name != "{file}" || own.is_empty() || own.contains('/') || own.contains("{file}") {
        return None;
    }
    let pattern = Pattern::parse(own, &mut types.clone()).ok()?;
    if pattern.base_fields().iter().any(|field| matches!(field.kind, FieldType::Path)) {
        return None;
    }
    let whole = if folder.is_empty() { own.to_owned() } else { format!("{folder}/{own}") };
    Pattern::parse(&whole, &mut types.clone()).ok()?;
    Some(text.replaced(whole))
}

/// Formats that the language names; those that the caller cannot probe are accepted with a note.
const PLANNED: [&str; 6] = ["fits", "gwf", "hdf5", "netcdf", "nidas", "stix"];

/// Checks that somebody reads the format of a product.
fn known_format(reader: &mut Reader<'_>, product: &Product, place: &str) {
    let known = &reader.settings.known_formats;
    let Some(format) = product.format.as_deref() else { return };
    if known.is_empty() || known.iter().any(|known| known == format) {
        return;
    }
    if PLANNED.contains(&format) {
        let mut needs = Vec::new();
        for (key, needed) in [
            ("covers", product.covers_content),
            ("reads", !product.reads.is_empty()),
            ("compare", product.compare == Compare::Data),
        ] {
            if needed {
                needs.push(format!("`{key}`"));
            }
        }
        if !needs.is_empty() {
            let (listed, verb) = (needs.join(", "), if needs.len() == 1 { "asks" } else { "ask" });
            reader.note(place, format!("nothing reads the format {format} yet: {listed} {verb} for what stands in the files, which stays unknown"));
        }
        return;
    }
    let mut all: Vec<&str> = known.iter().map(String::as_str).chain(PLANNED).collect();
    all.sort_unstable();
    all.dedup();
    let help = crate::reader::nearest(format, &all).map_or_else(
        || format!("formats: {}; leave `format` out if nothing reads the content", listed(&all)),
        |near| format!("did you mean `{near}`?"),
    );
    let message = format!("there is no format `{format}`");
    let span = reader.span_of(&format!("{place}.format"));
    reader.problem(Problem::error("unknown-format", span, message).label("unknown format").help(help));
}

/// Reads a pattern's text and fills in parameters.
pub(super) fn pattern_text<'s>(reader: &mut Reader<'s>, value: &Val<'s>, place: &str) -> Option<Text> {
    let Some(text) = reader.plain_text(value) else {
        reader.wrong_type(value, "a path pattern", "write it in quotes: \"{time:%Y%m%d}/{site}.dat\"");
        return None;
    };
    let text = with_params(reader, &text)?;
    reader.remember(place, &text);
    Some(text)
}

/// Replaces `$name` inside braces: `{$name}` by the value, elsewhere (`{site:$sites}`) a list by its alternatives.
fn with_params(reader: &mut Reader<'_>, text: &Text) -> Option<Text> {
    let mut filled = String::new();
    let mut depth = 0_usize;
    let mut at = 0;
    let mut changed = false;
    while let Some(c) = text.value[at..].chars().next() {
        let width = c.len_utf8();
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            '$' if depth > 0 => {
                let rest = &text.value[at + 1..];
                let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
                if length > 0 && is_name(&rest[..length]) {
                    let value = reader.param(&rest[..length], &text.part(&(at..at + 1 + length)))?;
                    let whole = filled.ends_with('{') && rest[length..].starts_with('}');
                    let written = match value {
                        // One alternative is a choice too, and no type.
                        Value::List(values)
                            if values.len() == 1 && filled.ends_with(':') && rest[length..].starts_with('}') =>
                        {
                            format!("({})", values[0])
                        }
                        Value::List(values) => values.iter().map(Value::to_string).collect::<Vec<_>>().join("|"),
                        value => value.to_string(),
                    };
                    changed = true;
                    if whole {
                        filled.pop();
                        filled.push_str(&written);
                        depth = depth.saturating_sub(1);
                        at += 2 + length;
                    } else {
                        filled.push_str(&written);
                        at += 1 + length;
                    }
                    continue;
                }
            }
            _ => {}
        }
        filled.push(c);
        at += width;
    }
    Some(if changed { text.replaced(filled) } else { text.clone() })
}

/// Compiles a pattern and checks the tables it names.
pub(super) fn compile(
    reader: &mut Reader<'_>,
    draft: &Draft,
    text: &Text,
    types: &mut BTreeMap<String, FieldType>,
) -> Option<Pattern> {
    if text.value.starts_with('/') || text.value.split('/').any(|part| part == "..") {
        reader.problem(
            Problem::error(
                "bad-pattern",
                text.part(&(0..text.value.len())),
                "paths of files lie below a station's root",
            )
            .label("leaves the root")
            .help("write the path relative to the root: no leading `/`, no `..`"),
        );
        return None;
    }
    match Pattern::parse(&text.value, types) {
        Ok(pattern) => {
            for table in pattern.tables() {
                if !draft.flow.tables.contains_key(&table) && !reader.table_declared(&table) {
                    let known: Vec<&str> = draft.flow.tables.keys().map(String::as_str).collect();
                    let at =
                        text.value.find(&format!("{table}(")).map_or(0..text.value.len(), |at| at..at + table.len());
                    let help = unknown_help(&table, &known, "table", &format!("[tables.{table}]"));
                    reader.problem(
                        Problem::error("unknown-table", text.part(&at), format!("there is no table `{table}`"))
                            .label("unknown table")
                            .help(help),
                    );
                }
            }
            Some(pattern)
        }
        Err(errors) => {
            for error in errors {
                let mut problem = Problem::error("bad-pattern", text.part(&error.span), error.message.clone())
                    .label("in this pattern");
                problem.help = error.help.or_else(|| {
                    Some(
                        "fields stand in braces: {site}, {slice:int}, {time:%Y%m%d}; text between them stands as it is"
                            .to_owned(),
                    )
                });
                reader.problem(problem);
            }
            None
        }
    }
}

/// Returns the place of a field in a pattern's text.
pub(crate) fn field_span(text: &Text, field: &str) -> std::ops::Range<usize> {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    for (at, _) in text.value.match_indices(field) {
        let end = at + field.len();
        let before = text.value[..at].chars().next_back();
        let after = text.value[end..].chars().next();
        if !before.is_some_and(word) && !after.is_some_and(word) && text.value[..at].contains('{') {
            return text.part(&(at..end));
        }
    }
    text.part(&(0..text.value.len()))
}

fn read_span(reader: &mut Reader<'_>, text: &Text, types: &BTreeMap<String, FieldType>) -> Option<SpanRule> {
    let whole = text.part(&(0..text.value.len()));
    if let Some((field, unit)) = text.value.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
        let Ok(unit) = parse_duration(&format!("1{}", unit.trim())) else {
            reader.problem(Problem::error("missing-unit", whole, format!("`{}` needs a unit", text.value)).label("so many what?").help(format!("write the unit after the field: \"{{{field}}}s\" for seconds, \"{{{field}}}m\", \"{{{field}}}h\"")));
            return None;
        };
        match types.get(field) {
            Some(FieldType::Int { .. }) => return Some(SpanRule::Field { name: field.to_owned(), unit }),
            Some(_) => reader.problem(
                Problem::error("wrong-type", whole, format!("`{field}` is no whole number"))
                    .label("a length is a number")
                    .help(format!("give it a type in the path: {{{field}:int}}")),
            ),
            None => {
                let known: Vec<&str> = types.keys().map(String::as_str).collect();
                reader.unknown_field(whole, field, &known, "the product's `path`");
            }
        }
        return None;
    }
    match parse_duration(&text.value) {
        Ok(span) if span.is_positive() => Some(SpanRule::Fixed(span)),
        Ok(_) => {
            reader.problem(
                Problem::error("out-of-range", whole, "a file covers more than nothing")
                    .label("not longer than nothing")
                    .help("write a longer span, or leave `span` out"),
            );
            None
        }
        Err(error) => {
            reader.problem(
                Problem::error("wrong-unit", whole, format!("`{}` is not a span of time", text.value))
                    .label(error.message)
                    .help(format!("{}; from a field: \"{{dur}}s\"", error.help)),
            );
            None
        }
    }
}

fn known_fields<'s>(
    reader: &mut Reader<'s>,
    entries: &crate::reader::Entries<'_, 's>,
    key: &'static str,
    fields: &[String],
) -> Vec<String> {
    let Some(names) = reader.get(entries, key, Reader::list) else { return Vec::new() };
    check_fields(reader, names, fields)
}

fn check_fields(reader: &mut Reader<'_>, names: Vec<Text>, fields: &[String]) -> Vec<String> {
    let known: Vec<&str> = fields.iter().map(String::as_str).collect();
    for name in &names {
        if !fields.contains(&name.value) {
            reader.unknown_field(name.part(&(0..name.value.len())), &name.value, &known, "the product");
        }
    }
    names.into_iter().map(|name| name.value).collect()
}

fn read_ready<'s>(reader: &mut Reader<'s>, value: &Val<'s>, fields: &[String], place: &str) -> Option<Ready> {
    if value.get_ref().as_table().is_none() {
        return ready_words(reader, value);
    }
    let entries = reader.entries(value, &keys::READY, &format!("{place}.ready"))?;
    let event = reader.get_text(&entries, "event").map(|event| event.value);
    if event.is_some() {
        reader.note(
            place,
            "`ready.event` is accepted: no events are recorded yet, so files of this product are never ready by one",
        );
    }
    let marker = reader.get_text(&entries, "marker");
    if let Some(marker) = &marker
        && (!marker.value.contains("{file}") || marker.value == "{file}")
    {
        reader.problem(
            Problem::error(
                "bad-marker",
                marker.part(&(0..marker.value.len())),
                "a marker's name is made from the file's name",
            )
            .label("holds no {file}, or nothing besides")
            .help("write e.g. \"{file}.done\""),
        );
    }
    let not_newest = reader.get(&entries, "not_newest", Reader::list).map(|names| check_fields(reader, names, fields));
    Some(Ready {
        closed: reader.get_flag(&entries, "closed").unwrap_or(true),
        quiet: reader.get_duration(&entries, "quiet"),
        renamed: reader.get_flag(&entries, "renamed").unwrap_or_default(),
        marker: marker.map(|marker| marker.value),
        not_newest,
        unopened: reader.get_flag(&entries, "unopened").unwrap_or_default(),
        event,
        age: reader.get_duration(&entries, "age"),
        max_hold: reader.get_duration(&entries, "max_hold"),
    })
}

/// Reads `"closed"`, `"quiet 2m"`, or a list of such words.
fn ready_words<'s>(reader: &mut Reader<'s>, value: &Val<'s>) -> Option<Ready> {
    if value.get_ref().as_str().is_none() && value.get_ref().as_array().is_none() {
        reader.wrong_type(value, "words or a table", "write \"closed\" (what holds without it), \"renamed\", \"not_newest\", or a table: { quiet = \"60s\" }, { renamed = true }, { marker = \"{file}.done\" }");
        return None;
    }
    let words = reader.texts(value)?;
    let mut ready = Ready { closed: words.is_empty(), ..Ready::default() };
    for word in words {
        let span = word.part(&(0..word.value.len()));
        match word.value.as_str() {
            "closed" => ready.closed = true,
            "renamed" => ready.renamed = true,
            "unopened" => ready.unopened = true,
            "not_newest" => ready.not_newest = Some(Vec::new()),
            other => {
                if let Some(quiet) = other.strip_prefix("quiet ") {
                    match parse_duration(quiet) {
                        Ok(quiet) => ready.quiet = Some(quiet),
                        Err(error) => reader.problem(
                            Problem::error("wrong-unit", span, format!("`{quiet}` is not a span of time"))
                                .label(error.message)
                                .help(error.help),
                        ),
                    }
                    continue;
                }
                let help = match other {
                    "quiet" | "age" | "max_hold" => format!("say for how long: ready = {{ {other} = \"60s\" }}"),
                    "marker" => "say which: ready = { marker = \"{file}.done\" }".to_owned(),
                    "event" => "say which: ready = { event = \"coordinator.processed\" }".to_owned(),
                    _ => match crate::reader::nearest(other, &["closed", "renamed", "unopened", "not_newest"]) {
                        Some(near) => format!("did you mean \"{near}\"?"),
                        None => "write \"closed\", \"renamed\", \"unopened\", \"not_newest\", or a table: { quiet = \"60s\" }".to_owned(),
                    },
                };
                reader.problem(
                    Problem::error("unknown-word", span, format!("`ready` knows no \"{other}\""))
                        .label("unknown word")
                        .help(help),
                );
            }
        }
    }
    Some(ready)
}

impl Reader<'_> {
    /// Tells if a table is declared, even one with problems of its own.
    fn table_declared(&self, name: &str) -> bool {
        self.problems
            .iter()
            .any(|problem| problem.code == "bad-table" && problem.message.starts_with(&format!("table `{name}`")))
    }
}
