//! Range selectors and subqueries as sources of samples, and functions over their windows.

use super::super::absent::Presence;
use super::super::build::build_vector;
use super::super::context::Context;
use super::super::grid::{Grid, View};
use super::super::operator::{ABSENT, Identity, Operator, Scratch, Stored, VectorOp, is_absent, is_metadata};
use super::super::points::{Histogram, Histograms, Rows, slots_of};
use super::super::scalar::{Steps, eval_scalar};
use super::extended::Extension;
use super::kernel::{KernelInput, apply, check_smoothing};
use super::mixed::{MixedRange, split, with_histograms};
use super::patience::Patience;
use super::request::window_hints;
use super::started::{StartedInput, knows_starts};
use super::totals::reduce_to_totals;
use super::weights::Weights;
use super::window::find_windows;
use crate::annotation::{Annotation, StartTimeOverlap};
use crate::failure::QueryError;
use crate::plan::{RangeCall, RangeFn, RangeNode, Selector, SubqueryNode, Window};
use crate::span::Span;
use std::sync::{Arc, OnceLock};
use tsdb_core::histogram::ResetHint;
use tsdb_core::read::{Projection, SampleColumns, SelectHints, SeriesSet};
use tsdb_core::{Labels, METRIC_NAME, MatchOp, Timestamp};

/// Series of storage with their identities.
pub(in super::super) struct Source {
    /// The series.
    set: Arc<dyn SeriesSet>,
    /// What is selected, as an explained plan says it.
    name: String,
    /// Are windows taken for samples, and counted?
    weighted: bool,
    /// If nobody looks at buckets: from when on samples were asked for, ms.
    totals_from: Option<Timestamp>,
    /// One for each series, in the same order.
    pub(super) identities: Vec<Identity>,
    /// Are their labels different even without metric names?
    pub(super) unique_without_name: bool,
}

impl Source {
    /// Adds the samples of the series number `row` to `samples`, which is empty.
    ///
    /// # Errors
    /// Those of storage.
    pub(super) fn read(
        &self,
        context: &Context<'_>,
        row: usize,
        samples: &mut SampleColumns,
    ) -> Result<(), QueryError> {
        self.set.read(row, samples)?;
        context.budget.note_read(samples.len());
        if let Some(from) = self.totals_from {
            reduce_to_totals(samples, from);
        }
        Ok(())
    }

    /// `result`, with the name of the selection if the account is full.
    pub(super) fn named<T>(&self, result: Result<T, QueryError>) -> Result<T, QueryError> {
        result.map_err(|error| error.asked_by(|| self.name.clone()))
    }

    /// As [`read`](Self::read), and the weights of the samples.
    fn read_weighted(
        &self,
        context: &Context<'_>,
        row: usize,
        samples: &mut SampleColumns,
        weights: &mut Weights,
    ) -> Result<(), QueryError> {
        self.set.read_weighted(row, samples, &mut weights.each)?;
        weights.settle(samples);
        context.budget.note_read(samples.len());
        if let Some(from) = self.totals_from {
            reduce_to_totals(samples, from);
        }
        Ok(())
    }

    /// Marks all names as dropped.
    pub(super) fn drop_names(&mut self) {
        self.identities.iter_mut().for_each(|identity| identity.drop_name = true);
    }
}

/// Selects series as `hints` say.
pub(super) fn select(
    context: &Context<'_>,
    selector: &Selector,
    mut hints: SelectHints,
) -> Result<Source, QueryError> {
    let mut source = select_labels(context, selector, &hints)?;
    if hints.projection != Projection::All && !source.unique_without_name {
        // The labels that were left out may be what tells series apart.
        hints.projection = Projection::All;
        source = select_labels(context, selector, &hints)?;
    }
    context.budget.note_series(source.set.len());
    context.note_selection(Arc::clone(&source.set), selector.span);
    Ok(source)
}

