//! Reading: what runs, what it answers, what the operator's machine says.

use std::collections::BTreeMap;

use rhai::{Array, Dynamic, Map};

use super::{Arguments, Caller, Function, Trouble, health::path_of_url, starting::by_host, traffic};
use crate::{
    failure::Failure,
    model::{Container, ContainerName, Host, Invalid, Period, Release, Service, url::has_authority},
    op::{self, Found, HttpTarget, Sought, TrafficCount},
    script::{
        options::{Options, shown, unknown},
        values::{fields, release::value},
    },
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "running",
        parameters: &["service", "hosts"],
        returns: "Release",
        doc: "All containers with traffic as one Release, or `()`; of a service without proxy, all that run.",
        body: running,
    },
    Function {
        name: "releases",
        parameters: &["service", "hosts"],
        returns: "Array",
        doc: "One Release for each deploy, newest first, stopped ones too.",
        body: releases,
    },
    Function {
        name: "weights",
        parameters: &["service", "hosts"],
        returns: "Array",
        doc: "Who gets how much of the traffic: a table that `set_weights` takes.",
        body: weights,
    },
    Function {
        name: "logs",
        parameters: &["release", "lines"],
        returns: "Array",
        doc: "The last log lines of each container: `[#{ container, text }]`.",
        body: logs,
    },
    Function {
        name: "traffic",
        parameters: &["release", "during", "options?"],
        returns: "Map",
        doc: "Waits and counts exactly that window of a release's traffic: `#{ requests, errors, error_rate, p50, p95 }`, times in ms.",
        body: measured,
    },
    Function {
        name: "http_get",
        parameters: &["url", "options?"],
        returns: "Map",
        doc: "Gets a page: `#{ code, body, seconds }`. `[release, path]` asks every container, from its host, and returns an array.",
        body: http_get,
    },
    Function {
        name: "history",
        parameters: &["service", "hosts"],
        returns: "Array",
        doc: "What was deployed, newest first: `[#{ version, image, run, at, by }]`.",
        body: history,
    },
    Function { name: "reachable", parameters: &["hosts"], returns: "Array", doc: "Those of the hosts that answer.", body: reachable },
];

fn find(caller: &Caller<'_>, arguments: &Arguments<'_>, sought: Sought) -> Result<(Service, Vec<Host>, Vec<Found>), Trouble> {
    let (service, hosts) = (arguments.service(0)?, arguments.hosts(1)?);
    let find = |host: &Host| op::Find {
        host: host.clone(),
        project: caller.session.project(),
        service: service.name.clone(),
        proxies: service.proxies(std::slice::from_ref(host)).to_vec(),
        sought,
    };
    let found = caller.perform_on(hosts.is_array, hosts.list.iter().map(find).collect())?;
    Ok((service, hosts.list, found))
}

fn running(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let (service, hosts, found) = find(caller, arguments, Sought::Running)?;
    let serves = |found: &Found, container: &Container| {
        if service.has_proxy() { found.weights.get(&container.name).is_some_and(|weight| *weight > 0) } else { container.is_running() }
    };
    let serving: Vec<Container> =
        found.iter().flat_map(|found| found.containers.iter().filter(|container| serves(found, container)).cloned()).collect();
    let weights = weights_of(&found);
    let release = Release::of(&service, &hosts, serving, weights);
    if let Some(release) = &release {
        caller.session.current().previous = release.version().map(ToString::to_string);
    }
    Ok(value(release))
}

fn releases(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let (service, hosts, found) = find(caller, arguments, Sought::Releases)?;
    let mut groups: BTreeMap<_, Vec<Container>> = BTreeMap::new();
    for container in found.iter().flat_map(|found| &found.containers) {
        groups.entry((container.run.clone(), container.version.clone())).or_default().push(container.clone());
    }
    let mut groups: Vec<Vec<Container>> = groups.into_values().collect();
    groups.sort_by_cached_key(|containers| {
        let newest = containers.iter().map(|container| container.deployed_at.clone()).max();
        std::cmp::Reverse((newest, containers.first().map(|first| first.run.clone())))
    });
    let release = |containers: Vec<Container>| Release::of(&service, &hosts, containers, weights_of(&found)).map(Dynamic::from);
    Ok(groups.into_iter().filter_map(release).collect::<Array>().into())
}

fn weights(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let (service, hosts, found) = find(caller, arguments, Sought::Weights)?;
    let found: Vec<(&Host, Found)> = hosts.iter().zip(found).collect();
    Ok(traffic::rows(&service, &hosts, &found).into())
}

