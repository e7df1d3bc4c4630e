//! Replacement templates: the rules of Go's `Regexp.Expand`.

/// A piece of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Copied as it is.
    Text(&'a str),
    /// What the group of this number matched; nothing if there is none.
    Number(usize),
    /// What the group of this name matched; nothing if there is none.
    Name(&'a str),
}

/// Numbers from here on are names: no group has such a number.
const MAX_NUMBER: usize = 100_000_000;

/// The pieces of `template`. `$$` is a dollar, and so is a `$` that no name follows. A name is as long as possible:
/// `$1x` is the group named `1x`, `${1}x` the group 1 and an `x`.
pub(super) fn pieces(template: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = template;
    core::iter::from_fn(move || {
        let (piece, left) = next(rest)?;
        rest = left;
        Some(piece)
    })
}

fn next(template: &str) -> Option<(Piece<'_>, &str)> {
    let Some(after) = template.strip_prefix('$') else {
        let (text, rest) = template.split_at(template.find('$').unwrap_or(template.len()));
        return (!text.is_empty()).then_some((Piece::Text(text), rest));
    };
    if let Some(rest) = after.strip_prefix('$') {
        return Some((Piece::Text("$"), rest));
    }
    Some(reference(after).unwrap_or((Piece::Text("$"), after)))
}

fn reference(text: &str) -> Option<(Piece<'_>, &str)> {
    let braced = text.strip_prefix('{');
    let text = braced.unwrap_or(text);
    // Names of groups are ASCII; other letters only make the name longer, so that it names no group.
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() {
        return None;
    }
    let rest = if braced.is_some() { rest.strip_prefix('}')? } else { rest };
    let piece = number(name).map_or(Piece::Name(name), Piece::Number);
    Some((piece, rest))
}

/// The value of a plain decimal number without needless zeros in front.
fn number(name: &str) -> Option<usize> {
    if !name.bytes().all(|b| b.is_ascii_digit()) || (name.len() > 1 && name.starts_with('0')) {
        return None;
    }
    name.parse().ok().filter(|number| *number < MAX_NUMBER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn a_template_is_cut_into_text_and_references() {
        let cases: &[(&str, &[Piece<'_>])] = &[
            ("", &[]),
            ("plain", &[Piece::Text("plain")]),
            ("$1", &[Piece::Number(1)]),
            ("${1}0", &[Piece::Number(1), Piece::Text("0")]),
            ("$10", &[Piece::Number(10)]),
            ("$1x", &[Piece::Name("1x")]),
            ("$01", &[Piece::Name("01")]),
            ("a$name-b", &[Piece::Text("a"), Piece::Name("name"), Piece::Text("-b")]),
            ("$$1", &[Piece::Text("$"), Piece::Text("1")]),
            ("$", &[Piece::Text("$")]),
            ("$-", &[Piece::Text("$"), Piece::Text("-")]),
            ("${1", &[Piece::Text("$"), Piece::Text("{1")]),
            ("${}", &[Piece::Text("$"), Piece::Text("{}")]),
            ("$99999999999999999999", &[Piece::Name("99999999999999999999")]),
        ];
        for (template, expected) in cases {
            assert_eq!(pieces(template).collect::<Vec<_>>(), *expected, "{template}");
        }
    }
}
