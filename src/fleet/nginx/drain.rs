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
    let pid = match &found.place {
        Some(place) => place.pid.as_str(),
        // A container is asked without a pid file: its engine may only be starting again.
        None if proxy.host().proxy.container.is_some() => "",
        // Where nginx cannot be used nothing is known of its pid file; the containers' own sockets still tell.
        None => return Ok(()),
    };
    let ports: Vec<String> = idling.published.iter().map(|port| format!("{port:04X}")).collect();
    let mut arguments = vec![pid];
    arguments.extend(ports.iter().map(String::as_str));
    match until_idle(proxy, Script::Workers, &arguments, deadline).await {
        Err(failure) if failure.kind == FailureKind::Refused && found.place.is_none() => Ok(()),
        other => other.map(|_| ()),
    }
}

async fn sockets_closed(host: &Connection, idling: &Idling, deadline: Instant) -> Result<u64, Failure> {
    let Some(port) = idling.port.filter(|_| !idling.processes.is_empty()) else { return Ok(0) };
    let words: Vec<String> = std::iter::once(format!("{port:04X}")).chain(idling.processes.iter().map(ToString::to_string)).collect();
    let arguments: Vec<&str> = words.iter().map(String::as_str).collect();
    until_idle(host, Script::Sockets, &arguments, deadline).await
}

/// What is waited for.
#[derive(Clone, Copy)]
enum Script {
    /// nginx's leaving workers; their sockets are root's to see.
    Workers,
    /// The containers' connections; anyone may see them.
    Sockets,
}

/// Runs a script that looks for about a second, again and again: 0 once it says "idle", what it counts when the time is over.
async fn until_idle(connection: &Connection, script: Script, arguments: &[&str], deadline: Instant) -> Result<u64, Failure> {
    loop {
        let patience = patience(deadline.saturating_duration_since(Instant::now())).to_string();
        let arguments: Vec<&str> = std::iter::once(patience.as_str()).chain(arguments.iter().copied()).collect();
        let output = match script {
            Script::Workers => remote::nginx(connection, WORKERS, &arguments, Vec::new(), look::SHORT).await?,
            Script::Sockets => remote::reading(connection, SOCKETS, &arguments, look::SHORT).await?,
        };
        let Some(left) = still_open(&output) else { return Ok(0) };
        if Instant::now() >= deadline {
            return Ok(left);
        }
    }
}

/// How long a script looks before it tells, in hundredths of a second: after one second the other side wants to hear of it.
fn patience(left: Duration) -> u128 {
    (left.as_millis() / 10).min(100)
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
    use std::sync::Arc;

    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::model::Host;

    fn here() -> Connection {
        Connection::new(Host::parse("local").expect("valid"), None, "/tmp".into(), Arc::default())
    }

    #[tokio::test]
    async fn an_open_connection_is_waited_for_and_then_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let idling = Idling { processes: vec![std::process::id()], port: Some(port), published: BTreeSet::new() };
        let wait = async |timeout| wait_idle(&[], &here(), &idling, Duration::from_millis(timeout), &Cancellation::default()).await;
        assert_eq!(wait(5000).await.expect("idle").cut, 0);

        let client = TcpStream::connect(("127.0.0.1", port)).await.expect("it listens");
        let (served, _) = listener.accept().await.expect("connected");
        let drained = wait(200).await.expect("timed out");
        assert_eq!(drained.cut, 1);
        assert!(drained.waited >= 0.2, "{drained:?}");

        let end = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            drop((client, served));
        };
        let (drained, ()) = tokio::join!(wait(10_000), end);
        let drained = drained.expect("idle");
        assert_eq!(drained.cut, 0);
        assert!((0.3..5.0).contains(&drained.waited), "{drained:?}");
    }

    #[tokio::test]
    async fn a_cancellation_ends_the_wait() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let _client = TcpStream::connect(("127.0.0.1", port)).await.expect("it listens");
        let _served = listener.accept().await.expect("connected");
        let idling = Idling { processes: vec![std::process::id()], port: Some(port), published: BTreeSet::new() };
        let cancellation = Cancellation::default();
        cancellation.request(Urgency::Finish);
        let failure = wait_idle(&[], &here(), &idling, Duration::from_secs(60), &cancellation).await.expect_err("interrupted");
        assert_eq!(failure.kind, FailureKind::Interrupted);
    }

    #[tokio::test]
    async fn an_engine_that_does_not_tell_is_not_taken_for_an_nginx_that_is_gone() {
        let script = format!("{}{WORKERS}", remote::NGINX);
        let arguments = ["nginx", "edge", "/nowhere/docker.sock", "30", "", "4E20"];
        let begin = Instant::now();
        let output = remote::reading(&here(), &script, &arguments, look::SHORT).await.expect("looked");
        assert_eq!(output, "busy 0\n");
        assert!(begin.elapsed() >= Duration::from_millis(290), "it is asked again until the time is over");
        let gone = ["nginx", "", "", "30", "/nowhere/nginx.pid", "4E20"];
        assert_eq!(remote::reading(&here(), &script, &gone, look::SHORT).await.expect("looked"), "idle\n");
    }

    #[test]
    fn a_short_rest_is_not_overslept() {
        assert_eq!(patience(Duration::ZERO), 0);
        assert_eq!(patience(Duration::from_millis(300)), 30);
        assert_eq!(patience(Duration::from_secs(60)), 100);
    }

    #[test]
    fn only_idle_is_idle() {
        assert_eq!(still_open("idle\n"), None);
        assert_eq!(still_open("busy 3\n"), Some(3));
        assert_eq!(still_open("busy 0\n"), Some(0), "a worker that stays without a connection to them");
        assert_eq!(still_open(""), Some(1));
    }
}