fn select_labels(
    context: &Context<'_>,
    selector: &Selector,
    hints: &SelectHints,
) -> Result<Source, QueryError> {
    context.budget.check()?;
    let set = match context.selected.find(selector, hints) {
        Some(set) => set,
        None => context.querier.select(&selector.matchers, hints)?.into(),
    };
    let identities: Vec<_> = (0..set.len()).map(|index| Identity::new(set.labels(index))).collect();
    // With one metric name, labels that differ still differ without it.
    let one_name = selector.matchers.iter().any(|m| m.name() == METRIC_NAME && m.op() == MatchOp::Equal);
    let only_name =
        |labels: &Labels| labels.iter().all(|(name, _)| name == METRIC_NAME || !is_metadata(name));
    let unique_without_name = one_name && identities.iter().all(|identity| only_name(&identity.labels));
    let totals_from = selector.totals_only.then_some(hints.range.start());
    let name = format!("select {}", selector.line());
    let weighted = hints.function.is_some_and(looks_at_weights) && set.resolution_ms().is_some();
    Ok(Source { set, name, weighted, totals_from, identities, unique_without_name })
}

/// Does the function of this name need to know for how many samples each stands?
fn looks_at_weights(function: &str) -> bool {
    matches!(function, "rate" | "increase" | "delta" | "count_over_time" | "avg_over_time")
}

/// Where the samples of windows come from.
pub(in super::super) enum RangeSource<'c> {
    /// Storage.
    Series(Source),
    /// Points of an expression at steps of its own; `None` if there are no such steps.
    Subquery(Option<(Operator<'c>, Grid)>),
}

impl<'c> RangeSource<'c> {
    /// The source of `range` for windows seen from `grid`.
    ///
    /// # Errors
    /// Those of storage and of the expression.
    pub(in super::super) fn new(
        context: &'c Context<'c>,
        range: &'c RangeNode,
        grid: Grid,
        function: Option<&'static str>,
    ) -> Result<Self, QueryError> {
        match range {
            RangeNode::Select { selector, window } => {
                let hints = window_hints(selector, window, grid, context.lookback_ms, function);
                let source = select(context, selector, hints)?;
                Ok(Self::Series(source))
            }
            RangeNode::Subquery(node) => {
                let Some(inner) = subquery_grid(node, grid, context.budget.limit())? else {
                    return Ok(Self::Subquery(None));
                };
                Ok(Self::Subquery(Some((build_vector(context, &node.vector, inner)?, inner))))
            }
        }
    }

    /// The series.
    pub(in super::super) fn rows(&self) -> &[Identity] {
        match self {
            Self::Series(source) => &source.identities,
            Self::Subquery(Some((operator, _))) => operator.rows(),
            Self::Subquery(None) => &[],
        }
    }

    /// See [`VectorOp::is_silent`].
    fn is_silent(&self) -> bool {
        match self {
            Self::Subquery(Some((operator, _))) => operator.is_silent(),
            Self::Series(_) | Self::Subquery(None) => true,
        }
    }

    fn unique_without_name(&self) -> bool {
        match self {
            Self::Series(source) => source.unique_without_name,
            Self::Subquery(Some((operator, _))) => operator.unique_without_name(),
            Self::Subquery(None) => true,
        }
    }

    /// Replaces `samples` by those of the series number `row`, stale markers left out.
    ///
    /// # Errors
    /// Those of storage and of the expression.
    pub(in super::super) fn read(
        &self,
        context: &Context<'_>,
        row: usize,
        scratch: &mut Scratch,
        samples: &mut SampleColumns,
    ) -> Result<(), QueryError> {
        samples.clear();
        scratch.weights.clear();
        match self {
            Self::Series(source) => {
                if source.weighted {
                    source.read_weighted(context, row, samples, &mut scratch.weights)?;
                } else {
                    source.read(context, row, samples)?;
                }
                drop_stale_markers(samples);
            }
            Self::Subquery(None) => {}
            Self::Subquery(Some((operator, grid))) => {
                // The points themselves, and the times and values that they become.
                let held = context.budget.hold(grid.steps().saturating_mul(3));
                let _held = held.map_err(|error| error.asked_by(|| "subquery".into()))?;
                let (mut points, mut histograms) = (scratch.take_row(grid.steps()), Histograms::new());
                let result = operator.eval(row, scratch, &mut points, &mut histograms);
                for (step, (time, point)) in grid.times().zip(&points).enumerate() {
                    if let Some(histogram) = histograms.take(step) {
                        samples.push_histogram(time, without_hint(histogram));
                    } else if !is_absent(*point) {
                        samples.push(time, *point);
                    }
                }
                scratch.give_row(points);
                result?;
            }
        }
        Ok(())
    }
}

/// The steps of a subquery: multiples of its own step, so that they do not move with the query.
///
/// # Errors
/// More than `limit` steps.
pub(in super::super) fn subquery_grid(
    node: &SubqueryNode,
    outer: Grid,
    limit: u64,
) -> Result<Option<Grid>, QueryError> {
    let view = View::of_window(outer, &node.window);
    let before = view.time(0).saturating_sub(node.window.range_ms);
    let end = view.time(outer.steps().saturating_sub(1));
    let aligned = before.div_euclid(node.step_ms).saturating_mul(node.step_ms);
    let start = aligned.saturating_add(node.step_ms);
    let grid = Grid::range(start, end, node.step_ms, limit);
    grid.map_err(|error| error.asked_by(|| node.line()))
}

/// What a histogram says of a reset is meant for the one stored before it, which the steps may have passed over.
fn without_hint(mut histogram: Histogram) -> Histogram {
    if matches!(histogram.reset_hint(), ResetHint::Reset | ResetHint::NotReset) {
        Arc::make_mut(&mut histogram).set_reset_hint(ResetHint::Unknown);
    }
    histogram
}

/// Removes the stale markers.
pub(super) fn drop_stale_markers(samples: &mut SampleColumns) {
    // Mostly there are none, and without an early end the loop looks at several at once.
    if !samples.values.iter().fold(false, |any, value| any | is_absent(*value)) {
        return;
    }
    if !samples.histograms.is_empty() || !samples.starts.is_empty() {
        let all = std::mem::take(samples);
        for (index, (time, value)) in all.timestamps.iter().zip(&all.values).enumerate() {
            match all.histogram(index) {
                Some(histogram) if histogram.is_stale() => continue,
                Some(histogram) => samples.push_histogram(*time, Arc::clone(histogram)),
                None if is_absent(*value) => continue,
                None => samples.push(*time, *value),
            }
            samples.set_start(all.start(index));
        }
        return;
    }
    let SampleColumns { timestamps, values, .. } = samples;
    let mut kept = values.iter();
    timestamps.retain(|_| kept.next().is_some_and(|value| !is_absent(*value)));
    values.retain(|value| !is_absent(*value));
}

/// A function over the windows of each series.
pub(in super::super) struct OverRangeOp<'c> {
    context: &'c Context<'c>,
    source: RangeSource<'c>,
    identities: Vec<Identity>,
    grid: Grid,
    window: Window,
    extension: Option<Extension>,
    function: RangeFn,
    params: Vec<Steps>,
    first_arg: Span,
    first_suspect: OnceLock<String>,
}

