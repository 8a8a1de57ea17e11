//! `--where field=value`: a comparison with the type of the field, or a condition of the flow language.

use std::collections::BTreeMap;

use thalweg_core::expr::{Expr, ExprEnv, Lookup, Name};
use thalweg_core::pattern::FieldType;
use thalweg_core::time::parse_instant;
use thalweg_core::units::parse_duration;
use thalweg_core::{Fields, Timestamp, Value};

use crate::failure::Failure;
use crate::words::did_you_mean;

/// One comparison of a field with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Where {
    field: String,
    how: How,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Equal,
    Unequal,
    AtMost,
    AtLeast,
    Less,
    More,
}

const SIGNS: [(&str, How); 6] = [
    ("!=", How::Unequal),
    ("<=", How::AtMost),
    (">=", How::AtLeast),
    ("=", How::Equal),
    ("<", How::Less),
    (">", How::More),
];

impl Where {
    /// Reads `field=value`; also `!=`, `<`, `<=`, `>`, `>=`.
    ///
    /// # Errors
    ///
    /// Usage, when there is no sign or no field.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let end = text.find(|c| !is_name(c)).unwrap_or(text.len());
        let (field, rest) = text.split_at(end);
        let rest = rest.trim_start();
        let sign = SIGNS.iter().find(|(sign, _)| rest.starts_with(sign));
        match sign {
            Some((sign, how)) if !field.is_empty() => {
                let value = rest[sign.len()..].trim_start_matches('=').trim();
                Ok(Self { field: field.to_owned(), how: *how, text: unquoted(value).to_owned() })
            }
            _ => Err(Failure::usage(format!("--where {text}: this is no comparison"))
                .help("write --where field=value; also with !=, <, <=, >, >=")),
        }
    }

    /// Reads all of a command line.
    ///
    /// # Errors
    ///
    /// As [`Where::parse`].
    pub(crate) fn all(texts: &[String]) -> Result<Vec<Self>, Failure> {
        texts.iter().map(|text| Self::parse(text)).collect()
    }

    /// Refuses a field that files of a product never have.
    ///
    /// # Errors
    ///
    /// Usage, with the fields there are.
    pub(crate) fn known(&self, fields: &[&str], product: &str) -> Result<(), Failure> {
        if fields.contains(&self.field.as_str()) {
            return Ok(());
        }
        let there = if fields.is_empty() {
            "its files have no fields".to_owned()
        } else {
            format!("fields: {}", fields.join(", "))
        };
        Err(Failure::usage(format!("--where {}: files of {product} have no such field", self.field)).help(there))
    }

    /// Refuses a field that nothing of the flow has.
    ///
    /// # Errors
    ///
    /// Usage, with a near name.
    pub(crate) fn known_to(&self, known: &Known) -> Result<(), Failure> {
        if known.contains_key(&self.field) {
            return Ok(());
        }
        Err(Failure::usage(format!("--where {}: nothing of the flow has such a field", self.field))
            .help(did_you_mean(&self.field, known.keys().map(String::as_str))))
    }

    /// Tells if the fields fulfil it; a field that is not there is unequal to everything.
    pub(crate) fn holds(&self, fields: &Fields, now: Timestamp) -> bool {
        use std::cmp::Ordering::{Equal, Greater, Less};
        let order = fields.get(&self.field).and_then(|value| compare(value, &self.text, now));
        match self.how {
            How::Equal => order == Some(Equal),
            How::Unequal => order != Some(Equal),
            How::AtMost => matches!(order, Some(Less | Equal)),
            How::AtLeast => matches!(order, Some(Greater | Equal)),
            How::Less => order == Some(Less),
            How::More => order == Some(Greater),
        }
    }
}

fn unquoted(text: &str) -> &str {
    for quote in ['\'', '"'] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return inner;
        }
    }
    text
}

// The value's type says how the text is read.
fn compare(value: &Value, text: &str, now: Timestamp) -> Option<std::cmp::Ordering> {
    match value {
        Value::Bool(value) => Some(value.cmp(&text.parse().ok()?)),
        Value::Int(value) => match text.parse::<i64>() {
            Ok(number) => Some(value.cmp(&number)),
            // A number written as a letter, as slices are.
            Err(_) => match text.as_bytes() {
                [letter @ b'a'..=b'z'] => Some(value.cmp(&i64::from(letter - b'a'))),
                _ => None,
            },
        },
        Value::Float(value) => value.partial_cmp(&text.parse().ok()?),
        Value::Text(value) => Some(value.as_str().cmp(text)),
        Value::Time(value) => Some(value.cmp(&parse_instant(text, now).ok()?)),
        Value::Duration(value) => Some(value.cmp(&parse_duration(text).ok()?)),
        Value::List(values) => values
            .iter()
            .any(|value| compare(value, text, now) == Some(std::cmp::Ordering::Equal))
            .then_some(std::cmp::Ordering::Equal),
    }
}

