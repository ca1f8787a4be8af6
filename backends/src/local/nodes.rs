//! The processes of a cluster: start, signal, wait, and tell what they do.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration;

use logos_scenario_runtime::deployer::{
    ClusterError, DeployError, NodeAction, NodeState, NodeStatus, States, Usage,
};
use logos_scenario_runtime::wait;
use rustix::process::{Pid, Signal};
use tokio::process::Child;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::engine::{lives, process_state, signal, spawn, usage};
use super::render::NodeCommand;
use crate::states::{NodeStates, is_alive};
use crate::thread;

/// How long a node that was asked to end may take.
const GRACE: Duration = Duration::from_secs(5);
/// How long the kernel may take to do what cannot be refused.
const KERNEL: Duration = Duration::from_secs(10);

/// All nodes of a cluster. Dropping it kills them.
#[derive(Debug)]
pub(super) struct Nodes {
    nodes: Vec<Arc<Node>>,
    states: Arc<NodeStates>,
}

/// One node, running or not.
#[derive(Debug)]
pub(super) struct Node {
    index: usize,
    name: String,
    log: PathBuf,
    late: bool,
    command: StdMutex<NodeCommand>,
    /// By what it is started next, where that is another.
    next: StdMutex<Option<NodeCommand>>,
    states: Arc<NodeStates>,
    /// One action at a time.
    turn: Mutex<()>,
    process: StdMutex<Process>,
    /// Set before we end the node, so that its end is known to be our doing.
    ending: AtomicBool,
}

/// What there is of a node's process.
#[derive(Debug, Default)]
struct Process {
    group: Option<Pid>,
    /// The cluster is gone: nothing may be started any more.
    abandoned: bool,
}

impl Nodes {
    pub(super) fn new(commands: Vec<NodeCommand>) -> Self {
        let states = Arc::new(NodeStates::new(commands.iter().map(|command| &command.name)));
        let node = |(index, command): (usize, NodeCommand)| {
            Arc::new(Node {
                index,
                name: command.name.clone(),
                log: command.log.clone(),
                late: command.late,
                command: StdMutex::new(command),
                next: StdMutex::default(),
                states: Arc::clone(&states),
                turn: Mutex::default(),
                process: StdMutex::default(),
                ending: AtomicBool::new(false),
            })
        };
        Self { nodes: commands.into_iter().enumerate().map(node).collect(), states }
    }

    /// Starts all nodes but the late ones, beside each other.
    pub(super) async fn start_all(&self) -> Result<(), DeployError> {
        let mut starting = JoinSet::new();
        for node in self.nodes.iter().filter(|node| !node.late).cloned() {
            starting.spawn(async move { node.start().await.map_err(|error| (node.index, error)) });
        }
        let mut failed: Vec<_> = starting.join_all().await.into_iter().filter_map(Result::err).collect();
        failed.sort_by_key(|(index, _)| *index);
        match failed.into_iter().next() {
            None => Ok(()),
            Some((_, error)) => {
                // What did start is ended before the caller is told.
                let _ = self.end_all().await;
                Err(DeployError::new(
                    error.subject,
                    error.what,
                    "see whether the program runs by hand on this machine",
                ))
            }
        }
    }

    pub(super) fn get(&self, name: &str) -> Result<&Arc<Node>, ClusterError> {
        let names = || self.nodes.iter().map(|node| node.name.as_str());
        let node = self.nodes.iter().find(|node| node.name == name);
        node.ok_or_else(|| ClusterError::no_such_node(name, names()))
    }

    pub(super) async fn states(&self, newer_than: u64) -> States {
        self.states.newer_than(newer_than).await
    }

    /// Notes that the relay between the nodes has ended.
    pub(super) fn without_relay(&self) -> impl Fn() + use<> {
        let states = Arc::clone(&self.states);
        move || states.broken("the relay between the nodes, which is part of this program, has ended")
    }

    /// Ends all nodes that run, beside each other, for good; when this returns, no process is left.
    pub(super) async fn end_all(&self) -> Result<(), ClusterError> {
        let mut ending = JoinSet::new();
        for node in self.nodes.iter().cloned() {
            node.process().abandoned = true;
            ending.spawn(async move {
                let _turn = node.turn.lock().await;
                node.end(Signal::TERM).await
            });
        }
        ending.join_all().await.into_iter().collect()
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for node in &self.nodes {
            node.ending.store(true, Ordering::Relaxed);
            node.process().abandoned = true;
            node.signal(Signal::KILL);
        }
    }
}

impl Node {
    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// Starts the node by another command from its next start on.
    pub(super) fn replan(&self, command: NodeCommand) {
        *lock(&self.next) = Some(command);
        self.states.replanned(&self.name);
    }

    /// What the node's process uses, if there is one.
    pub(super) fn usage(&self) -> Option<Usage> {
        usage(self.group()?)
    }

