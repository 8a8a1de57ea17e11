//! Files that belong to no product: most often a name that is not as its pattern wants it.

use serde::{Deserialize, Serialize};
use thalweg_core::RelPath;
use thalweg_flow::{Flow, When};
use thalweg_ledger::{Error, Reader};

use crate::watch::is_temporary;

/// So many are named.
const NAMED: usize = 20;

/// Files of a station, in folders where products are looked for, whose names no product's pattern describes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strangers {
    /// How many.
    pub files: u64,
    /// The first of them.
    pub examples: Vec<String>,
}

impl Strangers {
    /// Counts a file that belongs to no product. Temporary ones, markers and flags are as they should be.
    pub fn add(&mut self, flow: &Flow, path: &RelPath) {
        let name = path.file_name();
        let mut markers = flow.products.values().filter_map(|product| product.ready.marker.as_deref());
        let is_marker = markers.any(|marker| {
            let (before, after) = marker.split_once("{file}").unwrap_or(("", marker));
            name.len() > before.len() + after.len() && name.starts_with(before) && name.ends_with(after)
        });
        let is_flag = flow.steps.values().any(|step| {
            let flags = step.flag.as_ref().into_iter().chain(match &step.when {
                When::Flag(pattern) => Some(pattern),
                _ => None,
            });
            flags.into_iter().any(|flag| flag == path.as_str())
        });
        if is_temporary(name, &[]) || is_marker || is_flag {
            return;
        }
        self.files += 1;
        if self.examples.len() < NAMED {
            self.examples.push(path.to_string());
        }
    }

    /// Returns what the last listing of a station met.
    ///
    /// # Errors
    ///
    /// Those of the ledger.
    pub fn at(reader: &Reader, station: &str) -> Result<Self, Error> {
        let text = reader.meta(&Self::name(station))?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }

    /// The name under which the ledger keeps it.
    pub(crate) fn name(station: &str) -> String {
        format!("strangers {station}")
    }
}

#[cfg(test)]
mod tests {
    use thalweg_flow::{Nowhere, Settings, Source, parse};

    use super::*;

    #[test]
    fn markers_and_temporary_files_are_no_strangers() {
        let text = "flow = \"f\"\nstations.a.root = \"a\"\n[products.x]\npath = \"{name}.x\"\n\
                    ready = { marker = \"{file}.done\" }\n";
        let parsed = parse(&Source::new("flow.toml", text), &Settings::default(), &Nowhere);
        let flow = parsed.map_err(|problems| problems.render(false, 100)).expect("a flow").flow;
        let mut strangers = Strangers::default();
        for name in ["a.x.done", ".hidden", "b.x.tmp", "sub/README.md", "c.X"] {
            strangers.add(&flow, &RelPath::from_text(name));
        }
        assert_eq!((strangers.files, strangers.examples), (2, vec!["sub/README.md".to_owned(), "c.X".to_owned()]));
    }
}
