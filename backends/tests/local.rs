//! The promises of the local backend, on shell scripts in the place of nodes.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use logos_scenario::deployer::{Cluster, LogPart, NodeAction, NodeStatus, Placement};
use logos_scenario::plan::Plan;
use logos_scenario::{Deployer, LocalDeployer, wait};
use serde_json::json;
use tempfile::TempDir;

type LocalCluster = <LocalDeployer as Deployer>::Cluster;

const WITHIN: Duration = Duration::from_secs(20);
/// Goes on until it is ended.
const RUN: &str = "echo running; exec sleep 1000";

/// A plan of `validator-0`, `validator-1`, … each of which runs its script.
fn plan(scripts: &[&str]) -> Plan {
    plan_of("/bin/sh", scripts, 18_080)
}

fn plan_of(program: &str, scripts: &[&str], port: u16) -> Plan {
    let node = |(index, script): (usize, &&str)| {
        json!({
            "name": format!("validator-{index}"),
            "role": "validator",
            "executable": { "program": "sh", "path": program },
            "args": ["-c", script],
            "env": { "PATH": "/usr/bin:/bin", "HERE": "${directory}", "HOST": format!("${{host:validator-{index}}}") },
            "files": [{ "path": "config.txt", "text": format!("validator-{index} at ${{host:validator-{index}}}") }],
            "ports": [{ "name": "http", "protocol": "tcp", "number": port }],
        })
    };
    let nodes: Vec<_> = scripts.iter().enumerate().map(node).collect();
    let plan = json!({
        "key": "00".repeat(32),
        "genesis": { "leaders": [], "accounts": [] },
        "nodes": nodes,
    });
    serde_json::from_value(plan).expect("the plan is well-formed")
}

struct Fixture {
    cluster: LocalCluster,
    directory: TempDir,
}

fn placement(directory: &Path) -> Placement {
    Placement { directory: directory.to_owned(), labels: [].into() }
}

async fn provision(scripts: &[&str]) -> Fixture {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let cluster = LocalDeployer::default()
        .provision(&plan(scripts), &placement(directory.path()))
        .await
        .expect("the scripts start");
    Fixture { cluster, directory }
}

async fn refused(plan: &Plan) -> String {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let error = LocalDeployer::default().provision(plan, &placement(directory.path())).await;
    let left: Vec<_> = files_below(directory.path());
    assert!(left.is_empty(), "a refused deployment left {left:?}");
    error.expect_err("the plan is refused").to_string()
}

fn files_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).expect("a folder can be read").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let relative = path.strip_prefix(folder).expect("it is below the folder");
                found.push(relative.display().to_string());
            }
        }
    }
    found.sort();
    found
}

impl Fixture {
    async fn status(&self, node: usize) -> NodeStatus {
        self.cluster.states(0).await.expect("states can be asked").nodes[node].status.clone()
    }

    async fn control(&self, action: NodeAction) -> Result<(), String> {
        self.cluster.control("validator-0", action).await.map_err(|error| error.to_string())
    }

    async fn log(&self, node: &str) -> String {
        self.cluster.logs(node, LogPart::From(0)).await.expect("the log can be read").text
    }

    /// Waits until the first node's log has a line, and returns it without the prefix.
    async fn line(&self, prefix: &str) -> String {
        wait::until("a line in the log", WITHIN, || async {
            let log = self.log("validator-0").await;
            let found = log.lines().rev().find_map(|line| line.strip_prefix(prefix)).map(str::to_owned);
            found.ok_or(log)
        })
        .await
        .unwrap_or_else(|error| panic!("no line `{prefix}`: {error}"))
    }
}

fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A zombie is dead and waits to be told of.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

async fn gone(pid: &str) {
    let probe = || async { if lives(pid) { Err("it lives") } else { Ok(()) } };
    wait::until(&format!("the end of process {pid}"), WITHIN, probe)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
}

