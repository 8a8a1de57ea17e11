//! One arrival among a million files costs what its keys cost, however many there are.

use std::collections::BTreeSet;

use rstest::rstest;
use thalweg_flow::planner::backward::{Wanted, plan_backward};
use thalweg_flow::planner::{Occasion, evaluate, touched};

use super::indexed::{FIRST, Million, flow, hours};

/// Files that may be looked at for one arrival: some days of hours of two sites and two products.
const ROWS: usize = 400;

fn cost(million: &mut Million, product: &'static str, n: i64) -> (usize, usize, usize) {
    let flow = flow();
    let file = million.arrive(product, FIRST + 3600 * n, "H");
    million.calls.set(0);
    million.rows.set(0);
    let keys = touched(&flow, &file, million);
    for key in &keys {
        evaluate(&flow, key, million, Occasion::default());
    }
    (keys.len(), million.calls.get(), million.rows.get())
}

#[rstest]
#[case::looked_up("dmt")]
#[case::driving("trend")]
#[case::held_back("raw")]
fn one_arrival_among_a_million(#[case] product: &'static str) {
    let mut few = Million::new(flow(), 2_000);
    let mut many = Million::new(flow(), 200_000);
    assert_eq!(many.len(), 1_000_000);
    for n in [1_000, 1_999, 2_000] {
        let near_end = if n == 1_000 { 100_000 } else { n + 198_000 };
        let (a, b) = (cost(&mut few, product, n), cost(&mut many, product, near_end));
        assert_eq!(a.0, b.0);
        assert!(b.2 <= ROWS && b.1 <= ROWS, "{product}: {b:?}");
        // A hundred times as many files make no difference, but for where the day's cells begin.
        assert!(b.2 <= a.2 + 60 && b.1 <= a.1 + 10, "{product}: {a:?} {b:?}");
    }
}

#[test]
fn the_hour_cells_alone_cost_a_handful() {
    let mut hourly = flow();
    hourly.steps.remove("days");
    let mut many = Million::new(hourly.clone(), 200_000);
    for (product, n) in [("dmt", 100_000), ("trend", 150_000), ("raw", 200_000)] {
        let file = many.arrive(product, FIRST + 3600 * n, "H");
        many.calls.set(0);
        many.rows.set(0);
        for key in touched(&hourly, &file, &many) {
            evaluate(&hourly, &key, &many, Occasion::default());
        }
        assert!(
            many.rows.get() <= 50 && many.calls.get() <= 50,
            "{product}: {} calls, {} files",
            many.calls.get(),
            many.rows.get()
        );
    }
}

#[test]
fn a_backward_plan_costs_its_span() {
    let flow = flow();
    let many = Million::new(flow.clone(), 200_000);
    let wanted = Wanted { product: "rds".into(), span: hours(100_000, 24), rebuild: false, partial: false };
    let plan = plan_backward(&flow, &wanted, &BTreeSet::new(), &many);
    assert_eq!(plan.ready.len(), 48);
    assert!(many.rows.get() < 2_000, "{} files", many.rows.get());
}
