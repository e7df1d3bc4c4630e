//! Looks into data directories, checks and repairs them, and moves samples in and out as text.
//!
//! `tsdbctl inspect|verify|repair|delete|retention|dump|import DIRECTORY ...`, `import-prometheus SOURCE DIRECTORY`,
//! `export-prometheus DIRECTORY TARGET`, `backup DIRECTORY URL`, `restore URL DIRECTORY`, `backups URL`, `rules check|test FILE ...`,
//! `credentials token|hash-token|hash-password|check`
//!
//! A data directory is that of one database: of a server's data directory, the folder of one tenant, while the server
//! is down. Answers go to the standard output, everything else to the standard error. Ends with 0 if all is well, with 1
//! if something is damaged, with 2 if the work could not be done.

mod backup;
mod credentials;
mod delete;
mod dump;
mod import;
mod progress;
mod prometheus;
mod report;
mod retention;
mod rules;
mod text;

use clap::{Parser, Subcommand, ValueEnum};
use progress::Bar;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use text::{Dialect, Extent};
use tsdb::fs::{Fs, OsFs};

/// Inspect, verify, repair, dump and import data directories.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show blocks, and which metrics and labels cost most
    Inspect {
        /// The data directory
        directory: PathBuf,
        /// How many metrics and labels to show
        #[arg(long, default_value_t = 20)]
        top: usize,
    },
    /// Read every byte and list what is damaged
    Verify {
        /// The data directory
        directory: PathBuf,
    },
    /// Move damaged parts aside and rebuild what can be read of them; nothing is deleted
    Repair {
        /// The data directory
        directory: PathBuf,
    },
    /// Delete samples
    Delete {
        /// The data directory
        directory: PathBuf,
        /// Of which series, as PromQL: {job="node"}; may be given several times
        #[arg(long = "match", value_name = "SELECTOR", required = true)]
        selectors: Vec<String>,
        /// The first time, in seconds since 1970
        #[arg(long, value_name = "SECONDS")]
        from: Option<f64>,
        /// The last time, in seconds since 1970
        #[arg(long, value_name = "SECONDS")]
        to: Option<f64>,
        /// Say what would be deleted, and delete nothing
        #[arg(long)]
        dry_run: bool,
        /// Take it off the disk at once, by writing blocks anew
        #[arg(long, conflicts_with = "dry_run")]
        clean: bool,
    },
    /// Show what a retention would delete; nothing is deleted
    Retention {
        /// The data directory
        directory: PathBuf,
        /// How long samples are kept, in days
        #[arg(long, value_name = "DAYS", default_value_t = 14.0)]
        samples: f64,
        /// How long windows of 5 minutes are kept, in days
        #[arg(long, value_name = "DAYS", default_value_t = 90.0)]
        five_minutes: f64,
        /// How long windows of an hour are kept, in days
        #[arg(long, value_name = "DAYS", default_value_t = 730.0)]
        hours: f64,
        /// How many bytes blocks may have [default: any number]
        #[arg(long, value_name = "BYTES")]
        max_bytes: Option<u64>,
        /// What the settings of a server say of the tenant that the directory is named by, instead of all that
        #[arg(long, value_name = "FILE", conflicts_with_all = ["samples", "five_minutes", "hours", "max_bytes"])]
        config: Option<PathBuf>,
    },
    /// Write samples, descriptions and exemplars as text that can be imported
    Dump {
        /// The data directory
        directory: PathBuf,
        /// Which series, as PromQL: {job="node"} [default: all]
        #[arg(long = "match", value_name = "SELECTOR")]
        selector: Option<String>,
        /// The first time, in seconds since 1970
        #[arg(long, value_name = "SECONDS")]
        from: Option<f64>,
        /// The last time, in seconds since 1970
        #[arg(long, value_name = "SECONDS")]
        to: Option<f64>,
        /// The form of the text
        #[arg(long, value_enum, default_value_t = Format::Openmetrics)]
        format: Format,
        /// Leave out what the format has no words for: native histograms, start timestamps, stale markers
        #[arg(long)]
        strict: bool,
    },
    /// Read samples, each with a timestamp, descriptions and exemplars from text
    Import {
        /// The data directory, made if there is none
        directory: PathBuf,
        /// The file to read; `-` is the standard input
        file: PathBuf,
        /// The form of the text
        #[arg(long, value_enum, default_value_t = Format::Openmetrics)]
        format: Format,
    },
    /// Import the data directory of a Prometheus server, or one block of it
    ImportPrometheus {
        /// The data directory of Prometheus; nothing in it is changed
        source: PathBuf,
        /// The data directory to import into, made if there is none
        directory: PathBuf,
    },
    /// Export samples as blocks of Prometheus
    ExportPrometheus {
        /// The data directory
        directory: PathBuf,
        /// Where the blocks go, such as the data directory of a Prometheus server
        target: PathBuf,
        /// Which series, as PromQL: {job="node"} [default: all]
        #[arg(long = "match", value_name = "SELECTOR")]
        selector: Option<String>,
        /// The first time, in seconds since 1970
        #[arg(long, value_name = "SECONDS")]
        from: Option<f64>,
        /// The last time, in seconds since 1970
        #[arg(long, value_name = "SECONDS")]
        to: Option<f64>,
    },
    /// Back up a data directory to object storage; what an earlier backup has is not sent again
    Backup {
        /// The data directory of a server that is down, or a snapshot of one that is up
        directory: PathBuf,
        #[command(flatten)]
        place: backup::Place,
        /// What to call the backup [default: the time]
        #[arg(long)]
        name: Option<String>,
    },
    /// Make a data directory of a backup
    Restore {
        #[command(flatten)]
        place: backup::Place,
        /// The data directory to be made
        directory: PathBuf,
        /// Which backup [default: the last one]
        #[arg(long)]
        name: Option<String>,
    },
    /// List backups
    Backups {
        #[command(flatten)]
        place: backup::Place,
        /// Read all of them and compare every checksum
        #[arg(long)]
        verify: bool,
    },
    /// Check rule files and run unit tests of rules
    #[command(subcommand)]
    Rules(rules::RulesCommand),
    /// Make tokens and hashes for a credentials file, and check one
    #[command(subcommand)]
    Credentials(credentials::CredentialsCommand),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// OpenMetrics: times in seconds, `# EOF` at the end
    Openmetrics,
    /// The text format of Prometheus: times in ms
    Text,
}

