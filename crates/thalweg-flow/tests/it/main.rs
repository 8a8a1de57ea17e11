//! Tests of the flow language from outside.

mod broken;
mod flows;
mod graph;
mod mutated;
mod schema;
mod values;
