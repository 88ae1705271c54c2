//! Declaring: projects, hosts, services, images.

use std::{collections::BTreeMap, net::IpAddr};

use rhai::{Array, Dynamic, ImmutableString, Map};

use super::{Arguments, Caller, Function, Trouble, config::Config};
use crate::{
    executor::live::takes_docker_options,
    failure::Failure,
    model::{
        Balancer, Bytes, Check, Health, Host, Image, Invalid, Period, ProjectName, Proxy, ProxyKind, Service, ServiceFacts, ServiceName,
        Text, Tls, Version,
    },
    nginx_file::names,
    script::{
        options::{Options, plain, unknown},
        service::{Contradiction, Given, contradictions},
        session::{Session, lock},
        values::json,
    },
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "project",
        parameters: &["name", "options?"],
        returns: "string",
        doc: "Names the project whose deploys these are; before the first service.",
        body: project,
    },
    Function {
        name: "host",
        parameters: &["address", "options?"],
        returns: "Host",
        doc: "A machine with a Docker engine: \"user@name:port\", an ssh-config alias, or \"local\".",
        body: host,
    },
    Function {
        name: "hosts",
        parameters: &["addresses", "options?"],
        returns: "Array",
        doc: "Several hosts with the same options.",
        body: hosts,
    },
    Function {
        name: "service",
        parameters: &["name", "options?"],
        returns: "Service",
        doc: "What is deployed. `config().service(name)` is one that the project's podlift.yml describes.",
        body: service,
    },
    Function {
        name: "image",
        parameters: &["reference"],
        returns: "Image",
        doc: "An image that was built elsewhere, by its reference.",
        body: image,
    },
];

fn project(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let name = arguments.plain(0)?;
    name_project(caller, &name)?;
    lock(&caller.session.circumstances().project).reconnect = arguments.options()?.period("reconnect");
    Ok(name.into())
}

/// Names the project, before its first service.
pub(super) fn name_project(caller: &Caller<'_>, name: &str) -> Result<(), Trouble> {
    let name = ProjectName::new(name)?;
    let mut project = lock(&caller.session.circumstances().project);
    if project.is_used && project.name != name {
        return Err(Failure::refused(format!("the project cannot become {name} here: services of {} are declared already", project.name))
            .hint("call project(…) before the first service(…)")
            .into());
    }
    project.name = name;
    Ok(())
}

fn host(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    Ok(Dynamic::from(declared_host(caller, &arguments.plain(0)?, &arguments.options()?)?))
}

/// A host that the script declares.
pub(super) fn declared_host(caller: &Caller<'_>, address: &str, options: &Options) -> Result<Host, Trouble> {
    let host = declared(address, options)?;
    remember(caller, &host);
    Ok(host)
}

fn hosts(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let options = arguments.options()?;
    let mut declared_hosts: Vec<Host> = Vec::new();
    for address in arguments.list(0)? {
        let address = address.flatten_clone();
        let wrong = || arguments.wrong_element("addresses", declared_hosts.len(), &address, "an address such as \"deploy@10.0.0.11\"");
        let address = address.clone().try_cast::<ImmutableString>().ok_or_else(wrong)?;
        plain(&address).map_err(|problem| Failure::refused(format!("a host's address {problem}")))?;
        let host = declared(&address, &options)?;
        if declared_hosts.iter().any(|other| other.name == host.name) {
            return Err(Failure::refused(format!("the host {} is named twice", host.name)).into());
        }
        declared_hosts.push(host);
    }
    if declared_hosts.is_empty() {
        return Err(Failure::refused("no host is named, and a deploy to none would do nothing and pass")
            .hint("name at least one; where they come from a parameter or an environment variable, see whether that is set")
            .into());
    }
    for host in &declared_hosts {
        remember(caller, host);
    }
    Ok(declared_hosts.into_iter().map(Dynamic::from).collect::<Array>().into())
}

fn remember(caller: &Caller<'_>, host: &Host) {
    let mut current = caller.session.current();
    if !current.hosts.contains(&host.name) {
        current.hosts.push(host.name.clone());
    }
}

