//! What one task is about.

use std::fmt;

use serde::{Deserialize, Serialize};
use thalweg_core::{Fields, TimeRange, fields_text};

use super::facts::FileFact;

/// A key of a step: one driving file, or a cell of a grid and a tuple of fields.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyId {
    /// The step.
    pub step: String,
    /// The station it runs at.
    pub station: String,
    /// The cell of the time grid, or the moment of a step that takes nothing.
    pub cell: Option<TimeRange>,
    /// The fields of `per` and `each`.
    pub fields: Fields,
    /// Product and identity of the driving file, for steps without `per`.
    pub driving: Option<(String, String)>,
}

impl KeyId {
    /// Makes the key of a driving file.
    pub fn of_file(step: &str, station: &str, file: &FileFact, each: Fields) -> Self {
        Self {
            step: step.to_owned(),
            station: station.to_owned(),
            cell: None,
            fields: each,
            driving: Some((file.product.clone(), file.identity.clone())),
        }
    }

    /// Returns the canonical text within the step: what the ledger stores.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if let Some((product, identity)) = &self.driving {
            text.push_str(&format!("{product}({identity})"));
        }
        if let Some(cell) = &self.cell {
            push_part(&mut text, &cell.to_string());
        }
        if !self.fields.is_empty() {
            push_part(&mut text, &fields_text(&self.fields));
        }
        push_part(&mut text, &format!("@{}", self.station));
        text
    }
}

fn push_part(text: &mut String, part: &str) {
    if !text.is_empty() {
        text.push(' ');
    }
    text.push_str(part);
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.step, self.text())
    }
}
