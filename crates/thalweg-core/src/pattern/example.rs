//! Example paths of patterns, and paths that two patterns share.

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::parse::Part;
use super::{FieldType, Pattern, visit_parts};
use crate::{Fields, Timestamp, Value};

/// Tries to make an example, for each one asked for.
const TRIES_PER_EXAMPLE: usize = 4;

/// Optional parts whose presence and absence are both tried when shapes are compared.
const MAX_OPTIONAL: usize = 3;

/// Texts of a choice that are tried when shapes are compared.
const MAX_CHOICES: usize = 8;

/// Characters of a shape, at most; repetitions in regular expressions count in full.
const MAX_SHAPE: usize = 600;

pub(super) fn examples(pattern: &Pattern, n: usize) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for k in 0..n.saturating_mul(TRIES_PER_EXAMPLE).min(10_000) {
        if found.len() >= n {
            break;
        }
        let fields: Fields = pattern
            .fields
            .iter()
            .filter(|field| !field.optional || k % 2 == 0)
            .map(|field| (field.name.clone(), example_value(&field.kind, k)))
            .collect();
        if let Ok(path) = pattern.write(&fields, None, Some(["data.dat", "a", "x.h5"][k % 3]))
            && !found.contains(&path)
        {
            found.push(path);
        }
    }
    found
}

fn example_value(kind: &FieldType, k: usize) -> Value {
    let number = [0_i64, 1, 12, 123, 7, 3600][k % 6];
    let seconds = 899_164_800 + i64::try_from(k).unwrap_or(0) * 3600;
    match kind {
        FieldType::Text => Value::from(["a", "abc", "x1", "data", "A", "1", "ab-c", "20240203"][k % 8]),
        FieldType::Path => Value::from(["a", "a/b", "2024/02"][k % 3]),
        FieldType::Letter => Value::Int(i64::try_from(k % 26).unwrap_or(0)),
        FieldType::Choice(choices) => Value::Text(choices[k % choices.len().max(1)].clone()),
        FieldType::Regex(regex) => Value::Text(regex_example(regex, k).unwrap_or_default()),
        FieldType::Int { width } => {
            Value::Int(number % 10_i64.pow(u32::try_from(width.unwrap_or(18).min(18)).unwrap_or(18)))
        }
        FieldType::Gps { width } | FieldType::Unix { width } | FieldType::Since { width, .. } => {
            Value::Int(seconds % 10_i64.pow(u32::try_from(width.unwrap_or(18).min(18)).unwrap_or(18)))
        }
        FieldType::Time { .. } => {
            // 2024-02-03T04:05:06Z, whole midnights, and 2011-11-11T11:11:11Z.
            let unix =
                [1_706_933_106, 1_706_918_400, 1_321_009_871][k % 3] + i64::try_from(k / 3).unwrap_or(0) * 86_400;
            Value::Time(Timestamp::from_second(unix).unwrap_or_default())
        }
    }
}

/// Returns a text that a regular expression matches as a whole, if one is found.
fn regex_example(regex: &str, k: usize) -> Option<String> {
    let whole = regex::Regex::new(&format!(r"\A(?:{regex})\z")).ok()?;
    let made = shape_of_regex(regex).map(|shape| {
        let mut text = String::new();
        for step in &shape {
            let times = match step.count {
                Count::One => 1,
                Count::Maybe => k % 2,
                Count::Many => k % 3,
            };
            for n in 0..times {
                text.extend(step.class.pick(k + n));
            }
        }
        text
    });
    let probes = [
        "abc", "a", "x", "0", "1", "12", "123", "A", "ABC", "A1", "a1", "ab", "abcd", "2024", "20240203", "1.5", "a-b",
        "a_b", "S5",
    ];
    made.into_iter()
        .chain(probes.iter().map(|probe| (*probe).to_owned()))
        .find(|text| whole.is_match(text) && !text.contains('/'))
}

pub(super) fn overlap(one: &Pattern, other: &Pattern) -> Option<String> {
    // A folder as a unit and a file never have the same path.
    if one.is_folder != other.is_folder {
        return None;
    }
    let in_both = |path: &String| [one, other].iter().all(|pattern| pattern.matcher.read(pattern, path, None).is_ok());
    let tried = examples(one, 24).into_iter().chain(examples(other, 24)).find(in_both);
    tried.or_else(|| {
        let (left, right) = (shapes(one), shapes(other));
        left.iter().flat_map(|left| right.iter().filter_map(|right| shared_text(left, right))).find(in_both)
    })
}

/// A set of characters: some of ASCII, and perhaps all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Set { ascii: u128, others: bool },
    Other(char),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Count {
    One,
    Maybe,
    Many,
}

/// One character of a shape, or several of a kind.
#[derive(Debug, Clone, Copy)]
struct Step {
    class: Class,
    count: Count,
}

