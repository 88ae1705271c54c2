//! What a deploy would stumble over, host by host.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use super::{clean, style::Style, words};
use crate::model::{Host, HostState, OwnNetwork, Service, ServiceName, Store};

/// Services by name.
pub type Services = BTreeMap<ServiceName, Service>;

/// What a host is for a script.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The host.
    pub host: &'a Host,
    /// The services that the script starts, here or elsewhere.
    pub services: &'a Services,
    /// Those that it starts here.
    pub here: &'a BTreeSet<ServiceName>,
}

/// The least free disk that is not worth a warning.
const ROOM: u64 = 1 << 30;

/// A host's report.
pub fn report(part: Part<'_>, state: &HostState, style: Style) -> String {
    let Part { host, services, .. } = part;
    let (good, bad, warning) = (style.good("✓"), style.bad("✗"), style.warning("!"));
    let store = match state.engine.store {
        Store::Classic => "classic",
        Store::Containerd => "containerd",
    };
    let mut text = format!("{}\n", style.strong(&host.name));
    let engine = format!("Docker {}, {}, {store} store, reached over a forwarded socket", state.engine.version, state.engine.platform);
    let _ = writeln!(text, "  {good} engine  {}", clean::line(&engine));
    let _ = match state.engine.free {
        Some(free) if free.0 < ROOM => writeln!(text, "  {warning} disk    only {free} free"),
        Some(free) => writeln!(text, "  {good} disk    {free} free"),
        None => writeln!(text, "  {warning} disk    the engine does not tell how much is free"),
    };
    let rights = state.user.as_ref().map_or_else(|| "root".into(), |user| format!("{user}, with `sudo -n` for the proxy"));
    let _ = writeln!(text, "  {good} rights  {}", clean::line(&rights));
    let proxied = services.is_empty() || services.values().any(Service::has_proxy);
    let _ = match &state.proxy_problem {
        Some(problem) if proxied => writeln!(text, "  {bad} proxy   {}", clean::line(problem)),
        Some(problem) => writeln!(text, "  {warning} proxy   {} (no service needs it)", clean::line(problem)),
        None => {
            let folder = state.proxy_folder.as_deref().map_or_else(String::new, |folder| format!(", its files go to {folder}"));
            writeln!(text, "  {good} proxy   can be used{}", clean::line(&folder))
        }
    };
    for clash in clashes(state, services) {
        let _ = writeln!(text, "  {bad} front   {}", clean::line(&clash));
    }
    for problem in out_of_reach(part, state) {
        let _ = writeln!(text, "  {bad} reach   {}", clean::line(&problem));
    }
    let running = state.containers.values().filter(|container| container.is_running()).count();
    let _ =
        writeln!(text, "  {good} runs    {} of the project, {running} of them running", words::count(state.containers.len(), "container"));
    text
}

/// What else uses the fronts that services need.
pub fn clashes(state: &HostState, services: &Services) -> Vec<String> {
    let mut clashes = Vec::new();
    for service in services.values().filter(|service| service.server && service.has_proxy()) {
        let front = service.front();
        let file = state.file_of(&front).map(|taken| taken.file.clone());
        if let Some(other) = file.or_else(|| Some(format!("the service {} of this project", state.sibling_of(&service.name, &front)?))) {
            let what = front.domain.as_ref().map_or_else(|| "the default server".into(), |domain| format!("the server {domain}"));
            clashes.push(format!("{} needs to be {what} of port {}, and {other} is that already", service.name, front.listen));
        }
    }
    clashes
}

/// What the host's proxy could not reach of the services that are to run beside it, and what to do.
pub fn out_of_reach(part: Part<'_>, state: &HostState) -> Vec<String> {
    let Part { host, services, here } = part;
    let Some(network) = state.proxy_network.as_ref().filter(|_| !OwnNetwork::reaches(&host.bind)) else { return Vec::new() };
    let serves = |service: &&Service| service.proxies(std::slice::from_ref(host)).iter().any(|proxy| proxy.name == host.name);
    let problem = |service: &Service| {
        let (container, bind) = (&network.container, &host.bind);
        let message = format!("nginx in the container {container} could not reach {}: it would listen on {bind}", service.name);
        format!("{message}; {}", network.advice())
    };
    here.iter().filter_map(|name| services.get(name)).filter(serves).map(problem).collect()
}

