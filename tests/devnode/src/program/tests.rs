//! What is planned for a devnode.

use logos_scenario_runtime::node::{BlobId, ChannelId, Message, MessageId};
use logos_scenario_runtime::plan::{Binding, Bindings, Plan};
use logos_scenario_runtime::topology::TopologyBuilder;
use logos_scenario_runtime::{ScenarioBuilder, ScenarioBuilderExt};

use super::*;

fn scenario(topology: impl FnOnce(TopologyBuilder) -> TopologyBuilder) -> ScenarioBuilder {
    ScenarioBuilder::topology_with(|t| topology(t.validators(1).executors(1)))
        .with_program(Devnode::default())
        .expect_consensus_liveness()
}

/// A plan with two accounts.
fn plan() -> Plan {
    let scenario =
        scenario(|topology| topology.with_node("executor-0", |node| node.config("faults.panic_at", 5)));
    let scenario = scenario.build().expect("the scenario is valid");
    Plan::new("local", scenario.topology(), &[100, 100], &Devnode::default()).expect("it can be planned")
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
        listen: "0.0.0.0".to_owned(),
        control: format!("127.1.3.{last}"),
        ports: [("p2p", 3000), ("http", 18_080), ("testing_http", 18_081)]
            .map(|(name, number)| (name.to_owned(), number))
            .into(),
        directory: "/run/node".into(),
    };
    let nodes = [("validator-0".to_owned(), binding(10)), ("executor-0".to_owned(), binding(11))];
    let bindings = Bindings { start_time: UNIX_EPOCH, nodes: nodes.into(), relay: Vec::new() };
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
            .expect_err("the setting is refused")
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

#[test]
fn messages_are_recognised_in_blocks_and_blobs_restored() {
    let devnode = Devnode::default();
    let channel = ChannelId([7; 32]);
    let opening = devnode.inscription(channel, MessageId::NONE, b"hello");
    let parent = opening.message;
    let told = Message { channel, id: parent, parent: MessageId::NONE, blob: None };
    assert_eq!(devnode.messages(&opening.body), Ok(vec![told]));
    assert_eq!(devnode.transaction_id(&opening.body), Ok(opening.id));
    let data = vec![5; devnode.blob_size(40)];
    let dispersal = crate::data::Dispersal {
        channel_id: crate::wire::ChannelId(channel.0),
        parent_msg_id: crate::wire::MessageId(parent.0),
        signer: devnode.signer().parse().unwrap(),
        data: data.clone(),
    };
    let encoded = crate::data::encode(&data, crate::data::Code::of_members(4)).unwrap();
    let publication = dispersal.publication(encoded.commitment.blob());
    let blob = BlobId(encoded.commitment.blob().0);
    let messages = devnode.messages(&serde_json::to_value(&publication).unwrap()).unwrap();
    assert_eq!((messages[0].parent, messages[0].blob, messages.len()), (parent, Some(blob), 1));
    let mut shares: Vec<_> =
        encoded.shares.iter().map(|share| serde_json::to_value(share).unwrap()).collect();
    assert_eq!(devnode.restore(blob, data.len(), &shares[2..]), Ok(data.clone()));
    shares[3]["column"][0][0] = 6.into();
    shares[2] = Value::Null;
    let error = devnode.restore(blob, data.len(), &shares[1..]).unwrap_err();
    assert_eq!(error, "1 good shares and 1 bad ones, it takes 2, and 1 that are no shares");
    assert!(devnode.restore(blob, 31, &shares[..2]).unwrap_err().contains("62 bytes, not 31"));
}
