//! What must hold while a fleet changes, whatever befalls it: watched after every op of a story.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::Serialize;

use super::{
    ModelledHost, World,
    shape::{Difference, told},
    traffic::LONGEST_REQUEST,
};
use crate::{
    model::{Container, ContainerName, HostName, Lease, Period, ProjectName, ReleaseId, RunId, ServiceName},
    op::{Op, Outcome},
};

/// What must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a rule of its own")]
pub struct Rules {
    /// No op lets a request go unanswered.
    pub dropped: bool,
    /// Where the script says `allow_downtime: true`, requests may be dropped all the same.
    pub downtime: bool,
    /// No op gives traffic to a container that is not healthy.
    pub healthy: bool,
    /// No op takes a service under so many healthy containers with traffic.
    pub min_capacity: Option<Least>,
    /// No op has more releases of a service serve at once.
    pub versions: Option<usize>,
    /// No op changes a service on a host whose lease another run has.
    pub lease: bool,
    /// No op takes away from a schema what code that still runs may need.
    pub schema: bool,
    /// A run that says it is done leaves no other version of what it has deployed serving.
    pub mixed: bool,
    /// What is there in the end is what the run says; nothing is left over.
    pub ending: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            dropped: true,
            downtime: true,
            healthy: true,
            min_capacity: None,
            versions: Some(2),
            lease: true,
            schema: true,
            mixed: true,
            ending: true,
        }
    }
}

/// The least that must serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Least {
    /// So many containers.
    Containers(usize),
    /// So many percent of the containers that served in the beginning, rounded up.
    Percent(usize),
}

impl Least {
    /// How many that are where so many served in the beginning.
    const fn of(self, in_the_beginning: usize) -> usize {
        match self {
            Self::Containers(count) => count,
            Self::Percent(percent) => (in_the_beginning * percent).div_ceil(100),
        }
    }
}

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Breach {
    /// The rule's name.
    pub rule: String,
    /// What broke it.
    pub what: String,
    /// How what there is differs from what there should be: `+` is too much, `-` is missing.
    pub differences: Vec<String>,
}

impl Breach {
    /// A breach of this rule.
    pub fn new(rule: impl Into<String>, what: impl Into<String>) -> Self {
        Self { rule: rule.into(), what: what.into(), differences: Vec::new() }
    }

    /// With what differs.
    #[must_use]
    pub fn differing(self, differences: &[Difference]) -> Self {
        Self { differences: told(differences), ..self }
    }
}

type Place = (HostName, ContainerName);
type Service = (ProjectName, ServiceName);

/// Watches a world from one op to the next.
#[derive(Clone, Debug)]
pub struct Watch {
    rules: Rules,
    before: Seen,
    /// Until when containers without traffic may still be at a request.
    busy: BTreeMap<Place, Period>,
    /// How many containers of each service served in the beginning.
    capacity: BTreeMap<Service, usize>,
    /// The same of each service without a proxy: how many healthy ones ran in the beginning, and at the last look.
    workers: BTreeMap<Service, (usize, usize)>,
    /// The fronts that served in the beginning.
    fronts: BTreeSet<(HostName, Service)>,
    /// What was contracted in the beginning.
    contracted: BTreeSet<String>,
}

/// What is to be seen of a world at one moment. Hosts that have not changed since the moment before are shared with it.
#[derive(Clone, Debug, Default)]
struct Seen {
    hosts: BTreeMap<HostName, Arc<HostSeen>>,
    /// What code of earlier versions may miss.
    contracted: Vec<String>,
    /// Containers that run code of a version that another one has come after; looked for where something is contracted.
    outdated: BTreeMap<Place, String>,
}

/// What is to be seen of one host.
#[derive(Debug)]
struct HostSeen {
    /// How often the host had changed.
    changes: u64,
    /// Containers that its proxy gives traffic, by service.
    serving: BTreeMap<Service, BTreeMap<Place, ReleaseId>>,
    healthy: BTreeSet<ContainerName>,
    running: BTreeSet<ContainerName>,
    /// Services that its proxy serves.
    fronts: BTreeSet<Service>,
}

