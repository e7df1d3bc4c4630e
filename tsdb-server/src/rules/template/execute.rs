//! The evaluation of a template.

use super::budget::{Budget, OUTPUT};
use super::value::Value;
use super::{Scope, Template, TemplateError, builtin, field, function, print, write};
use gotmpl::parse::{
    BranchNode, CommandNode, Expr, ListNode, Node, Number, PipeNode, Pos, SmolStr, TemplateNode,
};
use std::sync::Arc;

/// One expansion of a template.
pub(super) struct Execution<'a> {
    template: &'a Template,
    scope: &'a dyn Scope,
    budget: Budget,
    out: String,
    /// Variables in the order of their declaration; the last of a name counts.
    variables: Vec<(SmolStr, Value)>,
    /// What is being evaluated: errors are about it.
    at: (Pos, String),
}

/// Why the evaluation of a list of nodes ended early.
enum Interrupt {
    Break,
    Continue,
    Fault(String),
}

impl From<String> for Interrupt {
    fn from(fault: String) -> Self {
        Self::Fault(fault)
    }
}

impl<'a> Execution<'a> {
    pub(super) fn new(template: &'a Template, scope: &'a dyn Scope, budget: Budget) -> Self {
        let at = (Pos::new(0, 1), String::new());
        Self { template, scope, budget, out: String::new(), variables: Vec::new(), at }
    }

