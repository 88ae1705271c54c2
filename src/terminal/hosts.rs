//! What a deploy would stumble over, host by host.

use std::{collections::BTreeMap, fmt::Write};

use super::{clean, style::Style, words};
use crate::model::{HostName, HostState, Service, ServiceName, Store};

/// Services by name.
pub type Services = BTreeMap<ServiceName, Service>;

/// The least free disk that is not worth a warning.
const ROOM: u64 = 1 << 30;

/// A host's report.
pub fn report(host: &HostName, state: &HostState, services: &Services, style: Style) -> String {
    let (good, bad, warning) = (style.good("✓"), style.bad("✗"), style.warning("!"));
    let store = match state.engine.store {
        Store::Classic => "classic",
        Store::Containerd => "containerd",
    };
    let mut text = format!("{}\n", style.strong(host));
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
    let running = state.containers.values().filter(|container| container.is_running()).count();
    let _ =
        writeln!(text, "  {good} runs    {} of the project, {running} of them running", words::count(state.containers.len(), "container"));
    text
}

/// What else uses the fronts that services need.
pub fn clashes(state: &HostState, services: &Services) -> Vec<String> {
    let mut clashes = Vec::new();
    for service in services.values().filter(|service| service.server && service.has_proxy()) {
        for front in state.fronts.iter().filter(|front| front.listen == service.listen && front.domain == service.domain) {
            let what = front.domain.as_ref().map_or_else(|| "the default server".into(), |domain| format!("the server {domain}"));
            clashes.push(format!("{} needs to be {what} of port {}, and {} is that already", service.name, front.listen, front.file));
        }
    }
    clashes
}

/// Whether a deploy would not be refused for what stands in this state.
pub fn is_fit(state: &HostState, services: &Services) -> bool {
    let proxied = services.values().any(Service::has_proxy);
    clashes(state, services).is_empty() && !(proxied && state.proxy_problem.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Bytes, TakenFront};

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
        let host = HostName::new("h1").expect("valid");
        let mut state = HostState::default();
        state.engine.free = Some(Bytes(12 << 30));
        (state.user, state.proxy_folder) = (Some("deploy".into()), Some("/etc/nginx/conf.d".into()));
        assert!(is_fit(&state, &services()));
        assert_eq!(
            report(&host, &state, &services(), Style::PLAIN),
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
        assert!(!is_fit(&state, &services()));
        let report = report(&host, &state, &services(), Style::PLAIN);
        let clash = "✗ front   web needs to be the default server of port 80, and /etc/nginx/sites-enabled/default is that already";
        assert!(report.contains(clash), "{report}");
    }
}
