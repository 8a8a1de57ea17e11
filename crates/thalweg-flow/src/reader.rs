//! Typed access to the spanned tree of a flow file: every value that is not what it should be becomes a problem with
//! its place and with what to write instead, and reading goes on.
//!
//! It knows shapes (texts, spans of time, lists), not the language: which key means what stands in `parse`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use jiff::SignedDuration;
use jiff::tz::TimeZone;
use thalweg_core::Value;
use thalweg_core::expr::Expr;
use thalweg_core::units::{self, Threshold, UnitError};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::Problem;
use crate::keys::{self, Section};
use crate::model::Note;
use crate::source::{Settings, Source, Surroundings};

/// A value of the file with its place.
pub(crate) type Val<'s> = Spanned<DeValue<'s>>;

/// A text of the file, with its place.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    /// The text, escapes read and a whole `$name` replaced.
    pub(crate) value: String,
    /// Where the whole value stands, quotes included.
    pub(crate) span: Range<usize>,
    /// Where its first byte stands, when its bytes stand in the file as they are.
    inner: Option<usize>,
}

impl Text {
    /// Returns the place of some bytes of the text; the whole value when it is written with escapes.
    pub(crate) fn part(&self, range: &Range<usize>) -> Range<usize> {
        match self.inner {
            Some(inner) if range.start <= range.end && range.end <= self.value.len() => {
                inner + range.start..inner + range.end
            }
            _ => self.span.clone(),
        }
    }

    /// Makes an empty text that stands for a place.
    pub(crate) fn at(span: Range<usize>) -> Self {
        Self { value: String::new(), span, inner: None }
    }

    /// Makes a text of some other bytes of the file.
    pub(crate) fn named(value: &str, span: Range<usize>) -> Self {
        Self { value: value.to_owned(), span, inner: None }
    }

    /// Returns the same place with another text, whose bytes no longer stand in the file.
    pub(crate) fn replaced(&self, value: String) -> Self {
        Self { value, span: self.span.clone(), inner: None }
    }
}

/// The entries of one table, whose keys have been checked against a section.
pub(crate) struct Entries<'a, 's> {
    table: &'a DeTable<'s>,
    section: &'static Section,
    /// Where the table stands (its header, or its braces).
    pub(crate) span: Range<usize>,
    /// Its dotted place, `steps.copy`.
    pub(crate) place: String,
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'a, 's> Entries<'a, 's> {
    /// Returns the value of a key.
    pub(crate) fn get(&self, name: &'static str) -> Option<&'a Val<'s>> {
        debug_assert!(
            self.section.keys.iter().any(|key| key.name == name),
            "`{name}` is not listed for {}",
            self.section.name
        );
        self.asked.borrow_mut().insert(name);
        self.table.get(name)
    }

    /// Tells if a key is given.
    pub(crate) fn has(&self, name: &'static str) -> bool {
        self.get(name).is_some()
    }

    /// Returns the place of a key's name.
    pub(crate) fn key_span(&self, name: &str) -> Range<usize> {
        self.table.iter().find(|(key, _)| key.get_ref() == name).map_or(self.span.clone(), |(key, _)| key.span())
    }
}

impl Drop for Entries<'_, '_> {
    fn drop(&mut self) {
        // What the list of keys promises must be read by somebody; only tests ever see this.
        if cfg!(test) && !std::thread::panicking() {
            let asked = self.asked.borrow();
            for key in self.section.keys {
                assert!(asked.contains(key.name), "nothing reads `{}` of {}", key.name, self.section.name);
            }
        }
    }
}

/// Reads values and collects problems.
pub(crate) struct Reader<'s> {
    pub(crate) source: &'s Source,
    pub(crate) settings: &'s Settings,
    pub(crate) around: &'s dyn Surroundings,
    /// Parameters in force.
    pub(crate) params: BTreeMap<String, Value>,
    /// Parameters that are declared, those with problems included.
    pub(crate) param_names: BTreeSet<String>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) notes: Vec<Note>,
    /// Texts by dotted place, for checks that come later.
    spots: BTreeMap<String, Text>,
    /// Key being read, for messages.
    key: String,
    /// Lines with syntax errors: what was recovered there is not judged.
    pub(crate) broken: Vec<Range<usize>>,
}

