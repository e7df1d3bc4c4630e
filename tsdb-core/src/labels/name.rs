//! What a metric or label name may be in the classic (pre-UTF-8) rules.

/// Is `name` a metric name by the classic rule `[a-zA-Z_:][a-zA-Z0-9_:]*`?
pub fn is_legacy_metric_name(name: &str) -> bool {
    is_identifier(name, true)
}

/// Is `name` a label name by the classic rule `[a-zA-Z_][a-zA-Z0-9_]*`?
pub fn is_legacy_label_name(name: &str) -> bool {
    is_identifier(name, false)
}

fn is_identifier(name: &str, colon: bool) -> bool {
    let head = |b: u8| b.is_ascii_alphabetic() || b == b'_' || (colon && b == b':');
    let mut bytes = name.bytes();
    bytes.next().is_some_and(head) && bytes.all(|b| head(b) || b.is_ascii_digit())
}
