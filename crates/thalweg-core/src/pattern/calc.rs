//! Derived parts of patterns: whole-number arithmetic, `date`, `letter`, `number`, and table look-ups.

use std::collections::{BTreeMap, BTreeSet};

use super::field::letter;
use super::strftime::TimeFormat;
use super::{FieldType, Table, time_of};
use crate::{Fields, Timestamp, Value};

/// Parentheses and calls inside one another, at most.
const MAX_DEPTH: usize = 32;

/// A derived part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Calc {
    Int(i64),
    Field(String),
    Negative(Box<Calc>),
    Pair(Box<Calc>, char, Box<Calc>),
    Date(Box<Calc>, TimeFormat),
    Letter(Box<Calc>),
    Number(Box<Calc>),
    Table(String, Box<Calc>),
}

/// Why a derived part has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CalcFailure {
    /// A field is not set.
    Missing(String),
    /// There is no table at hand.
    NoTables,
    /// Anything else, in words.
    Other(String),
}

/// What a derived part is computed from.
#[derive(Clone, Copy)]
pub(super) struct CalcInput<'a> {
    pub(super) fields: &'a Fields,
    pub(super) kinds: &'a BTreeMap<String, FieldType>,
    /// None: table look-ups end in [`CalcFailure::NoTables`].
    pub(super) tables: Option<&'a BTreeMap<String, Table>>,
}

/// A mistake in the text of a derived part, at a byte of it.
pub(super) struct CalcError {
    pub(super) at: usize,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl Calc {
    pub(super) fn parse(text: &str) -> Result<Self, CalcError> {
        let mut parser = Parser { text, at: 0, depth: 0 };
        let calc = parser.sum()?;
        parser.blanks();
        if parser.at < text.len() {
            return Err(parser.error(
                "this does not belong here",
                Some("a derived part is arithmetic such as `{gps/1e6}`, `{date(time, \"%Y/%m\")}` or `{table(field)}`"),
            ));
        }
        if let Calc::Field(name) = &calc {
            return Err(CalcError {
                at: 0,
                message: format!("`{name}` alone is no derived part"),
                help: Some(format!("write `{{{name}}}` without blanks or parentheses")),
            });
        }
        Ok(calc)
    }

    pub(super) fn add_fields(&self, fields: &mut BTreeSet<String>) {
        match self {
            Self::Int(_) => {}
            Self::Field(name) => {
                fields.insert(name.clone());
            }
            Self::Pair(left, _, right) => {
                left.add_fields(fields);
                right.add_fields(fields);
            }
            Self::Negative(inner)
            | Self::Date(inner, _)
            | Self::Letter(inner)
            | Self::Number(inner)
            | Self::Table(_, inner) => inner.add_fields(fields),
        }
    }

    pub(super) fn add_tables(&self, tables: &mut Vec<String>) {
        match self {
            Self::Int(_) | Self::Field(_) => {}
            Self::Pair(left, _, right) => {
                left.add_tables(tables);
                right.add_tables(tables);
            }
            Self::Table(name, inner) => {
                if !tables.contains(name) {
                    tables.push(name.clone());
                }
                inner.add_tables(tables);
            }
            Self::Negative(inner) | Self::Date(inner, _) | Self::Letter(inner) | Self::Number(inner) => {
                inner.add_tables(tables);
            }
        }
    }

    /// Returns the value.
    pub(super) fn eval(&self, input: CalcInput<'_>) -> Result<Value, CalcFailure> {
        let other = |message: String| CalcFailure::Other(message);
        match self {
            Self::Int(number) => Ok(Value::Int(*number)),
            Self::Field(name) => input.fields.get(name).cloned().ok_or_else(|| CalcFailure::Missing(name.clone())),
            Self::Negative(inner) => Ok(Value::Int(
                inner.int(input)?.checked_neg().ok_or_else(|| other("the number is too large".to_owned()))?,
            )),
            Self::Pair(left, operator, right) => {
                let (left, right) = (left.int(input)?, right.int(input)?);
                let result = match operator {
                    '+' => left.checked_add(right),
                    '-' => left.checked_sub(right),
                    '*' => left.checked_mul(right),
                    // Rounded down, also below zero, so that blocks have equal lengths.
                    '/' => left.checked_div_euclid(right),
                    _ => left.checked_rem_euclid(right),
                };
                result.map(Value::Int).ok_or_else(|| {
                    other(if right == 0 { "division by zero".to_owned() } else { "the number is too large".to_owned() })
                })
            }
            Self::Date(inner, format) => {
                let at = inner.time(input)?.ok_or_else(|| other("the field is no time".to_owned()))?;
                let mut text = String::new();
                format.write(at, &mut text).map_err(|expected| other(format!("{expected} expected")))?;
                Ok(Value::Text(text))
            }
            Self::Letter(inner) => {
                let number = inner.int(input)?;
                letter(number)
                    .map(|c| Value::Text(c.to_string()))
                    .ok_or_else(|| other(format!("{number} has no letter; only 0 to 25 have")))
            }
            Self::Number(inner) => match inner.eval(input)? {
                Value::Int(number) => Ok(Value::Int(number)),
                Value::Text(text) => match text.as_bytes() {
                    [letter @ b'a'..=b'z'] => Ok(Value::Int(i64::from(letter - b'a'))),
                    _ => text
                        .parse()
                        .map(Value::Int)
                        .map_err(|_| other(format!("`{text}` is neither a letter from a to z nor a number"))),
                },
                value => Err(other(format!("`{value}` is neither a letter from a to z nor a number"))),
            },
            Self::Table(name, inner) => {
                let Some(tables) = input.tables else {
                    inner.eval(input)?;
                    return Err(CalcFailure::NoTables);
                };
                let table = tables.get(name).ok_or_else(|| other(format!("there is no table `{name}`")))?;
                let key = match inner.time(input)? {
                    Some(at) if table.is_of_times() => Value::Time(at),
                    _ => inner.eval(input)?,
                };
                table.lookup(&key).cloned().ok_or_else(|| other(format!("table `{name}` has no row for {key}")))
            }
        }
    }

    fn int(&self, input: CalcInput<'_>) -> Result<i64, CalcFailure> {
        match self.eval(input)? {
            Value::Int(number) => Ok(number),
            value => Err(CalcFailure::Other(format!("`{value}` is no whole number"))),
        }
    }

    /// Returns the instant when this is a field that says one.
    fn time(&self, input: CalcInput<'_>) -> Result<Option<Timestamp>, CalcFailure> {
        let value = self.eval(input)?;
        if let Value::Time(at) = value {
            return Ok(Some(at));
        }
        let Self::Field(name) = self else { return Ok(None) };
        Ok(input.kinds.get(name).and_then(|kind| time_of(kind, &value)))
    }
}

impl Parser<'_> {
    fn error(&self, message: impl Into<String>, help: Option<&str>) -> CalcError {
        CalcError { at: self.at.min(self.text.len()), message: message.into(), help: help.map(str::to_owned) }
    }

