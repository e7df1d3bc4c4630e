//! The pattern dialect: Go's `regexp/syntax` with Perl extensions, as far as it matters to Prometheus.
//!
//! Source: the documented syntax of Go's `regexp/syntax` and the behaviour of its parser. Deviations: groups nest to a
//! lower limit, and a repetition of a repetition is refused even if flags stand between the two (`a*(?i)*`).

use super::super::error::{PatternError, SyntaxFault};
use super::MAX_COMPILED_BYTES;
use super::class::{self, Class, ClassBuilder};
use super::frame::{Frame, Open};
use super::node::{Look, Node};
use alloc::string::String;
use alloc::vec::Vec;

/// The deepest nesting of groups.
pub(super) const MAX_NESTING: usize = 250;
/// The largest count of a repetition, also after multiplication through nested ones.
const MAX_REPEAT: u32 = 1000;
/// The most ranges that all classes of a pattern may have together.
const MAX_RANGES: usize = 250_000;
/// What a character without regard to case counts towards [`MAX_RANGES`].
const FOLDED_RANGES: usize = 4;
/// The most characters of a pattern that an error quotes.
const MAX_FRAGMENT: usize = 40;

/// A parsed pattern.
#[derive(Debug)]
pub(super) struct Parsed {
    /// The pattern.
    pub(super) node: Node,
    /// Names of the capturing groups; the group numbered 1 comes first.
    pub(super) groups: Vec<Option<String>>,
}

/// Parses a pattern.
pub(super) fn parse(text: &str) -> Result<Parsed, PatternError> {
    let mut parser = Parser {
        text,
        at: 0,
        flags: Flags { fold: false, multi_line: false, dot_all: true, lazy: false },
        frame: Frame::default(),
        open: Vec::new(),
        groups: Vec::new(),
        ranges: 0,
        no_more_posix: false,
    };
    while let Some(c) = parser.next() {
        parser.token(c)?;
    }
    if let Some(open) = parser.open.last() {
        return Err(parser.fault(SyntaxFault::MissingParen, open.offset));
    }
    Ok(Parsed { node: parser.frame.finish(), groups: parser.groups })
}

/// What `(?imsU)` switch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flags {
    fold: bool,
    multi_line: bool,
    dot_all: bool,
    lazy: bool,
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    flags: Flags,
    frame: Frame,
    open: Vec<Open>,
    groups: Vec<Option<String>>,
    ranges: usize,
    /// Has a search shown that no `:]` follows? Spares searching the rest of the text for every `[:`.
    no_more_posix: bool,
}

impl<'a> Parser<'a> {
    /// Handles the construct that begins with `c`, just consumed.
    fn token(&mut self, c: char) -> Result<(), PatternError> {
        let offset = self.at - c.len_utf8();
        match c {
            '(' => self.open_group(offset)?,
            ')' => self.close_group(offset)?,
            '|' => self.frame.end_branch(),
            '^' if self.flags.multi_line => self.frame.push(Node::Look(Look::LineStart), 1),
            '^' => self.frame.push(Node::Look(Look::TextStart), 1),
            '$' if self.flags.multi_line => self.frame.push(Node::Look(Look::LineEnd), 1),
            '$' => self.frame.push(Node::Look(Look::TextEnd), 1),
            '.' if self.flags.dot_all => self.frame.push(Node::Class(Class::any()), 1),
            '.' => self.frame.push(Node::Class(Class::any_but_line_feed()), 1),
            '[' => self.bracket(offset)?,
            '*' => self.repeat(offset, 0, None)?,
            '+' => self.repeat(offset, 1, None)?,
            '?' => self.repeat(offset, 0, Some(1))?,
            '{' => self.brace(offset)?,
            '\\' => self.escape(offset)?,
            c => self.literal(c)?,
        }
        Ok(())
    }

    fn literal(&mut self, c: char) -> Result<(), PatternError> {
        // Characters without case stay plain literals, which the look-ups understand.
        let fold = self.flags.fold && (c.is_ascii_alphabetic() || !c.is_ascii());
        if fold {
            self.weigh(FOLDED_RANGES)?;
        }
        self.frame.push_char(c, fold);
        Ok(())
    }

