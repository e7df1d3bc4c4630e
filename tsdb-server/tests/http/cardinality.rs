//! What has how many series, over HTTP and on the engine.

use crate::admission::{OnEngine, of, on_engine};
use crate::harness::{NOW, config, send};
use crate::ingest::series;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tsdb_server::Config;

/// A server whose default tenant has `up` of three jobs, and `rq` of 20 users in two zones, half of which ended ten
/// minutes ago.
async fn filled() -> OnEngine {
    filled_with(config()).await
}

async fn filled_with(config: Config) -> OnEngine {
    let server = on_engine(config).await;
    let ended = NOW - 600_000;
    let jobs = ["api", "db", "web"].map(|job| series(&[("__name__", "up"), ("job", job)], &[(NOW, 1.0)]));
    let users = (0..20).map(|user| {
        let (number, zone) = (user.to_string(), if user % 4 == 0 { "north" } else { "south" });
        let time = if user % 2 == 0 { NOW } else { ended };
        series(&[("__name__", "rq"), ("user", &number), ("zone", zone)], &[(time, 1.0)])
    });
    // The oldest first: what is refused as late would be missing.
    let mut users: Vec<_> = users.collect();
    let old: Vec<u8> = users.iter().skip(1).step_by(2).flatten().copied().collect();
    users = users.into_iter().step_by(2).collect();
    for body in [old, [users.concat(), jobs.concat()].concat()] {
        assert_eq!(send(server.running.write(&body)).await.0, StatusCode::NO_CONTENT);
    }
    server
}

async fn ask(server: &OnEngine, path: &str) -> Value {
    let (status, text) = send(server.running.get(path)).await;
    assert_eq!(status, StatusCode::OK, "{text}");
    serde_json::from_str(&text).unwrap()
}

fn entries(list: &[(&str, u64)]) -> Value {
    list.iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
}

#[tokio::test]
async fn the_status_has_the_form_of_prometheus() {
    let server = filled().await;
    let answer = ask(&server, "/api/v1/status/tsdb?limit=3").await;
    assert_eq!(answer["status"], "success");
    let data = &answer["data"];
    let head =
        json!({"numSeries": 23, "numLabelPairs": 2 + 3 + 20 + 2, "minTime": NOW - 600_000, "maxTime": NOW});
    assert_eq!(data["headStats"], head);
    assert_eq!(data["seriesCountByMetricName"], entries(&[("rq", 20), ("up", 3)]));
    let values = entries(&[("user", 20), ("job", 3), ("__name__", 2)]);
    assert_eq!(data["labelValueCountByLabelName"], values);
    // 23 times a name of two letters, 20 times north or south, 10 numbers of one digit and 10 of two; the label's own name
    // and two bytes each time.
    let bytes = entries(&[("__name__", 46 + 23 * 10), ("zone", 100 + 20 * 6), ("user", 30 + 20 * 6)]);
    assert_eq!(data["memoryInBytesByLabelName"], bytes);
    let pairs = entries(&[("__name__=rq", 20), ("zone=south", 15), ("zone=north", 5)]);
    assert_eq!(data["seriesCountByLabelValuePair"], pairs);
}

#[tokio::test]
async fn a_tenant_without_a_store_has_nothing_and_gets_none_by_asking() {
    let server = filled().await;
    let (status, text) = send(of("nobody", server.running.get("/api/v1/status/tsdb"))).await;
    assert_eq!(status, StatusCode::OK);
    let answer: Value = serde_json::from_str(&text).unwrap();
    let head = json!({"numSeries": 0, "numLabelPairs": 0, "minTime": i64::MAX, "maxTime": i64::MIN});
    assert_eq!(answer["data"]["headStats"], head);
    for path in
        ["label_names", "label_values?label_names[]=a", "active_series?selector=up", "top", "label_cost"]
    {
        let path = format!("/api/v1/cardinality/{path}");
        assert_eq!(send(of("nobody", server.running.get(&path))).await.0, StatusCode::OK, "{path}");
    }
    assert!(!server.metrics().await.contains("tsdb_tenant_head_series{tenant=\"nobody\"}"));
}

#[tokio::test]
async fn label_names_have_the_form_of_mimir() {
    let server = filled().await;
    let names = |list: &[(&str, u64)]| -> Value {
        list.iter().map(|(name, values)| json!({"label_name": name, "label_values_count": values})).collect()
    };
    let all = json!({
        "label_values_count_total": 27,
        "label_names_count": 4,
        "cardinality": names(&[("user", 20), ("job", 3)]),
    });
    assert_eq!(ask(&server, "/api/v1/cardinality/label_names?limit=2").await, all);
    let selected = ask(&server, "/api/v1/cardinality/label_names?selector=rq{zone=\"north\"}").await;
    let of_north = names(&[("user", 5), ("__name__", 1), ("zone", 1)]);
    assert_eq!((&selected["label_names_count"], &selected["cardinality"]), (&json!(3), &of_north));
    let active = ask(&server, "/api/v1/cardinality/label_names?count_method=active&limit=1").await;
    assert_eq!(active["cardinality"], names(&[("user", 10)]));
    assert_eq!(ask(&server, "/api/v1/cardinality/label_names?limit=0").await["cardinality"], json!([]));
}

