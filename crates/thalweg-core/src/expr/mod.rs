//! Conditions and small computations over fields, parameters, times and sizes.
//!
//! A condition says more than yes or no: when time alone will flip it, what it waits for that is not there yet, and
//! with which values it was decided. Where a value comes from is the caller's matter ([`ExprEnv`]).
//!
//! Whole numbers are divided as in patterns, rounded down. A field that a file has not equals nothing: `==`, `<`, `in`
//! and the like are false with it, `!=` and `not in` are true. What is not there yet leaves a condition open unless the
//! rest decides it.

mod eval;
mod lex;
mod linear;
mod parse;
#[cfg(test)]
mod tests;

use std::ops::Range;

use crate::{ErrorClass, Timestamp, Value};
use parse::{Kind, Node};

/// A compiled expression.
#[derive(Debug, Clone)]
pub struct Expr {
    text: String,
    tree: Node,
}

impl PartialEq for Expr {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Expr {}

impl std::fmt::Display for Expr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// One side of a comparison, as far as the text alone says what it is.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Side {
    /// A name by itself.
    Name(Name),
    /// The present moment.
    Now,
    /// A value by itself.
    Literal(Value),
    /// Anything that is computed.
    Other,
}

impl Side {
    fn of(node: &Node) -> Self {
        match &node.kind {
            Kind::Name(name) => Self::Name(name.clone()),
            Kind::Now => Self::Now,
            Kind::Literal(value) => Self::Literal(value.clone()),
            _ => Self::Other,
        }
    }
}

/// A mistake in an expression's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExprError {
    /// Where, in bytes of the text.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl ExprError {
    /// Returns what can be done about it: edit the text.
    pub fn class(&self) -> ErrorClass {
        ErrorClass::Config
    }
}

/// An expression that makes no sense with the values at hand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("evaluate `{expr}`: {message}")]
pub struct EvalError {
    /// The part that makes no sense.
    pub expr: String,
    /// Why, with the values.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl EvalError {
    /// Returns what can be done about it: edit the text.
    pub fn class(&self) -> ErrorClass {
        ErrorClass::Config
    }
}

/// A dotted name: `cpid`, `in.kernel.date`, `key.end`, `$distributed`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(pub Vec<String>);

impl Name {
    /// Tells if it is a parameter, written `$name`.
    pub fn is_param(&self) -> bool {
        self.0.first().is_some_and(|first| first.starts_with('$'))
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

/// A question that the ledger answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Predicate {
    /// `receipted at STATION`, `PRODUCT receipted at STATION`.
    ReceiptedAt {
        /// The product made from this file; none for this file itself.
        product: Option<String>,
        /// The station, as written: may be a family such as `{dsm}`.
        station: String,
    },
    /// `2 copies elsewhere`.
    CopiesElsewhere(u32),
    /// `step STEP done`.
    StepDone(String),
}

impl std::fmt::Display for Predicate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ReceiptedAt { product: None, station } => write!(f, "receipted at {station}"),
            Self::ReceiptedAt { product: Some(product), station } => write!(f, "{product} receipted at {station}"),
            Self::CopiesElsewhere(1) => f.write_str("1 copy elsewhere"),
            Self::CopiesElsewhere(count) => write!(f, "{count} copies elsewhere"),
            Self::StepDone(step) => write!(f, "step {step} done"),
        }
    }
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// A value that stays.
    Value(Value),
    /// A value now, that moves with time: `slope` seconds in each second.
    Moving {
        /// The value at [`ExprEnv::now`].
        value: Value,
        /// 1: grows with time; -1: shrinks.
        slope: i8,
    },
    /// A field that the file has not: equals nothing.
    Absent,
    /// Something that is not there yet; what, in words.
    NotYet(String),
}

/// Where an expression gets its values from.
pub trait ExprEnv {
    /// Returns what `name` stands for; `now` is not asked for.
    fn lookup(&self, name: &Name) -> Lookup;

