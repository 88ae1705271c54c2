//! Fronts: what clients reach a service by at a proxy. No two services have the same one, and no container has its port.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    failure::Failure,
    model::{Container, Front, Host, HostName, HostState, OwnNetwork, ProjectName, ServiceName},
    nginx_file,
};

/// The fronts that were found free.
#[derive(Debug, Default)]
pub struct Fronts(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// By proxy and service.
    free: BTreeMap<(HostName, ServiceName), Free>,
    /// The ports that the run's own containers were given, by host.
    given: BTreeSet<(HostName, u16)>,
}

/// What clients are to reach a service by at a proxy.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The proxy's host.
    pub proxy: &'a Host,
    /// The service's project.
    pub project: &'a ProjectName,
    /// The service.
    pub service: &'a ServiceName,
    /// Its front there.
    pub front: &'a Front,
}

/// A front that was found free.
#[derive(Debug)]
struct Free {
    front: Front,
    /// The proxy's network where it is its own.
    network: Option<OwnNetwork>,
    /// Whether a container had its port then.
    is_contested: bool,
}

/// What a front is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Containers are to be started for it: what has its port may end before it gets traffic.
    Start,
    /// It is to get traffic now.
    Traffic,
}

impl Fronts {
    /// Refuses a front that another service has, a file that no nginx could be given, and a proxy that cannot be used, by the proxy's
    /// state: that is read where it is not known from before. Returns what is assumed, once: in a model a command that came before may
    /// have put right what is in the way.
    ///
    /// # Errors
    /// Refused, as said; and why the state cannot be read.
    pub fn are_free(
        &self,
        wanted: &Wanted<'_>,
        purpose: Purpose,
        survey: impl FnOnce() -> Result<HostState, Failure>,
    ) -> Result<Option<String>, Failure> {
        let Wanted { proxy, project, service, front } = *wanted;
        if self.is_known(wanted, purpose) {
            return Ok(None);
        }
        nginx_file::check_front(project, service, front, proxy.proxy.template.as_deref()).map_err(|failure| failure.on(&proxy.name))?;
        let state = survey()?;
        let other = if proxy.proxy.template.is_none() { container_of(&state, front) } else { None };
        let assumed = match usable(&state, wanted).and_then(|()| is_no_files(&state, wanted)) {
            Ok(()) => None,
            Err(failure) if state.may_differ => Some(format!("a command before it has put right that {}", failure.message)),
            Err(failure) => return Err(failure),
        };
        is_no_siblings(&state, wanted)?;
        if let Some(other) = other.as_ref().filter(|_| purpose == Purpose::Traffic && !state.may_differ) {
            let port = front.listen;
            let message = format!("the proxy on {} cannot listen on port {port} for {service}: {other} has it", proxy.name);
            return Err(Failure::refused(message)
                .on(&proxy.name)
                .hint(format!("give {service} another `listen` port, or end what has that one")));
        }
        let free = Free { front: front.clone(), network: state.proxy_network, is_contested: other.is_some() };
        self.lock().free.insert((proxy.name.clone(), service.clone()), free);
        Ok(assumed)
    }

    /// The network that the first of these proxies which has one of its own has.
    pub fn network(&self, proxies: &[Host], service: &ServiceName) -> Option<OwnNetwork> {
        let known = self.lock();
        proxies.iter().find_map(|proxy| known.free.get(&(proxy.name.clone(), service.clone()))?.network.clone())
    }

    /// Takes note of containers that were started: what one publishes, its host's proxy cannot listen on any more.
    pub fn note(&self, host: &HostName, containers: &[Container]) {
        self.lock().given.extend(containers.iter().filter_map(|container| Some((host.clone(), container.port?))));
    }

