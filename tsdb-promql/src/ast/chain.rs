//! Chains of binary operators, which are as long as somebody cares to write them.
//!
//! `a or b or c ...` is a tree that leans to the left, one level for each operator. What every tree can do (be
//! copied, compared, shown, dropped) walks down that side in a loop, so that a long chain needs no more stack than a
//! short one.

use super::{Binary, Expr, NumberLiteral};
use crate::span::Span;
use core::fmt::{self, Debug, Formatter};

/// What stands where an operand was taken out.
const fn nothing() -> Expr {
    Expr::Number(NumberLiteral { value: 0.0, duration: false, span: Span::new(0, 0) })
}

impl Expr {
    /// Takes the expression out and leaves a number in its place.
    pub(crate) const fn take(&mut self) -> Self {
        core::mem::replace(self, nothing())
    }

    /// How many levels the tree has: 1 for a leaf. Needs no stack.
    pub fn height(&self) -> usize {
        let mut tallest = 0;
        let mut open = vec![(self, 1usize)];
        while let Some((expr, level)) = open.pop() {
            tallest = tallest.max(level);
            open.extend(expr.children().into_iter().map(|child| (child, level.saturating_add(1))));
        }
        tallest
    }
}

impl Binary {
    /// The operators of the chain that this one ends, itself first: the left operand of each is the next.
    pub(crate) fn chain(&self) -> Vec<&Self> {
        let mut chain = vec![self];
        let mut below = &*self.lhs;
        while let Expr::Binary(binary) = below {
            chain.push(binary);
            below = &binary.lhs;
        }
        chain
    }

    fn with_lhs(&self, lhs: Expr) -> Self {
        Self {
            op: self.op,
            lhs: Box::new(lhs),
            rhs: self.rhs.clone(),
            return_bool: self.return_bool,
            matching: self.matching.clone(),
            span: self.span,
        }
    }

    fn equals_but_for_lhs(&self, other: &Self) -> bool {
        self.op == other.op
            && self.return_bool == other.return_bool
            && self.matching == other.matching
            && self.span == other.span
            && self.rhs == other.rhs
    }
}

impl Clone for Binary {
    fn clone(&self) -> Self {
        let mut copy: Option<Self> = None;
        for link in self.chain().into_iter().rev() {
            let lhs = copy.take().map_or_else(|| (*link.lhs).clone(), Expr::Binary);
            copy = Some(link.with_lhs(lhs));
        }
        copy.unwrap_or_else(|| self.with_lhs(nothing()))
    }
}

impl PartialEq for Binary {
    fn eq(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.chain(), other.chain());
        ours.len() == theirs.len()
            && ours.iter().zip(&theirs).all(|(a, b)| a.equals_but_for_lhs(b))
            && ours.last().map(|link| &link.lhs) == theirs.last().map(|link| &link.lhs)
    }
}

/// The text of the expression: the levels of a derived form would be as deep as the chain is long.
impl Debug for Binary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Binary").field("text", &format_args!("{self}")).field("span", &self.span).finish()
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        if !matches!(*self.lhs, Expr::Binary(_)) {
            return;
        }
        let mut below = self.lhs.take();
        while let Expr::Binary(binary) = &mut below {
            let next = binary.lhs.take();
            // Drops a link whose left operand is now a leaf.
            below = next;
        }
    }
}