impl Class {
    const NOT_NUL: Self = Self::Set { ascii: !1, others: true };

    fn one(c: char) -> Self {
        if c.is_ascii() { Self::Set { ascii: 1 << u32::from(c), others: false } } else { Self::Other(c) }
    }

    fn range(from: char, to: char) -> Self {
        let ascii = (u32::from(from)..=u32::from(to).min(127)).fold(0, |set, c| set | 1_u128 << c);
        Self::Set { ascii, others: !to.is_ascii() }
    }

    fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Set { ascii: a, others: x }, Self::Set { ascii: b, others: y }) => {
                Self::Set { ascii: a | b, others: x || y }
            }
            (set @ Self::Set { .. }, Self::Other(_)) | (Self::Other(_), set) => set,
        }
    }

    fn inverted(self) -> Self {
        match self {
            Self::Set { ascii, others } => Self::Set { ascii: !ascii & !1, others: !others },
            Self::Other(_) => Self::NOT_NUL,
        }
    }

    /// All but `/`.
    fn name_character() -> Self {
        Self::one('/').inverted()
    }

    fn digit() -> Self {
        Self::range('0', '9')
    }

    /// Returns a character of both; digits are ones, so that any two digits make a date and a time.
    fn shared(self, other: Self) -> Option<char> {
        match (self, other) {
            (Self::Other(a), Self::Other(b)) => (a == b).then_some(a),
            (Self::Other(c), Self::Set { others, .. }) | (Self::Set { others, .. }, Self::Other(c)) => {
                others.then_some(c)
            }
            (Self::Set { ascii: a, others: x }, Self::Set { ascii: b, others: y }) => {
                Self::Set { ascii: a & b, others: x && y }.pick(0)
            }
        }
    }

    /// Returns the `k`-th of some usual characters in the set, or any other.
    fn pick(self, k: usize) -> Option<char> {
        let Self::Set { ascii, others } = self else {
            let Self::Other(c) = self else { return None };
            return Some(c);
        };
        let usual: Vec<char> = "1abcABCxyz0259_-.".chars().filter(|c| ascii & 1 << u32::from(*c) != 0).collect();
        if !usual.is_empty() {
            return Some(usual[k % usual.len()]);
        }
        // Visible characters before control characters.
        let any = (33..127_u8).chain(1..33).find(|c| ascii & 1 << u32::from(*c) != 0).map(char::from);
        any.or(others.then_some('é'))
    }
}

/// Returns the shapes of a pattern, for optional parts being there or not and for the texts of choices in turn.
fn shapes(pattern: &Pattern) -> Vec<Vec<Step>> {
    let (mut optional, mut choices) = (0, 1);
    visit_parts(&pattern.parts, false, &mut |part, _| match part {
        Part::Optional(_) => optional += 1,
        Part::Field { kind: FieldType::Choice(texts), .. } => choices = choices.max(texts.len()),
        _ => {}
    });
    let mut all = Vec::new();
    let turns = choices.min(MAX_CHOICES);
    for (present, turn) in
        (0..1_u32 << optional.min(MAX_OPTIONAL)).flat_map(|present| (0..turns).map(move |turn| (present, turn)))
    {
        let mut shape = Some(Vec::new());
        let mut n = 0;
        for part in &pattern.parts {
            if let Part::Optional(inner) = part {
                if present >> n & 1 == 1 {
                    inner.iter().for_each(|part| add_shape(part, turn, &mut shape));
                }
                n += 1;
            } else {
                add_shape(part, turn, &mut shape);
            }
        }
        all.extend(shape.filter(|shape| shape.len() <= MAX_SHAPE));
    }
    all
}

/// Adds the shape of a part; an unknown one makes the whole unknown.
fn add_shape(part: &Part, turn: usize, shape: &mut Option<Vec<Step>>) {
    let Some(steps) = shape else { return };
    let one = |class| Step { class, count: Count::One };
    let many = |class| [Step { class, count: Count::One }, Step { class, count: Count::Many }];
    match part {
        Part::Literal(text) => steps.extend(text.chars().map(|c| one(Class::one(c)))),
        Part::File | Part::Derived { .. } => steps.extend(many(Class::name_character())),
        Part::Time { format, .. } => match shape_of_regex(&format.regex()) {
            Some(inner) => steps.extend(inner),
            None => *shape = None,
        },
        Part::Field { kind, .. } => match kind {
            FieldType::Text => steps.extend(many(Class::name_character())),
            FieldType::Path => steps.extend(many(Class::NOT_NUL)),
            FieldType::Choice(choices) => {
                steps.extend(choices[turn % choices.len().max(1)].chars().map(|c| one(Class::one(c))));
            }
            kind => match shape_of_regex(&kind.regex()) {
                Some(inner) => steps.extend(inner),
                None => *shape = None,
            },
        },
        Part::Optional(_) => {}
    }
}

