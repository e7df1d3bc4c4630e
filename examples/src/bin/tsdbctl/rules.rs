//! `tsdbctl rules`: rule files checked, and unit tests of rules.

use clap::Subcommand;
use std::io::Write;
use std::path::PathBuf;
use tsdb_server::{check_rules, test_rules};

#[derive(Debug, Subcommand)]
pub(crate) enum RulesCommand {
    /// Check rule files
    Check {
        /// The rule files
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Run unit tests of rules, in the files of `promtool test rules`
    Test {
        /// The files of tests
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

/// Does what is asked; whether all is well.
pub(crate) fn run(command: &RulesCommand, out: &mut impl Write) -> std::io::Result<bool> {
    match command {
        RulesCommand::Check { files } => check(files, out),
        RulesCommand::Test { files } => test(files, out),
    }
}

/// Says of each file how many rules it has or what is wrong with it; whether all are well.
fn check(files: &[PathBuf], out: &mut impl Write) -> std::io::Result<bool> {
    let mut well = true;
    for file in files {
        writeln!(out, "Checking {}", file.display())?;
        match check_rules(file) {
            Ok(rules) => writeln!(out, "  SUCCESS: {rules} rules found\n")?,
            Err(error) => {
                well = false;
                writeln!(out, "  FAILED:\n{error}\n")?;
            }
        }
    }
    Ok(well)
}

/// Runs the tests of each file and says what failed; whether nothing did.
fn test(files: &[PathBuf], out: &mut impl Write) -> std::io::Result<bool> {
    let mut well = true;
    for file in files {
        writeln!(out, "Unit testing: {}", file.display())?;
        let failures = test_rules(file).unwrap_or_else(|error| vec![error.to_string()]);
        if failures.is_empty() {
            writeln!(out, "  SUCCESS\n")?;
            continue;
        }
        well = false;
        writeln!(out, "  FAILED:")?;
        failures.iter().try_for_each(|failure| writeln!(out, "    {}\n", failure.replace('\n', "\n    ")))?;
    }
    Ok(well)
}
