//! The planner from outside: stories, hard points, properties, cost.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up its case has failed")]

mod cases;
mod cost;
mod hard;
mod indexed;
mod properties;
mod rules;
mod world;
