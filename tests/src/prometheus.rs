//! A real Prometheus, which a test starts for itself.

use std::fs;
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use logos_scenario::{telemetry, wait};
use serde_json::json;
use tempfile::TempDir;

/// How long it may take to listen on a loaded machine.
const WITHIN: Duration = Duration::from_secs(60);

/// A Prometheus that scrapes what its file of targets names. It ends with this.
#[derive(Debug)]
pub struct Prometheus {
    child: Child,
    url: String,
    folder: TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // One that has ended already needs no end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    /// Starts it on a loopback address that only this process has; `None` where it is not installed.
    ///
    /// # Errors
    ///
    /// It does not come to listen.
    pub async fn start() -> anyhow::Result<Option<Self>> {
        let folder = tempfile::tempdir()?;
        let [.., high, low] = std::process::id().to_be_bytes();
        let address = format!("{}:9090", Ipv4Addr::new(127, 78, high, low.max(2)));
        let targets = folder.path().join("targets.json");
        fs::write(&targets, "[]")?;
        let config = folder.path().join("prometheus.yml");
        let scrapes = json!([{
            "job_name": "nodes",
            "scrape_interval": "500ms",
            "scrape_timeout": "500ms",
            "file_sd_configs": [{ "files": [targets], "refresh_interval": "1s" }],
        }]);
        fs::write(&config, json!({ "scrape_configs": scrapes }).to_string())?;
        let log = fs::File::create(folder.path().join("log"))?;
        #[expect(clippy::disallowed_methods, reason = "the test's own Prometheus")]
        let spawned = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        let Ok(child) = spawned else { return Ok(None) };
        let prometheus = Self { child, url: format!("http://{address}"), folder };
        let listens = || async { tokio::net::TcpStream::connect(&address).await.map(drop) };
        wait::until("Prometheus to listen", WITHIN, listens).await.with_context(|| prometheus.log())?;
        Ok(Some(prometheus))
    }

    /// Scrapes these addresses from now on.
    ///
    /// # Errors
    ///
    /// The file that names them cannot be written.
    pub fn scrape(&self, addresses: &[&String]) -> anyhow::Result<()> {
        let targets = json!([{ "targets": addresses }]).to_string();
        // A file that is there is whole.
        fs::write(self.folder.path().join("new"), targets)?;
        Ok(fs::rename(self.folder.path().join("new"), self.folder.path().join("targets.json"))?)
    }

    /// What it logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What asks it.
    ///
    /// # Errors
    ///
    /// Its URL is none.
    pub fn client(&self) -> anyhow::Result<telemetry::Prometheus> {
        Ok(telemetry::Prometheus::new(&self.url)?)
    }
}
