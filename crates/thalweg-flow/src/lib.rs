//! The flow language and the planner.
//!
//! Text in, rules out ([`parse`]), and from rules and facts to tasks with their reasons ([`planner`]). Nothing here
//! does input or output: what a flow file refers to (parameter files, environment) is handed in by the caller.

mod diagnostic;
mod effective;
pub mod graph;
mod hours;
mod keys;
pub mod model;
mod parse;
pub mod planner;
mod reader;
mod schema;
mod source;
mod validate;

pub use diagnostic::{Diagnostics, Problem, Severity};
pub use effective::effective;
pub use hours::Hours;
pub use model::*;
pub use parse::{Parsed, parse};
pub use schema::schema;
pub use source::{InMemory, Nowhere, Settings, Source, Surroundings};
pub use validate::presence;