    fn open_group(&mut self, offset: usize) -> Result<(), PatternError> {
        let outer_flags = self.flags;
        let capture = if self.eat("?P<") || self.eat("?<") {
            let name = self.group_name(offset)?;
            Some(Some(name))
        } else if self.eat("?") {
            match self.group_flags(offset)? {
                GroupFlags::Alone => return Ok(()),
                GroupFlags::Opening => None,
            }
        } else {
            Some(None)
        };
        if self.open.len() == MAX_NESTING {
            return Err(PatternError::TooDeep { limit: MAX_NESTING });
        }
        let capture = capture.map(|name| {
            self.groups.push(name);
            u32::try_from(self.groups.len()).unwrap_or(u32::MAX)
        });
        let outer = core::mem::take(&mut self.frame);
        self.open.push(Open { outer, flags: outer_flags, capture, offset });
        Ok(())
    }

    fn close_group(&mut self, offset: usize) -> Result<(), PatternError> {
        let Some(open) = self.open.pop() else {
            return Err(self.fault(SyntaxFault::UnexpectedParen, offset));
        };
        let inner = core::mem::replace(&mut self.frame, open.outer);
        self.flags = open.flags;
        let weight = inner.weight();
        self.frame.push(Node::Group { inner: inner.finish().into(), capture: open.capture }, weight);
        Ok(())
    }

