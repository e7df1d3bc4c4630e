//! Metrics of the evaluation of rules.

use super::{Family, Point, counter, float, single};
use crate::rules::{Counts, LATENESS_BOUNDS};
use tsdb_core::metadata::MetricType;

pub(super) fn families(counts: &Counts) -> Vec<Family> {
    vec![
        counter("tsdb_rule_group_iterations_total", "Evaluations of groups of rules.", counts.iterations),
        counter(
            "tsdb_rule_group_iterations_missed_total",
            "Evaluations of groups left out because the one before took too long.",
            counts.missed,
        ),
        counter(
            "tsdb_rule_group_iterations_failed_total",
            "Evaluations of groups that could not be made because the store could not be opened.",
            counts.iterations_failed,
        ),
        counter(
            "tsdb_rule_group_iterations_incomplete_total",
            "Evaluations of groups made although samples of late senders were awaited.",
            counts.incomplete,
        ),
        counter(
            "tsdb_rule_group_iterations_caught_up_total",
            "Evaluations of groups made up for, after a restart or when late samples had come.",
            counts.caught_up,
        ),
        single(
            "tsdb_rule_evaluation_seconds_total",
            MetricType::Counter,
            "Time spent on the evaluation of rules.",
            counts.seconds,
        ),
        lateness(counts),
        counter("tsdb_rule_evaluations_total", "Evaluations of rules.", counts.evaluations),
        counter("tsdb_rule_evaluation_failures_total", "Evaluations of rules that failed.", counts.failures),
        counter("tsdb_rule_samples_total", "Samples that rules stored.", counts.samples),
    ]
}

fn lateness(counts: &Counts) -> Family {
    let plain = |suffix, value| Point { suffix, labels: Vec::new(), value };
    let bucket =
        |le: String, count: u64| Point { suffix: "_bucket", labels: vec![("le", le)], value: float(count) };
    let buckets = counts.lateness.iter().zip(LATENESS_BOUNDS);
    let mut points: Vec<_> = buckets.map(|(count, bound)| bucket(bound.to_string(), *count)).collect();
    points.push(bucket("+Inf".into(), counts.lateness_count));
    points.push(plain("_sum", counts.lateness_seconds));
    points.push(plain("_count", float(counts.lateness_count)));
    Family {
        name: "tsdb_rule_group_lateness_seconds",
        kind: MetricType::Histogram,
        help: "Time between when an evaluation of a group was due and when it began.",
        points,
    }
}
