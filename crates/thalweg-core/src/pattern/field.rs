//! The types of fields: how their texts look, are read and are written.

use std::fmt;

use regex::Regex;

use super::FieldType;
use super::strftime::TimeFormat;
use crate::time::{GpsTime, gps_from_utc, seconds_since, since_epoch, utc_from_gps};
use crate::{Timestamp, Value};

/// Digits that always fit 64 bits.
const MAX_WIDTH: usize = 18;

/// A mistake in the text of a type, at a byte of it.
pub(super) struct TypeError {
    pub(super) at: usize,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

impl TypeError {
    fn new(message: impl Into<String>, help: &str) -> Self {
        Self { at: 0, message: message.into(), help: Some(help.to_owned()) }
    }
}

/// Words that people write for types that are called otherwise.
const MISTAKEN: [(&str, &str); 16] = [
    ("integer", "int"),
    ("number", "int"),
    ("num", "int"),
    ("digits", "int"),
    ("str", "text"),
    ("string", "text"),
    ("char", "letter"),
    ("alpha", "letter"),
    ("time", "%Y%m%d"),
    ("date", "%Y%m%d"),
    ("datetime", "%Y%m%d"),
    ("epoch", "unix"),
    ("unixtime", "unix"),
    ("float", "[0-9.]+"),
    ("since", "since(2000-01-01)"),
    ("any", "path"),
];

impl FieldType {
    /// Tells if values of this type say an instant.
    pub fn is_time(&self) -> bool {
        matches!(self, Self::Time { .. } | Self::Gps { .. } | Self::Unix { .. } | Self::Since { .. })
    }

    /// Reads the text after the colon.
    pub(super) fn parse(text: &str) -> Result<Self, TypeError> {
        if text.is_empty() {
            return Err(TypeError::new("the type is missing", "write `{name}` or `{name:int}`"));
        }
        if text.contains('%') {
            return TimeFormat::parse(text)
                .map(|format| Self::Time { format: format.as_str().to_owned() })
                .map_err(|error| TypeError { at: error.at, message: error.message, help: None });
        }
        let (head, arguments) = match text.split_once('(') {
            Some((head, rest)) if matches!(head, "int" | "gps" | "unix" | "since") => {
                let Some(inner) = rest.strip_suffix(')') else {
                    return Err(TypeError::new(
                        format!("the type {head}(…) does not end in `)`"),
                        "close the parenthesis",
                    ));
                };
                (head, Some(inner))
            }
            _ => (text, None),
        };
        match head {
            "int" => Ok(Self::Int { width: arguments.map(width).transpose()? }),
            "gps" => Ok(Self::Gps { width: arguments.map(width).transpose()? }),
            "unix" => Ok(Self::Unix { width: arguments.map(width).transpose()? }),
            "since" if arguments.is_some() => {
                let (base, digits) = arguments
                    .unwrap_or_default()
                    .split_once(',')
                    .map_or((arguments.unwrap_or_default(), None), |(base, digits)| (base, Some(digits)));
                let is_iso = base.trim().as_bytes().get(4) == Some(&b'-');
                let base = crate::time::parse_instant(base, Timestamp::UNIX_EPOCH).ok().filter(|_| is_iso);
                let base = base.ok_or_else(|| {
                    TypeError::new(
                        "the start of the count is no ISO 8601 time",
                        "write `since(2000-01-01)`, or `since(2000-01-01, 10)` for ten digits",
                    )
                })?;
                Ok(Self::Since { base, width: digits.map(width).transpose()? })
            }
            _ if text.ends_with(')')
                && ["letter(", "path(", "text(", "float("].iter().any(|wrong| text.starts_with(wrong)) =>
            {
                Err(TypeError::new(
                    format!("`{text}` is no type"),
                    "only `int`, `gps`, `unix` and `since` are told a number of digits",
                ))
            }
            "letter" => Ok(Self::Letter),
            "path" => Ok(Self::Path),
            "text" => Ok(Self::Text),
            _ => choice_or_regex(text),
        }
    }

    /// Returns the regular expression of its texts, shortest first where the length is free.
    pub(super) fn regex(&self) -> String {
        match self {
            Self::Text => "[^/]+?".to_owned(),
            Self::Path => ".+?".to_owned(),
            Self::Letter => "[a-z]".to_owned(),
            Self::Int { width } | Self::Gps { width } | Self::Unix { width } | Self::Since { width, .. } => {
                width.map_or_else(|| "[0-9]+?".to_owned(), |width| format!("[0-9]{{{width}}}"))
            }
            Self::Choice(choices) => choices.iter().map(|choice| regex::escape(choice)).collect::<Vec<_>>().join("|"),
            Self::Regex(regex) => format!("(?:{regex})"),
            Self::Time { format } => TimeFormat::parse(format).map(|format| format.regex()).unwrap_or_default(),
        }
    }

