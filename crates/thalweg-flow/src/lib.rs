//! The flow language and the planner.
//!
//! Text in, rules out ([`parse`]), and from rules and facts to tasks with their reasons ([`planner`]). Nothing here
//! does input or output: what a flow file refers to (parameter files, environment) is handed in by the caller.

pub mod model;
pub mod planner;

pub use model::*;
