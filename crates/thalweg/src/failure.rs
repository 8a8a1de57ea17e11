//! An error at the surface: what failed, on what, why, and the next thing to do.

use std::error::Error;
use std::io;

use serde_json::{Value as Json, json};
use thalweg_core::ErrorClass;

use crate::exit::Exit;

/// A mistake explained at its place.
#[derive(Debug)]
pub(crate) struct Explained {
    /// Shown instead of the message.
    pub(crate) text: String,
    /// More for `--json`: an object.
    pub(crate) more: Json,
}

/// Why a command ends without having done what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What the caller is told.
    pub(crate) exit: Exit,
    /// What failed, in one sentence.
    pub(crate) message: String,
    /// Why, from the nearest cause to the deepest.
    pub(crate) causes: Vec<String>,
    /// The next thing to do.
    pub(crate) help: Option<String>,
    /// The mistake explained at its place.
    pub(crate) explained: Option<Box<Explained>>,
    /// Nobody reads on: end without a word.
    pub(crate) silent: bool,
}

impl Failure {
    /// Makes a failure.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), causes: Vec::new(), help: None, explained: None, silent: false }
    }

    /// Makes a failure of usage.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Makes a failure of configuration.
    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self::new(Exit::Config, message)
    }

    /// Adds the next thing to do.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Makes a failure of an error and its chain of causes; its text reads after "failed to".
    pub(crate) fn of(error: &dyn Error, class: ErrorClass) -> Self {
        Self::new(Exit::of_class(class), format!("failed to {error}")).because(error)
    }

    /// Adds the causes of an error.
    pub(crate) fn because(mut self, error: &dyn Error) -> Self {
        let mut cause = error.source();
        while let Some(error) = cause {
            self.causes.push(error.to_string());
            cause = error.source();
        }
        self
    }

    /// Returns the text for people.
    pub(crate) fn text(&self) -> String {
        if let Some(explained) = &self.explained {
            return explained.text.clone();
        }
        let clean = |text: &str| crate::out::harmless(text, false).into_owned();
        let mut text = format!("error: {}\n", clean(&self.message));
        for cause in &self.causes {
            text.push_str(&format!("  because: {}\n", clean(cause)));
        }
        if let Some(help) = &self.help {
            text.push_str(&format!("  help: {}\n", clean(help)));
        }
        text
    }

    /// Returns the same for programs.
    pub(crate) fn json(&self) -> Json {
        let mut object = json!({
            "error": self.message,
            "causes": self.causes,
            "help": self.help,
            "exit": self.exit.code(),
        });
        let more = self.explained.as_ref().and_then(|explained| explained.more.as_object());
        if let (Some(more), Some(object)) = (more, object.as_object_mut()) {
            object.extend(more.clone());
        }
        object
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let silent = error.kind() == io::ErrorKind::BrokenPipe;
        let exit = if silent { Exit::Done } else { Exit::Unexpected };
        Self { silent, ..Self::new(exit, format!("failed to write the output: {error}")) }
    }
}

impl From<thalweg_ledger::Error> for Failure {
    fn from(error: thalweg_ledger::Error) -> Self {
        Self { help: error.help(), ..Self::of(&error, error.class()) }
    }
}

impl From<thalweg_store::StoreError> for Failure {
    fn from(error: thalweg_store::StoreError) -> Self {
        Self { help: error.help().map(str::to_owned), ..Self::of(&error, error.class()) }
    }
}

impl From<thalweg_transfer::TransferError> for Failure {
    fn from(error: thalweg_transfer::TransferError) -> Self {
        Self { help: error.help().map(str::to_owned), ..Self::of(&error, error.class()) }
    }
}

impl From<thalweg_core::time::TimeError> for Failure {
    fn from(error: thalweg_core::time::TimeError) -> Self {
        Self::usage(format!("failed to {error}")).help(error.help)
    }
}

impl From<thalweg_core::units::UnitError> for Failure {
    fn from(error: thalweg_core::units::UnitError) -> Self {
        Self::usage(format!("failed to {error}")).help(error.help)
    }
}