    /// Reads a text that matches [`FieldType::regex`]; not for times in strftime parts.
    pub(super) fn read(&self, text: &str) -> Result<Value, String> {
        match self {
            Self::Letter => Ok(Value::Int(i64::from(text.bytes().next().unwrap_or(b'a').saturating_sub(b'a')))),
            Self::Int { width } | Self::Gps { width } | Self::Unix { width } | Self::Since { width, .. } => {
                if width.is_none() && text.len() > 1 && text.starts_with('0') {
                    // Kept apart so that reading and writing always give the same path.
                    return Err(format!(
                        "`{text}` has leading zeros; a type with a width such as `int({})` keeps them",
                        text.len()
                    ));
                }
                let number = text.parse::<i64>().map_err(|_| format!("`{text}` is too large a number"))?;
                if self.is_time() && super::time_of(self, &Value::Int(number)).is_none() {
                    return Err(format!("`{text}` seconds are beyond all times"));
                }
                Ok(Value::Int(number))
            }
            Self::Regex(_) if text.contains('/') => Err("it crosses `/`".to_owned()),
            _ => Ok(Value::Text(text.to_owned())),
        }
    }

    /// Writes `value`; the error says what is expected instead. Choices and regular expressions are checked when the
    /// whole path is read back.
    pub(super) fn write(&self, value: &Value, text: &mut String) -> Result<(), String> {
        match (self, value) {
            (Self::Text | Self::Regex(_), Value::Text(value)) if !value.is_empty() && !value.contains('/') => {
                text.push_str(value);
            }
            (Self::Text | Self::Regex(_), _) => return Err("text that is not empty and holds no `/`".to_owned()),
            (Self::Path, Value::Text(value)) if !value.is_empty() => text.push_str(value),
            (Self::Path, _) => return Err("text that is not empty".to_owned()),
            (Self::Choice(choices), Value::Text(value)) if choices.contains(value) => text.push_str(value),
            (Self::Choice(choices), _) => {
                return Err(format!(
                    "one of {}",
                    choices.iter().map(|choice| format!("{choice:?}")).collect::<Vec<_>>().join(", ")
                ));
            }
            (Self::Letter, Value::Int(number)) => {
                text.push(letter(*number).ok_or("a number from 0 to 25, written a to z,")?);
            }
            (Self::Letter, _) => return Err("a number from 0 to 25, written a to z,".to_owned()),
            (Self::Int { width }, Value::Int(number)) => write_digits(*number, *width, text)?,
            (Self::Int { .. }, _) => return Err("a whole number".to_owned()),
            (Self::Gps { width } | Self::Unix { width } | Self::Since { width, .. }, value) => {
                let number = self.seconds_of(value).ok_or("a whole number of seconds, or a time on a full second,")?;
                write_digits(number, *width, text)?;
            }
            (Self::Time { format }, Value::Time(at)) => {
                TimeFormat::parse(format).map_err(|error| error.message)?.write(*at, text)?;
            }
            (Self::Time { .. }, _) => return Err("a time".to_owned()),
        }
        Ok(())
    }

