//! A simulated world for the engine: hosts, stations, links and clocks in memory, and everything that may go wrong.
//!
//! The engine in it is the real one: planner, dispatcher, runners, recovery and ledger. What it has around it is
//! [`host::SimulatedHost`]; the order in which threads go on, and what fails when, follow from a seed. After every step
//! the promises are checked: no final name holds anything but a whole and right content, nothing is gone without the
//! copies that its keep names, every task is done once, and after the last fault everything ends as without any.

pub mod history;
pub mod host;
mod processor;
pub mod schedule;
pub mod script;
pub mod seed;
pub mod store;
pub mod world;

pub use history::{Shown, live};
pub use processor::stay_on_processor;

/// Returns an error with its causes.
fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
