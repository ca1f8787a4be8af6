//! Plans as objects.

use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use expect_test::expect_file;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{
    Namespace, PersistentVolume, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use logos_scenario_runtime::plan::symbol;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::*;
use crate::planned::tests::two_nodes;

pub(in crate::k8s) fn plan() -> Plan {
    let text = "${listen} ${control:validator-0} ${host:executor-0}";
    two_nodes(
        |name| json!({ "late": name == "executor-0", "files": [{ "path": "keys/a.yaml", "text": text }] }),
    )
}

fn names() -> Names {
    let labels = [(CLUSTER.to_owned(), "logos-scenario-00000001".to_owned())].into();
    Names { cluster: "logos-scenario-00000001".to_owned(), labels }
}

/// The same whose links can be disturbed, and whose executor dials.
pub(in crate::k8s) fn relayed() -> Plan {
    let mut plan = plan();
    let (host, port) = (symbol::peer_host("validator-0", "p2p"), symbol::peer_port("validator-0", "p2p"));
    plan.nodes[0].files[0].text = "${listen}".to_owned();
    plan.nodes[1].files[0].text = format!("{host}:{port}");
    plan.relayed = true;
    plan
}

fn made(change: impl FnOnce(&mut Vec<PlannedNode>), settings: &Settings, storage: &Storage) -> Objects {
    let mut rendered = plan().render(&bindings(&plan(), UNIX_EPOCH)).unwrap();
    change(&mut rendered);
    objects(&plan(), &rendered, &names(), &Look::new(settings), storage, settings)
}

fn of_relayed(settings: &Settings, storage: &Storage) -> Objects {
    let plan = relayed();
    let rendered = plan.render(&bindings(&plan, UNIX_EPOCH)).unwrap();
    objects(&plan, &rendered, &names(), &Look::new(settings), storage, settings)
}

#[test]
fn a_node_that_is_planned_anew_has_new_files() {
    let (settings, storage) = (Settings::default(), Storage::Class(None));
    let mut objects = made(|_| {}, &settings, &storage);
    let before = objects.clone();
    let mut node = plan().render(&bindings(&plan(), UNIX_EPOCH)).unwrap().remove(1);
    node.image = Some("node:v2".to_owned());
    node.files[0].text = "another".to_owned();
    let (files, set) = objects.replan((1, 7), &node, &names(), &Look::new(&settings), &storage, &settings);
    assert_eq!(
        (&files["metadata"]["name"], &files["stringData"]["keys.a.yaml"]),
        (&json!("executor-0-7"), &json!("another"))
    );
    let pod = &set["spec"]["template"]["spec"];
    assert_eq!(pod["volumes"][1]["secret"]["secretName"], "executor-0-7");
    assert_eq!(pod["containers"][0]["image"], "node:v2");
    assert_eq!((&set["metadata"]["name"], &objects.nodes[1]), (&json!("executor-0"), &set));
    let changed = before.all().zip(objects.all()).filter(|(before, after)| before != after);
    assert_eq!(changed.map(|(_, after)| after).collect::<Vec<_>>(), [&files, &set]);
}

#[test]
fn a_plan_becomes_objects() {
    let settings = Settings { node_cpus: Some(0.5), log_level: Some("debug".into()), ..Settings::default() };
    let priced = |rendered: &mut Vec<PlannedNode>| rendered[0].args.push("$(PRICE)".to_owned());
    let objects = made(priced, &settings, &Storage::Class(None));
    expect_file!["../../../testdata/kubernetes.yaml"]
        .assert_eq(&to_text("# as it is applied\n", objects.all()));
}

/// What else a relayed plan has, and in what it differs.
#[test]
fn a_relayed_plan_becomes_objects_with_a_relay_between_nodes() {
    let settings = Settings::default();
    let (objects, direct) =
        (of_relayed(&settings, &Storage::Class(None)), made(|_| {}, &settings, &Storage::Class(None)));
    let differs = objects.all().filter(|object| direct.all().all(|other| other != *object));
    expect_file!["../../../testdata/kubernetes-relayed.yaml"]
        .assert_eq(&to_text("# what a plan with faults has besides, or otherwise\n", differs));
}

/// A misspelt field would be dropped by Kubernetes without a word.
#[test]
fn every_field_is_one_of_kubernetes() {
    let settings = Settings { node_host: Some("10.0.0.1".into()), ..Settings::default() };
    for storage in [Storage::Class(Some("fast".into())), Storage::Folders(vec!["one".into()])] {
        for object in of_relayed(&settings, &storage).all() {
            match object["kind"].as_str().unwrap() {
                "Namespace" => keeps::<Namespace>(object),
                "ServiceAccount" => keeps::<ServiceAccount>(object),
                "Service" => keeps::<Service>(object),
                "NetworkPolicy" => keeps::<NetworkPolicy>(object),
                "Secret" => keeps::<Secret>(object),
                "Pod" => keeps::<Pod>(object),
                "PersistentVolume" => keeps::<PersistentVolume>(object),
                "PersistentVolumeClaim" => keeps::<PersistentVolumeClaim>(object),
                "StatefulSet" => keeps::<StatefulSet>(object),
                other => panic!("{other} is not known"),
            }
        }
    }
}

fn keeps<T: DeserializeOwned + Serialize>(object: &Value) {
    let read: T = serde_json::from_value(object.clone()).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), *object);
}