impl Format {
    fn dialect(self) -> Dialect {
        match self {
            Self::Openmetrics => Dialect::Openmetrics,
            Self::Text => Dialect::Prometheus,
        }
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    match run(&Arguments::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            drop(writeln!(std::io::stderr(), "tsdbctl: {error}"));
            ExitCode::from(2)
        }
    }
}

/// Does the work; says whether all is well.
fn run(command: &Command) -> Result<bool, Failure> {
    let fs: Arc<dyn Fs> = Arc::new(OsFs);
    let mut out = std::io::stdout().lock();
    match command {
        Command::Inspect { directory, top } => {
            let bar = Bar::new("blocks");
            let found = tsdb::inspect::inspect(&fs, database(directory)?, &mut |now| bar.show(now))?;
            drop(bar);
            report::inspection(&found, *top, &mut out)?;
            Ok(found.warnings.is_empty())
        }
        Command::Verify { directory } => verify(&fs, database(directory)?, &mut out),
        Command::Repair { directory } => repair(&fs, database(directory)?, &mut out),
        Command::Delete { directory, selectors, from, to, dry_run, clean } => {
            let range = dump::range(*from, *to)?;
            let db = delete::open(database(directory)?)?;
            delete::delete(&db, selectors, range, *dry_run, &mut out)?;
            if *clean {
                let bar = Bar::new("bytes");
                db.clean_tombstones_watched(&mut |now| bar.show(now))?;
            }
            db.close()?;
            Ok(true)
        }
        Command::Retention { directory, samples, five_minutes, hours, max_bytes, config } => {
            let options = match config {
                Some(file) => retention::of_tenant(file, directory)?,
                None => retention::options((*samples, *five_minutes, *hours), *max_bytes),
            };
            let plan = tsdb::retention::plan(&*fs, database(directory)?, &options)?;
            retention::report(&plan, &mut out)?;
            Ok(!plan.is_refused)
        }
        Command::Dump { directory, selector, from, to, format, strict } => {
            let request = dump::Request {
                directory: database(directory)?,
                selector: selector.as_deref(),
                range: dump::range(*from, *to)?,
                extent: Extent { dialect: format.dialect(), is_strict: *strict },
            };
            dump::dump(&request, &mut out)
        }
        Command::Import { directory, file, format } => {
            import::import(directory, file, format.dialect(), &mut out)
        }
        Command::Backup { directory, place, name } => {
            backup::back_up(database(directory)?, place, name.as_deref(), &mut out)
        }
        Command::Restore { place, directory, name } => {
            backup::restore(place, directory, name.as_deref(), &mut out)
        }
        Command::Backups { place, verify } => backup::list(place, *verify, &mut out),
        Command::Rules(command) => Ok(rules::run(command, &mut out)?),
        Command::Credentials(command) => credentials::run(command, &mut out),
        Command::ImportPrometheus { source, directory } => prometheus::import(source, directory, &mut out),
        Command::ExportPrometheus { directory, target, selector, from, to } => {
            let range = dump::range(*from, *to)?;
            prometheus::export(database(directory)?, target, selector.as_deref(), range, &mut out)
        }
    }
}

/// Verifies, and says what is damaged; whether all is well.
fn verify(fs: &Arc<dyn Fs>, directory: &Path, out: &mut impl Write) -> Result<bool, Failure> {
    let bar = Bar::new("bytes");
    let verdict = tsdb::verify::verify(fs, directory, &mut |now| bar.show(now))?;
    drop(bar);
    report::verdict(&verdict, out)?;
    Ok(verdict.findings.is_empty())
}

/// Repairs, and says what was damaged and what was done; whether all is well now.
fn repair(fs: &Arc<dyn Fs>, directory: &Path, out: &mut impl Write) -> Result<bool, Failure> {
    let bar = Bar::new("bytes");
    let repair = tsdb::repair::repair(fs, directory, &mut |now| bar.show(now))?;
    drop(bar);
    report::verdict(&repair.before, out)?;
    repair.steps.iter().try_for_each(|step| writeln!(out, "done: {step}"))?;
    let bar = Bar::new("bytes");
    let after = tsdb::verify::verify(fs, directory, &mut |now| bar.show(now))?;
    Ok(after.findings.is_empty())
}

/// `directory`, if a database is in it; otherwise says what is.
fn database(directory: &Path) -> Result<&Path, Failure> {
    if directory.join("VERSION").exists() {
        return Ok(directory);
    }
    let entries = std::fs::read_dir(directory).map_err(|e| format!("{}: {e}", directory.display()))?;
    let below = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let tenants: Vec<String> =
        below.filter(|path| path.join("VERSION").exists()).map(|path| path.display().to_string()).collect();
    let hint = match tenants.is_empty() {
        true => String::new(),
        false => format!("; databases in it: {}", tenants.join(", ")),
    };
    Err(format!("{} is no data directory: it has no file VERSION{hint}", directory.display()).into())
}
