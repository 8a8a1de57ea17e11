//! Path patterns: one text that reads the fields out of a path and writes a path from fields.
//!
//! A pattern is compiled to one anchored regular expression that runs in time linear in the path. Where a path can be
//! read in several ways the first field takes as little as lets the whole fit, then the second, and so on; an optional
//! part is taken as present where it can be, and a choice takes the first of its texts that fits. Derived parts and
//! further appearances of a field are compared afterwards and never change this reading.
//!
//! Reading and writing are inverse to each other: the path written from the fields of a path is that path (so
//! `{n:int}` refuses leading zeros, which only a width keeps), and [`Pattern::format`] refuses fields that would be
//! read back otherwise. Only patterns with `{file}` are exempt: they name a place, not the fields.
//!
//! Paths are taken in the escaped text of [`RelPath`]; nothing here touches a file system.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::{ErrorClass, Fields, RelPath, Timestamp, Value};

mod calc;
mod example;
mod field;
mod matcher;
mod parse;
mod strftime;
mod table;
#[cfg(test)]
mod tests;

pub use field::time_of;
pub use table::{Table, TableError};

use calc::{CalcFailure, CalcInput};
use matcher::Matcher;
use parse::Part;

/// What a field may be, and how it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldType {
    /// One or more characters except `/`; [`Value::Text`].
    Text,
    /// Decimal digits, exactly `width` of them if given; [`Value::Int`].
    Int {
        /// Number of digits, leading zeros included.
        width: Option<usize>,
    },
    /// A number from 0 to 25 written `a` to `z`; [`Value::Int`].
    Letter,
    /// One of these texts, the empty one included if listed; [`Value::Text`].
    Choice(Vec<String>),
    /// Text that this regular expression matches as a whole; [`Value::Text`].
    Regex(String),
    /// An instant written in strftime parts, UTC; [`Value::Time`].
    Time {
        /// The strftime text; of several appearances, the most precise one.
        format: String,
    },
    /// GPS seconds; [`Value::Int`] that is also a time.
    Gps {
        /// Number of digits, leading zeros included.
        width: Option<usize>,
    },
    /// Seconds since 1970; [`Value::Int`] that is also a time.
    Unix {
        /// Number of digits, leading zeros included.
        width: Option<usize>,
    },
    /// Seconds since an instant; [`Value::Int`] that is also a time.
    Since {
        /// Where the count starts.
        base: Timestamp,
        /// Number of digits, leading zeros included.
        width: Option<usize>,
    },
    /// Text that may hold `/`; [`Value::Text`].
    Path,
}

/// A field that a pattern reads and writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldDef {
    /// The name between the braces.
    pub name: String,
    /// What it may be.
    pub kind: FieldType,
    /// True when it stands only in optional parts and may be unset.
    pub optional: bool,
}

/// A mistake in a pattern's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PatternError {
    /// Where, in bytes of the text.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl PatternError {
    /// Returns what can be done about it: edit the text.
    pub fn class(&self) -> ErrorClass {
        ErrorClass::Config
    }
}

/// What patterns need besides a path or fields.
#[derive(Debug, Clone, Copy)]
pub struct PatternEnv<'a> {
    /// The tables of the flow file.
    pub tables: &'a BTreeMap<String, Table>,
}

/// Why a path does not belong to a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoMatch {
    /// The literal shape does not fit.
    #[error("the shape of the path does not fit")]
    Other,
    /// The shape fits, but a derived part, or a field given twice, disagrees.
    #[error("{part} should be {expected:?} but is {found:?}")]
    Derived {
        /// The part as the pattern writes it.
        part: String,
        /// What the fields make it.
        expected: String,
        /// What the path has.
        found: String,
    },
    /// The shape fits, but a field's text is no value of its type.
    #[error("field `{field}`: {reason}")]
    BadValue {
        /// The field.
        field: String,
        /// What is wrong with its text.
        reason: String,
    },
}

