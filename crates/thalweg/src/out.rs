//! Standard output: lines, tables, JSON. Writing to a closed pipe is an error that ends the program quietly.

use std::borrow::Cow;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use serde::Serialize;

use crate::failure::Failure;

/// What a word of the output means; shown as a colour on a terminal, readable without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Nothing special.
    Plain,
    /// A heading.
    Head,
    /// All is well.
    Good,
    /// To be looked at.
    Odd,
    /// Wrong.
    Bad,
    /// Of less weight.
    Faint,
}

impl Tone {
    /// Returns the tone of a word for a state.
    pub(crate) fn of_word(word: &str) -> Self {
        match word {
            "done" | "present" | "ready" | "running" | "taken" | "OK" => Self::Good,
            "waiting" | "blocked" | "partial" | "stale" | "settling" | "lost" | "cancelled" | "withdrawn" => Self::Odd,
            "WARNING" | "UNKNOWN" => Self::Odd,
            "failed" | "quarantined" | "gone" | "missing" | "CRITICAL" => Self::Bad,
            "nothing" | "skipped" | "retired" | "none" => Self::Faint,
            _ => Self::Plain,
        }
    }

    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Head => "\x1b[1m",
            Self::Good => "\x1b[32m",
            Self::Odd => "\x1b[33m",
            Self::Bad => "\x1b[31m",
            Self::Faint => "\x1b[2m",
        }
    }
}

/// Where the text of a command goes.
pub(crate) struct Out {
    writer: BufWriter<Stdout>,
    /// The caller is a program.
    pub(crate) json: bool,
    /// Colours may be used.
    pub(crate) colour: bool,
    /// Standard output is a terminal.
    pub(crate) terminal: bool,
    /// Less than 0: quiet; more than 0: as often as `-v` was given.
    pub(crate) verbosity: i8,
}

impl Out {
    /// Makes one for standard output.
    pub(crate) fn new(json: bool, no_color: bool, verbosity: i8) -> Self {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        let by_environment = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colour = terminal && !json && !no_color && !by_environment;
        Self { writer: BufWriter::new(stdout), json, colour, terminal, verbosity }
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, text: impl AsRef<str>) -> Result<(), Failure> {
        writeln!(self.writer, "{}", harmless(text.as_ref(), self.colour))?;
        Ok(())
    }

    /// Writes a heading, with an empty line before it unless it is the first thing.
    pub(crate) fn heading(&mut self, text: &str) -> Result<(), Failure> {
        let text = self.paint(Tone::Head, text);
        self.line(text)
    }

    /// Returns text with the colour of its meaning, if colours may be used.
    pub(crate) fn paint(&self, tone: Tone, text: &str) -> String {
        if self.colour && tone != Tone::Plain { format!("{}{text}\x1b[0m", tone.code()) } else { text.to_owned() }
    }

    /// Writes one document.
    pub(crate) fn document(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_writer_pretty(&mut self.writer, value).map_err(io::Error::from)?;
        self.line("")
    }

    /// Writes one object of a stream, on a line of its own.
    pub(crate) fn object(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.writer, value).map_err(io::Error::from)?;
        self.line("")
    }

    /// Writes a table.
    pub(crate) fn table(&mut self, table: &Table) -> Result<(), Failure> {
        let text = table.text(|tone, text| self.paint(tone, text));
        self.writer.write_all(text.as_bytes())?;
        Ok(())
    }

    /// Writes a line to standard error, unless told to be quiet.
    pub(crate) fn note(&self, text: impl AsRef<str>) {
        if self.verbosity >= 0 {
            // Standard error may be closed; nothing can be told to anybody then.
            let _ = writeln!(io::stderr(), "{}", harmless(text.as_ref(), false));
        }
    }
}

