//! What is planned for a devnode.

use logos_scenario_runtime::plan::{Binding, Bindings, Plan};
use logos_scenario_runtime::topology::TopologyBuilder;
use logos_scenario_runtime::{ScenarioBuilder, ScenarioBuilderExt};

use super::*;

fn scenario(topology: impl FnOnce(TopologyBuilder) -> TopologyBuilder) -> ScenarioBuilder {
    ScenarioBuilder::topology_with(|t| topology(t.validators(1).executors(1)))
        .with_program(Devnode::default())
        .wallets(2)
        .expect_consensus_liveness()
}

fn plan() -> Plan {
    scenario(|topology| topology.with_node("executor-0", |node| node.config("faults.panic_at", 5)))
        .build()
        .expect("the scenario is valid")
        .plan("local")
}

/// The text with names for its keys: they derive from the whole topology, whatever is in it.
fn named(text: &str) -> String {
    let mut keys: Vec<&str> = Vec::new();
    let is_key = |word: &&str| word.len() == 64 && word.chars().all(|digit| digit.is_ascii_hexdigit());
    for key in text.split_whitespace().filter(is_key) {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let name = |text: String, (number, key): (usize, &&str)| text.replace(key, &format!("key-{number}"));
    keys.iter().enumerate().fold(text.to_owned(), name)
}

#[test]
fn a_topology_becomes_configurations_with_symbols() {
    expect_test::expect_file!["../../testdata/executor.plan.yaml"]
        .assert_eq(&named(&plan().nodes[1].files[0].text));
}

#[test]
fn bindings_fill_the_symbols_in() {
    let binding = |last: u8| Binding {
        host: format!("127.1.2.{last}"),
        control: format!("127.1.3.{last}"),
        ports: [("p2p", 3000), ("http", 18_080), ("testing_http", 18_081)]
            .map(|(name, number)| (name.to_owned(), number))
            .into(),
        directory: "/run/node".into(),
    };
    let nodes = [("validator-0".to_owned(), binding(10)), ("executor-0".to_owned(), binding(11))];
    let bindings = Bindings { start_time: UNIX_EPOCH, nodes: nodes.into() };
    let rendered = plan().render(&bindings).expect("all symbols are bound");
    assert_eq!(rendered[1].args, ["/run/node/config.yaml"]);
    let text = &rendered[1].files[0].text;
    expect_test::expect_file!["../../testdata/executor.rendered.yaml"].assert_eq(&named(text));
    let config = Config::from_yaml(text).expect("it is a configuration");
    config.settings().expect("a node accepts it");
}

#[test]
fn every_note_of_genesis_has_one_owner() {
    let nodes = plan().nodes;
    let configs: Vec<_> = nodes
        .iter()
        .map(|node| Config::from_yaml(&node.files[0].text).expect("it is a configuration"))
        .collect();
    assert_eq!(configs[0].genesis, configs[1].genesis);
    assert_ne!(configs[0].leader_keys, configs[1].leader_keys);
    assert_eq!((configs[0].leader_keys.len(), configs[0].genesis.accounts.len()), (1, 2));
}

#[test]
fn settings_that_the_node_does_not_have_are_told() {
    let build = |path: &str, value: Value| {
        scenario(|topology| topology.with_node("validator-0", |node| node.config(path, value)))
            .build()
            .err()
            .expect("the setting is refused")
            .to_string()
    };
    let unknown = build("faults.panic_on", 5.into());
    assert!(unknown.contains("config(\"faults.panic_on\"): unknown field `panic_on`"), "{unknown}");
    let wrong = build("faults.panic_at", "soon".into());
    assert!(wrong.contains("invalid type: string \"soon\""), "{wrong}");
    let below = build("name.first", "x".into());
    assert!(below.contains("`first` is below a plain value"), "{below}");
}

#[test]
fn a_delay_of_one_node_slows_what_is_expected_of_all() {
    let delayed = scenario(|topology| {
        topology.with_node("executor-0", |node| {
            node.config("network.delay", serde_json::json!({ "min": "0ms", "max": "750ms" }))
        })
    });
    let scenario = delayed.build().expect("the scenario is valid");
    assert_eq!(Devnode::default().message_delay(scenario.topology()), Duration::from_millis(800));
}

#[test]
fn transfers_are_recognised_in_blocks() {
    let genesis = &plan().genesis;
    let note = &Devnode::default().genesis_notes(genesis)[1];
    let sent = Devnode::default().transfer(1, note, &[(1, 60), (0, 40)]);
    assert_eq!(Devnode::default().transaction_id(&sent.body), Ok(sent.id));
    assert_eq!(sent.notes.iter().map(|note| note.value).collect::<Vec<_>>(), [60, 40]);
}
