//! `/api/v1/parse_query`: the syntax tree of a query, in the JSON that Prometheus gives it.
//!
//! Keys stand in alphabetical order and strings escape `<`, `>` and `&`, as Go's encoder has it.

use super::response::write_json_string;
use tsdb_core::{MatchOp, Matcher};
use tsdb_promql::ast::{
    Aggregate, At, Binary, Call, Cardinality, DurationValue, Expr, MatrixSelector, Modifiers, Subquery,
    ValueType, VectorMatching, VectorSelector, format_number,
};
use tsdb_promql::check::{Ending, signature};

/// An object under construction.
struct Object<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
}

impl<'o> Object<'o> {
    fn open(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    /// Writes a key; the value comes next.
    fn key(&mut self, key: &str) -> &mut Vec<u8> {
        if !std::mem::replace(&mut self.first, false) {
            self.out.push(b',');
        }
        self.out.extend_from_slice(format!("\"{key}\":").as_bytes());
        self.out
    }

    fn text(&mut self, key: &str, value: &str) {
        write_text(value, self.key(key));
    }

    fn literal(&mut self, key: &str, value: impl ToString) {
        let value = value.to_string();
        self.key(key).extend_from_slice(value.as_bytes());
    }

    /// Writes the type and ends the object.
    fn close(mut self, kind: &str) {
        self.text("type", kind);
        self.out.push(b'}');
    }
}

/// Writes the tree under `expr`.
pub(super) fn write_expr(expr: &Expr, out: &mut Vec<u8>) {
    match expr {
        Expr::Number(number) => {
            // The type stands before the value here.
            out.extend_from_slice(b"{\"type\":\"numberLiteral\",\"val\":");
            write_text(&format_number(number.value), out);
            out.push(b'}');
        }
        Expr::String(string) => {
            out.extend_from_slice(b"{\"type\":\"stringLiteral\",\"val\":");
            write_text(&string.value.to_string_lossy(), out);
            out.push(b'}');
        }
        Expr::Vector(selector) => write_selector(selector, None, out),
        Expr::Matrix(matrix) => write_matrix(matrix, out),
        Expr::Subquery(subquery) => write_subquery(subquery, out),
        Expr::Paren(paren) => {
            let mut object = Object::open(out);
            write_expr(&paren.expr, object.key("expr"));
            object.close("parenExpr");
        }
        Expr::Unary(unary) => {
            let mut object = Object::open(out);
            write_expr(&unary.expr, object.key("expr"));
            object.text("op", &unary.op.to_string());
            object.close("unaryExpr");
        }
        Expr::Binary(binary) => write_binary(binary, out),
        Expr::Aggregate(aggregate) => write_aggregate(aggregate, out),
        Expr::Call(call) => write_call(call, out),
    }
}

fn write_matrix(matrix: &MatrixSelector, out: &mut Vec<u8>) {
    write_selector(&matrix.selector, Some(&matrix.range), out);
}

fn write_selector(selector: &VectorSelector, range: Option<&DurationValue>, out: &mut Vec<u8>) {
    let mut object = Object::open(out);
    write_list(&selector.matchers, object.key("matchers"), write_matcher);
    object.text("name", selector.name.as_deref().unwrap_or(""));
    object.literal("offset", milliseconds(&selector.modifiers.offset));
    if let Some(range) = range {
        object.literal("range", milliseconds(range));
    }
    write_start_or_end(&selector.modifiers, &mut object);
    write_timestamp(&selector.modifiers, &mut object);
    object.close(if range.is_some() { "matrixSelector" } else { "vectorSelector" });
}

fn write_subquery(subquery: &Subquery, out: &mut Vec<u8>) {
    let mut object = Object::open(out);
    write_expr(&subquery.expr, object.key("expr"));
    object.literal("offset", milliseconds(&subquery.modifiers.offset));
    object.literal("range", milliseconds(&subquery.range));
    write_start_or_end(&subquery.modifiers, &mut object);
    object.literal("step", subquery.step.as_ref().map_or(0, milliseconds));
    write_timestamp(&subquery.modifiers, &mut object);
    object.close("subquery");
}

fn write_start_or_end(modifiers: &Modifiers, object: &mut Object<'_>) {
    match modifiers.at {
        Some(At::Start) => object.text("startOrEnd", "start"),
        Some(At::End) => object.text("startOrEnd", "end"),
        _ => object.literal("startOrEnd", "null"),
    }
}

fn write_timestamp(modifiers: &Modifiers, object: &mut Object<'_>) {
    match modifiers.at {
        Some(At::Time(time)) => object.literal("timestamp", time),
        _ => object.literal("timestamp", "null"),
    }
}

/// What arithmetic over durations yields is known only with the times of a query; without, it counts as 0.
fn milliseconds(duration: &DurationValue) -> i64 {
    match duration {
        DurationValue::Fixed(ms) => *ms,
        DurationValue::Expr(_) => duration.resolve(0, 0).unwrap_or(0),
    }
}

fn write_matcher(matcher: &Matcher, out: &mut Vec<u8>) {
    let mut object = Object::open(out);
    object.text("name", matcher.name());
    let op = match matcher.op() {
        MatchOp::Equal => "=",
        MatchOp::NotEqual => "!=",
        MatchOp::Regex => "=~",
        MatchOp::NotRegex => "!~",
    };
    object.text("type", op);
    object.text("value", matcher.value());
    out.push(b'}');
}

fn write_binary(binary: &Binary, out: &mut Vec<u8>) {
    let mut object = Object::open(out);
    object.literal("bool", binary.return_bool);
    write_expr(&binary.lhs, object.key("lhs"));
    match &binary.matching {
        None => object.literal("matching", "null"),
        Some(matching) => write_matching(matching, object.key("matching")),
    }
    object.text("op", &binary.op.to_string());
    write_expr(&binary.rhs, object.key("rhs"));
    object.close("binaryExpr");
}

fn write_matching(matching: &VectorMatching, out: &mut Vec<u8>) {
    let mut object = Object::open(out);
    let card = match matching.cardinality {
        Cardinality::OneToOne => "one-to-one",
        Cardinality::ManyToOne => "many-to-one",
        Cardinality::OneToMany => "one-to-many",
        Cardinality::ManyToMany => "many-to-many",
    };
    object.text("card", card);
    write_list(&matching.include, object.key("include"), |name, out| write_text(name, out));
    write_list(&matching.labels, object.key("labels"), |name, out| write_text(name, out));
    object.literal("on", matching.on);
    out.push(b'}');
}

fn write_aggregate(aggregate: &Aggregate, out: &mut Vec<u8>) {
    let mut object = Object::open(out);
    write_expr(&aggregate.expr, object.key("expr"));
    write_list(&aggregate.grouping.labels, object.key("grouping"), |name, out| write_text(name, out));
    object.text("op", &aggregate.op.to_string());
    match &aggregate.param {
        None => object.literal("param", "null"),
        Some(param) => write_expr(param, object.key("param")),
    }
    let without = aggregate.grouping.without;
    object.text("type", "aggregation");
    object.literal("without", without);
    out.push(b'}');
}

fn write_call(call: &Call, out: &mut Vec<u8>) {
    let mut object = Object::open(out);
    write_list(&call.args, object.key("args"), write_expr);
    write_function(&call.function, object.key("func"));
    object.close("call");
}

fn write_function(name: &str, out: &mut Vec<u8>) {
    let (args, returns, ending) = signature(name)
        .map_or((&[][..], ValueType::Vector, Ending::Exact), |s| (s.args, s.returns, s.ending));
    let mut object = Object::open(out);
    write_list(args, object.key("argTypes"), |kind, out| write_text(kind.name(), out));
    object.text("name", name);
    object.text("returnType", returns.name());
    match ending {
        Ending::Exact => object.literal("variadic", 0),
        Ending::UpTo(times) => object.literal("variadic", times),
        Ending::Repeat => object.literal("variadic", -1),
    }
    out.push(b'}');
}

fn write_list<T>(items: &[T], out: &mut Vec<u8>, write: impl Fn(&T, &mut Vec<u8>)) {
    out.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(b']');
}

/// Writes a string as Go's encoder does: also `<`, `>` and `&` are escaped.
pub(super) fn write_text(text: &str, out: &mut Vec<u8>) {
    let mut plain = Vec::with_capacity(text.len() + 2);
    write_json_string(text, &mut plain);
    for byte in plain {
        match byte {
            b'<' | b'>' | b'&' => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
}
