//! What a run that was entered without being carried out looks like in the ledger.

use thalweg_ledger::RunRow;

/// Tells if a run stands for outputs that were there before, and was never carried out.
pub fn is_adopted(run: &RunRow) -> bool {
    run.report.as_ref().is_some_and(|report| report.get("adopted").is_some())
}
