//! `coverage`: how much of a span of time each product covers.

use clap::Args;
use serde_json::json;
use thalweg_core::{TimeRange, Timestamp};
use thalweg_ledger::FileTally;

use super::gaps::{bounds, ends};
use super::{Context, Done};
use crate::exit::Exit;
use crate::out::{Cell, Table};
use crate::words::time;

/// Shows which times the files of each product cover, as bars
///
/// A full block is covered all through, a half one in part, a dot not at all.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  thalweg coverage\n  thalweg coverage rawacf --from 7d\n  thalweg coverage rawacf --at campus --json | jq '.[].spans'"
)]
pub(crate) struct Coverage {
    /// Only this product
    #[arg(value_name = "PRODUCT")]
    product: Option<String>,
    /// Start of the span that is looked at [default: the first file]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// End of it [default: now if --from is given, else the end of the last file]
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
}

/// Characters of a bar.
const WIDTH: u32 = 60;

impl Coverage {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        let project = context.project()?;
        if let Some(product) = &self.product {
            project.product(product)?;
        }
        let (from, to) = ends(context, self.from.as_deref(), self.to.as_deref())?;
        let reader = project.ledger()?.reader()?;
        let at = context.global.at.clone();
        let wanted = |tally: &FileTally| {
            self.product.as_ref().is_none_or(|product| *product == tally.product)
                && (at.is_empty() || at.contains(&tally.station))
        };
        let mut series: Vec<(String, String)> =
            reader.tallies()?.into_iter().filter(wanted).map(|tally| (tally.product, tally.station)).collect();
        series.sort();
        series.dedup();
        // One span for all bars, so that they can be compared.
        let mut whole: Option<TimeRange> = None;
        for (product, station) in &series {
            if let Some(range) = bounds(&reader, product, Some(station), from, to)? {
                whole = Some(
                    whole.map_or(range, |whole| TimeRange::new(whole.start.min(range.start), whole.end.max(range.end))),
                );
            }
        }
        let mut documents = Vec::new();
        let mut table = Table::new(&["product", "station", "covered", ""]);
        if let Some(whole) = whole {
            for (product, station) in &series {
                let spans = reader.coverage(product, Some(station), whole)?;
                let share = share(&spans, whole);
                documents.push(json!({
                    "product": product, "station": station, "from": whole.start, "to": whole.end,
                    "covered": share, "spans": spans,
                }));
                table.row([
                    product.as_str().into(),
                    station.as_str().into(),
                    Cell::right(format!("{:.1} %", share * 100.0)),
                    bar(&spans, whole).into(),
                ]);
            }
        }
        if context.out.json {
            context.out.document(&documents)?;
        } else if let Some(whole) = whole {
            context.out.line(format!("{} .. {}", time(whole.start), time(whole.end)))?;
            context.out.table(&table)?;
        } else {
            let before = to.map(|to| format!(" before {}", time(to))).unwrap_or_default();
            context.out.line(format!("no file with a time{before} is known"))?;
        }
        Ok(Exit::Done)
    }
}

fn seconds(range: TimeRange) -> f64 {
    range.end.duration_since(range.start).as_secs_f64()
}

fn share(spans: &[TimeRange], whole: TimeRange) -> f64 {
    let all = seconds(whole);
    if all > 0.0 { spans.iter().map(|span| seconds(*span)).fold(0.0, |sum, length| sum + length) / all } else { 0.0 }
}

fn bar(spans: &[TimeRange], whole: TimeRange) -> String {
    let (start, length) = (whole.start.as_nanosecond(), whole.end.as_nanosecond() - whole.start.as_nanosecond());
    let edge =
        |at: u32| Timestamp::from_nanosecond(start + length / i128::from(WIDTH) * i128::from(at)).unwrap_or(whole.end);
    let cell = |at: u32| {
        let (from, to) = (edge(at), if at + 1 == WIDTH { whole.end } else { edge(at + 1) });
        let inside = |span: &TimeRange| seconds(TimeRange::new(span.start.max(from), span.end.min(to)));
        let covered: f64 = spans.iter().filter(|span| span.start < to && from < span.end).map(inside).sum();
        let all = seconds(TimeRange::new(from, to));
        if covered >= all * 0.999 && all > 0.0 {
            '█'
        } else if covered > 0.0 {
            '▒'
        } else {
            '·'
        }
    };
    (0..WIDTH).map(cell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_tells_full_from_partial_from_empty() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let whole = TimeRange::new(at(0), at(6000));
        let spans = [TimeRange::new(at(0), at(3000)), TimeRange::new(at(3050), at(3100))];
        let bar = bar(&spans, whole);
        assert_eq!(bar, format!("{}▒{}", "█".repeat(30), "·".repeat(29)));
        assert!((share(&spans, whole) - 3050.0 / 6000.0).abs() < 1e-9);
    }
}
