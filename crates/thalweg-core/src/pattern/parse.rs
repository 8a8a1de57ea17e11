//! From the text of a pattern to its parts.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::calc::Calc;
use super::strftime::TimeFormat;
use super::{FieldType, PatternError, escaped_literal};

/// A piece of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// Text, in the escaped form of paths.
    Literal(String),
    /// A field that is no time in strftime parts.
    Field { name: String, kind: FieldType },
    /// Some strftime parts of a time.
    Time { name: String, format: TimeFormat },
    /// A computed part; `text` is what stands between the braces.
    Derived { text: String, calc: Calc },
    /// `{file}`.
    File,
    /// A part that may be absent.
    Optional(Vec<Part>),
}

/// What the text of a pattern says.
pub(super) struct Parsed {
    pub(super) parts: Vec<Part>,
    pub(super) is_folder: bool,
}

/// A piece before the types are known.
enum Token {
    Literal(String),
    Plain { name: String, kind: Option<(usize, String)>, span: Range<usize> },
    Derived { text: String, span: Range<usize> },
    File,
    Optional(Vec<Token>),
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    errors: Vec<PatternError>,
}

/// Returns the name that `text` starts with, empty if none.
pub(super) fn name_at(text: &str) -> &str {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return "";
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// Reads a pattern; `types` is what other patterns of the product said, extended by this one.
pub(super) fn parse(text: &str, types: &mut BTreeMap<String, FieldType>) -> Result<Parsed, Vec<PatternError>> {
    let mut reader = Reader { text, at: 0, errors: Vec::new() };
    reader.check_shape();
    let (body, is_folder) = text.strip_suffix('/').map_or((text, false), |body| (body, true));
    reader.text = body;
    let tokens = reader.tokens(None);
    reader.text = text;

    let mut plain = Vec::new();
    collect_plain(&tokens, &mut plain);
    reader.learn_types(&plain, types);
    let mut parts = Vec::new();
    reader.resolve(&tokens, types, &mut parts);
    if !holds_file(&parts) {
        reader.check_fields(&tokens, &parts, &plain);
    }
    if reader.errors.is_empty() {
        Ok(Parsed { parts, is_folder })
    } else {
        reader.errors.sort_by_key(|error| error.span.start);
        Err(reader.errors)
    }
}

type PlainToken<'a> = (&'a str, Option<&'a (usize, String)>, &'a Range<usize>);

fn collect_plain<'a>(tokens: &'a [Token], found: &mut Vec<PlainToken<'a>>) {
    for token in tokens {
        match token {
            Token::Plain { name, kind, span } => found.push((name, kind.as_ref(), span)),
            Token::Optional(inner) => collect_plain(inner, found),
            _ => {}
        }
    }
}

fn holds_file(parts: &[Part]) -> bool {
    parts.iter().any(|part| match part {
        Part::File => true,
        Part::Optional(inner) => holds_file(inner),
        _ => false,
    })
}