/// The fields that can be meant, with their types where they are known.
pub(crate) type Known = BTreeMap<String, Option<FieldType>>;

/// Returns one condition of the flow language for all `--where` of a command line; `None` without any.
///
/// # Errors
///
/// Usage, when one of them is no condition, or names a field that files of `what` never have.
pub(crate) fn condition(texts: &[String], known: &Known, what: &str) -> Result<Option<String>, Failure> {
    let mut parts = Vec::new();
    for text in texts {
        let part = match simple(text, known) {
            Some(part) => part,
            None => {
                half(text)?;
                text.clone()
            }
        };
        let expr = Expr::parse(&part).map_err(|error| {
            Failure::usage(format!("--where {text}: {error}"))
                .help("write --where field=value, or a condition: \"site == 'sas' and slice > 0\"")
        })?;
        for name in expr.names() {
            let name = name.0.join(".");
            if !known.contains_key(&name) {
                return Err(Failure::usage(format!("--where {text}: there is no field `{name}` in {what}"))
                    .help(did_you_mean(&name, known.keys().map(String::as_str))));
            }
        }
        // A field alone, a number, `true`: that would hold for nothing, or for everything.
        if expr.comparisons().is_empty() || expr.names().is_empty() {
            return Err(Failure::usage(format!("--where {text}: this compares no field with anything"))
                .help("write --where field=value, or a condition: \"site == 'sas' and slice > 0\""));
        }
        parts.push(if texts.len() > 1 { format!("({part})") } else { part });
    }
    Ok((!parts.is_empty()).then(|| parts.join(" and ")))
}

/// Tells if nothing that fulfils the comparisons can fulfil a condition of the flow language.
///
/// What the comparisons leave open may be anything; a doubt is no contradiction.
pub(crate) fn excludes(wheres: &[Where], known: &Known, condition: &str, now: Timestamp) -> bool {
    let Ok(expr) = Expr::parse(condition) else { return false };
    let fields = wheres.iter().filter(|one| one.how == How::Equal).filter_map(|one| {
        let value = match known.get(&one.field)? {
            Some(FieldType::Text | FieldType::Path | FieldType::Regex(_) | FieldType::Choice(_)) => {
                Value::from(one.text.as_str())
            }
            Some(FieldType::Letter) => match one.text.as_bytes() {
                [letter @ b'a'..=b'z'] => Value::from(i64::from(letter - b'a')),
                _ => Value::from(one.text.parse::<i64>().ok()?),
            },
            Some(FieldType::Int { .. }) => Value::from(one.text.parse::<i64>().ok()?),
            // Of those that stand in a content, and of times, too little is known.
            _ => return None,
        };
        Some((one.field.clone(), value))
    });
    let meant = Meant { fields: fields.collect(), now };
    expr.eval(&meant).is_ok_and(|verdict| !verdict.holds && verdict.waits_for.is_empty())
}

// The fields that comparisons fix; all others are open.
struct Meant {
    fields: Fields,
    now: Timestamp,
}

impl ExprEnv for Meant {
    fn lookup(&self, name: &Name) -> Lookup {
        match name.0.as_slice() {
            [field] if self.fields.contains_key(field) => Lookup::Value(self.fields[field].clone()),
            _ => Lookup::NotYet(name.to_string()),
        }
    }

    fn now(&self) -> Timestamp {
        self.now
    }
}

// Refuses `field=` and `field=value` with a value that is no plain word, and says how each is written.
fn half(text: &str) -> Result<(), Failure> {
    let Some((field, value)) = text.split_once('=') else { return Ok(()) };
    let (field, value) = (field.trim(), value.trim());
    let (field, sign) = field.strip_suffix('!').map_or((field, "=="), |field| (field.trim(), "!="));
    let is_name = !field.is_empty() && field.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    // `==` begins a condition of the flow language; so does all that has more than a name before its sign.
    if !is_name || value.starts_with('=') || (sign == "!=" && !value.is_empty()) {
        return Ok(());
    }
    if value.is_empty() {
        return Err(Failure::usage(format!("--where {text}: there is no value after the sign"))
            .help(format!("write --where {field}=VALUE; for an empty one \"{field} {sign} ''\"")));
    }
    let inner = unquoted(value);
    let quote = if inner.contains('\'') { '"' } else { '\'' };
    Err(Failure::usage(format!("--where {text}: the value is no plain word"))
        .help(format!("write it as a condition, in quotes: {field} == {quote}{inner}{quote}")))
}

