//! The built-in verbs: files in, files out. Each runs as a process of its own, started by a person or by a flow.
//!
//! Nothing here knows flows, the ledger or the command line: options are plain structs, what happens is told through a
//! [`VerbContext`], and the caller turns an error's class into an exit code.

mod context;
pub mod dmap;
mod error;
pub mod image;
mod output;
mod probe;
pub mod superdarn;

pub use context::{Verb, VerbContext};
pub use error::Error;
pub use probe::{FORMATS, ProbeOutput, probe};
