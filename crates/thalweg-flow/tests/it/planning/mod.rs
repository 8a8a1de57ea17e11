//! The planner from outside: stories, hard points, properties, cost.

mod cases;
mod hard;
mod properties;
mod world;
