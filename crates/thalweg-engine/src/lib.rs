//! The engine: triggers, dispatcher, executors, retention.
//!
//! [`Engine`] owns the truth and carries a flow out; [`child`] runs one verb, [`watch`] learns about files. It knows no
//! format, no terminal and no page.

pub mod adopted;
mod aside;
pub mod backlog;
pub mod checks;
pub mod child;
mod classify;
mod control;
mod dispatcher;
mod edits;
mod engine;
mod error;
mod event;
pub mod facts;
pub mod forecast;
mod host;
mod intake;
mod lock;
mod logs;
mod notify;
mod probe;
mod recover;
mod runner;
mod scan;
mod settings;
mod setup;
pub mod turns;
mod verify;
mod versions;
pub mod watch;

pub use classify::Classifier;
pub use engine::{Adopt, Engine, Handle, Mode, Outcome, Request, carry_out, engine_pid};
pub use error::EngineError;
pub use event::Event;
pub use facts::LedgerFacts;
pub use host::{Host, ThisHost, Watching, Working};
pub use lock::lock_path;
pub use logs::{ENGINE_LOG_END, ENGINE_LOG_START, log_folder_in_use, logs_pruned_to};
pub use scan::Strangers;
pub use settings::settings_digests;
pub use setup::{MissingRoot, Places, Setup, host_name, makes_root, root_of};
pub use versions::{VerbVersions, program_of};
