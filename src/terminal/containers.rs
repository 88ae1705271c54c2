//! What runs on hosts, container by container, or release by release.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

use super::{style::Style, table::Table, words};
use crate::model::{Container, ContainerName, ContainerState, HostName, HostState, RouteTable, RunId, ServiceName, Version};

/// One container as `ps` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its service.
    pub service: ServiceName,
    /// Its release's version.
    pub version: Version,
    /// The run that made it.
    pub run: RunId,
    /// The host that it is on.
    pub host: HostName,
    /// Its name.
    pub container: ContainerName,
    /// What the engine says of it.
    pub state: ContainerState,
    /// The exit code of one that has stopped.
    pub exit_code: Option<i64>,
    /// Its release's weight in its host's share, the largest over the proxies.
    pub weight: u64,
    /// The headers and cookies that reach it besides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub previews: Vec<String>,
    /// The address and port that a proxy reaches it by.
    pub endpoint: Option<String>,
    /// When it was made, in RFC 3339, UTC.
    pub deployed_at: String,
    /// Who made it.
    pub deployed_by: String,
}

/// All containers of these hosts, by service, host and age, the newest first.
pub fn rows(states: &BTreeMap<HostName, HostState>) -> Vec<Row> {
    let tables: Vec<&RouteTable> = states.values().flat_map(|state| state.routes.values()).collect();
    let mut rows: Vec<Row> = states.values().flat_map(|state| state.containers.values()).map(|container| row(container, &tables)).collect();
    rows.sort_by(|left, right| {
        let place = |row: &Row| (row.service.clone(), row.host.clone());
        let age = right.deployed_at.cmp(&left.deployed_at);
        place(left).cmp(&place(right)).then(age).then_with(|| left.container.cmp(&right.container))
    });
    rows
}

fn row(container: &Container, tables: &[&RouteTable]) -> Row {
    let of_service = || tables.iter().filter(|table| table.service == container.service && table.project == container.project);
    Row {
        service: container.service.clone(),
        version: container.version.clone(),
        run: container.run.clone(),
        host: container.host.clone(),
        container: container.name.clone(),
        state: container.state,
        exit_code: container.exit_code,
        weight: of_service().map(|table| table.weight_of(&container.host, &container.name)).max().unwrap_or(0),
        previews: of_service()
            .flat_map(|table| table.marks_of(&container.host, &container.name))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect(),
        endpoint: container.endpoint().map(|endpoint| format!("{}:{}", endpoint.address, endpoint.port)),
        deployed_at: container.deployed_at.clone(),
        deployed_by: container.deployed_by.clone(),
    }
}

/// The rows as a table; ages are told at `now`.
pub fn table(rows: &[Row], now: Timestamp, style: Style) -> String {
    let mut table = Table::new(["SERVICE", "VERSION", "HOST", "CONTAINER", "STATE", "WEIGHT", "PORT", "AGE"]);
    for row in rows {
        let state = match row.exit_code.filter(|_| row.state == ContainerState::Stopped) {
            Some(code) => format!("stopped ({code})"),
            None => row.state.word().into(),
        };
        table.row([
            row.service.to_string(),
            row.version.to_string(),
            row.host.to_string(),
            row.container.to_string(),
            state,
            weight(row),
            row.endpoint.clone().unwrap_or_default(),
            age(&row.deployed_at, now),
        ]);
    }
    table.render(style)
}

/// Its weight, and what reaches it besides.
fn weight(row: &Row) -> String {
    if row.previews.is_empty() { row.weight.to_string() } else { format!("{} ({})", row.weight, row.previews.join(", ")) }
}

/// The releases with how many of their containers run, and their part of their host's share of the traffic.
pub fn releases(states: &BTreeMap<HostName, HostState>, style: Style) -> String {
    struct Part {
        running: usize,
        containers: usize,
        weight: u64,
    }
    let mut parts: Vec<((ServiceName, HostName, Version, RunId), Part)> = Vec::new();
    for row in rows(states) {
        let key = (row.service, row.host, row.version, row.run);
        let at = parts.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
            parts.push((key, Part { running: 0, containers: 0, weight: 0 }));
            parts.len() - 1
        });
        let part = &mut parts[at].1;
        part.containers += 1;
        part.running += usize::from(row.state == ContainerState::Running);
        part.weight = part.weight.max(row.weight);
    }
    let mut table = Table::new(["SERVICE", "HOST", "VERSION", "CONTAINERS", "TRAFFIC"]);
    for ((service, host, version, _), part) in &parts {
        let sum: u64 = parts.iter().filter(|((other, at, ..), _)| other == service && at == host).map(|(_, part)| part.weight).sum();
        let containers = match part.running {
            0 => format!("{} stopped", part.containers),
            running if running == part.containers => format!("{running} running"),
            running => format!("{running} of {} running", part.containers),
        };
        #[expect(clippy::cast_precision_loss, reason = "a percentage for people")]
        let traffic = if sum == 0 { "none".into() } else { format!("{:.0}%", part.weight as f64 * 100.0 / sum as f64) };
        table.row([service.to_string(), host.to_string(), version.to_string(), containers, traffic]);
    }
    table.render(style)
}

/// How long ago that was, in its largest unit.
pub(super) fn age(at: &str, now: Timestamp) -> String {
    let Ok(at) = at.parse::<Timestamp>() else { return "unknown".into() };
    let seconds = u64::try_from(now.as_second().saturating_sub(at.as_second())).unwrap_or(0);
    match seconds {
        0..60 => words::count_of(seconds, "second"),
        60..3600 => words::count_of(seconds / 60, "minute"),
        3600..86_400 => words::count_of(seconds / 3600, "hour"),
        _ => words::count_of(seconds / 86_400, "day"),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing::fleet, *};

    #[test]
    fn containers_stand_by_service_and_host() {
        let now = "2026-01-03T00:00:00Z".parse().expect("a time");
        assert_eq!(
            table(&rows(&fleet()), now, Style::PLAIN),
            "\
SERVICE  VERSION  HOST  CONTAINER                 STATE        WEIGHT  PORT             AGE
web      v2       h1    shop-web-v2-0123456789-1  running      10      127.0.0.1:20001  1 hour
web      v1       h1    shop-web-v1-0123456789-1  running      90      127.0.0.1:20000  2 days
web      v1       h2    shop-web-v1-0123456789-1  stopped (0)  0       127.0.0.1:20000  2 days
"
        );
    }

    #[test]
    fn releases_tell_their_part_of_the_traffic() {
        assert_eq!(
            releases(&fleet(), Style::PLAIN),
            "\
SERVICE  HOST  VERSION  CONTAINERS  TRAFFIC
web      h1    v2       1 running   10%
web      h1    v1       1 running   90%
web      h2    v1       1 stopped   none
"
        );
    }

    #[test]
    fn a_row_is_plain_json() {
        let row = serde_json::to_value(&rows(&fleet())[0]).expect("serialises");
        assert_eq!(row["endpoint"], "127.0.0.1:20001");
        assert_eq!(row["state"], "running");
    }
}
