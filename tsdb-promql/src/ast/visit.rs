//! Walking over a tree.
//!
//! Recursion here is as deep as the tree, which the parser's depth limit bounds.

use super::Expr;

/// Sees every expression of a tree, parents before children, children in the order they are written.
pub trait Visitor {
    /// Called for each expression with the way from the root down to its parent. The children of the expression are
    /// visited if the answer is true.
    fn enter(&mut self, expr: &Expr, path: &[&Expr]) -> bool;

    /// Called for each expression after its children, also if those were skipped.
    fn leave(&mut self, expr: &Expr) {
        let _ = expr;
    }
}

/// Shows the tree under `root` to `visitor`.
pub fn walk(root: &Expr, visitor: &mut impl Visitor) {
    visit(root, visitor, &mut Vec::new());
}

fn visit<'a>(expr: &'a Expr, visitor: &mut impl Visitor, path: &mut Vec<&'a Expr>) {
    if visitor.enter(expr, path) {
        path.push(expr);
        for child in expr.children() {
            visit(child, visitor, path);
        }
        path.pop();
    }
    visitor.leave(expr);
}

/// Calls `change` for every expression under `root`, children before parents.
pub fn walk_mut(root: &mut Expr, change: &mut impl FnMut(&mut Expr)) {
    for child in root.children_mut() {
        walk_mut(child, change);
    }
    change(root);
}
