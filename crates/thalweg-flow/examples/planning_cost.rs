//! Prints what one arrival among a million files costs the planner: with cells of a day, and with cells of an hour only.

#[expect(dead_code, reason = "shared with the tests")]
#[path = "../tests/it/planning/indexed.rs"]
mod indexed;

use std::time::Instant;

use indexed::{FIRST, Million, flow};
use thalweg_flow::planner::{Occasion, evaluate, touched};

/// Arrivals over which the time is taken.
const ARRIVALS: u32 = 100;

#[expect(clippy::print_stdout, reason = "a program for a person to run")]
fn main() {
    let with_days = flow();
    let mut hours_only = with_days.clone();
    hours_only.steps.remove("days");
    let mut million = Million::new(with_days.clone(), 200_000);
    println!("{} files", million.len());
    for (name, flow) in [("days and hours", with_days), ("hours", hours_only)] {
        for (product, from) in [("dmt", 100_000), ("trend", 150_000), ("raw", 200_000)] {
            let mut keys = 0;
            million.calls.set(0);
            million.rows.set(0);
            let begun = Instant::now();
            for n in 0..ARRIVALS {
                let file = million.arrive(product, FIRST + 3600 * (from + i64::from(n)), "H");
                for key in touched(&flow, &file, &million) {
                    evaluate(&flow, &key, &million, Occasion::default());
                    keys += 1;
                }
            }
            let each = begun.elapsed() / ARRIVALS;
            let (calls, rows) = (million.calls.get() / 100, million.rows.get() / 100);
            println!(
                "{name}, {product}: {each:?} an arrival; {} keys, {calls} questions, {rows} files each",
                keys / ARRIVALS
            );
        }
    }
}