#[tokio::test]
async fn label_values_have_the_form_of_mimir() {
    let server = filled().await;
    let path = "/api/v1/cardinality/label_values?label_names[]=job&label_names[]=zone&limit=2";
    let values = |list: &[(&str, u64)]| -> Value {
        list.iter().map(|(value, series)| json!({"label_value": value, "series_count": series})).collect()
    };
    let label = |name: &str, values_count: u64, series: u64, cardinality: Value| {
        json!({
            "label_name": name,
            "label_values_count": values_count,
            "series_count": series,
            "cardinality": cardinality,
        })
    };
    let expected = json!({
        "series_count_total": 23,
        "labels": [
            label("zone", 2, 20, values(&[("south", 15), ("north", 5)])),
            label("job", 3, 3, values(&[("api", 1), ("db", 1)])),
        ],
    });
    assert_eq!(ask(&server, path).await, expected);
    let active = ask(&server, &format!("{path}&count_method=active&selector={{__name__=\"rq\"}}")).await;
    let expected = json!({
        "series_count_total": 13,
        "labels": [
            label("zone", 2, 10, values(&[("north", 5), ("south", 5)])),
            label("job", 0, 0, values(&[])),
        ],
    });
    assert_eq!(active, expected);
}

#[tokio::test]
async fn active_series_are_those_that_go_on() {
    let server = filled().await;
    let answer = ask(&server, "/api/v1/cardinality/active_series?selector=rq{zone=\"south\"}").await;
    let mut users: Vec<_> =
        answer["data"].as_array().unwrap().iter().map(|one| one["user"].clone()).collect();
    users.sort_by_key(|user| user.as_str().unwrap().parse::<u64>().unwrap());
    assert_eq!(users, ["2", "6", "10", "14", "18"]);
    let some = ask(&server, "/api/v1/cardinality/active_series?selector=rq&limit=3").await;
    assert_eq!(some["data"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn what_weighs_most_is_listed_by_series_by_bytes_and_by_churn() {
    let server = filled().await;
    let top = async |path: &str| {
        ask(&server, &format!("/api/v1/cardinality/top?limit=2{path}")).await["data"].clone()
    };
    let names = |list: &Value| -> Vec<String> {
        let text = |one: &Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
        list.as_array().unwrap().iter().map(|one| text(one, "name") + "=" + &text(one, "value")).collect()
    };
    let by_series = top("").await;
    assert_eq!((&by_series["series"], &by_series["newSeries"]), (&json!(23), &json!(23)));
    let rq = json!({"name": "rq", "series": 20, "bytes": 20 * 2 + 30 + 100, "newSeries": 20});
    assert_eq!(
        (&by_series["metrics"][0], names(&by_series["metrics"])),
        (&rq, vec!["rq=".into(), "up=".into()])
    );
    assert_eq!(names(&by_series["labels"]), ["__name__=", "user="]);
    assert_eq!(names(&by_series["labelPairs"]), ["__name__=rq", "zone=south"]);
    let by_bytes = top("&by=bytes").await;
    assert_eq!(names(&by_bytes["labels"]), ["zone=", "__name__="]);
    let south = json!({"name": "zone", "value": "south", "series": 15, "bytes": 75, "newSeries": 15});
    assert_eq!(by_bytes["labelPairs"][0], south);

    println!("an hour and five minutes later, when five series of another metric begin");
    let later = NOW + 3_900_000;
    server.clock.set(later);
    let new: Vec<u8> = (0..5)
        .flat_map(|pod: u32| series(&[("__name__", "jobs"), ("pod", &format!("p{pod}"))], &[(later, 1.0)]))
        .collect();
    assert_eq!(send(server.running.write(&new)).await.0, StatusCode::NO_CONTENT);
    let by_churn = top("&by=churn&window=10m").await;
    assert_eq!((&by_churn["newSeries"], &by_churn["windowSeconds"]), (&json!(5), &json!(600)));
    let jobs = json!({"name": "jobs", "series": 5, "bytes": 5 * (4 + 2), "newSeries": 5});
    assert_eq!(by_churn["metrics"], json!([jobs]));
    assert_eq!(
        (names(&by_churn["labels"]), &by_churn["labels"][0]["newValues"]),
        (vec!["pod=".into(), "__name__=".into()], &json!(5))
    );
    assert_eq!(names(&by_churn["labelPairs"])[0], "__name__=jobs");
}

#[tokio::test]
async fn what_a_label_costs_is_how_many_series_there_would_be_without_it() {
    let mut config = config();
    config.limits.cardinality.max_active_series = tsdb_server::Limit::at(100);
    let server = filled_with(config).await;
    let cost = async |path: &str| {
        ask(&server, &format!("/api/v1/cardinality/label_cost?{path}")).await["data"].clone()
    };
    let of_rq = cost("selector=rq").await;
    assert_eq!(
        (&of_rq["series"], &of_rq["activeSeries"], &of_rq["maxActiveSeries"]),
        (&json!(20), &json!(23), &json!(100))
    );
    let bytes = of_rq["bytesPerSeries"].as_u64().unwrap();
    let user = json!({
        "name": "user", "values": 20, "series": 20, "seriesWithout": 2, "seriesCost": 18, "bytesCost": 18 * bytes,
        "estimate": false,
    });
    assert!(bytes > 50, "{of_rq}");
    assert_eq!(of_rq["labels"][0], user);
    let zone = &of_rq["labels"][1];
    assert_eq!(
        (&zone["name"], &zone["seriesWithout"], &zone["seriesCost"]),
        (&json!("zone"), &json!(20), &json!(0))
    );
    let of_all = cost("label_names[]=user&label_names[]=job&count_method=active").await;
    assert_eq!(of_all["series"], 13);
    let without: Vec<_> =
        of_all["labels"].as_array().unwrap().iter().map(|one| &one["seriesWithout"]).collect();
    assert_eq!(without, [5, 11], "users of two zones and three jobs; ten users and one without job");
    let new = cost("selector=up&values=20").await["newLabel"].clone();
    assert_eq!((&new["seriesAdded"], &new["fits"]), (&json!(57), &json!(true)));
    assert_eq!(cost("selector=up&values=40").await["newLabel"]["fits"], false);
}

#[tokio::test]
async fn what_cannot_be_counted_is_told() {
    let server = filled().await;
    for (path, told) in [
        ("status/tsdb?limit=0", "limit must be a positive number"),
        ("status/tsdb?limit=10001", "must not exceed 10000"),
        ("cardinality/label_names?limit=501", "from 0 to 500"),
        ("cardinality/label_names?count_method=guess", "inmemory or active"),
        ("cardinality/label_names?selector=rq{", "selector"),
        ("cardinality/label_values", "label_names[]"),
        ("cardinality/label_values?label_names[]=", "a name is empty"),
        ("cardinality/active_series", "selector"),
        ("cardinality/top?by=name", "series, bytes or churn"),
        ("cardinality/top?window=soon", "window"),
        ("cardinality/label_cost?selector=rq{", "selector"),
        ("cardinality/label_cost?values=0", "a positive number"),
    ] {
        let (status, text) = send(server.running.get(&format!("/api/v1/{path}"))).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}");
        assert!(text.contains(told), "{path}: {text}");
    }
}

#[tokio::test]
async fn tenants_are_listed_by_their_series_and_by_their_samples() {
    let server = on_engine(Config { admin_api: true, ..config() }).await;
    let up = |count: usize, times: i64| -> Vec<u8> {
        let samples: Vec<_> = (0..times).map(|time| (NOW - 1_000 * (times - time), 1.0)).collect();
        (0..count)
            .flat_map(|number| series(&[("__name__", "up"), ("n", &number.to_string())], &samples))
            .collect()
    };
    for (tenant, series, samples) in [("many", 30, 1), ("fast", 2, 100), ("small", 1, 1)] {
        let request = of(tenant, server.running.write(&up(series, samples)));
        assert_eq!(send(request).await.0, StatusCode::NO_CONTENT);
    }
    server.clock.set(NOW + 10_000);
    let path = "/api/v1/admin/cardinality/tenants";
    let names = |answer: &Value| -> Vec<String> {
        let tenants = answer["data"]["tenants"].as_array().unwrap().iter();
        tenants.map(|tenant| tenant["tenant"].as_str().unwrap().to_owned()).collect()
    };
    let by_series = ask(&server, path).await;
    assert_eq!(names(&by_series), ["many", "fast", "small"]);
    let first = &by_series["data"]["tenants"][0];
    assert_eq!((&first["activeSeries"], &first["samplesPerSecond"]), (&json!(30), &json!(3.0)), "{first}");
    assert_eq!(first["newSeriesLastMinute"], 30);
    assert_eq!(by_series["data"]["activeSeriesTotal"], 33);
    let by_rate = ask(&server, &format!("{path}?sort=sample_rate&limit=1")).await;
    assert_eq!(names(&by_rate), ["fast"]);
    assert_eq!(
        (&by_rate["data"]["tenantsTotal"], &by_rate["data"]["tenants"][0]["samplesPerSecond"]),
        (&json!(3), &json!(20.0))
    );
    assert_eq!(send(server.running.get(&format!("{path}?sort=name"))).await.0, StatusCode::BAD_REQUEST);
    let closed = on_engine(config()).await;
    assert_eq!(send(closed.running.get(path)).await.0, StatusCode::FORBIDDEN);
}
