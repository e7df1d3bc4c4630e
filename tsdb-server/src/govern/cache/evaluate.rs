//! From what is known of a query and what is not to its result.

use super::cell::{CELL_STEPS, Cell, Steps, cut, joined};
use super::{Asked, CellKey, QueryKey, ResultCache, Validity};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use tsdb::ChangeMark;
use tsdb_core::TimeRange;
use tsdb_promql::ast::Expr;
use tsdb_promql::{Annotation, Annotations, QueryError, QueryResult, QueryStats, Reach, SeriesPoints, Value};

/// A query whose results can be kept.
struct Kept {
    key: Arc<QueryKey>,
    steps: Steps,
    reach: Reach,
    mark: ChangeMark,
}

/// Steps of a cell that still hold.
struct Piece {
    cell: Arc<Cell>,
    known: Steps,
}

/// Less than one of so many steps is not worth two evaluations instead of one.
const WORTH_TWO: i64 = 8;

impl ResultCache {
    /// The result of a range query, and how long it holds, if that is known.
    ///
    /// # Errors
    /// Those of the engine.
    pub(crate) fn query(&self, asked: &Asked<'_>) -> Result<(QueryResult, Option<Validity>), QueryError> {
        let expr = tsdb_promql::parse(asked.text, &asked.engine.options().parse)?;
        let Some(kept) = self.kept(asked, &expr) else {
            return Ok((asked.engine.evaluate(asked.store, &expr, asked.params)?, None));
        };
        let pieces = self.pieces(asked, &kept);
        let run = longest_run(&pieces, kept.steps);
        self.count(kept.steps, run);
        let (result, computed) = answer(asked, &expr, &kept, &pieces, run)?;
        if result.annotations.iter().any(|(annotation, _)| is_about_storage(annotation)) {
            return Ok((result, None));
        }
        if let Value::Matrix(series) = &result.value
            && !computed.is_empty()
            && result.annotations.iter().all(|(annotation, _)| is_about_names(annotation))
        {
            self.keep(asked, &kept, &pieces, &computed, series, &result.annotations);
        }
        Ok((result, kept.validity()))
    }

    /// What there is to know before anything is read; `None` if nothing of the query can be kept.
    fn kept(&self, asked: &Asked<'_>, expr: &Expr) -> Option<Kept> {
        let params = asked.params;
        // ORDER: the mark is older than everything that is read for the answer.
        let mark = asked.store.change_mark()?;
        let reach = asked.engine.reach(expr, params).filter(|reach| reach.reads_data)?;
        let steps = Steps::of(params.start, params.end, params.step_ms)?;
        let options = asked.engine.options();
        let range_ms = params.end.abs_diff(params.start);
        let is_allowed = options.max_range_ms.is_none_or(|allowed| range_ms <= allowed)
            && steps.len().unsigned_abs().saturating_sub(1) <= options.max_points;
        // The engine refuses what is not allowed, and so does it what is computed as a whole.
        is_allowed.then(|| {
            let key = QueryKey {
                tenant: asked.tenant.clone(),
                text: expr.to_string(),
                step_ms: steps.step_ms,
                offset_ms: steps.offset_ms,
                lookback_ms: params.lookback_ms,
            };
            Kept { key: Arc::new(key), steps, reach, mark }
        })
    }

    /// What still holds of the cells in which the query has steps, in order of time.
    fn pieces(&self, asked: &Asked<'_>, kept: &Kept) -> Vec<Piece> {
        let latest = kept.steps.number_at(asked.settled_until);
        let piece = |number| {
            let cell = self.cells.get(&CellKey { query: Arc::clone(&kept.key), number })?;
            let changed = asked.store.changed_since(cell.mark);
            let known = cell.still_known(changed, kept.reach)?.within(i64::MIN, latest)?;
            let is_readable = cell.annotations.is_empty() || *cell.text == *asked.text;
            is_readable.then_some(Piece { cell, known })
        };
        cells_of(kept.steps).filter_map(piece).collect()
    }

    /// Keeps the results of the cells in which something was computed.
    fn keep(
        &self,
        asked: &Asked<'_>,
        kept: &Kept,
        pieces: &[Piece],
        computed: &[Steps],
        series: &[SeriesPoints],
        annotations: &Annotations,
    ) {
        let text: Arc<str> = asked.text.into();
        let Some(steps) = kept.steps.within(i64::MIN, kept.steps.number_at(asked.settled_until)) else {
            return;
        };
        for number in cells_of(steps) {
            let Some(of_cell) = steps.within(first_of(number), last_of(number)) else { continue };
            if !computed.iter().any(|part| part.within(of_cell.first, of_cell.last).is_some()) {
                continue;
            }
            let (mut known, mut series) = (of_cell, cut(series, of_cell));
            let mut annotations = annotations.clone();
            if let Some(before) = pieces.iter().find(|piece| number == cell_of(piece.known.first))
                && before.known.first <= known.last.saturating_add(1)
                && before.known.last.saturating_add(1) >= known.first
            {
                series = around(before, known, series);
                known.first = known.first.min(before.known.first);
                known.last = known.last.max(before.known.last);
                annotations.merge(before.cell.annotations.clone());
            }
            let cell = Cell { known, mark: kept.mark, series, annotations, text: Arc::clone(&text) };
            self.cells.insert(CellKey { query: Arc::clone(&kept.key), number }, Arc::new(cell));
        }
    }

    fn count(&self, steps: Steps, run: Option<Steps>) {
        let known = run.map_or(0, |run| run.len()).unsigned_abs();
        let all = steps.len().unsigned_abs();
        let counts = &self.counts;
        let kind = match known {
            0 => &counts.missed,
            known if known == all => &counts.whole,
            _ => &counts.partly,
        };
        kind.fetch_add(1, Ordering::Relaxed);
        counts.steps_kept.fetch_add(known, Ordering::Relaxed);
        counts.steps_computed.fetch_add(all.saturating_sub(known), Ordering::Relaxed);
    }
}

