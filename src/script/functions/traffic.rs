//! `set_weights`, `weights` and `preview`: who gets how much of the traffic, and who is reached besides.

use std::collections::{BTreeMap, BTreeSet};

use rhai::{Array, Dynamic};

use super::{Arguments, Caller, Function, Trouble};
use crate::{
    failure::Failure,
    model::{Balancer, Container, ContainerName, Front, Host, HostName, Mark, Preview, Release, ReleaseId, Service, Share},
    op,
    script::{options::shown, values::type_word},
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "set_weights",
        parameters: &["table", "options?"],
        returns: "",
        doc: "Splits the traffic of the hosts that these releases are on: `[[release, weight], …]`, whole numbers from 0 on.\n\
          A release there with 0 or not named gets none; other hosts' entries stay. In force when it returns.",
        body: set_weights,
    },
    Function {
        name: "preview",
        parameters: &["release", "options?"],
        returns: "",
        doc: "Lets requests with a header or cookie reach a release, whatever its weight: for tests before it has traffic.",
        body: preview,
    },
];

/// The largest weight: sums of them stay far below what a proxy can count.
const MOST: i64 = 1_000_000;

fn set_weights(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let table = table(arguments)?;
    let options = arguments.options()?;
    let sticky = options.text("sticky").map(cookie).transpose()?;
    let Some(service) = table.first().map(|(release, _)| release.service.clone()) else { return Ok(Dynamic::UNIT) };
    if let Some((other, _)) = table.iter().find(|(release, _)| release.service.name != service.name) {
        return Err(Failure::refused(format!(
            "a table is about one service, and this one names {} and {}",
            service.name, other.service.name
        ))
        .hint("call set_weights once for each service")
        .into());
    }
    if !service.has_proxy() {
        return Err(Failure::refused(format!("the service {} has no proxy: there is nothing to weigh", service.name))
            .hint("`service.has_proxy` tells; a service with a port and without balancer: \"none\" has one")
            .into());
    }
    let (hosts, shares) = shares(&table)?;
    let front = Front { sticky, ..service.front() };
    let change = |proxy: &Host, hosts: Vec<Host>, changes: BTreeMap<HostName, Vec<Share>>| op::SetWeights {
        proxy: proxy.clone(),
        project: caller.session.project(),
        service: service.name.clone(),
        front: front.clone(),
        changes,
        hosts,
        allow_downtime: options.bool("allow_downtime").unwrap_or(false),
        removes_empty: false,
    };
    let changes: Vec<op::SetWeights> = match &service.balancer {
        Balancer::Hosts(balancers) => balancers.iter().map(|proxy| change(proxy, hosts.clone(), shares.clone())).collect(),
        _ => hosts
            .iter()
            .map(|host| {
                let of_host = shares.get(&host.name).cloned().unwrap_or_default();
                change(host, vec![host.clone()], BTreeMap::from([(host.name.clone(), of_host)]))
            })
            .collect(),
    };
    if changes.len() > 1 {
        let test = |change: &op::SetWeights| op::TestWeights {
            proxy: change.proxy.clone(),
            project: change.project.clone(),
            service: change.service.clone(),
            front: change.front.clone(),
            changes: change.changes.clone(),
        };
        caller.perform_all(changes.iter().map(test).collect())?;
    }
    caller.perform_each(changes)?;
    Ok(Dynamic::UNIT)
}

fn preview(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let (release, options) = (arguments.release(0)?, arguments.options()?);
    let mark = match (options.text("header"), options.text("cookie")) {
        (Some(header), None) => Mark::header(&header)?,
        (None, Some(cookie)) => Mark::cookie(&cookie)?,
        _ => {
            return Err(Failure::refused("`preview` takes one of the options `header` and `cookie`")
                .hint("preview(release, #{ header: \"X-Preview: v2\" })")
                .into());
        }
    };
    let Some(release) = release else { return Ok(Dynamic::UNIT) };
    let service = &release.service;
    if !service.has_proxy() {
        return Err(Failure::refused(format!("the service {} has no proxy that a request could reach it by", service.name)).into());
    }
    let (hosts, shares) = shares(&[(release.clone(), 1)])?;
    let of_host = |host: &Host| -> Vec<Preview> {
        let shares = shares.get(&host.name).cloned().unwrap_or_default();
        shares.into_iter().map(|Share { release, containers, .. }| Preview { mark: mark.clone(), release, containers }).collect()
    };
    let change = |proxy: &Host, hosts: &[Host]| op::Preview {
        proxy: proxy.clone(),
        project: caller.session.project(),
        service: service.name.clone(),
        front: service.front(),
        mark: mark.clone(),
        changes: hosts.iter().map(|host| (host.name.clone(), of_host(host))).collect(),
        hosts: hosts.to_vec(),
        removes_empty: false,
    };
    caller.perform_each(match &service.balancer {
        Balancer::Hosts(balancers) => balancers.iter().map(|proxy| change(proxy, &hosts)).collect(),
        _ => hosts.iter().map(|host| change(host, std::slice::from_ref(host))).collect(),
    })?;
    Ok(Dynamic::UNIT)
}