impl<'s> Reader<'s> {
    pub(crate) fn new(source: &'s Source, settings: &'s Settings, around: &'s dyn Surroundings) -> Self {
        Self {
            source,
            settings,
            around,
            params: BTreeMap::new(),
            param_names: BTreeSet::new(),
            problems: Vec::new(),
            notes: Vec::new(),
            spots: BTreeMap::new(),
            key: String::new(),
            broken: Vec::new(),
        }
    }

    /// Records a problem, unless it only follows from a syntax error.
    pub(crate) fn problem(&mut self, problem: Problem) {
        if let Some(span) = &problem.span
            && !self.broken.is_empty()
            && (matches!(problem.code, "missing-key")
                || self.broken.iter().any(|line| span.start < line.end && line.start < span.end.max(span.start + 1)))
        {
            return;
        }
        self.problems.push(problem);
    }

    /// Records that something is accepted and not carried out.
    pub(crate) fn note(&mut self, place: impl Into<String>, message: impl Into<String>) {
        let note = Note { place: place.into(), message: message.into() };
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Remembers where a text stands.
    pub(crate) fn remember(&mut self, place: impl Into<String>, text: &Text) {
        self.spots.insert(place.into(), text.clone());
    }

    /// Returns the text remembered for a place.
    pub(crate) fn spot(&self, place: &str) -> Option<&Text> {
        self.spots.get(place)
    }

    /// Returns where a place stands, or the nearest place above it.
    pub(crate) fn span_of(&self, place: &str) -> Range<usize> {
        let mut place = place;
        loop {
            if let Some(text) = self.spots.get(place) {
                return text.span.clone();
            }
            match place.rfind('.') {
                Some(dot) => place = &place[..dot],
                None => return 0..0,
            }
        }
    }

    /// Checks that a value is a table with no other keys than those of a section.
    pub(crate) fn entries<'a>(
        &mut self,
        value: &'a Val<'s>,
        section: &'static Section,
        place: &str,
    ) -> Option<Entries<'a, 's>> {
        let Some(table) = value.get_ref().as_table() else {
            self.wrong_type(value, &format!("a table of the keys of {}", section.name), &example_table(section));
            return None;
        };
        self.remember(place, &Text::at(value.span()));
        Some(self.entries_of(table, value.span(), section, place))
    }