/// Writes control characters out as people read them, so that no name or value of a file steers a terminal.
///
/// Ends of lines and tabs stay; with `painted` the colours of [`Tone`] too.
pub(crate) fn harmless(text: &str, painted: bool) -> Cow<'_, str> {
    let is_odd = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(is_odd) {
        return Cow::Borrowed(text);
    }
    const COLOURS: [&str; 6] = ["\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[33m"];
    let mut written = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let colour = COLOURS.iter().find(|colour| painted && rest.starts_with(**colour));
        let length = colour.map_or(c.len_utf8(), |colour| colour.len());
        if colour.is_none() && is_odd(c) {
            written.extend(c.escape_default());
        } else {
            written.push_str(&rest[..length]);
        }
        rest = &rest[length..];
    }
    Cow::Owned(written)
}

/// Returns a value of a file as one line without control characters.
pub(crate) fn one_line(text: &str) -> String {
    text.chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<char>>() } else { vec![c] })
        .collect()
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// A cell of a table.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
    right: bool,
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text: one_line(&text), tone: Tone::Plain, right: false }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Self { text: number.to_string(), tone: Tone::Plain, right: true }
    }
}

impl Cell {
    /// Makes a cell of a word for a state.
    pub(crate) fn state(word: &str) -> Self {
        Self { text: one_line(word), tone: Tone::of_word(word), right: false }
    }

    /// Makes a cell whose text stands at the right, as numbers do.
    pub(crate) fn right(text: impl Into<String>) -> Self {
        Self { text: one_line(&text.into()), tone: Tone::Plain, right: true }
    }
}

/// Rows of cells in aligned columns.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    indent: usize,
    head: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// Makes a table; without names of columns it has no head.
    pub(crate) fn new(head: &[&str]) -> Self {
        Self { indent: 0, head: head.iter().map(|name| (*name).to_owned()).collect(), rows: Vec::new() }
    }

    /// Sets it in by so many blanks.
    pub(crate) fn indented(mut self, indent: usize) -> Self {
        self.indent = indent;
        self
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Tells if it has no rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn text(&self, paint: impl Fn(Tone, &str) -> String) -> String {
        let mut rows = Vec::new();
        if !self.head.is_empty() {
            let right = |at: usize| self.rows.first().and_then(|row| row.get(at)).is_some_and(|cell| cell.right);
            let head = self.head.iter().enumerate();
            rows.push(head.map(|(at, name)| Cell { text: name.clone(), tone: Tone::Head, right: right(at) }).collect());
        }
        rows.extend(self.rows.iter().cloned());
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |at: usize| {
            rows.iter().filter_map(|row: &Vec<Cell>| row.get(at)).map(|cell| cell.text.chars().count()).max()
        };
        let widths: Vec<usize> = (0..columns).map(|at| width(at).unwrap_or(0)).collect();
        let mut text = String::new();
        for row in &rows {
            let mut line = " ".repeat(self.indent);
            for (at, cell) in row.iter().enumerate() {
                let blanks = " ".repeat(widths[at].saturating_sub(cell.text.chars().count()));
                let painted = paint(cell.tone, &cell.text);
                line.push_str(&if cell.right { format!("{blanks}{painted}") } else { format!("{painted}{blanks}") });
                line.push_str("  ");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_file_steers_the_terminal() {
        assert_eq!(harmless("a\x1b[2Jb\r\tc\n", false), "a\\u{1b}[2Jb\\r\tc\n");
        assert_eq!(harmless("\x1b[31mbad\x1b[0m \x1b]0;x\x07", true), "\x1b[31mbad\x1b[0m \\u{1b}]0;x\\u{7}");
        assert_eq!(Cell::from("two\nlines\x1b[2J").text, "two\\nlines\\u{1b}[2J");
    }

    #[test]
    fn columns_are_aligned_and_lines_have_no_blanks_at_their_ends() {
        let mut table = Table::new(&["step", "open", "why"]).indented(2);
        table.row([Cell::from("dmap"), Cell::from(3), Cell::from("")]);
        table.row([Cell::from("to-campus"), Cell::from(120), Cell::from("é is two bytes")]);
        assert_eq!(
            table.text(|_, text| text.to_owned()),
            "  step       open  why\n  dmap          3\n  to-campus   120  é is two bytes\n"
        );
    }
}
