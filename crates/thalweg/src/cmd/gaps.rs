//! `gaps`: which times no file of a product covers.

use clap::Args;
use serde_json::json;
use thalweg_core::units::parse_duration;
use thalweg_core::{TimeRange, Timestamp};
use thalweg_ledger::Reader;

use super::{Context, Done, Ends};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::{Cell, Table};
use crate::words::{span, time};

/// Lists the times that no file of a product covers
///
/// Without --from and --to: between the first and the last file. With --from alone: up to now, so that an instrument that
/// fell silent is told.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  thalweg gaps rawacf --from 2019-11-01 --to 2019-12-01\n  thalweg gaps rawacf --at campus --min 2h\n  thalweg gaps rds-minute --from gps:899164800 --json"
)]
pub(crate) struct Gaps {
    /// The product
    #[arg(value_name = "PRODUCT")]
    product: String,
    /// Start of the span that is looked at [default: the first file]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// End of it [default: now if --from is given, else the end of the last file]
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Only gaps at least so long
    #[arg(long, value_name = "SPAN")]
    min: Option<String>,
}

impl Gaps {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        let project = context.project()?;
        let product = project.product(&self.product)?.name.clone();
        let (from, to) = ends(context, self.from.as_deref(), self.to.as_deref())?;
        let min = self.min.as_deref().map(parse_duration).transpose()?.unwrap_or_default();
        let reader = project.ledger()?.reader()?;
        let min = i64::try_from(min.as_micros()).unwrap_or(i64::MAX).max(1);
        let stations = stations(context);
        for station in &stations {
            let station = station.as_deref();
            let Some(range) = bounds(&reader, &product, station, from, to)? else {
                let at = station.map(|station| format!(" at {station}")).unwrap_or_default();
                let before = to.map(|to| format!(" before {}", time(to))).unwrap_or_default();
                context.out.note(format!("no file of {product}{at}{before} is known: there is nothing to have gaps"));
                continue;
            };
            let gaps = reader.gaps(&product, station, range, min)?;
            if context.out.json {
                for gap in &gaps {
                    let seconds = gap.end.duration_since(gap.start).as_secs_f64();
                    context.out.object(&json!({ "product": product, "station": station, "start": gap.start, "end": gap.end, "seconds": seconds }))?;
                }
                continue;
            }
            let mut table = Table::new(&[]);
            for gap in &gaps {
                table.row([
                    time(gap.start).into(),
                    "..".into(),
                    time(gap.end).into(),
                    Cell::right(span(*gap)),
                    station.unwrap_or_default().into(),
                ]);
            }
            context.out.table(&table)?;
            if gaps.is_empty() {
                context.out.note(format!("{product} has no gap from {} to {}", time(range.start), time(range.end)));
            }
        }
        Ok(Exit::Done)
    }
}

/// Returns the stations asked for with `--at`, each by itself; `None` for all together.
pub(super) fn stations(context: &Context) -> Vec<Option<String>> {
    if context.global.at.is_empty() { vec![None] } else { context.global.at.iter().cloned().map(Some).collect() }
}

/// Reads the ends of the span asked for; what begins somewhere and is left open goes on until now.
///
/// # Errors
///
/// Usage: ends that are no times, or are not in order.
pub(super) fn ends(context: &Context, from: Option<&str>, to: Option<&str>) -> Result<Ends, Failure> {
    let now = context.now();
    match context.ends(from, to)? {
        (Some(from), None) if from < now => Ok((Some(from), Some(now))),
        (Some(from), None) => {
            Err(Failure::usage(format!("--from {} is not before now, where the span ends without --to", time(from)))
                .help("name the end too: --to TIME"))
        }
        ends => Ok(ends),
    }
}

/// Returns the span asked for, from the first to the last file where it was left open; none if no file is in it.
pub(super) fn bounds(
    reader: &Reader,
    product: &str,
    station: Option<&str>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
) -> Result<Option<TimeRange>, Failure> {
    if let (Some(from), Some(to)) = (from, to) {
        return Ok(Some(TimeRange::new(from, to)));
    }
    let covered = reader.coverage(product, station, TimeRange::new(Timestamp::MIN, Timestamp::MAX))?;
    let (Some(first), Some(last)) = (covered.first(), covered.last()) else { return Ok(None) };
    let range = TimeRange::new(from.unwrap_or(first.start), to.unwrap_or(last.end));
    Ok((range.start < range.end).then_some(range))
}
