//! Labels of a series that will not be stored, checked where they lie: a flood of new series is told what is wrong with each
//! without the cost of a label set each.

use super::remote_write_format::visit_labels;
use crate::limits::SeriesRules;
use crate::validation;
use tsdb_core::METRIC_NAME;

/// Would a series with these labels, which have the wire form `wire`, be stored if there were room? `false` also for labels
/// that are only unusual, such as unsorted ones: whoever wants to know decodes them.
pub(super) fn is_proper(wire: &[u8], rules: &SeriesRules) -> bool {
    let (mut previous, mut count, mut is_named) = ("", 0_usize, false);
    let visited = visit_labels(wire, |name, value| {
        let is_in_order = name > previous && !value.is_empty();
        is_named |= name == METRIC_NAME;
        previous = name;
        count = count.saturating_add(1);
        is_in_order && validation::check_label(name, value, rules).is_ok()
    });
    let has_few = rules.max_labels.exceeded_by(count.saturating_sub(1)).is_none();
    visited.is_ok_and(|are_proper| are_proper && is_named && has_few)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::PushRules;
    use tsdb_core::labels::write_wire_pair;

    #[test]
    fn only_labels_that_would_be_stored_as_they_are_pass() {
        let long = "x".repeat(201);
        let names: Vec<String> = (b'a'..=b'p').map(|letter| char::from(letter).to_string()).collect();
        let mut crowded = vec![("__name__", "m")];
        crowded.extend(names.iter().map(|name| (name.as_str(), "v")));
        let cases: [(&[(&str, &str)], bool); 9] = [
            (&[("__name__", "m"), ("a", "1"), ("b", "2")], true),
            (&[("__name__", "m"), ("b", "2"), ("a", "1")], false),
            (&[("__name__", "m"), ("a", "1"), ("a", "1")], false),
            (&[("__name__", "m"), ("a", "")], false),
            (&[("__name__", "m"), ("email", "x")], false),
            (&[("__name__", "m"), ("a", &long)], false),
            (&[("a", "1")], false),
            (&[], false),
            (&crowded, false),
        ];
        for (pairs, expected) in cases {
            let mut wire = Vec::new();
            pairs.iter().for_each(|(name, value)| write_wire_pair(name, value, &mut wire));
            assert_eq!(is_proper(&wire, &PushRules::default().0), expected, "{pairs:?}");
        }
        let mut wire = Vec::new();
        write_wire_pair("__name__", b"\xff", &mut wire);
        assert!(!is_proper(&wire, &PushRules::default().0), "no UTF-8");
        assert!(!is_proper(b"\x0a\x7f", &PushRules::default().0), "cut off");
    }
}
