//! Fields and methods of values: what stands behind a dot.

use super::value::Value;
use super::{print, time};

/// The field or the result of the method `name` of `receiver`, given `arguments`.
pub(super) fn field(receiver: &Value, name: &str, arguments: &[Value]) -> Result<Value, String> {
    if let Some(result) = method(receiver, name, arguments) {
        return result;
    }
    if !arguments.is_empty() {
        return Err(format!("{name} is not a method but has arguments"));
    }
    match (receiver, name) {
        (Value::Nil, _) => Ok(Value::Nil),
        (Value::Labels(labels), _) => Ok(Value::text(labels.get(name).unwrap_or(""))),
        (Value::Map(map), _) => Ok(map.get(name).cloned().unwrap_or(Value::Nil)),
        (Value::Sample(sample), "Labels") => Ok(Value::Labels(sample.labels.clone())),
        (Value::Sample(sample), "Value") => Ok(sample.value.clone()),
        (Value::Data(data), "Labels") => Ok(Value::Labels(data.labels.clone())),
        (Value::Data(data), "ExternalLabels") => Ok(Value::Labels(data.external_labels.clone())),
        (Value::Data(data), "ExternalURL") => Ok(Value::text(data.external_url.as_str())),
        (Value::Data(data), "Value") => Ok(data.value.clone()),
        (Value::Histogram(histogram), "Count") => Ok(Value::Float(histogram.count())),
        (Value::Histogram(histogram), "Sum") => Ok(Value::Float(histogram.sum())),
        _ => Err(format!("can't evaluate field {name} in type {}", receiver.type_name())),
    }
}

/// The result of a method; `None` if the value has no such method.
fn method(receiver: &Value, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
    let wanted = usize::from(matches!(name, "Format" | "Add" | "Sub" | "Before" | "After" | "Equal"));
    let result = match (receiver, name, arguments) {
        (Value::Time(ns), "Format", [Value::String(layout)]) => Value::text(time::format(*ns, layout)),
        (Value::Time(ns), "Add", [Value::Duration(by)]) => Value::Time(ns.saturating_add(*by)),
        (Value::Time(ns), "Sub", [Value::Time(other)]) => Value::Duration(ns.saturating_sub(*other)),
        (Value::Time(ns), "Before", [Value::Time(other)]) => Value::Bool(ns < other),
        (Value::Time(ns), "After", [Value::Time(other)]) => Value::Bool(ns > other),
        (Value::Time(ns), "Equal", [Value::Time(other)]) => Value::Bool(ns == other),
        (Value::Time(ns), "UTC", []) => Value::Time(*ns),
        (Value::Time(ns), "Unix", []) => Value::Int(ns.div_euclid(1_000_000_000)),
        (Value::Time(ns), "UnixMilli", []) => Value::Int(ns.div_euclid(1_000_000)),
        (Value::Time(ns), "UnixNano", []) => Value::Int(*ns),
        (Value::Time(ns), _, []) => time::part(*ns, name)?,
        (Value::Duration(ns), "Hours", []) => Value::Float(*ns as f64 / 3.6e12),
        (Value::Duration(ns), "Minutes", []) => Value::Float(*ns as f64 / 6e10),
        (Value::Duration(ns), "Seconds", []) => Value::Float(*ns as f64 / 1e9),
        (Value::Duration(ns), "Milliseconds", []) => Value::Int(ns / 1_000_000),
        (Value::Duration(_) | Value::Histogram(_), "String", []) => Value::text(print::printed(receiver)),
        (Value::Time(_), "Format" | "Add" | "Sub" | "Before" | "After" | "Equal", given) => {
            return Some(Err(match given.len() == wanted {
                true => format!("wrong type for an argument of {name}: {}", given[0].type_name()),
                false => format!("wrong number of args for {name}: want {wanted} got {}", given.len()),
            }));
        }
        _ => return None,
    };
    Some(Ok(result))
}
