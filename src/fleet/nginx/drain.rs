//! Knowing that nothing to a container is in flight.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::{look, remote};
use crate::{
    executor::{Cancellation, Urgency},
    failure::{Failure, FailureKind},
    fleet::connection::Connection,
    op::Drained,
};

const WORKERS: &str = include_str!("scripts/workers.sh");
const SOCKETS: &str = include_str!("scripts/sockets.sh");

/// Containers on one host that lose their last requests.
#[derive(Clone, Debug, Default)]
pub struct Idling {
    /// Their processes' ids on their host (`State.Pid`); those that do not run have none.
    pub processes: Vec<u32>,
    /// The port that the service listens on inside them; without one there is nothing to wait for.
    pub port: Option<u16>,
    /// The host's ports that proxies reach them by.
    pub published: BTreeSet<u16>,
}

/// Waits until no worker that an earlier configuration left can send anything to the containers, and they have no connection
/// open. After `timeout` it gives up and tells how many were; a cancellation ends it with a failure.
pub async fn wait_idle(
    proxies: &[&Connection],
    host: &Connection,
    idling: &Idling,
    timeout: Duration,
    cancellation: &Cancellation,
) -> Result<Drained, Failure> {
    let begin = Instant::now();
    let wait = async {
        let deadline = begin + timeout;
        // Sockets count only once no worker can open a new one.
        futures_util::future::try_join_all(proxies.iter().map(|proxy| workers_gone(proxy, idling, deadline))).await?;
        sockets_closed(host, idling, deadline).await
    };
    let cut = tokio::select! {
        cut = wait => cut?,
        () = cancellation.requested(Urgency::Finish) => {
            return Err(Failure::new(FailureKind::Interrupted, "the drain was interrupted").on(&host.host().name));
        }
    };
    Ok(Drained { waited: begin.elapsed().as_secs_f64(), cut })
}

async fn workers_gone(proxy: &Connection, idling: &Idling, deadline: Instant) -> Result<(), Failure> {
    let found = look::look(proxy).await?;
    // Where nginx cannot be used nothing is known of its pid file; the containers' own sockets still tell.
    let Some(place) = &found.place else { return Ok(()) };
    let ports: Vec<String> = idling.published.iter().map(|port| format!("{port:04X}")).collect();
    let mut arguments = vec![place.pid.as_str()];
    arguments.extend(ports.iter().map(String::as_str));
    until_idle(proxy, WORKERS, &arguments, deadline).await.map(|_| ())
}

async fn sockets_closed(host: &Connection, idling: &Idling, deadline: Instant) -> Result<u64, Failure> {
    let Some(port) = idling.port.filter(|_| !idling.processes.is_empty()) else { return Ok(0) };
    let words: Vec<String> = std::iter::once(format!("{port:04X}")).chain(idling.processes.iter().map(ToString::to_string)).collect();
    let arguments: Vec<&str> = words.iter().map(String::as_str).collect();
    until_idle(host, SOCKETS, &arguments, deadline).await
}

/// Runs a script that looks for about a second, again and again: 0 once it says "idle", what it counts when the time is over.
async fn until_idle(connection: &Connection, script: &str, arguments: &[&str], deadline: Instant) -> Result<u64, Failure> {
    loop {
        let looks = looks(deadline.saturating_duration_since(Instant::now())).to_string();
        let arguments: Vec<&str> = std::iter::once(looks.as_str()).chain(arguments.iter().copied()).collect();
        let output = remote::script(connection, script, &arguments, Vec::new(), look::SHORT).await?;
        let Some(left) = still_open(&output) else { return Ok(0) };
        if Instant::now() >= deadline {
            return Ok(left);
        }
    }
}

/// How often a script looks before it tells: a look and the nap behind it take some 30 ms, and after a second the other side
/// wants to hear of it.
fn looks(left: Duration) -> u128 {
    (left.as_millis() / 30).clamp(1, 30)
}

fn still_open(output: &str) -> Option<u64> {
    match output.trim().split_once(' ') {
        None if output.trim() == "idle" => None,
        Some(("busy", count)) => Some(count.parse().unwrap_or(1)),
        _ => Some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_rest_is_not_overslept() {
        assert_eq!(looks(Duration::ZERO), 1);
        assert_eq!(looks(Duration::from_millis(300)), 10);
        assert_eq!(looks(Duration::from_secs(60)), 30);
    }

    #[test]
    fn only_idle_is_idle() {
        assert_eq!(still_open("idle\n"), None);
        assert_eq!(still_open("busy 3\n"), Some(3));
        assert_eq!(still_open("busy 0\n"), Some(0), "a worker that stays without a connection to them");
        assert_eq!(still_open(""), Some(1));
    }
}