    pub(super) async fn control(self: &Arc<Self>, action: NodeAction) -> Result<(), ClusterError> {
        let _turn = self.turn.lock().await;
        action.allowed(&self.name, &self.status())?;
        match action {
            NodeAction::Stop => self.end(Signal::TERM).await,
            NodeAction::Kill => self.end(Signal::KILL).await,
            NodeAction::Start => self.start().await,
            NodeAction::Restart => {
                self.end(Signal::TERM).await?;
                self.start().await
            }
            NodeAction::Pause => self.pause().await,
            NodeAction::Resume => {
                self.signal(Signal::CONT);
                self.set(|state| state.status = NodeStatus::Running);
                Ok(())
            }
            NodeAction::Isolate | NodeAction::Rejoin => {
                Err(self.error("cannot be cut off: local nodes share the machine's network".to_owned()))
            }
        }
    }

    /// Starts the node; returns when its process runs.
    async fn start(self: &Arc<Self>) -> Result<(), ClusterError> {
        let node = Arc::clone(self);
        thread::to_the_end(async move {
            let mut child = node.spawned()?;
            node.set(|state| {
                state.status = NodeStatus::Running;
                state.starts += 1;
                state.starts_by_us += 1;
            });
            let waiting = Arc::clone(&node);
            thread::handle().spawn(async move {
                let status = child.wait().await;
                waiting.ended(&status.map_or_else(|error| error.to_string(), described_exit));
            });
            Ok(())
        })
        .await
    }

    /// The node's process, unless the cluster was given up meanwhile.
    fn spawned(&self) -> Result<Child, ClusterError> {
        let mut process = self.process();
        if process.abandoned {
            return Err(self.error("is not started: its cluster is gone".to_owned()));
        }
        let mut command = lock(&self.command);
        if let Some(next) = lock(&self.next).take() {
            let old = std::mem::replace(&mut *command, next);
            command.replace_files_of(&old)?;
        }
        let child = spawn(&command).map_err(|error| {
            self.error(format!("`{}` cannot be started: {error}", command.program.display()))
        })?;
        self.ending.store(false, Ordering::Relaxed);
        process.group = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        Ok(child)
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        lock(&self.process)
    }

    /// Notes that the node's process ended, and ends what it left behind.
    fn ended(&self, how: &str) {
        self.signal(Signal::KILL);
        self.process().group = None;
        let ours = self.ending.load(Ordering::Relaxed);
        self.set(|state| {
            state.status = if ours { NodeStatus::Stopped } else { NodeStatus::Exited(how.to_owned()) };
        });
    }

    /// Ends the node if it runs, with a signal and, if that does not do, with SIGKILL.
    async fn end(&self, first: Signal) -> Result<(), ClusterError> {
        let Some(group) = self.group() else { return Ok(()) };
        self.ending.store(true, Ordering::Relaxed);
        signal(group, first);
        signal(group, Signal::CONT);
        if tokio::time::timeout(GRACE, self.not_running()).await.is_err() {
            signal(group, Signal::KILL);
            tokio::time::timeout(KERNEL, self.not_running())
                .await
                .map_err(|_| self.error("does not end, though it was killed".to_owned()))?;
        }
        let gone = || async move { if lives(group) { Err("a process of its group lives") } else { Ok(()) } };
        wait::until("no process of the group left", KERNEL, gone)
            .await
            .map_err(|timed_out| self.error(timed_out.to_string()))
    }

    async fn pause(&self) -> Result<(), ClusterError> {
        let Some(group) = self.group() else { return Err(self.error("ended just now".to_owned())) };
        signal(group, Signal::STOP);
        let stopped = || async move {
            match process_state(group).as_str() {
                "T" => Ok(()),
                other => Err(format!("state `{other}`")),
            }
        };
        wait::until("the process to stand still", KERNEL, stopped)
            .await
            .map_err(|timed_out| self.error(timed_out.to_string()))?;
        self.set(|state| state.status = NodeStatus::Paused);
        Ok(())
    }

    async fn not_running(&self) {
        self.states.reaches(self.index, |state| !is_alive(state)).await;
    }

    fn signal(&self, which: Signal) {
        self.group().map(|group| signal(group, which));
    }

    fn group(&self) -> Option<Pid> {
        self.process().group
    }

    fn status(&self) -> NodeStatus {
        self.states.of(self.index).status
    }

    fn set(&self, change: impl FnOnce(&mut NodeState)) {
        self.states.change(self.index, change);
    }

    fn error(&self, what: String) -> ClusterError {
        ClusterError { subject: self.name.clone(), what }
    }
}

fn lock<T>(mutex: &StdMutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn described_exit(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(number)) => {
            let name = Signal::from_named_raw(number).map(|signal| format!("{signal:?}"));
            let name = name.as_deref().and_then(|name| name.trim_matches('"').strip_prefix("Signal::"));
            format!("signal {number}{}", name.map_or_else(String::new, |name| format!(" (SIG{name})")))
        }
        (None, None) => status.to_string(),
    }
}
