//! Queries across tenants.

use crate::harness::{NOW, Running, config, send, start};
use reqwest::RequestBuilder;
use tsdb_core::Labels;
use tsdb_core::metadata::Metadata;
use tsdb_core::write::Appendable;

/// A server that trusts its callers to query across tenants, with a series `up` of each of `a` and `b`.
async fn federated() -> Running {
    let mut config = config();
    config.access.trusted_across_tenants = true;
    let server = start(config).await;
    for (tenant, value) in [("a", 1.0), ("b", 2.0)] {
        let labels = Labels::from_pairs([("__name__", "up"), ("job", tenant)]).unwrap();
        let store = server.stores.of(tenant);
        store.0.put(&labels, NOW, value);
        let mut appender = store.appender();
        appender.set_metadata("up", Metadata { help: format!("of {tenant}"), ..Metadata::default() });
        appender.commit().unwrap();
    }
    let own = Labels::from_pairs([("__name__", "own"), ("__tenant_id__", "mine")]).unwrap();
    server.stores.of("b").0.put(&own, NOW, 3.0);
    server
}

fn of_both(request: RequestBuilder) -> RequestBuilder {
    request.header("X-Scope-OrgID", "b|a")
}

async fn data(request: RequestBuilder) -> String {
    let (status, body) = send(request).await;
    assert_eq!(status, 200, "{body}");
    let start = body.find("\"data\":").unwrap() + 7;
    body[start..].trim_end_matches('}').to_owned()
}

#[tokio::test]
async fn a_query_of_several_tenants_sees_the_series_of_each_with_its_label() {
    let server = federated().await;
    let query = |text: &str| {
        of_both(server.get("/api/v1/query")).query(&[("query", text), ("time", &(NOW / 1_000).to_string())])
    };
    let sums = data(query("sum by (__tenant_id__) (up)")).await;
    assert!(sums.contains("{\"__tenant_id__\":\"a\"},\"value\":[1775643330,\"1\"]"), "{sums}");
    assert!(sums.contains("{\"__tenant_id__\":\"b\"},\"value\":[1775643330,\"2\"]"), "{sums}");
    assert!(data(query("sum(up)")).await.contains("\"3\""));
    assert!(data(query("sum(up{__tenant_id__!=\"a\"})")).await.contains("\"2\""));
    let own = data(query("own")).await;
    assert!(
        own.contains("\"__tenant_id__\":\"b\"") && own.contains("\"original___tenant_id__\":\"mine\""),
        "{own}"
    );
    assert!(data(query("count(own{original___tenant_id__=\"mine\"})")).await.contains("\"1\""));
    assert!(data(query("count(up) or absent(own{__tenant_id__=\"a\"})")).await.contains("\"2\""));
    let single =
        server.get(&format!("/api/v1/query?query=up&time={}", NOW / 1_000)).header("X-Tenant-ID", "a|a");
    assert!(!data(single).await.contains("__tenant_id__"), "one tenant named twice is one tenant");
}

#[tokio::test]
async fn series_labels_values_metadata_and_rules_are_those_of_all_tenants() {
    let server = federated().await;
    let series = data(of_both(server.get("/api/v1/series?match[]=up"))).await;
    assert!(
        series.contains("\"__tenant_id__\":\"a\"") && series.contains("\"__tenant_id__\":\"b\""),
        "{series}"
    );
    let names = data(of_both(server.get("/api/v1/labels"))).await;
    assert_eq!(names, "[\"__name__\",\"__tenant_id__\",\"job\",\"original___tenant_id__\"]");
    let tenants = data(of_both(server.get("/api/v1/label/__tenant_id__/values"))).await;
    assert_eq!(tenants, "[\"a\",\"b\"]");
    let of_own = data(of_both(server.get("/api/v1/label/__tenant_id__/values?match[]=own"))).await;
    assert_eq!(of_own, "[\"b\"]");
    let metadata = data(of_both(server.get("/api/v1/metadata"))).await;
    assert!(metadata.contains("\"of a\"},{") && metadata.contains("\"of b\"}]"), "{metadata}");
    assert_eq!(send(of_both(server.get("/api/v1/rules"))).await.0, 200);
    let explained = data(of_both(server.get("/api/v1/query_explain?query=up"))).await;
    assert!(explained.contains("\"series\":2"), "{explained}");
}

#[tokio::test]
async fn several_tenants_are_for_reading_only_and_only_where_it_is_allowed() {
    let server = federated().await;
    let push = format!("{{\"samples\":[{{\"metric\":\"m\",\"timestampMs\":{NOW},\"value\":1}}]}}");
    assert_eq!(send(of_both(server.push(push))).await.0, 400);
    assert_eq!(send(of_both(server.write(b""))).await.0, 400);
    let plain = start(config()).await;
    let (status, body) = send(of_both(plain.get("/api/v1/query?query=up"))).await;
    assert!(status == 403 && body.contains("across tenants"), "{body}");
    assert_eq!(plain.stores.tenants(), Vec::<String>::new());
}
