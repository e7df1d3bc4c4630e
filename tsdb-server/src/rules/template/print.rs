//! Values as Go prints them.

use super::number::{Notation, float};
use super::time;
use super::value::Value;

/// What the verb `%v` writes.
pub(super) fn printed(value: &Value) -> String {
    match value {
        Value::Nil => "<nil>".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => float(*value, Notation::Shorter, None),
        Value::String(text) => text.to_string(),
        Value::Labels(labels) => map(labels.iter().map(|(name, value)| (name, value.to_owned()))),
        Value::Map(entries) => map(entries.iter().map(|(name, value)| (name.as_str(), printed(value)))),
        Value::Sample(sample) => {
            format!("{{{} {}}}", printed(&Value::Labels(sample.labels.clone())), printed(&sample.value))
        }
        Value::Vector(samples) => {
            let texts: Vec<_> = samples.iter().map(|s| printed(&Value::Sample(s.clone()))).collect();
            format!("[{}]", texts.join(" "))
        }
        Value::Histogram(histogram) => histogram.to_string(),
        Value::Time(ns) => time::format(*ns, time::PRINTED),
        Value::Duration(ns) => time::duration(*ns),
        Value::Data(data) => {
            let labels = [&data.labels, &data.external_labels].map(|l| printed(&Value::Labels(l.clone())));
            format!("{{{} {} {}}}", labels.join(" "), data.external_url, printed(&data.value))
        }
    }
}

fn map<'a>(entries: impl Iterator<Item = (&'a str, String)>) -> String {
    let texts: Vec<_> = entries.map(|(name, value)| format!("{name}:{value}")).collect();
    format!("map[{}]", texts.join(" "))
}

/// What `print` writes: the values, with a space between two neighbours neither of which is a string.
pub(super) fn print(values: &[Value]) -> String {
    let mut out = String::new();
    for (index, value) in values.iter().enumerate() {
        let is_text = |value: Option<&Value>| matches!(value, Some(Value::String(_)));
        if index > 0 && !is_text(Some(value)) && !is_text(values.get(index - 1)) {
            out.push(' ');
        }
        out.push_str(&printed(value));
    }
    out
}

/// What `println` writes: the values with spaces between them, and a line feed.
pub(super) fn println(values: &[Value]) -> String {
    let texts: Vec<_> = values.iter().map(printed).collect();
    format!("{}\n", texts.join(" "))
}
