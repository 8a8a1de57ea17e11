//! Evaluating a tree: three-valued, now and at later moments.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::linear::{Linear, NANOS, Nonsense, earlier, equal, shown};
use super::parse::{Comparison, Function, Kind, Node};
use super::{EvalError, Expr, ExprEnv, Lookup, Name, Predicate, Verdict};
use crate::{Timestamp, Value};

/// Moments that are tried for a change; beyond, the last one tried is given, which is early but not wrong.
const MAX_MOMENTS: usize = 64;

/// What a piece of an expression comes to.
#[derive(Debug, Clone)]
enum Outcome {
    Known(Linear),
    /// A field that is not set.
    Absent,
    /// These are not there yet.
    NotYet(Vec<String>),
}

/// What a condition comes to; what it waits for when that is not decided.
#[derive(Debug, Clone)]
enum Truth {
    Yes,
    No,
    Open(Vec<String>),
}

impl Truth {
    fn of(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }

    fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            open @ Self::Open(_) => open,
        }
    }
}

/// One evaluation, `after` nanoseconds from now.
struct Evaluation<'a> {
    text: &'a str,
    env: &'a dyn ExprEnv,
    now: Timestamp,
    after: i128,
    looked_up: &'a RefCell<BTreeMap<Name, Lookup>>,
    asked: &'a RefCell<BTreeMap<Predicate, bool>>,
    /// The earliest moment after this one at which something can flip.
    next: Option<i128>,
}

pub(super) fn verdict(expr: &Expr, env: &dyn ExprEnv) -> Result<Verdict, EvalError> {
    let (looked_up, asked) = (RefCell::default(), RefCell::default());
    let now = env.now();
    let run = |after: i128| {
        let mut evaluation =
            Evaluation { text: &expr.text, env, now, after, looked_up: &looked_up, asked: &asked, next: None };
        let truth = evaluation.truth(&expr.tree)?;
        Ok((truth, evaluation.next))
    };
    let (truth, mut next) = run(0)?;
    let holds = matches!(truth, Truth::Yes);
    let mut changes_at = None;
    for tried in 0..MAX_MOMENTS {
        let Some(after) = next else { break };
        // A later moment at which the expression makes no sense is no change.
        let Ok((later, following)) = run(after) else { break };
        if matches!(later, Truth::Yes) != holds || tried + 1 == MAX_MOMENTS {
            changes_at = now.as_nanosecond().checked_add(after).and_then(|at| Timestamp::from_nanosecond(at).ok());
            break;
        }
        next = following;
    }
    let waits_for = match truth {
        Truth::Open(waits_for) => waits_for,
        _ => Vec::new(),
    };
    Ok(Verdict { holds, changes_at, waits_for, because: because(expr, &looked_up, &asked, env) })
}

pub(super) fn value(expr: &Expr, env: &dyn ExprEnv) -> Result<Option<Value>, EvalError> {
    let (looked_up, asked) = (RefCell::default(), RefCell::default());
    let mut evaluation = Evaluation {
        text: &expr.text,
        env,
        now: env.now(),
        after: 0,
        looked_up: &looked_up,
        asked: &asked,
        next: None,
    };
    Ok(match evaluation.outcome(&expr.tree)? {
        Outcome::Known(linear) => Some(linear.value),
        Outcome::Absent | Outcome::NotYet(_) => None,
    })
}

/// Writes the expression with the values that its names had.
fn because(
    expr: &Expr,
    looked_up: &RefCell<BTreeMap<Name, Lookup>>,
    asked: &RefCell<BTreeMap<Predicate, bool>>,
    env: &dyn ExprEnv,
) -> String {
    let (looked_up, asked) = (looked_up.borrow(), asked.borrow());
    let mut facts: Vec<String> = expr
        .names()
        .iter()
        .filter_map(|name| {
            Some(match looked_up.get(name)? {
                Lookup::Value(value) | Lookup::Moving { value, .. } => format!("{name} = {}", shown(value)),
                Lookup::Absent => format!("{name} is not set"),
                Lookup::NotYet(what) if *what == name.to_string() => format!("{name} is not there yet"),
                Lookup::NotYet(what) => format!("{name}: {what} is not there yet"),
            })
        })
        .collect();
    if uses_now(&expr.tree) {
        facts.push(format!("now = {}", env.now()));
    }
    facts.extend(asked.iter().map(|(predicate, holds)| format!("{predicate}: {}", if *holds { "yes" } else { "no" })));
    if facts.is_empty() { expr.text.clone() } else { format!("{}: {}", expr.text.trim(), facts.join(", ")) }
}

fn uses_now(node: &Node) -> bool {
    let mut found = false;
    super::visit(node, &mut |node| found |= matches!(node.kind, Kind::Now));
    found
}

