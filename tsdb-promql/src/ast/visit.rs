//! Walking over a tree.
//!
//! Changing a tree recurses as deep as it is tall; seeing it needs no stack.

use super::Expr;
use tsdb_core::Matcher;

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
    enum Next<'a> {
        Enter(&'a Expr),
        Leave(&'a Expr, bool),
    }
    let mut path = Vec::new();
    let mut open = vec![Next::Enter(root)];
    while let Some(next) = open.pop() {
        match next {
            Next::Enter(expr) => {
                let entered = visitor.enter(expr, &path);
                open.push(Next::Leave(expr, entered));
                if entered {
                    path.push(expr);
                    open.extend(expr.children().into_iter().rev().map(Next::Enter));
                }
            }
            Next::Leave(expr, entered) => {
                if entered {
                    path.pop();
                }
                visitor.leave(expr);
            }
        }
    }
}

/// Calls `change` for every expression under `root`, children before parents.
pub fn walk_mut(root: &mut Expr, change: &mut impl FnMut(&mut Expr)) {
    for child in root.children_mut() {
        walk_mut(child, change);
    }
    change(root);
}

/// The matchers of every selector under `root`, in the order they are written.
pub fn selectors(root: &Expr) -> Vec<Vec<Matcher>> {
    struct Selectors(Vec<Vec<Matcher>>);
    impl Visitor for Selectors {
        fn enter(&mut self, expr: &Expr, _path: &[&Expr]) -> bool {
            match expr {
                Expr::Vector(selector) => self.0.push(selector.matchers.clone()),
                Expr::Matrix(matrix) => self.0.push(matrix.selector.matchers.clone()),
                _ => {}
            }
            true
        }
    }
    let mut found = Selectors(Vec::new());
    walk(root, &mut found);
    found.0
}