    fn group_name(&mut self, offset: usize) -> Result<String, PatternError> {
        let name = self
            .until(">")
            .filter(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
        match name {
            Some(name) => Ok(name.into()),
            None => Err(self.fault(SyntaxFault::InvalidGroupName, offset)),
        }
    }

    /// Reads the letters between `(?` and `:` or `)`.
    fn group_flags(&mut self, offset: usize) -> Result<GroupFlags, PatternError> {
        let mut on = true;
        let mut dangling = false;
        while let Some(c) = self.next() {
            match c {
                'i' => self.flags.fold = on,
                'm' => self.flags.multi_line = on,
                's' => self.flags.dot_all = on,
                'U' => self.flags.lazy = on,
                '-' if on => {
                    on = false;
                    dangling = true;
                    continue;
                }
                ':' if !dangling => return Ok(GroupFlags::Opening),
                ')' if !dangling => return Ok(GroupFlags::Alone),
                _ => return Err(self.fault(SyntaxFault::InvalidFlags, offset)),
            }
            dangling = false;
        }
        Err(self.fault(SyntaxFault::MissingParen, offset))
    }

    /// Handles `{`, which is a literal unless a well-formed count follows.
    fn brace(&mut self, offset: usize) -> Result<(), PatternError> {
        let Some((min, max)) = self.counts() else { return self.literal('{') };
        match (min, max) {
            (Count::Number(min), Some(Count::Number(max))) if min <= max && max <= MAX_REPEAT => {
                self.repeat(offset, min, Some(max))
            }
            (Count::Number(min), None) if min <= MAX_REPEAT => self.repeat(offset, min, None),
            _ => Err(self.fault(SyntaxFault::InvalidRepeatCount, offset)),
        }
    }

    /// Reads `n}`, `n,}` or `n,m}`; consumes nothing if something else follows.
    fn counts(&mut self) -> Option<(Count, Option<Count>)> {
        let rest = self.rest();
        let body = rest.get(..rest.find(|c: char| !c.is_ascii_digit() && c != ',')?)?;
        if rest.as_bytes().get(body.len()) != Some(&b'}') {
            return None;
        }
        let counts = match body.split_once(',') {
            None => {
                let count = Count::read(body)?;
                (count, Some(count))
            }
            Some((min, "")) => (Count::read(min)?, None),
            Some((min, max)) => (Count::read(min)?, Some(Count::read(max)?)),
        };
        self.at += body.len() + 1;
        Some(counts)
    }

    fn repeat(&mut self, offset: usize, min: u32, max: Option<u32>) -> Result<(), PatternError> {
        let greedy = self.eat("?") == self.flags.lazy;
        let product = self.frame.repeat(min, max, greedy).map_err(|fault| self.fault(fault, offset))?;
        if product > MAX_REPEAT {
            return Err(self.fault(SyntaxFault::InvalidRepeatCount, offset));
        }
        Ok(())
    }

    /// Handles what follows a `\` outside of brackets.
    fn escape(&mut self, offset: usize) -> Result<(), PatternError> {
        let look = match self.peek() {
            Some('A') => Look::TextStart,
            Some('z') => Look::TextEnd,
            Some('b') => Look::WordBoundary,
            Some('B') => Look::NoWordBoundary,
            Some('Q') => return self.quoted(),
            _ => return self.escaped_character(offset),
        };
        self.next();
        self.frame.push(Node::Look(look), 1);
        Ok(())
    }

    fn escaped_character(&mut self, offset: usize) -> Result<(), PatternError> {
        let mut builder = ClassBuilder::new(self.flags.fold);
        if self.class_escape(offset, &mut builder)? {
            return self.push_class(builder, false);
        }
        match char::from_u32(self.code_point(offset)?) {
            Some(c) => self.literal(c),
            // A surrogate is a legal escape that no text contains.
            None => self.push_class(ClassBuilder::new(false), false),
        }
    }

    /// Handles `\Q...\E`; the end of the pattern ends the quotation too.
    fn quoted(&mut self) -> Result<(), PatternError> {
        self.next();
        let rest = self.rest();
        let text = self.until("\\E").unwrap_or_else(|| {
            self.at = self.text.len();
            rest
        });
        text.chars().try_for_each(|c| self.literal(c))
    }

    /// Handles `[...]`.
    fn bracket(&mut self, offset: usize) -> Result<(), PatternError> {
        let mut builder = ClassBuilder::new(self.flags.fold);
        let negated = self.eat("^");
        let mut first = true;
        while first || !self.eat("]") {
            first = false;
            self.bracket_item(offset, &mut builder)?;
            if builder.len() > MAX_RANGES {
                return Err(PatternError::TooLarge { limit: MAX_COMPILED_BYTES });
            }
        }
        self.push_class(builder, negated)
    }

    /// Handles one item of the class that began at `bracket`: a named class, a range or a character.
    fn bracket_item(&mut self, bracket: usize, builder: &mut ClassBuilder) -> Result<(), PatternError> {
        let offset = self.at;
        if self.posix_class(offset, builder)? {
            return Ok(());
        }
        if self.eat("\\") && self.class_escape(offset, builder)? {
            return Ok(());
        }
        self.at = offset;
        let low = self.bracket_character(bracket)?;
        let mut high = low;
        // A `-` before the closing bracket stands for itself.
        if !matches!(self.rest().as_bytes(), [b'-', b']', ..] | [b'-']) && self.eat("-") {
            high = self.bracket_character(bracket)?;
        }
        if high < low {
            return Err(self.fault(SyntaxFault::InvalidRange, offset));
        }
        builder.range(low, high);
        Ok(())
    }

    fn bracket_character(&mut self, bracket: usize) -> Result<u32, PatternError> {
        let offset = self.at;
        match self.next() {
            None => Err(self.fault(SyntaxFault::MissingBracket, bracket)),
            Some('\\') => self.code_point(offset),
            Some(c) => Ok(u32::from(c)),
        }
    }

    /// Reads `[:name:]` into `builder`; `false`, consuming nothing, if there is none here.
    fn posix_class(&mut self, offset: usize, builder: &mut ClassBuilder) -> Result<bool, PatternError> {
        if self.no_more_posix || !self.rest().starts_with("[:") {
            return Ok(false);
        }
        let Some((body, _)) = self.rest().get(2..).and_then(|rest| rest.split_once(":]")) else {
            self.no_more_posix = true;
            return Ok(false);
        };
        self.at += body.len() + "[::]".len();
        let (name, negated) = body.strip_prefix('^').map_or((body, false), |name| (name, true));
        let class = class::posix(name).ok_or_else(|| self.fault(SyntaxFault::UnknownClass, offset))?;
        builder.ascii(class, negated);
        Ok(true)
    }

    /// Reads `d`, `pL` and the like, after a `\`, into `builder`; `false`, consuming nothing, if it is another escape.
    fn class_escape(&mut self, offset: usize, builder: &mut ClassBuilder) -> Result<bool, PatternError> {
        let Some(letter) = self.peek() else { return Ok(false) };
        if let Some((class, negated)) = class::perl(letter) {
            self.next();
            builder.ascii(class, negated);
            return Ok(true);
        }
        if !matches!(letter, 'p' | 'P') {
            return Ok(false);
        }
        self.next();
        let start = self.at;
        let name = match self.next() {
            Some('{') => self.until("}"),
            Some(_) => self.text.get(start..self.at),
            None => None,
        };
        let (name, inner) =
            name.map_or(("", false), |n| n.strip_prefix('^').map_or((n, false), |n| (n, true)));
        if builder.unicode(name, (letter == 'P') != inner) {
            return Ok(true);
        }
        Err(self.fault(SyntaxFault::UnknownClass, offset))
    }

    /// Reads what follows the `\` at `offset` as a single code point.
    fn code_point(&mut self, offset: usize) -> Result<u32, PatternError> {
        let Some(c) = self.next() else { return Err(self.fault(SyntaxFault::TrailingBackslash, offset)) };
        let octal_follows = matches!(self.peek(), Some('0'..='7'));
        let code = match c {
            '0' => Some(self.octal(0)),
            '1'..='7' if octal_follows => Some(self.octal(u32::from(c) - u32::from('0'))),
            'x' => self.hexadecimal(),
            'a' => Some(0x07),
            'f' => Some(0x0c),
            'n' => Some(0x0a),
            'r' => Some(0x0d),
            't' => Some(0x09),
            'v' => Some(0x0b),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(u32::from(c)),
            _ => None,
        };
        code.ok_or_else(|| self.fault(SyntaxFault::InvalidEscape, offset))
    }

    /// Up to two more octal digits after the one with value `first`.
    fn octal(&mut self, first: u32) -> u32 {
        let mut code = first;
        for _ in 0..2 {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(8)) else { break };
            self.next();
            code = code * 8 + digit;
        }
        code
    }

