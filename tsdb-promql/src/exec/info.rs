//! `info`: labels of info metrics are added to other series.
//!
//! An info metric, like `target_info`, has the value 1 and says with its labels what it knows of the thing that
//! `instance` and `job` name. Each series gets the labels of the info series with the same `instance` and `job`
//! (both present or both absent), one of each info metric. Of several the one with the newest sample counts; two
//! equally new ones are an error, as are info metrics that disagree about a label. Labels that the series has
//! already stay as they are. With a selector of labels, only labels it names are added, and a series without any
//! info series has a result only if the selector accepts series without these labels. Series of info metrics that
//! the selector asks for are passed on unchanged. Info series are numbers: one that holds a histogram is an error.
//!
//! Source: the behaviour of the experimental function in Prometheus (`promql/info.go`). One thing is left undefined
//! there: among three samples of which the older two are equally new, whether they are an error depends on their
//! order. Here only the newest count.

use super::context::Context;
use super::grid::Grid;
use super::groups::{Chosen, Groups, Sight};
use super::operator::{ABSENT, Identity, Operator, Scratch, Stored, VectorOp, is_absent};
use super::points::{Histograms, Rows};
use super::select::{InstantOp, Reading};
use crate::failure::QueryError;
use crate::plan::{InfoNode, Selector};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use tsdb_core::read::Projection;
use tsdb_core::{Labels, LabelsBuilder, METRIC_NAME, MatchOp, Matcher};

/// The labels that say what an info series is about.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// A series of the result: a series of the base at some of the steps, under its labels of these steps.
struct Row {
    base: usize,
    steps: Vec<Range<usize>>,
}

/// Series under the labels of info series.
struct InfoOp<'c> {
    base: Stored<'c>,
    rows: Vec<Row>,
    identities: Vec<Identity>,
}

impl VectorOp for InfoOp<'_> {
    fn rows(&self) -> &[Identity] {
        &self.identities
    }

    fn eval(
        &self,
        row: usize,
        _scratch: &mut Scratch,
        out: &mut [f64],
        histograms: &mut Histograms,
    ) -> Result<(), QueryError> {
        out.fill(ABSENT);
        histograms.clear();
        let Some(row) = self.rows.get(row) else { return Ok(()) };
        let slots = self.base.row(row.base);
        for steps in &row.steps {
            if let (Some(to), Some(from)) = (out.get_mut(steps.clone()), slots.get(steps.clone())) {
                to.copy_from_slice(from);
            }
            for step in steps.clone() {
                if let Some(histogram) = self.base.histogram(row.base, step) {
                    histograms.set(step, out.len(), histogram.clone());
                }
            }
        }
        Ok(())
    }
    fn is_silent(&self) -> bool {
        true
    }
}

/// The series of `base` with the labels that `node` finds for them.
///
/// # Errors
/// Those of the rows and of storage; info series that contradict each other.
pub(super) fn info<'c>(
    context: &'c Context<'c>,
    node: &InfoNode,
    base: &dyn VectorOp,
    grid: Grid,
) -> Result<Operator<'c>, QueryError> {
    let base = context.store(base, grid.steps())?;
    let seen: Vec<_> = base.rows().iter().map(|identity| seen_identity(context, identity)).collect();
    let with_points = (0..seen.len()).filter(|row| points(&base, *row).next().is_some());
    let is_info = |row: &usize| {
        let name = seen.get(*row).map_or("", |identity| identity.labels.metric_name());
        node.names.iter().all(|matcher| matcher.matches(name))
    };
    let (passed, enriched): (Vec<_>, Vec<_>) = with_points.partition(is_info);
    let mut occupied = vec![false; grid.steps()];
    for step in passed.iter().chain(&enriched).flat_map(|row| points(&base, *row)) {
        if let Some(place) = occupied.get_mut(step) {
            *place = true;
        }
    }
    let whole = |row: &usize| Row { base: *row, steps: std::iter::once(0..grid.steps()).collect() };
    let mut rows: Vec<_> = passed.iter().map(whole).collect();
    let mut identities: Vec<_> = passed.iter().filter_map(|row| seen.get(*row).cloned()).collect();
    let mut sources = Sources::find(context, node, enriched.iter().filter_map(|row| seen.get(*row)), grid)?;
    let newest = sources.newest_of_families(&occupied)?;
    for base_row in enriched {
        let Some(identity) = seen.get(base_row) else { continue };
        let families = sources.families_of(identity);
        for (choice, steps) in choices(&families, &newest, points(&base, base_row)) {
            context.budget.check()?;
            if let Some(labels) = sources.labels(node, &identity.labels, &choice)? {
                rows.push(Row { base: base_row, steps });
                identities.push(Identity { labels, drop_name: identity.drop_name });
            }
        }
    }
    drop(sources);
    Ok(Box::new(InfoOp { base, rows, identities }))
}

/// The series as functions see it.
fn seen_identity(context: &Context<'_>, identity: &Identity) -> Identity {
    if identity.drop_name && !context.sees_dropped_names() {
        Identity::new(identity.shown().into_owned())
    } else {
        identity.clone()
    }
}