/// What each container's release weighs on its host.
fn weights_of(found: &[Found]) -> BTreeMap<ContainerName, u64> {
    found.iter().flat_map(|found| found.weights.clone()).collect()
}

fn logs(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let (release, lines) = (arguments.release(0)?, arguments.whole(1)?);
    let lines = u32::try_from(lines).ok().filter(|lines| (1..=100_000).contains(lines));
    let lines = lines.ok_or_else(|| {
        Failure::refused(format!("logs: `lines` is a whole number from 1 to 100000, and got {}", shown(&arguments.value(1))))
    })?;
    let Some(release) = release else { return Ok(Array::new().into()) };
    let logs = |(host, containers): (&Host, Vec<ContainerName>)| op::Logs { host: host.clone(), containers, lines };
    let texts = caller.perform_each(by_host(&release).map(logs).collect())?;
    let shown = |log: op::LogText| fields([("container", log.container.to_string().into()), ("text", log.text.into())]);
    Ok(texts.into_iter().flatten().map(shown).collect::<Array>().into())
}

fn measured(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let (release, during, options) = (arguments.release(0)?, arguments.some_time(1)?, arguments.options()?);
    let assume = options.get("assume").map(|_| assumed(&options.map("assume"))).transpose()?;
    let Some(release) = release else { return Ok(summary(&[])) };
    if !release.service.has_proxy() {
        return Err(Failure::refused(format!("the service {} has no proxy that could count its traffic", release.service.name)).into());
    }
    let window = |proxy: &Host, containers: Vec<ContainerName>| op::Traffic {
        proxy: proxy.clone(),
        project: caller.session.project(),
        service: release.service.name.clone(),
        containers,
        during,
        assume: assume.clone(),
    };
    let all = || release.containers.iter().map(|container| container.name.clone()).collect();
    let windows = match &release.service.balancer {
        crate::model::Balancer::Hosts(proxies) => proxies.iter().map(|proxy| window(proxy, all())).collect(),
        _ => by_host(&release).map(|(host, containers)| window(host, containers)).collect(),
    };
    Ok(summary(&caller.perform_each(windows)?))
}

fn assumed(map: &Map) -> Result<TrafficCount, Trouble> {
    const KEYS: &[&str] = &["requests", "errors", "p50", "p95"];
    let mut numbers: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, value) in map {
        let key =
            KEYS.iter().find(|key| **key == name.as_str()).ok_or_else(|| unknown(&format!("`assume` has no `{name}`"), name, KEYS))?;
        let number = value.as_int().ok().and_then(|number| u64::try_from(number).ok());
        numbers.insert(key, number.ok_or_else(|| Invalid::new("assumed count", shown(value), "a whole number from 0 on"))?);
    }
    let requests = numbers.get("requests").copied().unwrap_or(0);
    let usual = numbers.get("p50").copied().unwrap_or(0);
    let slow = numbers.get("p95").copied().unwrap_or(usual);
    let slow_count = requests / 10;
    let mut milliseconds = BTreeMap::from([(usual, requests - slow_count)]);
    *milliseconds.entry(slow).or_insert(0) += slow_count;
    milliseconds.retain(|_, count| *count > 0);
    Ok(TrafficCount { requests, errors: numbers.get("errors").copied().unwrap_or(0), milliseconds })
}

/// What several proxies counted, together.
#[expect(clippy::cast_precision_loss, reason = "a rate, for comparing")]
fn summary(counts: &[TrafficCount]) -> Dynamic {
    let whole = |number: u64| Dynamic::from(i64::try_from(number).unwrap_or(i64::MAX));
    let requests: u64 = counts.iter().map(|count| count.requests).sum();
    let errors: u64 = counts.iter().map(|count| count.errors).sum();
    let mut milliseconds: BTreeMap<u64, u64> = BTreeMap::new();
    for (time, count) in counts.iter().flat_map(|count| &count.milliseconds) {
        *milliseconds.entry(*time).or_insert(0) += count;
    }
    let rate = if requests == 0 { 0.0 } else { errors as f64 / requests as f64 };
    fields([
        ("requests", whole(requests)),
        ("errors", whole(errors)),
        ("error_rate", rate.into()),
        ("p50", whole(percentile(&milliseconds, 50))),
        ("p95", whole(percentile(&milliseconds, 95))),
    ])
}

