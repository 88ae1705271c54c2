//! What else listens on a host: a port that is taken is known before a container is started on it.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use bollard::models::ContainerSummary;

use super::{
    Connection, Request,
    containers::{self, labels},
};
use crate::{
    failure::{Failure, FailureKind},
    model::{ContainerState, ProjectName, TakenPort},
};

/// The sockets of a host that listen (state 0A): they come first in each of the kernel's tables, which have a line of titles.
const LISTENING: &str = "for table in /proc/net/tcp /proc/net/tcp6; do sed -n -e 1d -e '/:0000 0A /!q' -e p $table; done 2>/dev/null";

/// The TCP ports that something other than this project's containers has: other containers, and processes of the host's own. Of the
/// operator's own machine only containers are asked: podlift may be in one itself there, and see the sockets of that.
///
/// # Errors
/// Where the engine does not list its containers, and where the host is lost. Whatever else keeps podlift from reading the sockets,
/// nothing but the start of a deploy would need them.
pub async fn taken_ports(connection: &Connection, project: &ProjectName) -> Result<Vec<TakenPort>, Failure> {
    let mut running = containers::all(connection).await?;
    running.retain(|container| matches!(containers::state(container), ContainerState::Running | ContainerState::Restarting));
    let sockets = if connection.host().is_local() {
        String::new()
    } else {
        match connection.run(Request::new(&["sh", "-c", LISTENING]).called("what listens").timeout(Duration::from_secs(10))).await {
            Ok(output) => output.stdout,
            Err(failure) if failure.kind == FailureKind::Unreachable => return Err(failure),
            Err(_) => String::new(),
        }
    };
    Ok(taken(&running, &sockets, project))
}

/// What has a port, of these containers and sockets.
fn taken(running: &[ContainerSummary], sockets: &str, project: &ProjectName) -> Vec<TakenPort> {
    let (own, others): (Vec<_>, Vec<_>) = running.iter().partition(|container| is_of(container, project));
    let mut taken: Vec<TakenPort> = others.into_iter().flat_map(ports).collect();
    // An engine that listens itself for what a container publishes says nothing new, nor does a container on the host's network.
    let known: BTreeSet<u16> = own.into_iter().flat_map(ports).chain(taken.iter().cloned()).map(|taken| taken.port).collect();
    let of_processes = sockets.lines().filter_map(socket).filter(|(_, port)| !known.contains(port));
    taken.extend(of_processes.map(|(address, port)| TakenPort { address: address.to_string(), port, container: None }));
    taken.sort();
    taken.dedup();
    taken
}

fn is_of(container: &ContainerSummary, project: &ProjectName) -> bool {
    container.labels.as_ref().and_then(|labels| labels.get(labels::PROJECT)).is_some_and(|name| name == project.as_str())
}

/// The ports that a container has.
fn ports(container: &ContainerSummary) -> impl Iterator<Item = TakenPort> {
    let name = container.names.iter().flatten().next().map(|name| name.trim_start_matches('/').to_owned());
    let name = Some(name.unwrap_or_default());
    containers::ports::of(container).into_iter().map(move |(address, port)| TakenPort { address, port, container: name.clone() })
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
    use serde_json::json;

    use super::*;

    fn listens(socket: &str) -> String {
        format!("   0: {socket} 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 21")
    }

    #[test]
    fn sockets_are_read_as_kernels_write_them() {
        let read = |line: &str| socket(line).map(|(address, port)| format!("{address} {port}"));
        assert_eq!(read(&listens("0100007F:1F90")).as_deref(), Some("127.0.0.1 8080"));
        assert_eq!(read(&listens("00000000:0050")).as_deref(), Some("0.0.0.0 80"));
        assert_eq!(read(&listens("00000000000000000000000000000000:1538")).as_deref(), Some(":: 5432"));
        assert_eq!(read(&listens("0000000000000000FFFF00000100007F:1538")).as_deref(), Some("127.0.0.1 5432"), "IPv4 among IPv6");
        for socket in ["0100007F", "01007F:1F90", "é100007:1F90", "0100007F:1F9000"] {
            assert_eq!(read(&listens(socket)), None, "{socket}");
        }
        assert_eq!((read(""), read("sl local_address")), (None, None));
    }

    #[test]
    fn what_others_have_is_told_with_whose_it_is() {
        let container = |name: &str, labels: serde_json::Value, ports: serde_json::Value| {
            serde_json::from_value::<ContainerSummary>(json!({ "Names": [format!("/{name}")], "Labels": labels, "Ports": ports }))
                .expect("one")
        };
        let port = |port: u16| json!([{ "IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": port, "Type": "tcp" }, { "PrivatePort": 9, "Type": "udp" }]);
        let running = [
            container("cache", json!({}), port(6379)),
            container("shop-web-v1-1", json!({ "podlift.project": "shop", "podlift.port": "20000" }), port(20000)),
            // Containers on the host's network publish nothing, and listen themselves.
            container("shop-db-v1-1", json!({ "podlift.project": "shop", "podlift.port": "5432" }), json!([])),
            container("blog-db-v1-1", json!({ "podlift.project": "blog", "podlift.port": "5433" }), json!([])),
        ];
        let sockets: Vec<String> =
            ["00000000:18EB", "0100007F:4E20", "00000000:1538", "00000000:1539", "0100007F:0016"].map(listens).into();
        let project = ProjectName::new("shop").expect("valid");
        let told: Vec<String> = taken(&running, &sockets.join("\n"), &project)
            .iter()
            .map(|taken| format!("{}:{} {taken}", taken.address, taken.port))
            .collect();
        assert_eq!(told, [":5433 the container blog-db-v1-1", "0.0.0.0:6379 the container cache", "127.0.0.1:22 a process"]);
    }
}
