//! The process that owns clusters and outlives single test programs: the test program once more, with a hidden
//! first argument.
//!
//! There is one per [`Ground`]: a lock file elects it. Whoever gets the lock starts the keeper with the locked
//! file as its stdin, so that at no instant a living keeper does not hold it; the kernel frees it with the
//! keeper, however that ends. Nobody waits for the lock: who does not get it tries to connect again.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use super::host::{Host, HostHandle, note};
use super::wire::{Owning, Plans, Reply};
use crate::deployer::Backend;
use crate::env;
use crate::node::NodeProgram;

mod client;
mod ground;
pub(crate) use client::{Reached, connect, find, is_nobody, silent};
pub(crate) use ground::{Ground, Parts, sockets};

/// The first argument of a keeper. Nobody gives it by hand.
pub(crate) const ARGUMENT: &str = "--scenario-keeper";
/// How long the files of keepers that ended stay.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How often a keeper says that it lives.
const BEAT: Duration = Duration::from_secs(5);
/// What clients may take to read their last replies.
const FAREWELL: Duration = Duration::from_secs(5);

/// What a keeper is started with: its second argument, as JSON.
#[derive(Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) ground: Ground,
    pub(crate) owning: Owning,
}

fn line(message: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(message).expect("messages are plain data");
    line.push(b'\n');
    line
}

/// Keeps clusters until nobody needs them any more.
pub(crate) fn run(order: &str, backends: Vec<Backend>, program: Arc<dyn NodeProgram>) -> ExitCode {
    close_foreign_descriptors();
    // A process of its own session gets no Ctrl-C.
    let _ = rustix::process::setsid();
    let kept = serde_json::from_str(order).map_err(io::Error::from).and_then(|order: Order| {
        let _lock = take_lock_from_stdin()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(keep(&order, backends, program))
    });
    match kept {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(true, format_args!("{error}"));
            ExitCode::FAILURE
        }
    }
}

async fn keep(order: &Order, backends: Vec<Backend>, program: Arc<dyn NodeProgram>) -> io::Result<()> {
    let socket = order.ground.socket();
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket)?;
    std::fs::set_permissions(&socket, PermissionsExt::from_mode(0o600))?;
    order.ground.record()?;
    order.ground.clean(DAY);
    note(true, format_args!("begins, for process {}", order.owning.owner.pid));
    let (host, handle) = Host::new(backends, program, env::settings().max_nodes, true);
    let (owner, _) = handle.connect();
    handle.request(owner, order.owning.said(Plans::new()));
    let mut serving = JoinSet::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let host = tokio::spawn(host.run());
    tokio::pin!(host);
    loop {
        tokio::select! {
            _ = &mut host => break,
            _ = terminate.recv() => handle.end(),
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    serving.spawn(serve(stream, handle.clone()));
                }
            }
        }
    }
    order.ground.forget();
    drop(listener);
    // Whoever does not read is not waited for.
    let _ = tokio::time::timeout(FAREWELL, serving.join_all()).await;
    Ok(())
}

/// Serves one client until its connection ends, or the host does.
async fn serve(stream: UnixStream, host: HostHandle) {
    let (read, mut write) = stream.into_split();
    let (client, mut replies) = host.connect();
    let reading = async {
        let mut lines = BufReader::new(read).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            match serde_json::from_str(&line) {
                Ok(request) => host.request(client, request),
                Err(error) => {
                    note(true, format_args!("client {client} says what is no request: {error}"));
                    return;
                }
            }
        }
    };
    let writing = async {
        let mut beats = tokio::time::interval(BEAT);
        loop {
            let reply = tokio::select! {
                biased;
                reply = replies.recv() => reply,
                // The first one comes at once.
                _ = beats.tick() => Some(Reply::Alive),
            };
            let Some(reply) = reply else { return };
            if write.write_all(&line(&reply)).await.is_err() {
                return;
            }
        }
    };
    tokio::select! { () = reading => {}, () = writing => {} }
    host.closed(client);
}

/// Takes the lock away from stdin, which processes that this one starts would inherit.
fn take_lock_from_stdin() -> io::Result<OwnedFd> {
    let lock = rustix::io::fcntl_dupfd_cloexec(io::stdin(), 3)?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    Ok(lock)
}

/// Whatever this process inherited, such as a CI's pipes, would stay open for as long as it lives.
fn close_foreign_descriptors() {
    let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let numbers: Vec<i32> =
        open.filter_map(|entry| entry.file_name().to_string_lossy().parse().ok()).collect();
    // The one by which they were listed is closed by now.
    let inherited =
        |number: &i32| *number > 2 && std::fs::read_link(format!("/proc/self/fd/{number}")).is_ok();
    for number in numbers.into_iter().filter(inherited) {
        #[expect(unsafe_code, reason = "nobody in this program owns a descriptor that it inherited")]
        // SAFETY: nothing of this process's own is open yet.
        unsafe {
            rustix::io::close(number);
        }
    }
}
