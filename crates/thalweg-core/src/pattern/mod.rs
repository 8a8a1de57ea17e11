//! Path patterns: one text that reads the fields out of a path and writes a path from fields.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::{ErrorClass, Fields, RelPath, Timestamp, Value};

mod table;

pub use table::{Table, TableError};

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
}

impl FieldType {
    /// Tells if values of this type say an instant.
    pub fn is_time(&self) -> bool {
        matches!(self, Self::Time { .. } | Self::Gps { .. } | Self::Unix { .. } | Self::Since { .. })
    }
}

/// Returns the instant that `value` says as a field of type `kind`.
pub fn time_of(_kind: &FieldType, _value: &Value) -> Option<Timestamp> {
    todo!()
}

impl Pattern {
    /// Compiles a pattern. `types` holds field types already known from the product's other patterns and is extended.
    ///
    /// # Errors
    /// All mistakes found, each with its place in `text`.
    pub fn parse(_text: &str, _types: &mut BTreeMap<String, FieldType>) -> Result<Self, Vec<PatternError>> {
        todo!()
    }

    /// Returns the pattern's text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the fields that a match gives, in order of first appearance.
    pub fn base_fields(&self) -> Vec<FieldDef> {
        todo!()
    }

    /// Returns every field that formatting needs, those of derived parts included.
    pub fn uses(&self) -> BTreeSet<String> {
        todo!()
    }

    /// Returns the tables that derived parts look things up in.
    pub fn tables(&self) -> Vec<String> {
        todo!()
    }

    /// Tells if the pattern holds `{file}`.
    pub fn uses_file_name(&self) -> bool {
        todo!()
    }

    /// Tells if the pattern names folders taken as one unit (it ends in `/`).
    pub fn is_folder(&self) -> bool {
        todo!()
    }

    /// Returns the first field that says an instant.
    pub fn time_field(&self) -> Option<FieldDef> {
        todo!()
    }

    /// Reads the fields of `path`.
    ///
    /// # Errors
    /// Why it is no path of this pattern.
    pub fn matches(&self, _path: &RelPath, _env: &PatternEnv<'_>) -> Result<Fields, NoMatch> {
        todo!()
    }

    /// Writes the path of `fields`; `file` is the base name for `{file}`.
    ///
    /// # Errors
    /// When a field is missing or cannot be written so that [`Pattern::matches`] reads it back.
    pub fn format(&self, _fields: &Fields, _env: &PatternEnv<'_>, _file: Option<&str>) -> Result<RelPath, FormatError> {
        todo!()
    }

    /// Returns the deepest folder under which all matches lie, empty for the root.
    pub fn fixed_folder(&self) -> String {
        todo!()
    }

    /// Returns the deepest folder under which all matches with these fields lie.
    pub fn folder_for(&self, _fields: &Fields, _env: &PatternEnv<'_>) -> String {
        todo!()
    }

    /// Returns the greatest number of parts between `/` that a match has, the name included; none for path fields.
    pub fn depth_limit(&self) -> Option<usize> {
        todo!()
    }

    /// Tells if a match can lie below `folder`.
    pub fn folder_may_match(&self, _folder: &str) -> bool {
        todo!()
    }

    /// Returns a path that both patterns match, if one is found.
    pub fn overlap_example(&self, _other: &Self) -> Option<String> {
        todo!()
    }

    /// Returns up to `n` paths that the pattern matches.
    pub fn examples(&self, _n: usize) -> Vec<String> {
        todo!()
    }
}
