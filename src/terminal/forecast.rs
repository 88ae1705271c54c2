//! What one call would change, from the states of its hosts before and after it.

use std::collections::BTreeSet;

use super::{containers::rows, plan::States, style::Style};
use crate::model::RouteTable;

/// A line for each container that would be made, changed or deleted, and for each weight; none where nothing would change.
pub fn lines(before: &States, after: &States, style: Style) -> Vec<String> {
    let (old, new) = (rows(before), rows(after));
    let mut lines = Vec::new();
    for row in &new {
        let (name, host, state) = (&row.container, &row.host, row.state.word());
        match old.iter().find(|known| known.container == *name) {
            None => lines.push(style.good(format!("+ {name} on {host}: {state}"))),
            Some(known) if known.state != row.state => {
                lines.push(style.warning(format!("~ {name} on {host}: {} → {state}", known.state.word())));
            }
            Some(_) => {}
        }
    }
    for row in old.iter().filter(|row| !new.iter().any(|known| known.container == row.container)) {
        lines.push(style.bad(format!("- {} on {}: deleted", row.container, row.host)));
    }
    lines.extend(weights(before, after).into_iter().map(|line| style.warning(line)));
    for (host, state) in after {
        let known = before.get(host);
        for (service, entries) in &state.history {
            if known.and_then(|state| state.history.get(service)).map_or(0, Vec::len) < entries.len()
                && let Some(entry) = entries.first()
            {
                lines.push(style.good(format!("+ history of {service} on {host}: {}", entry.version)));
            }
        }
        let images = |state: &crate::model::HostState| -> BTreeSet<String> {
            state.images.iter().flat_map(|image| image.references.clone()).collect()
        };
        let there = known.map(images).unwrap_or_default();
        lines.extend(images(state).difference(&there).map(|image| style.good(format!("+ image {image} on {host}"))));
    }
    lines
}

/// The releases whose weights at a proxy change.
fn weights(before: &States, after: &States) -> Vec<String> {
    let mut lines = Vec::new();
    for (proxy, state) in after {
        for (service, table) in &state.routes {
            let old = before.get(proxy).and_then(|state| state.routes.get(service));
            let hosts: BTreeSet<_> = table.shares.keys().chain(old.into_iter().flat_map(|table| table.shares.keys())).collect();
            for host in hosts {
                let names: BTreeSet<_> = rows(after)
                    .into_iter()
                    .chain(rows(before))
                    .filter(|row| row.service == *service && row.host == *host)
                    .map(|row| (row.version, row.run, row.container))
                    .collect();
                let mut told = BTreeSet::new();
                for (version, run, container) in names {
                    let of = |table: Option<&RouteTable>| table.map_or(0, |table| table.weight_of(host, &container));
                    let (was, is) = (of(old), of(Some(table)));
                    if was != is && told.insert((version.clone(), run)) {
                        lines.push(format!("~ weight of {service} {version} on {host}, by the proxy of {proxy}: {was} → {is}"));
                    }
                }
            }
        }
    }
    lines
}
