//! What templates give, function by function.

use super::*;
use std::sync::Arc;
use tsdb_core::Labels;
use tsdb_core::histogram::{FloatHistogram, FloatParts};

/// A world in which the query `metric` gives two samples and all others none.
struct World;

impl Scope for World {
    fn query(&self, query: &str) -> Result<Vec<Sample>, String> {
        match query {
            "metric" => Ok(vec![sample("b", 21.0), sample("a", 11.5)]),
            "broken" => Err("no such store".to_owned()),
            _ => Ok(Vec::new()),
        }
    }

    fn now(&self) -> Timestamp {
        1_353_755_652_000
    }

    fn external_url(&self) -> &str {
        "http://metrics.example:9090/path/prefix"
    }
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).unwrap()
}

fn sample(instance: &str, value: f64) -> Sample {
    let labels = labels(&[("__name__", "metric"), ("instance", instance)]);
    Sample { labels, value: Value::Float(value) }
}

/// The variables that rules give their templates.
const VARIABLES: &str = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}\
    {{$externalURL := .ExternalURL}}{{$value := .Value}}";

fn alert(value: Value) -> Value {
    Value::Data(Arc::new(AlertData {
        labels: labels(&[("instance", "web-1:9100"), ("job", "node")]),
        external_labels: labels(&[("region", "eu")]),
        external_url: "http://metrics.example:9090/path/prefix".to_owned(),
        value,
    }))
}

fn expand(text: &str) -> Result<String, String> {
    let template = Template::parse("t", &format!("{VARIABLES}{text}")).map_err(|e| e.to_string())?;
    template.expand(&alert(Value::Float(1_234_567.0)), &World).map_err(|e| e.to_string())
}

fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(expand(text).as_deref(), Ok(*expected), "{text}");
    }
}

#[test]
fn an_alert_knows_its_labels_and_its_value() {
    check(&[
        ("plain text", "plain text"),
        ("{{ $labels.instance }} of {{ $labels.job }}", "web-1:9100 of node"),
        ("{{ .Labels.instance }} in {{ $externalLabels.region }}", "web-1:9100 in eu"),
        ("{{ $value }}", "1.234567e+06"),
        ("{{ $value | humanize }}", "1.235M"),
        ("{{ printf \"%.2f\" $value }}", "1234567.00"),
        ("{{ $externalURL }}", "http://metrics.example:9090/path/prefix"),
        ("{{ $labels }}", "map[instance:web-1:9100 job:node]"),
    ]);
}

#[test]
fn a_label_that_is_not_there_is_empty() {
    check(&[
        ("<{{ $labels.nope }}>", "<>"),
        ("{{ if eq $labels.nope \"\" }}absent{{ end }}", "absent"),
        ("{{ if $labels.nope }}there{{ else }}absent{{ end }}", "absent"),
        ("{{ $x := query \"metric\" | first }}<{{ $x.Labels.nope }}>", "<>"),
        ("<{{ query \"metric\" | first | label \"nope\" }}>", "<>"),
        ("<{{ index $labels \"nope\" }}>", "<>"),
    ]);
}

#[test]
fn queries_give_samples() {
    check(&[
        ("{{ query \"metric\" | first | value }}", "21"),
        ("{{ query \"metric\" | first | label \"instance\" }}", "b"),
        (
            "{{ range query \"metric\" | sortByLabel \"instance\" }}{{ .Labels.instance }}={{ .Value }} {{ end }}",
            "a=11.5 b=21 ",
        ),
        ("{{ range $i, $s := query \"metric\" }}{{ $i }}:{{ $s.Value }} {{ end }}", "0:21 1:11.5 "),
        ("{{ with query \"none\" }}some{{ else }}none{{ end }}", "none"),
        ("{{ len (query \"metric\") }}", "2"),
    ]);
    let error = expand("{{ query \"none\" | first }}").unwrap_err();
    assert!(
        error.ends_with("at <first>: error calling first: first() called on vector with no elements"),
        "{error}"
    );
    let error = expand("{{ query \"broken\" }}").unwrap_err();
    assert!(error.ends_with("error calling query: no such store"), "{error}");
}