#[tokio::test]
async fn nodes_have_addresses_files_and_an_environment_of_their_own() {
    let fixture = provision(&["env | sort; cat config.txt; exec sleep 1000", RUN]).await;
    let last = fixture.line("validator-0 at ").await;
    let nodes = &fixture.cluster.description().nodes;
    assert_eq!(nodes[0].addresses["http"], format!("{last}:18080"));
    assert_ne!(nodes[0].addresses, nodes[1].addresses);
    let log = fixture.log("validator-0").await;
    let names: BTreeSet<_> =
        log.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    // The shell itself adds PWD, and some shells more.
    let known = BTreeSet::from(["HERE", "HOST", "OLDPWD", "PATH", "PWD", "SHLVL", "_"]);
    assert!(names.is_subset(&known) && names.contains("HERE"), "{names:?}");
    fixture.cluster.teardown().await.expect("the cluster can be torn down");
}

#[tokio::test]
async fn an_end_is_told_at_once_with_its_cause() {
    for (script, how) in [("exit 3", "exit code 3"), ("kill -9 $$", "signal 9 (SIGKILL)")] {
        let fixture = provision(&[script, RUN]).await;
        let mut version = 0;
        let ended = async {
            loop {
                let states = fixture.cluster.states(version).await.expect("states can be asked");
                version = states.version;
                if let NodeStatus::Exited(how) = &states.nodes[0].status {
                    return how.clone();
                }
            }
        };
        assert_eq!(tokio::time::timeout(WITHIN, ended).await.expect("the end is told"), how);
        assert_eq!(fixture.status(1).await, NodeStatus::Running);
        fixture.cluster.teardown().await.expect("the cluster can be torn down");
    }
}

#[tokio::test]
async fn control_is_done_when_it_returns() {
    let fixture = provision(&["echo pid $$; echo more >> data; wc -l < data; exec sleep 1000"]).await;
    let first = fixture.line("pid ").await;
    assert_eq!(fixture.line("1").await, "");

    fixture.control(NodeAction::Pause).await.expect("a running node can be paused");
    assert_eq!(fixture.status(0).await, NodeStatus::Paused);
    let stat = std::fs::read_to_string(format!("/proc/{first}/stat")).expect("the process is there");
    assert!(stat.contains(") T "), "{stat}");
    fixture.control(NodeAction::Resume).await.expect("a paused node can go on");
    assert_eq!(fixture.status(0).await, NodeStatus::Running);

    fixture.control(NodeAction::Stop).await.expect("a running node can be stopped");
    assert_eq!(fixture.status(0).await, NodeStatus::Stopped);
    assert!(!lives(&first));

    fixture.control(NodeAction::Start).await.expect("a stopped node can be started");
    assert_eq!(fixture.line("2").await, "", "its data survives");
    let second = fixture.line("pid ").await;
    fixture.control(NodeAction::Kill).await.expect("a running node can be killed");
    assert!(!lives(&second));
    fixture.control(NodeAction::Start).await.expect("a killed node can be started");
    fixture.control(NodeAction::Restart).await.expect("a running node can be restarted");
    let states = fixture.cluster.states(0).await.expect("states can be asked");
    assert_eq!((states.nodes[0].starts, states.nodes[0].starts_by_us), (4, 4));
    fixture.cluster.teardown().await.expect("the cluster can be torn down");
}

#[tokio::test]
async fn a_paused_node_and_one_that_ignores_the_request_end_too() {
    let fixture = provision(&["trap '' TERM; echo pid $$; while :; do sleep 1; done", RUN]).await;
    let stubborn = fixture.line("pid ").await;
    fixture.cluster.control("validator-1", NodeAction::Pause).await.expect("it can be paused");
    fixture.cluster.control("validator-1", NodeAction::Stop).await.expect("it can be stopped");
    fixture.control(NodeAction::Stop).await.expect("it ends, however stubborn");
    assert!(!lives(&stubborn));
    fixture.cluster.teardown().await.expect("the cluster can be torn down");
}