/// Whether a deploy would not be refused for what stands in this state.
pub fn is_fit(part: Part<'_>, state: &HostState) -> bool {
    let proxied = part.services.values().any(Service::has_proxy);
    clashes(state, part.services).is_empty() && out_of_reach(part, state).is_empty() && !(proxied && state.proxy_problem.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Bytes, ProjectName, RouteTable, ServiceName, TakenFront, Token};

    fn services() -> Services {
        let service = serde_json::json!({
            "name": "web", "image": "shop-web", "port": 8000, "replicas": 1, "health": { "check": { "kind": "tcp" } },
            "restart": "unless-stopped", "stop_timeout": "10s", "listen": 80, "server": true, "balancer": "each",
        });
        let service: Service = serde_json::from_value(service).expect("a service");
        BTreeMap::from([(service.name.clone(), service)])
    }

    #[test]
    fn a_default_server_that_is_taken_is_a_clash_and_names_the_file() {
        let (host, services) = (Host::parse("h1").expect("valid"), services());
        let here = services.keys().cloned().collect();
        let part = Part { host: &host, services: &services, here: &here };
        let mut state = HostState::default();
        state.engine.free = Some(Bytes(12 << 30));
        (state.user, state.proxy_folder) = (Some("deploy".into()), Some("/etc/nginx/conf.d".into()));
        assert!(is_fit(part, &state));
        assert_eq!(
            report(part, &state, Style::PLAIN),
            "\
h1
  ✓ engine  Docker 28.0.0, linux/amd64, classic store, reached over a forwarded socket
  ✓ disk    12.0 GB free
  ✓ rights  deploy, with `sudo -n` for the proxy
  ✓ proxy   can be used, its files go to /etc/nginx/conf.d
  ✓ runs    0 containers of the project, 0 of them running
"
        );
        state.fronts.push(TakenFront { listen: 80, domain: None, file: "/etc/nginx/sites-enabled/default".into() });
        assert!(!is_fit(part, &state));
        let report = report(part, &state, Style::PLAIN);
        let clash = "✗ front   web needs to be the default server of port 80, and /etc/nginx/sites-enabled/default is that already";
        assert!(report.contains(clash), "{report}");
        // Another service of the project is in the way as well, unless it has another name.
        let front = services[&ServiceName::new("web").expect("valid")].front();
        let table = |name: &str| {
            let (service, token) = (ServiceName::new(name).expect("valid"), Token::new("0123456789").expect("valid"));
            HostState {
                routes: [(service.clone(), RouteTable::empty(&ProjectName::default(), &service, &front, &token))].into(),
                ..HostState::default()
            }
        };
        assert!(is_fit(part, &table("web")));
        assert_eq!(
            clashes(&table("api"), &services),
            ["web needs to be the default server of port 80, and the service api of this project is that already"]
        );
    }

    #[test]
    fn what_a_proxy_with_a_network_of_its_own_does_not_reach_is_told() {
        let (mut host, services) = (Host::parse("h1").expect("valid"), services());
        let here = services.keys().cloned().collect();
        let network = OwnNetwork { container: "edge".into(), gateway: Some("172.17.0.1".into()) };
        let state = HostState { proxy_network: Some(network), ..HostState::default() };
        let part = Part { host: &host, services: &services, here: &here };
        assert!(!is_fit(part, &state));
        let report = report(part, &state, Style::PLAIN);
        let problem = "✗ reach   nginx in the container edge could not reach web: it would listen on 127.0.0.1; start the container edge \
                       with `--network host`, or give the host `bind: \"172.17.0.1\"`";
        assert!(report.contains(problem), "{report}");
        assert!(is_fit(Part { here: &BTreeSet::new(), ..part }, &state), "what runs elsewhere listens elsewhere");
        host.bind = "172.17.0.1".into();
        assert!(is_fit(Part { host: &host, services: &services, here: &here }, &state));
    }
}
