//! What is found on this host: how grave it is, what it is, and what to do about it.

use serde::Serialize;

use crate::failure::Failure;
use crate::out::{Out, Tone};

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Severity {
    /// All is well; told so that one knows that it was looked at.
    Fine,
    /// It works, and not as well or not for long.
    Warning,
    /// Something of the flow does not work.
    Error,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// How grave it is.
    pub(crate) severity: Severity,
    /// A stable word for programs.
    pub(crate) code: &'static str,
    /// What it is about, as in the flow file: `stations.radar`, `steps.count`; or `ledger`, `clock`, …
    pub(crate) place: String,
    /// What is so.
    pub(crate) message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) remedy: Option<String>,
}

impl Finding {
    /// Makes one that says that all is well.
    pub(crate) fn fine(code: &'static str, place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Fine, code, place: place.into(), message: message.into(), remedy: None }
    }

    /// Makes a warning.
    pub(crate) fn warning(
        code: &'static str,
        place: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let remedy = Some(remedy.into());
        Self { severity: Severity::Warning, code, place: place.into(), message: message.into(), remedy }
    }

    /// Makes an error.
    pub(crate) fn error(
        code: &'static str,
        place: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { severity: Severity::Error, ..Self::warning(code, place, message, remedy) }
    }

    /// Writes it for people.
    ///
    /// # Errors
    ///
    /// Those of writing.
    pub(crate) fn tell(&self, out: &mut Out) -> Result<(), Failure> {
        let (tone, word) = match self.severity {
            Severity::Fine => (Tone::Good, "fine"),
            Severity::Warning => (Tone::Odd, "warning"),
            Severity::Error => (Tone::Bad, "error"),
        };
        let word = out.paint(tone, &format!("{word:<8}"));
        out.line(format!("{word} {}: {}", self.place, self.message))?;
        if let Some(remedy) = &self.remedy {
            out.line(format!("         help: {remedy}"))?;
        }
        Ok(())
    }
}