impl Reader<'_> {
    fn error(&mut self, span: Range<usize>, message: impl Into<String>, help: Option<&str>) {
        self.errors.push(PatternError { span, message: message.into(), help: help.map(str::to_owned) });
    }

    fn check_shape(&mut self) {
        let text = self.text;
        if text.is_empty() || text == "/" {
            self.error(
                0..text.len(),
                "the pattern is empty",
                Some("write the path relative to the station's root, e.g. `raw/{time:%Y%m%d}.dat`"),
            );
        } else if text.starts_with('/') {
            self.error(0..1, "a pattern is relative to the station's root", Some("leave the first `/` out"));
        }
    }

    /// Reads pieces up to the end of the text or, inside an optional part, up to its `]`.
    fn tokens(&mut self, optional_from: Option<usize>) -> Vec<Token> {
        let mut tokens = Vec::new();
        let mut literal = String::new();
        while let Some(c) = self.text[self.at..].chars().next() {
            let start = self.at;
            let doubled = matches!(c, '{' | '}' | '[' | ']') && self.text[start + 1..].starts_with(c);
            if doubled || !matches!(c, '{' | '}' | '[' | ']') {
                self.at += if doubled { 2 } else { c.len_utf8() };
                if c == '\0' {
                    self.error(start..start + 1, "a path cannot hold the character NUL", None);
                }
                if c == '/' && self.text[self.at..].starts_with('/') {
                    self.error(start..start + 2, "a folder has no name between `//`", Some("write a single `/`"));
                }
                literal.push_str(&escaped_literal(c));
                continue;
            }
            if c == ']' && optional_from.is_some() {
                break;
            }
            if !literal.is_empty() {
                tokens.push(Token::Literal(std::mem::take(&mut literal)));
            }
            match c {
                '{' => tokens.extend(self.braces()),
                '[' => {
                    self.at += 1;
                    if optional_from.is_some() {
                        self.error(
                            start..start + 1,
                            "an optional part stands inside another",
                            Some("end the first with `]`; a literal `[` is written `[[`"),
                        );
                        continue;
                    }
                    let inner = self.tokens(Some(start));
                    if self.text[self.at..].starts_with(']') {
                        self.at += 1;
                    } else {
                        self.error(
                            start..start + 1,
                            "this `[` is not closed",
                            Some("end the optional part with `]`; a literal `[` is written `[[`"),
                        );
                    }
                    let mut plain = Vec::new();
                    collect_plain(&inner, &mut plain);
                    if plain.is_empty() {
                        self.error(
                            start..self.at,
                            "an optional part holds at least one field",
                            Some("a literal `[` is written `[[`"),
                        );
                    }
                    tokens.push(Token::Optional(inner));
                }
                other => {
                    self.error(
                        start..start + 1,
                        format!("this `{other}` closes nothing"),
                        Some(&format!("a literal `{other}` is written `{other}{other}`")),
                    );
                    self.at += 1;
                }
            }
        }
        if !literal.is_empty() {
            tokens.push(Token::Literal(literal));
        }
        tokens
    }

    /// Reads `{…}`; nothing when there is a mistake.
    fn braces(&mut self) -> Option<Token> {
        let start = self.at;
        let mut depth = 0_usize;
        let mut end = None;
        for (at, c) in self.text[start..].char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                end = Some(start + at);
                break;
            }
        }
        let Some(end) = end else {
            self.at = self.text.len();
            self.error(
                start..start + 1,
                "this `{` is not closed",
                Some("end the field with `}`; a literal `{` is written `{{`"),
            );
            return None;
        };
        self.at = end + 1;
        let span = start..end + 1;
        let inner = &self.text[start + 1..end];
        let name = name_at(inner);
        let rest = &inner[name.len()..];
        if name.is_empty() && inner.trim().is_empty() {
            self.error(span, "the field has no name", Some("write `{name}`"));
            None
        } else if name.is_empty() && rest.starts_with(':') {
            self.error(span, "the field has no name", Some("write the name before the colon: `{time:%Y%m%d}`"));
            None
        } else if name == "file" && rest.is_empty() {
            Some(Token::File)
        } else if name == "file" && rest.starts_with(':') {
            self.error(
                span,
                "`file` stands for the base name that the file has elsewhere and has no type",
                Some("write `{file}`, or name the field otherwise"),
            );
            None
        } else if name.is_empty() || !(rest.is_empty() || rest.starts_with(':')) {
            Some(Token::Derived { text: inner.to_owned(), span })
        } else {
            let kind = rest.strip_prefix(':').map(|kind| (start + 1 + name.len() + 1, kind.to_owned()));
            Some(Token::Plain { name: name.to_owned(), kind, span })
        }
    }

    /// Adds the types that this pattern gives to `types`.
    fn learn_types(&mut self, plain: &[PlainToken<'_>], types: &mut BTreeMap<String, FieldType>) {
        for (name, kind, _) in plain {
            let Some((at, text)) = kind else { continue };
            let kind = match FieldType::parse(text) {
                Ok(kind) => kind,
                Err(error) => {
                    let help = error.help;
                    self.errors.push(PatternError {
                        span: at + error.at..at + text.len(),
                        message: error.message,
                        help,
                    });
                    // Known as something, so that its other appearances are no further mistakes.
                    types.entry((*name).to_owned()).or_insert(FieldType::Text);
                    continue;
                }
            };
            match (types.get(*name), &kind) {
                (None, _) => {
                    types.insert((*name).to_owned(), kind);
                }
                (Some(FieldType::Time { format: known }), FieldType::Time { format: new }) => {
                    // Of several appearances the most precise one is the type.
                    let precision = |text: &str| TimeFormat::parse(text).map(|format| format.precision()).unwrap_or(0);
                    if precision(new) > precision(known) {
                        types.insert((*name).to_owned(), kind);
                    }
                }
                (Some(known), _) if *known != kind => {
                    let message = format!("field `{name}` has the type `{known}` elsewhere and `{kind}` here");
                    self.error(
                        *at..at + text.len(),
                        message,
                        Some("a type given once holds everywhere: leave it out here"),
                    );
                }
                _ => {}
            }
        }
    }

    fn resolve(&mut self, tokens: &[Token], types: &BTreeMap<String, FieldType>, parts: &mut Vec<Part>) {
        for token in tokens {
            match token {
                Token::Literal(text) => push_literal(parts, text),
                Token::File => parts.push(Part::File),
                Token::Optional(inner) => {
                    let mut inside = Vec::new();
                    self.resolve(inner, types, &mut inside);
                    parts.push(Part::Optional(inside));
                }
                Token::Derived { text, span } => match Calc::parse(text) {
                    // A date is cut at its slashes so that every folder is a part of its own.
                    Ok(Calc::Date(inner, format)) => push_pieces(parts, &format, |piece| Part::Derived {
                        text: text.clone(),
                        calc: Calc::Date(inner.clone(), piece),
                    }),
                    Ok(calc) => parts.push(Part::Derived { text: text.clone(), calc }),
                    Err(error) => {
                        let at = (span.start + 1 + error.at).min(span.end - 1);
                        self.errors.push(PatternError {
                            span: at..span.end - 1,
                            message: error.message,
                            help: error.help,
                        });
                    }
                },
                Token::Plain { name, kind, .. } => {
                    let own = kind.as_ref().and_then(|(_, text)| FieldType::parse(text).ok());
                    let kind = own.or_else(|| types.get(name).cloned()).unwrap_or(FieldType::Text);
                    match kind {
                        FieldType::Time { format } => {
                            if let Ok(format) = TimeFormat::parse(&format) {
                                push_pieces(parts, &format, |piece| Part::Time { name: name.clone(), format: piece });
                            }
                        }
                        kind => parts.push(Part::Field { name: name.clone(), kind }),
                    }
                }
            }
        }
    }

    /// Checks what a pattern must have to be read: base fields stand plainly, times have a year.
    fn check_fields(&mut self, tokens: &[Token], parts: &[Part], plain: &[PlainToken<'_>]) {
        let known: BTreeSet<&str> = plain.iter().map(|token| token.0).collect();
        let mut derived = Vec::new();
        collect_derived(tokens, &mut derived);
        for (text, span) in derived {
            let mut fields = BTreeSet::new();
            if let Ok(calc) = Calc::parse(text) {
                calc.add_fields(&mut fields);
            }
            for field in fields.iter().filter(|field| !known.contains(field.as_str())) {
                let message = format!("field `{field}` stands in `{{{text}}}` only, from which it cannot be read back");
                self.error(span.clone(), message, Some(&format!("let the pattern hold `{{{field}}}` plainly as well")));
            }
        }
        let mut years = BTreeMap::new();
        collect_years(parts, &mut years);
        for (name, _) in years.iter().filter(|(_, has_year)| !**has_year) {
            let span = plain.iter().find(|token| token.0 == name).map_or(0..self.text.len(), |token| token.2.clone());
            self.error(
                span,
                format!("the time `{name}` has no year"),
                Some("add `%Y`, here or in another appearance of the field"),
            );
        }
    }
}

fn collect_derived<'a>(tokens: &'a [Token], found: &mut Vec<(&'a str, &'a Range<usize>)>) {
    for token in tokens {
        match token {
            Token::Derived { text, span } => found.push((text, span)),
            Token::Optional(inner) => collect_derived(inner, found),
            _ => {}
        }
    }
}

fn collect_years(parts: &[Part], years: &mut BTreeMap<String, bool>) {
    for part in parts {
        match part {
            Part::Time { name, format } => *years.entry(name.clone()).or_default() |= format.has_year(),
            Part::Optional(inner) => collect_years(inner, years),
            _ => {}
        }
    }
}

fn push_literal(parts: &mut Vec<Part>, text: &str) {
    if let Some(Part::Literal(last)) = parts.last_mut() {
        last.push_str(text);
    } else if !text.is_empty() {
        parts.push(Part::Literal(text.to_owned()));
    }
}

fn push_pieces(parts: &mut Vec<Part>, format: &TimeFormat, part: impl Fn(TimeFormat) -> Part) {
    for (n, piece) in format.cut_at_slashes().into_iter().enumerate() {
        if n > 0 {
            push_literal(parts, "/");
        }
        match piece {
            Ok(piece) => parts.push(part(piece)),
            Err(text) => push_literal(parts, &text.chars().map(escaped_literal).collect::<String>()),
        }
    }
}
