//! What is wrong with a flow file, and how it is shown: the place underlined, what is wrong, what to write instead.

use std::fmt;
use std::ops::Range;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource};
use thalweg_core::ErrorClass;

use crate::source::Source;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The flow cannot be used.
    Error,
    /// The flow can be used, and probably does not mean what was meant.
    Warning,
}

/// One thing that is wrong, with its place and its remedy.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// A fixed word for the kind of problem, e.g. `unknown-key`.
    pub code: &'static str,
    /// What is wrong, in one sentence without a period.
    pub message: String,
    /// Bytes of the flow file that are wrong; `None`: the problem lies elsewhere (`--set`).
    pub span: Option<Range<usize>>,
    /// What to say beside the underlined bytes.
    pub label: String,
    /// Further places that matter, each with what to say there.
    pub more: Vec<(Range<usize>, String)>,
    /// What to do about it.
    pub help: Option<String>,
}

impl Problem {
    pub(crate) fn error(code: &'static str, span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            span: Some(span),
            label: String::new(),
            more: Vec::new(),
            help: None,
        }
    }

    pub(crate) fn warning(code: &'static str, span: Range<usize>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, span, message) }
    }

    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub(crate) fn also(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.more.push((span, label.into()));
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Shows the problem with the lines of the flow file that it is about.
    pub fn render(&self, source: &Source, colour: bool, width: usize) -> String {
        let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let mut handler = GraphicalReportHandler::new_themed(theme)
            .with_width(width.max(40))
            .with_links(false)
            .with_context_lines(1)
            .with_break_words(false);
        if !colour {
            handler = handler.without_syntax_highlighting();
        }
        let shown = Shown {
            problem: self,
            source: NamedSource::new(&source.name, source.text.clone()),
            length: source.text.len(),
        };
        let mut text = String::new();
        if handler.render_report(&mut text, &shown).is_err() {
            // Only the formatter's own refusal leads here; the message must not be lost with it.
            text = format!("{}: {}\n", self.code, self.message);
        }
        text
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Everything that is wrong with one flow file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics {
    /// The flow file.
    pub source: Source,
    /// The problems in the order of the file, errors and warnings.
    pub problems: Vec<Problem>,
}

impl Diagnostics {
    pub(crate) fn new(source: Source, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| (problem.span.as_ref().map_or(0, |span| span.start), problem.severity));
        problems.dedup();
        Self { source, problems }
    }

    /// Returns how many of the problems are errors.
    pub fn errors(&self) -> usize {
        self.problems.iter().filter(|problem| problem.severity == Severity::Error).count()
    }

    /// Shows all problems, one after another, and how many there are.
    pub fn render(&self, colour: bool, width: usize) -> String {
        let mut text = String::new();
        for problem in &self.problems {
            text.push_str(&problem.render(&self.source, colour, width));
            text.push('\n');
        }
        let errors = self.errors();
        let warnings = self.problems.len() - errors;
        let mut counts = Vec::new();
        if errors > 0 {
            counts.push(format!("{errors} error{}", if errors == 1 { "" } else { "s" }));
        }
        if warnings > 0 {
            counts.push(format!("{warnings} warning{}", if warnings == 1 { "" } else { "s" }));
        }
        if !counts.is_empty() {
            text.push_str(&format!("{}: {}\n", self.source.name, counts.join(", ")));
        }
        text
    }

    /// Returns the class of this failure: a person must edit the flow file.
    pub fn class(&self) -> ErrorClass {
        ErrorClass::Config
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has {} error(s)", self.source.name, self.errors())?;
        if let Some(first) = self.problems.iter().find(|problem| problem.severity == Severity::Error) {
            if let Some(span) = &first.span {
                let (line, column) = self.source.line_column(span.start);
                write!(f, ", the first at {line}:{column}")?;
            }
            write!(f, ": {}", first.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// A problem together with its text, in the form that the renderer wants.
#[derive(Debug)]
struct Shown<'a> {
    problem: &'a Problem,
    source: NamedSource<String>,
    length: usize,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.message)
    }
}

impl std::error::Error for Shown<'_> {}

impl miette::Diagnostic for Shown<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.problem.code))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.problem.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.problem.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display + 'a>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.problem.span.is_some().then_some(&self.source as &dyn miette::SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.problem.span.clone()?;
        let inside = |span: &Range<usize>| {
            let start = span.start.min(self.length);
            (start, span.end.clamp(start, self.length) - start)
        };
        let (start, length) = inside(&span);
        let label = if self.problem.label.is_empty() { "here" } else { &self.problem.label };
        let mut labels = vec![LabeledSpan::new_primary_with_span(Some(label.to_owned()), (start, length))];
        for (span, label) in &self.problem.more {
            let (start, length) = inside(span);
            labels.push(LabeledSpan::new_with_span(Some(label.clone()), (start, length)));
        }
        Some(Box::new(labels.into_iter()))
    }
}
