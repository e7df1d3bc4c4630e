//! What a query cost, as the parameter `stats` asks for it.
//!
//! The objects `timings` and `samples` are those of Prometheus. Samples are counted as they are read from storage,
//! once for each selector, where Prometheus counts a sample once for each step that sees it. `stats=all` adds the
//! object `engine`, which is ours.

use super::response::write_json_string;
use std::time::Duration;
use tsdb_promql::QueryStats;

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Nothing.
    None,
    /// What Prometheus tells.
    Usual,
    /// Also what each operator did.
    All,
}

impl Detail {
    /// The meaning of the parameter: any text asks for something.
    pub(crate) fn of(parameter: Option<&str>) -> Self {
        match parameter {
            None => Self::None,
            Some("all") => Self::All,
            Some(_) => Self::Usual,
        }
    }
}

/// `,"stats":{...}`, or nothing if nothing is asked for. `queued`: how long the query waited for its turn.
pub(crate) fn stats_text(stats: &QueryStats, queued: Duration, detail: Detail) -> Vec<u8> {
    let mut out = Vec::new();
    if detail == Detail::None {
        return out;
    }
    let prepared = stats.planning.saturating_add(stats.selecting);
    let total = prepared.saturating_add(stats.evaluating);
    let text = format!(
        ",\"stats\":{{\"timings\":{{\"evalTotalTime\":{},\"resultSortTime\":0,\"queryPreparationTime\":{},\
         \"innerEvalTime\":{},\"execQueueTime\":{},\"execTotalTime\":{}}},\
         \"samples\":{{\"totalQueryableSamples\":{},\"peakSamples\":{}}}",
        total.as_secs_f64(),
        prepared.as_secs_f64(),
        stats.evaluating.as_secs_f64(),
        queued.as_secs_f64(),
        queued.saturating_add(total).as_secs_f64(),
        stats.samples_read,
        stats.peak_samples,
    );
    out.extend_from_slice(text.as_bytes());
    if detail == Detail::All {
        write_engine(stats, &mut out);
    }
    out.push(b'}');
    out
}

fn write_engine(stats: &QueryStats, out: &mut Vec<u8>) {
    let sums = format!(
        ",\"engine\":{{\"seriesSelected\":{},\"samplesRead\":{},\"peakBytes\":{},\"planningTime\":{},\
         \"selectingTime\":{},\"evaluatingTime\":{},\"operators\":[",
        stats.series_selected,
        stats.samples_read,
        stats.peak_bytes,
        stats.planning.as_secs_f64(),
        stats.selecting.as_secs_f64(),
        stats.evaluating.as_secs_f64(),
    );
    out.extend_from_slice(sums.as_bytes());
    for (index, operator) in stats.operators.iter().enumerate() {
        out.extend_from_slice(if index > 0 { b",{\"operator\":" } else { b"{\"operator\":" });
        write_json_string(&operator.operator, out);
        let figures = format!(
            ",\"depth\":{},\"buildTime\":{},\"rowsTime\":{},\"rows\":{}}}",
            operator.depth,
            operator.build.as_secs_f64(),
            operator.rows_time.as_secs_f64(),
            operator.rows
        );
        out.extend_from_slice(figures.as_bytes());
    }
    out.extend_from_slice(b"]}");
}
