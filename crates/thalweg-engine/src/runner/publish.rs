//! Bringing staged outputs to their final names.

use std::collections::BTreeSet;

use thalweg_core::{ErrorClass, RelPath};
use thalweg_store::{OldContent, Publish, Store, StoreError};

use super::{Failure, Go, How, Job, Left, Staged};
use crate::host::receive;

/// Tells the dispatcher that outputs stand by and waits for its word; `worked` says that only publishing is left to do.
pub(crate) fn stand_by(job: &Job, outputs: &[Staged], worked: bool) -> Go {
    let told = super::Told::Staged { no: job.no, outputs: outputs.to_vec(), worked };
    if job.tell.tell(told) { receive(job.setup.host.as_ref(), &job.go).unwrap_or(Go::Stop) } else { Go::Stop }
}

/// Puts staged outputs into their places.
pub(crate) fn publish_all(job: &Job, outputs: Vec<Staged>, delivered: bool) -> Result<Vec<Left>, Failure> {
    outputs
        .into_iter()
        .map(|output| {
            let store = job.places.store(&output.station).ok_or_else(|| {
                Failure::new(ErrorClass::Config, format!("{} is not a station of this host", output.station))
            })?;
            let meta = publish(store.as_ref(), &output).map_err(|error| match error {
                StoreError::AlreadyExists { .. } => {
                    let step = job.tasks.first().map_or("", |task| task.key.step.as_str());
                    in_the_way(&output.path, &output.station, &output.product, step)
                }
                error => failure(&output.path, &error),
            })?;
            Ok(Left { output, meta, delivered })
        })
        .collect()
}

/// Returns the failure of a task whose output has no place, since something else's file stands there.
pub(crate) fn in_the_way(path: &RelPath, station: &str, product: &str, step: &str) -> Failure {
    let message = format!(
        "{path} at {station} is something else's file and is not overwritten: `thalweg adopt {product}` keeps it as this \
         output; or remove it and `thalweg retry {step}`"
    );
    Failure::new(ErrorClass::Refused, message)
}

/// Puts one staged output into its place; one that is there already, with the same content, is fine.
pub(crate) fn publish(store: &dyn Store, output: &Staged) -> Result<thalweg_store::Meta, StoreError> {
    let result = match &output.how {
        How::New => store.publish(&output.staged, &output.path, Publish::NoReplace),
        How::Replace(expected) => {
            store.publish(&output.staged, &output.path, Publish::Replace { expected, old: OldContent::Drop })
        }
        How::Move => store.move_within(&output.staged, &output.path).and_then(|()| there(store, output)),
        How::There => there(store, output),
    };
    match result {
        Err(StoreError::AlreadyExists { .. } | StoreError::NotAsExpected { .. } | StoreError::NotFound { .. })
            if same_content(store, output) =>
        {
            there(store, output)
        }
        other => other,
    }
}

// Whoever put it there may not have brought it to the medium, and from now on it counts.
fn there(store: &dyn Store, output: &Staged) -> Result<thalweg_store::Meta, StoreError> {
    store.flush(&output.path)?;
    store.stat(&output.path)?.ok_or_else(|| StoreError::NotFound { action: "publish", path: output.path.clone() })
}

fn same_content(store: &dyn Store, output: &Staged) -> bool {
    store.hash(&output.path, &mut |_| {}).is_ok_and(|hashed| hashed.hash == output.hash)
}

/// Returns a store's error as the failure of a task.
pub(crate) fn failure(path: &RelPath, error: &StoreError) -> Failure {
    let class = match error {
        StoreError::AlreadyExists { .. } | StoreError::NotAsExpected { .. } => ErrorClass::Refused,
        other => other.class(),
    };
    let help = error.help().map(|help| format!(" ({help})")).unwrap_or_default();
    Failure::new(class, format!("{path}: {}{help}", in_full(error)))
}

/// Returns an error with its causes.
pub(crate) fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// Removes the staging folders of a run; returns the stations where that failed.
pub(crate) fn discard(job: &Job) -> BTreeSet<String> {
    let mut left = BTreeSet::new();
    for output in job.tasks.iter().flat_map(|task| &task.outputs) {
        if let Some(store) = job.places.store(&output.station) {
            let folder = RelPath::from_text(format!("{}/{}", thalweg_store::STAGING, job.staging));
            if store.discard_staging(&folder).is_err() {
                left.insert(output.station.clone());
            }
        }
    }
    left
}