fn declared(address: &str, options: &Options) -> Result<Host, Trouble> {
    let mut host = Host::parse(address)?;
    host.labels = options.labels("labels");
    host.identity = options.text("identity").map(|path| file_path("identity", path)).transpose()?;
    host.sudo = options.bool("sudo");
    if let Some(bind) = options.text("bind") {
        bind.parse::<IpAddr>().map_err(|_| Invalid::new("bind address", &bind, "an IP address of the host, such as \"10.0.0.11\""))?;
        host.bind = bind;
    }
    if let Some(docker) = options.text("docker") {
        if !docker.starts_with('/') {
            return Err(Invalid::new("docker socket", docker, "an absolute path, such as \"/run/user/1000/docker.sock\"").into());
        }
        host.docker = file_path("docker", docker)?;
    }
    host.proxy = match (options.text("proxy"), options.get("proxy")) {
        (Some(word), _) => Proxy { kind: proxy_kind(&word)?, ..Proxy::default() },
        (None, Some(_)) => proxy(&options.map("proxy"))?,
        (None, None) => Proxy::default(),
    };
    Ok(host)
}

fn proxy(map: &Map) -> Result<Proxy, Trouble> {
    const KEYS: &[&str] = &["kind", "container", "command", "folder", "logs", "template"];
    let mut proxy = Proxy::default();
    for (name, value) in map {
        if !KEYS.contains(&name.as_str()) {
            return Err(unknown(&format!("a proxy has no `{name}`"), name, KEYS).into());
        }
        let text =
            value.clone().into_string().map_err(|got| Failure::refused(format!("`{name}` of a proxy is to be a string, and got {got}")))?;
        plain(&text).map_err(|problem| Failure::refused(format!("`{name}` of a proxy {problem}")))?;
        match name.as_str() {
            "kind" => proxy.kind = proxy_kind(&text)?,
            "container" => proxy.container = Some(container_name(text)?),
            "command" => proxy.command = Some(file_path("proxy command", text)?),
            "folder" => proxy.folder = Some(file_path("proxy folder", text)?),
            "logs" => proxy.logs = Some(file_path("proxy logs", text)?),
            _ => proxy.template = Some(text),
        }
    }
    Ok(proxy)
}

/// A name that Docker itself would give a container.
fn container_name(name: String) -> Result<String, Invalid> {
    let plain = |character: char| character.is_ascii_alphanumeric() || "_.-".contains(character);
    if name.starts_with(|first: char| first.is_ascii_alphanumeric()) && name.chars().all(plain) {
        return Ok(name);
    }
    Err(Invalid::new("proxy container", name, "a container's name: letters, digits, `_`, `.` and `-`, such as \"nginx\""))
}

fn proxy_kind(word: &str) -> Result<ProxyKind, Failure> {
    match word {
        "nginx" => Ok(ProxyKind::Nginx),
        _ => Err(Failure::refused(format!("podlift does not speak to {word:?}: nginx is the proxy that it knows"))
            .hint("a service with `balancer: \"none\"` has no proxy; its containers' ports are in `release.containers`")),
    }
}

fn service(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    if let Some(config) = arguments.value(0).try_cast::<Config>() {
        return Ok(Dynamic::from(config.service(&arguments.plain(1)?)?));
    }
    Ok(Dynamic::from(declared_service(caller, &arguments.plain(0)?, &arguments.options()?)?))
}