/// The smallest time that so many percent of the requests did not exceed (nearest rank); 0 where there are none.
fn percentile(milliseconds: &BTreeMap<u64, u64>, percent: u64) -> u64 {
    let rank = milliseconds.values().sum::<u64>().saturating_mul(percent).div_ceil(100);
    let mut seen = 0;
    milliseconds
        .iter()
        .find(|(_, count)| {
            seen += **count;
            seen >= rank
        })
        .map_or(0, |(time, _)| *time)
}

fn http_get(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let options = arguments.options()?;
    let timeout = options.period("timeout").unwrap_or(Period::seconds(10));
    let (assume, assume_body) = assumed_page(&options);
    let get = |target| op::HttpGet { target, timeout, assume, assume_body: assume_body.clone() };
    let shown = |page: op::HttpResponse| {
        fields([("code", i64::from(page.code).into()), ("body", page.body.into()), ("seconds", page.seconds.into())])
    };
    if !arguments.value(0).is_array() {
        let url = arguments.plain(0)?;
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        if !rest.is_some_and(|rest| has_authority(rest) && url.chars().all(|character| character.is_ascii_graphic())) {
            return Err(Invalid::new("URL", url, "http://HOST… or https://HOST:PORT…, without spaces").into());
        }
        let via = options.get("via").and_then(|via| via.clone().try_cast::<Host>());
        return Ok(shown(caller.perform(get(HttpTarget::Url { url, via }))?));
    }
    let list = arguments.list(0)?;
    let [release, path] = list.as_slice() else { return Err(arguments.mismatch()) };
    let path = path.flatten_clone().into_string().map_err(|_| arguments.mismatch())?;
    path_of_url(&path)?;
    let release = release.flatten_clone();
    if release.is_unit() {
        return Ok(Array::new().into());
    }
    let release = release.try_cast::<Release>().ok_or_else(|| arguments.mismatch())?;
    let pages = container_targets(&release, &path)?.into_iter().map(get).collect();
    Ok(caller.perform_all(pages)?.into_iter().map(shown).collect::<Array>().into())
}

/// The code and the body that a dry run takes for the answer.
fn assumed_page(options: &Options) -> (Option<u16>, Option<String>) {
    let map = options.map("assume");
    let code = map.get("code").and_then(|code| u16::try_from(code.as_int().ok()?).ok());
    let body = map.get("body").and_then(|body| body.clone().into_string().ok());
    (code.or_else(|| options.whole("assume")), body)
}

fn container_targets(release: &Release, path: &str) -> Result<Vec<HttpTarget>, Failure> {
    let target = |container: &Container| {
        let host = release.hosts.iter().find(|host| host.name == container.host);
        let (Some(host), Some(port)) = (host, container.port) else {
            return Err(Failure::refused(format!("{} publishes no port that could be asked", container.name)).on(&container.host));
        };
        Ok(HttpTarget::Container {
            host: host.clone(),
            container: container.name.clone(),
            address: container.address.clone(),
            port,
            path: path.into(),
        })
    };
    release.containers.iter().map(target).collect()
}

fn history(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let (service, hosts) = (arguments.service(0)?, arguments.hosts(1)?);
    let read = |host: &Host| op::HistoryOf { host: host.clone(), project: caller.session.project(), service: service.name.clone() };
    let mut entries: Vec<_> = caller.perform_on(hosts.is_array, hosts.list.iter().map(read).collect())?.into_iter().flatten().collect();
    entries.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.cmp(b)));
    // A rolling deploy is recorded host by host, each at its own time, and is still one deploy.
    let mut known = Vec::new();
    entries.retain(|entry| {
        let id = (entry.run.clone(), entry.version.clone());
        let is_new = !known.contains(&id);
        known.push(id);
        is_new
    });
    let shown = |entry: crate::model::HistoryEntry| {
        fields([
            ("version", entry.version.to_string().into()),
            ("image", entry.image.into()),
            ("run", entry.run.to_string().into()),
            ("at", entry.at.into()),
            ("by", entry.by.into()),
        ])
    };
    Ok(entries.into_iter().map(shown).collect::<Array>().into())
}

fn reachable(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let hosts = arguments.hosts(0)?;
    let answers = caller.perform_on(hosts.is_array, hosts.list.iter().map(|host| op::Reachable { host: host.clone() }).collect())?;
    Ok(hosts.list.into_iter().zip(answers).filter(|(_, answers)| *answers).map(|(host, _)| Dynamic::from(host)).collect::<Array>().into())
}
