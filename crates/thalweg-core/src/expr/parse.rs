//! From the words of an expression to its tree.

use std::ops::Range;

use super::lex::{Word, error, words};
use super::{ExprError, Name, Predicate};
use crate::Value;

/// Operations inside one another, at most.
const MAX_DEPTH: usize = 48;

/// Words of an expression, at most; bounds the depth of chains such as `a + b + c`.
const MAX_WORDS: usize = 4000;

/// A piece of an expression with its place in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) span: Range<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Literal(Value),
    List(Vec<Node>),
    Name(Name),
    Now,
    Ask(Predicate),
    Not(Box<Node>),
    /// All, in order.
    And(Vec<Node>),
    /// Any, in order.
    Or(Vec<Node>),
    Compare(Box<Node>, Comparison, Box<Node>),
    In {
        item: Box<Node>,
        list: Box<Node>,
        negated: bool,
    },
    Negative(Box<Node>),
    /// A first term and what is done to it, in order.
    Chain(Box<Node>, Vec<(char, Node)>),
    Call(Function, Vec<Node>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Abs,
    Min,
    Max,
}

struct Parser {
    words: Vec<(Word, Range<usize>)>,
    at: usize,
    end: usize,
    depth: usize,
}

pub(super) fn parse(text: &str) -> Result<Node, ExprError> {
    let words = words(text)?;
    if words.len() > MAX_WORDS {
        return Err(error(0..text.len(), "the expression is too long", None));
    }
    if words.is_empty() {
        return Err(error(
            0..text.len(),
            "the expression is empty",
            Some("write a comparison such as `cpid in $distributed` or `age >= 14d`"),
        ));
    }
    let mut parser = Parser { words, at: 0, end: text.len(), depth: 0 };
    let node = parser.any()?;
    match parser.words.get(parser.at) {
        None => Ok(node),
        Some((word, span)) => {
            Err(error(span.clone(), format!("`{}` does not belong here", &text[span.clone()]), parser.help_after(word)))
        }
    }
}

impl Parser {
    fn peek(&self) -> Option<&Word> {
        self.words.get(self.at).map(|word| &word.0)
    }

    fn span(&self) -> Range<usize> {
        self.words.get(self.at).map_or(self.end..self.end, |word| word.1.clone())
    }

    /// Takes a sign if it is next.
    fn sign(&mut self, wanted: &[&'static str]) -> Option<&'static str> {
        match self.peek() {
            Some(Word::Sign(sign)) if wanted.contains(sign) => {
                let sign = *sign;
                self.at += 1;
                Some(sign)
            }
            _ => None,
        }
    }

    /// Returns the single-part name at a place from here.
    fn word_at(&self, offset: usize) -> Option<&str> {
        match self.words.get(self.at + offset) {
            Some((Word::Name(Name(parts)), _)) if parts.len() == 1 => Some(&parts[0]),
            _ => None,
        }
    }

    fn keyword(&mut self, wanted: &str) -> bool {
        let found = self.word_at(0) == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn help_after(&self, word: &Word) -> Option<&'static str> {
        match word {
            Word::Sign("==" | "!=" | "<" | "<=" | ">" | ">=") => {
                Some("comparisons do not follow each other: write `a < b and b < c`")
            }
            Word::Name(_) | Word::Literal(_) => Some("conditions are joined by `and` and `or`; text stands in quotes"),
            _ => None,
        }
    }

    fn deeper(&mut self, parse: fn(&mut Self) -> Result<Node, ExprError>) -> Result<Node, ExprError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(error(self.span(), "the expression is nested too deeply", None));
        }
        let node = parse(self);
        self.depth -= 1;
        node
    }

    fn joined(
        &mut self,
        keyword: &str,
        next: fn(&mut Self) -> Result<Node, ExprError>,
        join: fn(Vec<Node>) -> Kind,
    ) -> Result<Node, ExprError> {
        let first = next(self)?;
        let mut all = vec![first];
        while self.keyword(keyword) {
            all.push(next(self)?);
        }
        if all.len() == 1 {
            return all.pop().ok_or_else(|| error(self.span(), "a condition is expected", None));
        }
        let span = all[0].span.start..all[all.len() - 1].span.end;
        Ok(Node { kind: join(all), span })
    }

    fn any(&mut self) -> Result<Node, ExprError> {
        self.joined("or", Self::all, Kind::Or)
    }

    fn all(&mut self) -> Result<Node, ExprError> {
        self.joined("and", Self::negation, Kind::And)
    }