impl HostSeen {
    fn of(host: &ModelledHost) -> Self {
        let mut seen = Self {
            changes: host.changes,
            serving: BTreeMap::new(),
            healthy: BTreeSet::new(),
            running: BTreeSet::new(),
            fronts: BTreeSet::new(),
        };
        for table in host.state.routes.values() {
            let service = (table.project.clone(), table.service.clone());
            if table.serves() {
                seen.fronts.insert(service.clone());
            }
            let serving = seen.serving.entry(service).or_default();
            for (on, share) in table.shares.iter().flat_map(|(on, shares)| shares.iter().map(move |share| (on, share))) {
                serving.extend(share.containers.iter().map(|at| ((on.clone(), at.container.clone()), share.release.clone())));
            }
        }
        for container in host.state.containers.values().filter(|container| container.is_running()) {
            if host.is_healthy(&container.name) {
                seen.healthy.insert(container.name.clone());
            }
            seen.running.insert(container.name.clone());
        }
        seen
    }
}

impl Seen {
    /// What is to be seen of `world` now, where `before` was seen of it before.
    fn of(world: &World, before: &Self) -> Self {
        let seen = |(name, host): (&HostName, &Arc<ModelledHost>)| {
            let known = before.hosts.get(name).filter(|known| known.changes == host.changes);
            (name.clone(), known.cloned().unwrap_or_else(|| Arc::new(HostSeen::of(host))))
        };
        let mut seen = Self { hosts: world.hosts.iter().map(seen).collect(), ..Self::default() };
        seen.contracted = world.contracted();
        if !seen.contracted.is_empty() {
            seen.outdated = outdated(world);
        }
        seen
    }

    /// How many healthy containers have traffic: by the hosts' own proxies together, or by the balancer that has the most. What
    /// several balancers have is not added up, as each of them has to bear what its clients send.
    fn capacity(&self, service: &Service) -> usize {
        let (mut own, mut most) = (0, 0);
        for (proxy, host) in &self.hosts {
            let Some(serving) = host.serving.get(service) else { continue };
            let healthy = serving.keys().filter(|place| self.is_healthy(place)).count();
            if serving.keys().all(|(host, _)| host == proxy) {
                own += healthy;
            } else {
                most = most.max(healthy);
            }
        }
        own.max(most)
    }

    fn releases(&self, service: &Service) -> BTreeSet<&ReleaseId> {
        self.serving(service).flat_map(BTreeMap::values).collect()
    }

    /// The containers that get traffic of a service, by proxy.
    fn serving<'a>(&'a self, service: &Service) -> impl Iterator<Item = &'a BTreeMap<Place, ReleaseId>> {
        self.hosts.values().filter_map(move |host| host.serving.get(service))
    }

    /// The services that have a route anywhere.
    fn services(&self) -> BTreeSet<&Service> {
        self.hosts.values().flat_map(|host| host.serving.keys()).collect()
    }

    fn serves(&self, place: &Place) -> bool {
        self.hosts.values().flat_map(|host| host.serving.values()).any(|serving| serving.contains_key(place))
    }

    fn runs(&self, (host, container): &Place) -> bool {
        self.hosts.get(host).is_some_and(|host| host.running.contains(container))
    }

    fn is_healthy(&self, (host, container): &Place) -> bool {
        self.hosts.get(host).is_some_and(|host| host.healthy.contains(container))
    }

    fn fronts(&self) -> BTreeSet<(HostName, Service)> {
        self.hosts.iter().flat_map(|(name, host)| host.fronts.iter().map(|service| (name.clone(), service.clone()))).collect()
    }

    /// The hosts that are not as they are in `other`, with what they are there; none where they are not.
    fn changed<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = (&'a HostName, &'a HostSeen, Option<&'a HostSeen>)> {
        let pairs = self.hosts.iter().map(|(name, host)| (name, host, other.hosts.get(name)));
        let is_other = |host: &Arc<HostSeen>, now: Option<&Arc<HostSeen>>| now.is_none_or(|now| !Arc::ptr_eq(host, now));
        pairs.filter(move |(_, host, now)| is_other(host, *now)).map(|(name, host, now)| (name, &**host, now.map(|now| &**now)))
    }
}

impl Watch {
    /// Watches from this world on.
    pub fn new(rules: Rules, world: &World) -> Self {
        let before = Seen::of(world, &Seen::default());
        let capacity = before.services().into_iter().map(|service| (service.clone(), before.capacity(service))).collect();
        let (fronts, contracted) = (before.fronts(), before.contracted.iter().cloned().collect());
        let workers = workers(world).into_iter().map(|(service, count)| (service, (count, count))).collect();
        Self { rules, before, busy: BTreeMap::new(), capacity, workers, fronts, contracted }
    }

    /// The rules.
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The rules, to change them.
    pub const fn rules_mut(&mut self) -> &mut Rules {
        &mut self.rules
    }

