//! The names a condition can use, looked up in a key's inputs.

use std::collections::BTreeMap;

use thalweg_core::expr::{EvalError, Expr, ExprEnv, Lookup, Name, Verdict};
use thalweg_core::{Timestamp, Value};

use super::family::start_of;
use super::{FileFact, FileState, KeyId};
use crate::Flow;

/// What the names of a condition mean for one key.
pub(crate) struct Names<'a> {
    pub(crate) flow: &'a Flow,
    pub(crate) key: Option<&'a KeyId>,
    pub(crate) driving: &'a [FileFact],
    pub(crate) roles: &'a BTreeMap<String, Vec<FileFact>>,
    pub(crate) now: Timestamp,
}

/// Evaluates a condition.
pub(crate) fn judge(expr: &Expr, names: &Names<'_>) -> Result<Verdict, EvalError> {
    expr.eval(names)
}

impl Names<'_> {
    // A field of several driving files means something only where they agree.
    fn of_driving(&self, field: &str) -> Lookup {
        let mut found: Option<Lookup> = None;
        // What is put aside or gone says nothing, unless there is nothing else.
        let counts = |file: &&FileFact| !file.is_revoked() && !matches!(file.state, FileState::Gone { .. });
        let any = self.driving.iter().any(|file| counts(&file));
        for file in self.driving.iter().filter(|file| !any || counts(file)) {
            let this = of_file(self.flow, file, field, self.now);
            match (&found, &this) {
                (None, _) => found = Some(this),
                (Some(Lookup::Value(a)), Lookup::Value(b)) if a == b => {}
                (Some(Lookup::Moving { value: a, .. }), Lookup::Moving { value: b, .. }) => {
                    // The youngest decides on `age`.
                    if b < a {
                        found = Some(this);
                    }
                }
                _ => return Lookup::Absent,
            }
        }
        found.unwrap_or(Lookup::Absent)
    }
}

/// Looks a name up in one file.
pub(crate) fn of_file(flow: &Flow, file: &FileFact, field: &str, now: Timestamp) -> Lookup {
    let product = flow.products.get(&file.product);
    match field {
        "size" => return Lookup::Value(Value::Int(i64::try_from(file.size).unwrap_or(i64::MAX))),
        "mtime" => return Lookup::Value(Value::Time(file.mtime)),
        "age" => return Lookup::Moving { value: Value::Duration(now.duration_since(file.arrived)), slope: 1 },
        "product" => return Lookup::Value(Value::Text(file.product.clone())),
        "station" => return Lookup::Value(Value::Text(file.station.clone())),
        _ => {}
    }
    // A name with a date part is an instant, not the number or text it is written as.
    if let Some(product) = product
        && product.time_field.as_deref() == Some(field)
        && let Some(start) = start_of(product, &file.fields)
        && !matches!(file.fields.get(field), Some(Value::Int(_)))
    {
        return Lookup::Value(Value::Time(start));
    }
    match file.fields.get(field) {
        Some(value) => Lookup::Value(value.clone()),
        None if field == "time" && file.coverage.is_some() => {
            file.coverage.map_or(Lookup::Absent, |coverage| Lookup::Value(Value::Time(coverage.start)))
        }
        None if product.is_some_and(|product| product.reads.contains_key(field)) && file.hash.is_none() => {
            Lookup::NotYet(format!("the content of {}", file.path))
        }
        None => Lookup::Absent,
    }
}

impl ExprEnv for Names<'_> {
    fn lookup(&self, name: &Name) -> Lookup {
        if let Some(param) = name.0.first().and_then(|first| first.strip_prefix('$')) {
            return self.flow.params.get(param).cloned().map_or(Lookup::Absent, Lookup::Value);
        }
        let parts: Vec<&str> = name.0.iter().map(String::as_str).collect();
        match parts.as_slice() {
            ["now"] => Lookup::Moving { value: Value::Time(self.now), slope: 1 },
            ["key", part] => {
                let Some(key) = self.key else { return Lookup::Absent };
                let span = key.cell.or_else(|| self.driving.first().and_then(|file| file.coverage));
                match (*part, span) {
                    ("start", Some(span)) => Lookup::Value(Value::Time(span.start)),
                    ("end", Some(span)) => Lookup::Value(Value::Time(span.end)),
                    (field, _) => key.fields.get(field).cloned().map_or(Lookup::Absent, Lookup::Value),
                }
            }
            ["in", role, field] => {
                let files = self.roles.get(*role).map(Vec::as_slice).unwrap_or_default();
                let counts = |file: &&FileFact| file.is_usable() || file.was_retired();
                match files.iter().rfind(counts) {
                    Some(file) => of_file(self.flow, file, field, self.now),
                    None => Lookup::NotYet(format!("the file for {role}")),
                }
            }
            [field] => match self.key.and_then(|key| key.fields.get(*field)) {
                Some(value) => Lookup::Value(value.clone()),
                None => self.of_driving(field),
            },
            _ => Lookup::Absent,
        }
    }

    fn now(&self) -> Timestamp {
        self.now
    }
}
