//! A snapshot in the Prometheus text format, version 0.0.4.

use super::{Family, Point};
use crate::api::write_value;
use tsdb_core::metadata::MetricType;

/// Writes all families.
pub(crate) fn write_text(families: &[Family]) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 << 10);
    for family in families {
        let kind = match family.kind {
            MetricType::Unknown => "untyped",
            kind => kind.as_str(),
        };
        push(&mut out, &["# HELP ", family.name, " ", family.help, "\n"]);
        push(&mut out, &["# TYPE ", family.name, " ", kind, "\n"]);
        for point in &family.points {
            write_point(family.name, point, &mut out);
        }
    }
    out
}

fn write_point(name: &str, point: &Point, out: &mut Vec<u8>) {
    push(out, &[name, point.suffix]);
    let mut separator = "{";
    for (label, value) in &point.labels {
        push(out, &[separator, label, "=\"", &escape(value), "\""]);
        separator = ",";
    }
    push(out, &[if separator == "," { "} " } else { " " }]);
    write_value(point.value, out);
    out.push(b'\n');
}

fn push(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_lines_with_escaped_labels() {
        let point = |suffix, labels, value| Point { suffix, labels, value };
        let family = Family {
            name: "m",
            kind: MetricType::Histogram,
            help: "What it is.",
            points: vec![
                point("_bucket", vec![("handler", "a\"\\\n".to_owned()), ("le", "+Inf".to_owned())], 3.0),
                point("_sum", Vec::new(), 0.5),
            ],
        };
        let expected = "# HELP m What it is.\n# TYPE m histogram\n\
                        m_bucket{handler=\"a\\\"\\\\\\n\",le=\"+Inf\"} 3\nm_sum 0.5\n";
        assert_eq!(String::from_utf8(write_text(&[family])).unwrap(), expected);
    }
}
