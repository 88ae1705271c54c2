//! A service's file at nginx, as text: its first line carries the route table, the rest is what nginx makes of it. Whoever has a
//! route table can make it, on a host, in a model and for a look at what changes.

pub mod names;
#[cfg(test)]
mod tests;
mod version;

use std::collections::BTreeMap;

use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, context, syntax::SyntaxConfig};

pub use self::version::NginxVersion;
use crate::{
    failure::Failure,
    model::{
        Container, Endpoint, Front, HostName, Mark, ProjectName, ReleaseId, RouteTable, RunId, Server, ServiceName, Share, Token, Version,
    },
};

/// What the first line begins with.
const MARK: &str = "# podlift ";

/// What a file's content depends on besides the route table: the proxy that it is for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// nginx's version.
    pub version: NginxVersion,
    /// Whether the host's kernel knows IPv6.
    pub ipv6: bool,
    /// The pre-drain flag's path, the same for all services and all generations at this proxy.
    pub flag: String,
    /// The folder of the access logs.
    pub logs: String,
    /// The project's own template in place of the built-in one.
    pub template: Option<String>,
    /// Where services show their generation: on the loopback interface, or on all addresses where the host is elsewhere.
    pub page: (&'static str, u16),
}

/// A service's files, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The file inside `http`.
    pub configuration: String,
    /// What the user's own server block includes, where podlift writes none.
    pub locations: Option<String>,
}

/// Reads the route table off a file's first line: `None` for a file that is not podlift's.
pub fn parse(text: &str) -> Result<Option<RouteTable>, serde_json::Error> {
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix(MARK).filter(|rest| rest.starts_with('{')).map(serde_json::from_str).transpose()
}

/// The path of a service's access log.
pub fn log(table: &RouteTable, folder: &str) -> String {
    format!("{}/{}.log", folder.trim_end_matches('/'), names::base(&table.project, &table.service))
}

/// Writes a service's files. Refuses values that would end a directive, and templates that cannot be rendered.
pub fn render(table: &RouteTable, settings: &Settings) -> Result<Rendered, Failure> {
    names::check(table)?;
    names::check_path("the path of nginx's pid file", &settings.flag)?;
    names::check_path("`proxy.logs`", &settings.logs)?;
    let context = values(table, settings);
    let environment = environment(settings.template.as_deref())?;
    let text = |template: &str| {
        let rendered = environment.get_template(template).and_then(|template| template.render(context.clone()));
        rendered.map_err(|error| broken_template(&error))
    };
    let json = serde_json::to_string(table).map_err(|error| Failure::failed(format!("a route table cannot be written: {error}")))?;
    let configuration = format!("{MARK}{json}\n{}{}", text("file")?, text("page")?);
    let locations = if table.front.server { None } else { Some(text("locations")?) };
    Ok(Rendered { configuration, locations })
}

/// A service's file as it would be on a usual host (Debian's nginx, with IPv6) with this template, for whoever has no host to look
/// at.
///
/// # Errors
/// As [`render`].
pub fn usual(table: &RouteTable, template: Option<&str>) -> Result<Rendered, Failure> {
    let settings = Settings {
        version: NginxVersion(1, 22, 1),
        ipv6: true,
        flag: "/run/nginx.podlift-drain".into(),
        logs: "/var/log/nginx".into(),
        template: template.map(str::to_owned),
        page: names::PAGE,
    };
    render(table, &settings)
}

/// Refuses a table that no proxy could be given with this template.
///
/// # Errors
/// As [`render`].
pub fn check(table: &RouteTable, template: Option<&str>) -> Result<(), Failure> {
    match template {
        Some(_) => usual(table, template).map(drop),
        None => names::check(table),
    }
}

/// Refuses a front that cannot stand in any proxy's file, and a template that no file can be made of: before there is anything to serve.
///
/// # Errors
/// As [`render`].
pub fn check_front(project: &ProjectName, service: &ServiceName, front: &Front, template: Option<&str>) -> Result<(), Failure> {
    let token = Token::new("0000000000").expect("it is valid");
    let release = ReleaseId { run: RunId::new("none").expect("it is valid"), version: Version::new("none").expect("it is valid") };
    let container = Container::name_for(project, service, &release.version, &token, 1);
    let containers = vec![Endpoint { container, address: "127.0.0.1".into(), port: 20000 }];
    let serving = BTreeMap::from([(HostName::new("none").expect("it is valid"), vec![Share { release, weight: 100, containers }])]);
    check(&RouteTable::empty(project, service, front, &token).with(&serving), template)
}

fn broken_template(error: &minijinja::Error) -> Failure {
    Failure::refused(format!("the proxy's template cannot be used: {error}"))
        .hint("correct the host's `proxy.template`, or leave it out to use podlift's own")
}

fn environment(template: Option<&str>) -> Result<Environment<'_>, Failure> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build();
    environment.set_syntax(syntax.map_err(|error| broken_template(&error))?);
    let templates = [
        ("file", template.unwrap_or(include_str!("templates/nginx.conf.jinja"))),
        ("locations", include_str!("templates/locations.jinja")),
        ("proxy", include_str!("templates/proxy.jinja")),
        ("page", include_str!("templates/page.jinja")),
    ];
    for (name, text) in templates {
        environment.add_template(name, text).map_err(|error| broken_template(&error))?;
    }
    Ok(environment)
}

