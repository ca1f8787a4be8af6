//! What a node takes, and how fast blocks travel, in the build that plain `cargo test` makes:
//!
//!     cargo bench --profile dev -p logos-scenario-devnode --features node --bench light
//!
//! `DEVNODE_BENCH_SECONDS` is how long each cluster is watched, 30 by default.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot be taken ends with a panic")]

#[path = "../tests/processes/cluster.rs"]
#[expect(dead_code, reason = "it is shared with the tests, which do more with it")]
mod cluster;

use std::collections::HashMap;
use std::fs;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use logos_scenario_devnode::wire::ApiBlock;
use rustix::process::Pid;

use cluster::{Cluster, Layout, agree_at, until};

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|first| first.ends_with(".yaml")) {
        return logos_scenario_devnode::main();
    }
    let watched = watched();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        println!("each cluster is watched for {watched:?}\n");
        star_with_a_latecomer(watched).await;
        five_fast_nodes(watched).await;
    });
    ExitCode::SUCCESS
}

#[expect(clippy::disallowed_methods, reason = "the setting of this program, read once")]
fn watched() -> Duration {
    let seconds = std::env::var("DEVNODE_BENCH_SECONDS").map_or(Ok(30), |text| text.parse());
    Duration::from_secs(seconds.expect("DEVNODE_BENCH_SECONDS: expected whole seconds"))
}

async fn star_with_a_latecomer(watched: Duration) {
    let mut cluster = Cluster::new(21, "1s", Layout::Star, |_, _| ());
    let since = Instant::now();
    (0..20).for_each(|index| cluster.spawn(index));
    for index in 0..20 {
        cluster.ready(index).await;
    }
    println!("20 nodes, star, 1 s slots: all answer after {:?}", since.elapsed());
    until("all are at height 3", 60, async || cluster.height(19).await >= 3).await;
    cluster.spawn(20);
    cluster.ready(20).await;
    let online = async || cluster.info(20).await.is_some_and(|info| info["mode"] == "Online");
    until("the 21st node is online", 60, online).await;
    watch(&cluster, watched).await;
}

async fn five_fast_nodes(watched: Duration) {
    let mut cluster = Cluster::new(5, "200ms", Layout::Star, |_, _| ());
    cluster.start().await;
    println!("\n5 nodes, star, 200 ms slots");
    until("all are at height 3", 60, async || cluster.height_of_all().await >= 3).await;
    watch(&cluster, watched).await;
}

/// Prints what the nodes take while time goes by, when they hear blocks, and that they agree.
async fn watch(cluster: &Cluster, time: Duration) {
    let count = cluster.nodes.len();
    let heard: Arc<Mutex<Vec<Heard>>> = Arc::default();
    for index in 0..count {
        let stream = cluster.client.get(cluster.url(index, "/cryptarchia/blocks/stream"));
        let stream = stream.timeout(2 * time).send().await.unwrap();
        tokio::spawn(listen(index, stream, heard.clone()));
    }
    let usages = || -> Vec<Usage> { (0..count).map(|index| Usage::of(cluster.pid(index))).collect() };
    let (since, before) = (Instant::now(), usages());
    let (from, height) = (SystemTime::now(), cluster.height(0).await);
    until("the time is over", time.as_secs() + 60, async || since.elapsed() >= time).await;
    let (after, elapsed) = (usages(), since.elapsed());
    let blocks = cluster.height(0).await - height;

    let cpu = before.iter().zip(&after).map(|(before, after)| {
        100.0 * (after.cpu.saturating_sub(before.cpu)).as_secs_f64() / elapsed.as_secs_f64()
    });
    let memory = after.iter().map(|usage| f64::from(usage.resident_kib) / 1024.0);
    println!("  resident: {}", Spread::of(memory).in_units("MB"));
    println!("  of one core: {}", Spread::of(cpu).in_units("%"));
    println!("  {blocks} blocks high in {} slots", (elapsed.as_secs_f64() / slot(cluster)).round());
    tell_times(cluster, &heard.lock().unwrap(), from);
    let deepest = cluster.height(0).await;
    agree_at(cluster, deepest + 1, 30).await;
    println!("  all {count} agree on what is final");
}

/// A line of a node's block stream.
struct Heard {
    node: usize,
    slot: u64,
    at: SystemTime,
}

async fn listen(node: usize, mut stream: reqwest::Response, heard: Arc<Mutex<Vec<Heard>>>) {
    let mut text = Vec::new();
    while let Ok(Some(bytes)) = stream.chunk().await {
        text.extend(bytes);
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let block: ApiBlock = serde_json::from_slice(&text[..end]).unwrap();
            text.drain(..=end);
            heard.lock().unwrap().push(Heard { node, slot: block.header.slot, at: SystemTime::now() });
        }
    }
}

fn slot(cluster: &Cluster) -> f64 {
    humantime::parse_duration(&cluster.nodes[0].config.slot).unwrap().as_secs_f64()
}

/// How long after the beginning of its slot each node heard each block, and how many came after its end.
fn tell_times(cluster: &Cluster, heard: &[Heard], from: SystemTime) {
    let start = humantime::parse_rfc3339(&cluster.nodes[0].config.start_time).unwrap();
    let begin = |slot_number: u64| start + Duration::from_secs_f64(slot(cluster)).mul_f64(slot_number as f64);
    let counted: Vec<_> = heard.iter().filter(|heard| begin(heard.slot) > from).collect();
    let after = |heard: &&Heard| heard.at.duration_since(begin(heard.slot)).unwrap_or_default();
    let mut times: Vec<_> = counted.iter().map(after).collect();
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    let mut late: HashMap<usize, u32> = HashMap::new();
    for heard in counted.iter().filter(|heard| after(heard).as_secs_f64() > slot(cluster)) {
        *late.entry(heard.node).or_default() += 1;
    }
    println!(
        "  blocks heard {} times, after the slot began: p50 {:.0?}, p99 {:.0?}, most {:.0?}; after it ended: {:?}",
        times.len(),
        at(0.5),
        at(0.99),
        at(1.0),
        late,
    );
}

/// What a process has taken.
struct Usage {
    cpu: Duration,
    resident_kib: u32,
}

impl Usage {
    /// From `/proc`, see proc_pid_stat(5) and proc_pid_status(5).
    fn of(pid: Pid) -> Self {
        let pid = pid.as_raw_nonzero();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let ticks_per_second = rustix::param::clock_ticks_per_second();
        Self {
            cpu: Duration::from_millis(ticks * 1000 / ticks_per_second),
            resident_kib: resident.trim().trim_end_matches(" kB").parse().unwrap(),
        }
    }
}

/// Some values, from the least to the most.
struct Spread(Vec<f64>);

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<_> = values.collect();
        values.sort_unstable_by(f64::total_cmp);
        Self(values)
    }

    fn in_units(&self, unit: &str) -> String {
        let Self(values) = self;
        format!("median {:.2} {unit}, most {:.2} {unit}", values[values.len() / 2], values[values.len() - 1])
    }
}
