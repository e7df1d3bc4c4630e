//! Plain series for programs that measure one thing: labels and values that depend on a number alone.

use tsdb_core::Labels;

/// The labels of series `number`: six of them, four series to a metric and instance.
pub fn labels_of(number: usize) -> Labels {
    let metric = format!("app_metric_{:03}_total", number / 4 % 250);
    let instance = format!("host-{:05}.example.net:9100", number / 1000);
    let status = ["200", "301", "404", "500"][number % 4];
    let pairs = [
        ("__name__", metric.as_str()),
        ("cluster", "eu-west-1a"),
        ("instance", &instance),
        ("job", "node"),
        ("method", "GET"),
        ("status", status),
    ];
    Labels::from_sorted_pairs(pairs).unwrap_or_default()
}

/// The value of series `number` at the scrape `scrape`: a third each constant, whole and rising, with eighths.
pub fn value(number: usize, scrape: usize) -> f64 {
    match number % 3 {
        0 => 1.0,
        1 => (number % 1000 * scrape) as f64,
        _ => ((number * 31 + scrape * 17) % 10_007) as f64 / 8.0,
    }
}