/// A service of the run's project.
pub(super) fn declared_service(caller: &Caller<'_>, name: &str, options: &Options) -> Result<Service, Trouble> {
    let name = ServiceName::new(name)?;
    let project = {
        let mut project = lock(&caller.session.circumstances().project);
        project.is_used = true;
        project.name.clone()
    };
    let port = options.whole("port");
    let health = match options.get("health").and_then(|health| health.clone().try_cast::<Health>()) {
        Some(health) if port.is_none() && matches!(health.check, Check::Http { .. } | Check::Tcp) => {
            return Err(Failure::refused(format!("the service {name} has no port that its health check could ask"))
                .hint("give it a port, or a health check by command([…])")
                .into());
        }
        Some(health) => health,
        None => Health::new(Check::None),
    };
    let image = options.text("image").unwrap_or_else(|| format!("{project}-{name}"));
    image_name(&image)?;
    let text = |key: &str, what: &'static str, rule: &str, fits: fn(&str) -> bool| checked(options.text(key), what, rule, fits);
    let service: Service = ServiceFacts {
        image,
        port,
        replicas: options.whole("replicas").unwrap_or(1),
        command: words(&caller.session, options)?,
        env: variables(&caller.session, &options.map("env"))?,
        health,
        volumes: volumes(options)?,
        network: text("network", "network", "letters, digits, `_`, `.` and `-`, a letter or digit first", is_plain_name)?,
        publish: options.whole("publish"),
        memory: memory(options)?,
        cpus: cpus(options)?,
        restart: options.text("restart").unwrap_or_else(|| "unless-stopped".into()),
        stop_timeout: options.period("stop_timeout").unwrap_or(Period::seconds(10)),
        labels: labels(options)?,
        domain: text("domain", "domain", "letters, digits, `-` and `.`, with `*.` first at most", is_domain)?,
        listen: options.whole("listen").unwrap_or(80),
        balancer: balancer(options)?,
        tls: tls(options)?,
        server: options.bool("server").unwrap_or(true),
        options: options.get("options").map(|options| json::plain(options).to_string()),
        name,
    }
    .into();
    if service.options.as_ref().is_some_and(|options| plain(options).is_err()) {
        return Err(Failure::refused("Docker's options cannot hold a secret").hint("secrets go into env").into());
    }
    if let Some(options) = &service.options {
        takes_docker_options(options)?;
    }
    let has = |option: &str| if options.get(option).is_some() { Given::Yes } else { Given::No };
    let found = contradictions(&format!("the service {}", service.name), has, service.balancer == Balancer::None);
    if let Some(Contradiction { message, hint, .. }) = found.into_iter().next() {
        return Err(Failure::refused(message).hint(hint).into());
    }
    one_port(&service, service.replicas)?;
    Ok(service)
}

/// Refuses several containers on a host that would all publish one port.
pub(super) fn one_port(service: &Service, replicas: u32) -> Result<(), Failure> {
    match (service.port, service.publish) {
        (Some(_), Some(port)) if replicas > 1 => {
            Err(Failure::refused(format!("{replicas} containers of {} on a host cannot all publish port {port}", service.name))
                .hint("leave `publish` out, and each has a port of its own; or have one replica"))
        }
        _ => Ok(()),
    }
}

/// The environment variables of an option.
pub(super) fn variables(session: &Session, map: &Map) -> Result<BTreeMap<String, Text>, Failure> {
    map.iter().map(|(name, value)| Ok((name.to_string(), session.text(without_zero(name, &value.to_string())?)))).collect()
}

/// The program and arguments of the option `command`.
pub(super) fn words(session: &Session, options: &Options) -> Result<Option<Vec<Text>>, Failure> {
    let words = options.list("command");
    words.map(|words| words.iter().map(|word| Ok(session.text(without_zero("command", &word.to_string())?))).collect()).transpose()
}

/// Refuses text that no process can be given: a zero byte ends arguments and variables (`execve(2)`).
pub(super) fn without_zero<'a>(name: &str, text: &'a str) -> Result<&'a str, Failure> {
    if text.contains('\0') {
        return Err(Failure::refused(format!("`{name}` holds a zero byte, which no argument and no variable of a process can"))
            .hint("hand it over in another form, such as base64"));
    }
    Ok(text)
}

/// The labels of an option; podlift's own cannot be given.
pub(super) fn labels(options: &Options) -> Result<BTreeMap<String, String>, Failure> {
    let labels = options.labels("labels");
    match labels.keys().find(|name| name.starts_with("podlift.") || name.is_empty()) {
        Some(name) => {
            Err(Failure::refused(format!("the label {name:?} cannot be given: labels that begin with `podlift.` are podlift's own")))
        }
        None => Ok(labels),
    }
}

