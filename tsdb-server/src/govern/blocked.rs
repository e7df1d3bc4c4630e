//! Queries that a tenant may not ask: by their text, or by a pattern that matches all of it.

use crate::limits::BlockedQuery;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tsdb_core::{MatchOp, Matcher};

/// Compiled patterns, kept between queries.
#[derive(Debug, Default)]
pub(crate) struct Patterns {
    /// `None` for those that are no patterns.
    compiled: Mutex<HashMap<String, Option<Arc<Matcher>>>>,
}

/// Patterns that are kept. Limits name few; when they change all the time, all are compiled anew now and then.
const MAX_KEPT: usize = 1 << 10;

impl Patterns {
    /// The first of `blocked` that names `text`.
    pub(crate) fn find<'b>(&self, text: &str, blocked: &'b [BlockedQuery]) -> Option<&'b BlockedQuery> {
        let text = text.trim();
        blocked.iter().find(|blocked| {
            if !blocked.regex {
                return blocked.pattern.trim() == text;
            }
            self.compiled(&blocked.pattern).is_some_and(|pattern| pattern.matches(text))
        })
    }

    fn compiled(&self, pattern: &str) -> Option<Arc<Matcher>> {
        let mut compiled = self.compiled.lock();
        if let Some(known) = compiled.get(pattern) {
            return known.clone();
        }
        let new = Matcher::new(MatchOp::Regex, "query", pattern);
        let new =
            new.inspect_err(|error| log::error!("a pattern of blocked queries blocks nothing: {error}"));
        let new = new.ok().map(Arc::new);
        if compiled.len() >= MAX_KEPT {
            compiled.clear();
        }
        compiled.insert(pattern.to_owned(), new.clone());
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_blocked_by_their_text_or_by_a_pattern_of_all_of_it() {
        let patterns = Patterns::default();
        let blocked = |pattern: &str, regex| BlockedQuery { pattern: pattern.into(), regex };
        let list = [blocked("sum(up)", false), blocked(".*\\.\\+.*", true), blocked("(", true)];
        for (text, by) in [
            (" sum(up)\n", Some(0)),
            ("sum(up) + 1", None),
            ("count({__name__=~\".+\"})", Some(1)),
            ("up", None),
        ] {
            let found = patterns.find(text, &list);
            assert_eq!(found, by.map(|by: usize| &list[by]), "{text}");
        }
    }
}
