//! Templates in labels and annotations of alerts, as Prometheus expands them.
//!
//! The language is Go's `text/template`: parsed by a library, evaluated here, because what matters is in the values: a
//! label that is not there is the empty string, samples have fields, times and durations have methods, and numbers are
//! printed as Go prints them. The [functions](function) are those of Prometheus.
//!
//! A template comes from a user and runs for every alert at every evaluation, so its work is on an account: steps,
//! length of the output and nesting are bounded, and an exhausted account is an error like any other. Nothing here can
//! panic or reach outside the [`Scope`] that the caller gives.
//!
//! Left out: HTML templates and Prometheus' console functions for them; functions as values (`call`); complex numbers.

mod budget;
mod builtin;
mod check;
mod error;
mod execute;
mod field;
mod function;
mod number;
mod print;
mod time;
mod value;
mod verb;
mod write;

pub(crate) use error::TemplateError;
pub(crate) use value::{AlertData, Sample, Value};

use budget::Budget;
use execute::Execution;
use gotmpl::parse::{ListNode, Parser};
use std::collections::BTreeMap;
use tsdb_core::Timestamp;

/// What a template may ask of the world.
pub(crate) trait Scope {
    /// The vector that `query` gives at the time of the evaluation, or a sentence why there is none.
    fn query(&self, query: &str) -> Result<Vec<Sample>, String>;

    /// The time of the evaluation, ms.
    fn now(&self) -> Timestamp;

    /// Where people reach this server, without a slash at the end.
    fn external_url(&self) -> &str;
}

/// A parsed template.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    name: String,
    text: String,
    body: ListNode,
    defined: BTreeMap<String, ListNode>,
}

/// The longest template, in bytes.
const MAX_LENGTH: usize = 64 * 1024;

impl Template {
    /// Parses `text`. Errors name the template `name`.
    ///
    /// # Errors
    /// A text that is no template or uses a function that does not exist.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, TemplateError> {
        let fault = |message: String| TemplateError::parse(name, message);
        if text.len() > MAX_LENGTH {
            return Err(fault(format!("the template has {} bytes, more than {MAX_LENGTH}", text.len())));
        }
        let parsed = Parser::new(text, "{{", "}}").and_then(Parser::parse);
        let (body, defines) = parsed.map_err(|error| TemplateError::of_parser(name, &error))?;
        let defined = defines.into_iter().map(|define| (define.name.to_string(), define.body));
        let template =
            Self { name: name.to_owned(), text: text.to_owned(), body, defined: defined.collect() };
        check::check(&template)?;
        Ok(template)
    }

    /// The text that the template gives for `data`.
    ///
    /// # Errors
    /// What the template does wrong with this data, or that it does too much.
    pub(crate) fn expand(&self, data: &Value, scope: &dyn Scope) -> Result<String, TemplateError> {
        Execution::new(self, scope, Budget::default()).run(data)
    }
}

#[cfg(test)]
mod tests;
