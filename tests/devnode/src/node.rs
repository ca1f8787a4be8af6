//! The program: `devnode <config.yaml>`.

mod behaviour;
mod cfgsync;
mod clock;
mod data;
mod faults;
mod http;
mod logging;
mod metrics;
mod network;
mod orphans;
mod peers;
mod process;
mod protocol;
mod state;
mod storage;
mod streams;
mod telemetry;
mod transport;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tokio::sync::mpsc::unbounded_channel;
use tracing::info;

use crate::chain::Chain;
use crate::config::{Config, Settings};

const USAGE: &str = "\
A node of an embedded blockchain, for tests.

Usage: devnode <config.yaml>
       devnode --check-config <config.yaml>

Options:
      --check-config  say whether the configuration is valid, and start nothing
      --version       print the version
      --help          print this

Environment:
  NOMOS_LOG_LEVEL   the least level that is logged, before the configuration's `log`
  NOMOS_LOG_FILTER  directives of tracing instead, such as `info,libp2p_gossipsub=debug`
  NOMOS_LOG_DIR     the log goes to <name>.log in this directory instead of stderr
  NOMOS_OTLP_ENDPOINT            where spans go by OTLP over HTTP; `/v1/traces` is added where the URL has no path
  NOMOS_OTLP_METRICS_ENDPOINT    the same for metrics, with `/v1/metrics`
  NOMOS_METRICS_OTLP_INGEST_URL  where metrics go if the former is not given
  OTEL_RESOURCE_ATTRIBUTES       what tells this node from others; labels of every metric besides
  TRACEPARENT                    the span under which the node's are
  CFG_SERVER_ADDR   the configuration is fetched from this cfgsync server, as CFG_HOST_KIND, CFG_HOST_IDENTIFIER
                    and CFG_HOST_IP, and written to CFG_FILE_PATH first

SIGTERM and SIGINT end the node. The exit code is 0 then, 1 where it could not start, and 101 after a panic.

Metrics, at /metrics of `testing_http`:
";

/// What was asked for on the command line.
enum Command {
    Run(PathBuf),
    Check(PathBuf),
    Print(String),
}

/// Runs the program until a signal ends it.
#[must_use]
pub fn main() -> ExitCode {
    let done = match command(std::env::args_os().skip(1).collect()) {
        Ok(Command::Print(text)) => {
            print!("{text}");
            Ok(())
        }
        Ok(Command::Check(path)) => read(&path).map(|_| println!("{}: valid", path.display())),
        Ok(Command::Run(path)) => {
            cfgsync::fetch_if_told().and_then(|()| read(&path)).and_then(|settings| start(&settings))
        }
        Err(error) => Err(error),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("devnode: {error}");
            ExitCode::FAILURE
        }
    }
}

fn command(arguments: Vec<OsString>) -> Result<Command, String> {
    let usage = || "expected `devnode <config.yaml>`; `devnode --help` says more".to_owned();
    let (flags, files): (Vec<_>, Vec<_>) =
        arguments.into_iter().partition(|argument| argument.to_string_lossy().starts_with('-'));
    let mut files = files.into_iter().map(PathBuf::from);
    let command = match flags.iter().map(|flag| flag.to_string_lossy()).collect::<Vec<_>>()[..] {
        [] => Command::Run(files.next().ok_or_else(usage)?),
        [ref flag] if flag == "--check-config" => Command::Check(files.next().ok_or_else(usage)?),
        [ref flag] if flag == "--version" || flag == "-V" => {
            Command::Print(format!("devnode {}\n", env!("CARGO_PKG_VERSION")))
        }
        [ref flag] if flag == "--help" || flag == "-h" => {
            Command::Print(format!("{USAGE}{}", metrics::list()))
        }
        [ref flag, ..] => return Err(format!("unknown option `{flag}`; {}", usage())),
    };
    if files.next().is_some() { Err(usage()) } else { Ok(command) }
}

fn read(path: &Path) -> Result<Settings, String> {
    let place = path.display();
    let text = fs::read_to_string(path).map_err(|error| format!("{place}: {error}"))?;
    let config = Config::from_yaml(&text).map_err(|error| format!("{place}: {error}"))?;
    config.settings().map_err(|problems| format!("{place}: {problems}"))
}

/// One thread carries the whole node: there may be many nodes on few cores.
fn start(settings: &Settings) -> Result<(), String> {
    process::exit_on_panic();
    let environment = process::Environment::read();
    logging::start(settings, &environment)?;
    let exporters = telemetry::Exporters::new(settings, &environment)?;
    if settings.faults.refuse_to_start {
        return Err("fault refuse_to_start: not starting".to_owned());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ran = runtime.map_err(|error| error.to_string())?.block_on(run(settings, &exporters));
    exporters.close();
    ran
}

async fn run(settings: &Settings, exporters: &telemetry::Exporters) -> Result<(), String> {
    let mut signals = process::Signals::new().map_err(|error| error.to_string())?;
    let http_fault = faults::Http::new(settings);
    let http = match http_fault.is_closed() {
        true => None,
        false => Some(http::Listeners::bind(settings).await?),
    };
    let (later, come) = unbounded_channel();
    let state = state::Shared::load(settings, later.clone(), exporters.spans())?;
    exporters.tell_metrics(&state);
    let mut network = network::Network::new(settings, state.clone(), later)?;
    network.listen().await.map_err(|error| format!("listen: {}: {error}", settings.listen))?;
    let (submitted, to_publish) = unbounded_channel();
    tell_start(settings, &state.lock().chain);
    let answering = async {
        match http {
            Some(http) => http.serve(http_fault, state.clone(), submitted).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        signal = signals.recv() => info!("{signal}: ending"),
        () = answering => {}
        () = network.run(to_publish, come) => {}
    }
    state.lock().close();
    Ok(())
}

fn tell_start(settings: &Settings, chain: &Chain) {
    let Settings { name, role, http, .. } = settings;
    let (genesis, height) = (chain.genesis(), chain.height());
    info!(name, ?role, %http, %genesis, height, "started");
}