    /// Returns the count of seconds that `value` is or, for a time on a full second, makes.
    pub(super) fn seconds_of(&self, value: &Value) -> Option<i64> {
        let at = match value {
            Value::Int(number) => return Some(*number),
            Value::Time(at) if at.subsec_nanosecond() == 0 => *at,
            _ => return None,
        };
        match self {
            Self::Gps { .. } => Some(gps_from_utc(at).seconds()),
            Self::Unix { .. } => Some(at.as_second()),
            Self::Since { base, .. } => Some(seconds_since(*base, at)),
            _ => None,
        }
    }
}

/// Returns the instant that `value` says as a field of type `kind`; none when it says none or the type is no time.
pub fn time_of(kind: &FieldType, value: &Value) -> Option<Timestamp> {
    match (kind, value) {
        (kind, Value::Time(at)) if kind.is_time() => Some(*at),
        (FieldType::Gps { .. }, Value::Int(seconds)) => {
            let at = utc_from_gps(GpsTime::from_seconds(*seconds));
            (at != Timestamp::MIN && at != Timestamp::MAX).then_some(at)
        }
        (FieldType::Unix { .. }, Value::Int(seconds)) => Timestamp::from_second(*seconds).ok(),
        (FieldType::Since { base, .. }, Value::Int(seconds)) => since_epoch(*base, *seconds),
        _ => None,
    }
}

/// Returns the letter of a number, `a` for 0 to `z` for 25.
pub(super) fn letter(number: i64) -> Option<char> {
    u8::try_from(number).ok().filter(|number| *number < 26).map(|number| char::from(b'a' + number))
}

fn write_digits(number: i64, width: Option<usize>, text: &mut String) -> Result<(), String> {
    let digits = format!("{number:0width$}", width = width.unwrap_or(1));
    match width {
        _ if number < 0 => Err("a number that is not negative".to_owned()),
        Some(width) if digits.len() > width => Err(format!("a number of at most {width} digits")),
        _ => {
            text.push_str(&digits);
            Ok(())
        }
    }
}

fn width(text: &str) -> Result<usize, TypeError> {
    text.trim().parse().ok().filter(|width| (1..=MAX_WIDTH).contains(width)).ok_or_else(|| {
        TypeError::new(format!("the number of digits is not from 1 to {MAX_WIDTH}"), "write `int(3)` for three digits")
    })
}

/// The types that are words.
const TYPES: [&str; 7] = ["gps", "int", "letter", "path", "since", "text", "unix"];

/// Returns how many characters are added, removed, changed or swapped with their neighbours from one word to another.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.to_lowercase().chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            if i == 0 || j == 0 {
                rows[i][j] = i + j;
                continue;
            }
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = change.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[a.len()][b.len()]
}

fn choice_or_regex(text: &str) -> Result<FieldType, TypeError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    // One text to choose from.
    if let Some(fixed) = text
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'))
        .filter(|fixed| !fixed.is_empty() && fixed.chars().all(is_plain))
    {
        return Ok(FieldType::Choice(vec![fixed.to_owned()]));
    }
    if text.chars().all(|c| is_plain(c) || c == '|') {
        if let Some((_, right)) = MISTAKEN.iter().find(|(wrong, _)| *wrong == text) {
            return Err(TypeError::new(
                format!("`{text}` is no type"),
                &format!("write `:{right}`; a choice of texts has a `|`"),
            ));
        }
        let is_word = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        // A single word that looks like a type is a slip; any other is the one text that stands there.
        let types = TYPES.iter().map(|name| (*name, *name)).chain(MISTAKEN);
        let near = types
            .map(|(name, right)| (distance(text, name), name.len(), right))
            .filter(|(far, length, _)| *far <= length.div_ceil(3))
            .min();
        if let Some((_, _, right)) = near.filter(|_| is_word) {
            return Err(TypeError::new(
                format!("`{text}` is no type"),
                &format!(
                    "did you mean `:{right}`? for the fixed word write `:({text})`, for the word or nothing `:{text}|`"
                ),
            ));
        }
        let mut choices = Vec::new();
        for choice in text.split('|') {
            if choices.iter().any(|known| known == choice) {
                return Err(TypeError::new(format!("the choice {choice:?} stands twice"), "leave one of them out"));
            }
            choices.push(choice.to_owned());
        }
        return Ok(FieldType::Choice(choices));
    }
    match Regex::new(&format!(r"\A(?:{text})\z")) {
        Ok(_) => Ok(FieldType::Regex(text.to_owned())),
        Err(error) => {
            let message = error.to_string();
            let last = message.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            Err(TypeError::new(
                format!("the regular expression cannot be read: {last}"),
                "a type is `int`, `int(3)`, `letter`, `gps`, `unix`, `since(2000-01-01)`, `path`, a time `%Y%m%d`, a choice `a|b`, or a regular expression",
            ))
        }
    }
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = |f: &mut fmt::Formatter<'_>, name: &str, width: &Option<usize>| match width {
            None => f.write_str(name),
            Some(width) => write!(f, "{name}({width})"),
        };
        match self {
            Self::Text => f.write_str("text"),
            Self::Int { width } => counted(f, "int", width),
            Self::Letter => f.write_str("letter"),
            // A single word by itself could be taken for the name of a type.
            Self::Choice(choices) if choices.len() == 1 => write!(f, "({})", choices[0]),
            Self::Choice(choices) => f.write_str(&choices.join("|")),
            Self::Regex(regex) => f.write_str(regex),
            Self::Time { format } => f.write_str(format),
            Self::Gps { width } => counted(f, "gps", width),
            Self::Unix { width } => counted(f, "unix", width),
            Self::Since { base, width } => {
                write!(f, "since({base}")?;
                if let Some(width) = width {
                    write!(f, ", {width}")?;
                }
                f.write_str(")")
            }
            Self::Path => f.write_str("path"),
        }
    }
}
