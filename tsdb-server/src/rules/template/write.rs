//! Parts of a template as text, for errors.

use gotmpl::parse::{CommandNode, Expr, Number, PipeNode, SmolStr};

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
