//! `build`, `ship`, `healthcheck`, `drain`, `stop`, `remove`.

use rhai::Dynamic;

use super::{Arguments, Caller, Function, Trouble, declare, health::with_times, starting::by_host};
use crate::{
    failure::Failure,
    model::{Balancer, ContainerName, Health, Host, Invalid, Period, Release, Version},
    op,
    script::{options::Options, session::lock, values::fields},
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "build",
        parameters: &["service", "options?"],
        returns: "Image",
        doc: "Builds the service's image with `docker build`; its version is the short commit unless `tag` is given.",
        body: build,
    },
    Function {
        name: "ship",
        parameters: &["image", "hosts"],
        returns: "Map",
        doc: "Puts an image on hosts, sending only the layers that they lack: `#{ sent, reused, seconds }`.",
        body: ship,
    },
    Function {
        name: "healthcheck",
        parameters: &["release", "options?"],
        returns: "Map",
        doc: "Waits until every container is healthy: `#{ seconds, checks }`.",
        body: healthcheck,
    },
    Function {
        name: "drain",
        parameters: &["release", "options?"],
        returns: "Map",
        doc: "Takes a release out of the traffic and waits until nothing to it is in flight: `#{ waited, cut }`.",
        body: drain,
    },
    Function {
        name: "stop",
        parameters: &["release", "options?"],
        returns: "",
        doc: "Stops a release's containers and keeps them for a rollback.",
        body: stop,
    },
    Function { name: "remove", parameters: &["release", "options?"], returns: "", doc: "Deletes a release's containers.", body: remove },
];

fn build(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let service = arguments.service(0)?;
    let options = arguments.options()?;
    let version = match options.text("tag") {
        Some(tag) => Version::new(tag)?,
        None => Version::new(version_of_tree(caller, options.bool("allow_dirty").unwrap_or(false))?)?,
    };
    let local = || Host::parse("local");
    let on = match options.get("on").and_then(|on| on.clone().try_cast::<Host>()) {
        Some(host) => host,
        None => local()?,
    };
    let path = |key: &str| options.text(key).map(|path| declare::file_path(key, path)).transpose();
    let build = op::Build {
        on: on.clone(),
        image: service.image.clone(),
        version: version.clone(),
        context: path("context")?.unwrap_or_else(|| ".".into()),
        dockerfile: path("dockerfile")?,
        target: options.text("target").map(|target| word("build target", target)).transpose()?,
        args: declare::variables(&caller.session, &options.map("args"))?,
        secrets: declare::variables(&caller.session, &options.map("secrets"))?,
        platform: options.text("platform").map(platform).transpose()?,
    };
    let image = caller.perform(build)?;
    lock(&caller.session.circumstances().built).insert(image.reference.clone(), on);
    let mut current = caller.session.current();
    current.service = Some(service.name.to_string());
    current.version = Some(version.to_string());
    Ok(Dynamic::from(image))
}

fn version_of_tree(caller: &Caller<'_>, allow_dirty: bool) -> Result<String, Trouble> {
    let git = caller.perform(op::Git {})?;
    match (git.dirty, allow_dirty) {
        (false, _) => Ok(git.short),
        (true, true) => Ok(format!("{}-dirty-{}", git.short, git.difference)),
        (true, false) => Err(Failure::failed(format!("the working tree differs from its commit {}", git.short))
            .hint("commit first, or build it as it is with allow_dirty: true")
            .into()),
    }
}

fn platform(text: String) -> Result<String, Invalid> {
    let part = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let parts: Vec<&str> = text.split('/').collect();
    if (2..=3).contains(&parts.len()) && parts.iter().all(|text| part(text)) {
        return Ok(text);
    }
    Err(Invalid::new("platform", text, "OS/ARCHITECTURE, such as \"linux/amd64\""))
}

fn word(what: &'static str, text: String) -> Result<String, Invalid> {
    if text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c)) {
        return Ok(text);
    }
    Err(Invalid::new(what, text, "letters, digits, `_`, `.` and `-`, a letter or digit first"))
}

fn ship(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let (image, hosts) = (arguments.image(0)?, arguments.some_hosts(1)?);
    let from = match lock(&caller.session.circumstances().built).get(&image.reference).cloned() {
        Some(host) => host,
        None => Host::parse("local")?,
    };
    let ship =
        |host: &Host| op::Ship { host: host.clone(), from: from.clone(), reference: image.reference.clone(), digest: image.digest.clone() };
    let shipped = caller.perform_on(hosts.is_array, hosts.list.iter().map(ship).collect())?;
    let count = |bytes: u64| Dynamic::from(i64::try_from(bytes).unwrap_or(i64::MAX));
    let shown = |shipped: op::Shipped| {
        fields([("sent", count(shipped.sent)), ("reused", count(shipped.reused)), ("seconds", shipped.seconds.into())])
    };
    Ok(hosts.results(shipped.into_iter().map(shown).collect()))
}

