//! Rules: recording rules and alerting rules, in groups.
//!
//! Pure inside: a [`Group`], the time and what its queries give make samples, alerts and a new state. A [`World`]
//! answers the queries. Threads and timers are in the [`Schedule`] alone, and nothing here knows HTTP or ingest.
//!
//! ```text
//! file      text of a rule file     -> groups, or every mistake in it with its place
//! rule      one rule                   checked: expression parsed, templates parsed, names valid
//! policy                               what no data and errors mean for a rule
//! alert     result + time + alerts  -> samples + alerts
//! running   rule + time + world     -> samples, alerts, why there is no data (absence), what was before (history)
//! group     time + world            -> samples of all rules in order, stale markers for series that went away
//! moves     groups + others         -> rules that stay, that go to another group, that are no more
//! delivery                             where alerts go: an [`AlertSink`] takes them to their receivers
//! template                             the texts of labels and annotations
//! restore   the series of rules     -> alerts that were active before a restart, and when that was
//! watermark                            how far the data of a tenant has come
//! pace      time + watermark        -> which evaluation is next, and whether it waits
//! trial                                what rules would do, now or over the past
//! entry                                a group in its turn: its state, what is told of it, its pace
//! schedule                             threads, and what is told of the groups; counts: numbers of it
//! ```
//!
//! What is decided here and nowhere else: an alert's state is known by the rule's name and the alert's labels, so it
//! survives reloads; a failing query changes no state unless the rule asks for it (its alerts stay as they are and its health
//! says why), and neither does an evaluation for which samples are still awaited; a series that a rule no longer gives gets
//! a stale marker at once.

mod absence;
mod alert;
mod check;
mod counts;
mod delivery;
mod entry;
#[cfg(test)]
mod faults;
mod file;
mod group;
mod history;
mod moves;
mod pace;
mod policy;
mod restore;
mod rule;
mod running;
mod schedule;
mod template;
#[cfg(test)]
mod tests;
mod trial;
#[cfg(feature = "rule-tests")]
mod unit;
mod watermark;
mod world;

pub(crate) use alert::{Alert, AlertState};
pub use check::{RuleCheckError, check_rules};
pub(crate) use counts::{Counts, LATENESS_BOUNDS};
pub(crate) use delivery::{AlertSink, NoSink};
pub(crate) use entry::{Defaults, Published};
pub(crate) use file::{RuleFault, parse_file};
#[cfg(test)]
use group::Pass;
#[cfg(test)]
use group::{Answer, Evaluation, RuleSample};
pub(crate) use group::{Group, GroupSettings, World};
pub(crate) use history::{Episode, RuleState};
pub(crate) use moves::Departed;
pub(crate) use policy::{NO_DATA as NO_DATA_POLICY, ON_ERROR as ON_ERROR_POLICY};
pub(crate) use rule::{Rule, RuleError, RuleKind, RuleText};
pub(crate) use running::{Health, Mode, Running};
pub(crate) use schedule::{Schedule, Surroundings};
#[cfg(feature = "alert-delivery")]
pub(crate) use template::{
    Sample as TemplateSample, Scope as TemplateScope, Template, TemplateError, Value as TemplateValue,
};
pub(crate) use trial::{Times, Trial, try_out};
#[cfg(feature = "rule-tests")]
pub use unit::{RuleTestError, test_rules};
pub(crate) use watermark::{Moment, Progress, Sent, SourceId, Standard, Watermarks};
pub(crate) use world::StoreWorld;
#[cfg(test)]
use world::vector;
