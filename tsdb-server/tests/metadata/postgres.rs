//! The store in a real PostgreSQL, which the tests start and end.

use crate::contract;
use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tsdb_core::TenantId;
use tsdb_core::testing::skipped;
use tsdb_server::SqlMetadata;
use tsdb_server::metadata::{MetadataErrorKind, MetadataStore, Overrides, Revision, Signature};

const TIMEOUT: Duration = Duration::from_secs(30);

/// A server of PostgreSQL with a folder of its own. Dropping it kills it.
pub(crate) struct Postgres {
    programs: PathBuf,
    folder: TempDir,
    port: u16,
    process: Option<Child>,
}

impl Postgres {
    /// A server that is ready; `None`, said loudly, where there is no PostgreSQL.
    pub(crate) fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            skipped("there is no PostgreSQL (Debian: postgresql)");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Self { programs, folder, port, process: None };
        let mut init = server.command("initdb");
        init.args([
            "--auth=trust",
            "--username=postgres",
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
        ]);
        let output = init.arg("-D").arg(server.data()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        server.resume();
        Some(server)
    }

    /// Starts it, over what it had.
    pub(crate) fn resume(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(120);
        while SqlMetadata::connect(&self.url("postgres"), TIMEOUT).unwrap().ready().is_err() {
            assert!(Instant::now() < deadline, "PostgreSQL does not become ready");
            let running = self.process.as_mut().is_some_and(|process| process.try_wait().unwrap().is_none());
            if !running {
                // Also again: it does not start while processes of one that was killed are still about to end.
                self.process = Some(self.spawn());
            }
            std::thread::park_timeout(Duration::from_millis(100));
        }
    }

