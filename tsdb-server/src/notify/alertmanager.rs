//! What Alertmanagers are posted: version 2 of their API.

use super::queue::Entry;
use crate::rfc3339;
use serde::Serialize;
use std::collections::BTreeMap;

/// Where alerts are posted, below the address of an Alertmanager.
pub(super) const PATH: &str = "api/v2/alerts";
/// Alerts in a request, as with Prometheus.
pub(super) const BATCH: usize = 64;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    labels: BTreeMap<&'a str, &'a str>,
    annotations: BTreeMap<&'a str, &'a str>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: &'a str,
}

/// The body of a request.
pub(super) fn body(entries: &[Entry]) -> Vec<u8> {
    let alerts: Vec<_> = entries.iter().map(alert).collect();
    // Strings can always be written.
    serde_json::to_vec(&alerts).unwrap_or_default()
}

fn alert(entry: &Entry) -> Body<'_> {
    let notice = &entry.notice;
    Body {
        labels: notice.labels.iter().collect(),
        annotations: notice.annotations.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect(),
        starts_at: rfc3339::format(notice.starts_at),
        ends_at: rfc3339::format(notice.ends_at),
        generator_url: &notice.generator_url,
    }
}

/// The address where alerts are posted to the Alertmanager at `url`.
pub(super) fn alerts_url(url: &str) -> String {
    format!("{}/{PATH}", url.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::super::notice::tests::notice;
    use super::super::queue::{Bounds, Queue};
    use super::*;

    #[test]
    fn alerts_are_posted_as_prometheus_posts_them() {
        let mut queue = Queue::new(Bounds { alerts: 9, bytes: 1 << 20 });
        queue.push(notice("a", false, 10_000), 0);
        queue.push(notice("b", true, 10_500), 0);
        let entries: Vec<_> = queue.iter().cloned().collect();
        let expected = concat!(
            r#"[{"labels":{"alertname":"a","severity":"page"},"annotations":{"summary":"a is wrong"},"#,
            r#""startsAt":"1970-01-01T00:00:01.000Z","endsAt":"1970-01-01T00:04:10.000Z","#,
            r#""generatorURL":"http://metrics/graph"},"#,
            r#"{"labels":{"alertname":"b","severity":"page"},"annotations":{"summary":"b is wrong"},"#,
            r#""startsAt":"1970-01-01T00:00:01.000Z","endsAt":"1970-01-01T00:00:10.500Z","#,
            r#""generatorURL":"http://metrics/graph"}]"#
        );
        assert_eq!(String::from_utf8(body(&entries)).unwrap(), expected);
    }

    #[test]
    fn the_path_stands_behind_that_of_the_settings() {
        for url in ["http://a:9093", "http://a:9093/"] {
            assert_eq!(alerts_url(url), "http://a:9093/api/v2/alerts");
        }
        assert_eq!(alerts_url("https://a/prefix/"), "https://a/prefix/api/v2/alerts");
    }
}