/// Why fields cannot be written as a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// A field that the pattern needs is not set.
    #[error("form a path by {pattern:?}: field `{field}` is not set")]
    Missing {
        /// The pattern.
        pattern: String,
        /// The field.
        field: String,
    },
    /// A field's value cannot be written as its type.
    #[error("form a path by {pattern:?}: field `{field}` = {found:?}: {expected} expected")]
    BadValue {
        /// The pattern.
        pattern: String,
        /// The field.
        field: String,
        /// Its value.
        found: String,
        /// What can be written.
        expected: String,
    },
    /// A derived part cannot be computed.
    #[error("form a path by {pattern:?}: compute {part}: {reason}")]
    Derived {
        /// The pattern.
        pattern: String,
        /// The part as the pattern writes it.
        part: String,
        /// Why not.
        reason: String,
    },
    /// The pattern holds `{file}` and no base name is known.
    #[error("form a path by {pattern:?}: no base name is known for {{file}}")]
    NoFile {
        /// The pattern.
        pattern: String,
    },
    /// The path would be read back with other fields, or would leave its root.
    #[error("form a path by {pattern:?}: {path:?} {reason}")]
    Unreadable {
        /// The pattern.
        pattern: String,
        /// The path that came out.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl FormatError {
    /// Returns what can be done about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Missing { .. } | Self::NoFile { .. } => ErrorClass::Config,
            Self::BadValue { .. } | Self::Derived { .. } | Self::Unreadable { .. } => ErrorClass::Data,
        }
    }
}

/// A compiled path pattern.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    parts: Vec<Part>,
    /// The types of all fields known when it was compiled, its own and those of the product's other patterns.
    kinds: BTreeMap<String, FieldType>,
    fields: Vec<FieldDef>,
    is_folder: bool,
    has_file: bool,
    matcher: Matcher,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.parts == other.parts && self.is_folder == other.is_folder
    }
}

/// Returns a character of a pattern as paths have it.
fn escaped_literal(c: char) -> String {
    if c == '\\' { "\\\\".to_owned() } else { c.to_string() }
}

/// Calls `visit` for every part, those inside optional parts after the optional part itself.
fn visit_parts<'a>(parts: &'a [Part], in_optional: bool, visit: &mut dyn FnMut(&'a Part, bool)) {
    for part in parts {
        visit(part, in_optional);
        if let Part::Optional(inner) = part {
            visit_parts(inner, true, visit);
        }
    }
}

impl Pattern {
    /// Compiles a pattern. `types` holds field types already known from the product's other patterns and is extended.
    ///
    /// # Errors
    /// All mistakes found, each with its place in `text`.
    pub fn parse(text: &str, types: &mut BTreeMap<String, FieldType>) -> Result<Self, Vec<PatternError>> {
        let parsed = parse::parse(text, types)?;
        let mut fields: Vec<FieldDef> = Vec::new();
        let mut has_file = false;
        visit_parts(&parsed.parts, false, &mut |part, optional| {
            let name = match part {
                Part::Field { name, .. } | Part::Time { name, .. } => name,
                Part::File => {
                    has_file = true;
                    return;
                }
                _ => return,
            };
            if let Some(known) = fields.iter_mut().find(|field| field.name == *name) {
                known.optional &= optional;
            } else {
                let kind = types.get(name).cloned().unwrap_or(FieldType::Text);
                fields.push(FieldDef { name: name.clone(), kind, optional });
            }
        });
        let matcher = Matcher::new(&parsed.parts)
            .map_err(|reason| vec![PatternError { span: 0..text.len(), message: reason, help: None }])?;
        Ok(Self {
            text: text.to_owned(),
            parts: parsed.parts,
            kinds: types.clone(),
            fields,
            is_folder: parsed.is_folder,
            has_file,
            matcher,
        })
    }

    /// Returns the pattern's text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the fields that a match gives, in order of first appearance.
    pub fn base_fields(&self) -> Vec<FieldDef> {
        self.fields.clone()
    }

    /// Returns every field that formatting needs, those of derived parts included.
    pub fn uses(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        visit_parts(&self.parts, false, &mut |part, _| add_fields(part, &mut names));
        names
    }

    /// Returns the tables that derived parts look things up in, each once.
    pub fn tables(&self) -> Vec<String> {
        let mut tables = Vec::new();
        visit_parts(&self.parts, false, &mut |part, _| {
            if let Part::Derived { calc, .. } = part {
                calc.add_tables(&mut tables);
            }
        });
        tables
    }

    /// Tells if the pattern holds `{file}`.
    pub fn uses_file_name(&self) -> bool {
        self.has_file
    }