impl<'c> OverRangeOp<'c> {
    /// Prepares the source and the parameters.
    ///
    /// # Errors
    /// Those of storage and of the expressions.
    pub(in super::super) fn new(
        context: &'c Context<'c>,
        call: &'c RangeCall,
        grid: Grid,
    ) -> Result<Self, QueryError> {
        let params: Result<Vec<_>, _> =
            call.params.iter().map(|param| eval_scalar(context, param, grid)).collect();
        let params = params?;
        let source = RangeSource::new(context, &call.range, grid, Some(call.function.hint()))?;
        let mut identities = source.rows().to_vec();
        if !call.function.keeps_name() {
            identities.iter_mut().for_each(|identity| identity.drop_name = true);
        }
        let operator = Self {
            context,
            source,
            identities,
            grid,
            window: call.range.window(),
            extension: Extension::of(context, &call.range),
            function: call.function,
            params,
            first_arg: call.first_arg,
            first_suspect: OnceLock::new(),
        };
        if call.function == RangeFn::Smooth {
            operator.refuse_bad_factors()?;
        }
        Ok(operator)
    }

    /// A bad factor is an error wherever there is something to smooth, whoever needs the result. So all series are
    /// looked at, if there is a bad factor at all.
    fn refuse_bad_factors(&self) -> Result<(), QueryError> {
        let everywhere = vec![(0, 1); self.grid.steps()];
        if check_smoothing(&self.params, &everywhere).is_ok() {
            return Ok(());
        }
        let view = View::of_window(self.grid, &self.window);
        let checked = self.context.parallel(self.source.rows().len(), self.grid.steps(), |row, scratch| {
            let mut samples = scratch.take_columns();
            let result = self.source.read(self.context, row, scratch, &mut samples);
            let mut windows = Vec::new();
            find_windows(&samples.timestamps, view, self.window.range_ms, &mut windows);
            scratch.give_columns(samples);
            result.and_then(|()| check_smoothing(&self.params, &windows))
        });
        checked.map(drop)
    }