    fn spawn(&self) -> Child {
        let mut run = self.command("postgres");
        run.arg("-D").arg(self.data()).args(["-p", &self.port.to_string(), "-h", "127.0.0.1"]);
        run.args(["-c", "unix_socket_directories=", "-c", "fsync=off"]);
        run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Stops it from doing anything, without closing a connection.
    pub(crate) fn freeze(&self, frozen: bool) {
        let signal = if frozen { "-STOP" } else { "-CONT" };
        for process in self.family() {
            let sent = Command::new("kill").args([signal, &process.to_string()]).status().unwrap();
            assert!(sent.success() || !frozen);
        }
    }

    /// The numbers of its process and of those that serve its connections.
    fn family(&self) -> Vec<u32> {
        let parent = self.process.as_ref().unwrap().id();
        let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
        children.split_whitespace().map(|child| child.parse().unwrap()).chain([parent]).collect()
    }

    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// A new database, and the store in it.
    pub(crate) fn database(&self, name: &str) -> SqlMetadata {
        self.execute("postgres", &format!("CREATE DATABASE {name}"));
        SqlMetadata::connect(&self.url(name), TIMEOUT).unwrap()
    }

    /// Runs `statement` as a person with a shell would.
    pub(crate) fn execute(&self, database: &str, statement: &str) {
        let mut shell = Command::new(self.programs.join("psql"));
        shell.args(["-v", "ON_ERROR_STOP=1", "-q", "-d", &self.url(database), "-c", statement]);
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// `program`, as a user that PostgreSQL accepts: anyone but root.
    fn command(&self, program: &str) -> Command {
        let path = self.programs.join(program);
        let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
        let mut command = if is_root {
            let mut command = Command::new("setpriv");
            // What starts it is the test: it must not outlive it, whatever becomes of the test.
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--pdeathsig=KILL"]).arg(path);
            command
        } else {
            Command::new(path)
        };
        command.current_dir(self.folder.path()).env("LC_ALL", "C.UTF-8");
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The folder of the newest PostgreSQL that is installed.
fn programs() -> Option<PathBuf> {
    let installed = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let folders = installed.filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    let complete = |folder: &PathBuf| {
        ["initdb", "postgres", "psql"].iter().all(|program| Path::new(&folder.join(program)).exists())
    };
    folders.filter(complete).max()
}

#[test]
fn postgresql_keeps_the_contract() {
    let Some(server) = Postgres::start() else { return };
    for (number, (name, holds)) in contract::ALL.into_iter().enumerate() {
        println!("{name}");
        holds(&server.database(&format!("contract_{number}")));
    }

    println!("servers that start at the same time make the tables once");
    server.execute("postgres", "CREATE DATABASE raced");
    let ready = || SqlMetadata::connect(&server.url("raced"), TIMEOUT).unwrap().ready();
    std::thread::scope(|scope| {
        let started: Vec<_> = (0..4).map(|_| scope.spawn(ready)).collect();
        started.into_iter().for_each(|start| start.join().unwrap().unwrap());
    });

    println!("what people change by hand is a change");
    let store = server.database("by_hand");
    let before = store.changes(Revision::START).unwrap().revision;
    server.execute("by_hand", "INSERT INTO tenant_budgets (tenant_id, max_active_series) VALUES ('a', 5)");
    let changes = store.changes(before).unwrap();
    assert_eq!(changes.budgets, [TenantId::new("a").unwrap()]);
    assert_eq!(
        store.budgets().unwrap()[0].overrides.to_string(),
        r#"{"cardinality":{"max_active_series":5}}"#
    );

    println!("who only reads makes no tables");
    server.execute("postgres", "CREATE DATABASE bare");
    let guest = SqlMetadata::attach(&server.url("bare"), TIMEOUT).unwrap();
    assert_eq!(guest.budgets().unwrap_err().kind(), MetadataErrorKind::Unavailable);
    server.execute("bare", "CREATE TABLE tenant_budgets (id INTEGER)");
    assert_eq!(guest.budgets().unwrap_err().kind(), MetadataErrorKind::Unavailable);
    let guest = SqlMetadata::attach(&server.url("by_hand"), TIMEOUT).unwrap();
    assert_eq!(guest.budgets().unwrap(), store.budgets().unwrap());

    println!("a schema from the future is refused by its number");
    let future = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                  VALUES (99, 'from the future', TRUE, '', 0)";
    server.execute("by_hand", future);
    let error = SqlMetadata::connect(&server.url("by_hand"), TIMEOUT).unwrap().ready().unwrap_err();
    assert!(error.to_string().contains("schema version 99"), "{error}");
    let error = SqlMetadata::attach(&server.url("by_hand"), TIMEOUT).unwrap().budgets().unwrap_err();
    assert!(error.to_string().contains("schema version 99"), "{error}");

    println!("many writers make every change, and each its own version");
    let store = server.database("contended");
    let put = |number: u32| {
        let tenant = TenantId::new(&format!("t{}", number % 3)).unwrap();
        let by = Signature { who: number.to_string(), at: 1 };
        store.put_budget(&tenant, &Overrides::default(), None, &by).unwrap().version
    };
    let mut versions = std::thread::scope(|scope| {
        let writer = |writer: u32| move || (0..25).map(|n| put(writer * 25 + n)).collect::<Vec<_>>();
        let writers: Vec<_> = (0..8).map(|number| scope.spawn(writer(number))).collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
    });
    versions.sort_unstable();
    versions.dedup();
    assert_eq!(versions.len(), 200);
}

#[test]
fn a_database_that_is_away_is_unavailable_and_found_again() {
    let Some(mut server) = Postgres::start() else { return };
    server.execute("postgres", "CREATE DATABASE away");
    let store = SqlMetadata::connect(&server.url("away"), Duration::from_secs(2)).unwrap();
    let tenant = TenantId::new("a").unwrap();
    let by = Signature { who: "x".to_owned(), at: 1 };
    let put = || store.put_budget(&tenant, &Overrides::default(), None, &by);
    put().unwrap();
    server.freeze(true);
    assert_eq!(put().unwrap_err().kind(), MetadataErrorKind::Unavailable, "frozen");
    assert_eq!(store.budgets().unwrap_err().kind(), MetadataErrorKind::Unavailable, "frozen");
    server.freeze(false);
    eventually(|| put().is_ok());
    server.kill();
    // The process of a connection may outlive the server by a moment.
    eventually(|| put().is_err_and(|error| error.kind() == MetadataErrorKind::Unavailable));
    server.resume();
    put().unwrap();
    assert_eq!(store.budgets().unwrap().len(), 1);
}

/// Waits until `holds`.
pub(crate) fn eventually(mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < deadline, "it never came to hold");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}
