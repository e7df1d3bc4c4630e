//! The switches, and that the two walks over a plan meet the same nodes in the same order.

use super::super::build::{QueryTimes, plan};
use super::super::walk::{NodeMut, NodeRef};
use super::*;
use crate::parse::ParseOptions;

fn plan_of(query: &str) -> Plan {
    let expr = crate::parse(query, &ParseOptions::all_features()).unwrap();
    let times = QueryTimes {
        start: 0,
        end: 600_000,
        step_ms: 60_000,
        lookback_ms: 300_000,
        default_subquery_step_ms: 60_000,
    };
    plan(&expr, times).unwrap().plan
}

fn lines(node: NodeRef<'_>) -> Vec<String> {
    std::iter::once(node.describe()).chain(node.parts().into_iter().flat_map(lines)).collect()
}

fn lines_to_change(node: NodeMut<'_>) -> Vec<String> {
    let line = node.as_ref().describe();
    std::iter::once(line).chain(node.parts().into_iter().flat_map(lines_to_change)).collect()
}

#[test]
fn both_walks_meet_the_same_nodes_in_the_same_order() {
    for query in [
        "sum by (a) (rate(x[5m])) / on (a) group_left topk(scalar(y), x) + vector(1)",
        "clamp(a, min_of(1, time()), 2) unless quantile_over_time(0.5, (-a)[5m:])",
        "histogram_quantile(time(), a) or histogram_fraction(0, time(), a)",
        "histogram_quantiles(a, \"q\", 0.5, time()) and absent(a) or absent_over_time(a[5m])",
        "sort(label_replace(label_join(info(a), \"b\", \"c\"), \"a\", \"b\", \"c\", \"d\")) or hour() < 3",
        "(a + a) * (a + a)",
    ] {
        let mut plan = plan_of(query);
        for passes in [Passes::none(), Passes::all()] {
            optimize(&mut plan, passes, false, true);
            let expected = lines(plan.root().unwrap());
            assert_eq!(lines_to_change(plan.root_mut().unwrap()), expected, "{query}");
        }
    }
}

#[test]
fn each_pass_has_a_switch_of_its_own() {
    for pass in Pass::ALL {
        assert!(Passes::default().has(pass) && !Passes::none().has(pass));
        for other in Pass::ALL {
            assert_eq!(Passes::none().with(pass).has(other), pass == other);
            assert_eq!(Passes::all().without(pass).has(other), pass != other);
        }
    }
}
