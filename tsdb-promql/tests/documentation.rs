//! Every function, aggregation and operator is documented, and every function is run where its documentation is tested.

use tsdb_promql::ast::{AggregateOp, BinaryOp, Expr, Visitor, walk};
use tsdb_promql::check::signatures;
use tsdb_promql::testing::{Script, test_options};

const DOCUMENTATION: &str = include_str!("../docs/functions.md");
const CLAIMS: &str = include_str!("corpus/ours/documented.test");

/// The texts between back quotes in the first cells of tables.
fn documented() -> Vec<&'static str> {
    let rows = DOCUMENTATION.lines().filter_map(|line| line.strip_prefix("| "));
    let cells = rows.filter_map(|row| row.split_once(" |")).map(|(cell, _)| cell);
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect()
}

#[test]
fn every_function_is_documented_with_as_many_arguments_as_it_takes() {
    let documented = documented();
    for signature in signatures() {
        let prefix = format!("{}(", signature.name);
        let rows: Vec<_> = documented.iter().filter(|text| text.starts_with(&prefix)).collect();
        assert_eq!(rows.len(), 1, "{} stands in one row of docs/functions.md: {rows:?}", signature.name);
        let arguments = rows[0][prefix.len()..].trim_end_matches(')');
        let count = arguments.split(", ").filter(|name| !name.is_empty()).count();
        let possible = if arguments.ends_with("...") { count - 1 } else { count };
        let allowed = signature.min_args()..=signature.max_args().unwrap_or(usize::MAX);
        assert!(allowed.contains(&possible), "{}: {arguments:?} is {possible} arguments", signature.name);
    }
}

#[test]
fn experimental_functions_are_called_so_and_no_others() {
    for row in DOCUMENTATION.lines().filter(|line| line.starts_with("| `")) {
        let cell = row.trim_start_matches("| ").split(" |").next().unwrap();
        for text in cell.split('`').skip(1).step_by(2) {
            let Some((name, _)) = text.split_once('(') else { continue };
            let experimental = signatures()
                .iter()
                .find(|signature| signature.name == name)
                .map(|signature| signature.experimental)
                .or_else(|| {
                    AggregateOp::ALL.iter().find(|op| op.name() == name).map(|op| op.is_experimental())
                });
            if let Some(experimental) = experimental {
                assert_eq!(row.contains("*Experimental*"), experimental, "{row}");
            }
        }
    }
}

#[test]
fn every_aggregation_and_operator_is_documented() {
    let documented = documented();
    for op in AggregateOp::ALL {
        let prefix = format!("{}(", op.name());
        assert_eq!(documented.iter().filter(|text| text.starts_with(&prefix)).count(), 1, "{op}");
    }
    for op in BinaryOp::ALL {
        assert!(documented.contains(&op.symbol()), "{}", op.symbol());
    }
}

#[test]
fn every_function_aggregation_and_operator_is_run_by_the_script_of_claims() {
    #[derive(Default)]
    struct Seen(Vec<String>);
    impl Visitor for Seen {
        fn enter(&mut self, expr: &Expr, _path: &[&Expr]) -> bool {
            match expr {
                Expr::Call(call) => self.0.push(call.function.clone()),
                Expr::Aggregate(aggregate) => self.0.push(aggregate.op.name().to_owned()),
                Expr::Binary(binary) => self.0.push(binary.op.symbol().to_owned()),
                _ => {}
            }
            true
        }
    }
    let script = Script::parse(CLAIMS).unwrap();
    let mut seen = Seen::default();
    for eval in script.evals() {
        if let Ok(expr) = tsdb_promql::parse(&eval.expr, &test_options()) {
            walk(&expr, &mut seen);
        }
    }
    let functions = signatures().iter().map(|signature| signature.name);
    let operators = BinaryOp::ALL.iter().map(|op| op.symbol());
    let all = functions.chain(AggregateOp::ALL.iter().map(|op| op.name())).chain(operators);
    let missing: Vec<_> = all.filter(|name| !seen.0.iter().any(|seen| seen == name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