impl Kept {
    fn validity(&self) -> Option<Validity> {
        let first = self.steps.time(self.steps.first).saturating_sub(self.reach.before_ms);
        let last = self.steps.time(self.steps.last).saturating_add(self.reach.after_ms);
        TimeRange::new(first, last).map(|touched| Validity { mark: self.mark, touched })
    }
}

/// The result, of which `run` is known, and the steps that were computed for it.
fn answer(
    asked: &Asked<'_>,
    expr: &Expr,
    kept: &Kept,
    pieces: &[Piece],
    run: Option<Steps>,
) -> Result<(QueryResult, Vec<Steps>), QueryError> {
    let steps = kept.steps;
    let Some(run) = run else {
        return Ok((asked.engine.evaluate(asked.store, expr, asked.params)?, vec![steps]));
    };
    let (mut all, mut annotations, mut stats) = (Vec::new(), Annotations::new(), QueryStats::default());
    let (started, mut computed) = (Instant::now(), Vec::new());
    let mut compute = |part: Option<Steps>, annotations: &mut Annotations| {
        let Some(part) = part else { return Ok::<_, QueryError>(Vec::new()) };
        computed.push(part);
        let result = evaluate_part(asked, expr, part, started)?;
        annotations.merge(result.annotations);
        add(&mut stats, &result.stats);
        Ok(match result.value {
            Value::Matrix(series) => series,
            _ => Vec::new(),
        })
    };
    all = joined(all, compute(steps.within(i64::MIN, run.first.saturating_sub(1)), &mut annotations)?);
    for piece in pieces {
        if let Some(part) = piece.known.within(run.first, run.last) {
            let series = cut(&piece.cell.series, part);
            if !series.is_empty() {
                annotations.merge(piece.cell.annotations.clone());
            }
            all = joined(all, series);
        }
    }
    all = joined(all, compute(steps.within(run.last.saturating_add(1), i64::MAX), &mut annotations)?);
    Ok((QueryResult::new(Value::Matrix(all), annotations, stats), computed))
}

fn evaluate_part(
    asked: &Asked<'_>,
    expr: &Expr,
    part: Steps,
    started: Instant,
) -> Result<QueryResult, QueryError> {
    let mut params = asked.params.clone();
    params.start = part.time(part.first);
    params.end = part.time(part.last);
    // The time is that of the whole query.
    let allowed = [asked.engine.options().timeout, params.timeout].into_iter().flatten().min();
    params.timeout = allowed.map(|allowed| allowed.saturating_sub(started.elapsed()));
    asked.engine.evaluate(asked.store, expr, &params)
}

fn add(sum: &mut QueryStats, part: &QueryStats) {
    sum.samples_read = sum.samples_read.saturating_add(part.samples_read);
    sum.series_selected = sum.series_selected.saturating_add(part.series_selected);
    sum.peak_samples = sum.peak_samples.max(part.peak_samples);
    sum.peak_bytes = sum.peak_bytes.max(part.peak_bytes);
    sum.planning = sum.planning.saturating_add(part.planning);
    sum.selecting = sum.selecting.saturating_add(part.selecting);
    sum.evaluating = sum.evaluating.saturating_add(part.evaluating);
}

/// The longest run of steps that is known without a hole; `None` if it is not worth anything.
fn longest_run(pieces: &[Piece], steps: Steps) -> Option<Steps> {
    let mut longest: Option<Steps> = None;
    let mut run: Option<Steps> = None;
    for known in pieces.iter().filter_map(|piece| piece.known.within(steps.first, steps.last)) {
        run = Some(match run {
            Some(run) if run.last.saturating_add(1) == known.first => Steps { last: known.last, ..run },
            _ => known,
        });
        if run.map(|run| run.len()) > longest.map(|longest| longest.len()) {
            longest = run;
        }
    }
    longest.filter(|run| {
        let is_inside = run.first > steps.first && run.last < steps.last;
        !is_inside || run.len() >= steps.len() / WORTH_TWO
    })
}

/// The results of a cell at the steps `known`, and around them those that were known before.
fn around(before: &Piece, known: Steps, series: Vec<SeriesPoints>) -> Vec<SeriesPoints> {
    let earlier = before.known.within(i64::MIN, known.first.saturating_sub(1));
    let later = before.known.within(known.last.saturating_add(1), i64::MAX);
    let [earlier, later] =
        [earlier, later].map(|part| part.map(|part| cut(&before.cell.series, part)).unwrap_or_default());
    joined(joined(earlier, series), later)
}

const fn cell_of(step: i64) -> i64 {
    step.div_euclid(CELL_STEPS)
}

const fn first_of(cell: i64) -> i64 {
    cell.saturating_mul(CELL_STEPS)
}

const fn last_of(cell: i64) -> i64 {
    first_of(cell).saturating_add(CELL_STEPS - 1)
}

fn cells_of(steps: Steps) -> std::ops::RangeInclusive<i64> {
    cell_of(steps.first)..=cell_of(steps.last)
}

/// Is it about what storage had to answer with, which may be otherwise the next time?
const fn is_about_storage(annotation: &Annotation) -> bool {
    matches!(annotation, Annotation::Storage { .. } | Annotation::Approximation { .. })
}

/// Does it hold for all steps alike?
const fn is_about_names(annotation: &Annotation) -> bool {
    matches!(
        annotation,
        Annotation::PossibleNonCounter { .. }
            | Annotation::PossibleNonCounterType { .. }
            | Annotation::SortInRangeQuery
    )
}
