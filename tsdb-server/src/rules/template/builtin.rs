//! The functions of Go's `text/template` itself.

use super::budget::Budget;
use super::value::Value;
use super::{print, verb};
use std::cmp::Ordering;

/// What `budget` lets the function `name` give; `None` if it is none of these.
pub(super) fn call(name: &str, arguments: &[Value], budget: &mut Budget) -> Option<Result<Value, String>> {
    let (first, others) = match arguments {
        [first, others @ ..] => (first, others),
        [] => (&Value::Nil, [].as_slice()),
    };
    let result = match name {
        "not" => Ok(Value::Bool(!first.truth())),
        "len" => len(first),
        "index" => others.iter().try_fold(first.clone(), |value, key| index(&value, key)),
        "slice" => slice(first, others),
        "print" => Ok(Value::text(print::print(arguments))),
        "println" => Ok(Value::text(print::println(arguments))),
        "printf" => match first {
            Value::String(format) => verb::sprintf(format, others).map(Value::text),
            other => Err(format!("wrong type for value; expected string; got {}", other.type_name())),
        },
        "html" => Ok(Value::text(html(&print::print(arguments)))),
        "js" => Ok(Value::text(gotmpl::js_escape(&print::print(arguments)))),
        "urlquery" => Ok(Value::text(gotmpl::url_encode(&print::print(arguments)))),
        "call" => Err(format!("non-function {} of type {}", print::printed(first), first.type_name())),
        "eq" => equal_to_any(first, others),
        "ne" => equal(first, others.first().unwrap_or(&Value::Nil)).map(|same| Value::Bool(!same)),
        "lt" => compare(first, others, |order| order == Ordering::Less),
        "le" => compare(first, others, |order| order != Ordering::Greater),
        "gt" => compare(first, others, |order| order == Ordering::Greater),
        "ge" => compare(first, others, |order| order != Ordering::Less),
        _ => return None,
    };
    Some(result.and_then(|value| {
        if let Value::String(text) = &value {
            budget.spend_bytes(text.len())?;
        }
        Ok(value)
    }))
}

/// The characters that mean something in HTML, escaped as Go's `html` does.
fn html(text: &str) -> String {
    gotmpl::html_escape(text)
}

fn len(value: &Value) -> Result<Value, String> {
    let len = match value {
        Value::String(text) => text.len(),
        Value::Labels(labels) => labels.len(),
        Value::Map(map) => map.len(),
        Value::Vector(samples) => samples.len(),
        Value::Nil => return Err("len of nil pointer".to_owned()),
        other => return Err(format!("len of type {}", other.type_name())),
    };
    Ok(Value::Int(i64::try_from(len).unwrap_or(i64::MAX)))
}

pub(super) fn index(value: &Value, key: &Value) -> Result<Value, String> {
    match (value, key) {
        (Value::Labels(labels), Value::String(name)) => Ok(Value::text(labels.get(name).unwrap_or(""))),
        (Value::Map(map), Value::String(name)) => Ok(map.get(&**name).cloned().unwrap_or(Value::Nil)),
        (Value::Vector(samples), Value::Int(at)) => {
            let sample = usize::try_from(*at).ok().and_then(|at| samples.get(at));
            sample.cloned().map(Value::Sample).ok_or_else(|| format!("index out of range: {at}"))
        }
        (Value::String(text), Value::Int(at)) => {
            let byte = usize::try_from(*at).ok().and_then(|at| text.as_bytes().get(at));
            byte.map(|byte| Value::Int(i64::from(*byte))).ok_or_else(|| format!("index out of range: {at}"))
        }
        (Value::Nil, _) => Err("index of untyped nil".to_owned()),
        (Value::Labels(_) | Value::Map(_), key) => {
            Err(format!("value has type {}; should be string", key.type_name()))
        }
        (Value::Vector(_) | Value::String(_), key) => {
            Err(format!("cannot index slice/array with type {}", key.type_name()))
        }
        (other, _) => Err(format!("can't index item of type {}", other.type_name())),
    }
}

fn slice(value: &Value, bounds: &[Value]) -> Result<Value, String> {
    let len = match value {
        Value::String(text) => text.len(),
        Value::Vector(samples) => samples.len(),
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    let bound = |value: &Value| match value {
        Value::Int(at) => usize::try_from(*at)
            .ok()
            .filter(|at| *at <= len)
            .ok_or_else(|| format!("index out of range: {at}")),
        other => Err(format!("cannot index slice/array with type {}", other.type_name())),
    };
    let from = bounds.first().map_or(Ok(0), bound)?;
    let to = bounds.get(1).map_or(Ok(len), bound)?;
    if bounds.len() > 2 {
        return Err("cannot 3-index slice a value of this type".to_owned());
    }
    let invalid = || format!("invalid slice index: {from} > {to}");
    match value {
        Value::Vector(samples) => {
            samples.get(from..to).map(|part| Value::Vector(part.into())).ok_or_else(invalid)
        }
        // A part that is no text on its own is shown with replacement characters.
        Value::String(text) => {
            let part = text.as_bytes().get(from..to).ok_or_else(invalid)?;
            Ok(Value::text(String::from_utf8_lossy(part)))
        }
        _ => Err(invalid()),
    }
}

fn equal_to_any(first: &Value, others: &[Value]) -> Result<Value, String> {
    for other in others {
        if equal(first, other)? {
            return Ok(Value::Bool(true));
        }
    }
    if others.is_empty() { Err("missing argument for comparison".to_owned()) } else { Ok(Value::Bool(false)) }
}

fn equal(a: &Value, b: &Value) -> Result<bool, String> {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::Int(a) | Value::Duration(a), Value::Int(b) | Value::Duration(b)) => Ok(a == b),
        (Value::Float(a), Value::Float(b)) => Ok(a == b),
        (Value::String(a), Value::String(b)) => Ok(a == b),
        (Value::Nil, Value::Nil) => Ok(true),
        (Value::Nil, _) | (_, Value::Nil) => Ok(false),
        _ => Err(incomparable(a, b)),
    }
}

fn compare(a: &Value, others: &[Value], wanted: fn(Ordering) -> bool) -> Result<Value, String> {
    let Some(b) = others.first() else { return Err("missing argument for comparison".to_owned()) };
    let order = match (a, b) {
        (Value::Int(a) | Value::Duration(a), Value::Int(b) | Value::Duration(b)) => Some(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => return Err(incomparable(a, b)),
    };
    Ok(Value::Bool(order.is_some_and(wanted)))
}

fn incomparable(a: &Value, b: &Value) -> String {
    let is_basic = |value: &Value| {
        matches!(
            value,
            Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::String(_) | Value::Duration(_)
        )
    };
    match is_basic(a) && is_basic(b) {
        true => "incompatible types for comparison".to_owned(),
        false => "invalid type for comparison".to_owned(),
    }
}
