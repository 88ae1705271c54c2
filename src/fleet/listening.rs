//! What else listens on a host: a port that is taken is known before a container is started on it.
#![expect(clippy::disallowed_types, reason = "fleet/ speaks to engines")]

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use bollard::{
    Docker,
    models::{ContainerSummary, PortSummaryTypeEnum},
    query_parameters::ListContainersOptionsBuilder,
};

use super::{Connection, Request, containers::labels, images::engine_failure};
use crate::{
    failure::Failure,
    model::{ProjectName, TakenPort},
};

/// The sockets of a host that listen: state 0A in the tables of the kernel.
const LISTENING: &[&str] = &["grep", "-hs", "^ *[0-9]*: [0-9A-F]*:[0-9A-F]* [0-9A-F]*:0000 0A ", "/proc/net/tcp", "/proc/net/tcp6"];

/// The TCP ports that something other than this project's containers has: other containers, and processes of the host's own. Of the
/// operator's own machine only containers are asked: podlift may be in one itself there, and see the sockets of that.
pub async fn taken_ports(connection: &Connection, docker: &Docker, project: &ProjectName) -> Result<Vec<TakenPort>, Failure> {
    let host = connection.host();
    let options = ListContainersOptionsBuilder::default().build();
    let running = docker
        .list_containers(Some(options))
        .await
        .map_err(|error| engine_failure(&format!("the engine of {} did not list its containers", host.name), &error))?;
    let (own, others): (Vec<_>, Vec<_>) = running.iter().partition(|container| is_of(project, container));
    let mut taken: Vec<TakenPort> = others.into_iter().flat_map(published).collect();
    if !host.is_local() {
        let sockets = connection.run(Request::new(LISTENING).timeout(Duration::from_secs(10))).await?.stdout;
        let known: Vec<TakenPort> = own.into_iter().flat_map(published).chain(taken.iter().cloned()).collect();
        // An engine that listens itself for what a container publishes says nothing new.
        let is_new = |(_, port): &(IpAddr, u16)| known.iter().all(|known| known.port != *port);
        let of_processes = sockets.lines().filter_map(socket).filter(is_new);
        taken.extend(of_processes.map(|(address, port)| TakenPort { address: address.to_string(), port, container: None }));
    }
    taken.sort();
    taken.dedup();
    Ok(taken)
}

fn is_of(project: &ProjectName, container: &ContainerSummary) -> bool {
    container.labels.as_ref().and_then(|labels| labels.get(labels::PROJECT)).is_some_and(|of| of == project.as_str())
}

/// The ports that a container publishes.
fn published(container: &ContainerSummary) -> impl Iterator<Item = TakenPort> {
    let name = container.names.iter().flatten().next().map(|name| name.trim_start_matches('/').to_owned()).unwrap_or_default();
    container.ports.iter().flatten().filter(|port| port.typ == Some(PortSummaryTypeEnum::TCP)).filter_map(move |port| {
        let address = port.ip.clone().unwrap_or_default();
        Some(TakenPort { address, port: port.public_port?, container: Some(name.clone()) })
    })
}

/// Reads one line of a table: `0: 0100007F:1F90 00000000:0000 0A …` is port 8080 of 127.0.0.1. Each four bytes of an address stand
/// in the order of the machine, which has the lowest first.
fn socket(line: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = line.split_whitespace().nth(1)?.split_once(':')?;
    let words = (0..address.len() / 8).map(|word| u32::from_str_radix(address.get(word * 8..word * 8 + 8)?, 16).ok());
    let bytes: Vec<u8> = words.collect::<Option<Vec<u32>>>()?.into_iter().flat_map(u32::to_le_bytes).collect();
    let address = match <[u8; 4]>::try_from(&bytes[..]) {
        Ok(bytes) => IpAddr::from(Ipv4Addr::from(bytes)),
        Err(_) => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)).to_canonical(),
    };
    Some((address, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_read_as_kernels_write_them() {
        let read = |line: &str| socket(line).map(|(address, port)| format!("{address} {port}"));
        let of = |address: &str| format!("   0: {address} 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 21");
        assert_eq!(read(&of("0100007F:1F90")).as_deref(), Some("127.0.0.1 8080"));
        assert_eq!(read(&of("00000000:0050")).as_deref(), Some("0.0.0.0 80"));
        assert_eq!(read(&of("00000000000000000000000000000000:1538")).as_deref(), Some(":: 5432"));
        assert_eq!(read(&of("0000000000000000FFFF00000100007F:1538")).as_deref(), Some("127.0.0.1 5432"), "an IPv4 one among the others");
        for line in ["", "sl local_address", &of("0100007F"), &of("01007F:1F90"), &of("é100007:1F90"), &of("0100007F:1F9000")] {
            assert_eq!(read(line), None, "{line}");
        }
    }
}