    /// As [`Reader::entries`], for the table of the whole file too.
    pub(crate) fn entries_of<'a>(
        &mut self,
        table: &'a DeTable<'s>,
        span: Range<usize>,
        section: &'static Section,
        place: &str,
    ) -> Entries<'a, 's> {
        for (key, _) in table {
            if !section.keys.iter().any(|known| known.name == key.get_ref()) {
                self.unknown_key(key, section);
            }
        }
        let known: Vec<&str> = section.keys.iter().map(|key| key.name).collect();
        for key in section.keys.iter().filter(|key| key.required) {
            // A misspelt key is one mistake, not two.
            let misspelt = || {
                table.iter().any(|(name, _)| {
                    !known.contains(&name.get_ref().as_ref()) && nearest(name.get_ref(), &known) == Some(key.name)
                })
            };
            if !table.iter().any(|(name, _)| name.get_ref() == key.name) && !misspelt() {
                self.problem(
                    Problem::error("missing-key", span.clone(), format!("`{}` is missing", key.name))
                        .label(format!("{} needs `{}`", section.name, key.name))
                        .help(format!("add `{}`: {}", key.name, lowered(key.about))),
                );
            }
        }
        Entries { table, section, span, place: place.to_owned(), asked: RefCell::new(BTreeSet::new()) }
    }

    fn unknown_key(&mut self, key: &Spanned<std::borrow::Cow<'s, str>>, section: &'static Section) {
        let name: &str = key.get_ref();
        let known: Vec<&str> = section.keys.iter().map(|key| key.name).collect();
        let elsewhere = || keys::sections().into_iter().find(|other| other.keys.iter().any(|key| key.name == name));
        let help = match (nearest(name, &known), elsewhere()) {
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, Some(other)) => {
                format!("`{name}` is a key of {}; {} has {}", other.name, section.name, listed(&known))
            }
            (None, None) => format!("{} has {}", section.name, listed(&known)),
        };
        self.problem(
            Problem::error("unknown-key", key.span(), format!("unknown key `{name}`"))
                .label(format!("not a key of {}", section.name))
                .help(help),
        );
    }

    /// Reads the value of a key, if given, by `read`.
    pub(crate) fn get<'a, T>(
        &mut self,
        entries: &Entries<'a, 's>,
        name: &'static str,
        read: impl FnOnce(&mut Self, &'a Val<'s>) -> Option<T>,
    ) -> Option<T> {
        let value = entries.get(name)?;
        let before = std::mem::replace(&mut self.key, name.to_owned());
        let read = read(self, value);
        self.key = before;
        read
    }

    /// Reads a text by key and remembers its place.
    pub(crate) fn get_text(&mut self, entries: &Entries<'_, 's>, name: &'static str) -> Option<Text> {
        let text = self.get(entries, name, Self::text)?;
        self.remember(format!("{}.{name}", entries.place), &text);
        Some(text)
    }

    /// Reads a text or a list of texts by key and remembers their places.
    pub(crate) fn get_texts(&mut self, entries: &Entries<'_, 's>, name: &'static str) -> Option<Vec<Text>> {
        let texts = self.get(entries, name, Self::texts)?;
        for (n, text) in texts.iter().enumerate() {
            self.remember(format!("{}.{name}.{n}", entries.place), text);
        }
        if let Some(value) = entries.get(name) {
            self.remember(format!("{}.{name}", entries.place), &Text::at(value.span()));
        }
        Some(texts)
    }

    /// Reads a flag by key.
    pub(crate) fn get_flag(&mut self, entries: &Entries<'_, 's>, name: &'static str) -> Option<bool> {
        self.get(entries, name, Self::boolean)
    }

    /// Reads a span of time by key.
    pub(crate) fn get_duration(&mut self, entries: &Entries<'_, 's>, name: &'static str) -> Option<SignedDuration> {
        self.get(entries, name, Self::duration)
    }

    /// Records that a value is of another type than it should be.
    pub(crate) fn wrong_type(&mut self, value: &Val<'s>, expected: &str, help: &str) {
        let found = type_name(value.get_ref());
        let key = self.key.clone();
        let message =
            if key.is_empty() { format!("{expected} is expected here") } else { format!("`{key}` takes {expected}") };
        self.problem(
            Problem::error("wrong-type", value.span(), message).label(format!("this is {found}")).help(help.to_owned()),
        );
    }

    /// Reads a text; `"$name"` alone stands for the parameter's value.
    pub(crate) fn text(&mut self, value: &Val<'s>) -> Option<Text> {
        let Some(text) = self.plain_text(value) else {
            let help = match value.get_ref() {
                DeValue::Integer(number) => format!("write it in quotes: \"{number}\""),
                DeValue::Array(_) => "one is wanted here, not several: write it in quotes, without brackets".to_owned(),
                _ => "write it in quotes: \"…\"".to_owned(),
            };
            self.wrong_type(value, "a text", &help);
            return None;
        };
        self.with_param(text)
    }

    /// Reads a text as it stands.
    pub(crate) fn plain_text(&self, value: &Val<'s>) -> Option<Text> {
        let text = value.get_ref().as_str()?;
        let span = value.span();
        let raw = self.source.text.get(span.clone()).unwrap_or_default();
        let quotes = if raw.starts_with("\"\"\"") || raw.starts_with("'''") { 3 } else { 1 };
        // A newline right after opening triple quotes is not part of the text.
        let skip =
            if quotes == 3 { raw[3..].bytes().take_while(|b| matches!(b, b'\r' | b'\n')).count().min(2) } else { 0 };
        let inner = [quotes + skip, quotes].into_iter().find(|start| raw.get(*start..start + text.len()) == Some(text));
        Some(Text { value: text.to_owned(), inner: inner.map(|inner| span.start + inner), span })
    }

    fn with_param(&mut self, text: Text) -> Option<Text> {
        let Some(name) = text.value.strip_prefix('$').filter(|name| is_name(name)) else {
            return Some(text);
        };
        let name = name.to_owned();
        match self.param(&name, &text.span)? {
            Value::List(_) => {
                self.problem(
                    Problem::error(
                        "wrong-type",
                        text.span.clone(),
                        format!("`${name}` is a list and one value is wanted here"),
                    )
                    .label("a list")
                    .help(format!("give `{name}` under [params] a single value, or use another parameter")),
                );
                None
            }
            value => Some(text.replaced(value.to_string())),
        }
    }

    /// Returns a parameter's value, or records that there is none of this name.
    pub(crate) fn param(&mut self, name: &str, span: &Range<usize>) -> Option<Value> {
        if let Some(value) = self.params.get(name) {
            return Some(value.clone());
        }
        // A declared one without value had its own problem already.
        if !self.param_names.contains(name) {
            let known: Vec<&str> = self.param_names.iter().map(String::as_str).collect();
            let help = unknown_help(name, &known, "parameter", "[params]");
            let problem = Problem::error("unknown-parameter", span.clone(), format!("there is no parameter `{name}`"))
                .label("not under [params]")
                .help(help);
            self.problem(problem);
        }
        None
    }

    /// Reads one text or a list of texts; a list parameter gives its elements.
    pub(crate) fn texts(&mut self, value: &Val<'s>) -> Option<Vec<Text>> {
        match value.get_ref() {
            DeValue::String(_) => self.text_or_list_param(value),
            DeValue::Array(values) => {
                let mut texts = Vec::new();
                let mut sound = true;
                for value in values {
                    match self.text(value) {
                        Some(text) => texts.push(text),
                        None => sound = false,
                    }
                }
                sound.then_some(texts)
            }
            _ => {
                self.wrong_type(value, "a text or a list of texts", "write \"name\", or [\"one\", \"two\"]");
                None
            }
        }
    }

    fn text_or_list_param(&mut self, value: &Val<'s>) -> Option<Vec<Text>> {
        let text = self.plain_text(value)?;
        if let Some(name) = text.value.strip_prefix('$').filter(|name| is_name(name)) {
            return Some(match self.param(name, &text.span)? {
                Value::List(values) => values.iter().map(|value| text.replaced(value.to_string())).collect(),
                value => vec![text.replaced(value.to_string())],
            });
        }
        Some(vec![text])
    }

    /// Reads a list of texts, of which there may be none; a single text is refused.
    pub(crate) fn list(&mut self, value: &Val<'s>) -> Option<Vec<Text>> {
        if let Some(text) = self.plain_text(value)
            && !text.value.starts_with('$')
        {
            let help = format!("write it in brackets: [\"{}\"]", text.value);
            self.wrong_type(value, "a list of texts", &help);
            return None;
        }
        self.texts(value)
    }

    /// Reads true or false.
    pub(crate) fn boolean(&mut self, value: &Val<'s>) -> Option<bool> {
        match value.get_ref() {
            DeValue::Boolean(flag) => return Some(*flag),
            DeValue::String(text) if text.starts_with('$') => {
                let text = self.text(value)?;
                if let Ok(flag) = text.value.parse() {
                    return Some(flag);
                }
            }
            _ => {}
        }
        self.wrong_type(value, "true or false", "write true or false, without quotes");
        None
    }

    /// Reads a whole number of at least `least`.
    pub(crate) fn integer(&mut self, value: &Val<'s>, least: i64) -> Option<i64> {
        let number = match value.get_ref() {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
            DeValue::String(text) if text.starts_with('$') => self.text(value)?.value.parse().ok(),
            _ => None,
        };
        match number {
            Some(number) if number >= least => Some(number),
            Some(number) => {
                let key = self.key.clone();
                self.problem(
                    Problem::error("out-of-range", value.span(), format!("`{key}` is at least {least}, not {number}"))
                        .label("too small")
                        .help(format!("write {least} or more")),
                );
                None
            }
            None => {
                self.wrong_type(value, "a whole number", "write a whole number without quotes: 4");
                None
            }
        }
    }

    fn quantity<T>(
        &mut self,
        value: &Val<'s>,
        what: &str,
        example: &str,
        parse: impl FnOnce(&str) -> Result<T, UnitError>,
    ) -> Option<T> {
        match value.get_ref() {
            DeValue::Integer(_) | DeValue::Float(_) => {
                let raw = self.source.text.get(value.span()).unwrap_or_default().trim().to_owned();
                let key = self.key.clone();
                let unit = parse(&raw).err().map_or(String::new(), |error| format!("; {}", error.help));
                self.problem(
                    Problem::error("missing-unit", value.span(), format!("`{key}` needs a unit"))
                        .label(format!("{raw} of what?"))
                        .help(format!("write {what} in quotes, e.g. {key} = \"{example}\"{unit}")),
                );
                None
            }
            DeValue::String(_) => {
                let text = self.text(value)?;
                match parse(&text.value) {
                    Ok(quantity) => Some(quantity),
                    Err(error) => {
                        let code = if error.message.contains("no unit") && error.message.contains("bare") {
                            "missing-unit"
                        } else {
                            "wrong-unit"
                        };
                        self.problem(
                            Problem::error(
                                code,
                                text.part(&(0..text.value.len())),
                                format!("`{}` is not {what}", text.value),
                            )
                            .label(error.message)
                            .help(error.help),
                        );
                        None
                    }
                }
            }
            _ => {
                let key = self.key.clone();
                self.wrong_type(value, what, &format!("write it in quotes: {key} = \"{example}\""));
                None
            }
        }
    }

    /// Reads a span of time.
    pub(crate) fn duration(&mut self, value: &Val<'s>) -> Option<SignedDuration> {
        let span = self.quantity(value, "a span of time", "30m", units::parse_duration)?;
        if span.is_negative() {
            self.problem(
                Problem::error("out-of-range", value.span(), "a span of time is not negative here")
                    .label("negative")
                    .help("write it without the sign"),
            );
            return None;
        }
        Some(span)
    }

    /// Reads a span of time that is longer than nothing.
    pub(crate) fn some_time(&mut self, value: &Val<'s>) -> Option<SignedDuration> {
        let span = self.duration(value)?;
        if span.is_zero() {
            let key = self.key.clone();
            self.problem(
                Problem::error("out-of-range", value.span(), format!("`{key}` is longer than nothing"))
                    .label("no time at all")
                    .help("write a longer span: \"1h\""),
            );
            return None;
        }
        Some(span)
    }

    /// Reads `30s..10m`.
    pub(crate) fn duration_range(&mut self, value: &Val<'s>) -> Option<(SignedDuration, SignedDuration)> {
        self.quantity(value, "a span of time or a range of them", "30s..10m", units::parse_duration_range)
    }

    /// Reads a size.
    pub(crate) fn size(&mut self, value: &Val<'s>) -> Option<u64> {
        self.quantity(value, "a size", "2 GiB", units::parse_size)
    }

    /// Reads a rate.
    pub(crate) fn rate(&mut self, value: &Val<'s>) -> Option<units::Rate> {
        self.quantity(value, "a rate", "800 KiB/s", units::parse_rate)
    }

    /// Reads a count per time.
    pub(crate) fn count_rate(&mut self, value: &Val<'s>) -> Option<units::CountRate> {
        self.quantity(value, "a count per time", "40/min", units::parse_count_rate)
    }

    /// Reads a share or a size.
    pub(crate) fn threshold(&mut self, value: &Val<'s>) -> Option<Threshold> {
        self.quantity(value, "a share or a size", "10%", Threshold::parse)
    }

    /// Reads a share.
    pub(crate) fn percent(&mut self, value: &Val<'s>) -> Option<f64> {
        self.quantity(value, "a share", "5%", units::parse_percent)
    }

    /// Reads one of some words; returns its number.
    pub(crate) fn word(&mut self, value: &Val<'s>, words: &[&str]) -> Option<usize> {
        let text = self.text(value)?;
        let found = words.iter().position(|word| *word == text.value);
        if found.is_none() {
            let key = self.key.clone();
            let help = match nearest(&text.value, words) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => {
                    format!("write {}", words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" or "))
                }
            };
            self.problem(
                Problem::error(
                    "unknown-word",
                    text.part(&(0..text.value.len())),
                    format!("`{key}` knows no \"{}\"", text.value),
                )
                .label("unknown word")
                .help(help),
            );
        }
        found
    }

    /// Reads a condition or computation.
    pub(crate) fn condition(&mut self, value: &Val<'s>, place: &str) -> Option<Expr> {
        let text = self.plain_text(value);
        let Some(text) = text else {
            self.wrong_type(value, "a condition", "write it in quotes: \"size > 0\"");
            return None;
        };
        self.remember(place, &text);
        self.expr(&text)
    }

    /// Compiles the text of a condition.
    pub(crate) fn expr(&mut self, text: &Text) -> Option<Expr> {
        match Expr::parse(&text.value) {
            Ok(expr) => Some(expr),
            Err(error) => {
                let label = if error.message.len() > 60 { "here".to_owned() } else { error.message.clone() };
                let mut problem = Problem::error(
                    "bad-condition",
                    text.part(&error.span),
                    format!("this is no condition: {}", error.message),
                )
                .label(label);
                problem.help = error
                    .help
                    .or_else(|| Some("conditions compare fields: \"kind == 'rawacf' and age > 2h\"".to_owned()));
                self.problem(problem);
                None
            }
        }
    }

    /// Reads a time zone.
    pub(crate) fn zone(&mut self, value: &Val<'s>) -> Option<TimeZone> {
        let text = self.text(value)?;
        match TimeZone::get(&text.value) {
            Ok(zone) => Some(zone),
            Err(_) => {
                let names: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let help = match nearest(&text.value, &names) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => "write a name of the time zone database: \"UTC\", \"America/Regina\"".to_owned(),
                };
                self.problem(
                    Problem::error(
                        "unknown-zone",
                        text.part(&(0..text.value.len())),
                        format!("there is no time zone `{}`", text.value),
                    )
                    .label("unknown time zone")
                    .help(help),
                );
                None
            }
        }
    }

    /// Reads a table whose keys are free names, each value by `read`; order of the file.
    pub(crate) fn map<T>(
        &mut self,
        value: &Val<'s>,
        what: &str,
        example: &str,
        mut read: impl FnMut(&mut Self, &Text, &Val<'s>) -> Option<T>,
    ) -> Option<Vec<(Text, T)>> {
        let Some(table) = value.get_ref().as_table() else {
            self.wrong_type(value, what, &format!("write {example}"));
            return None;
        };
        let mut entries = Vec::new();
        for (name, value) in in_order(table) {
            if let Some(read) = read(self, &name, value) {
                entries.push((name, read));
            }
        }
        Some(entries)
    }

    /// Reads a value as parameters have: a scalar or a list of scalars.
    pub(crate) fn value(&mut self, value: &Val<'s>) -> Option<Value> {
        match value.get_ref() {
            DeValue::String(_) => {
                let text = self.plain_text(value)?;
                match text.value.strip_prefix('$').filter(|name| is_name(name)) {
                    Some(name) => self.param(name, &text.span),
                    None => Some(Value::Text(text.value)),
                }
            }
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Some(Value::Int(number)),
                Err(_) => {
                    self.problem(
                        Problem::error("out-of-range", value.span(), "the number is too large")
                            .label("more than 64 bits")
                            .help("write it as a text in quotes"),
                    );
                    None
                }
            },
            DeValue::Float(number) => Some(Value::Float(number.as_str().replace('_', "").parse().unwrap_or(f64::NAN))),
            DeValue::Boolean(flag) => Some(Value::Bool(*flag)),
            DeValue::Datetime(time) => {
                let text = time.to_string();
                match thalweg_core::time::parse_instant(&text, jiff::Timestamp::UNIX_EPOCH) {
                    Ok(at) => Some(Value::Time(at)),
                    Err(_) => {
                        self.problem(
                            Problem::error("wrong-type", value.span(), "this is no moment")
                                .label("no date")
                                .help("write a date with or without time: 2024-01-31T06:00:00Z"),
                        );
                        None
                    }
                }
            }
            DeValue::Array(values) => {
                let values: Vec<Value> = values.iter().filter_map(|value| self.value(value)).collect();
                Some(Value::List(values))
            }
            DeValue::Table(_) => {
                self.wrong_type(
                    value,
                    "a value or a list of values",
                    "write a text, a number, true or false, or a list of them",
                );
                None
            }
        }
    }

    /// Reads the values of `each`: lists by field name.
    pub(crate) fn each(&mut self, value: &Val<'s>) -> Option<BTreeMap<String, Vec<Value>>> {
        let fields = self.map(
            value,
            "a table of fields and their values",
            "each = { site = [\"sas\", \"rkn\"] } or { site = \"$sites\" }",
            |reader, _, value| {
                Some(match reader.value(value)? {
                    Value::List(values) => values,
                    value => vec![value],
                })
            },
        )?;
        Some(fields.into_iter().map(|(name, values)| (name.value, values)).collect())
    }
}

