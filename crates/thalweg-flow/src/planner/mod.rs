//! The planner: `(flow, facts, now) -> tasks + reasons`, a pure function.
//!
//! It works key by key. [`touched`] says which keys a change touches, [`evaluate`] says of one key what is there, what
//! comes next and why, and gives the task when it is ready. [`keys`] lists keys (all, or those of a span of time, for
//! working backward), [`keep`] decides on retention, [`dispatch`] on what may run beside what. None of them reads a
//! disk or a clock: everything known comes through [`Facts`].

pub mod adopt;
pub mod backward;
pub mod command;
pub mod dispatch;
mod evaluate;
mod facts;
mod family;
mod gather;
pub mod keep;
mod key;
pub mod keys;
pub mod memory;
mod moment;
mod outputs;
mod ready;
mod reason;
mod require;
mod standing;
mod task;
mod touch;
mod trigger;
mod update;
mod verdict;
mod wait;

pub use evaluate::{Occasion, evaluate};
pub use facts::{
    Contribution, DoneRun, Evidence, Facts, FailedRun, FileFact, FileQuery, FileState, Hold, LeftFile, Listing, Origin,
    Round, UsedFile, VerbVersion,
};
pub use family::{coverage_of, identity_of_file, series_of, suspect};
pub use key::KeyId;
pub use ready::{Readiness, readiness};
pub use reason::{Evaluation, Next, Reason, There};
pub use require::requirement;
pub use task::{OutputParts, Previous, Task, TaskInput, TaskOutput};
pub use touch::{released, touched, touched_by_run};
pub use trigger::{due_moment, due_round, next_moment};
