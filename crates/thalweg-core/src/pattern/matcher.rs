//! Reading paths: the compiled regular expression, the checks after it, and the shapes of folders.

use std::collections::BTreeMap;

use regex::{Regex, RegexBuilder};

use super::calc::{CalcFailure, CalcInput};
use super::parse::Part;
use super::strftime::{TimeFormat, TimeParts};
use super::{FieldType, NoMatch, Pattern, Table, visit_parts};
use crate::{Fields, Value};

/// The compiled form of a pattern's parts.
#[derive(Debug, Clone)]
pub(super) struct Matcher {
    regex: Regex,
    /// What each group of ours holds, and its number in `regex`.
    groups: Vec<(usize, Group)>,
    /// Text that every match starts and ends with; most other paths fail here.
    prefix: String,
    suffix: String,
    /// Fewest and most `/`; no most with path fields.
    slashes: (usize, Option<usize>),
    /// The parts between `/`, the last one being the name.
    levels: Vec<Level>,
}

/// What stands between two `/`.
#[derive(Debug, Clone)]
pub(super) struct Level {
    pub(super) parts: Vec<Part>,
    /// None when the level itself may hold `/`.
    regex: Option<Regex>,
}

#[derive(Debug, Clone)]
enum Group {
    Field { name: String, kind: FieldType },
    Time { name: String, format: TimeFormat },
    Derived { text: String, calc: super::calc::Calc },
}

fn group_name(n: usize) -> String {
    format!("part_{n}")
}

impl Matcher {
    pub(super) fn new(parts: &[Part]) -> Result<Self, String> {
        let mut groups = Vec::new();
        let regex = build(&expression(parts, &mut Some(&mut groups)))?;
        let mut numbered = Vec::new();
        for (n, group) in groups.into_iter().enumerate() {
            let name = group_name(n);
            let index = regex
                .capture_names()
                .position(|known| known == Some(&name))
                .ok_or("a regular expression uses the names of the pattern's own groups")?;
            numbered.push((index, group));
        }
        let literal = |part: Option<&Part>| match part {
            Some(Part::Literal(text)) => text.clone(),
            _ => String::new(),
        };
        Ok(Self {
            regex,
            groups: numbered,
            prefix: literal(parts.first()),
            suffix: if parts.len() > 1 { literal(parts.last()) } else { String::new() },
            slashes: count_slashes(parts),
            levels: levels(parts)?,
        })
    }

