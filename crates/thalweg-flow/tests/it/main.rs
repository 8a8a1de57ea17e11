//! Tests of the flow language from outside.

mod broken;
mod effective;
mod flows;
mod graph;
mod mutated;
mod planning;
mod pure;
mod schema;
mod values;
