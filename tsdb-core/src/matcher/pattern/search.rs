//! Patterns that are looked for within texts.

use super::{Form, ReplacementTooLong, compile, expand, parse, push_within};
use crate::matcher::PatternError;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use regex_automata::meta;

/// A pattern that is looked for anywhere in a text, in the dialect of Go's `regexp`; unlike in a
/// [`Pattern`](super::Pattern), `.` matches no line feed.
#[derive(Debug, Clone)]
pub struct Search {
    engine: meta::Regex,
    groups: Vec<Option<String>>,
}

impl Search {
    /// Compiles `text`.
    ///
    /// # Errors
    /// A text that is not in the dialect or exceeds a limit.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let parsed = parse(&format!("(?-s){text}"))?;
        Ok(Self { engine: compile(parsed.node, Form::Part)?, groups: parsed.groups })
    }

    /// Does the pattern match a part of `text`?
    pub fn is_in(&self, text: &str) -> bool {
        self.engine.is_match(text)
    }

    /// `text` with all matches, from left to right and without overlap, replaced by `template` as in
    /// [`Pattern::replace`](super::Pattern::replace).
    ///
    /// # Errors
    /// A result of more than `max_bytes` bytes.
    pub fn replace_all(
        &self,
        text: &str,
        template: &str,
        max_bytes: usize,
    ) -> Result<String, ReplacementTooLong> {
        let mut replaced = String::new();
        let mut copied = 0;
        for captures in self.engine.captures_iter(text) {
            let Some(found) = captures.get_match() else { continue };
            push_within(&mut replaced, text.get(copied..found.start()).unwrap_or(""), max_bytes)?;
            expand(&captures, &self.groups, text, template, &mut replaced, max_bytes)?;
            copied = found.end();
        }
        push_within(&mut replaced, text.get(copied..).unwrap_or(""), max_bytes)?;
        Ok(replaced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(pattern: &str, template: &str, text: &str) -> String {
        Search::new(pattern).unwrap().replace_all(text, template, 100).unwrap()
    }

    #[test]
    fn every_match_is_replaced_from_left_to_right() {
        assert_eq!(replaced("(a)b", "x$1", "ab-aab-b"), "xa-axa-b");
        assert_eq!(
            replaced("b*", "-", "abc"),
            "-a-c-",
            "as in Go, an empty match does not touch one before it"
        );
        assert_eq!(replaced(".+", "<$0>", "one\ntwo"), "<one>\n<two>");
        assert_eq!(replaced("^", ">", "no anchors are added"), ">no anchors are added");
    }

    #[test]
    fn a_part_is_enough() {
        let search = Search::new("a+").unwrap();
        assert!(search.is_in("baab") && !search.is_in("b"));
    }

    #[test]
    fn the_length_of_the_result_is_bounded() {
        let search = Search::new("a").unwrap();
        let all = search.replace_all(&"a".repeat(60), "$0$0", 100);
        assert_eq!(all, Err(ReplacementTooLong { max_bytes: 100 }));
    }
}
