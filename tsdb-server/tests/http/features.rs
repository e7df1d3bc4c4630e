//! Experimental parts of PromQL: off by default and refused in Prometheus' words, on by Prometheus' names.

use crate::harness::{NOW, Running, config, send, start};
use serde_json::Value;
use tsdb_core::Labels;
use tsdb_core::write::Appendable;
use tsdb_server::{Config, Feature};

/// A counter of three samples, whose counting began anew before the last, which its values do not show.
async fn server(features: &[Feature]) -> Running {
    let server = start(Config { features: features.to_vec(), ..config() }).await;
    let memory = server.stores.of("default");
    let mut batch = memory.0.appender();
    let series = batch.series(&Labels::from_pairs([("__name__", "a_total"), ("x", "1")]).unwrap()).unwrap();
    for (ago, start, value) in [(90_000, 300_000, 5.0), (60_000, 300_000, 6.0), (30_000, 45_000, 7.0)] {
        batch.append(series, NOW - ago, value);
        batch.set_start(NOW - start);
    }
    batch.commit().unwrap();
    server
}

async fn query(server: &Running, text: &str) -> Value {
    let time = (NOW / 1_000).to_string();
    let (_, body) = send(server.post("/api/v1/query").form(&[("query", text), ("time", &time)])).await;
    serde_json::from_str(&body).unwrap()
}

#[tokio::test]
async fn a_part_that_is_off_is_refused_in_the_words_of_prometheus_and_works_when_it_is_on() {
    let off = server(&[]).await;
    for (feature, text, refusal) in [
        (
            Feature::ExperimentalFunctions,
            "mad_over_time(a_total[5m])",
            "1:1: parse error: function \"mad_over_time\" is not enabled",
        ),
        (
            Feature::ExperimentalFunctions,
            "limitk(1, a_total)",
            "1:1: parse error: limitk() is experimental and must be enabled with \
             --enable-feature=promql-experimental-functions",
        ),
        (
            Feature::ExtendedRangeSelectors,
            "increase(a_total[1m] anchored)",
            "1:10: parse error: anchored modifier is experimental and not enabled",
        ),
        (
            Feature::ExtendedRangeSelectors,
            "rate(a_total[1m] smoothed)",
            "1:6: parse error: smoothed modifier is experimental and not enabled",
        ),
        (
            Feature::FillModifiers,
            "a_total + fill(0) a_total",
            "1:11: parse error: binop fill modifiers are experimental and not enabled",
        ),
    ] {
        let refused = query(&off, text).await;
        assert_eq!(refused["errorType"], "bad_data", "{text}");
        assert!(refused["error"].as_str().unwrap().ends_with(refusal), "{text}: {refused}");
        let on = query(&server(&[feature]).await, text).await;
        assert_eq!(on["data"]["result"].as_array().map(Vec::len), Some(1), "{text}: {on}");
    }
}

#[tokio::test]
async fn start_timestamps_tell_of_resets_only_when_they_are_switched_on() {
    for (features, expected) in [(&[][..], "0"), (&[Feature::StartTimestamps][..], "1")] {
        let answer = query(&server(features).await, "resets(a_total[5m])").await;
        assert_eq!(answer["data"]["result"][0]["value"][1], expected, "{answer}");
    }
}

#[tokio::test]
async fn names_stay_until_the_end_of_a_query_only_when_that_is_switched_on() {
    let text = "label_replace(rate(a_total[5m]), \"name\", \"$1\", \"__name__\", \"(.+)\")";
    let name = Value::from("a_total");
    for (features, expected) in [(&[][..], &Value::Null), (&[Feature::DelayedNameRemoval][..], &name)] {
        let answer = query(&server(features).await, text).await;
        assert_eq!(&answer["data"]["result"][0]["metric"]["name"], expected, "{answer}");
    }
}

#[tokio::test]
async fn arithmetic_in_durations_is_always_on() {
    for features in [&[][..], &[Feature::DurationExpressions][..]] {
        let answer = query(&server(features).await, "count_over_time(a_total[1m + 1m])").await;
        assert_eq!(answer["data"]["result"][0]["value"][1], "3", "{answer}");
    }
}
