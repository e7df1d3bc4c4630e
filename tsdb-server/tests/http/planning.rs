//! What a query would cost and what it has cost: `query_explain`, the parameter `stats`, and limits on estimates.

use crate::harness::{NOW, Running, config, send, start};
use serde_json::Value;
use tsdb_core::Labels;
use tsdb_server::{Config, Limit, Period};

/// A server with three series of ten samples in the last five minutes.
async fn server(config: Config) -> Running {
    let server = start(config).await;
    for x in ["1", "2", "3"] {
        let labels = Labels::from_pairs([("__name__", "a_total"), ("x", x)]).unwrap();
        for sample in 0..10 {
            server.stores.of("default").0.put(&labels, NOW - 270_000 + sample * 30_000, sample as f64);
        }
    }
    server
}

async fn data(server: &Running, path: &str) -> Value {
    let (status, body) = send(server.get(path)).await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str::<Value>(&body).unwrap()["data"].clone()
}

const QUERY: &str = "sum%20by(x)(rate(a_total%5B1m%5D))";

fn range() -> String {
    format!("start={}&end={}&step=60", NOW / 1_000 - 240, NOW / 1_000)
}

#[tokio::test]
async fn an_explanation_holds_the_plan_and_the_estimates() {
    let server = server(config()).await;
    let plan = "sum by (x), series by series\n  rate\n    read {__name__=\"a_total\"}[1m], of the labels only \
                \"__name__\", \"__type__\", \"__unit__\", \"x\"\n";
    let ranged = data(&server, &format!("/api/v1/query_explain?query={QUERY}&{}", range())).await;
    assert_eq!(ranged["plan"], plan);
    assert_eq!((&ranged["steps"], &ranged["series"], &ranged["points"]), (&5.into(), &3.into(), &15.into()));
    assert_eq!((&ranged["samples"], &ranged["bytes"]), (&30.into(), &(30 * 16 + 15 * 8).into()));
    let [selector] = &ranged["selectors"].as_array().unwrap()[..] else { panic!("{ranged}") };
    assert_eq!(selector["selector"], "{__name__=\"a_total\"}[1m]");
    assert_eq!(selector["samples"], 30);
    assert_eq!(selector["end"], NOW / 1_000);
    let instant = data(&server, &format!("/api/v1/query_explain?query={QUERY}&time={}", NOW / 1_000)).await;
    assert_eq!((&instant["steps"], &instant["samples"]), (&1.into(), &6.into()));
    let form = server.post("/api/v1/query_explain").form(&[("query", "a_total")]);
    assert_eq!(send(form).await.0, 200);
}

#[tokio::test]
async fn an_explanation_is_refused_as_its_query_would_be() {
    let server = server(config()).await;
    for path in ["query_explain", "query_explain?query=sum(", "query_explain?query=1&start=1"] {
        assert_eq!(send(server.get(&format!("/api/v1/{path}"))).await.0, 400, "{path}");
    }
}

#[tokio::test]
async fn stats_are_those_of_prometheus_and_all_adds_the_operators() {
    let server = server(config()).await;
    let path = format!("/api/v1/query_range?query={QUERY}&{}", range());
    assert!(data(&server, &path).await.get("stats").is_none());
    let usual = data(&server, &format!("{path}&stats=1")).await["stats"].clone();
    for name in [
        "evalTotalTime",
        "resultSortTime",
        "queryPreparationTime",
        "innerEvalTime",
        "execQueueTime",
        "execTotalTime",
    ] {
        assert!(usual["timings"][name].is_number(), "{name} in {usual}");
    }
    assert_eq!(usual["samples"]["totalQueryableSamples"], 30);
    assert!(usual["samples"]["peakSamples"].as_u64().unwrap() > 0);
    assert!(usual.get("engine").is_none());
    let all = data(&server, &format!("{path}&stats=all")).await["stats"]["engine"].clone();
    assert_eq!((&all["seriesSelected"], &all["samplesRead"]), (&3.into(), &30.into()));
    assert!(all["peakBytes"].as_u64().unwrap() > 0);
    let operators = all["operators"].as_array().unwrap();
    assert_eq!(operators.len(), 2, "{all}");
    assert_eq!(operators[0]["operator"], "sum by (x), series by series");
    assert_eq!(
        (&operators[1]["operator"], &operators[1]["depth"], &operators[1]["rows"]),
        (&"rate".into(), &1.into(), &3.into())
    );
    assert!(operators[1]["rowsTime"].is_number() && operators[0]["buildTime"].is_number());
}

#[tokio::test]
async fn each_limit_on_a_query_is_a_setting_and_is_named_in_its_refusal() {
    let path = format!("/api/v1/query_range?query={QUERY}&{}", range());
    type Setting = fn(&mut Config);
    let cases: [(Setting, u16, &str); 7] = [
        (|c| c.limits.query.max_series = Limit::at(2), 422, "3 series, max_series allows 2"),
        (
            |c| c.limits.query.max_estimated_samples = Limit::at(29),
            422,
            "30 samples, max_estimated_samples allows 29",
        ),
        (
            |c| c.limits.query.max_estimated_points = Limit::at(14),
            422,
            "15 points, max_estimated_points allows 14",
        ),
        (
            |c| c.limits.query.max_estimated_bytes = Limit::at(599),
            422,
            "600 bytes, max_estimated_bytes allows 599",
        ),
        (|c| c.limits.query.max_range = Period::from_secs(239), 400, "spans 4m, max_range allows 3m59s"),
        (|c| c.limits.query.max_points = Limit::at(3), 400, "maximum resolution of 3 points"),
        (|c| c.limits.query.max_depth = Limit::at(1), 400, "limit on depth: 1"),
    ];
    for (set, status, message) in cases {
        let mut config = config();
        set(&mut config);
        let server = server(config).await;
        let (found, body) = send(server.get(&path)).await;
        assert_eq!(found.as_u16(), status, "{body}");
        assert!(body.contains(message), "{body}");
    }
}
