//! Products asked for by span of time.

use thalweg_core::TimeRange;
use thalweg_engine::{Event, Outcome, Request, carry_out};
use thalweg_flow::planner::backward::Wanted;

use crate::workshop::Workshop;

const CHAIN: &str = r#"
flow = "chain"
[stations.here]
root = "data"
[products.raw]
path = "raw/{time:%Y%m%d%H}.txt"
span = "1h"
[products.hour]
path = "hour/{time:%Y%m%d%H}.txt"
span = "1h"
[products.day]
path = "day/{time:%Y%m%d}.txt"
span = "1d"
[steps.hour]
at = "here"
takes = "raw"
makes = "hour"
when = "asked"
does = { run = ["cp", "{in}", "{out}"] }
[steps.day]
at = "here"
takes = "hour"
per = "1d"
makes = "day"
when = "asked"
does = { run = ["sh", "-c", "out=$1; shift; cat \"$@\" > $out", "sh", "{out}", "{in}"] }
"#;

fn make(shop: &Workshop, product: &str, from: &str, to: &str, rebuild: bool) -> (Outcome, Vec<Event>) {
    let span = TimeRange::new(from.parse().expect("a time"), to.parse().expect("a time"));
    let wanted = Wanted { product: product.to_owned(), span, rebuild, partial: false };
    let mut events = Vec::new();
    let outcome = carry_out(&shop.setup(), Request::Make(wanted), &mut |event| events.push(event.clone()));
    (outcome.expect("it is carried out"), events)
}

#[test]
fn a_product_is_made_through_all_steps_and_nothing_else() {
    let shop = Workshop::new(CHAIN);
    for hour in 0..4 {
        shop.write(&format!("data/raw/202601010{hour}.txt"), &format!("{hour}"));
    }
    shop.write("data/raw/2026010200.txt", "next day");
    let (outcome, _) = shop.once();
    assert_eq!(outcome.done, 0, "nothing is made by itself");
    let (outcome, events) = make(&shop, "day", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", false);
    assert_eq!((outcome.done, outcome.failed), (5, 0), "{events:#?}");
    assert_eq!(shop.read("data/day/20260101.txt").as_deref(), Some("0123"), "{events:#?}");
    assert_eq!(shop.files("data/hour").len(), 4);
    let (outcome, events) = make(&shop, "day", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", false);
    assert_eq!((outcome.done, outcome.failed), (0, 0), "{events:#?}");
    let (outcome, events) = make(&shop, "day", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", true);
    assert_eq!((outcome.done, outcome.failed), (1, 0), "only what was asked for is made again: {events:#?}");
    let (outcome, _) = make(&shop, "day", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z", false);
    assert_eq!((outcome.done, outcome.missing.len()), (0, 1), "a missing source is told");
}
