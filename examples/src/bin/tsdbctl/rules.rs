//! `tsdbctl rules`: rule files checked, and unit tests of rules.

use std::io::Write;
use std::path::PathBuf;
use tsdb_server::{check_rules, test_rules};

/// Says of each file how many rules it has or what is wrong with it; whether all are well.
pub(crate) fn check(files: &[PathBuf], out: &mut impl Write) -> std::io::Result<bool> {
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
pub(crate) fn test(files: &[PathBuf], out: &mut impl Write) -> std::io::Result<bool> {
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