// `field=value` or `field!=value` with a bare value, read by the type of the field.
fn simple(text: &str, known: &Known) -> Option<String> {
    let (field, value) = text.split_once('=')?;
    let (field, sign) = match field.strip_suffix('!') {
        Some(field) => (field, "!="),
        None => (field, "=="),
    };
    let (field, value) = (field.trim(), value.trim());
    let name = !field.is_empty() && field.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let bare = !value.is_empty() && value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    if !name || !bare {
        return None;
    }
    let number = value.parse::<f64>().is_ok();
    let literal = match known.get(field) {
        Some(Some(FieldType::Letter)) => {
            let number = match value.as_bytes() {
                [letter @ b'a'..=b'z'] => u64::from(letter - b'a'),
                _ => value.parse().ok()?,
            };
            return Some(format!("{field} {sign} {number}"));
        }
        // What is a text stays one, however much it looks like a number.
        Some(Some(FieldType::Text | FieldType::Path | FieldType::Regex(_) | FieldType::Choice(_))) => false,
        Some(Some(_)) => match value.parse::<i64>() {
            Ok(number) => return Some(format!("{field} {sign} {number}")),
            Err(_) => number,
        },
        _ => number || matches!(value, "true" | "false"),
    };
    Some(if literal { format!("{field} {sign} {value}") } else { format!("{field} {sign} '{value}'") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Fields {
        Fields::from([
            ("site".to_owned(), Value::from("sas")),
            ("slice".to_owned(), Value::from(2)),
            ("time".to_owned(), Value::Time("2024-01-31T06:00:00Z".parse().unwrap())),
        ])
    }

    #[test]
    fn comparisons_go_by_the_type_of_the_field() {
        let holds = |text: &str| Where::parse(text).unwrap().holds(&fields(), Timestamp::UNIX_EPOCH);
        for text in [
            "site=sas",
            "slice=2",
            "slice=c",
            "slice>1",
            "slice<=2",
            "time>=2024-01-31",
            "site!=cly",
            "none!=1",
            "site == 'sas'",
        ] {
            assert!(holds(text), "{text}");
        }
        for text in ["site=sa", "slice=02x", "slice<2", "time<2024-01-31", "none=1"] {
            assert!(!holds(text), "{text}");
        }
        assert!(Where::parse("site").is_err());
    }

    #[test]
    fn a_condition_contradicts_what_is_asked_only_without_doubt() {
        let known = Known::from([
            ("site".to_owned(), Some(FieldType::Text)),
            ("slice".to_owned(), Some(FieldType::Letter)),
            ("cpid".to_owned(), None),
        ]);
        let excluded = |asked: &[&str], text: &str| {
            let wheres = Where::all(&asked.iter().map(|&text| text.to_owned()).collect::<Vec<_>>()).unwrap();
            excludes(&wheres, &known, text, Timestamp::UNIX_EPOCH)
        };
        assert!(excluded(&["site=sas"], "site == 'cly'"));
        assert!(excluded(&["site=sas"], "site == 'cly' and slice > 1"));
        assert!(excluded(&["site=sas", "slice=b"], "site == 'sas' and slice > 1"));
        assert!(!excluded(&["site=sas"], "site == 'sas'"));
        assert!(!excluded(&["site=sas"], "site == 'sas' and slice > 1"));
        assert!(!excluded(&["site!=sas"], "site == 'sas'"), "only what is fixed decides");
        assert!(!excluded(&["slice=1"], "site == 'cly'"));
        assert!(!excluded(&["cpid=151"], "cpid == 3"), "its type is not known");
    }

    #[test]
    fn simple_comparisons_become_conditions() {
        let known = Known::from([
            ("site".to_owned(), Some(FieldType::Text)),
            ("slice".to_owned(), Some(FieldType::Letter)),
            ("cpid".to_owned(), None),
        ]);
        let tried = |text: &str| condition(&[text.to_owned()], &known, "everything");
        let one = |text: &str| tried(text).unwrap().unwrap();
        assert_eq!(one("site=sas"), "site == 'sas'");
        assert_eq!(one("site!=sas"), "site != 'sas'");
        assert_eq!(one("site=03"), "site == '03'", "a text that looks like a number");
        assert_eq!(one("slice=0"), "slice == 0");
        assert_eq!(one("slice=c"), "slice == 2");
        assert_eq!(one("cpid=151"), "cpid == 151");
        assert_eq!(one("site == 'sas' and slice > 1"), "site == 'sas' and slice > 1");
        assert!(tried("site ==").is_err());
        for text in ["site", "1", "true", "not site", "1 == 1", "site or slice"] {
            let error = tried(text).unwrap_err();
            assert!(error.message.contains("compares no field"), "{text}: {}", error.message);
        }
        for text in ["site=", "site!=", "site = "] {
            let error = tried(text).unwrap_err();
            assert!(error.message.contains("there is no value"), "{text}: {}", error.message);
        }
        let odd = tried("site=a'b").unwrap_err();
        assert!(odd.message.contains("no plain word"), "{}", odd.message);
        assert_eq!(odd.help.as_deref(), Some("write it as a condition, in quotes: site == \"a'b\""));
        assert_eq!(one("site == \"a'b\""), "site == \"a'b\"");
        assert_eq!(one("site != 'sas'"), "site != 'sas'");
        let error = tried("sites=sas").unwrap_err();
        assert_eq!(error.help.as_deref(), Some("did you mean `site`?"));
    }
}
