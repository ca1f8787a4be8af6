//! Configurations as they are written, read and refused.

use expect_test::{Expect, expect};

use super::*;
use crate::wallet::account_key;

fn config() -> Config {
    let note = |index| NoteConfig { value: 1000, public_key: account_key(index).public().to_string() };
    Config {
        name: "validator-0".into(),
        role: Role::Validator,
        node_key: account_key(9).to_hex(),
        listen: "127.1.2.10:3000".into(),
        peers: vec![PeerConfig {
            address: "127.1.2.11:3000".into(),
            public_key: account_key(8).public().to_string(),
        }],
        discovery: true,
        http: "127.1.2.10:18080".into(),
        testing_http: "127.1.2.10:18081".into(),
        genesis: GenesisConfig { leaders: vec![note(5)], accounts: vec![note(0), note(1)] },
        start_time: "2025-12-01T10:00:00.125Z".into(),
        slot: "500ms".into(),
        active_slot_coeff: 0.9,
        security_param: 10,
        leader_keys: vec![account_key(5).to_hex()],
        data: DataConfig { members: vec![account_key(9).public().to_string()], ..DataConfig::default() },
        network: NetworkConfig { delay: Some(Delay { min: "50ms".into(), max: "1s".into() }) },
        storage: None,
        log: "info".into(),
        faults: Faults {
            panic_at: Some(7),
            exit_at: Some(ExitAt { height: 9, code: 3 }),
            http: Some(HttpFault::Garbage),
            ..Faults::default()
        },
    }
}

fn check(change: impl FnOnce(&mut Config), problems: &Expect) {
    let mut config = config();
    change(&mut config);
    problems.assert_eq(&config.settings().unwrap_err().0.join("\n"));
}

#[test]
fn what_is_written_is_read() {
    let config = config();
    let settings = config.settings().unwrap();
    assert_eq!(settings.slot.as_millis(), 500);
    assert_eq!(settings.genesis.leader_note(0).unwrap().output.value, 1000);
    let yaml = config.to_yaml();
    assert_eq!(Config::from_yaml(&yaml), Ok(config));
    expect![[r#"
        name: validator-0
        role: validator
        node_key: 776c090000000000000000000000000000000000000000000000000000000000
        listen: 127.1.2.10:3000
        peers:
        - address: 127.1.2.11:3000
          public_key: 51d8ceeb66b68e6ea25536de91d28f0aaafccef5ae9c83441930c229f675fed1
        discovery: true
        http: 127.1.2.10:18080
        testing_http: 127.1.2.10:18081
        genesis:
          leaders:
          - value: 1000
            public_key: 38794c52d49464d1e43afe5945dc5acf2cd9bfb802b2fe6605c22a8c44787eaa
          accounts:
          - value: 1000
            public_key: 3a7462a33a9542e1d9080fc46c0d890499b6ebeff62368dae8b78af68c32b85b
          - value: 1000
            public_key: 7a5c13c2f729f16e34c67afad709f4fa5451bc9941784dc1afe51ac2d9835397
        start_time: "2025-12-01T10:00:00.125Z"
        slot: 500ms
        active_slot_coeff: 0.9
        security_param: 10
        leader_keys:
        - 776c050000000000000000000000000000000000000000000000000000000000
        data:
          members:
          - f8c07e2068d9a9b486d1a779a6ee7fa49946fd979a8d9b411ab3d2639cd90944
        network:
          delay:
            min: 50ms
            max: 1s
        log: info
        faults:
          panic_at: 7
          exit_at:
            height: 9
            code: 3
          http: garbage
    "#]]
    .assert_eq(&yaml);
}

#[test]
fn a_text_may_hold_symbols_until_they_are_replaced() {
    let mut config = config();
    config.http = "${host:validator-0}:${port:validator-0/http}".into();
    config.start_time = "${start_time}".into();
    assert_eq!(Config::from_yaml(&config.to_yaml()), Ok(config));
}

#[test]
fn all_problems_are_told_at_once() {
    check(
        |config| {
            config.node_key = "ab".into();
            config.listen = "localhost:3000".into();
            config.peers[0] = PeerConfig { address: "validator-1".into(), public_key: "x".into() };
            config.http = String::new();
            config.testing_http = "127.0.0.1".into();
            config.genesis.accounts[1] = NoteConfig { value: 0, public_key: "y".into() };
            config.start_time = "now".into();
            config.slot = "1ns".into();
            config.active_slot_coeff = 1.5;
            config.security_param = 0;
            config.leader_keys.push("z".into());
            config.network.delay = Some(Delay { min: "2s".into(), max: "1s".into() });
            config.log = "loud".into();
        },
        &expect![[r#"
            node_key: expected a seed of 64 hex digits
            listen: expected `ip:port`, found `localhost:3000`
            http: expected `ip:port`, found ``
            testing_http: expected `ip:port`, found `127.0.0.1`
            peers[0].address: expected `host:port`, found `validator-1`
            peers[0].public_key: expected 64 hex digits
            genesis.accounts[1].value: must be at least 1
            genesis.accounts[1].public_key: expected 64 hex digits
            start_time: expected a time such as `2025-12-01T10:00:00.000Z`, found `now`
            slot: expected at least 10ms, found `1ns`
            active_slot_coeff: must be above 0 and at most 1
            security_param: must be at least 1
            leader_keys[1]: expected a seed of 64 hex digits
            network.delay.min: must not be more than network.delay.max
            log: expected one of error, warn, info, debug, trace, found `loud`"#]],
    );
}

#[test]
fn leaders_and_members_are_told_apart_by_their_keys() {
    check(
        |config| {
            config.data.members.extend([config.data.members[0].clone(), "me".into()]);
            config.genesis.leaders.push(config.genesis.leaders[0].clone());
            config.leader_keys.push(account_key(1).to_hex());
            config.genesis.accounts[0].value = u64::MAX;
        },
        &expect![[r#"
            genesis.leaders[1].public_key: has a note already
            genesis: the notes' values sum to more than 64 bits hold
            leader_keys[1]: owns none of genesis.leaders
            data.members[1]: is a member already
            data.members[2]: expected 64 hex digits"#]],
    );
}

#[test]
fn unknown_and_missing_fields_are_refused_in_one_line() {
    let refused = |yaml: &str, expected: &Expect| expected.assert_eq(&Config::from_yaml(yaml).unwrap_err());
    let yaml = config().to_yaml();
    refused(
        &yaml.replace("slot:", "slots:"),
        &expect![
            "unknown field `slots`, expected one of name, role, node_key, listen, peers, discovery, http, testing_http, genesis, start_time, slot, active_slot_coeff, security_param, leader_keys, data, network, storage, log, faults at line 21, column 1"
        ],
    );
    refused(
        &yaml.replace("panic_at:", "panic:"),
        &expect![
            "unknown field `panic`, expected one of refuse_to_start, stop_producing_at, half_rate, equivocate, fork_away_at, accept_and_drop, withhold_shares, corrupt_shares, lose_blobs, refuse_sampling, drop_dispersals, panic_at, exit_at, http_delay, http at line 35, column 3"
        ],
    );
    refused(
        &yaml.replace("role: validator", "role: observer"),
        &expect!["unknown variant `observer`, expected one of validator, executor at line 2, column 7"],
    );
    refused("name: [", &expect!["expected string scalar at line 1, column 7"]);
    refused("", &expect!["unexpected end of input at line 1, column 1"]);
}
