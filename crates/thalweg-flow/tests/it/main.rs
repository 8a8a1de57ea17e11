//! Tests of the flow language from outside.

mod broken;
mod flows;
mod graph;
mod mutated;
mod planning;
mod schema;
mod values;