#[test]
fn numbers_are_made_readable() {
    let each = |function: &str, numbers: &str| {
        format!("{{{{ range $n := (args {numbers}) }}}}{{{{ {function} $n }}}}:{{{{ end }}}}")
    };
    let cases = [
        ("humanize", "0.0 1.0 1234567.0 .12 -1 \"1234567\" 1e30", "0:1:1.235M:120m:-1:1.235M:1e+06Y:"),
        ("humanize1024", "0.0 1.0 1048576.0 .12 1234567", "0:1:1Mi:0.12:1.177Mi:"),
        (
            "humanizeDuration",
            "0 1 60 3600 86400 90000 -183845 899.99",
            "0s:1s:1m 0s:1h 0m 0s:1d 0h 0m 0s:1d 1h 0m 0s:-2d 3h 4m 5s:14m 59s:",
        ),
        (
            "humanizeDuration",
            ".1 .0001 .12345 60.1 1.2345 12.345",
            "100ms:100us:123.5ms:1m 0s:1.234s:12.35s:",
        ),
        (
            "humanizePercentage",
            "-0.22222 0.0 0.1234567 1.23456 1234567",
            "-22.22%:0%:12.35%:123.5%:1.235e+08%:",
        ),
        (
            "humanizeTimestamp",
            "0 -1 1435065584.128",
            "1970-01-01 00:00:00 +0000 UTC:1969-12-31 23:59:59 +0000 UTC:2015-06-23 13:19:44.128 +0000 UTC:",
        ),
        ("humanize", "\"+Inf\" \"-Inf\" \"NaN\"", "+Inf:-Inf:NaN:"),
        ("humanizeTimestamp", "\"+Inf\" \"NaN\"", "+Inf:NaN:"),
    ];
    for (function, numbers, expected) in cases {
        assert_eq!(expand(&each(function, numbers)).as_deref(), Ok(expected), "{function} {numbers}");
    }
    let error = expand("{{ humanize \"one\" }}").unwrap_err();
    assert!(
        error.ends_with("error calling humanize: strconv.ParseFloat: parsing \"one\": invalid syntax"),
        "{error}"
    );
    let error = expand("{{ humanizeTimestamp 9223372036854775807 }}").unwrap_err();
    assert!(
        error.contains("9.223372036854776e+18 cannot be represented as a nanoseconds timestamp"),
        "{error}"
    );
}

#[test]
fn times_and_durations_have_methods() {
    check(&[
        ("{{ now }}", "1.353755652e+09"),
        ("{{ (now | toTime).Format \"Mon Jan 2 15:04:05 2006\" }}", "Sat Nov 24 11:14:12 2012"),
        ("{{ (now | toTime).Format \"2006-01-02T15:04:05.000Z07:00\" }}", "2012-11-24T11:14:12.000Z"),
        ("{{ (now | toTime).Format \"_2 __2 002 06 3:4:5PM\" }}", "24 329 329 12 11:14:12AM"),
        ("{{ (1800 | toDuration).String }}", "30m0s"),
        ("{{ 0.0015 | toDuration }} {{ 3661.5 | toDuration }}", "1.5ms 1h1m1.5s"),
        ("{{ (\"-30m\" | parseDuration | toDuration | (now | toTime).Add).UnixMilli }}", "1353753852000"),
        (
            "{{ (now | toTime).Year }} {{ (now | toTime).Month }} {{ (now | toTime).Weekday }}",
            "2012 November Saturday",
        ),
        ("{{ printf \"%0.2f\" (parseDuration \"1h2m10ms\") }}", "3720.01"),
    ]);
}