fn checked(given: Option<String>, what: &'static str, rule: &str, fits: fn(&str) -> bool) -> Result<Option<String>, Invalid> {
    match given {
        Some(text) if !fits(&text) => Err(Invalid::new(what, text, rule)),
        given => Ok(given),
    }
}

fn volumes(options: &Options) -> Result<Vec<String>, Invalid> {
    let volumes = options.texts("volumes");
    if let Some(volume) = volumes.iter().find(|volume| !is_volume(volume)) {
        let rule = "SOURCE:TARGET or SOURCE:TARGET:OPTIONS, with a volume's name or an absolute path, an absolute path in the container, and \
                    options such as `ro`";
        return Err(Invalid::new("volume", volume, rule));
    }
    let target = |volume: &str| volume.split(':').nth(1).map(|target| target.trim_end_matches('/').to_owned());
    match volumes.iter().enumerate().find(|(index, volume)| volumes[..*index].iter().any(|other| target(other) == target(volume))) {
        Some((_, volume)) => Err(Invalid::new("volume here", volume, "another one has the same target")),
        None => Ok(volumes),
    }
}

/// Whether Docker takes it for a mount: of a volume, whose name has two characters at least, or of a path of the host. The
/// options are those of `docker run --volume`.
fn is_volume(volume: &str) -> bool {
    const OPTIONS: [&str; 14] = [
        "ro",
        "rw",
        "z",
        "Z",
        "shared",
        "rshared",
        "slave",
        "rslave",
        "private",
        "rprivate",
        "nocopy",
        "consistent",
        "cached",
        "delegated",
    ];
    let parts: Vec<&str> = volume.split(':').collect();
    let (source, target, words) = match parts[..] {
        [source, target] => (source, target, None),
        [source, target, words] => (source, target, Some(words)),
        _ => return false,
    };
    let is_known = |words: &str| words.is_empty() || words.split(',').all(|word| OPTIONS.contains(&word));
    let is_source = source.starts_with('/') || (source.len() > 1 && is_plain_name(source));
    is_source
        && target.starts_with('/')
        && target.contains(|character| character != '/')
        && words.is_none_or(is_known)
        && !volume.contains(char::is_control)
}

/// The least memory that Docker gives a container.
const LEAST_MEMORY: Bytes = Bytes(6 << 20);

fn memory(options: &Options) -> Result<Option<Bytes>, Invalid> {
    let memory = match options.whole("memory") {
        Some(bytes) => Some(Bytes(bytes)),
        None => options.text("memory").map(|text| Bytes::parse(&text)).transpose()?,
    };
    match memory.filter(|memory| *memory < LEAST_MEMORY) {
        Some(little) => Err(Invalid::new("memory limit", little.to_string(), "6m at least: Docker gives a container no less")),
        None => Ok(memory),
    }
}

/// In thousandths. Docker gives a container a hundredth of a CPU at least.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the option is over 0 and under a million")]
fn cpus(options: &Options) -> Result<Option<u64>, Invalid> {
    let Some(given) = options.get("cpus") else { return Ok(None) };
    let cpus = match given.as_int() {
        Ok(whole) => u64::try_from(whole).ok().map(|whole| whole * 1000),
        Err(_) => given.as_float().ok().map(|number| (number * 1000.0).round() as u64),
    };
    match cpus.filter(|cpus| *cpus < 10) {
        Some(_) => Err(Invalid::new("part of a CPU", given.to_string(), "0.01 at least: Docker gives a container no less")),
        None => Ok(cpus),
    }
}

fn balancer(options: &Options) -> Result<Balancer, Failure> {
    let Some(given) = options.get("balancer") else { return Ok(Balancer::Each) };
    if let Some(host) = given.clone().try_cast::<Host>() {
        return Ok(Balancer::Hosts(vec![host]));
    }
    let Some(hosts) = options.list("balancer") else { return Ok(Balancer::None) };
    let hosts: Vec<Host> = hosts.into_iter().filter_map(Dynamic::try_cast).collect();
    match hosts.iter().enumerate().find(|(index, host)| hosts[..*index].iter().any(|other| other.name == host.name)) {
        Some((_, host)) => Err(Failure::refused(format!("the balancer {} is named twice", host.name)).hint("name each host once")),
        None => Ok(Balancer::Hosts(hosts)),
    }
}