    /// Why a script cannot be held to these rules: no service has as many containers in the beginning as are the least.
    pub fn never_met(&self) -> Option<String> {
        let least = self.rules.min_capacity?;
        let with_traffic = self.capacity.iter().map(|(service, count)| (service, *count, " with traffic"));
        let workers = self.workers.iter().map(|(service, (count, _))| (service, *count, ""));
        let serving: Vec<_> = with_traffic.chain(workers).filter(|(_, count, _)| *count > 0).collect();
        let (service, count, how) = serving.iter().max_by_key(|(_, count, _)| *count)?;
        if serving.iter().any(|(_, count, _)| *count >= least.of(*count)) {
            return None;
        }
        let least = least.of(*count);
        Some(format!("{} has {count} healthy containers{how} in the beginning, and `min_capacity` wants {least}", service.1))
    }

    /// Takes note of what befell the world from outside: that is nobody's fault.
    pub fn excuse(&mut self, world: &World) {
        let now = Seen::of(world, &self.before);
        self.busy.retain(|place, _| now.runs(place));
        self.count_workers(world, &now);
        self.before = now;
    }

    /// Counts the workers, where somebody asks for them; returns those services of which fewer run than at the last look.
    fn count_workers(&mut self, world: &World, now: &Seen) -> Vec<(ServiceName, usize, usize)> {
        let mut fewer = Vec::new();
        if self.rules.min_capacity.is_none() || self.workers.is_empty() {
            return fewer;
        }
        let counts = workers(world);
        // One that has come behind a proxy is counted by its traffic from then on.
        let routed = now.services();
        self.workers.retain(|service, _| !routed.contains(service));
        for (service, (in_the_beginning, was)) in &mut self.workers {
            let is = counts.get(service).copied().unwrap_or(0);
            if is < *was {
                fewer.push((service.1.clone(), *in_the_beginning, is));
            }
            *was = is;
        }
        fewer
    }

    /// Looks at the world after an op of this run, and says which rules the op has broken.
    pub fn look(&mut self, op: &Op, outcome: Option<&Outcome>, run: &RunId, world: &World) -> Vec<Breach> {
        if !op.class().changes() {
            return Vec::new();
        }
        let now = Seen::of(world, &self.before);
        let mut breaches = Vec::new();
        let allowed = self.rules.downtime && allows_downtime(op);
        let traffic_changed = now.changed(&self.before).any(|(_, is, was)| was.is_none_or(|was| was.serving != is.serving));
        if self.rules.dropped && !allowed {
            breaches.extend(self.dropped(&now, world.clock));
        }
        if self.rules.healthy && !allowed && traffic_changed {
            breaches.extend(self.unhealthy(&now));
        }
        if self.rules.lease && outcome.is_some() {
            breaches.extend(world.held_by_another(op, run).map(|lease| {
                let Lease { service, owner, run, .. } = lease;
                Breach::new("lease", format!("{service} was changed although the run {run} of {owner} has its lease"))
            }));
        }
        if self.rules.schema {
            breaches.extend(self.too_early(&now));
        }
        breaches.extend(self.too_few(&now));
        for (service, in_the_beginning, is) in self.count_workers(world, &now) {
            let least = self.rules.min_capacity.map_or(0, |least| least.of(in_the_beginning));
            if is < least {
                let what = format!("{service} has {is} healthy containers, and {least} is the least");
                breaches.push(Breach::new("min_capacity", what));
            }
        }
        if traffic_changed {
            breaches.extend(self.too_many(&now));
        }
        self.note(op, outcome, now, world.clock);
        breaches
    }

    /// Requests that nothing answers: those in flight to what was ended, and those to a front without a container.
    fn dropped(&self, now: &Seen, clock: Period) -> Vec<Breach> {
        let (mut ended, mut left) = (Vec::new(), Vec::new());
        for (host, was, is) in self.before.changed(now) {
            for container in was.running.iter().filter(|container| is.is_none_or(|is| !is.running.contains(*container))) {
                let place = (host.clone(), container.clone());
                if self.before.serves(&place) {
                    ended.push(Breach::new("dropped", format!("{container} on {host} was ended while it had traffic")));
                } else if self.busy.get(&place).is_some_and(|until| *until > clock) {
                    let what = format!("{container} on {host} was ended with requests in flight: it was not drained");
                    ended.push(Breach::new("dropped", what));
                }
            }
            for service in was.fronts.iter().filter(|service| is.is_none_or(|is| !is.fronts.contains(*service))) {
                if self.fronts.contains(&(host.clone(), service.clone())) {
                    left.push(Breach::new("dropped", format!("the proxy on {host} has no container of {} left", service.1)));
                }
            }
        }
        ended.into_iter().chain(left).collect()
    }