#[test]
fn texts_are_taken_apart() {
    check(&[
        ("{{ reReplaceAll \"(a)b\" \"x$1\" \"ab\" }}", "xa"),
        ("{{ match \"a+\" \"baab\" }} {{ match \"^a+$\" \"b\" }}", "true false"),
        ("{{ $labels.instance | reReplaceAll \":.*\" \"\" | toUpper }}", "WEB-1"),
        (
            "{{ \"foo.example.com:12345\" | stripPort }} {{ \"[2001:0DB8::1]:12345\" | stripPort }}",
            "foo.example.com 2001:0DB8::1",
        ),
        (
            "{{ \"2001:0DB8::1\" | stripPort }} {{ \"[2001:0DB8::1]::12345\" | stripPort }}",
            "2001:0DB8::1 [2001:0DB8::1]::12345",
        ),
        (
            "{{ \"foo.example.com:12345\" | stripDomain }} {{ \"192.0.2.1:12345\" | stripDomain }}",
            "foo:12345 192.0.2.1:12345",
        ),
        (
            "{{ \"foo.example.com\" | stripDomain }} {{ \"[2001:0DB8::1]:12345\" | stripDomain }}",
            "foo [2001:0DB8::1]:12345",
        ),
        ("{{ \"aa bb CC\" | title }} {{ \"aA\" | toLower }}", "Aa Bb CC aa"),
        (
            "{{ graphLink \"up == 0\" }} {{ tableLink \"up\" }}",
            "/graph?g0.expr=up+%3D%3D+0&g0.tab=0 /graph?g0.expr=up&g0.tab=1",
        ),
        ("{{ pathPrefix }} {{ externalURL }}", "/path/prefix http://metrics.example:9090/path/prefix"),
        ("{{ urlQueryEscape \"a b&c\" }}", "a+b%26c"),
    ]);
}

#[test]
fn the_language_is_that_of_go() {
    check(&[
        ("{{ 1 }} {{ 1.0 }} {{ 1.5 }} {{ 100000.0 }} {{ true }}", "1 1 1.5 100000 true"),
        ("{{ define \"x\" }}{{ .arg0 }} {{ .arg1 }}{{ end }}{{ template \"x\" (args 1 \"2\") }}", "1 2"),
        ("{{ if and (gt $value 10.0) (lt $value 1e7) }}between{{ end }}", "between"),
        ("{{ if or false \"\" $labels.job }}{{ end }}{{ or false \"\" \"x\" }}{{ and 1 0 }}", "x0"),
        ("{{ range $i := 3 }}{{ if eq $i 1 }}{{ continue }}{{ end }}{{ $i }}{{ end }}", "02"),
        ("{{ range 9 }}{{ . }}{{ if eq . 2 }}{{ break }}{{ end }}{{ end }}", "012"),
        ("{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ $x := 3 }}{{ end }}{{ $x }}", "2"),
        ("a {{- \" b \" -}} c", "a b c"),
        ("{{ slice \"abcdef\" 1 3 }} {{ index \"abc\" 1 }} {{ len \"abc\" }}", "bc 98 3"),
        ("{{ print 1 2 \"a\" \"b\" 3 }} {{ println \"x\" 1 }}", "1 2ab3 x 1\n"),
        ("{{ html \"<b>\" }} {{ urlquery \"a b\" }}", "&lt;b&gt; a+b"),
        (
            "{{ not true }} {{ ne 1 2 }} {{ le 2 2 }} {{ ge \"b\" \"a\" }} {{ eq 1 2 1 }}",
            "false true true true true",
        ),
        ("{{/* nothing */}}{{ .Labels.job }}", "node"),
    ]);
}