/// What a template may use.
fn values(table: &RouteTable, settings: &Settings) -> Value {
    let name = names::identifier(&table.project, &table.service);
    let front = &table.front;
    let servers = table.servers();
    let (mut upstreams, parts) = if front.sticky.is_some() { split(&name, &servers) } else { Default::default() };
    let target = if parts.is_empty() { name.clone() } else { format!("${name}_release") };
    if parts.is_empty() && !servers.is_empty() {
        upstreams.push(upstream(&name, &servers));
    }
    let has_traffic = !upstreams.is_empty();
    let (reached, previews) = previewed(&name, table, if has_traffic { &target } else { "\"\"" });
    upstreams.extend(reached);
    let target = if previews.is_empty() { target } else { format!("${name}_via{}", previews.len() - 1) };
    let listen_options = match (&front.tls, &front.domain) {
        (Some(_), None) => " ssl default_server",
        (Some(_), Some(_)) => " ssl",
        (None, None) => " default_server",
        (None, Some(_)) => "",
    };
    context! {
        project => table.project.as_str(),
        service => table.service.as_str(),
        generation => table.generation,
        name,
        upstreams,
        parts,
        previews,
        serves => has_traffic,
        target,
        listen => front.listen,
        listen_options,
        domain => front.domain.as_deref(),
        tls => front.tls.as_ref().map(|tls| context! { certificate => tls.certificate.as_str(), key => tls.key.as_str() }),
        server => front.server,
        sticky => front.sticky.as_deref(),
        keepalive_off => settings.version.keeps_upstream_connections(),
        ipv6 => settings.ipv6,
        flag => settings.flag.as_str(),
        log => log(table, &settings.logs),
        page => names::page(&table.project, &table.service),
        page_address => settings.page.0,
        page_port => settings.page.1,
    }
}

/// An upstream of a template: its name and its lines.
fn upstream(name: &str, servers: &[Server<'_>]) -> Value {
    let lines: Vec<Value> = servers
        .iter()
        .map(|Server { endpoint, weight, .. }| {
            context! { address => address(endpoint), weight => *weight, container => endpoint.container.as_str() }
        })
        .collect();
    context! { name, servers => lines }
}

/// An endpoint as nginx writes it: IPv6 addresses in brackets.
pub fn address(endpoint: &Endpoint) -> String {
    let Endpoint { address, port, .. } = endpoint;
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

/// Splits the visitors among the releases: an upstream and a part for each. The order is the releases' own and does not follow
/// the weights, so that a part that grows takes visitors from the other and gives none back.
fn split(name: &str, servers: &[Server<'_>]) -> (Vec<Value>, Vec<Value>) {
    let mut releases: BTreeMap<&ReleaseId, Vec<Server<'_>>> = BTreeMap::new();
    for server in servers {
        releases.entry(server.release).or_default().push(server.clone());
    }
    if releases.len() < 2 {
        return (Vec::new(), Vec::new());
    }
    let sums: Vec<u64> = releases.values().map(|servers| servers.iter().map(|server| server.weight).sum()).collect();
    let hundredths = hundredths(&sums);
    let last = sums.len() - 1;
    let mut upstreams = Vec::new();
    let mut parts = Vec::new();
    for (index, servers) in releases.values().enumerate() {
        let name = format!("{name}_{index}");
        let percent = if index == last { "*".into() } else { format!("{}.{:02}%", hundredths[index] / 100, hundredths[index] % 100) };
        upstreams.push(upstream(&name, servers));
        parts.push(context! { name, percent });
    }
    (upstreams, parts)
}

/// The previews: an upstream for each mark, and a map that leads there. Each map falls back on the one before it, the first on
/// `otherwise`.
fn previewed(name: &str, table: &RouteTable, otherwise: &str) -> (Vec<Value>, Vec<Value>) {
    let mut marks: BTreeMap<&Mark, Vec<&Endpoint>> = BTreeMap::new();
    for preview in table.previews.values().flatten() {
        marks.entry(&preview.mark).or_default().extend(&preview.containers);
    }
    let mut otherwise = otherwise.to_owned();
    let mut upstreams = Vec::new();
    let mut maps = Vec::new();
    for (index, (mark, endpoints)) in marks.into_iter().enumerate() {
        let target = format!("{name}_via{index}");
        let lines: Vec<Value> = endpoints
            .into_iter()
            .map(|endpoint| context! { address => address(endpoint), weight => 1, container => endpoint.container.as_str() })
            .collect();
        upstreams.push(context! { name => &target, servers => lines });
        let (variable, value) = match mark {
            Mark::Header(pair) => (format!("http_{}", pair.name.to_lowercase().replace('-', "_")), &pair.value),
            Mark::Cookie(pair) => (format!("cookie_{}", pair.name), &pair.value),
        };
        maps.push(context! { target => &target, variable, value, otherwise });
        otherwise = format!("${target}");
    }
    (upstreams, maps)
}

/// Shares of 100 % in hundredths of a percent, none of them 0: what `split_clients` can tell apart.
fn hundredths(sums: &[u64]) -> Vec<u64> {
    let total: u128 = sums.iter().map(|sum| u128::from(*sum)).sum();
    let mut parts: Vec<u64> = sums
        .iter()
        .map(|sum| u64::try_from((u128::from(*sum) * 10_000 + total / 2) / total).expect("a part is at most the whole").max(1))
        .collect();
    let surplus = parts.iter().sum::<u64>().saturating_sub(10_000);
    if let Some(largest) = parts.iter_mut().max() {
        *largest = largest.saturating_sub(surplus).max(1);
    }
    parts
}
