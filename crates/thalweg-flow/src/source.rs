//! What is handed to the parser: the text, the caller's settings, and a way to ask for files and the environment.

use std::collections::BTreeMap;

/// A flow file's text and the name that messages give it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// File name, as shown in messages.
    pub name: String,
    /// The whole text.
    pub text: String,
}

impl Source {
    /// Makes a source.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// Returns line and column, both from 1, of a byte offset; columns count characters.
    pub fn line_column(&self, offset: usize) -> (usize, usize) {
        let mut end = offset.min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &self.text[..end];
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        (line, before[start..].chars().count() + 1)
    }
}

/// What the caller says besides the flow file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Parameters set on the command line (`--set name=value`); they win over everything else.
    pub set: BTreeMap<String, String>,
    /// The first words of every subcommand that can stand in a `does` line; empty: nothing is checked.
    pub known_verbs: Vec<String>,
    /// The formats that the caller can probe; empty: nothing is checked.
    pub known_formats: Vec<String>,
}

/// The world around a flow file: parameter files and the environment, read by the caller.
pub trait Surroundings {
    /// Returns an environment variable.
    fn environment(&self, name: &str) -> Option<String>;

    /// Returns the text of a file named relative to the flow file.
    ///
    /// # Errors
    ///
    /// Why it cannot be read, as a fragment that reads after "cannot read …:".
    fn file(&self, path: &str) -> Result<String, String>;
}

/// Surroundings without files and without environment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nowhere;

impl Surroundings for Nowhere {
    fn environment(&self, _name: &str) -> Option<String> {
        None
    }

    fn file(&self, _path: &str) -> Result<String, String> {
        Err("no files are at hand here".to_owned())
    }
}

/// Surroundings held in memory, for tests and for programs that make flows.
#[derive(Debug, Clone, Default)]
pub struct InMemory {
    /// Environment variables.
    pub environment: BTreeMap<String, String>,
    /// Texts of files by name.
    pub files: BTreeMap<String, String>,
}

impl Surroundings for InMemory {
    fn environment(&self, name: &str) -> Option<String> {
        self.environment.get(name).cloned()
    }

    fn file(&self, path: &str) -> Result<String, String> {
        self.files.get(path).cloned().ok_or_else(|| "no such file".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one_and_survive_any_offset() {
        let source = Source::new("f", "a\nbé c\n");
        assert_eq!(source.line_column(0), (1, 1));
        assert_eq!(source.line_column(2), (2, 1));
        assert_eq!(source.line_column(4), (2, 2));
        assert_eq!(source.line_column(5), (2, 3));
        assert_eq!(source.line_column(999), (3, 1));
    }
}
