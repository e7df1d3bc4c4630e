//! Parts of a template as text, for errors, and the names that it uses.

use gotmpl::parse::{CommandNode, Expr, ListNode, Node, Number, PipeNode, Pos, SmolStr};

/// An expression as Go writes it.
pub(super) fn expression(expr: &Expr) -> String {
    match expr {
        Expr::Dot(_) => ".".to_owned(),
        Expr::Field(_, names) => dotted("", names),
        Expr::Variable(_, name, names) => dotted(name, names),
        Expr::Identifier(_, name) => name.to_string(),
        Expr::String(_, text) => format!("{text:?}"),
        Expr::Number(_, Number::Int(number)) => number.to_string(),
        Expr::Number(_, Number::Uint(number)) => number.to_string(),
        Expr::Number(_, Number::Float(number)) => number.to_string(),
        Expr::Bool(_, value) => value.to_string(),
        Expr::Nil(_) => "nil".to_owned(),
        Expr::Pipe(_, pipe) => format!("({})", pipeline(pipe)),
        Expr::Chain(_, inner, names) => dotted(&expression(inner), names),
    }
}

/// A command as Go writes it.
pub(super) fn command(command: &CommandNode) -> String {
    let texts: Vec<_> = command.args.iter().map(expression).collect();
    texts.join(" ")
}

/// A pipeline as Go writes it.
pub(super) fn pipeline(pipe: &PipeNode) -> String {
    let commands: Vec<_> = pipe.commands.iter().map(command).collect();
    let commands = commands.join(" | ");
    if pipe.decl.is_empty() {
        return commands;
    }
    format!("{} {} {commands}", pipe.decl.join(", "), if pipe.is_assign { "=" } else { ":=" })
}

fn dotted(first: &str, names: &[SmolStr]) -> String {
    names.iter().fold(first.to_owned(), |text, name| text + "." + name)
}

/// The functions that a template names, and where.
pub(super) fn identifiers(list: &ListNode) -> Vec<(Pos, &SmolStr)> {
    let mut found = Vec::new();
    of_list(list, &mut found);
    found
}

type Found<'a> = Vec<(Pos, &'a SmolStr)>;

fn of_list<'a>(list: &'a ListNode, found: &mut Found<'a>) {
    for node in &list.nodes {
        match node {
            Node::List(list) => of_list(list, found),
            Node::Action(action) => of_pipe(&action.pipe, found),
            Node::If(branch) | Node::Range(branch) | Node::With(branch) => {
                of_pipe(&branch.pipe, found);
                of_list(&branch.body, found);
                if let Some(otherwise) = &branch.else_body {
                    of_list(otherwise, found);
                }
            }
            Node::Template(template) => {
                if let Some(pipe) = &template.pipe {
                    of_pipe(pipe, found);
                }
            }
            Node::Define(define) => of_list(&define.body, found),
            Node::Text(_) | Node::Break(_) | Node::Continue(_) => {}
        }
    }
}

fn of_pipe<'a>(pipe: &'a PipeNode, found: &mut Found<'a>) {
    for expr in pipe.commands.iter().flat_map(|command| &command.args) {
        of_expression(expr, found);
    }
}

fn of_expression<'a>(expr: &'a Expr, found: &mut Found<'a>) {
    match expr {
        Expr::Identifier(pos, name) => found.push((*pos, name)),
        Expr::Pipe(_, pipe) => of_pipe(pipe, found),
        Expr::Chain(_, inner, _) => of_expression(inner, found),
        _ => {}
    }
}