    /// Tells if the pattern names folders taken as one unit (it ends in `/`); their paths have no `/` at the end.
    pub fn is_folder(&self) -> bool {
        self.is_folder
    }

    /// Returns the first field that says an instant.
    pub fn time_field(&self) -> Option<FieldDef> {
        self.fields.iter().find(|field| field.kind.is_time()).cloned()
    }

    /// Reads the fields of `path`. A `{file}` stands for any base name and gives no field.
    ///
    /// # Errors
    /// Why it is no path of this pattern.
    pub fn matches(&self, path: &RelPath, env: &PatternEnv<'_>) -> Result<Fields, NoMatch> {
        self.matcher.read(self, path.as_str(), Some(env.tables))
    }

    /// Writes the path of `fields`; `file` is the base name for `{file}`.
    ///
    /// # Errors
    /// When a field is missing, cannot be written, or would be read back as something else.
    pub fn format(&self, fields: &Fields, env: &PatternEnv<'_>, file: Option<&str>) -> Result<RelPath, FormatError> {
        self.write(fields, Some(env.tables), file).map(RelPath::from_text)
    }

    /// Writes and reads back; without tables, look-ups in them give a stand-in.
    fn write(
        &self,
        fields: &Fields,
        tables: Option<&BTreeMap<String, Table>>,
        file: Option<&str>,
    ) -> Result<String, FormatError> {
        let mut text = String::with_capacity(self.text.len());
        let input = CalcInput { fields, kinds: &self.kinds, tables };
        self.write_parts(&self.parts, input, file, &mut text)?;
        let unreadable =
            |reason: String| FormatError::Unreadable { pattern: self.text.clone(), path: text.clone(), reason };
        if !RelPath::from_text(text.as_str()).is_confined() {
            return Err(unreadable("is no path inside the station".to_owned()));
        }
        if self.has_file {
            return Ok(text);
        }
        let read =
            self.matcher.read(self, &text, tables).map_err(|no| unreadable(format!("would not be read back: {no}")))?;
        for field in &self.fields {
            let (given, found) = (fields.get(&field.name), read.get(&field.name));
            if !self.is_same(field, given, found) {
                let shown =
                    |value: Option<&Value>| value.map_or_else(|| "unset".to_owned(), |value| format!("`{value}`"));
                return Err(unreadable(format!(
                    "would be read back with `{}` = {} instead of {}",
                    field.name,
                    shown(found),
                    shown(given)
                )));
            }
        }
        Ok(text)
    }

    /// Tells if a value read is the one written, as far as the pattern can say it.
    fn is_same(&self, field: &FieldDef, given: Option<&Value>, read: Option<&Value>) -> bool {
        match (given, read) {
            (None, None) => true,
            (None, Some(Value::Text(text))) => text.is_empty(),
            (Some(Value::Time(given)), Some(Value::Time(read))) => {
                let mut same = true;
                visit_parts(&self.parts, false, &mut |part, _| {
                    if let Part::Time { name, format } = part
                        && *name == field.name
                    {
                        let (mut left, mut right) = (String::new(), String::new());
                        same &= format.write(*given, &mut left).is_ok()
                            && format.write(*read, &mut right).is_ok()
                            && left == right;
                    }
                });
                same
            }
            (Some(given), Some(read)) => {
                given == read || (field.kind.is_time() && field.kind.seconds_of(given) == field.kind.seconds_of(read))
            }
            _ => false,
        }
    }

