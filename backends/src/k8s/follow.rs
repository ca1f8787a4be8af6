//! The log of a container, copied into a file while it is written, so that it survives its pod.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::AsyncReadExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use logos_scenario_runtime::wait;

use super::engine::{is_missing, said};
use super::render::CONTAINER;

/// How long a log that broke off is asked for again.
const AGAIN: Duration = Duration::from_secs(60);

/// Which container of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// The one there is.
    Current,
    /// The one before it: the node ended by itself, and was started again before anybody looked.
    Previous,
}

/// Copies the log to the end of a file until the container ended. What breaks off is asked for again, from where it
/// was.
pub(super) async fn follow(pods: Api<Pod>, pod: String, which: Which, path: PathBuf) {
    let copied = std::sync::atomic::AtomicU64::new(0);
    let copy = async || copy(&pods, &pod, which, &path, &copied).await;
    // The file says what there was; nobody waits to be told that there is no more.
    let _ = wait::until("the end of the log", AGAIN, copy).await;
}

/// Opens a container's log; what is returned ends when the container does.
pub(super) async fn to_the_end(pods: &Api<Pod>, pod: &str) -> kube::Result<impl Future<Output = ()> + use<>> {
    let params = LogParams { follow: true, tail_lines: Some(0), ..LogParams::default() };
    let mut log = Box::pin(pods.log_stream(pod, &params).await?);
    Ok(async move {
        let mut buffer = vec![0; 1 << 12];
        while log.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
    })
}

async fn copy(
    pods: &Api<Pod>,
    pod: &str,
    which: Which,
    path: &Path,
    copied: &std::sync::atomic::AtomicU64,
) -> Result<(), String> {
    use std::sync::atomic::Ordering::Relaxed;
    let params = LogParams {
        container: Some(CONTAINER.to_owned()),
        follow: which == Which::Current,
        previous: which == Which::Previous,
        ..LogParams::default()
    };
    let mut log = match pods.log_stream(pod, &params).await {
        Ok(log) => Box::pin(log),
        // The pod is gone.
        Err(error) if is_missing(&error) => return Ok(()),
        Err(error) => return Err(said(&error)),
    };
    let file = fs::File::options().create(true).append(true).open(path);
    let mut file = file.map_err(|error| error.to_string())?;
    let (mut buffer, mut seen) = (vec![0; 1 << 16], 0);
    loop {
        let count = log.read(&mut buffer).await.map_err(|error| error.to_string())?;
        if count == 0 {
            return Ok(());
        }
        let begin =
            usize::try_from(copied.load(Relaxed).saturating_sub(seen)).unwrap_or(usize::MAX).min(count);
        seen += count as u64;
        file.write_all(&buffer[begin..count]).map_err(|error| error.to_string())?;
        copied.fetch_max(seen, Relaxed);
    }
}