/// The rows with a release, each with its weight.
fn table(arguments: &Arguments<'_>) -> Result<Vec<(Release, u64)>, Trouble> {
    let mut rows = Vec::new();
    for (index, row) in arguments.list(0)?.iter().enumerate() {
        let wrong = |got: String| Failure::refused(format!("the table is [[release, weight], …], and has {got} at [{index}]"));
        let row = row.flatten_clone();
        let row = row.read_lock::<Array>().ok_or_else(|| wrong(type_word(&row)))?;
        let [release, weight] = row.as_slice() else { return Err(wrong(format!("a row of {} values", row.len())).into()) };
        let (release, weight) = (release.flatten_clone(), weight.flatten_clone());
        let number = weight.as_int().ok().filter(|number| (0..=MOST).contains(number)).and_then(|number| u64::try_from(number).ok());
        let Some(number) = number else {
            return Err(Failure::refused(format!("a weight is a whole number from 0 to {MOST}, and [{index}] has {}", shown(&weight)))
                .hint("weights are shares: [[old, 95], [new, 5]] gives new 5 %")
                .into());
        };
        if !release.is_unit() {
            let got = type_word(&release);
            rows.push((release.try_cast::<Release>().ok_or_else(|| wrong(format!("{got} in place of a release")))?, number));
        }
    }
    Ok(rows)
}

type Shares = (Vec<Host>, BTreeMap<HostName, Vec<Share>>);

/// The hosts of all releases in the table, and each one's shares.
fn shares(table: &[(Release, u64)]) -> Result<Shares, Failure> {
    let mut hosts: Vec<Host> = Vec::new();
    for host in table.iter().flat_map(|(release, _)| &release.hosts) {
        if !hosts.iter().any(|known| known.name == host.name) {
            hosts.push(host.clone());
        }
    }
    let shares = hosts.iter().map(|host| Ok((host.name.clone(), shares_on(&host.name, table)?))).collect::<Result<_, Failure>>()?;
    Ok((hosts, shares))
}

/// One host's shares. A row's weight is divided equally among its containers, so a row of several releases is split by how many
/// containers each has, over a common multiple that keeps the proportions exact.
fn shares_on(host: &HostName, table: &[(Release, u64)]) -> Result<Vec<Share>, Failure> {
    let mut named: BTreeSet<&ContainerName> = BTreeSet::new();
    let mut rows: Vec<(u64, BTreeMap<ReleaseId, Vec<&Container>>)> = Vec::new();
    for (release, weight) in table {
        let mut groups: BTreeMap<ReleaseId, Vec<&Container>> = BTreeMap::new();
        for container in release.containers.iter().filter(|container| &container.host == host) {
            if !named.insert(&container.name) {
                return Err(Failure::refused(format!("the table names {} twice", container.name))
                    .on(host)
                    .hint("`a - b` is what of a is not in b"));
            }
            let id = ReleaseId { run: container.run.clone(), version: container.version.clone() };
            groups.entry(id).or_default().push(container);
        }
        rows.push((*weight, groups));
    }
    rows.retain(|(weight, groups)| *weight > 0 && !groups.is_empty());
    let multiple =
        rows.iter().filter(|(_, groups)| groups.len() > 1).fold(1u64, |multiple, (_, groups)| multiple.saturating_mul(count(groups)));
    let mut shares = Vec::new();
    for (weight, groups) in rows {
        let all = count(&groups);
        for (release, containers) in groups {
            let part = if all == containers.len() as u64 { multiple } else { (multiple / all).saturating_mul(containers.len() as u64) };
            let containers = containers
                .into_iter()
                .map(|container| {
                    container.endpoint().ok_or_else(|| {
                        Failure::refused(format!("{} publishes no port, so no proxy can reach it", container.name))
                            .on(host)
                            .hint("give its service a port and start it anew")
                    })
                })
                .collect::<Result<_, Failure>>()?;
            shares.push(Share { release, weight: weight.saturating_mul(part), containers });
        }
    }
    Ok(shares)
}

fn count(groups: &BTreeMap<ReleaseId, Vec<&Container>>) -> u64 {
    groups.values().map(|containers| containers.len() as u64).sum()
}

/// Checks a cookie's name (RFC 6265's token, without what nginx's variables cannot hold).
fn cookie(name: String) -> Result<String, Failure> {
    if (1..=64).contains(&name.len()) && name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_') {
        return Ok(name);
    }
    Err(Failure::refused(format!("{name:?} is not a cookie's name for `sticky`: letters, digits and `_`")))
}

/// The rows that give these containers the weights that they were found with. Hosts on which a release has the same weight
/// stand in one row.
pub(super) fn rows(service: &Service, hosts: &[Host], found: &[(&Host, op::Found)]) -> Array {
    let id = |container: &Container| ReleaseId { run: container.run.clone(), version: container.version.clone() };
    // A release is as old as the newest of its containers: each host's are made at their own time.
    let mut newest: BTreeMap<ReleaseId, &str> = BTreeMap::new();
    for container in found.iter().flat_map(|(_, found)| &found.containers) {
        let known = newest.entry(id(container)).or_default();
        *known = (*known).max(&container.deployed_at);
    }
    let mut rows: BTreeMap<(std::cmp::Reverse<&str>, ReleaseId, u64), Vec<Container>> = BTreeMap::new();
    for (_, found) in found {
        for container in &found.containers {
            let weight = found.weights.get(&container.name).copied().unwrap_or(0);
            if weight > 0 || found.previews.contains_key(&container.name) {
                let id = id(container);
                rows.entry((std::cmp::Reverse(newest[&id]), id, weight)).or_default().push(container.clone());
            }
        }
    }
    rows.into_iter()
        .filter_map(|((_, _, weight), containers)| {
            let weights = containers.iter().map(|container| (container.name.clone(), weight)).collect();
            let release = Release::of(service, hosts, containers, weights)?;
            let weight = i64::try_from(weight).unwrap_or(MOST);
            Some(Dynamic::from_array(vec![Dynamic::from(release), weight.into()]))
        })
        .collect()
}
