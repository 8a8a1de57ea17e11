//! Tests of the flow language from outside.

mod flows;