/// The steps at which the series number `row` has points.
fn points<'b>(base: &'b Stored<'_>, row: usize) -> impl Iterator<Item = usize> + 'b {
    let slots = base.row(row).iter().enumerate();
    slots
        .filter(move |(step, slot)| !is_absent(**slot) || base.histogram(row, *step).is_some())
        .map(|(step, _)| step)
}

/// An info series for each family of a subject, or none.
type Choice = Vec<Option<usize>>;

/// The different choices that are made at `steps`, each with the steps it is made at.
///
/// A run of steps may reach over steps without a point, which are not among `steps`: there is nothing at them.
fn choices(
    families: &[usize],
    newest: &[Choice],
    steps: impl Iterator<Item = usize>,
) -> Vec<(Choice, Vec<Range<usize>>)> {
    let mut found: Vec<(Choice, Vec<Range<usize>>)> = Vec::new();
    let mut numbers: HashMap<Choice, usize> = HashMap::new();
    let mut current = usize::MAX;
    for step in steps {
        let of_family = |family: &usize| newest.get(*family)?.get(step).copied().flatten();
        let chosen = || families.iter().map(of_family);
        let end = step.saturating_add(1);
        if let Some((choice, runs)) = found.get_mut(current)
            && choice.iter().copied().eq(chosen())
            && let Some(run) = runs.last_mut()
        {
            run.end = end;
            continue;
        }
        let choice: Choice = chosen().collect();
        current = *numbers.entry(choice).or_insert_with_key(|choice| {
            found.push((choice.clone(), Vec::new()));
            found.len().saturating_sub(1)
        });
        if let Some((_, runs)) = found.get_mut(current) {
            runs.push(step..end);
        }
    }
    found
}

/// The info series that may be of use.
///
/// What has the same identifying labels is a subject; the info series of a subject with the same metric name are a
/// family.
struct Sources<'c> {
    /// Times of the newest samples.
    times: Stored<'c>,
    /// The identifying labels.
    identifying: [String; 2],
    subjects: Groups,
    /// The families of each subject.
    of_subject: Vec<Vec<usize>>,
    /// The series of each family.
    families: Vec<Vec<usize>>,
}

