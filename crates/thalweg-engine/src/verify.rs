//! Reading files again and comparing them with the ledger (`thalweg verify`).
//!
//! This is done by whoever asks, beside an engine that runs: it only reads stations, and notes what it finds.

use thalweg_ledger::{FileFilter, FileState, Ledger, NewEvent};

use crate::{EngineError, Event, Outcome, Places, Setup};

/// Reads all files that are there, or a share of them that is another one each day, and says which are not as recorded.
///
/// # Errors
///
/// Those of the ledger.
pub(crate) fn verify(
    setup: &Setup,
    all: bool,
    sample_percent: f64,
    report: &mut dyn FnMut(&Event),
) -> Result<Outcome, EngineError> {
    let ledger = Ledger::open(&setup.ledger)?;
    let reader = ledger.reader()?;
    let places = Places::look(setup);
    let mut outcome = Outcome::default();
    let today = setup.clock.now().as_second() / 86_400;
    for (station, _, store) in places.stations() {
        let mut filter =
            FileFilter { station: Some(station.to_owned()), states: vec![FileState::Present], ..FileFilter::default() };
        loop {
            let page = reader.page(&filter, 1000)?;
            let Some(last) = page.last() else { break };
            filter.after = Some(last.id);
            for row in page.into_iter().filter(|row| all || is_in_sample(row.id.0, today, sample_percent)) {
                let trouble = match store.hash(&row.path, &mut |_| {}) {
                    Ok(found) if Some(found.hash) == row.content => None,
                    Ok(found) => Some(format!(
                        "its digest is {}, recorded {}",
                        found.hash.short(),
                        row.content.map(|hash| hash.short()).unwrap_or_default()
                    )),
                    Err(error) => Some(crate::runner::publish::in_full(&error)),
                };
                match &trouble {
                    None => outcome.done += 1,
                    Some(message) => {
                        outcome.failed += 1;
                        let event = NewEvent {
                            station: Some(station.to_owned()),
                            product: Some(row.product.clone()),
                            fields_key: Some(row.fields_key.clone()),
                            path: Some(row.path.clone()),
                            data: Some(serde_json::json!({ "message": message })),
                            ..NewEvent::new("verify_failed", setup.clock.now())
                        };
                        ledger.write(move |tx| tx.event(&event).map(drop))?;
                    }
                }
                report(&Event::Verified { station: station.to_owned(), path: row.path, trouble });
            }
        }
    }
    Ok(outcome)
}

// A fixed pseudo-random order of the files, cut at another place each day.
fn is_in_sample(file: i64, day: i64, percent: f64) -> bool {
    let mixed =
        (file ^ day.wrapping_mul(0x5851_F42D_4C95_7F2D)).wrapping_mul(0x2545_F491_4F6C_DD1D).unsigned_abs() >> 40;
    let share = f64::from(u32::try_from(mixed % 1_000_000).unwrap_or(0)) / 10_000.0;
    share < percent
}