    fn negation(&mut self) -> Result<Node, ExprError> {
        let start = self.span().start;
        if self.keyword("not") {
            let inner = self.deeper(Self::negation)?;
            let span = start..inner.span.end;
            return Ok(Node { kind: Kind::Not(Box::new(inner)), span });
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Node, ExprError> {
        let left = self.sum()?;
        let negated = self.word_at(0) == Some("not") && self.word_at(1) == Some("in");
        if negated || self.word_at(0) == Some("in") {
            self.at += 1 + usize::from(negated);
            let list = self.sum()?;
            if matches!(list.kind, Kind::Literal(_)) {
                return Err(error(
                    list.span,
                    "a list is expected after `in`",
                    Some("write `x in [1, 2]` or `x in $list`"),
                ));
            }
            let span = left.span.start..list.span.end;
            return Ok(Node { kind: Kind::In { item: Box::new(left), list: Box::new(list), negated }, span });
        }
        let comparison = match self.sign(&["==", "!=", "<=", ">=", "<", ">"]) {
            Some("==") => Comparison::Equal,
            Some("!=") => Comparison::Unequal,
            Some("<=") => Comparison::AtMost,
            Some(">=") => Comparison::AtLeast,
            Some("<") => Comparison::Less,
            Some(_) => Comparison::Greater,
            None => return Ok(left),
        };
        let right = self.sum()?;
        let span = left.span.start..right.span.end;
        Ok(Node { kind: Kind::Compare(Box::new(left), comparison, Box::new(right)), span })
    }

    fn chain(
        &mut self,
        signs: &[&'static str],
        next: fn(&mut Self) -> Result<Node, ExprError>,
    ) -> Result<Node, ExprError> {
        let first = next(self)?;
        let mut rest: Vec<(char, Node)> = Vec::new();
        while let Some(sign) = self.sign(signs) {
            rest.push((sign.chars().next().unwrap_or('+'), next(self)?));
        }
        match rest.last() {
            None => Ok(first),
            Some((_, last)) => {
                let span = first.span.start..last.span.end;
                Ok(Node { kind: Kind::Chain(Box::new(first), rest), span })
            }
        }
    }

    fn sum(&mut self) -> Result<Node, ExprError> {
        self.chain(&["+", "-"], Self::product)
    }

    fn product(&mut self) -> Result<Node, ExprError> {
        self.chain(&["*", "/", "%"], Self::unary)
    }

    fn unary(&mut self) -> Result<Node, ExprError> {
        let start = self.span().start;
        if self.sign(&["-"]).is_some() {
            let inner = self.deeper(Self::unary)?;
            let span = start..inner.span.end;
            return Ok(Node { kind: Kind::Negative(Box::new(inner)), span });
        }
        self.primary()
    }

    /// Reads values up to the closing sign.
    fn values(&mut self, close: &'static str) -> Result<Vec<Node>, ExprError> {
        let mut values = Vec::new();
        while self.sign(&[close]).is_none() {
            if !values.is_empty() && self.sign(&[","]).is_none() {
                return Err(error(self.span(), format!("`,` or `{close}` is missing"), None));
            }
            if values.is_empty() || self.peek() != Some(&Word::Sign(close)) {
                values.push(self.deeper(Self::any)?);
            }
        }
        Ok(values)
    }

    fn primary(&mut self) -> Result<Node, ExprError> {
        let span = self.span();
        let start = span.start;
        if self.sign(&["("]).is_some() {
            let inner = self.deeper(Self::any)?;
            if self.sign(&[")"]).is_none() {
                return Err(error(self.span(), "`)` is missing", None));
            }
            return Ok(inner);
        }
        if self.sign(&["["]).is_some() {
            let values = self.values("]")?;
            return Ok(Node { kind: Kind::List(values), span: start..self.last_end() });
        }
        if let Some(predicate) = self.predicate()? {
            return Ok(Node { kind: Kind::Ask(predicate), span: start..self.last_end() });
        }
        let kind = match self.peek() {
            Some(Word::Literal(value)) => Kind::Literal(value.clone()),
            Some(Word::Name(name)) => {
                let name = name.clone();
                match self.word_at(0) {
                    Some("true") => Kind::Literal(Value::Bool(true)),
                    Some("false") => Kind::Literal(Value::Bool(false)),
                    Some("now") => Kind::Now,
                    Some(word @ ("and" | "or" | "not" | "in")) => {
                        return Err(error(span, format!("a value is expected before `{word}`"), None));
                    }
                    _ if self.words.get(self.at + 1).is_some_and(|next| next.0 == Word::Sign("(")) => {
                        return self.call(&name);
                    }
                    _ => Kind::Name(name),
                }
            }
            Some(Word::Braces(text)) => {
                let help =
                    format!("in a condition a field is written without braces: `{}`", text.trim_matches(['{', '}']));
                return Err(error(span, "braces do not belong here", Some(&help)));
            }
            _ => {
                return Err(error(
                    span,
                    "a value is expected",
                    Some("a value is a name, a number, a text in quotes, a span `24h`, a size `10GB` or a date"),
                ));
            }
        };
        self.at += 1;
        Ok(Node { kind, span })
    }

    fn call(&mut self, name: &Name) -> Result<Node, ExprError> {
        let span = self.span();
        let function = match name.0.first().map(String::as_str) {
            Some("abs") if name.0.len() == 1 => Function::Abs,
            Some("min") if name.0.len() == 1 => Function::Min,
            Some("max") if name.0.len() == 1 => Function::Max,
            _ => {
                return Err(error(
                    span,
                    format!("there is no function `{name}`"),
                    Some("known are `abs`, `min` and `max`"),
                ));
            }
        };
        self.at += 2;
        let values = self.values(")")?;
        let whole = span.start..self.last_end();
        if values.is_empty() || (function == Function::Abs && values.len() != 1) {
            let wanted = if function == Function::Abs { "one value" } else { "at least one value" };
            return Err(error(whole, format!("`{name}` takes {wanted}"), None));
        }
        Ok(Node { kind: Kind::Call(function, values), span: whole })
    }

    fn last_end(&self) -> usize {
        self.at.checked_sub(1).and_then(|at| self.words.get(at)).map_or(self.end, |word| word.1.end)
    }

    /// Reads a question to the ledger, if one is next.
    fn predicate(&mut self) -> Result<Option<Predicate>, ExprError> {
        // `receipted at campus`
        if self.word_at(0) == Some("receipted") && self.word_at(1) == Some("at") {
            self.at += 2;
            return Ok(Some(Predicate::ReceiptedAt { product: None, station: self.subject("a station")? }));
        }
        // `rawacf-dmap receipted at campus`
        if self.word_at(1) == Some("receipted")
            && self.word_at(2) == Some("at")
            && !matches!(self.word_at(0), Some("and" | "or" | "not" | "in"))
        {
            let product = self.subject("a product")?;
            self.at += 2;
            return Ok(Some(Predicate::ReceiptedAt { product: Some(product), station: self.subject("a station")? }));
        }
        // `2 copies elsewhere`; a step may be called copy, `step copy done`.
        let of_step = self.word_at(0) == Some("step") && self.word_at(2) == Some("done");
        if matches!(self.word_at(1), Some("copies" | "copy")) && !of_step {
            let span = self.span();
            let count = match self.peek() {
                Some(Word::Literal(Value::Int(count))) => u32::try_from(*count).ok().filter(|count| *count > 0),
                _ => None,
            };
            let count = count
                .ok_or_else(|| error(span, "a number of copies is expected", Some("write `2 copies elsewhere`")))?;
            self.at += 2;
            if !self.keyword("elsewhere") {
                return Err(error(self.span(), "`elsewhere` is missing", Some("write `2 copies elsewhere`")));
            }
            return Ok(Some(Predicate::CopiesElsewhere(count)));
        }
        // `step search-products done`
        let a_name_follows =
            matches!(self.words.get(self.at + 1), Some((Word::Name(_) | Word::Literal(Value::Text(_)), _)));
        if self.word_at(0) == Some("step")
            && a_name_follows
            && !matches!(self.word_at(1), Some("and" | "or" | "not" | "in"))
        {
            self.at += 1;
            let step = self.subject("a step")?;
            if !self.keyword("done") {
                return Err(error(self.span(), "`done` is missing", Some("write `step NAME done`")));
            }
            return Ok(Some(Predicate::StepDone(step)));
        }
        Ok(None)
    }

    /// Reads the name of a product, step or station: plain, in quotes, or in braces.
    fn subject(&mut self, what: &str) -> Result<String, ExprError> {
        let span = self.span();
        let name = match self.peek() {
            Some(Word::Name(name)) if !name.is_param() => name.to_string(),
            Some(Word::Literal(Value::Text(text)) | Word::Braces(text)) => text.clone(),
            _ => {
                return Err(error(
                    span,
                    format!("{what} is expected"),
                    Some("write its name; in quotes if it holds other signs than letters, digits, `_` and `-`"),
                ));
            }
        };
        self.at += 1;
        Ok(name)
    }
}
