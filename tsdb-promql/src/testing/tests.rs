//! The runner itself: it must see every kind of difference.

use super::{Report, Script, run, test_engine};
use tsdb_core::testing::MemStore;

const DATA: &str = "
load 1m
    foo{a=\"1\"} 1+1x10
    foo{a=\"2\"} 10-1x10
    gone 1 2 3 stale
    h {{schema:0 count:1 sum:1 buckets:[1]}}x3
    s@st -1mx3
    s 1x3
";

fn outcomes(cases: &str) -> Report {
    let script = Script::parse(&format!("{DATA}\n{cases}")).unwrap_or_else(|error| panic!("{error}"));
    let report = run(&script, &test_engine(), &|| Box::new(MemStore::new()));
    assert_eq!(report.error, None);
    assert_eq!(report.cases.len(), script.evals().count());
    report
}

#[test]
fn right_expectations_pass() {
    let report = outcomes(
        "
eval instant at 5m foo
    foo{a=\"2\"} 5
    foo{a=\"1\"} 6

eval instant at 5m sort(foo)
    expect ordered
    foo{a=\"2\"} 5
    foo{a=\"1\"} 6

eval instant at 5m nothing

eval instant at 5m 1 + 1
    2

eval instant at 5m \"text\"
    expect string `text`

eval range from 1m to 3m step 1m gone
    gone 2 3 _

eval instant at 0 foo[2m]
    expect range vector from 1m to 2m step 1m
    foo{a=\"1\"} 2 3
    foo{a=\"2\"} 9 8

eval instant at 5m quantile(2, foo)
    expect warn msg: PromQL warning: quantile value should be between 0 and 1, got 2 (1:10)
    expect no_info
    {} Inf

eval instant at 5m foo + on() foo
    expect fail regex: many
",
    );
    assert_eq!(report.failed(), 0, "{report}");
}

#[test]
fn every_wrong_expectation_fails() {
    let cases = [
        ("eval instant at 5m foo{a=\"1\"}", "foo{a=\"1\"} 6.1"),
        ("eval instant at 5m foo{a=\"1\"}", "foo{a=\"1\", b=\"2\"} 6"),
        ("eval instant at 5m foo{a=\"1\"}", ""),
        ("eval instant at 5m foo{a=\"1\"}", "foo{a=\"1\"} 6\n    bar 1"),
        ("eval instant at 5m foo{a=\"1\"}", "6"),
        ("eval instant at 5m 1", "{} 1"),
        ("eval instant at 5m 1", "2"),
        ("eval instant at 5m 1", ""),
        ("eval instant at 5m \"a\"", "expect string \"b\""),
        ("eval instant at 5m sort(foo)", "expect ordered\n    foo{a=\"1\"} 6\n    foo{a=\"2\"} 5"),
        ("eval range from 0 to 2m step 1m foo{a=\"1\"}", "foo{a=\"1\"} 1 2"),
        ("eval range from 0 to 2m step 1m foo{a=\"1\"}", "foo{a=\"1\"} 1 2 3 4"),
        ("eval range from 0 to 2m step 1m foo{a=\"1\"}", "foo{a=\"1\"} 1 2 4"),
        ("eval range from 0 to 2m step 1m foo{a=\"1\"}", "foo{a=\"1\"} 1 _ 3"),
        ("eval instant at 5m foo{a=\"1\"}", "expect fail"),
        ("eval instant at 5m foo + on() foo", ""),
        ("eval instant at 5m foo + on() foo", "expect fail msg: something else"),
        ("eval instant at 5m foo{a=\"1\"}", "expect warn\n    foo{a=\"1\"} 6"),
        ("eval instant at 5m foo{a=\"1\"}", "expect info\n    foo{a=\"1\"} 6"),
        ("eval instant at 5m quantile(2, foo)", "expect no_warn\n    {} Inf"),
        ("eval instant at 5m quantile(2, foo)", "expect warn regex: other\n    {} Inf"),
        ("eval instant at 5m foo{", ""),
        // Right at its time, wrong with `@`: the start of the query is not that of the range around it.
        ("eval instant at 5m foo{a=\"1\"} @ end() + 0 * time() + 1", "{a=\"1\"} 6"),
    ];
    for (eval, expectation) in cases {
        let report = outcomes(&format!("{eval}\n    {expectation}\n"));
        assert_eq!(report.failed(), 1, "{eval} {expectation}: {report}");
    }
}

#[test]
fn start_timestamps_are_loaded() {
    let report = outcomes("eval instant at 2m start_timestamp(s)\n    {} 60\n");
    assert_eq!(report.passed(), 1, "{report}");
    assert_eq!(outcomes("clear\neval instant at 1m s").passed(), 1);
}

#[test]
fn histograms_and_numbers_are_told_apart() {
    let cases = [
        ("h", "h {{schema:0 count:1 sum:1 buckets:[1]}}", true),
        ("h", "h {{schema:0 count:1 sum:1.000000001 buckets:[1]}}", true),
        ("h", "h {{schema:0 count:1 sum:2 buckets:[1]}}", false),
        ("h", "h 1", false),
        ("foo{a=\"1\"}", "foo{a=\"1\"} {{count:1}}", false),
        ("h", "h {{schema:0 count:1 sum:1 buckets:[1] counter_reset_hint:gauge}}", false),
    ];
    for (query, expectation, right) in cases {
        for times in ["instant at 1m", "range from 1m to 1m step 1m"] {
            let report = outcomes(&format!("eval {times} {query}\n    {expectation}\n"));
            assert_eq!(report.passed() == 1, right, "{times} {query} {expectation}: {report}");
        }
    }
}

#[test]
fn a_load_that_the_storage_refuses_stops_the_script() {
    let script = Script::parse("load 1m\n    a 1\n\nload 1m\n    a 2\n\neval instant at 0 a\n").unwrap();
    let report = run(&script, &test_engine(), &|| Box::new(MemStore::new()));
    assert_eq!(report.error.map(|error| error.line), Some(4));
    assert!(report.cases.is_empty());
}
