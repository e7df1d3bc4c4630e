//! What Go refuses when it parses: functions and variables that do not exist, and pipelines into what takes nothing.

use super::{Template, TemplateError, function};
use gotmpl::parse::{Expr, ListNode, Node, PipeNode, Pos, SmolStr};

/// Refuses what can be seen to be wrong before any data is there.
pub(super) fn check(template: &Template) -> Result<(), TemplateError> {
    for body in std::iter::once(&template.body).chain(template.defined.values()) {
        let mut scope = Scope { variables: vec![SmolStr::new_static("$")] };
        scope.list(body).map_err(|Fault(pos, message)| {
            TemplateError::at_line(&template.name, pos.line.max(1), &message)
        })?;
    }
    Ok(())
}

struct Fault(Pos, String);

/// The variables that are declared where the walk has come to.
struct Scope {
    variables: Vec<SmolStr>,
}

impl Scope {
    fn list(&mut self, list: &ListNode) -> Result<(), Fault> {
        list.nodes.iter().try_for_each(|node| self.node(node))
    }

    fn node(&mut self, node: &Node) -> Result<(), Fault> {
        match node {
            Node::List(list) => self.list(list),
            Node::Action(action) => self.pipe(&action.pipe),
            Node::If(branch) | Node::Range(branch) | Node::With(branch) => {
                let declared = self.variables.len();
                self.pipe(&branch.pipe)?;
                self.list(&branch.body)?;
                branch.else_body.as_ref().map_or(Ok(()), |otherwise| self.list(otherwise))?;
                self.variables.truncate(declared);
                Ok(())
            }
            Node::Template(template) => template.pipe.as_ref().map_or(Ok(()), |pipe| self.pipe(pipe)),
            // The bodies of definitions are looked at by themselves.
            Node::Define(_) | Node::Text(_) | Node::Break(_) | Node::Continue(_) => Ok(()),
        }
    }

    fn pipe(&mut self, pipe: &PipeNode) -> Result<(), Fault> {
        for (stage, command) in (1..).zip(&pipe.commands) {
            let takes_nothing = matches!(
                command.args.first(),
                Some(Expr::Bool(..) | Expr::Dot(..) | Expr::Nil(..) | Expr::Number(..) | Expr::String(..))
            );
            if stage > 1 && takes_nothing {
                return Err(Fault(command.pos, format!("non executable command in pipeline stage {stage}")));
            }
            command.args.iter().try_for_each(|expr| self.expression(expr))?;
        }
        for name in &pipe.decl {
            if pipe.is_assign {
                self.is_declared(pipe.pos, name)?;
            } else {
                self.variables.push(name.clone());
            }
        }
        Ok(())
    }

    fn expression(&mut self, expr: &Expr) -> Result<(), Fault> {
        match expr {
            Expr::Identifier(pos, name) if function::arity(name).is_none() => {
                Err(Fault(*pos, format!("function {name:?} not defined")))
            }
            Expr::Variable(pos, name, _) => self.is_declared(*pos, name),
            Expr::Pipe(_, pipe) => self.pipe(pipe),
            Expr::Chain(_, inner, _) => self.expression(inner),
            _ => Ok(()),
        }
    }

    fn is_declared(&self, pos: Pos, name: &SmolStr) -> Result<(), Fault> {
        match self.variables.contains(name) {
            true => Ok(()),
            false => Err(Fault(pos, format!("undefined variable {name:?}"))),
        }
    }
}
