//! What a run that was entered without being carried out looks like in the ledger.

use serde_json::{Value as Json, json};
use thalweg_ledger::RunRow;

/// Returns the report of a run that stands for outputs which were there before.
pub(crate) fn report(by: &str) -> Json {
    json!({ "adopted": { "by": by } })
}

/// Tells if a run stands for outputs that were there before, and was never carried out.
pub fn is_adopted(run: &RunRow) -> bool {
    run.report.as_ref().is_some_and(|report| report.get("adopted").is_some())
}