    /// Computes a row, whatever its samples are.
    fn compute(
        &self,
        row: usize,
        samples: &SampleColumns,
        scratch: &mut Scratch,
        out: &mut [f64],
        histograms: &mut Histograms,
    ) -> Result<(), QueryError> {
        histograms.clear();
        if samples.histograms.is_empty() {
            return self.compute_numbers(row, samples, scratch, out);
        }
        let (numbers, column) = split(samples, &scratch.weights.each);
        scratch.weights = Weights::of(column.weights_of_numbers.clone());
        let _held = self.context.budget.hold(column.histograms.iter().map(|h| slots_of(h)).sum())?;
        self.compute_numbers(row, &numbers, scratch, out)?;
        let view = View::of_window(self.grid, &self.window);
        let (mut number_windows, mut windows) = (Vec::new(), Vec::new());
        let found = [(&numbers.timestamps, &mut number_windows), (&column.timestamps, &mut windows)];
        for (timestamps, windows) in found {
            match self.extension {
                Some(extension) => extension.find_windows(timestamps, view, self.window.range_ms, windows),
                None => find_windows(timestamps, view, self.window.range_ms, windows),
            }
        }
        let range = MixedRange {
            context: self.context,
            function: self.function,
            view,
            range_ms: self.window.range_ms,
            extension: self.extension,
            metric: self.seen_metric(row),
            span: self.first_arg,
        };
        with_histograms(&range, (&numbers, &number_windows), (&column, &windows), out, histograms);
        Ok(())
    }

    /// The metric name of a row as the function sees it.
    fn seen_metric(&self, row: usize) -> &str {
        let Some(source) = self.source.rows().get(row) else { return "" };
        let hidden = source.drop_name && !self.context.sees_dropped_names();
        if hidden { "" } else { source.labels.metric_name() }
    }

    fn compute_numbers(
        &self,
        row: usize,
        samples: &SampleColumns,
        scratch: &mut Scratch,
        out: &mut [f64],
    ) -> Result<(), QueryError> {
        let _held = self.context.budget.hold(samples.len())?;
        if samples.is_empty() {
            out.fill(ABSENT);
            return Ok(());
        }
        let view = View::of_window(self.grid, &self.window);
        let Scratch { last_windows, windows, .. } = &mut *scratch;
        last_windows.find(&samples.timestamps, view, self.window.range_ms, windows);
        if self.function == RangeFn::Quantile {
            self.warn_of_bad_quantiles(&scratch.windows);
        }
        let weights = std::mem::take(&mut scratch.weights);
        let input = KernelInput {
            timestamps: &samples.timestamps,
            values: &samples.values,
            view,
            step_time: &|step| self.grid.time(step),
            range_ms: self.window.range_ms,
            params: &self.params,
            weights: &weights,
            patience: &Patience::of(&self.context.budget),
        };
        if !samples.starts.is_empty() {
            if let Some(extension) = self.extension {
                extension.anchor_windows(&input, &mut scratch.windows);
            }
            let started = StartedInput { input: &input, starts: &samples.starts };
            let overlapping = started.apply(self.function, scratch, out);
            self.warn_of_overlaps(row, overlapping);
            return Ok(());
        }
        let applied = match self.extension {
            Some(extension) => extension.apply(self.function, &input, scratch, out),
            None => apply(self.function, &input, scratch, out),
        };
        scratch.weights = weights;
        applied?;
        // Kernels that were told to stop have given back anything at all.
        self.context.budget.check()
    }

    /// Is anything to be made of start timestamps? Rates of extended windows do not look at them.
    fn reads_starts(&self) -> bool {
        self.context.options.use_start_timestamps
            && knows_starts(self.function)
            && (self.extension.is_none() || self.function == RangeFn::Resets)
    }

    fn warn_of_overlaps(&self, row: usize, count: u64) {
        if count > 0 {
            let found = StartTimeOverlap { metric: self.seen_metric(row).to_owned(), count };
            self.context.annotate(Annotation::StartTimeOverlap(found), self.first_arg);
        }
    }

