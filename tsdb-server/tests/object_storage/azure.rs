//! Azure Blob Storage, as Azurite has it, the emulator of its makers (`npm install -g azurite`).

use super::{contract, survives_its_machine};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tsdb::tier::ObjectStore;
use tsdb_core::testing::skipped;
use tsdb_server::CloudStore;

/// Makes the container `blocks`, once Azurite answers. Nothing else asks for a container to be made.
const MAKE_CONTAINER: &str = r#"
const [port, account, key] = process.argv.slice(1);
const headers = { 'x-ms-date': new Date().toUTCString(), 'x-ms-version': '2021-08-06', 'Content-Length': '0' };
const signed = ['PUT', ...Array(11).fill(''), `x-ms-date:${headers['x-ms-date']}`,
  `x-ms-version:${headers['x-ms-version']}`, `/${account}/${account}/blocks`, 'restype:container'].join('\n');
const hmac = require('crypto').createHmac('sha256', Buffer.from(key, 'base64')).update(signed).digest('base64');
headers.Authorization = `SharedKey ${account}:${hmac}`;
const request = { port, path: `/${account}/blocks?restype=container`, method: 'PUT', headers };
require('http').request(request, answer => process.exit(answer.statusCode === 201 ? 0 : 1)).end();
"#;

/// An emulator with the container `blocks`.
struct Azurite {
    process: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Azurite {
    fn start() -> Option<Self> {
        let variable = |name| std::env::var(name).ok();
        let Some((account, key)) =
            variable("AZURE_STORAGE_ACCOUNT_NAME").zip(variable("AZURE_STORAGE_ACCOUNT_KEY"))
        else {
            skipped("AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY must be those of Azurite");
            return None;
        };
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (text, dir) = (port.to_string(), tempfile::tempdir().unwrap());
        let mut command = Command::new("azurite-blob");
        command.args(["--blobPort", &text, "--skipApiVersionCheck", "--silent", "--disableTelemetry"]);
        command.arg("--location").arg(dir.path());
        let Ok(process) = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() else {
            skipped("there is no azurite-blob (npm install -g azurite)");
            return None;
        };
        let azurite = Self { process, port, _dir: dir };
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(60) {
            let mut make = Command::new("node");
            make.args(["-e", MAKE_CONTAINER, &text, &account, &key]).stderr(Stdio::null());
            if make.status().is_ok_and(|status| status.success()) {
                return Some(azurite);
            }
            std::thread::park_timeout(Duration::from_millis(100));
        }
        skipped("azurite-blob does not answer");
        None
    }

    fn store(&self) -> Arc<dyn ObjectStore> {
        let account = std::env::var("AZURE_STORAGE_ACCOUNT_NAME").unwrap();
        let endpoint = format!("http://127.0.0.1:{}/{account}", self.port);
        Arc::new(CloudStore::open("az://blocks", &endpoint, "").unwrap())
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[test]
fn azure_does_what_the_engine_relies_on() {
    let Some(azurite) = Azurite::start() else { return };
    contract::holds_for(&*azurite.store());
    survives_its_machine(&azurite.store());
}