    /// `ff` or `{10ffff}`.
    fn hexadecimal(&mut self) -> Option<u32> {
        let digits = if self.eat("{") {
            self.until("}")?
        } else {
            let start = self.at;
            self.next()?;
            self.next()?;
            self.text.get(start..self.at)?
        };
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let significant = digits.trim_start_matches('0');
        let code = if significant.is_empty() { 0 } else { u32::from_str_radix(significant, 16).ok()? };
        (code <= u32::from(char::MAX)).then_some(code)
    }

    fn push_class(&mut self, builder: ClassBuilder, negated: bool) -> Result<(), PatternError> {
        let class = builder.finish(negated);
        self.weigh(class.ranges())?;
        self.frame.push(Node::Class(class), 1);
        Ok(())
    }

    fn weigh(&mut self, ranges: usize) -> Result<(), PatternError> {
        self.ranges = self.ranges.saturating_add(ranges);
        if self.ranges > MAX_RANGES {
            return Err(PatternError::TooLarge { limit: MAX_COMPILED_BYTES });
        }
        Ok(())
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn eat(&mut self, expected: &str) -> bool {
        let found = self.rest().starts_with(expected);
        if found {
            self.at += expected.len();
        }
        found
    }

    /// Consumes the text before `end`, and `end`. `None`, consuming nothing, if `end` does not occur.
    fn until(&mut self, end: &str) -> Option<&'a str> {
        let (text, _) = self.rest().split_once(end)?;
        self.at += text.len() + end.len();
        Some(text)
    }

    fn fault(&self, fault: SyntaxFault, offset: usize) -> PatternError {
        let fragment = self.text.get(offset..self.at).unwrap_or("");
        PatternError::Syntax { fault, offset, fragment: fragment.chars().take(MAX_FRAGMENT).collect() }
    }
}

enum GroupFlags {
    /// `(?i)`: for the rest of the enclosing group.
    Alone,
    /// `(?i:`: for the group that begins here.
    Opening,
}

/// A count in braces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Count {
    Number(u32),
    /// More digits than any count has.
    TooBig,
}

impl Count {
    /// `None` if `text` is no number, or has needless zeros in front.
    fn read(text: &str) -> Option<Self> {
        if text.is_empty()
            || !text.bytes().all(|b| b.is_ascii_digit())
            || (text.len() > 1 && text.starts_with('0'))
        {
            return None;
        }
        Some(text.parse().map_or(Self::TooBig, Self::Number))
    }
}
