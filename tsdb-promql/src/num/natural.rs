//! Natural order of strings: runs of digits compare as numbers.

use std::cmp::Ordering;

/// Compares `a` and `b` run by run: runs of digits by their number, other runs bytewise. A text that is the
/// beginning of the other is smaller; equal numbers written differently compare by their digits.
pub(crate) fn compare_natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    while !a.is_empty() && !b.is_empty() {
        let (a_run, a_rest) = split_run(a);
        let (b_run, b_rest) = split_run(b);
        let order = if is_number(a_run) && is_number(b_run) {
            compare_numbers(a_run, b_run)
        } else {
            a_run.cmp(b_run)
        };
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (a_rest, b_rest);
    }
    a.len().cmp(&b.len())
}

fn is_number(run: &str) -> bool {
    run.starts_with(|c: char| c.is_ascii_digit())
}

fn split_run(text: &str) -> (&str, &str) {
    let digits = is_number(text);
    let end = text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len());
    text.split_at(end)
}

fn compare_numbers(a: &str, b: &str) -> Ordering {
    let (a_digits, b_digits) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a_digits.len().cmp(&b_digits.len()).then_with(|| a_digits.cmp(b_digits)).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_inside_texts_compare_as_numbers() {
        let mut values = ["node10", "node9", "node", "10", "9", "a1b2", "a1b10", "canary", "Node1"];
        values.sort_by(|a, b| compare_natural(a, b));
        assert_eq!(values, ["9", "10", "Node1", "a1b2", "a1b10", "canary", "node", "node9", "node10"]);
        assert_eq!(compare_natural("x1", "x1"), Ordering::Equal);
    }
}
