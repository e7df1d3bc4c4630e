//! A script as data: its commands in order.

mod eval;
mod expect;
mod load;

pub use eval::{Eval, Times};
pub use expect::{Expectation, Expected, ExpectedSeries, TextMatch};
pub use load::{Load, LoadedSeries};

/// A parsed script.
#[derive(Debug, Clone, Default)]
pub struct Script {
    /// Its commands.
    pub commands: Vec<Command>,
}

/// A command of a script.
#[derive(Debug, Clone)]
pub enum Command {
    /// Throws all data away.
    Clear,
    /// Adds data.
    Load(Load),
    /// Evaluates an expression and says what to expect.
    Eval(Box<Eval>),
}

/// A script that is none, or a load that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ScriptError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

impl ScriptError {
    /// An error whose line the caller fills in.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { line: 0, message: message.into() }
    }

    pub(super) fn at(self, line: usize) -> Self {
        Self { line, ..self }
    }
}

/// The lines of a script, comments emptied, and the place of a reader in them.
struct Lines<'a> {
    lines: Vec<&'a str>,
    next: usize,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        let clean = |line: &'a str| {
            let line = line.trim_matches([' ', '\t', '\r']);
            if line.starts_with('#') { "" } else { line }
        };
        Self { lines: text.split('\n').map(clean).collect(), next: 0 }
    }

    fn next(&mut self) -> Option<&'a str> {
        let line = self.lines.get(self.next).copied();
        self.next += 1;
        line
    }

    /// The next line of a block; `None` at its end, an empty line.
    fn next_of_block(&mut self) -> Option<&'a str> {
        self.lines.get(self.next).filter(|line| !line.is_empty())?;
        self.next()
    }

    /// Number of the line that was read last, from 1.
    fn number(&self) -> usize {
        self.next
    }
}

impl Script {
    /// Parses a script. Expressions are not parsed here.
    ///
    /// # Errors
    /// The first line that does not fit the language.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        let mut lines = Lines::new(text);
        let mut script = Self::default();
        while let Some(line) = lines.next() {
            if line.is_empty() {
                continue;
            }
            let command = parse_command(line, &mut lines).map_err(|error| {
                let line = if error.line == 0 { lines.number() } else { error.line };
                error.at(line)
            })?;
            script.commands.push(command);
        }
        Ok(script)
    }

    /// The evaluations, in order.
    pub fn evals(&self) -> impl Iterator<Item = &Eval> {
        self.commands.iter().filter_map(|command| match command {
            Command::Eval(eval) => Some(&**eval),
            _ => None,
        })
    }
}

fn parse_command(line: &str, lines: &mut Lines<'_>) -> Result<Command, ScriptError> {
    let word = line.split([' ', '\t']).next().unwrap_or("").to_lowercase();
    match word.as_str() {
        "clear" => Ok(Command::Clear),
        word if word.starts_with("load") => load::parse(line, lines).map(Command::Load),
        word if word.starts_with("eval") => {
            eval::parse(line, lines).map(|eval| Command::Eval(Box::new(eval)))
        }
        other => Err(ScriptError::new(format!("unknown command {other:?}"))),
    }
}

/// Cuts the first word off.
fn split_word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let (word, rest) = text.split_at(text.find([' ', '\t']).unwrap_or(text.len()));
    (word, rest.trim_start())
}

/// A duration in ms.
fn parse_duration(word: &str) -> Result<i64, ScriptError> {
    let ms = crate::lex::duration_millis(word).and_then(|ms| i64::try_from(ms).ok());
    ms.ok_or_else(|| ScriptError::new(format!("not a valid duration string: {word:?}")))
}

#[cfg(test)]
mod tests;
