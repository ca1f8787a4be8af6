//! The ledger against a [model](model) that only watches, and what follows from single events.

use super::*;

mod model;
use model::{ACCOUNTS, LINGER, NODES, case, nodes_of, owner};

/// The planner, which is no client of leases.
const PLANNER: Client = 0;

/// What follows from the last of these events, where the owner keeps clusters for as long as it lives.
fn check(events: Vec<(u64, Event)>) -> Vec<Effect> {
    let mut ledger = Ledger::new(NODES);
    for client in 0..10 {
        ledger.handle(Duration::ZERO, owned(client, 0, Duration::ZERO));
    }
    let handle = |(second, event)| ledger.handle(Duration::from_secs(second), event);
    events.into_iter().map(handle).last().unwrap_or_default()
}

/// A client of an owner that keeps clusters for as long as it lives, and for a while after that.
fn owned(client: Client, of: u32, linger: Duration) -> Event {
    Event::Owned { client, owner: owner(of), keeping: Keeping { grace: None, linger } }
}

fn attach(client: Client, key: usize, sharing: Sharing) -> Event {
    let (nodes, key, case) = (nodes_of(key), key.to_string(), case(client));
    Event::Attach {
        client,
        wish: Wish { key, case, pid: 1, sharing, nodes, accounts: ACCOUNTS, reserve: None },
    }
}

#[test]
fn whoever_was_there_is_to_blame() {
    let effects = check(vec![
        (0, attach(1, 0, Sharing::Shared)),
        (0, Event::Deployed { cluster: 1 }),
        (1, Event::Release { client: 1, passed: true }),
        (1, Event::Gated { cluster: 1, found: Ok(()) }),
        (2, attach(2, 0, Sharing::Shared)),
        (2, attach(3, 0, Sharing::Shared)),
        (3, Event::Release { client: 2, passed: true }),
        (4, Event::Gated { cluster: 1, found: Err("validator-1 is stopped".to_owned()) }),
        (5, Event::Release { client: 3, passed: true }),
        (6, Event::TornDown { cluster: 1, left: None }),
    ]);
    let culprits = vec![case(2), case(3)];
    let poison = Some(Poison { culprits, reasons: vec!["validator-1 is stopped".to_owned()] });
    let released = Released { others: vec![case(1), case(2)], poison, left: None };
    assert_eq!(effects, [Effect::Released { client: 3, released }]);
}

#[test]
fn a_failure_is_blamed_on_all_that_overlapped_with_it() {
    let failed = |client| format!("{} failed on it", case(client));
    let [well, harmed] = [true, false];
    let check = |ends: [(Client, bool); 3], culprits: [Client; 3], reasons: Vec<String>| {
        let mut events = vec![
            (0, attach(1, 0, Sharing::Shared)),
            (0, attach(2, 0, Sharing::Shared)),
            (0, Event::Deployed { cluster: 1 }),
            (1, Event::Release { client: ends[0].0, passed: ends[0].1 }),
        ];
        if ends[0].1 {
            // Whoever comes after the gate overlaps with whom it finds there, and with nobody who left.
            events.push((1, Event::Gated { cluster: 1, found: Ok(()) }));
            events.push((1, attach(3, 0, Sharing::Shared)));
        }
        events.extend(ends[1..].iter().map(|&(client, passed)| (2, Event::Release { client, passed })));
        events.push((3, attach(4, 0, Sharing::Shared)));
        events.push((4, Event::Deployed { cluster: 2 }));
        let effects = check(events);
        let [.., Effect::Grant { client: 4, grant }] = &effects[..] else { panic!("{effects:?}") };
        let culprits = culprits.into_iter().filter(|client| *client > 0).map(case).collect();
        assert_eq!(grant.replaces, Some(Poison { culprits, reasons }));
    };
    check([(1, harmed), (2, well), (0, well)], [1, 2, 0], vec![failed(1)]);
    check([(1, harmed), (2, harmed), (0, well)], [1, 2, 0], vec![failed(1), failed(2)]);
    check([(1, well), (2, harmed), (3, well)], [2, 1, 3], vec![failed(2)]);
    check([(1, well), (3, harmed), (2, well)], [3, 2, 0], vec![failed(3)]);
    check([(1, well), (3, harmed), (2, harmed)], [3, 2, 1], vec![failed(3), failed(2)]);
}