    fn unhealthy(&self, now: &Seen) -> Vec<Breach> {
        let changed = now.changed(&self.before).flat_map(|(_, host, _)| &host.serving);
        let gaining = changed.flat_map(|(service, places)| places.keys().map(move |place| (service, place)));
        let sick: BTreeSet<_> = gaining.filter(|(_, place)| !self.before.serves(place) && !now.is_healthy(place)).collect();
        sick.into_iter()
            .map(|(_, place)| place)
            .map(|(host, container)| Breach::new("healthy", format!("{container} on {host} gets traffic and is not healthy")))
            .collect()
    }

    /// Code that runs on a schema which was made for the code that came after it.
    fn too_early(&self, now: &Seen) -> Option<Breach> {
        let first = now.contracted.iter().find(|what| !self.contracted.contains(*what))?;
        let was_so = |place: &Place| self.before.outdated.contains_key(place) && self.before.contracted.contains(first);
        let ((host, container), version) = now.outdated.iter().find(|(place, _)| !was_so(place))?;
        Some(Breach::new("schema", format!("{container} on {host} runs {version}, and the schema is contracted under it: {first}")))
    }

    fn too_few(&self, now: &Seen) -> Vec<Breach> {
        let Some(least) = self.rules.min_capacity else { return Vec::new() };
        let mut breaches = Vec::new();
        for (service, in_the_beginning) in &self.capacity {
            let least = least.of(*in_the_beginning);
            let (was, is) = (self.before.capacity(service), now.capacity(service));
            if is < least && is < was {
                let what = format!("{} has {is} healthy containers with traffic, and {least} is the least", service.1);
                breaches.push(Breach::new("min_capacity", what));
            }
        }
        breaches
    }

    fn too_many(&self, now: &Seen) -> Vec<Breach> {
        let Some(most) = self.rules.versions else { return Vec::new() };
        let mut breaches = Vec::new();
        for service in now.services() {
            let (was, is) = (self.before.releases(service).len(), now.releases(service).len());
            if is > most && is > was {
                breaches.push(Breach::new("versions", format!("{is} releases of {} serve at once, and {most} is the most", service.1)));
            }
        }
        breaches
    }

    fn note(&mut self, op: &Op, outcome: Option<&Outcome>, now: Seen, clock: Period) {
        let until = Period::milliseconds(clock.as_milliseconds() + LONGEST_REQUEST.as_milliseconds());
        let before = self.before.changed(&now).flat_map(|(_, host, _)| host.serving.values()).flat_map(BTreeMap::keys);
        let losing: Vec<Place> = before.filter(|place| !now.serves(place) && now.runs(place)).cloned().collect();
        self.busy.extend(losing.into_iter().map(|place| (place, until)));
        if let (Op::Drain(drain), Some(_)) = (op, outcome) {
            self.busy.retain(|(host, container), _| *host != drain.host.name || !drain.containers.contains(container));
        }
        self.busy.retain(|place, until| *until > clock && !now.serves(place));
        self.before = now;
    }
}

/// How many healthy containers run of each service without a proxy.
fn workers(world: &World) -> BTreeMap<Service, usize> {
    let counts = world.working(|host, container| host.is_healthy(&container.name));
    counts.into_iter().map(|((project, service), count)| ((project.clone(), service.clone()), count)).collect()
}

/// Containers that run, though another version of their service was deployed after theirs.
fn outdated(world: &World) -> BTreeMap<Place, String> {
    let containers = || world.hosts.iter().flat_map(|(name, host)| host.state.containers.values().map(move |container| (name, container)));
    let mut latest: BTreeMap<(&ProjectName, &ServiceName), &Container> = BTreeMap::new();
    for (_, container) in containers() {
        let known = latest.entry((&container.project, &container.service)).or_insert(container);
        if container.deployed_at > known.deployed_at {
            *known = container;
        }
    }
    let is_outdated = |container: &Container| {
        let last = latest.get(&(&container.project, &container.service));
        container.is_running() && last.is_some_and(|last| last.deployed_at > container.deployed_at && last.version != container.version)
    };
    let outdated = containers().filter(|(_, container)| is_outdated(container));
    outdated.map(|(name, container)| ((name.clone(), container.name.clone()), container.version.to_string())).collect()
}

fn allows_downtime(op: &Op) -> bool {
    match op {
        Op::SetWeights(op) => op.allow_downtime,
        Op::Drain(op) => op.allow_downtime,
        Op::Stop(op) => op.allow_downtime,
        Op::Remove(op) => op.allow_downtime,
        _ => false,
    }
}