    fn write_parts(
        &self,
        parts: &[Part],
        input: CalcInput<'_>,
        file: Option<&str>,
        text: &mut String,
    ) -> Result<(), FormatError> {
        let pattern = || self.text.clone();
        for part in parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::File => {
                    let file = file.ok_or_else(|| FormatError::NoFile { pattern: pattern() })?;
                    if file.is_empty() || file.contains('/') {
                        return Err(FormatError::Unreadable {
                            pattern: pattern(),
                            path: file.to_owned(),
                            reason: "is no base name".to_owned(),
                        });
                    }
                    text.push_str(file);
                }
                Part::Optional(inner) => {
                    let mut names = BTreeSet::new();
                    visit_parts(inner, true, &mut |part, _| add_fields(part, &mut names));
                    if names.iter().all(|name| input.fields.contains_key(name)) {
                        self.write_parts(inner, input, file, text)?;
                    }
                }
                Part::Field { name, kind } => {
                    let bad = |found: &Value, expected: String| FormatError::BadValue {
                        pattern: pattern(),
                        field: name.clone(),
                        found: found.to_string(),
                        expected,
                    };
                    match input.fields.get(name) {
                        Some(value) => kind.write(value, text).map_err(|expected| bad(value, expected))?,
                        // A choice that may be nothing is nothing when it is not known.
                        None if matches!(kind, FieldType::Choice(choices) if choices.iter().any(String::is_empty)) => {}
                        None => return Err(FormatError::Missing { pattern: pattern(), field: name.clone() }),
                    }
                }
                Part::Time { name, format } => match input.fields.get(name) {
                    Some(Value::Time(at)) => format.write(*at, text).map_err(|expected| FormatError::BadValue {
                        pattern: pattern(),
                        field: name.clone(),
                        found: at.to_string(),
                        expected,
                    })?,
                    Some(value) => {
                        return Err(FormatError::BadValue {
                            pattern: pattern(),
                            field: name.clone(),
                            found: value.to_string(),
                            expected: "a time".to_owned(),
                        });
                    }
                    None => return Err(FormatError::Missing { pattern: pattern(), field: name.clone() }),
                },
                Part::Derived { text: part, calc } => match calc.eval(input) {
                    Ok(value) => text.push_str(&value.to_string()),
                    Err(CalcFailure::Missing(field)) => return Err(FormatError::Missing { pattern: pattern(), field }),
                    Err(CalcFailure::NoTables) => text.push('t'),
                    Err(CalcFailure::Other(reason)) => {
                        return Err(FormatError::Derived { pattern: pattern(), part: format!("{{{part}}}"), reason });
                    }
                },
            }
        }
        Ok(())
    }

    /// Returns the deepest folder under which all matches lie, empty for the root.
    pub fn fixed_folder(&self) -> String {
        let tables = BTreeMap::new();
        self.folder_for(&Fields::new(), &PatternEnv { tables: &tables })
    }

    /// Returns the deepest folder under which all matches with these fields lie, empty for the root.
    ///
    /// It is formed level by level as long as all fields of the level are known, and serves to list only the folders
    /// that can hold what is looked for.
    pub fn folder_for(&self, fields: &Fields, env: &PatternEnv<'_>) -> String {
        let input = CalcInput { fields, kinds: &self.kinds, tables: Some(env.tables) };
        let mut folder = String::new();
        for level in self.matcher.folder_levels() {
            let mut names = BTreeSet::new();
            visit_parts(&level.parts, false, &mut |part, _| add_fields(part, &mut names));
            let mut text = String::new();
            if !names.iter().all(|name| fields.contains_key(name))
                || self.write_parts(&level.parts, input, None, &mut text).is_err()
            {
                break;
            }
            if !folder.is_empty() && !text.is_empty() {
                folder.push('/');
            }
            folder.push_str(text.trim_matches('/'));
        }
        folder
    }

    /// Returns the greatest number of parts between `/` that a match has, the name included; none with path fields.
    pub fn depth_limit(&self) -> Option<usize> {
        self.matcher.depth_limit()
    }

    /// Tells if a match can lie below `folder`, a path relative to the root (empty for the root itself).
    ///
    /// It looks at the shape alone, so that it may say yes too often but never no wrongly.
    pub fn folder_may_match(&self, folder: &str) -> bool {
        self.matcher.folder_may_match(folder)
    }

    /// Returns a path that both patterns match, if one is found; looking things up in tables counts as fitting.
    ///
    /// The search tries examples of each and then the shortest text that fits both shapes. It can miss an overlap that
    /// depends on derived parts.
    pub fn overlap_example(&self, other: &Self) -> Option<String> {
        example::overlap(self, other)
    }

    /// Returns up to `n` different paths that the pattern matches, for messages.
    pub fn examples(&self, n: usize) -> Vec<String> {
        example::examples(self, n)
    }
}

fn add_fields(part: &Part, names: &mut BTreeSet<String>) {
    match part {
        Part::Field { name, .. } | Part::Time { name, .. } => {
            names.insert(name.clone());
        }
        Part::Derived { calc, .. } => calc.add_fields(names),
        Part::Literal(_) | Part::File | Part::Optional(_) => {}
    }
}