    fn warn_of_bad_quantiles(&self, windows: &[(usize, usize)]) {
        let Some(quantiles) = self.params.first() else { return };
        let filled = windows.iter().enumerate().filter(|(_, (start, end))| start < end);
        for quantile in filled.map(|(step, _)| quantiles.at(step)) {
            if !(0.0..=1.0).contains(&quantile) {
                self.context.annotate(Annotation::InvalidQuantile { quantile }, self.first_arg);
                if quantiles.is_constant() {
                    break;
                }
            }
        }
    }

    /// Rates are for counters, and counters are told by their names.
    fn note_suspect_name(&self, row: usize, out: &[f64]) {
        let metric = self.seen_metric(row);
        if !is_suspect(metric) || out.iter().all(|slot| is_absent(*slot)) {
            return;
        }
        // Mostly all series have the same name: it is noted once, not once for each.
        let mut new = false;
        let first = self.first_suspect.get_or_init(|| {
            new = true;
            metric.to_owned()
        });
        if new || first != metric {
            let annotation = Annotation::PossibleNonCounter { metric: metric.to_owned() };
            self.context.annotate(annotation, self.first_arg);
        }
    }
}

impl VectorOp for OverRangeOp<'_> {
    fn rows(&self) -> &[Identity] {
        &self.identities
    }

    fn eval(
        &self,
        row: usize,
        scratch: &mut Scratch,
        out: &mut [f64],
        histograms: &mut Histograms,
    ) -> Result<(), QueryError> {
        let mut samples = scratch.take_columns();
        let result = self.source.read(self.context, row, scratch, &mut samples).and_then(|()| {
            if !self.reads_starts() {
                samples.starts.clear();
            }
            self.compute(row, &samples, scratch, out, histograms)
        });
        scratch.give_columns(samples);
        result.map_err(|error| error.asked_by(|| self.function.hint().to_owned()))?;
        if matches!(self.function, RangeFn::Rate | RangeFn::Increase) {
            self.note_suspect_name(row, out);
        }
        Ok(())
    }

    fn unique_without_name(&self) -> bool {
        self.source.unique_without_name()
    }
    fn is_silent(&self) -> bool {
        let histograms = self.context.may_hold_histograms;
        let by_samples = match self.function {
            // Its factors may be refused.
            RangeFn::Smooth => false,
            RangeFn::Quantile => !histograms && self.params.first().is_some_and(Steps::are_quantiles),
            // Rates of what is not named as a counter are remarked upon.
            RangeFn::Rate | RangeFn::Increase => {
                !histograms && (0..self.identities.len()).all(|row| !is_suspect(self.seen_metric(row)))
            }
            function => !histograms || function.is_silent_about_histograms(),
        };
        let extended = histograms && self.extension.is_some();
        by_samples && !extended && !self.reads_starts() && self.source.is_silent()
    }
}

/// Does the name of the metric not look like that of a counter?
fn is_suspect(metric: &str) -> bool {
    !metric.is_empty() && !["_total", "_sum", "_count", "_bucket"].iter().any(|end| metric.ends_with(end))
}

/// `absent_over_time`: 1 at the steps at which no window holds a sample.
///
/// # Errors
/// Those of storage and of the expression.
pub(in super::super) fn absent_over_time<'c>(
    context: &'c Context<'c>,
    range: &'c RangeNode,
    labels: &Labels,
    grid: Grid,
) -> Result<Operator<'c>, QueryError> {
    let source = RangeSource::new(context, range, grid, Some("absent_over_time"))?;
    let window = range.window();
    let view = View::of_window(grid, &window);
    let present = Presence::new(grid.steps());
    context.parallel(source.rows().len(), grid.steps(), |row, scratch| {
        let mut samples = scratch.take_columns();
        let result = source.read(context, row, scratch, &mut samples);
        find_windows(&samples.timestamps, view, window.range_ms, &mut scratch.windows);
        scratch.give_columns(samples);
        present.note_where(scratch.windows.iter().map(|(start, end)| start < end));
        result
    })?;
    let slots = present.ones_elsewhere();
    let identity = Identity { labels: labels.clone(), drop_name: true };
    Ok(Box::new(Stored::new(context, vec![identity], Rows::of_numbers(slots), grid.steps())?))
}