impl Evaluation<'_> {
    fn error(&self, node: &Node, nonsense: Nonsense) -> EvalError {
        EvalError { expr: self.text[node.span.clone()].to_owned(), message: nonsense.message, help: nonsense.help }
    }

    /// Notes moments, from this one on, at which something can flip.
    fn note(&mut self, turns: impl Iterator<Item = i128>) {
        let first = turns.filter(|turn| *turn > 0).min();
        self.next = earlier(self.next, first.and_then(|turn| turn.checked_add(self.after)));
    }

    fn lookup(&self, name: &Name) -> Lookup {
        self.looked_up.borrow_mut().entry(name.clone()).or_insert_with(|| self.env.lookup(name)).clone()
    }

    fn truth(&mut self, node: &Node) -> Result<Truth, EvalError> {
        match &node.kind {
            Kind::Ask(predicate) => Ok(Truth::of(
                *self.asked.borrow_mut().entry(predicate.clone()).or_insert_with(|| self.env.predicate(predicate)),
            )),
            Kind::Not(inner) => Ok(self.truth(inner)?.not()),
            Kind::And(all) => self.joined(all, false),
            Kind::Or(all) => self.joined(all, true),
            Kind::Compare(left, comparison, right) => self.comparison(node, left, *comparison, right),
            Kind::In { item, list, negated } => {
                let truth = self.membership(item, list)?;
                Ok(if *negated { truth.not() } else { truth })
            }
            _ => match self.outcome(node)? {
                Outcome::Known(Linear { value: Value::Bool(holds), .. }) => Ok(Truth::of(holds)),
                Outcome::Known(Linear { value, .. }) => Err(self.error(
                    node,
                    Nonsense {
                        message: format!("a condition is true or false, but this is {}", shown(&value)),
                        help: Some("compare it with something: `slice == 0`, `u != ''`".to_owned()),
                    },
                )),
                Outcome::Absent => Ok(Truth::No),
                Outcome::NotYet(waits_for) => Ok(Truth::Open(waits_for)),
            },
        }
    }

    /// `and` and `or`: the first condition that decides ends it, but all are looked at, for the moments they change.
    fn joined(&mut self, all: &[Node], decisive: bool) -> Result<Truth, EvalError> {
        let mut open: Option<Vec<String>> = None;
        let mut decided = false;
        for node in all {
            // After the decision later ones may make no sense, as in `known and known > 5`.
            let truth = match self.truth(node) {
                Ok(truth) => truth,
                Err(_) if decided => continue,
                Err(error) => return Err(error),
            };
            match truth {
                Truth::Open(waits_for) => {
                    let list = open.get_or_insert_default();
                    waits_for.into_iter().for_each(|name| {
                        if !list.contains(&name) {
                            list.push(name);
                        }
                    });
                }
                truth => decided |= matches!(truth, Truth::Yes) == decisive,
            }
        }
        Ok(match open {
            _ if decided => Truth::of(decisive),
            Some(waits_for) => Truth::Open(waits_for),
            None => Truth::of(!decisive),
        })
    }

    fn comparison(
        &mut self,
        node: &Node,
        left: &Node,
        comparison: Comparison,
        right: &Node,
    ) -> Result<Truth, EvalError> {
        Ok(match (self.outcome(left)?, self.outcome(right)?) {
            (Outcome::Known(left), Outcome::Known(right)) => {
                let holds = left.compare(comparison, &right).map_err(|nonsense| self.error(node, nonsense))?;
                self.note(left.turns(&right));
                Truth::of(holds)
            }
            // What a file has not equals nothing, whatever may still come.
            (Outcome::Absent, _) | (_, Outcome::Absent) => Truth::of(comparison == Comparison::Unequal),
            (left, right) => Truth::Open(waits(left, right)),
        })
    }

    fn membership(&mut self, item: &Node, list: &Node) -> Result<Truth, EvalError> {
        let item = self.outcome(item)?;
        let values = match self.outcome(list)? {
            Outcome::Known(Linear { value: Value::List(values), .. }) => values,
            Outcome::Known(Linear { value, .. }) => {
                let help = Some("write `x in [1, 2]` or `x in $list`".to_owned());
                return Err(self.error(
                    list,
                    Nonsense { message: format!("a list is expected after `in`, but this is {}", shown(&value)), help },
                ));
            }
            Outcome::Absent => return Ok(Truth::No),
            not_yet @ Outcome::NotYet(_) => {
                return Ok(if matches!(item, Outcome::Absent) { Truth::No } else { Truth::Open(waits(item, not_yet)) });
            }
        };
        Ok(match item {
            Outcome::Known(item) => {
                let holds = values.iter().any(|value| equal(value, &item.value));
                for value in values {
                    self.note(item.turns(&Linear::fixed(value)));
                }
                Truth::of(holds)
            }
            Outcome::Absent => Truth::No,
            Outcome::NotYet(waits_for) => Truth::Open(waits_for),
        })
    }

    fn outcome(&mut self, node: &Node) -> Result<Outcome, EvalError> {
        match &node.kind {
            Kind::Literal(value) => Ok(Outcome::Known(Linear::fixed(value.clone()))),
            Kind::Now => Ok(self.moving(&Value::Time(self.now), 1.0)),
            Kind::Name(name) => Ok(match self.lookup(name) {
                Lookup::Value(value) => Outcome::Known(Linear::fixed(value)),
                Lookup::Moving { value, slope } => self.moving(&value, f64::from(slope)),
                Lookup::Absent => Outcome::Absent,
                Lookup::NotYet(what) => Outcome::NotYet(vec![what]),
            }),
            Kind::List(nodes) => {
                let mut values = Vec::new();
                for node in nodes {
                    match self.outcome(node)? {
                        Outcome::Known(linear) => {
                            if linear.slope != 0.0 {
                                // What stands in a list is compared as it is at each moment tried.
                                self.note([NANOS].into_iter());
                            }
                            values.push(linear.value);
                        }
                        // What is not set equals nothing, so that it cannot be found in the list.
                        Outcome::Absent => {}
                        not_yet @ Outcome::NotYet(_) => return Ok(not_yet),
                    }
                }
                Ok(Outcome::Known(Linear::fixed(Value::List(values))))
            }
            Kind::Negative(inner) => match self.outcome(inner)? {
                Outcome::Known(linear) => {
                    linear.negative().map(Outcome::Known).map_err(|nonsense| self.error(node, nonsense))
                }
                other => Ok(other),
            },
            Kind::Chain(first, rest) => {
                let mut result = self.outcome(first)?;
                for (operator, next) in rest {
                    let next = self.outcome(next)?;
                    result = match (result, next) {
                        (Outcome::Known(left), Outcome::Known(right)) => Outcome::Known(
                            left.combined(*operator, &right).map_err(|nonsense| self.error(node, nonsense))?,
                        ),
                        (Outcome::Absent, _) | (_, Outcome::Absent) => Outcome::Absent,
                        (left, right) => Outcome::NotYet(waits(left, right)),
                    };
                }
                Ok(result)
            }
            Kind::Call(function, arguments) => self.call(node, *function, arguments),
            Kind::Ask(_) | Kind::Not(_) | Kind::And(_) | Kind::Or(_) | Kind::Compare(..) | Kind::In { .. } => {
                Ok(match self.truth(node)? {
                    Truth::Yes => Outcome::Known(Linear::fixed(Value::Bool(true))),
                    Truth::No => Outcome::Known(Linear::fixed(Value::Bool(false))),
                    Truth::Open(waits_for) => Outcome::NotYet(waits_for),
                })
            }
        }
    }

    fn moving(&self, value: &Value, slope: f64) -> Outcome {
        // A value that has moved out of range is taken as no longer there.
        Linear::moved(value, slope, self.after)
            .map_or(Outcome::Absent, |value| Outcome::Known(Linear { value, slope, bend: None }))
    }

    fn call(&mut self, node: &Node, function: Function, arguments: &[Node]) -> Result<Outcome, EvalError> {
        let mut result: Option<Outcome> = None;
        for argument in arguments {
            let next = self.outcome(argument)?;
            result = Some(match (function, result, next) {
                (Function::Abs, _, Outcome::Known(linear)) => {
                    Outcome::Known(linear.absolute().map_err(|nonsense| self.error(node, nonsense))?)
                }
                (_, None, next) => next,
                (function, Some(Outcome::Known(left)), Outcome::Known(right)) => {
                    let wanted =
                        if function == Function::Min { std::cmp::Ordering::Less } else { std::cmp::Ordering::Greater };
                    Outcome::Known(left.extreme(right, wanted).map_err(|nonsense| self.error(node, nonsense))?)
                }
                (_, Some(Outcome::Absent), _) | (_, _, Outcome::Absent) => Outcome::Absent,
                (_, Some(left), right) => Outcome::NotYet(waits(left, right)),
            });
        }
        Ok(result.unwrap_or(Outcome::Absent))
    }
}

/// Returns what the two wait for, each once.
fn waits(left: Outcome, right: Outcome) -> Vec<String> {
    let mut all = Vec::new();
    for outcome in [left, right] {
        if let Outcome::NotYet(names) = outcome {
            for name in names {
                if !all.contains(&name) {
                    all.push(name);
                }
            }
        }
    }
    all
}