/// Returns the shape of a simple regular expression: characters and classes with counts, in a row.
fn shape_of_regex(regex: &str) -> Option<Vec<Step>> {
    let regex = regex
        .strip_prefix("(?:")
        .and_then(|inner| inner.strip_suffix(')'))
        .filter(|inner| !inner.contains(['(', ')']))
        .unwrap_or(regex);
    let mut steps: Vec<Step> = Vec::new();
    let mut rest = regex.chars().peekable();
    while let Some(c) = rest.next() {
        let class = match c {
            '.' => Class::name_character(),
            '[' => {
                let inverted = rest.next_if_eq(&'^').is_some();
                let mut class: Option<Class> = None;
                loop {
                    let from = match rest.next()? {
                        ']' => break,
                        '[' | '&' | '~' => return None,
                        '\\' => rest.next()?,
                        c => c,
                    };
                    let mut new = match from {
                        'd' if regex.contains("\\d") => Class::digit(),
                        c => Class::one(c),
                    };
                    if rest.peek() == Some(&'-') {
                        rest.next();
                        match rest.next()? {
                            ']' => {
                                class = Some(class.map_or(new, |class| class.with(new)).with(Class::one('-')));
                                break;
                            }
                            to => new = Class::range(from, to),
                        }
                    }
                    class = Some(class.map_or(new, |class| class.with(new)));
                }
                let class = class?;
                if inverted { class.with(Class::one('/')).inverted() } else { class }
            }
            '\\' => match rest.next()? {
                'd' => Class::digit(),
                'w' => Class::range('a', 'z').with(Class::range('A', 'Z')).with(Class::digit()).with(Class::one('_')),
                c if c.is_alphanumeric() => return None,
                c => Class::one(c),
            },
            '(' | ')' | '|' | '^' | '$' | '*' | '+' | '?' | '{' => return None,
            c => Class::one(c),
        };
        let step = |count| Step { class, count };
        match rest.peek() {
            Some('+') => steps.extend([step(Count::One), step(Count::Many)]),
            Some('*') => steps.push(step(Count::Many)),
            Some('?') => steps.push(step(Count::Maybe)),
            Some('{') => {
                rest.next();
                let counts: String = rest.by_ref().take_while(|c| *c != '}').collect();
                let (least, most) =
                    counts.split_once(',').map_or((counts.as_str(), Some(counts.as_str())), |(least, most)| {
                        (least, (!most.is_empty()).then_some(most))
                    });
                let least: usize = least.parse().ok()?;
                let most = most.map(|most| most.parse::<usize>()).transpose().ok()?;
                if least.max(most.unwrap_or(0)) > MAX_SHAPE {
                    return None;
                }
                steps.extend((0..least).map(|_| step(Count::One)));
                match most {
                    None => steps.push(step(Count::Many)),
                    Some(most) => steps.extend((least..most).map(|_| step(Count::Maybe))),
                }
                rest.next_if_eq(&'?');
                continue;
            }
            _ => {
                steps.push(step(Count::One));
                continue;
            }
        }
        rest.next();
        rest.next_if_eq(&'?');
    }
    Some(steps)
}

/// Places in two shapes.
type Places = (usize, usize);

/// Returns a short text that both shapes allow.
fn shared_text(left: &[Step], right: &[Step]) -> Option<String> {
    let mut seen = BTreeSet::from([(0, 0)]);
    // How each pair of places was reached first, and by which character.
    let mut from: HashMap<Places, (Places, Option<char>)> = HashMap::new();
    let mut queue = VecDeque::from([(0, 0)]);
    while let Some(state @ (i, j)) = queue.pop_front() {
        if (i, j) == (left.len(), right.len()) {
            let mut text = Vec::new();
            let mut state = state;
            while let Some((before, c)) = from.get(&state) {
                text.extend(*c);
                state = *before;
            }
            return Some(text.into_iter().rev().collect());
        }
        let (a, b) = (left.get(i), right.get(j));
        let mut next = Vec::new();
        if a.is_some_and(|step| step.count != Count::One) {
            next.push(((i + 1, j), None));
        }
        if b.is_some_and(|step| step.count != Count::One) {
            next.push(((i, j + 1), None));
        }
        if let (Some(a), Some(b)) = (a, b)
            && let Some(c) = a.class.shared(b.class)
        {
            let after = |n: usize, step: &Step| if step.count == Count::Many { n } else { n + 1 };
            next.push(((after(i, a), after(j, b)), Some(c)));
        }
        for (to, c) in next {
            if seen.insert(to) {
                from.insert(to, (state, c));
                // Steps without a character come first, which keeps the text short.
                if c.is_none() { queue.push_front(to) } else { queue.push_back(to) }
            }
        }
    }
    None
}