fn healthcheck(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let (release, options) = (arguments.release(0)?, arguments.options()?);
    let checks = match &release {
        Some(release) => caller.perform_each(checks(caller, release, &options))?,
        None => Vec::new(),
    };
    let seconds = checks.iter().map(|checks| checks.seconds).fold(0.0, f64::max);
    let count: u64 = checks.iter().map(|checks| checks.checks).sum();
    Ok(fields([("seconds", seconds.into()), ("checks", i64::try_from(count).unwrap_or(i64::MAX).into())]))
}

/// One op for the containers of a host that have the same health check; mostly that is one op a host.
fn checks(caller: &Caller<'_>, release: &Release, options: &Options) -> Vec<op::Healthcheck> {
    let mut checks: Vec<op::Healthcheck> = Vec::new();
    for host in &release.hosts {
        let mut groups: Vec<(&Health, Vec<ContainerName>)> = Vec::new();
        for container in release.containers.iter().filter(|container| container.host == host.name) {
            match groups.iter_mut().find(|(health, _)| **health == container.health) {
                Some((_, names)) => names.push(container.name.clone()),
                None => groups.push((&container.health, vec![container.name.clone()])),
            }
        }
        checks.extend(groups.into_iter().map(|(health, containers)| op::Healthcheck {
            host: host.clone(),
            project: caller.session.project(),
            service: release.service.name.clone(),
            containers,
            health: with_times(health.clone(), options),
        }));
    }
    checks
}

fn drain(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let (release, options) = (arguments.release(0)?, arguments.options()?);
    let on_timeout = if options.text("on_timeout").as_deref() == Some("fail") { op::OnTimeout::Fail } else { op::OnTimeout::Proceed };
    let drain = |release: &Release, host: &Host, containers| op::Drain {
        host: host.clone(),
        project: caller.session.project(),
        service: release.service.name.clone(),
        containers,
        others: others(release, host),
        proxies: proxies(release, host),
        timeout: options.period("timeout").unwrap_or(Period::seconds(30)),
        on_timeout,
        allow_downtime: options.bool("allow_downtime").unwrap_or(false),
    };
    let drained = match &release {
        Some(release) => caller.perform_each(by_host(release).map(|(host, containers)| drain(release, host, containers)).collect())?,
        None => Vec::new(),
    };
    let waited = drained.iter().map(|drained| drained.waited).fold(0.0, f64::max);
    let cut: u64 = drained.iter().map(|drained| drained.cut).sum();
    Ok(fields([("waited", waited.into()), ("cut", i64::try_from(cut).unwrap_or(i64::MAX).into())]))
}

fn stop(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let (release, options) = (arguments.release(0)?, arguments.options()?);
    let Some(release) = release else { return Ok(Dynamic::UNIT) };
    let stop = |(host, containers): (&Host, Vec<ContainerName>)| op::Stop {
        host: host.clone(),
        project: caller.session.project(),
        service: release.service.name.clone(),
        containers,
        proxies: proxies(&release, host),
        timeout: options.period("timeout").unwrap_or(release.service.stop_timeout),
        allow_downtime: options.bool("allow_downtime").unwrap_or(false),
    };
    caller.perform_each(by_host(&release).map(stop).collect())?;
    Ok(Dynamic::UNIT)
}

fn remove(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let (release, options) = (arguments.release(0)?, arguments.options()?);
    let Some(release) = release else { return Ok(Dynamic::UNIT) };
    let remove = |(host, containers): (&Host, Vec<ContainerName>)| op::Remove {
        host: host.clone(),
        project: caller.session.project(),
        service: release.service.name.clone(),
        containers,
        proxies: proxies(&release, host),
        allow_downtime: options.bool("allow_downtime").unwrap_or(false),
    };
    caller.perform_each(by_host(&release).map(remove).collect())?;
    Ok(Dynamic::UNIT)
}

/// The proxies that serve a release's containers on this host.
fn proxies(release: &Release, host: &Host) -> Vec<Host> {
    release.service.proxies(std::slice::from_ref(host)).to_vec()
}

/// A release's containers on other hosts than this, where they share its proxies.
fn others(release: &Release, host: &Host) -> Vec<ContainerName> {
    let shared = matches!(release.service.balancer, Balancer::Hosts(_));
    let elsewhere = release.containers.iter().filter(|container| shared && container.host != host.name);
    elsewhere.map(|container| container.name.clone()).collect()
}
