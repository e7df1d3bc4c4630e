//! Rules: recording rules and alerting rules, in groups.
//!
//! Pure inside: a [`Group`], the time and what its queries give make samples, alerts and a new state. A [`World`]
//! answers the queries. Threads and timers are in the [`Schedule`] alone, and nothing here knows HTTP or ingest.
//!
//! ```text
//! file    text of a rule file     -> groups, or every mistake in it with its place
//! rule    one rule                   checked: expression parsed, templates parsed, names valid
//! alert   result + time + alerts  -> samples + alerts
//! group   time + world            -> samples of all rules in order, stale markers for series that went away
//! template                           the texts of labels and annotations
//! restore the series of alerts    -> alerts that were active before a restart
//! schedule                           which group is due when, and what is told of it
//! ```
//!
//! What is decided here and nowhere else: an alert's state is known by the rule's name and the alert's labels, so it
//! survives reloads; a failing query changes no state (the alerts of a rule stay as they are and its health says why);
//! a series that a rule no longer gives gets a stale marker at once.

mod alert;
mod check;
mod file;
mod group;
mod restore;
mod rule;
mod schedule;
mod template;
#[cfg(test)]
mod tests;
#[cfg(feature = "rule-tests")]
mod unit;
mod world;

pub(crate) use alert::{Alert, AlertState};
pub use check::{RuleCheckError, check_rules};
pub(crate) use file::{RuleFault, parse_file};
#[cfg(test)]
use group::{Evaluation, RuleSample};
pub(crate) use group::{Group, Health, Running, World};
pub(crate) use rule::RuleKind;
pub(crate) use schedule::{Counts, Defaults, Published, Schedule, Surroundings};
#[cfg(feature = "alert-delivery")]
pub(crate) use template::{
    Sample as TemplateSample, Scope as TemplateScope, Template, TemplateError, Value as TemplateValue,
};
#[cfg(feature = "rule-tests")]
pub use unit::{RuleTestError, test_rules};
pub(crate) use world::StoreWorld;
#[cfg(test)]
use world::vector;
