//! The Helm chart has the objects that a scenario's cluster is made of. `UPDATE=1` writes it anew.

use std::fs;

use logos_scenario::plan::Plan;
use logos_scenario::{ChainAgreement, K8sDeployer, ScenarioBuilder, ScenarioBuilderExt};
use logos_scenario_devnode::Devnode;

use super::{root, updates};

#[test]
fn the_chart_has_the_objects_of_a_scenario() {
    let scenario = ScenarioBuilder::topology_with(|t| t.network_star().validators(3).executors(1))
        .with_program(Devnode::default())
        .with_expectation(ChainAgreement::default())
        .build()
        .expect("it is a scenario");
    // A scenario has a thousand accounts, to be shared.
    let plan = Plan::new("k8s", scenario.topology(), &[1_000; 10], &Devnode::default());
    let plan = plan.expect("it is a plan");
    let template = K8sDeployer::helm_template(&plan).expect("every text can be filled in");
    let path = root().join("assets/chart/templates/nodes.yaml");
    if updates() {
        fs::write(&path, &template).expect("the chart can be written");
    }
    let chart = fs::read_to_string(&path).unwrap_or_default();
    assert!(chart == template, "{} is another; rewrite with UPDATE=1", path.display());
}