#[test]
fn no_node_may_do_more_than_it_needs() {
    for storage in [Storage::Class(None), Storage::Folders(vec!["one".into()])] {
        let objects = of_relayed(&Settings::default(), &storage);
        let nodes = objects.nodes.iter().map(|node| &node["spec"]["template"]["spec"]);
        let pods = nodes.map(|node| (node, storage == Storage::Class(None)));
        for (pod, nobody) in pods.chain(objects.relay.iter().map(|relay| (&relay["spec"], true))) {
            assert_eq!(pod["automountServiceAccountToken"], false);
            assert_eq!(pod.get("hostNetwork"), None);
            let mut volumes = pod["volumes"].as_array().into_iter().flatten();
            assert!(volumes.all(|volume| volume.get("hostPath").is_none()));
            let container = &pod["containers"][0];
            let expected = json!({
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": { "drop": ["ALL"] },
            });
            assert_eq!(container["securityContext"], expected);
            assert_eq!(container["resources"]["limits"]["memory"], "1073741824");
            assert_eq!(pod["securityContext"]["runAsNonRoot"] == true, nobody);
        }
    }
}

#[test]
fn data_outlives_a_pod_also_without_a_storage_class() {
    let storage = Storage::Folders(vec!["one".into(), "two".into()]);
    let objects = made(|_| {}, &Settings::default(), &storage);
    let of = |kind: &str| objects.all().filter(|object| object["kind"] == kind).collect::<Vec<_>>();
    let (volumes, claims) = (of("PersistentVolume"), of("PersistentVolumeClaim"));
    for ((volume, claim), machine) in volumes.iter().zip(&claims).zip(["one", "two"]) {
        assert_eq!(claim["spec"]["selector"]["matchLabels"], volume["metadata"]["labels"]);
        assert_eq!(volume["spec"]["claimRef"]["name"], claim["metadata"]["name"]);
        assert!(volume["spec"]["nodeAffinity"].to_string().contains(machine), "{volume}");
    }
    assert_eq!((volumes.len(), claims.len()), (2, 2));
    assert_eq!(objects.nodes[1]["spec"]["replicas"], 0, "it is late");
}

#[test]
fn peers_are_named_and_nodes_listen_everywhere() {
    let rendered = plan().render(&bindings(&plan(), UNIX_EPOCH)).unwrap();
    assert_eq!(rendered[0].files[0].text, "0.0.0.0 0.0.0.0 executor-0-0.peers");
    let files: BTreeMap<_, _> = [("keys.a.yaml", &rendered[0].files[0].text)].into();
    let objects = made(|_| {}, &Settings::default(), &Storage::Class(None));
    let secret = objects.needed.iter().find(|object| object["kind"] == "Secret").unwrap();
    assert_eq!(secret["stringData"], json!(files));
}
