//! How scripts are read.

use super::*;
use crate::testing::{SequenceValue, TextMatch};

const SCRIPT: &str = "
# a comment
load 5m
    foo{a=\"1\"} 0+10x3
    foo{a=\"1\"} 7
    bar@st -30s _
    bar 1 2

eval instant at 50m sum(foo) # not a comment of the script
    expect warn
    expect info regex: not a counter
    expect ordered
    {} 1
    {a=\"b\"} _ 2

clear
eval range from 0 to 1h30m step 5m foo
    foo 1 2

eval_fail instant at 0 foo
    expected_fail_message  some text

eval instant at 1m 1
    0x10

eval instant at 1m foo[2m]
    expect range vector from 10s to 1m step 10s
";

fn evals(text: &str) -> Vec<Eval> {
    Script::parse(text).unwrap().evals().cloned().collect()
}

#[test]
fn loads_keep_the_last_line_of_a_series() {
    let script = Script::parse(SCRIPT).unwrap();
    let Command::Load(load) = &script.commands[0] else { panic!() };
    assert_eq!((load.step_ms, load.with_nhcb, load.series.len()), (300_000, false, 2));
    assert_eq!(load.series[0].values, [SequenceValue::Float(7.0)]);
    assert_eq!(load.series[1].start_offsets, Some(vec![Some(-30_000), None]));
}

#[test]
fn evaluations_know_their_times_and_expectations() {
    let evals = evals(SCRIPT);
    assert_eq!(evals[0].expr, "sum(foo) # not a comment of the script");
    assert_eq!(evals[0].times, Times::Instant { at: 3_000_000 });
    assert!(evals[0].expectation.ordered && evals[0].expectation.warn.len() == 1);
    assert!(evals[0].expectation.info[0].matches("this is not a counter, perhaps"));
    assert_eq!(evals[1].times, Times::Range { start: 0, end: 5_400_000, step_ms: 300_000 });
    assert!(
        matches!(&evals[2].expectation.fail.as_deref(), Some([TextMatch::Exactly(text)]) if text == "some text")
    );
    assert!(matches!(evals[3].expectation.value, Expected::Scalar(16.0)));
    assert_eq!(evals[4].times, Times::Instant { at: 60_000 });
}

#[test]
fn a_block_ends_with_an_empty_line_or_a_comment() {
    let evals = evals("eval instant at 1m foo\n    foo 1\n    # comment\n\neval instant at 1m foo\n");
    assert!(matches!(&evals[0].expectation.value, Expected::Series(series) if series.len() == 1));
    assert!(matches!(&evals[1].expectation.value, Expected::Series(series) if series.is_empty()));
}

#[test]
fn malformed_scripts_name_the_line() {
    for (text, line) in [
        ("\n\nfoo", 3),
        ("load 5x", 1),
        ("LOAD 5m", 1),
        ("eval instant foo", 1),
        ("eval range from 5m to 1m step 1m foo", 1),
        ("eval instant at 1m foo\n expect warn\n expect no_warn", 3),
        ("load 1m\n foo@st 1s\n\n", 2),
        ("load 1m\n foo 1y", 2),
    ] {
        assert_eq!(Script::parse(text).unwrap_err().line, line, "{text}");
    }
}
