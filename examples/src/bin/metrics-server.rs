//! The whole metrics server in one process and one directory.
//!
//! `metrics-server --listen 127.0.0.1:9090 --data-dir ./data [--config FILE] [--no-limits]
//! [--enable-feature NAME,...] [--role all|serve|compact]`
//!
//! Takes remote write and JSON, answers PromQL over the Prometheus HTTP API, and stores its own metrics every few
//! seconds, so that there is something to query at once. Stops on SIGINT and SIGTERM after the requests under way.

use clap::{Parser, ValueEnum};
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::net::TcpListener;
use tsdb_server::{Config, Feature, Server, serve, stop_signal};

/// Millions of small, long-lived allocations: jemalloc keeps them denser than the system's allocator.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A metrics server: remote write in, PromQL out.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Address and port to listen on [default: 127.0.0.1:9090]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Folder that holds everything [default: ./data]
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Settings in TOML; a file names only what it changes
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Lift every limit on writes and queries and open the admin API: for benchmarks and trusted use
    #[arg(long)]
    no_limits: bool,
    /// Switch on experimental parts of PromQL, by Prometheus' names for them, with commas between
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    enable_feature: Vec<Feature>,
    /// What this process does
    #[arg(long, value_enum, default_value_t = Role::All)]
    role: Role,
    /// Print the settings in force and stop
    #[arg(long)]
    print_config: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Role {
    /// Everything
    All,
    /// Everything but merging blocks on object storage, which other processes do
    Serve,
    /// Merges blocks on object storage, makes windows of them, drops what is past retention, and serves nobody; any
    /// number of processes may, each in a data directory of its own
    Compact,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut config = settings(arguments)?;
    if arguments.print_config {
        print(&config.to_toml()?);
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // Whoever asks the process to stop is heard from now on, however long it takes until there is something to stop.
    let asked = runtime.spawn(stopping());
    let stopping = async { drop(asked.await) };
    if arguments.role == Role::Compact {
        return Ok(runtime.block_on(tsdb_server::compact(&config, stopping))?);
    }
    config.object_storage.compact &= arguments.role == Role::All;
    runtime.block_on(async {
        let address = config.listen;
        let listener =
            TcpListener::bind(address).await.map_err(|e| format!("cannot listen on {address}: {e}"))?;
        config.listen = listener.local_addr()?;
        let server = Server::open(config)?;
        print(&welcome(server.config()));
        Ok(serve(listener, server, stopping).await?)
    })
}

/// Completes when the process is asked to stop.
async fn stopping() {
    if let Err(error) = stop_signal().await {
        tracing::error!("cannot wait for signals: {error}");
    }
    tracing::info!("stopping");
}

/// The file's settings, or the defaults, with what the command line says.
fn settings(arguments: &Arguments) -> Result<Config, Failure> {
    let mut config = match &arguments.config {
        Some(path) => Config::load(path)?,
        None => Config::default(),
    };
    if let Some(listen) = arguments.listen {
        config.listen = listen;
    }
    if let Some(data_dir) = &arguments.data_dir {
        config.data_dir.clone_from(data_dir);
    }
    config.features.extend(&arguments.enable_feature);
    Ok(if arguments.no_limits { config.without_limits() } else { config })
}

/// What to open, and one line each to push and to query.
fn welcome(config: &Config) -> String {
    let (url, data_dir) = (format!("http://{}", config.listen), config.data_dir.display());
    format!(
        "Listening on {url}, data in {data_dir}. Open {url}/ in a browser, or add it to Grafana as a Prometheus data \
         source.\n\n\
         Push:   curl {url}/v1/metrics/push -d \
         '{{\"samples\":[{{\"metric\":\"hello\",\"labels\":{{\"from\":\"curl\"}},\"timestampMs\":'$(date +%s)'000,\"value\":1}}]}}'\n\
         Query:  curl {url}/api/v1/query --data-urlencode 'query=process_resident_memory_bytes / 1e6'\n"
    )
}

/// Speaks to whoever started the program; that nobody listens is no reason to stop.
fn print(text: &str) {
    drop(writeln!(std::io::stdout(), "{text}"));
}
