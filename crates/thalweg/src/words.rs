//! Values as people read them, and as programs do.

use serde_json::{Map, Value as Json};
use thalweg_core::units::{format_duration, format_size};
use thalweg_core::{Fields, TimeRange, Timestamp, Value};

/// Returns an instant, ISO 8601, to the second.
pub(crate) fn time(at: Timestamp) -> String {
    if at.subsec_nanosecond() == 0 { at.to_string() } else { format!("{at:.0}") }
}

/// Returns an instant, or a dash.
pub(crate) fn opt_time(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), time)
}

/// Returns a range as `start .. end`, or the one instant.
pub(crate) fn range(range: TimeRange) -> String {
    if range.start == range.end { time(range.start) } else { format!("{} .. {}", time(range.start), time(range.end)) }
}

/// Returns how long ago an instant was, or how long it is until then.
pub(crate) fn ago(at: Timestamp, now: Timestamp) -> String {
    let span = now.duration_since(at);
    let whole = jiff::SignedDuration::from_secs(span.as_secs());
    if span.is_negative() {
        format!("in {}", format_duration(-whole))
    } else {
        format!("{} ago", format_duration(whole))
    }
}

/// Returns a span of time.
pub(crate) fn span(range: TimeRange) -> String {
    format_duration(range.end.duration_since(range.start))
}

/// Returns a size.
pub(crate) fn size(bytes: u64) -> String {
    format_size(bytes)
}

/// Returns fields as `name=value name=value`.
pub(crate) fn fields(fields: &Fields) -> String {
    let parts: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", shown(value))).collect();
    parts.join(" ")
}

fn shown(value: &Value) -> String {
    match value {
        Value::Time(at) => time(*at),
        Value::Duration(span) => format_duration(*span),
        other => crate::out::one_line(&other.to_string()),
    }
}

/// Returns fields as plain JSON.
pub(crate) fn plain(fields: &Fields) -> Json {
    Json::Object(fields.iter().map(|(name, value)| (name.clone(), plain_value(value))).collect::<Map<_, _>>())
}

/// Returns a value as plain JSON.
pub(crate) fn plain_value(value: &Value) -> Json {
    match value {
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::Text(value) => value.as_str().into(),
        Value::Time(at) => at.to_string().into(),
        Value::Duration(span) => format_duration(*span).into(),
        Value::List(values) => values.iter().map(plain_value).collect(),
    }
}

/// Returns `1 file`, `2 files`.
pub(crate) fn count(number: u64, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

/// Returns the name that is meant by a misspelt one, for a `help:` line.
pub(crate) fn did_you_mean<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let near = known.iter().map(|name| (distance(found, name), *name)).min();
    match near {
        Some((far, name)) if far <= 1 + found.chars().count() / 3 => format!("did you mean `{name}`?"),
        _ if known.is_empty() => "the flow file names none".to_owned(),
        _ => format!("there are: {}", known.join(", ")),
    }
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let change = before + usize::from(ca != *cb);
            before = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(before + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_on_its_line() {
        let found = Fields::from([("u".to_owned(), Value::from("a\n\x1b[2Jb"))]);
        assert_eq!(fields(&found), "u=a\\n\\u{1b}[2Jb");
    }

    #[test]
    fn near_names_are_offered_and_far_ones_listed() {
        assert_eq!(did_you_mean("campsu", ["radar", "campus"]), "did you mean `campus`?");
        assert_eq!(did_you_mean("xyz", ["radar", "campus"]), "there are: radar, campus");
    }
}