    /// Answers a question to the ledger.
    fn predicate(&self, _predicate: &Predicate) -> bool {
        false
    }

    /// Returns the present moment.
    fn now(&self) -> Timestamp;
}

/// The outcome of a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it holds.
    pub holds: bool,
    /// The earliest moment at which time alone flips it.
    pub changes_at: Option<Timestamp>,
    /// What is not there yet and could decide it.
    pub waits_for: Vec<String>,
    /// The condition with the values filled in.
    pub because: String,
}

impl Expr {
    /// Compiles an expression.
    ///
    /// # Errors
    /// The first mistake, with its place in `text`.
    pub fn parse(text: &str) -> Result<Self, ExprError> {
        Ok(Self { text: text.to_owned(), tree: parse::parse(text)? })
    }

    /// Returns the expression's text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the names used, each once, in order of first appearance; `now` is not among them.
    pub fn names(&self) -> Vec<Name> {
        let mut names = Vec::new();
        for (name, _) in self.names_with_spans() {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Returns every appearance of a name with its place in the text, for messages about unknown ones.
    pub fn names_with_spans(&self) -> Vec<(Name, Range<usize>)> {
        let mut names = Vec::new();
        visit(&self.tree, &mut |node| {
            if let Kind::Name(name) = &node.kind {
                names.push((name.clone(), node.span.clone()));
            }
        });
        names
    }

    /// Returns the questions to the ledger, in order of appearance.
    pub fn predicates(&self) -> Vec<Predicate> {
        self.predicates_with_spans().into_iter().map(|(predicate, _)| predicate).collect()
    }

    /// Returns the questions to the ledger with their places in the text.
    pub fn predicates_with_spans(&self) -> Vec<(Predicate, Range<usize>)> {
        let mut predicates = Vec::new();
        visit(&self.tree, &mut |node| {
            if let Kind::Ask(predicate) = &node.kind {
                predicates.push((predicate.clone(), node.span.clone()));
            }
        });
        predicates
    }

    /// Returns the two sides of every comparison with its place in the text; `x in [a, b]` compares twice.
    pub fn comparisons(&self) -> Vec<(Side, Side, Range<usize>)> {
        let mut found = Vec::new();
        visit(&self.tree, &mut |node| match &node.kind {
            Kind::Compare(left, _, right) => found.push((Side::of(left), Side::of(right), node.span.clone())),
            Kind::In { item, list, .. } => {
                if let Kind::List(values) = &list.kind {
                    found.extend(values.iter().map(|value| (Side::of(item), Side::of(value), node.span.clone())));
                }
            }
            _ => {}
        });
        found
    }

    /// Evaluates as a condition.
    ///
    /// # Errors
    /// When values of unlike types are compared or computed with, or the outcome is not true or false.
    pub fn eval(&self, env: &dyn ExprEnv) -> Result<Verdict, EvalError> {
        eval::verdict(self, env)
    }

    /// Evaluates as a value; none when something in it is absent or not there yet.
    ///
    /// # Errors
    /// When values of unlike types are compared or computed with.
    pub fn value(&self, env: &dyn ExprEnv) -> Result<Option<Value>, EvalError> {
        eval::value(self, env)
    }
}

/// Calls `look` for every piece, in order of the text.
fn visit<'a>(node: &'a Node, look: &mut dyn FnMut(&'a Node)) {
    look(node);
    match &node.kind {
        Kind::Literal(_) | Kind::Name(_) | Kind::Now | Kind::Ask(_) => {}
        Kind::Not(inner) | Kind::Negative(inner) => visit(inner, look),
        Kind::List(all) | Kind::And(all) | Kind::Or(all) | Kind::Call(_, all) => {
            all.iter().for_each(|node| visit(node, look));
        }
        Kind::Compare(left, _, right) | Kind::In { item: left, list: right, .. } => {
            visit(left, look);
            visit(right, look);
        }
        Kind::Chain(first, rest) => {
            visit(first, look);
            rest.iter().for_each(|(_, node)| visit(node, look));
        }
    }
}
