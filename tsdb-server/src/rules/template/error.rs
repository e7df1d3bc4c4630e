//! What is wrong with a template, in the words of Go.

use gotmpl::TemplateError as ParserError;
use gotmpl::parse::Pos;

/// A template that cannot be parsed or expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TemplateError {
    /// The text is no template.
    #[error("error parsing template {name}: {message}")]
    Parse {
        /// Name of the template.
        name: String,
        /// Where and what.
        message: String,
    },
    /// The template does something that cannot be done.
    #[error("error executing template {name}: {message}")]
    Execute {
        /// Name of the template.
        name: String,
        /// Where and what.
        message: String,
    },
}

impl TemplateError {
    pub(super) fn parse(name: &str, message: String) -> Self {
        Self::Parse { name: name.to_owned(), message }
    }

    /// A fault at a place, said as Go says it: with the line alone.
    pub(super) fn at_line(name: &str, line: usize, message: &str) -> Self {
        Self::parse(name, format!("template: {name}:{line}: {message}"))
    }

    pub(super) fn of_parser(name: &str, error: &ParserError) -> Self {
        match error {
            ParserError::Parse { line, message, .. } | ParserError::Lex { line, message, .. } => {
                Self::at_line(name, (*line).max(1), message)
            }
            other => Self::parse(name, format!("template: {name}: {other}")),
        }
    }

    /// A fault of evaluating `context`, which stands at `pos` of `text`.
    pub(super) fn execute(name: &str, text: &str, pos: Pos, context: &str, message: &str) -> Self {
        let before = text.get(..pos.offset).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rfind('\n').map_or(before.len(), |feed| before.len() - feed - 1);
        let place = format!("template: {name}:{line}:{column}: executing {name:?} at <{context}>");
        Self::Execute { name: name.to_owned(), message: format!("{place}: {message}") }
    }
}