fn tls(options: &Options) -> Result<Option<Tls>, Failure> {
    if options.get("tls").is_none() {
        return Ok(None);
    }
    let mut given = options.labels("tls");
    let mut take = |key: &str| {
        let missing = || Failure::refused(format!("`tls` has no `{key}`")).hint("it is #{ certificate: PATH, key: PATH }");
        given.remove(key).ok_or_else(missing)
    };
    let tls = Tls { certificate: take("certificate")?, key: take("key")? };
    if let Some(key) = given.keys().next() {
        return Err(unknown(&format!("`tls` has no `{key}`"), key, &["certificate", "key"]));
    }
    names::check_path("`certificate`", &tls.certificate)?;
    names::check_path("`key`", &tls.key)?;
    Ok(Some(tls))
}

fn image(_: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    Ok(Dynamic::from(image_of(&arguments.plain(0)?)?))
}

/// The image that a reference names.
pub(super) fn image_of(reference: &str) -> Result<Image, Trouble> {
    let invalid = || Invalid::new("image reference", reference, "NAME:TAG or NAME@sha256:DIGEST");
    let (rest, digest) = match reference.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (reference, None),
    };
    let slash = rest.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match rest[slash..].split_once(':') {
        Some((last, tag)) => (&rest[..slash + last.len()], Some(tag)),
        None => (rest, None),
    };
    image_name(name).map_err(|_| invalid())?;
    let version = match (tag, digest) {
        (Some(tag), _) => tag.to_owned(),
        (None, Some(digest)) => digest.strip_prefix("sha256:").and_then(|digits| digits.get(..12)).ok_or_else(invalid)?.to_owned(),
        (None, None) => {
            return Err(Failure::refused(format!("the image reference {reference:?} has no tag"))
                .hint("write NAME:TAG: what is deployed has a version")
                .into());
        }
    };
    if digest.is_some_and(|digest| digest.len() != 71 || !digest[7..].chars().all(|digit| digit.is_ascii_hexdigit())) {
        return Err(invalid().into());
    }
    Ok(Image {
        reference: reference.to_owned(),
        digest: String::new(),
        version: Version::new(version)?,
        registry_digest: digest.map(str::to_owned),
    })
}

/// Checks an image's name without tag (distribution's reference grammar): a registry's address at most, then lowercase parts.
pub(super) fn image_name(name: &str) -> Result<(), Invalid> {
    let part = |part: &str| {
        let ends =
            |character: Option<char>| character.is_some_and(|character| character.is_ascii_lowercase() || character.is_ascii_digit());
        ends(part.chars().next())
            && ends(part.chars().next_back())
            && part.chars().all(|character| character.is_ascii_lowercase() || character.is_ascii_digit() || "._-".contains(character))
    };
    let registry = |part: &str| {
        !part.starts_with(['-', '.', ':'])
            && !part.is_empty()
            && part.chars().all(|character| character.is_ascii_alphanumeric() || ".-:[]".contains(character))
    };
    let mut parts = name.split('/');
    let first = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    let first_fits = part(first) || (!rest.is_empty() && registry(first));
    if first_fits && rest.iter().all(|rest| part(rest)) && name.len() <= 255 {
        return Ok(());
    }
    Err(Invalid::new("image name", name, "lowercase letters, digits, `.`, `_` and `-` in parts between `/`, without tag"))
}

/// Checks a path of a file, here or on a host.
pub(super) fn file_path(what: &str, path: String) -> Result<String, Failure> {
    if path.is_empty() || path.contains(char::is_control) {
        return Err(Failure::refused(format!("{path:?} is not a path for `{what}`: it is empty or holds control characters")));
    }
    Ok(path)
}

fn is_plain_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphanumeric()) && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

fn is_domain(domain: &str) -> bool {
    let name = domain.strip_prefix("*.").unwrap_or(domain);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    name.len() <= 253 && name.split('.').all(label)
}
