//! Counting a window of a service's traffic, from its own access log.

use std::collections::BTreeSet;

use super::{
    look::{SHORT, look},
    remote,
};
use crate::{
    executor::{Cancellation, Urgency},
    failure::{Failure, FailureKind},
    fleet::connection::Connection,
    model::{ContainerName, RouteTable},
    nginx_file,
    op::{Traffic, TrafficCount},
};

const SCRIPT: &str = include_str!("scripts/log.sh");

/// Waits for the window's length and counts what these containers were asked in it. nginx has no counters for an upstream, so
/// what it wrote to the service's log in between is read.
pub async fn traffic(connection: &Connection, op: &Traffic, cancellation: &Cancellation) -> Result<TrafficCount, Failure> {
    let host = connection.host();
    let before = look(connection).await?;
    let place = before.usable(host)?;
    let Some(table) = before.table(&op.project, &op.service) else {
        return Err(Failure::new(FailureKind::NoData, format!("nginx on {} does not serve {}", host.name, op.service)).on(&host.name));
    };
    let log = nginx_file::log(table, &place.logs);
    let mut addresses = addresses(table, &op.containers);
    let mark = remote::script(connection, SCRIPT, &["mark", &log], Vec::new(), SHORT).await?;
    let (inode, size) = mark.trim().split_once(' ').unwrap_or(("0", "0"));
    tokio::select! {
        () = tokio::time::sleep(op.during.duration()) => {}
        () = cancellation.requested(Urgency::Finish) => {
            return Err(Failure::new(FailureKind::Interrupted, "the measurement was interrupted").on(&host.name));
        }
    }
    let lines = remote::script(connection, SCRIPT, &["read", &log, inode, size], Vec::new(), SHORT * 2).await?;
    let Some(lines) = lines.trim_end().strip_suffix("end") else {
        return Err(Failure::failed(format!("the window of {} has too many different answers to be counted", op.service))
            .on(&host.name)
            .hint("measure a shorter window"));
    };
    // A container may have got its first traffic, or lost it, while the window was open.
    if let Some(table) = look(connection).await?.table(&op.project, &op.service) {
        addresses.extend(self::addresses(table, &op.containers));
    }
    Ok(count(lines, &addresses))
}

fn addresses(table: &RouteTable, containers: &[ContainerName]) -> BTreeSet<String> {
    let endpoints = table.shares.values().flatten().flat_map(|share| &share.containers);
    endpoints.filter(|endpoint| containers.contains(&endpoint.container)).map(nginx_file::address).collect()
}

/// Counts what the script printed: equal requests' number, then status, upstreams, their statuses and seconds. A request that
/// nginx tried on several containers counts for each of them, with the answer that this one gave.
fn count(lines: &str, addresses: &BTreeSet<String>) -> TrafficCount {
    let mut total = TrafficCount::default();
    for line in lines.lines() {
        let Some((times, fields)) = line.trim_start().split_once(' ') else { continue };
        let (Ok(times), fields) = (times.parse::<u64>(), fields.split('\t').collect::<Vec<_>>()) else { continue };
        let [_status, upstreams, statuses, seconds] = fields[..] else { continue };
        let (statuses, seconds) = (tries(statuses), tries(seconds));
        for (index, _) in tries(upstreams).into_iter().enumerate().filter(|(_, upstream)| addresses.contains(*upstream)) {
            let answered = statuses.get(index).and_then(|status| status.parse::<u16>().ok());
            let took = seconds.get(index).and_then(|seconds| milliseconds(seconds));
            total.requests += times;
            // No status means that it closed the connection, or that the client gave up before it answered.
            if answered.is_none_or(|status| status >= 500) {
                total.errors += times;
            }
            *total.milliseconds.entry(took.unwrap_or(0)).or_default() += times;
        }
    }
    total
}

/// What nginx lists for each upstream that it tried: behind commas, and behind colons where an internal redirect came between.
fn tries(field: &str) -> Vec<&str> {
    field.split(", ").flat_map(|part| part.split(" : ")).collect()
}

