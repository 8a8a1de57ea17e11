//! Simulated histories in the suite.
#![allow(missing_docs, reason = "tests")]
