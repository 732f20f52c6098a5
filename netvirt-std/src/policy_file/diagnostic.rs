//! What is wrong with a policy file, or with a script to be imported, where it stands, and what to do about it.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// A range of bytes in the text that is read.
pub type Span = Range<usize>;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but something in it will not work as written.
    Warning,
    /// Nothing is wrong; it is only told.
    Note,
}

/// A place in the file and what is to be said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The bytes it is about.
    pub span: Span,
    /// The remark beside them; may be empty.
    pub text: String,
}

/// One thing that is wrong, or will not work, in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    severity: Severity,
    message: String,
    place: Label,
    related: Vec<Label>,
    remedy: Option<String>,
}

impl Diagnostic {
    pub(crate) fn error(span: &Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, span, message)
    }

    pub(crate) fn warning(span: &Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, span, message)
    }

    pub(crate) fn note(span: &Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, span, message)
    }

    fn new(severity: Severity, span: &Span, message: impl Into<String>) -> Self {
        let place = Label {
            span: span.clone(),
            text: String::new(),
        };
        Self {
            severity,
            message: message.into(),
            place,
            related: Vec::new(),
            remedy: None,
        }
    }

    pub(crate) fn there(mut self, span: &Span, text: impl Into<String>) -> Self {
        self.related.push(Label {
            span: span.clone(),
            text: text.into(),
        });
        self
    }

    pub(crate) fn remedy(mut self, text: impl Into<String>) -> Self {
        self.remedy = Some(text.into());
        self
    }

    /// Whether it is an error or a warning.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Where.
    pub fn place(&self) -> &Label {
        &self.place
    }

    /// Other places that have to do with it, such as the one that it clashes with.
    pub fn related(&self) -> &[Label] {
        &self.related
    }

    /// What to do about it, where the message does not say so already.
    pub fn remedy_text(&self) -> Option<&str> {
        self.remedy.as_deref()
    }
}

/// Everything that is wrong with a file, in the order of its lines.
///
/// `Display` renders plain text with the lines of the file; [`Diagnostics::render`] adds colour.
#[derive(Clone, PartialEq, Eq)]
pub struct Diagnostics {
    file_name: String,
    text: Arc<str>,
    /// Where the lines begin.
    lines: Arc<[usize]>,
    list: Vec<Diagnostic>,
    /// How many more were found, when there was enough.
    unlisted: usize,
}

/// How many are shown: nobody mends more at once.
const SHOWN: usize = 100;
/// How many errors are kept, and how many of the rest; files of any size are checked beside a running switch.
const KEPT: usize = 1000;

impl Diagnostics {
    fn new(file_name: &str, text: &str, found: Found) -> Self {
        let unlisted = found.number() - found.list.len();
        let mut list = found.list;
        list.sort_by_key(|diagnostic| diagnostic.place.span.start);
        Self {
            file_name: file_name.into(),
            text: text.into(),
            lines: line_starts(text).collect(),
            list,
            unlisted,
        }
    }

    /// The diagnostics in the order of the file; of a thousand errors, or as many others, the rest is only counted.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Diagnostic> {
        self.list.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether one of them is an error.
    pub fn has_errors(&self) -> bool {
        self.errors().next().is_some()
    }

    fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list
            .iter()
            .filter(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// As many as somebody reads, in the order of the file; errors come before others.
    pub(crate) fn most_important(&self) -> impl Iterator<Item = &Diagnostic> {
        let mut errors = SHOWN;
        let mut others = SHOWN.saturating_sub(self.errors().count());
        self.list.iter().filter(move |diagnostic| {
            let room = match diagnostic.severity {
                Severity::Error => &mut errors,
                Severity::Warning | Severity::Note => &mut others,
            };
            let is_shown = *room > 0;
            *room = room.saturating_sub(1);
            is_shown
        })
    }

    /// Line and column, both counted from 1, columns in characters.
    pub fn position(&self, span: &Span) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= span.start);
        let start = line.checked_sub(1).map_or(0, |line| self.lines[line]);
        let before = self.text.get(start..span.start).unwrap_or_default();
        (line, before.chars().count() + 1)
    }

    /// The diagnostics as text for a terminal, with the lines of the file that they are about: errors last, where who
    /// looks at a terminal sees them; of more than a hundred only how many there are.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let (errors, others): (Vec<_>, Vec<_>) = self
            .most_important()
            .partition(|diagnostic| diagnostic.severity == Severity::Error);
        let shown = others.into_iter().chain(errors);
        let mut reports: Vec<String> = shown
            .map(|diagnostic| self.render_one(diagnostic, &renderer))
            .collect();
        let more = self.list.len() + self.unlisted - reports.len();
        if more > 0 {
            reports.push(format!("and {more} more"));
        }
        reports.join("\n\n")
    }

    fn render_one(&self, diagnostic: &Diagnostic, renderer: &Renderer) -> String {
        // Only the lines concerned are handed over: the renderer reads all the text it is given.
        let window = self.lines_around(diagnostic);
        let (first_line, _) = self.position(&(window.start..window.start));
        let lines = &self.text[window.clone()];
        // The ends of lines that Windows makes are nothing to be shown.
        let shown = lines.replace("\r\n", "\n");
        let shown = shown.strip_suffix('\r').unwrap_or(&shown);
        let place_of = |place: usize| {
            let place = place.clamp(window.start, window.end) - window.start;
            let line_ends = lines.match_indices("\r\n");
            let left_out = line_ends.take_while(|(end, _)| *end < place).count();
            (place - left_out).min(shown.len())
        };
        let inside = |span: &Span| {
            let (start, end) = (place_of(span.start), place_of(span.end));
            start..end.max(start)
        };
        let place = AnnotationKind::Primary.span(inside(&diagnostic.place.span));
        let related = diagnostic.related.iter().map(|label| {
            AnnotationKind::Context
                .span(inside(&label.span))
                .label(&label.text)
        });
        let snippet = Snippet::source(shown)
            .path(&self.file_name)
            .line_start(first_line)
            .annotation(match diagnostic.place.text.as_str() {
                "" => place,
                text => place.label(text),
            })
            .annotations(related);
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
            Severity::Note => Level::NOTE,
        };
        let report = level.primary_title(&diagnostic.message).element(snippet);
        let report = match &diagnostic.remedy {
            Some(remedy) => report.element(Level::HELP.message(remedy)),
            None => report,
        };
        renderer.render(&[report])
    }

    fn lines_around(&self, diagnostic: &Diagnostic) -> Span {
        let places = || std::iter::once(&diagnostic.place).chain(&diagnostic.related);
        let start = places().map(|label| label.span.start).min().unwrap_or(0);
        let end = places().map(|label| label.span.end).max().unwrap_or(0);
        let start = self.text.get(..start).and_then(|text| text.rfind('\n'));
        let end_of_line = self.text.get(end..).and_then(|text| text.find('\n'));
        start.map_or(0, |newline| newline + 1)
            ..end_of_line.map_or(self.text.len(), |newline| end + newline)
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl fmt::Debug for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Diagnostics {}

fn line_starts(text: &str) -> impl Iterator<Item = usize> {
    let behind_newlines = text.match_indices('\n').map(|(newline, _)| newline + 1);
    std::iter::once(0).chain(behind_newlines)
}

/// Where reading and validation note what they find.
#[derive(Debug, Default)]
pub(crate) struct Log {
    found: RefCell<Found>,
}

/// What was found: the first ones, and how many there are.
#[derive(Debug, Default)]
struct Found {
    list: Vec<Diagnostic>,
    errors: usize,
    others: usize,
}

impl Found {
    fn add(&mut self, diagnostic: Diagnostic) {
        let number = match diagnostic.severity {
            Severity::Error => &mut self.errors,
            Severity::Warning | Severity::Note => &mut self.others,
        };
        if *number < KEPT {
            self.list.push(diagnostic);
        }
        *number += 1;
    }

    const fn number(&self) -> usize {
        self.errors + self.others
    }
}

impl Log {
    pub(crate) fn note(&self, diagnostic: Diagnostic) {
        self.found.borrow_mut().add(diagnostic);
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.found.borrow().errors > 0
    }

    pub(crate) fn into_diagnostics(self, file_name: &str, text: &str) -> Diagnostics {
        Diagnostics::new(file_name, text, self.found.into_inner())
    }
}

/// The one of `known` that `word` was probably meant to be, as a remedy; else what there is.
pub(crate) fn suggestion<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> String {
    let mut known: Vec<&str> = known.collect();
    known.sort_unstable();
    match nearest(word, &known) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None if known.is_empty() => "there is none yet: add it".into(),
        None if known.len() > 16 => "see that it is spelled as where it is described".into(),
        None => format!("choose one of: {}", known.join(", ")),
    }
}

/// The one of `known` that `word` was probably meant to be.
pub(crate) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let similar = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), *candidate))
        .filter(|(similarity, _)| *similarity > 0.8);
    similar
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