/// nginx prints seconds with three digits behind the point.
fn milliseconds(seconds: &str) -> Option<u64> {
    let (whole, rest) = seconds.split_once('.')?;
    Some(whole.parse::<u64>().ok()? * 1000 + rest.get(..3)?.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::Arc};

    use super::*;
    use crate::model::Host;

    const LINE: &str = "1700000000.000\t200\t127.0.0.1:20001\t200\t0.004\t0.005\tOK\t10.0.0.1 - - \"GET / HTTP/1.1\" 2 \"-\" \"-\"\n";

    /// Counts what is written to a log of one line between the window's ends.
    async fn window(write: impl FnOnce(&str)) -> u64 {
        let here = Connection::new(Host::parse("local").expect("valid"), None, "/tmp".into(), Arc::default());
        let folder = tempfile::tempdir().expect("a temporary folder");
        let log = format!("{}/access.log", folder.path().display());
        fs::write(&log, LINE).expect("written");
        let mark = remote::reading(&here, SCRIPT, &["mark", &log], SHORT).await.expect("marked");
        write(&log);
        let (inode, size) = mark.trim().split_once(' ').expect("two numbers");
        let lines = remote::reading(&here, SCRIPT, &["read", &log, inode, size], SHORT).await.expect("read");
        counted(lines.strip_suffix("end\n").expect("a last line")).requests
    }

    #[tokio::test]
    async fn only_what_is_written_in_the_window_counts() {
        assert_eq!(window(|_| ()).await, 0);
        assert_eq!(window(|log| fs::write(log, LINE.repeat(4)).expect("written")).await, 3);
    }

    #[tokio::test]
    async fn a_log_may_be_rotated_meanwhile() {
        let renamed = |log: &str| {
            fs::write(log, LINE.repeat(3)).expect("written");
            fs::rename(log, format!("{log}.1")).expect("renamed");
            fs::write(log, LINE.repeat(5)).expect("written");
        };
        assert_eq!(window(renamed).await, 7);
        assert_eq!(window(|log| fs::remove_file(log).expect("removed")).await, 0);
        assert_eq!(window(|log| fs::write(log, "").expect("emptied")).await, 0);
    }

    fn counted(lines: &str) -> TrafficCount {
        count(lines, &["127.0.0.1:20001".to_owned(), "[::1]:20002".to_owned()].into())
    }

    #[test]
    fn equal_requests_are_counted_and_others_left_out() {
        let lines =
            "     12 200\t127.0.0.1:20001\t200\t0.004\n      3 200\t127.0.0.1:20009\t200\t0.001\n      1 500\t[::1]:20002\t500\t1.250\n";
        let total = counted(lines);
        assert_eq!((total.requests, total.errors), (13, 1));
        assert_eq!(total.milliseconds, [(4, 12), (1250, 1)].into());
    }

    #[test]
    fn a_request_that_another_container_saved_is_an_error_of_the_first() {
        let total = counted("1 200\t127.0.0.1:20001, 127.0.0.1:20009\t502, 200\t0.000, 0.004\n");
        assert_eq!((total.requests, total.errors), (1, 1));
        assert_eq!(total.milliseconds, [(0, 1)].into());
    }

    #[test]
    fn no_answer_is_an_error_and_a_clients_mistake_is_none() {
        let total = counted("2 499\t127.0.0.1:20001\t-\t3.000\n1 404\t127.0.0.1:20001\t404\t0.002\n1 499\t127.0.0.1:20001\t200\t0.002\n");
        assert_eq!((total.requests, total.errors), (4, 2));
    }

    #[test]
    fn odd_lines_are_left_out() {
        assert_eq!(counted("\n1\nx 200\n1 200\ta\n1 503\t-\t-\t-\n1 \"\t\t\t\t\n"), TrafficCount::default());
    }
}
