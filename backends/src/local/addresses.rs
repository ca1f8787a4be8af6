//! Addresses that are one cluster's own, and who is in their way.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{SocketAddrV4, TcpListener};

use logos_scenario_runtime::deployer::DeployError;
use logos_scenario_runtime::plan::{Plan, Protocol};

use super::render::{MAX_NODES, Subnet};
use crate::planned;

/// The port on which a cluster's guard listens.
const GUARD_PORT: u16 = 27_400;
/// How many blocks are tried before the machine is taken to be full.
const TRIES: usize = 1_000;

/// Reserves a block of addresses for as long as the listener lives.
pub(super) fn reserve(plan: &Plan) -> Result<(Subnet, TcpListener), DeployError> {
    planned::at_most(MAX_NODES, plan, "a local cluster")?;
    let ports = plan.nodes.iter().flat_map(|node| &node.ports);
    let wanted = ports.filter(|port| port.protocol == Protocol::Tcp).map(|port| port.number).collect();
    let mut last = None;
    for _ in 0..TRIES {
        let subnet = Subnet::choose(rand::random());
        match TcpListener::bind(SocketAddrV4::new(subnet.guard(), GUARD_PORT)) {
            Ok(guard) => return in_the_way(wanted, subnet).map(|()| (subnet, guard)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = Some(error),
            Err(error) => {
                last = Some(error);
                break;
            }
        }
    }
    Err(DeployError::new(
        "loopback addresses",
        format!(
            "no block 127.a.b.0/24 can be reserved: {}",
            last.map_or_else(String::new, |error| error.to_string())
        ),
        format!("see with `ss -ltn` who listens on port {GUARD_PORT}"),
    ))
}

/// A program that listens on all addresses on a planned port would keep every node from listening there, as it
/// keeps us at an address that no node has. The kernel's tables then tell whose it is.
fn in_the_way(wanted: BTreeSet<u16>, subnet: Subnet) -> Result<(), DeployError> {
    let is_taken = |port: &u16| {
        let bound = TcpListener::bind(SocketAddrV4::new(subnet.spare(), *port));
        bound.is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
    };
    let Some(port) = wanted.into_iter().find(is_taken) else { return Ok(()) };
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let mut listeners = tables.iter().flat_map(|table| wildcard_listeners(table));
    let owner = listeners.find(|listener| listener.port == port).and_then(|foreign| owner(foreign.inode));
    let owner = owner.unwrap_or_else(|| "a process of another user".to_owned());
    Err(DeployError::new(
        format!("port {port}"),
        format!("{owner} listens on it on all addresses, so that no node can"),
        "end that program, or let it listen on 127.0.0.1 only",
    ))
}

#[derive(Debug, PartialEq, Eq)]
struct Listener {
    port: u16,
    inode: u64,
}

/// The sockets of a table such as `/proc/net/tcp` that listen on all addresses.
fn wildcard_listeners(table: &str) -> Vec<Listener> {
    const LISTENING: &str = "0A";
    let parsed = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (address, port) = fields.get(1)?.split_once(':')?;
        let all = address.chars().all(|digit| digit == '0');
        (all && *fields.get(3)? == LISTENING).then_some(())?;
        Some(Listener { port: u16::from_str_radix(port, 16).ok()?, inode: fields.get(9)?.parse().ok()? })
    });
    parsed.collect()
}

/// The process that holds a socket, as far as this user may know.
fn owner(inode: u64) -> Option<String> {
    let socket = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let holds = |process: &fs::DirEntry| {
        let descriptors = fs::read_dir(process.path().join("fd")).ok()?;
        let mut targets = descriptors.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
        targets.any(|target| target.as_os_str() == socket.as_str()).then_some(())
    };
    let numbered = |process: &fs::DirEntry| process.file_name().to_string_lossy().parse::<u32>().is_ok();
    let process = processes.into_iter().filter(numbered).find(|process| holds(process).is_some())?;
    let command = fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
    let command = command.trim_end_matches('\0').replace('\0', " ");
    Some(format!("process {} (`{command}`)", process.file_name().to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv6Addr, SocketAddrV6};

    use super::*;

    #[test]
    fn listeners_on_all_addresses_are_found_in_the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 00000000:46A0 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0\n\
             1: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100 0 0 10 0\n\
             2: 00000000:0BB8 0100007F:1234 01 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 100 0 0 10 0\n";
        assert_eq!(wildcard_listeners(table), [Listener { port: 18_080, inode: 4711 }]);
    }

    #[test]
    fn a_listener_of_ipv6_alone_is_in_nobodys_way() {
        use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket, sockopt};
        let listener = socket(AddressFamily::INET6, SocketType::STREAM, None).unwrap();
        sockopt::set_ipv6_v6only(&listener, true).unwrap();
        bind(&listener, &SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0)).unwrap();
        listen(&listener, 1).unwrap();
        let address = SocketAddrV6::try_from(getsockname(&listener).unwrap()).unwrap();
        in_the_way([address.port()].into(), Subnet::choose(rand::random())).unwrap();
    }

    #[test]
    fn a_listener_of_this_process_is_told_with_its_command() {
        let listener = TcpListener::bind(("0.0.0.0", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        let found = wildcard_listeners(&table).into_iter().find(|found| found.port == port).unwrap();
        let owner = owner(found.inode).unwrap();
        assert!(owner.starts_with(&format!("process {} (`", std::process::id())), "{owner}");
    }
}