#[test]
fn printf_has_the_verbs_of_go() {
    check(&[
        (
            "{{ printf \"%d|%5d|%-5d|%05d|%+d|%x|%o|%b|%c|%U\" 42 42 42 42 42 255 8 5 65 65 }}",
            "42|   42|42   |00042|+42|ff|10|101|A|U+0041",
        ),
        (
            "{{ printf \"%f|%.1f|%8.2f|%-8.2f|%08.2f|%+.0f\" 1.5 1.25 3.14159 3.14159 -3.14159 2.0 }}",
            "1.500000|1.2|    3.14|3.14    |-0003.14|+2",
        ),
        (
            "{{ printf \"%e|%.2e|%g|%.3g|%G|%v\" 1234.5 0.00012 1e6 1234.5 1e-7 21e20 }}",
            "1.234500e+03|1.20e-04|1e+06|1.23e+03|1E-07|2.1e+21",
        ),
        (
            "{{ printf \"%s|%5s|%-5s|%.2s|%q|%x\" \"abc\" \"abc\" \"abc\" \"abc\" \"a\\\"b\" \"hi\" }}",
            "abc|  abc|abc  |ab|\"a\\\"b\"|6869",
        ),
        ("{{ printf \"%t %v %v %%\" true nil false }}", "true <nil> false %"),
        (
            "{{ printf \"%d\" 1.5 }} {{ printf \"%s\" 1 }} {{ printf \"%d\" }} {{ printf \"a\" 1 }}",
            "%!d(float64=1.5) %!s(int=1) %!d(MISSING) a%!(EXTRA int=1)",
        ),
        ("{{ printf \"%*d|%.*f\" 4 7 2 1.0 }}", "   7|1.00"),
    ]);
}

#[test]
fn histograms_are_printed_as_in_query_answers() {
    let histogram =
        FloatHistogram::new(FloatParts { count: 3.0, sum: 4.5, zero_count: 3.0, ..FloatParts::default() })
            .unwrap();
    let expected = histogram.to_string();
    let template = Template::parse("t", "{{ .Value }}").unwrap();
    let data = alert(Value::Histogram(Arc::new(histogram)));
    assert_eq!(template.expand(&data, &World).unwrap(), expected);
}

#[test]
fn faults_say_where_they_are() {
    let fault = |text: &str| match Template::parse("test", text) {
        Err(error) => error.to_string(),
        Ok(template) => template.expand(&Value::Nil, &World).unwrap_err().to_string(),
    };
    assert_eq!(fault("{{"), "error parsing template test: template: test:1: unclosed action");
    assert_eq!(
        fault("a\n{{ nope 1 }}"),
        "error parsing template test: template: test:2: function \"nope\" not defined"
    );
    let missing = "error executing template test: template: test:1:21: executing \"test\" at <first>: \
                   error calling first: first() called on vector with no elements";
    assert_eq!(fault("{{ query \"missing\" | first }}"), missing);
    let of_call = "error executing template test: template: test:1:3: executing \"test\" at <humanize \"one\">: \
                   error calling humanize: strconv.ParseFloat: parsing \"one\": invalid syntax";
    assert_eq!(fault("{{ humanize \"one\" }}"), of_call);
    for text in [
        "{{ (query \"x\").banana }}",
        "{{ if gt 1.5 1 }}{{ end }}",
        "{{ template \"none\" }}",
        "{{ $x }}",
        "{{ 1 | 2 }}",
    ] {
        assert!(!fault(text).is_empty());
    }
}

#[test]
fn a_template_that_does_too_much_ends() {
    let nested = "{{ range 1000000000 }}{{ range 1000000000 }}{{ end }}{{ end }}";
    let explodes =
        "{{ define \"x\" }}{{ template \"x\" . }}{{ template \"x\" . }}{{ end }}{{ template \"x\" . }}";
    let doubles = "{{ $x := \"ab\" }}{{ range 64 }}{{ $x = print $x $x }}{{ end }}{{ $x }}";
    let regexes = "{{ range 1000000 }}{{ match \"(a{1,30}){1,30}\" \"b\" }}{{ end }}";
    let wide = "{{ printf \"%999999999d\" 1 }}";
    let replaced =
        "{{ $x := printf \"%900d\" 1 }}{{ range 20 }}{{ $x = reReplaceAll \".\" \"$0$0$0$0\" $x }}{{ end }}";
    for text in [nested, explodes, doubles, regexes, wide, replaced] {
        let error = expand(text).unwrap_err();
        assert!(
            error.contains("more than") || error.contains("maximum") || error.contains("above"),
            "{text}: {error}"
        );
    }
    assert!(Template::parse("t", &"x".repeat(100_000)).is_err());
    let deep = format!("{}{}", "{{ if true }}".repeat(5_000), "{{ end }}".repeat(5_000));
    assert!(Template::parse("t", &deep).is_err());
}