#[tokio::test]
async fn what_cannot_be_done_is_told() {
    let fixture = provision(&[RUN, RUN]).await;
    assert_eq!(
        fixture.control(NodeAction::Start).await.unwrap_err(),
        "validator-0: cannot be told to start: it is running"
    );
    assert_eq!(
        fixture.control(NodeAction::Resume).await.unwrap_err(),
        "validator-0: cannot be told to resume: it is running"
    );
    fixture.control(NodeAction::Kill).await.expect("it can be killed");
    assert_eq!(
        fixture.control(NodeAction::Pause).await.unwrap_err(),
        "validator-0: cannot be told to pause: it is stopped"
    );
    let unknown = fixture.cluster.control("executor-0", NodeAction::Kill).await.unwrap_err();
    assert_eq!(unknown.to_string(), "executor-0: there is no such node; there are validator-0, validator-1");
    fixture.cluster.teardown().await.expect("the cluster can be torn down");
}

#[tokio::test]
async fn teardown_leaves_logs_and_configurations_only() {
    let fixture = provision(&[
        "mkdir -p db; echo x > db/data; echo pid $$; (sleep 1000 & echo child $!); wait; sleep 1000",
    ])
    .await;
    let (leader, child) = (fixture.line("pid ").await, fixture.line("child ").await);
    fixture.control(NodeAction::Kill).await.expect("it can be killed");
    let (one, other) = tokio::join!(fixture.cluster.teardown(), fixture.cluster.teardown());
    one.and(other).expect("the cluster can be torn down, by two at once");
    fixture.cluster.teardown().await.expect("and once more");
    assert!(!lives(&leader) && !lives(&child), "a process is left");
    assert_eq!(files_below(fixture.directory.path()), ["nodes/validator-0/config.txt", "validator-0.log"]);
    assert!(fixture.log("validator-0").await.contains("child "), "the log of a dead node can be read");
}

#[tokio::test]
async fn a_cluster_that_is_dropped_ends_its_nodes() {
    let fixture = provision(&["echo pid $$; exec sleep 1000"]).await;
    let pid = fixture.line("pid ").await;
    drop(fixture);
    gone(&pid).await;
}

#[tokio::test]
async fn sixteen_clusters_have_sixteen_blocks_of_addresses() {
    let clusters = futures::future::join_all((0..16).map(|_| provision(&[RUN, RUN]))).await;
    let addresses: BTreeSet<_> = clusters
        .iter()
        .flat_map(|fixture| &fixture.cluster.description().nodes)
        .map(|node| node.addresses["http"].clone())
        .collect();
    assert_eq!(addresses.len(), 32);
    for fixture in clusters {
        fixture.cluster.teardown().await.expect("the cluster can be torn down");
    }
}

#[tokio::test]
async fn programs_that_cannot_run_are_told_with_the_remedy() {
    let missing = refused(&plan_of("/no/such/program", &[RUN], 18_080)).await;
    assert!(missing.contains("its program was not found"), "{missing}");
    let directory = tempfile::tempdir().expect("a directory can be made");
    let file = directory.path().join("no-program");
    std::fs::write(&file, "#!/no/such/interpreter").expect("a file can be written");
    let text = refused(&plan_of(file.to_str().expect("a path is text"), &[RUN], 18_080)).await;
    assert!(text.contains(&format!("try `chmod +x {}`", file.display())), "{text}");
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755))
        .expect("it can be made executable");
    let text = refused(&plan_of(file.to_str().expect("a path is text"), &[RUN, RUN], 18_080)).await;
    assert!(text.contains("cannot be started: No such file or directory"), "{text}");
}

#[tokio::test]
async fn a_program_that_is_built_anew_is_another() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let program = directory.path().join("node");
    let deployer = LocalDeployer::default();
    let plan = plan_of(program.to_str().expect("a path is text"), &[RUN, RUN], 18_080);
    assert!(deployer.identity(&plan).await.expect_err("it is not built").what.contains("was not found"));
    let mut identities = BTreeSet::new();
    for build in ["/bin/true", "/bin/sh"] {
        std::fs::copy(build, &program).expect("a program can be copied");
        identities.insert(deployer.identity(&plan).await.expect("it is built"));
        identities.insert(deployer.identity(&plan).await.expect("it is built"));
    }
    assert_eq!(identities.len(), 2, "{identities:?}");
}