/// Returns the entries of a table in the order of the file.
pub(crate) fn in_order<'a, 's>(table: &'a DeTable<'s>) -> Vec<(Text, &'a Val<'s>)> {
    let mut entries: Vec<(Text, &Val<'s>)> = table
        .iter()
        .map(|(key, value)| (Text { value: key.get_ref().to_string(), span: key.span(), inner: None }, value))
        .collect();
    entries.sort_by_key(|(name, _)| name.span.start);
    entries
}

/// Tells if a text can be the name of a parameter or field.
pub(crate) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

/// Returns the candidate that was probably meant.
pub(crate) fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let lower = word.to_lowercase();
    candidates
        .iter()
        .filter(|candidate| **candidate != word)
        .map(|candidate| {
            let other = candidate.to_lowercase();
            let distance = strsim::damerau_levenshtein(&lower, &other);
            let allowed = ((lower.chars().count().max(other.chars().count()) + 1) / 3).clamp(1, 4);
            let plural =
                lower.len() > 2 && (other.strip_suffix('s') == Some(&lower) || lower.strip_suffix('s') == Some(&other));
            (if plural { 0 } else { distance }, allowed, *candidate)
        })
        .filter(|(distance, allowed, _)| distance <= allowed)
        .min_by_key(|(distance, _, candidate)| (*distance, *candidate))
        .map(|(_, _, candidate)| candidate)
}

/// Says what to do about an unknown name.
pub(crate) fn unknown_help(name: &str, known: &[&str], what: &str, wherever: &str) -> String {
    if let Some(near) = nearest(name, known) {
        return format!("did you mean `{near}`?");
    }
    if known.is_empty() {
        return format!("add it under {wherever}; there is none yet");
    }
    format!(
        "{} {}; or add `{name}` under {wherever}",
        if known.len() == 1 { format!("the only {what} is") } else { format!("known: {what}s") },
        listed(known)
    )
}

/// Writes names for a message, the first dozen of many.
pub(crate) fn listed(names: &[&str]) -> String {
    let shown: Vec<String> = names.iter().take(40).map(|name| format!("`{name}`")).collect();
    let more = if names.len() > 40 { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

fn lowered(text: &str) -> String {
    let mut chars = text.trim_end_matches('.').chars();
    chars.next().map_or(String::new(), |first| first.to_lowercase().chain(chars).collect())
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn example_table(section: &Section) -> String {
    let keys: Vec<&str> = section.keys.iter().map(|key| key.name).collect();
    let first = keys.first().copied().unwrap_or("key");
    format!("write {{ {first} = … }}; {} has {}", section.name, listed(&keys))
}
