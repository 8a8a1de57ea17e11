//! Tests of the flow language from outside.

mod broken;
mod flows;
mod mutated;
mod schema;
