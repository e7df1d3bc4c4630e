//! Sets of characters: what `[...]`, `\d`, `\pL`, `[:alpha:]` and `.` stand for.
//!
//! The named ASCII classes are Go's: `\d`, `\s` and `\w` are ASCII, and `\s` lacks the vertical tab. Names after `\p`
//! are general categories and scripts, looked up without regard to case, spaces and underscores.

use alloc::format;
use alloc::vec::Vec;
use regex_syntax::hir::{Class as HirClass, ClassUnicode, ClassUnicodeRange, Hir, HirKind};

/// A set of characters.
#[derive(Debug, Clone)]
pub(crate) struct Class(ClassUnicode);

impl Class {
    /// All characters.
    pub(crate) fn any() -> Self {
        Self(ClassUnicode::new([ClassUnicodeRange::new('\0', char::MAX)]))
    }

    /// All characters but the line feed.
    pub(crate) fn any_but_line_feed() -> Self {
        let line_feed = ClassUnicodeRange::new('\n', '\n');
        let mut class = ClassUnicode::new([line_feed]);
        class.negate();
        Self(class)
    }

    /// The character and its variants of case.
    pub(super) fn folded(c: char) -> Self {
        let mut builder = ClassBuilder::new(true);
        builder.range(u32::from(c), u32::from(c));
        builder.finish(false)
    }

    /// Does the set hold every character?
    pub(crate) fn is_any(&self) -> bool {
        matches!(self.0.ranges(), [all] if all.start() == '\0' && all.end() == char::MAX)
    }

    /// The characters, if there are no more than `limit`.
    pub(crate) fn chars(&self, limit: usize) -> Option<Vec<char>> {
        let mut chars = Vec::new();
        for range in self.0.ranges() {
            for c in range.start()..=range.end() {
                if chars.len() == limit {
                    return None;
                }
                chars.push(c);
            }
        }
        Some(chars)
    }

    /// Number of ranges that describe the set: what it weighs.
    pub(super) fn ranges(&self) -> usize {
        self.0.ranges().len()
    }

    pub(super) fn into_hir(self) -> Hir {
        Hir::class(HirClass::Unicode(self.0))
    }
}

/// Collects a set of characters.
pub(super) struct ClassBuilder {
    ranges: Vec<ClassUnicodeRange>,
    fold: bool,
}

impl ClassBuilder {
    /// A builder of sets that, with `fold`, hold all variants of case of what is added.
    pub(super) fn new(fold: bool) -> Self {
        Self { ranges: Vec::new(), fold }
    }

    /// Number of ranges collected.
    pub(super) fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Adds the code points from `low` to `high`. Surrogates are no characters and are left out.
    pub(super) fn range(&mut self, low: u32, high: u32) {
        const SURROGATES: (u32, u32) = (0xd800, 0xdfff);
        let mut add = |low, high| {
            if let (Some(low), Some(high)) = (char::from_u32(low), char::from_u32(high))
                && low <= high
            {
                self.ranges.push(ClassUnicodeRange::new(low, high));
            }
        };
        if high < SURROGATES.0 || low > SURROGATES.1 {
            return add(low, high);
        }
        add(low, high.min(SURROGATES.0 - 1));
        add(low.max(SURROGATES.1 + 1), high);
    }

    /// Adds the characters of an ASCII class, or all others.
    pub(super) fn ascii(&mut self, class: &[(char, char)], negated: bool) {
        self.add(
            ClassUnicode::new(class.iter().map(|(low, high)| ClassUnicodeRange::new(*low, *high))),
            negated,
        );
    }

    /// Adds the characters of a general category or script, or all others. `false` if there is none of that name.
    pub(super) fn unicode(&mut self, name: &str, negated: bool) -> bool {
        let Some(class) = unicode_class(name) else { return false };
        self.add(class, negated);
        true
    }

    fn add(&mut self, mut class: ClassUnicode, negated: bool) {
        // Folding comes before negation: `(?i)\W` must not take in the letters that other letters fold to.
        if self.fold {
            class.case_fold_simple();
        }
        if negated {
            class.negate();
        }
        self.ranges.extend_from_slice(class.ranges());
    }

    /// The set of what was added, or of everything else.
    pub(super) fn finish(self, negated: bool) -> Class {
        let mut class = ClassUnicode::new(self.ranges);
        if self.fold {
            class.case_fold_simple();
        }
        if negated {
            class.negate();
        }
        Class(class)
    }
}

fn unicode_class(name: &str) -> Option<ClassUnicode> {
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_ -".contains(&b)) {
        return None;
    }
    // Surrogates are a category without a character.
    if name.eq_ignore_ascii_case("cs") || name.eq_ignore_ascii_case("surrogate") {
        return Some(ClassUnicode::empty());
    }
    ["gc", "sc"].iter().find_map(|property| {
        match regex_syntax::parse(&format!("\\p{{{property}={name}}}")).ok()?.into_kind() {
            HirKind::Class(HirClass::Unicode(class)) => Some(class),
            // A category of a single character comes as a literal.
            HirKind::Literal(literal) => {
                let c = core::str::from_utf8(&literal.0).ok()?.chars().next()?;
                Some(ClassUnicode::new([ClassUnicodeRange::new(c, c)]))
            }
            _ => None,
        }
    })
}

const DIGIT: &[(char, char)] = &[('0', '9')];
const SPACE: &[(char, char)] = &[('\t', '\n'), ('\x0c', '\r'), (' ', ' ')];
const WORD: &[(char, char)] = &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];

/// The class of `\d`, `\s` or `\w`, and whether the letter asks for its complement.
pub(super) fn perl(letter: char) -> Option<(&'static [(char, char)], bool)> {
    let class = match letter.to_ascii_lowercase() {
        'd' => DIGIT,
        's' => SPACE,
        'w' => WORD,
        _ => return None,
    };
    Some((class, letter.is_ascii_uppercase()))
}

/// The class that `[:name:]` stands for.
pub(super) fn posix(name: &str) -> Option<&'static [(char, char)]> {
    Some(match name {
        "alnum" => &[('0', '9'), ('A', 'Z'), ('a', 'z')],
        "alpha" => &[('A', 'Z'), ('a', 'z')],
        "ascii" => &[('\0', '\x7f')],
        "blank" => &[('\t', '\t'), (' ', ' ')],
        "cntrl" => &[('\0', '\x1f'), ('\x7f', '\x7f')],
        "digit" => DIGIT,
        "graph" => &[('!', '~')],
        "lower" => &[('a', 'z')],
        "print" => &[(' ', '~')],
        "punct" => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
        "space" => &[('\t', '\r'), (' ', ' ')],
        "upper" => &[('A', 'Z')],
        "word" => WORD,
        "xdigit" => &[('0', '9'), ('A', 'F'), ('a', 'f')],
        _ => return None,
    })
}