    pub(super) fn scope(&self) -> &'a dyn Scope {
        self.scope
    }

    pub(super) fn spend(&mut self, steps: u32) -> Result<(), String> {
        self.budget.spend(steps)
    }

    /// Evaluates the whole template for `data`.
    pub(super) fn run(mut self, data: &Value) -> Result<String, TemplateError> {
        let template = self.template;
        self.variables.push((SmolStr::new_static("$"), data.clone()));
        match self.list(&template.body, data) {
            // Loops that are left where there is none are refused by the parser.
            Ok(()) | Err(Interrupt::Break | Interrupt::Continue) => Ok(self.out),
            Err(Interrupt::Fault(fault)) => {
                let (pos, context) = &self.at;
                Err(TemplateError::execute(&template.name, &template.text, *pos, context, &fault))
            }
        }
    }

    fn list(&mut self, list: &'a ListNode, dot: &Value) -> Result<(), Interrupt> {
        list.nodes.iter().try_for_each(|node| self.node(node, dot))
    }

    fn node(&mut self, node: &'a Node, dot: &Value) -> Result<(), Interrupt> {
        self.spend(1)?;
        match node {
            Node::Text(text) => Ok(self.emit(&text.text)?),
            Node::Action(action) => {
                let value = self.pipeline(&action.pipe, dot)?;
                if !action.pipe.decl.is_empty() {
                    return Ok(());
                }
                match value {
                    Value::Nil => Ok(self.emit("<no value>")?),
                    value => Ok(self.emit(&print::printed(&value))?),
                }
            }
            Node::List(list) => self.list(list, dot),
            Node::If(branch) => self.scoped(|this| this.branch(branch, dot, false)),
            Node::With(branch) => self.scoped(|this| this.branch(branch, dot, true)),
            Node::Range(branch) => self.scoped(|this| this.range(branch, dot)),
            Node::Template(call) => self.call_template(call, dot),
            Node::Define(_) => Ok(()),
            Node::Break(_) => Err(Interrupt::Break),
            Node::Continue(_) => Err(Interrupt::Continue),
        }
    }

    fn emit(&mut self, text: &str) -> Result<(), String> {
        if self.out.len().saturating_add(text.len()) > OUTPUT {
            return Err(format!("the template gives more than {OUTPUT} bytes"));
        }
        self.out.push_str(text);
        self.budget.spend_bytes(text.len())
    }

    /// Runs `body` one level deeper; variables that it declares end with it.
    fn scoped(&mut self, body: impl FnOnce(&mut Self) -> Result<(), Interrupt>) -> Result<(), Interrupt> {
        self.budget.enter()?;
        let declared = self.variables.len();
        let result = body(self);
        self.variables.truncate(declared);
        self.budget.leave();
        result
    }

    fn branch(&mut self, branch: &'a BranchNode, dot: &Value, with: bool) -> Result<(), Interrupt> {
        let value = self.pipeline(&branch.pipe, dot)?;
        if value.truth() {
            return self.list(&branch.body, if with { &value } else { dot });
        }
        branch.else_body.as_ref().map_or(Ok(()), |otherwise| self.list(otherwise, dot))
    }

    fn range(&mut self, branch: &'a BranchNode, dot: &Value) -> Result<(), Interrupt> {
        let over = self.evaluate(&branch.pipe, dot)?;
        let mut empty = true;
        let mut turn = |this: &mut Self, key: Value, value: Value| {
            empty = false;
            this.turn(branch, key, value)
        };
        // Lazily, so that a huge number costs no more than the turns that the budget allows.
        let mut turns: Box<dyn Iterator<Item = (Value, Value)> + '_> = match &over {
            Value::Nil => Box::new(std::iter::empty()),
            Value::Int(count) => Box::new((0..*count).map(|at| (Value::Int(at), Value::Int(at)))),
            Value::Vector(samples) => Box::new(
                (0..)
                    .zip(samples.iter())
                    .map(|(at, sample)| (Value::Int(at), Value::Sample(Arc::clone(sample)))),
            ),
            Value::Labels(labels) => Box::new(labels.iter().map(|(n, v)| (Value::text(n), Value::text(v)))),
            Value::Map(map) => Box::new(map.iter().map(|(n, v)| (Value::text(n.as_str()), v.clone()))),
            other => {
                return Err(format!("range can't iterate over {}", print::printed(other)).into());
            }
        };
        let finished = turns.try_for_each(|(key, value)| turn(self, key, value));
        match finished {
            Ok(()) if empty => branch.else_body.as_ref().map_or(Ok(()), |list| self.list(list, dot)),
            Ok(()) | Err(Interrupt::Break) => Ok(()),
            Err(other) => Err(other),
        }
    }

    fn turn(&mut self, branch: &'a BranchNode, key: Value, value: Value) -> Result<(), Interrupt> {
        self.spend(1)?;
        let declared = self.variables.len();
        let named = match &branch.pipe.decl[..] {
            [] => Vec::new(),
            [of_value] => vec![(of_value, value.clone())],
            [of_key, of_value, ..] => vec![(of_key, key), (of_value, value.clone())],
        };
        for (name, value) in named {
            self.bind(name, value, branch.pipe.is_assign)?;
        }
        let result = self.list(&branch.body, &value);
        self.variables.truncate(declared);
        match result {
            Err(Interrupt::Continue) => Ok(()),
            other => other,
        }
    }

    fn call_template(&mut self, call: &'a TemplateNode, dot: &Value) -> Result<(), Interrupt> {
        let template = self.template;
        let argument = call.pipe.as_ref().map_or(Ok(Value::Nil), |pipe| self.pipeline(pipe, dot))?;
        self.at = (call.pos, format!("{{{{template {:?}}}}}", call.name));
        let Some(body) = template.defined.get(call.name.as_str()) else {
            return Err(format!("template {:?} not defined", call.name).into());
        };
        // A template sees none of its caller's variables.
        let outer =
            std::mem::replace(&mut self.variables, vec![(SmolStr::new_static("$"), argument.clone())]);
        let result = self.scoped(|this| this.list(body, &argument));
        self.variables = outer;
        result
    }

    fn bind(&mut self, name: &SmolStr, value: Value, assign: bool) -> Result<(), String> {
        if !assign {
            self.variables.push((name.clone(), value));
            return Ok(());
        }
        let known = self.variables.iter_mut().rev().find(|(known, _)| known == name);
        known.ok_or_else(|| format!("undefined variable: {name}"))?.1 = value;
        Ok(())
    }

    /// The value of `pipe`, which its variables get too.
    fn pipeline(&mut self, pipe: &'a PipeNode, dot: &Value) -> Result<Value, String> {
        let value = self.evaluate(pipe, dot)?;
        for name in &pipe.decl {
            self.bind(name, value.clone(), pipe.is_assign)?;
        }
        Ok(value)
    }

    fn evaluate(&mut self, pipe: &'a PipeNode, dot: &Value) -> Result<Value, String> {
        self.budget.enter()?;
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(command, dot, value)?);
        }
        self.budget.leave();
        Ok(value.unwrap_or(Value::Nil))
    }

    /// The value of `command`, which gets the value of the one before it as its last argument.
    fn command(
        &mut self,
        command: &'a CommandNode,
        dot: &Value,
        last: Option<Value>,
    ) -> Result<Value, String> {
        self.spend(1)?;
        let Some((first, arguments)) = command.args.split_first() else { return Ok(Value::Nil) };
        match first {
            Expr::Identifier(_, name) => return self.call(command, name, arguments, dot, last),
            Expr::Field(_, names) => return self.fields(dot.clone(), names, first, arguments, dot, last),
            Expr::Variable(_, name, names) => {
                let value = self.variable(name)?;
                return self.fields(value, names, first, arguments, dot, last);
            }
            Expr::Chain(_, inner, names) => {
                let value = self.expression(inner, dot)?;
                return self.fields(value, names, first, arguments, dot, last);
            }
            _ => {}
        }
        self.at = (first.pos(), write::expression(first));
        if !arguments.is_empty() || last.is_some() {
            return Err(format!("can't give argument to non-function {}", write::expression(first)));
        }
        self.expression(first, dot)
    }

    fn expression(&mut self, expr: &'a Expr, dot: &Value) -> Result<Value, String> {
        self.spend(1)?;
        match expr {
            Expr::Dot(_) => Ok(dot.clone()),
            Expr::Field(_, names) => self.fields(dot.clone(), names, expr, &[], dot, None),
            Expr::Variable(_, name, names) => {
                let value = self.variable(name)?;
                self.fields(value, names, expr, &[], dot, None)
            }
            Expr::Chain(_, inner, names) => {
                let value = self.expression(inner, dot)?;
                self.fields(value, names, expr, &[], dot, None)
            }
            Expr::Identifier(pos, name) => {
                self.at = (*pos, name.to_string());
                self.function(name, &[])
            }
            Expr::Pipe(_, pipe) => self.evaluate(pipe, dot),
            Expr::String(_, text) => Ok(Value::String(Arc::clone(text))),
            Expr::Number(_, Number::Int(number)) => Ok(Value::Int(*number)),
            Expr::Number(_, Number::Float(number)) => Ok(Value::Float(*number)),
            Expr::Number(pos, Number::Uint(number)) => {
                self.at = (*pos, number.to_string());
                Err(format!("{number} overflows int"))
            }
            Expr::Bool(_, value) => Ok(Value::Bool(*value)),
            Expr::Nil(pos) => {
                self.at = (*pos, "nil".to_owned());
                Err("nil is not a command".to_owned())
            }
        }
    }

    fn variable(&self, name: &SmolStr) -> Result<Value, String> {
        let known = self.variables.iter().rev().find(|(known, _)| known == name);
        known.map(|(_, value)| value.clone()).ok_or_else(|| format!("undefined variable: {name}"))
    }

    /// Follows `names` from `value`; the last of them gets the arguments.
    fn fields(
        &mut self,
        mut value: Value,
        names: &[SmolStr],
        context: &Expr,
        arguments: &'a [Expr],
        dot: &Value,
        last: Option<Value>,
    ) -> Result<Value, String> {
        let given = self.arguments(arguments, dot, last)?;
        self.at = (context.pos(), write::expression(context));
        let Some((final_name, names)) = names.split_last() else {
            return match given.is_empty() {
                true => Ok(value),
                false => Err(format!("can't give argument to non-function {}", write::expression(context))),
            };
        };
        for name in names {
            value = field::field(&value, name, &[])?;
        }
        field::field(&value, final_name, &given)
    }

    fn arguments(
        &mut self,
        exprs: &'a [Expr],
        dot: &Value,
        last: Option<Value>,
    ) -> Result<Vec<Value>, String> {
        let mut values = Vec::with_capacity(exprs.len() + 1);
        for expr in exprs {
            values.push(match expr {
                Expr::Nil(_) => Value::Nil,
                expr => self.expression(expr, dot)?,
            });
        }
        values.extend(last);
        Ok(values)
    }

    fn call(
        &mut self,
        command: &'a CommandNode,
        name: &SmolStr,
        arguments: &'a [Expr],
        dot: &Value,
        last: Option<Value>,
    ) -> Result<Value, String> {
        if matches!(name.as_str(), "and" | "or") {
            return self.short_circuit(name == "or", arguments, dot, last);
        }
        let values = self.arguments(arguments, dot, last)?;
        self.at = (command.pos, write::command(command));
        self.function(name, &values)
    }

    /// The first argument that decides, or the last; what follows it is not evaluated.
    fn short_circuit(
        &mut self,
        or: bool,
        arguments: &'a [Expr],
        dot: &Value,
        last: Option<Value>,
    ) -> Result<Value, String> {
        let mut value = Value::Nil;
        for expr in arguments {
            value = self.expression(expr, dot)?;
            if value.truth() == or {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }

    fn function(&mut self, name: &str, values: &[Value]) -> Result<Value, String> {
        let (least, most) =
            function::arity(name).ok_or_else(|| format!("{name:?} is not a defined function"))?;
        if values.len() < least || values.len() > most {
            let want = if most == usize::MAX { format!("at least {least}") } else { least.to_string() };
            return Err(format!("wrong number of args for {name}: want {want} got {}", values.len()));
        }
        let result = match builtin::call(name, values, &mut self.budget) {
            Some(result) => result,
            None => function::call(self, name, values),
        };
        result.map_err(|fault| format!("error calling {name}: {fault}"))
    }
}