impl<'c> Sources<'c> {
    /// Those for the series of `base`.
    fn find<'b>(
        context: &'c Context<'c>,
        node: &InfoNode,
        base: impl Iterator<Item = &'b Identity>,
        grid: Grid,
    ) -> Result<Self, QueryError> {
        let identifying = IDENTIFYING.map(str::to_owned);
        let mut wanted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for identity in base {
            for name in IDENTIFYING {
                if let Some(value) = identity.labels.get(name) {
                    wanted.entry(name).or_default().insert(value);
                }
            }
        }
        let mut sources = Self {
            times: times_of_info_series(context, node, &wanted, grid)?,
            identifying,
            subjects: Groups::default(),
            of_subject: Vec::new(),
            families: Vec::new(),
        };
        sources.sort_into_families(&wanted);
        Ok(sources)
    }

    fn sort_into_families(&mut self, wanted: &BTreeMap<&str, BTreeSet<&str>>) {
        let Self { times, identifying, subjects, of_subject, families } = self;
        let sight = Sight { chosen: Chosen::Only(identifying), dropped_names: true };
        for (row, identity) in times.rows().iter().enumerate() {
            let is_wanted = |(name, values): (&&str, &BTreeSet<&str>)| {
                identity.labels.get(name).is_some_and(|value| values.contains(value))
            };
            if !wanted.iter().all(is_wanted) {
                continue;
            }
            let subject = subjects.join(identity, sight);
            if subject == of_subject.len() {
                of_subject.push(Vec::new());
            }
            let Some(known) = of_subject.get_mut(subject) else { continue };
            let name_of = |row: usize| times.rows().get(row).map(|identity| identity.labels.metric_name());
            let founder = |family: &usize| name_of(*families.get(*family)?.first()?);
            let family = known.iter().copied().find(|family| founder(family) == name_of(row));
            match family.and_then(|family| families.get_mut(family)) {
                Some(family) => family.push(row),
                None => {
                    known.push(families.len());
                    families.push(vec![row]);
                }
            }
        }
    }

    /// The families of the subject of `identity`.
    fn families_of(&mut self, identity: &Identity) -> Vec<usize> {
        let sight = Sight { chosen: Chosen::Only(&self.identifying), dropped_names: true };
        let subject = self.subjects.join(identity, sight);
        self.of_subject.get(subject).cloned().unwrap_or_default()
    }

    /// For each family, the series with the newest sample at each step that is `occupied`.
    ///
    /// # Errors
    /// Two equally new series; the error of the first such step.
    fn newest_of_families(&self, occupied: &[bool]) -> Result<Vec<Choice>, QueryError> {
        let mut first_clash: Option<Clash> = None;
        let mut newest = Vec::with_capacity(self.families.len());
        for family in &self.families {
            let mut chosen: Choice = vec![None; occupied.len()];
            for (step, place) in
                chosen.iter_mut().enumerate().filter(|(step, _)| occupied.get(*step) == Some(&true))
            {
                let (found, clash) = self.newest_at(family, step);
                *place = found;
                if let Some(clash) = clash
                    && first_clash.as_ref().is_none_or(|first| clash.step < first.step)
                {
                    first_clash = Some(clash);
                }
            }
            newest.push(chosen);
        }
        first_clash.map_or(Ok(newest), |clash| Err(self.duplicate(&clash)))
    }

    fn newest_at(&self, family: &[usize], step: usize) -> (Option<usize>, Option<Clash>) {
        let mut newest: Option<(usize, f64)> = None;
        let mut clash = None;
        for row in family {
            let time = self.times.row(*row).get(step).copied().unwrap_or(ABSENT);
            if is_absent(time) || newest.is_some_and(|(_, other)| other > time) {
                continue;
            }
            clash = newest.filter(|(_, other)| *other == time).map(|(other, _)| Clash {
                step,
                time,
                rows: (other, *row),
            });
            newest = Some((*row, time));
        }
        (newest.map(|(row, _)| row), clash)
    }

    fn duplicate(&self, clash: &Clash) -> QueryError {
        let series = |row: usize| {
            self.times.rows().get(row).map_or(String::new(), |identity| identity.labels.to_string())
        };
        let (one, other) = (series(clash.rows.0), series(clash.rows.1));
        let time_ms = clash.time * 1000.0;
        QueryError::execution(format!(
            "found duplicate series for info metric: existing {one} @ {time_ms:.0}, new {other} @ {time_ms:.0}"
        ))
    }

    /// `labels` with those of the chosen info series; `None` if there is none and `node` asks for labels of one.
    ///
    /// # Errors
    /// Info series that disagree about a label.
    fn labels(
        &self,
        node: &InfoNode,
        labels: &Labels,
        choice: &Choice,
    ) -> Result<Option<Labels>, QueryError> {
        let chosen: Vec<_> = choice.iter().flatten().filter_map(|row| self.times.rows().get(*row)).collect();
        if chosen.is_empty() && !node.data.iter().all(Matcher::matches_empty) {
            return Ok(None);
        }
        let asked = |name: &str| node.data.is_empty() || node.data.iter().any(|data| data.name() == name);
        let mut added: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, value) in chosen.iter().flat_map(|identity| identity.labels.iter()) {
            if name == METRIC_NAME || !asked(name) || labels.get(name).is_some() {
                continue;
            }
            if added.insert(name, value).is_some_and(|other| other != value) {
                return Err(QueryError::execution(format!("conflicting label: {name}")));
            }
        }
        let mut builder = LabelsBuilder::from_labels(labels);
        for (name, value) in added {
            builder.set(name, value);
        }
        // Names of labels are unique here by construction, so this cannot fail.
        Ok(Some(builder.build().unwrap_or_else(|_| labels.clone())))
    }
}

/// Two equally new info series of one family.
struct Clash {
    step: usize,
    /// Of their samples, in seconds.
    time: f64,
    rows: (usize, usize),
}

/// The times of the newest samples of the info series with the `wanted` identifying labels.
fn times_of_info_series<'c>(
    context: &'c Context<'c>,
    node: &InfoNode,
    wanted: &BTreeMap<&str, BTreeSet<&str>>,
    grid: Grid,
) -> Result<Stored<'c>, QueryError> {
    if wanted.is_empty() {
        return Stored::new(context, Vec::new(), Rows::default(), grid.steps());
    }
    let mut matchers = Vec::new();
    for (name, values) in wanted {
        matchers.push(one_of(name, values)?);
    }
    matchers.extend(node.data.iter().chain(&node.names).cloned());
    let InfoNode { at, offset_ms, span, .. } = *node;
    let projection = Projection::All;
    let windows = context.takes_windows();
    let selector =
        Selector { matchers, at, offset_ms, projection, extension: None, totals_only: false, windows, span };
    let operator = InstantOp::new(context, &selector, grid, Reading::TimeOfNumber)?;
    context.store(&operator, grid.steps())
}

/// The condition that the label `name` has one of `values`, or any value if they are too many for a pattern: the
/// series that are found are looked at again.
fn one_of(name: &str, values: &BTreeSet<&str>) -> Result<Matcher, QueryError> {
    let matcher = if values.len() == 1 {
        Matcher::new(MatchOp::Equal, name, values.first().copied().unwrap_or(""))
    } else {
        let pattern = values.iter().map(|value| escaped(value)).collect::<Vec<_>>().join("|");
        Matcher::new(MatchOp::Regex, name, pattern).or_else(|_| Matcher::new(MatchOp::NotEqual, name, ""))
    };
    matcher.map_err(|error| QueryError::execution(error.to_string()))
}

/// A pattern that matches `text` alone.
fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}
