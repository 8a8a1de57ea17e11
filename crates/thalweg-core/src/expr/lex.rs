//! From the text of an expression to its words.

use std::ops::Range;

use super::{ExprError, Name};
use crate::units::{parse_duration, parse_size};
use crate::{Timestamp, Value};

/// A word of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    /// A number, text, date, span or size.
    Literal(Value),
    /// A name, or a word of the language.
    Name(Name),
    /// `{dsm}`: a station of a family.
    Braces(String),
    /// An operator, parenthesis, bracket or comma.
    Sign(&'static str),
}

/// Two-character signs come before their first character.
const SIGNS: [&str; 17] = ["==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%", "(", ")", "[", "]", ",", "="];

pub(super) fn words(text: &str) -> Result<Vec<(Word, Range<usize>)>, ExprError> {
    let mut words = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let (word, length) = match c {
            c if c.is_whitespace() => {
                at += c.len_utf8();
                continue;
            }
            '\'' | '"' => quoted(rest, at)?,
            '{' => {
                let end = rest.find('}').ok_or_else(|| error(at..at + 1, "this `{` is not closed", None))?;
                (Word::Braces(rest[..=end].to_owned()), end + 1)
            }
            c if c.is_ascii_digit() => number(rest, at)?,
            c if c.is_alphabetic() || c == '_' || c == '$' => name(rest, at)?,
            _ => match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
                Some(&"=") => return Err(error(at..at + 1, "`=` is not known here", Some("equality is written `==`"))),
                Some(sign) => (Word::Sign(sign), sign.len()),
                None => {
                    let help = match c {
                        '&' => Some("write `and`"),
                        '|' => Some("write `or`"),
                        '!' => Some("write `not`, or `!=` for unequal"),
                        _ => None,
                    };
                    return Err(error(at..at + c.len_utf8(), format!("`{c}` is not known here"), help));
                }
            },
        };
        words.push((word, at..at + length));
        at += length;
    }
    Ok(words)
}

pub(super) fn error(span: Range<usize>, message: impl Into<String>, help: Option<&str>) -> ExprError {
    ExprError { span, message: message.into(), help: help.map(str::to_owned) }
}

fn quoted(rest: &str, at: usize) -> Result<(Word, usize), ExprError> {
    let quote = rest.chars().next().unwrap_or('\'');
    let end = rest[1..].find(quote).ok_or_else(|| error(at..at + rest.len(), "the text has no closing quote", None))?;
    Ok((Word::Literal(Value::from(&rest[1..=end])), end + 2))
}

/// Reads `3`, `2.5`, `1e6`, `24h`, `1h30m`, `10GB`, `2026-01-01`, `2026-01-01T00:00:00Z`.
fn number(rest: &str, at: usize) -> Result<(Word, usize), ExprError> {
    let bytes = rest.as_bytes();
    let is_date = bytes.len() >= 10
        && bytes[..10]
            .iter()
            .enumerate()
            .all(|(n, byte)| if n == 4 || n == 7 { *byte == b'-' } else { byte.is_ascii_digit() });
    if is_date {
        let in_time = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '.' | '+' | '-');
        let end = rest.find(|c: char| !in_time(c)).unwrap_or(rest.len());
        let text = &rest[..end];
        return crate::time::parse_instant(text, Timestamp::UNIX_EPOCH)
            .map(|at| (Word::Literal(Value::Time(at)), end))
            .map_err(|_| {
                error(
                    at..at + end,
                    format!("`{text}` is no time"),
                    Some("write `2026-01-31` or `2026-01-31T06:00:00Z`"),
                )
            });
    }
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '.' && c != '_').unwrap_or(rest.len());
    let text = &rest[..end];
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let number = text.parse().map_err(|_| error(at..at + end, "the number is too large", None))?;
        return Ok((Word::Literal(Value::Int(number)), end));
    }
    let is_plain =
        text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E')) && !text.ends_with('.');
    if is_plain && let Ok(number) = text.parse::<f64>() {
        if !number.is_finite() {
            return Err(error(at..at + end, "the number is too large", None));
        }
        let whole = if text.contains('.') { None } else { whole(number) };
        return Ok((Word::Literal(whole.map_or(Value::Float(number), Value::Int)), end));
    }
    if let Ok(span) = parse_duration(text) {
        return Ok((Word::Literal(Value::Duration(span)), end));
    }
    if let Ok(size) = parse_size(text) {
        let size = i64::try_from(size).map_err(|_| error(at..at + end, "the size is too large", None))?;
        return Ok((Word::Literal(Value::Int(size)), end));
    }
    Err(error(
        at..at + end,
        format!("`{text}` is no number, span of time or size"),
        Some("write `24h`, `14d`, `1h30m`, `10GB`; a product or step whose name starts with a digit stands in quotes"),
    ))
}

/// Returns a number written with an exponent as a whole number, if it is one.
#[expect(clippy::cast_possible_truncation, reason = "the number is whole and below 2^53")]
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
}

/// Reads a name: `cpid`, `in.kernel.date`, `rawacf-dmap`, `$dsms`. A `-` between two letters or digits belongs to it.
fn name(rest: &str, at: usize) -> Result<(Word, usize), ExprError> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut parts = vec![String::new()];
    let mut end = 0;
    for (n, c) in rest.char_indices() {
        let next_is_part = rest[n + c.len_utf8()..].starts_with(is_part);
        let joins = matches!(c, '-' | '.') && n > 0 && next_is_part;
        if !(is_part(c) || joins || (c == '$' && n == 0)) {
            break;
        }
        if c == '.' {
            parts.push(String::new());
        } else if let Some(last) = parts.last_mut() {
            last.push(c);
        }
        end = n + c.len_utf8();
    }
    if parts[0] == "$" {
        return Err(error(at..at + 1, "the parameter has no name", Some("write `$name`")));
    }
    Ok((Word::Name(Name(parts)), end))
}