#[test]
fn the_next_cluster_says_what_it_replaces() {
    let effects = check(vec![
        (0, attach(1, 0, Sharing::Exclusive)),
        (0, Event::Deployed { cluster: 1 }),
        (1, Event::Release { client: 1, passed: false }),
        (2, attach(2, 0, Sharing::Shared)),
        (3, Event::Deployed { cluster: 2 }),
    ]);
    let [Effect::Grant { client: 2, grant }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(grant.replaces.as_ref().map(|poison| poison.culprits.clone()), Some(vec![case(1)]));
}

#[test]
fn a_cluster_goes_with_the_last_user_that_is_planned() {
    let planned = |users| Event::Planned { client: PLANNER, key: "0".to_owned(), users };
    let mut events = vec![
        (
            0,
            Event::Owned {
                client: 11,
                owner: owner(1),
                keeping: Keeping { linger: LINGER, ..Keeping::default() },
            },
        ),
        (0, planned(2)),
        (0, attach(11, 0, Sharing::Shared)),
        (0, Event::Deployed { cluster: 1 }),
        (1, planned(1)),
        (1, Event::Release { client: 11, passed: true }),
        (1, Event::Gated { cluster: 1, found: Ok(()) }),
    ];
    let told = Released::default();
    assert_eq!(check(events.clone()), [Effect::Released { client: 11, released: told }]);
    events.push((2, planned(0)));
    // It may linger.
    assert_eq!(check(events.clone()), []);
    events.push((2 + LINGER.as_secs(), Event::Time));
    assert_eq!(check(events), [Effect::TearDown { cluster: 1 }]);
}

#[test]
fn a_cluster_that_ran_out_of_accounts_is_followed_by_another() {
    let effects = check(vec![
        (0, attach(1, 0, Sharing::Shared)),
        (0, Event::Deployed { cluster: 1 }),
        (1, Event::Draw { client: 1, count: ACCOUNTS - 1 }),
        (2, attach(2, 0, Sharing::Shared)),
    ]);
    assert_eq!(effects, [Effect::Deploy { cluster: 2, client: 2 }]);
}

#[test]
fn the_longest_queue_is_deployed_first() {
    let mut events = vec![
        (0, attach(1, 2, Sharing::Fresh)),
        (0, attach(2, 2, Sharing::Shared)),
        (0, attach(3, 1, Sharing::Shared)),
    ];
    assert_eq!(check(events.clone()), [], "who came first waits for room, and is not overtaken");
    events.push((0, attach(4, 1, Sharing::Shared)));
    assert_eq!(check(events), [Effect::Deploy { cluster: 2, client: 3 }]);
}

#[test]
fn who_would_wait_for_a_kept_cluster_is_refused_and_others_hear_of_it() {
    let mut ledger = Ledger::new(NODES);
    let mut handle = |event| ledger.handle(Duration::ZERO, event);
    handle(attach(1, 2, Sharing::Shared));
    handle(Event::Deployed { cluster: 1 });
    handle(Event::Keep { client: 1 });
    let effects = handle(attach(2, 2, Sharing::Fresh));
    let [Effect::Refuse { client: 2, failure }] = &effects[..] else { panic!("{effects:?}") };
    let kill = format!("`kill {}`", std::process::id());
    assert!(failure.to_string().contains("5 are kept") && failure.to_string().contains(&kill), "{failure}");
    handle(Event::Release { client: 1, passed: false });
    handle(attach(3, 1, Sharing::Shared));
    handle(Event::Deployed { cluster: 2 });
    assert_eq!(handle(attach(4, 0, Sharing::Shared)), [], "there will be room after client 3");
    let waits: Vec<_> = ledger.waits().map(|(_, what)| what).collect();
    let told = format!(
        "waiting for room: 2 nodes, while 8 of 8 are used: 5 of cluster 2, kept to be looked at after case 1 \
         ({kill} removes it, and all others of its keeper); 3 of cluster 1, used by case 3"
    );
    assert_eq!(waits, [told]);
    ledger.handle(Duration::ZERO, Event::Release { client: 3, passed: false });
    assert!(ledger.waits().all(|(_, what)| what.ends_with("3 of cluster 1, which ends")));
}

#[test]
fn who_lacks_room_is_overtaken_so_often_and_no_more() {
    let mut ledger = Ledger::new(NODES);
    let mut handle = |event| ledger.handle(Duration::ZERO, event);
    let grants = |effects: &[Effect]| effects.iter().filter(|it| matches!(it, Effect::Grant { .. })).count();
    handle(attach(1, 2, Sharing::Shared));
    handle(Event::Deployed { cluster: 1 });
    assert_eq!(handle(attach(2, 2, Sharing::Fresh)), [], "there is no room for another one of five nodes");
    let (overtakes, last) = (3.., 3 + PATIENCE as Client);
    for client in overtakes.take(PATIENCE) {
        assert_eq!(grants(&handle(attach(client, 2, Sharing::Shared))), 1);
    }
    assert_eq!(handle(attach(last, 2, Sharing::Shared)), [], "that is enough");
    handle(Event::Release { client: 1, passed: true });
    for client in 3..last {
        handle(Event::Release { client, passed: true });
    }
    let gated = || Event::Gated { cluster: 1, found: Ok(()) };
    assert!(matches!(handle(gated())[..], [Effect::Gate { .. }]), "who left meanwhile is looked after, too");
    let effects = handle(gated());
    assert!(effects.contains(&Effect::TearDown { cluster: 1 }), "{effects:?}");
    let effects = handle(Event::TornDown { cluster: 1, left: None });
    assert_eq!(effects.last(), Some(&Effect::Deploy { cluster: 2, client: 2 }));
    assert_eq!(grants(&handle(Event::Deployed { cluster: 2 })), 1);
    let effects = handle(Event::Gone { client: 2 });
    assert_eq!(effects, [Effect::TearDown { cluster: 2 }]);
    let effects = handle(Event::TornDown { cluster: 2, left: None });
    assert_eq!(effects, [Effect::Deploy { cluster: 3, client: last }]);
}

#[test]
fn who_lacks_room_elsewhere_is_overtaken_so_often_and_no_more() {
    let mut ledger = Ledger::new(NODES);
    let mut handle = |event| ledger.handle(Duration::ZERO, event);
    let (first, last) = (2, 2 + 2 * PATIENCE as Client);
    handle(attach(1, 1, Sharing::Shared));
    handle(Event::Deployed { cluster: 1 });
    let mut check = |client| {
        assert!(matches!(handle(attach(client, 1, Sharing::Shared))[..], [Effect::Grant { .. }]));
        assert_eq!(handle(Event::RoomWanted(true)), [], "it is in use");
        if client == first + PATIENCE as Client - 1 {
            // Somebody else made room, and another one lacks it now.
            handle(Event::RoomWanted(false));
            handle(Event::RoomWanted(true));
        }
    };
    (first..last).for_each(&mut check);
    assert_eq!(handle(attach(last, 1, Sharing::Shared)), [Effect::Deploy { cluster: 2, client: last }]);
    handle(Event::RoomWanted(true));
    let effects = handle(Event::Deployed { cluster: 2 });
    let [Effect::Grant { grant, .. }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((grant.cluster, grant.made), (2, Some(Reason::MadeRoom)));
    for client in 1..last {
        handle(Event::Release { client, passed: true });
    }
    handle(Event::Gated { cluster: 1, found: Ok(()) });
    let effects = handle(Event::Gated { cluster: 1, found: Ok(()) });
    assert!(effects.contains(&Effect::TearDown { cluster: 1 }), "{effects:?}");
}

/// A cluster that lingers for owner 1 since second 1.
fn lingering() -> Vec<(u64, Event)> {
    vec![
        (0, owned(11, 1, LINGER)),
        (0, attach(11, 0, Sharing::Shared)),
        (0, Event::Deployed { cluster: 1 }),
        (1, Event::Release { client: 11, passed: true }),
        (1, Event::Gated { cluster: 1, found: Ok(()) }),
        (1, Event::OwnerGone { owner: owner(1) }),
    ]
}

#[test]
fn an_owner_that_lets_nothing_linger_ends_and_uses_nothing_that_does() {
    let mut events = lingering();
    events.push((2, owned(12, 2, Duration::ZERO)));
    assert_eq!(check(events.clone()), []);
    events.push((2, attach(12, 0, Sharing::Shared)));
    assert_eq!(check(events.clone()), [Effect::Deploy { cluster: 2, client: 12 }]);
    events.extend([
        (3, Event::Deployed { cluster: 2 }),
        (4, Event::Release { client: 12, passed: true }),
        (4, Event::Gated { cluster: 2, found: Ok(()) }),
        (4, Event::OwnerGone { owner: owner(2) }),
    ]);
    assert_eq!(check(events.clone()), [Effect::TearDown { cluster: 2 }]);
    events
        .extend([(4, Event::TornDown { cluster: 2, left: None }), (5, Event::OwnerGone { owner: owner(0) })]);
    assert_eq!(check(events.clone()), []);
    events.push((1 + LINGER.as_secs(), Event::Time));
    assert_eq!(check(events), [Effect::TearDown { cluster: 1 }]);
}

#[test]
fn nothing_ends_between_an_owner_that_adopts_and_its_first_wish() {
    let late = 1 + LINGER.as_secs();
    let mut events = lingering();
    events.extend([(late - 1, owned(12, 2, LINGER)), (late, Event::Time)]);
    assert_eq!(check(events.clone()), []);
    events.push((late, attach(12, 0, Sharing::Shared)));
    let effects = check(events);
    let [Effect::Grant { client: 12, grant }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(grant.cluster, 1);
}

#[test]
fn a_cluster_that_is_kept_stays_for_an_hour_whoever_goes() {
    let late = 1 + KEPT.as_secs();
    let mut events = vec![
        (0, owned(11, 1, Duration::ZERO)),
        (0, attach(11, 0, Sharing::Shared)),
        (0, Event::Deployed { cluster: 1 }),
        (1, Event::Keep { client: 11 }),
        (1, Event::Release { client: 11, passed: false }),
    ];
    let effects = check(events.clone());
    assert!(matches!(&effects[..], [Effect::Released { client: 11, .. }]), "{effects:?}");
    let ends = [
        Event::Gone { client: 11 },
        Event::OwnerGone { owner: owner(1) },
        Event::OwnerGone { owner: owner(0) },
    ];
    for event in ends.into_iter().chain([Event::RoomWanted(true), Event::Time]) {
        events.push((1, event));
        assert_eq!(check(events.clone()), []);
    }
    events.push((late, Event::Time));
    assert_eq!(check(events.clone()), [Effect::TearDown { cluster: 1 }]);
    events.push((late, Event::TornDown { cluster: 1, left: None }));
    assert_eq!(check(events), [Effect::Exit]);
}
