//! Asking a format about a file: coverage, fields and data digest, by a child process of this program.

use std::path::Path;
use std::time::Duration;

use serde_json::Value as Json;
use thalweg_core::{ContentHash, ErrorClass, Fields, ReportLine, TimeRange, Timestamp, Value};
use thalweg_flow::{Compare, Product};

use crate::Setup;
use crate::child::Command;
use crate::runner::Failure;

/// Longest time that a probe may take.
const TIMEOUT: Duration = Duration::from_secs(600);

/// What a format says of a file.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) coverage: Option<TimeRange>,
    pub(crate) fields: Fields,
    pub(crate) data_hash: Option<ContentHash>,
}

/// Tells if a product's files have to be asked about.
pub(crate) fn is_needed(product: &Product) -> bool {
    product.format.is_some()
        && (product.covers_content || !product.reads.is_empty() || product.compare == Compare::Data)
}

/// Asks the product's format about a file.
pub(crate) fn probe(setup: &Setup, product: &Product, path: &Path) -> Result<Told, Failure> {
    let format = product.format.as_deref().unwrap_or_default();
    if !setup.formats.iter().any(|known| known == format) {
        let known = setup.formats.join(", ");
        return Err(Failure::new(
            ErrorClass::Config,
            format!("nothing reads the format {format} of {} (known: {known})", product.name),
        ));
    }
    let folder = setup.state.join("probes");
    let config = |error: std::io::Error| Failure::new(ErrorClass::Transient, format!("{}: {error}", folder.display()));
    std::fs::create_dir_all(&folder).map_err(config)?;
    let own = tempfile::tempdir_in(&folder).map_err(config)?;
    let mut command = Command::new(&setup.program, own.path(), own.path().join("log"), own.path().join("report"));
    command.args = vec!["probe".into(), format.into(), path.into()];
    command.timeout = Some(TIMEOUT);
    command.log_limit = 4 << 20;
    let failed =
        |error: &dyn std::error::Error| Failure::new(ErrorClass::Transient, crate::runner::publish::in_full(error));
    let never = std::sync::atomic::AtomicBool::new(false);
    let ended = setup.host.child(command, &never, &mut |_| {}).map_err(|error| failed(&error))?;
    let log = std::fs::read(own.path().join("log")).unwrap_or_default();
    if ended.exit != Some(0) {
        return Err(failure_of(&ended.reports, ended.exit, &log));
    }
    let json = log.split(|byte| *byte == b'\n').rev().find_map(|line| serde_json::from_slice::<Json>(line).ok());
    let Some(json) = json else {
        return Err(Failure::new(ErrorClass::Bug, format!("the probe of {format} said nothing of {}", path.display())));
    };
    Ok(read(product, &json))
}

fn failure_of(reports: &[ReportLine], exit: Option<i32>, log: &[u8]) -> Failure {
    let told = reports.iter().rev().find_map(|line| match line {
        ReportLine::Error { class, message, .. } => Some(Failure::new(*class, message.clone())),
        _ => None,
    });
    told.unwrap_or_else(|| {
        let class = match exit {
            Some(4 | 65) => ErrorClass::Data,
            Some(75) => ErrorClass::NotYet,
            // A probe that dies on a file has shown that the file is hostile.
            None => ErrorClass::Data,
            Some(_) => ErrorClass::Bug,
        };
        let text = String::from_utf8_lossy(log);
        let last = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no message");
        Failure::new(class, format!("the probe ended with {exit:?}: {last}"))
    })
}

fn read(product: &Product, json: &Json) -> Told {
    let mut told = Told::default();
    let time = |name: &str| json.get("coverage")?.get(name)?.as_str()?.parse::<Timestamp>().ok();
    if product.covers_content
        && let (Some(start), Some(end)) = (time("start"), time("end"))
    {
        told.coverage = Some(TimeRange::new(start, end));
    }
    for (field, name) in &product.reads {
        if let Some(value) = json.get("fields").and_then(|fields| fields.get(name)).and_then(field_value) {
            told.fields.insert(field.clone(), value);
        }
    }
    told.data_hash = json.get("data_hash").and_then(Json::as_str).and_then(|text| text.parse().ok());
    told
}

/// Returns a JSON value as a field's value; an object or null is none.
pub(crate) fn field_value(json: &Json) -> Option<Value> {
    Some(match json {
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => number.as_i64().map(Value::Int).or_else(|| number.as_f64().map(Value::Float))?,
        Json::String(text) => text.parse::<Timestamp>().map_or_else(|_| Value::Text(text.clone()), Value::Time),
        Json::Array(values) => Value::List(values.iter().filter_map(field_value).collect()),
        Json::Null | Json::Object(_) => return None,
    })
}
