//! The set of queries: what dashboards ask of the [fleet](crate::fleet).

/// A query of the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    /// What it stands for.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// The set. The queries about customers need targets that have some.
pub const SET: [Query; 19] = [
    query("rate, sum by", "sum by (job) (rate(http_requests_total[5m]))"),
    query(
        "error share",
        "sum by (job) (rate(http_requests_total{status=\"500\"}[5m])) / sum by (job) (rate(http_requests_total[5m]))",
    ),
    query(
        "histogram_quantile",
        "histogram_quantile(0.99, sum by (le, job) (rate(http_request_duration_seconds_bucket[5m])))",
    ),
    query("topk of pods", "topk(5, sum by (pod) (rate(http_requests_total[5m])))"),
    query("topk of series", "topk(10, rate(http_requests_total[5m]))"),
    query(
        "busy CPUs",
        "sum by (instance) (rate(node_cpu_seconds_total{mode!=\"idle\"}[5m])) / sum by (instance) (rate(node_cpu_seconds_total[5m]))",
    ),
    query("avg of a gauge", "avg by (region) (queue_memory_bytes)"),
    query("max_over_time 30 m", "max by (job) (max_over_time(queue_depth[30m]))"),
    query("max_over_time 6 h", "max by (job) (max_over_time(queue_depth[6h]))"),
    query("avg_over_time 1 h", "avg by (job) (avg_over_time(queue_depth[1h]))"),
    query("regex", "sum by (status) (rate(http_requests_total{pod=~\"checkout-.*\",path=~\"/api/.+\"}[5m]))"),
    query("one instance", "rate(http_requests_total{instance=\"10.0.0.1:9100\"}[5m])"),
    query("one series", "queue_depth{instance=\"10.0.0.2:9100\",queue=\"queue-00\"}"),
    query("subquery", "max_over_time(sum by (job) (rate(http_requests_total{status=\"200\"}[1m]))[10m:1m])"),
    query("join", "sum by (job) (queue_depth * on (instance, pod, queue) group_left () queue_capacity)"),
    query("quantile", "quantile by (job) (0.9, queue_utilisation_ratio)"),
    query("count", "count by (zone) (node_cpu_seconds_total)"),
    query(
        "regex over customers",
        "sum by (plan) (rate(customer_requests_total{customer=~\".+-.*[05]1.*[13579]\"}[5m]))",
    ),
    query("all customers", "sum by (plan) (rate(customer_requests_total[5m]))"),
];

const fn query(name: &'static str, text: &'static str) -> Query {
    Query { name, text }
}