    fn blanks(&mut self) {
        self.at = self.text.len() - self.text[self.at..].trim_start().len();
    }

    fn peek(&mut self) -> Option<char> {
        self.blanks();
        self.text[self.at..].chars().next()
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn expect(&mut self, wanted: char) -> Result<(), CalcError> {
        if self.take(wanted) { Ok(()) } else { Err(self.error(format!("`{wanted}` is missing"), None)) }
    }

    fn pairs(&mut self, operators: &[char], next: fn(&mut Self) -> Result<Calc, CalcError>) -> Result<Calc, CalcError> {
        let mut left = next(self)?;
        while let Some(operator) = self.peek().filter(|c| operators.contains(c)) {
            self.at += 1;
            left = Calc::Pair(Box::new(left), operator, Box::new(next(self)?));
        }
        Ok(left)
    }

    fn sum(&mut self) -> Result<Calc, CalcError> {
        self.pairs(&['+', '-'], Self::product)
    }

    fn product(&mut self) -> Result<Calc, CalcError> {
        self.pairs(&['*', '/', '%'], Self::single)
    }

    fn nested(&mut self, parse: fn(&mut Self) -> Result<Calc, CalcError>) -> Result<Calc, CalcError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error("the part is nested too deeply", None));
        }
        let calc = parse(self);
        self.depth -= 1;
        calc
    }

    fn single(&mut self) -> Result<Calc, CalcError> {
        let start = {
            self.blanks();
            self.at
        };
        match self.peek() {
            Some('(') => {
                self.at += 1;
                let calc = self.nested(Self::sum)?;
                self.expect(')')?;
                Ok(calc)
            }
            Some('-') => {
                self.at += 1;
                Ok(Calc::Negative(Box::new(self.nested(Self::single)?)))
            }
            Some(c) if c.is_ascii_digit() => self.number(),
            Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                let name = super::parse::name_at(&self.text[self.at..]).to_owned();
                self.at += name.len();
                if !self.take('(') {
                    return Ok(Calc::Field(name));
                }
                let argument = Box::new(self.nested(Self::sum)?);
                let calc = match name.as_str() {
                    "date" => {
                        if !self.take(',') {
                            return Err(CalcError {
                                at: start,
                                message: "`date` is not told how to write the time".to_owned(),
                                help: Some("write `date(time, \"%Y/%m\")`".to_owned()),
                            });
                        }
                        Calc::Date(argument, self.format()?)
                    }
                    "letter" => Calc::Letter(argument),
                    "number" => Calc::Number(argument),
                    _ => Calc::Table(name, argument),
                };
                self.expect(')')?;
                Ok(calc)
            }
            _ => Err(self.error("a field, a number, a call or `(` is expected", None)),
        }
    }

    /// Reads `12` or `1e6`.
    fn number(&mut self) -> Result<Calc, CalcError> {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(rest.len());
        let (digits, exponent) = rest[..end].split_once(['e', 'E']).unwrap_or((&rest[..end], "0"));
        let number = digits
            .parse::<i64>()
            .ok()
            .zip(exponent.parse::<u32>().ok())
            .and_then(|(number, exponent)| number.checked_mul(10_i64.checked_pow(exponent)?));
        let number = number.ok_or_else(|| {
            self.error(format!("`{}` is no whole number", &rest[..end]), Some("write `1000000` or `1e6`"))
        })?;
        self.at += end;
        Ok(Calc::Int(number))
    }

    fn format(&mut self) -> Result<TimeFormat, CalcError> {
        let quote = self
            .peek()
            .filter(|c| matches!(c, '"' | '\''))
            .ok_or_else(|| self.error("a text in quotes is expected", Some("write `date(time, \"%Y/%m\")`")))?;
        let start = self.at + 1;
        let length = self.text[start..].find(quote).ok_or_else(|| self.error("the text has no closing quote", None))?;
        self.at = start + length + 1;
        TimeFormat::parse(&self.text[start..start + length]).map_err(|error| CalcError {
            at: start + error.at,
            message: error.message,
            help: None,
        })
    }
}
