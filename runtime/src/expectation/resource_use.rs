//! Nodes use no more of the machine than is asked.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::Expectation;
use crate::context::RunContext;
use crate::deployer::Usage;
use crate::failure::{Failure, FailureClass, Problem};
use crate::report::Percentiles;
use crate::scenario::Outline;
use crate::wait::pause;

/// Each node's memory and processor use stays within bounds, in all samples but for a share that may exceed them. A
/// sample is taken every second from each node that runs; processor time is that since the sample before. What is
/// seen is in the report's section `resource_use`.
///
/// ```
/// # use logos_scenario_runtime as logos_scenario;
/// use logos_scenario::expectation::ResourceUse;
///
/// let bounds = ResourceUse::default().memory_at_most(512 << 20).cores_at_most(1.0).excess(0.05);
/// ```
#[derive(Clone, Debug, Default)]
pub struct ResourceUse {
    memory: Option<u64>,
    cores: Option<f64>,
    excess: f64,
}

/// Between two samples of a node.
const EVERY: Duration = Duration::from_secs(1);
const MEBIBYTE: f64 = (1 << 20) as f64;

/// What was seen of one node.
#[derive(Default)]
struct Samples {
    last: Option<(Instant, Duration)>,
    memory: Vec<f64>,
    cores: Vec<f64>,
}

impl ResourceUse {
    /// Bounds the memory that a node holds, in bytes.
    #[must_use]
    pub fn memory_at_most(mut self, bytes: u64) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// Bounds how many cores a node keeps busy.
    #[must_use]
    pub fn cores_at_most(mut self, cores: f64) -> Self {
        self.cores = Some(cores);
        self
    }

    /// Sets the share of a node's samples that may exceed a bound, in [0, 1); none by default.
    #[must_use]
    pub fn excess(mut self, share: f64) -> Self {
        self.excess = share;
        self
    }
}

impl Expectation for ResourceUse {
    type Baseline = ();

    fn name(&self) -> &str {
        "ResourceUse"
    }

    fn problems(&self, _: &Outline<'_>) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut problem =
            |what: String, try_next| problems.push(Problem::new("resource use", what, try_next));
        if self.memory.is_none() && self.cores.is_none() {
            problem("has no bound, so it would prove nothing".to_owned(), "add `.memory_at_most(…)`");
        }
        if let Some(cores) = self.cores.filter(|cores| *cores <= 0.0 || cores.is_nan()) {
            problem(format!("at most {cores} cores, expected more than 0"), "try 1.0");
        }
        if !(0.0..1.0).contains(&self.excess) {
            problem(format!("an excess of {}, expected a share in [0, 1)", self.excess), "try 0.05");
        }
        problems
    }

    fn awaited(&self) -> bool {
        false
    }

    /// Whether the backend can say what nodes use shows here.
    async fn capture(&self, cx: &RunContext) -> Result<(), Failure> {
        for node in cx.topology().nodes() {
            cx.node_usage(&node.name).await.map_err(|error| {
                Failure::new(FailureClass::Infrastructure, Expectation::name(self))
                    .expected(format!("the cluster to say what {} uses", node.name))
                    .seen(error.to_string())
                    .try_next("run the scenario on a backend that has the capability `usage`")
            })?;
        }
        Ok(())
    }

    async fn judge(&self, cx: &RunContext, (): ()) -> Result<(), Failure> {
        let mut nodes: BTreeMap<&str, Samples> = BTreeMap::new();
        let sampling = async {
            loop {
                for node in cx.topology().nodes() {
                    // Who is down, or goes down, uses nothing; whether it may is for others to say.
                    let usage = cx.node_usage(&node.name).await.ok().flatten();
                    nodes.entry(&node.name).or_default().add(usage);
                }
                pause(EVERY).await;
            }
        };
        tokio::select! {
            biased;
            () = cx.settled() => {}
            never = sampling => match never {},
        }
        self.verdict(cx, &nodes)
    }
}

impl ResourceUse {
    fn verdict(&self, cx: &RunContext, nodes: &BTreeMap<&str, Samples>) -> Result<(), Failure> {
        let name = Expectation::name(self);
        let seen = |samples: &Samples| {
            let [memory, cores] =
                [&samples.memory, &samples.cores].map(|all| Percentiles::of(all.iter().copied()));
            serde_json::json!({ "memory_mib": memory, "cores": cores })
        };
        cx.report(
            "resource_use",
            &nodes.iter().map(|(node, it)| (node, seen(it))).collect::<BTreeMap<_, _>>(),
        );
        let memory = self.memory.map(|bytes| bytes as f64 / MEBIBYTE);
        let mut exceeded = Vec::new();
        for (node, Samples { memory: held, cores: busy, .. }) in nodes {
            for (what, bound, samples) in [("MiB", memory, held), ("cores", self.cores, busy)] {
                let Some(bound) = bound else { continue };
                let Some(all) = Percentiles::of(samples.iter().copied()) else {
                    return Err(Failure::new(FailureClass::Test, name)
                        .expected(format!("samples of the {what} that {node} uses"))
                        .seen("none, so that nothing is known of it")
                        .try_next("lengthen the window to a few seconds at least"));
                };
                let over = samples.iter().filter(|sample| **sample > bound).count();
                if over as f64 > self.excess * samples.len() as f64 {
                    exceeded.push(format!(
                        "{node}: {over} of {} samples over {bound:.2} {what}; {all}",
                        samples.len()
                    ));
                }
            }
        }
        if exceeded.is_empty() {
            return Ok(());
        }
        let bounds = [memory.map(|it| format!("{it:.2} MiB")), self.cores.map(|it| format!("{it:.2} cores"))];
        let bounds = bounds.into_iter().flatten().collect::<Vec<_>>().join(" and ");
        Err(Failure::new(FailureClass::Product, name)
            .expected(format!(
                "each node to use at most {bounds} in all but {} % of the samples",
                self.excess * 100.0
            ))
            .seen_all(exceeded)
            .look(cx.directory().join("report.json").display().to_string())
            .try_next(
                "see in the section `resource_use` whether it grows or peaks, and what the node logs then",
            ))
    }
}

impl Samples {
    fn add(&mut self, usage: Option<Usage>) {
        let Some(Usage { memory, processor }) = usage else {
            self.last = None;
            return;
        };
        let now = Instant::now();
        self.memory.push(memory as f64 / MEBIBYTE);
        if let Some((then, before)) = self.last
            // A node that was restarted meanwhile began anew.
            && let Some(used) = processor.checked_sub(before)
            && now > then
        {
            self.cores.push(used.as_secs_f64() / (now - then).as_secs_f64());
        }
        self.last = Some((now, processor));
    }
}