#[tokio::test]
async fn a_listener_on_all_addresses_is_told_with_its_owner() {
    let foreign = TcpListener::bind("0.0.0.0:0").expect("a free port can be had");
    let port = foreign.local_addr().expect("a listener has an address").port();
    let text = refused(&plan_of("/bin/sh", &[RUN], port)).await;
    let own = format!("port {port}: process {} (`", std::process::id());
    assert!(text.starts_with(&own) && text.contains("listens on it on all addresses"), "{text}");
}

/// A file system of a few kilobytes, unmounted with its last user.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// Only root may mount; what keeps others from it is the error.
    fn mount() -> Result<Self, String> {
        let folder = tempfile::tempdir().expect("a directory can be made");
        let mounted =
            run("mount", &["-t", "tmpfs", "-o", "size=32k", "tmpfs", &folder.path().to_string_lossy()]);
        mounted.map(|()| Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &[&self.0.path().to_string_lossy()]).expect("what was mounted can be unmounted");
    }
}

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    #[expect(clippy::disallowed_methods, reason = "file systems are mounted by a program")]
    let output = Command::new(program).args(args).output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

#[tokio::test]
async fn a_full_disk_is_told_with_the_remedy_and_nothing_is_left_on_it() {
    let disk = match SmallDisk::mount() {
        Ok(disk) => disk,
        Err(why) => return eprintln!("skipped: no small file system can be mounted: {why}"),
    };
    let mut plan = plan(&[RUN, RUN]);
    plan.nodes[1].files[0].text = "x".repeat(100_000);
    let deployer = LocalDeployer::default();
    let error = deployer.provision(&plan, &placement(disk.0.path())).await.expect_err("the disk is full");
    assert!(error.subject.ends_with("validator-1/config.txt"), "{error}");
    assert!(error.what.contains("No space left on device"), "{error}");
    assert!(error.try_next.contains("make room on the disk"), "{error}");
    assert_eq!(files_below(disk.0.path()), [""; 0]);
}

#[tokio::test]
async fn too_many_nodes_are_refused() {
    let text = refused(&plan(&[RUN; 201])).await;
    assert!(text.contains("has 201 nodes, but a local cluster has at most 200"), "{text}");
}

/// Set in the environment of a process that makes a cluster and waits to be killed.
const VICTIM: &str = "LOCAL_TEST_VICTIM";

#[tokio::test]
async fn nodes_die_with_a_killed_owner() {
    if std::env::vars().any(|(name, _)| name == VICTIM) {
        let fixture = provision(&["echo pid $$; exec sleep 1000"]).await;
        println!("node {}", fixture.line("pid ").await);
        std::future::pending::<()>().await;
    }
    #[expect(clippy::disallowed_methods, reason = "the test runs itself as the owner to be killed")]
    let mut owner = Command::new(std::env::current_exe().expect("a program knows its path"))
        .args(["--exact", "nodes_die_with_a_killed_owner", "--nocapture"])
        .env(VICTIM, "yes")
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program can be run");
    let stdout = owner.stdout.take().expect("it is piped");
    let node = tokio::task::spawn_blocking(move || {
        use std::io::{BufRead, BufReader};
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        lines.find_map(|line| Some(line.split_once("node ")?.1.to_owned()))
    });
    let node = node.await.expect("reading does not panic").expect("the owner tells its node");
    assert!(lives(&node));
    owner.kill().expect("the owner can be killed");
    owner.wait().expect("the owner ends");
    gone(&node).await;
}

#[tokio::test]
async fn a_deployment_that_is_given_up_leaves_nothing() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let marker = directory.path().join("pids");
    let script = format!("echo $$ >> {}; exec sleep 1000", marker.display());
    let scripts = vec![script.as_str(); 20];
    for patience in [0, 1, 2, 5, 10, 20, 40] {
        let place = tempfile::tempdir().expect("a directory can be made");
        let (plan, placement, deployer) = (plan(&scripts), placement(place.path()), LocalDeployer::default());
        let provision = deployer.provision(&plan, &placement);
        let given_up = tokio::time::timeout(Duration::from_millis(patience), provision).await;
        drop(given_up);
        let pids = std::fs::read_to_string(&marker).unwrap_or_default();
        for pid in pids.lines() {
            gone(pid).await;
        }
    }
}
