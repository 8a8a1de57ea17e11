//! The moments at which keeps have set out and checks have looked, as the ledger keeps them.

use thalweg_core::Timestamp;
use thalweg_flow::planner::Reason;
use thalweg_flow::planner::keep::turn;
use thalweg_flow::{Keep, When};
use thalweg_ledger::Reader;

/// Returns the name under which the ledger keeps the last moment of a keep at a station.
pub(crate) fn keep_name(keep: &str, station: &str) -> String {
    format!("keep {keep} {station}")
}

/// Tells if a keep may set out at a station by itself now, by what the ledger knows of its moments: the moment that
/// this is for, if it goes by moments; or why not now.
///
/// # Errors
///
/// Those of the ledger.
pub fn turn_of_keep(
    reader: &Reader,
    keep: &Keep,
    station: &str,
    now: Timestamp,
) -> Result<Result<Option<Timestamp>, Reason>, thalweg_ledger::Error> {
    let last = match keep.when {
        When::Every { .. } | When::Cron { .. } => {
            reader.meta(&keep_name(&keep.name, station))?.and_then(|text| text.parse().ok())
        }
        _ => None,
    };
    Ok(turn(keep, station, last, now))
}