    /// Whether a front was found free, and no other service of the run has been given the same one since, and no container its port:
    /// whichever is served first has it.
    fn is_known(&self, wanted: &Wanted<'_>, purpose: Purpose) -> bool {
        let Wanted { proxy, service, front, .. } = wanted;
        let proxy = &proxy.name;
        let Known { free, given } = &*self.lock();
        let is_free = |known: &Free| purpose == Purpose::Start || !known.is_contested && !given.contains(&(proxy.clone(), front.listen));
        let is_same = |known: &Front| (known.server, known.listen, &known.domain) == (front.server, front.listen, &front.domain);
        let is_anothers =
            |(at, other): &(HostName, ServiceName), free: &Free| at == proxy && other != *service && free.front.is_reached_like(front);
        free.get(&(proxy.clone(), (*service).clone())).is_some_and(|known| is_same(&known.front) && is_free(known))
            && !free.iter().any(|(key, free)| is_anothers(key, free))
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn usable(state: &HostState, Wanted { proxy, service, .. }: &Wanted<'_>) -> Result<(), Failure> {
    let Some(problem) = &state.proxy_problem else { return Ok(()) };
    Err(Failure::refused(format!("{service} cannot be served on {}: {problem}", proxy.name))
        .on(&proxy.name)
        .hint("put that right there first: `nginx -t` and `systemctl status nginx` say how it is"))
}

/// A front that is a file's of another's would be dead, or its own would: the proxy would load both.
fn is_no_files(state: &HostState, wanted: &Wanted<'_>) -> Result<(), Failure> {
    state.file_of(wanted.front).map_or(Ok(()), |taken| Err(is_anothers(wanted, &taken.file, "that file")))
}

/// The same of another service of the project.
fn is_no_siblings(state: &HostState, wanted: &Wanted<'_>) -> Result<(), Failure> {
    let Some(sibling) = state.sibling_of(wanted.service, wanted.front) else { return Ok(()) };
    let folder = state.proxy_folder.as_ref().map_or_else(String::new, |folder| format!("{folder}/"));
    let file = format!("{folder}{}.conf", nginx_file::names::base(wanted.project, sibling));
    Err(is_anothers(wanted, &format!("the service {sibling} of this project"), &file))
}

fn is_anothers(Wanted { proxy, service, front, .. }: &Wanted<'_>, whose: &str, file: &str) -> Failure {
    let port = front.listen;
    let words = match &front.domain {
        Some(domain) => format!("{domain} on port {port}"),
        None => format!("the default server of port {port}"),
    };
    Failure::refused(format!("{service} cannot be {words} on {}: that is {whose} already", proxy.name))
        .on(&proxy.name)
        .hint(format!("give {service} a `domain` or another `listen` port, or take {file} away from the proxy"))
}

/// The container that has the port, where the proxy does not listen on it yet. A process that listens may be nginx itself, as its files
/// were when it read them last. A proxy with a network of its own is seen by what its container publishes, which is nobody else's.
fn container_of(state: &HostState, front: &Front) -> Option<String> {
    let listens = state.routes.values().any(|table| table.front.server && table.front.listen == front.listen)
        || state.fronts.iter().any(|taken| taken.listen == front.listen);
    if !front.server || listens || state.proxy_network.is_some() {
        return None;
    }
    let has_it = |container: &&Container| container.is_running() && container.port == Some(front.listen);
    let own = state.containers.values().find(has_it).map(|container| format!("the container {}", container.name));
    let others = || state.taken_ports.iter().find(|taken| taken.container.is_some() && taken.port == front.listen);
    own.or_else(|| others().map(ToString::to_string))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use serde_json::json;

    use super::*;
    use crate::model::{RouteTable, TakenFront, TakenPort, Token};

    fn front(domain: Option<&str>, listen: u16) -> Front {
        Front { domain: domain.map(str::to_owned), listen, tls: None, server: true, sticky: None }
    }

    fn named(name: &str) -> ServiceName {
        ServiceName::new(name).expect("valid")
    }

    /// A proxy at which `web` has this front.
    fn serving(front: &Front) -> HostState {
        let token = Token::new("0123456789").expect("valid");
        let table = RouteTable::empty(&ProjectName::default(), &named("web"), front, &token);
        HostState { routes: [(named("web"), table)].into(), ..HostState::default() }
    }

    /// What is said of a front of `api` at a proxy like this.
    fn told(state: &HostState, front: &Front) -> Result<Option<String>, String> {
        let proxy = Host::parse("h1").expect("valid");
        let (project, service) = (ProjectName::default(), named("api"));
        let wanted = Wanted { proxy: &proxy, project: &project, service: &service, front };
        Fronts::default().are_free(&wanted, Purpose::Traffic, || Ok(state.clone())).map_err(|failure| failure.message)
    }

    #[test]
    fn a_front_is_one_services_alone() {
        let web = serving(&front(None, 80));
        assert_eq!(
            told(&web, &front(None, 80)).expect_err("taken"),
            "api cannot be the default server of port 80 on h1: that is the service web of this project already"
        );
        let (proxy, project, service) = (Host::parse("h1").expect("valid"), ProjectName::default(), named("api"));
        let known = HostState { proxy_folder: Some("/etc/nginx/conf.d".into()), ..web.clone() };
        let wanted = Wanted { proxy: &proxy, project: &project, service: &service, front: &front(None, 80) };
        let refusal = Fronts::default().are_free(&wanted, Purpose::Start, || Ok(known)).expect_err("taken");
        assert!(refusal.hints[0].ends_with("or take /etc/nginx/conf.d/podlift-default.web.conf away from the proxy"), "{refusal:?}");
        for free in [front(Some("api.example.com"), 80), front(None, 8080), Front { server: false, ..front(None, 80) }] {
            assert_eq!(told(&web, &free), Ok(None), "{free:?}");
        }
        let file = TakenFront { listen: 80, domain: Some("api.example.com".into()), file: "/etc/nginx/conf.d/old.conf".into() };
        let old = HostState { fronts: vec![file], ..HostState::default() };
        let refused = told(&old, &front(Some("api.example.com"), 80)).expect_err("taken");
        assert_eq!(refused, "api cannot be api.example.com on port 80 on h1: that is /etc/nginx/conf.d/old.conf already");
        assert_eq!(told(&old, &front(None, 80)), Ok(None));
    }

    #[test]
    fn what_cannot_stand_in_a_proxys_file_is_refused() {
        let reserved = told(&HostState::default(), &front(None, 19999)).expect_err("it is podlift's");
        assert_eq!(reserved, "`listen` is \"19999\", which cannot stand in nginx's configuration");
    }

    #[test]
    fn a_port_that_the_proxy_does_not_have_is_nobody_elses() {
        let taken =
            |container: Option<&str>| TakenPort { address: "127.0.0.1".into(), port: 8080, container: container.map(str::to_owned) };
        let other = |taken: TakenPort| HostState { taken_ports: vec![taken], ..HostState::default() };
        let wanted = front(None, 8080);
        assert_eq!(told(&other(taken(None)), &wanted), Ok(None), "a process may be nginx itself");
        let refused = told(&other(taken(Some("old"))), &wanted).expect_err("taken");
        assert_eq!(refused, "the proxy on h1 cannot listen on port 8080 for api: the container old has it");
        // What the proxy listens on it has itself; and what the container of one publishes is its own.
        let has_it = HostState { taken_ports: vec![taken(None)], ..serving(&front(Some("x.example.com"), 8080)) };
        assert_eq!(told(&has_it, &wanted), Ok(None));
        let network = serde_json::from_value(json!({ "container": "edge", "gateway": "172.17.0.1" })).expect("a network");
        let contained = HostState { proxy_network: Some(network), ..other(taken(Some("edge"))) };
        assert_eq!(told(&contained, &wanted), Ok(None));
    }

    #[test]
    fn a_command_may_have_put_right_what_is_in_the_way() {
        let sick = HostState { proxy_problem: Some("nginx is not running".into()), ..HostState::default() };
        assert_eq!(told(&sick, &front(None, 80)).expect_err("it cannot be used"), "api cannot be served on h1: nginx is not running");
        let assumed = told(&HostState { may_differ: true, ..sick }, &front(None, 80)).expect("it may be put right");
        assert_eq!(assumed.as_deref(), Some("a command before it has put right that api cannot be served on h1: nginx is not running"));
    }

    #[test]
    fn a_proxy_is_looked_at_once_unless_two_services_of_the_run_want_the_same() {
        let (fronts, looks) = (Fronts::default(), Cell::new(0));
        let ask = |service: &str, front: &Front, state: HostState| {
            let survey = || {
                looks.set(looks.get() + 1);
                Ok(state)
            };
            let (proxy, project, service) = (Host::parse("h1").expect("valid"), ProjectName::default(), named(service));
            fronts.are_free(&Wanted { proxy: &proxy, project: &project, service: &service, front }, Purpose::Traffic, survey).map(drop)
        };
        let (free, taken) = (HostState::default(), serving(&front(None, 80)));
        for _ in 0..3 {
            ask("web", &front(None, 80), free.clone()).expect("free");
        }
        assert_eq!(looks.get(), 1);
        ask("web", &front(None, 81), free.clone()).expect("another front is looked for");
        ask("web", &front(None, 80), free.clone()).expect("free");
        ask("api", &front(None, 80), free).expect("nobody is served yet");
        ask("web", &front(None, 80), taken.clone()).expect("its own");
        ask("api", &front(None, 80), taken).expect_err("web was first");
        assert_eq!(looks.get(), 6);
    }
}