    /// Reads the fields of `path`; without tables, look-ups in them count as fitting.
    pub(super) fn read(
        &self,
        pattern: &Pattern,
        path: &str,
        tables: Option<&BTreeMap<String, Table>>,
    ) -> Result<Fields, NoMatch> {
        let path = if pattern.is_folder { path.strip_suffix('/').unwrap_or(path) } else { path };
        if !path.starts_with(&self.prefix) || !path.ends_with(&self.suffix) {
            return Err(NoMatch::Other);
        }
        let slashes = path.bytes().filter(|byte| *byte == b'/').count();
        if slashes < self.slashes.0 || self.slashes.1.is_some_and(|most| slashes > most) {
            return Err(NoMatch::Other);
        }
        let captures = self.regex.captures(path).ok_or(NoMatch::Other)?;
        let mut fields = Fields::new();
        let mut times: Vec<(&str, TimeParts)> = Vec::new();
        for (index, group) in &self.groups {
            let Some(found) = captures.get(*index).map(|found| found.as_str()) else { continue };
            match group {
                Group::Field { name, kind } => {
                    let value = kind.read(found).map_err(|reason| NoMatch::BadValue { field: name.clone(), reason })?;
                    match fields.get(name) {
                        Some(known) if *known != value => {
                            return Err(NoMatch::Derived {
                                part: format!("the second {{{name}}}"),
                                expected: known.to_string(),
                                found: value.to_string(),
                            });
                        }
                        Some(_) => {}
                        None => {
                            fields.insert(name.clone(), value);
                        }
                    }
                }
                Group::Time { name, format } => {
                    let n = times.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
                        times.push((name, TimeParts::default()));
                        times.len() - 1
                    });
                    format
                        .read(found, &mut times[n].1)
                        .map_err(|reason| NoMatch::BadValue { field: name.clone(), reason })?;
                }
                Group::Derived { .. } => {}
            }
        }
        for (name, parts) in times {
            match parts.combine() {
                Ok(at) => {
                    fields.insert(name.to_owned(), Value::Time(at));
                }
                // A place such as `{time:%m}/{file}` does not say the whole time.
                Err(_) if pattern.has_file => {}
                Err(reason) => return Err(NoMatch::BadValue { field: name.to_owned(), reason }),
            }
        }
        self.check(pattern, &captures, &fields, tables)?;
        Ok(fields)
    }

    /// Compares all appearances of times, and all derived parts, with what the fields make them.
    fn check(
        &self,
        pattern: &Pattern,
        captures: &regex::Captures<'_>,
        fields: &Fields,
        tables: Option<&BTreeMap<String, Table>>,
    ) -> Result<(), NoMatch> {
        let input = CalcInput { fields, kinds: &pattern.kinds, tables };
        for (index, group) in &self.groups {
            let Some(found) = captures.get(*index).map(|found| found.as_str()) else { continue };
            match group {
                Group::Field { .. } => {}
                Group::Time { name, format } => {
                    let Some(Value::Time(at)) = fields.get(name) else { continue };
                    let mut expected = String::with_capacity(found.len());
                    format.write(*at, &mut expected).map_err(|reason| NoMatch::BadValue {
                        field: name.clone(),
                        reason: format!("{reason} expected"),
                    })?;
                    if expected != found {
                        return Err(NoMatch::Derived {
                            part: format!("{{{name}:{}}}", format.as_str()),
                            expected,
                            found: found.to_owned(),
                        });
                    }
                }
                Group::Derived { text, calc } => {
                    let expected = match calc.eval(input) {
                        Ok(value) => value.to_string(),
                        Err(CalcFailure::NoTables) => continue,
                        Err(CalcFailure::Missing(_)) if pattern.has_file => continue,
                        Err(CalcFailure::Missing(field)) => format!("nothing, as `{field}` is not set"),
                        Err(CalcFailure::Other(reason)) => format!("nothing: {reason}"),
                    };
                    if expected != found {
                        return Err(NoMatch::Derived {
                            part: format!("{{{text}}}"),
                            expected,
                            found: found.to_owned(),
                        });
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns the levels of the folders, from the root down, without the name.
    pub(super) fn folder_levels(&self) -> &[Level] {
        &self.levels[..self.levels.len().saturating_sub(1)]
    }

    pub(super) fn depth_limit(&self) -> Option<usize> {
        self.slashes.1.map(|most| most + 1)
    }

    pub(super) fn folder_may_match(&self, folder: &str) -> bool {
        let folder = folder.trim_matches('/');
        if folder.is_empty() {
            return true;
        }
        for (n, name) in folder.split('/').enumerate() {
            let Some(level) = self.levels.get(n) else { return false };
            // From a level on that may hold `/` nothing is known of the deeper ones.
            let Some(regex) = &level.regex else { return true };
            if n + 1 == self.levels.len() || !regex.is_match(name) {
                return false;
            }
        }
        true
    }
}

fn build(expression: &str) -> Result<Regex, String> {
    RegexBuilder::new(&format!(r"\A(?:{expression})\z")).dot_matches_new_line(true).size_limit(4 << 20).build().map_err(
        |error| {
            format!(
                "the pattern is too large or holds a regular expression that cannot stand in it: {}",
                error.to_string().lines().last().unwrap_or_default()
            )
        },
    )
}

/// Writes the regular expression of `parts`; with a list, fields become groups that are added to it.
fn expression(parts: &[Part], groups: &mut Option<&mut Vec<Group>>) -> String {
    let mut text = String::new();
    for part in parts {
        let (inner, group) = match part {
            Part::Literal(literal) => {
                text.push_str(&regex::escape(literal));
                continue;
            }
            Part::File => {
                text.push_str("[^/]+?");
                continue;
            }
            Part::Optional(inner) => {
                text.push_str(&format!("(?:{})?", expression(inner, groups)));
                continue;
            }
            Part::Field { name, kind } => (kind.regex(), Group::Field { name: name.clone(), kind: kind.clone() }),
            Part::Time { name, format } => (format.regex(), Group::Time { name: name.clone(), format: format.clone() }),
            Part::Derived { text, calc } => {
                ("[^/]+?".to_owned(), Group::Derived { text: text.clone(), calc: calc.clone() })
            }
        };
        match groups {
            Some(groups) => {
                text.push_str(&format!("(?P<{}>{inner})", group_name(groups.len())));
                groups.push(group);
            }
            None => text.push_str(&format!("(?:{inner})")),
        }
    }
    text
}

fn count_slashes(parts: &[Part]) -> (usize, Option<usize>) {
    let (mut fewest, mut most) = (0, Some(0_usize));
    visit_parts(parts, false, &mut |part, optional| match part {
        Part::Literal(text) => {
            let count = text.matches('/').count();
            most = most.map(|most| most + count);
            fewest += if optional { 0 } else { count };
        }
        Part::Field { kind: FieldType::Path, .. } => most = None,
        _ => {}
    });
    (fewest, most)
}

/// Cuts the parts at each `/` that stands in all matches.
fn levels(parts: &[Part]) -> Result<Vec<Level>, String> {
    let mut cut: Vec<Vec<Part>> = vec![Vec::new()];
    for part in parts {
        let Part::Literal(text) = part else {
            if let Some(last) = cut.last_mut() {
                last.push(part.clone());
            }
            continue;
        };
        for (n, piece) in text.split('/').enumerate() {
            if n > 0 {
                cut.push(Vec::new());
            }
            if let Some(last) = cut.last_mut()
                && !piece.is_empty()
            {
                last.push(Part::Literal(piece.to_owned()));
            }
        }
    }
    cut.into_iter()
        .map(|parts| {
            let regex =
                if count_slashes(&parts).1 == Some(0) { Some(build(&expression(&parts, &mut None))?) } else { None };
            Ok(Level { parts, regex })
        })
        .collect()
}
