//! What must hold while a fleet changes, whatever befalls it: watched after every op of a story.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::World;
use crate::{
    model::{Container, ContainerName, HostName, Lease, Period, ProjectName, ReleaseId, RunId, ServiceName},
    op::{Op, Outcome},
};

/// How long a request may take: so long after a container has lost its traffic it may still be at one.
pub const LONGEST_REQUEST: Period = Period::seconds(10);

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
    /// The end is all-new, all-old, or reported as mixed; nothing is left over.
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

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Breach {
    /// The rule's name.
    pub rule: String,
    /// What broke it.
    pub what: String,
}

impl Breach {
    /// A breach of this rule.
    pub fn new(rule: impl Into<String>, what: impl Into<String>) -> Self {
        Self { rule: rule.into(), what: what.into() }
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
    /// The fronts that served in the beginning.
    fronts: BTreeSet<(HostName, Service)>,
    /// What was contracted in the beginning.
    contracted: BTreeSet<String>,
}

/// What is to be seen of a world at one moment.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// Containers that get traffic, by service.
    serving: BTreeMap<Service, BTreeMap<Place, ReleaseId>>,
    healthy: BTreeSet<Place>,
    running: BTreeSet<Place>,
    fronts: BTreeSet<(HostName, Service)>,
    /// What code of earlier versions may miss.
    contracted: Vec<String>,
    /// Containers that run code of a version that another one has come after; looked for where something is contracted.
    outdated: BTreeMap<Place, String>,
}

impl Seen {
    fn of(world: &World) -> Self {
        let mut seen = Self::default();
        for (name, host) in &world.hosts {
            for table in host.state.routes.values() {
                let service = (table.project.clone(), table.service.clone());
                if table.serves() {
                    seen.fronts.insert((name.clone(), service.clone()));
                }
                let serving = seen.serving.entry(service).or_default();
                for (on, share) in table.shares.iter().flat_map(|(on, shares)| shares.iter().map(move |share| (on, share))) {
                    serving.extend(share.containers.iter().map(|at| ((on.clone(), at.container.clone()), share.release.clone())));
                }
            }
            for container in host.state.containers.values().filter(|container| container.is_running()) {
                let place = (name.clone(), container.name.clone());
                if world.is_healthy(name, &container.name) {
                    seen.healthy.insert(place.clone());
                }
                seen.running.insert(place);
            }
        }
        seen.contracted = world.contracted();
        if !seen.contracted.is_empty() {
            seen.outdated = outdated(world);
        }
        seen
    }

    fn capacity(&self, service: &Service) -> usize {
        self.serving.get(service).map_or(0, |serving| serving.keys().filter(|place| self.healthy.contains(*place)).count())
    }

    fn releases(&self, service: &Service) -> BTreeSet<&ReleaseId> {
        self.serving.get(service).into_iter().flat_map(BTreeMap::values).collect()
    }

    fn serves(&self, place: &Place) -> bool {
        self.serving.values().any(|serving| serving.contains_key(place))
    }
}

impl Watch {
    /// Watches from this world on.
    pub fn new(rules: Rules, world: &World) -> Self {
        let before = Seen::of(world);
        let capacity = before.serving.keys().map(|service| (service.clone(), before.capacity(service))).collect();
        let (fronts, contracted) = (before.fronts.clone(), before.contracted.iter().cloned().collect());
        Self { rules, before, busy: BTreeMap::new(), capacity, fronts, contracted }
    }

    /// The rules.
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The rules, to change them.
    pub const fn rules_mut(&mut self) -> &mut Rules {
        &mut self.rules
    }

    /// Takes note of what befell the world from outside: that is nobody's fault.
    pub fn excuse(&mut self, world: &World) {
        let now = Seen::of(world);
        self.busy.retain(|place, _| now.running.contains(place));
        self.before = now;
    }

    /// Looks at the world after an op of this run, and says which rules the op has broken.
    pub fn look(&mut self, op: &Op, outcome: Option<&Outcome>, run: &RunId, world: &World) -> Vec<Breach> {
        if !op.class().changes() {
            return Vec::new();
        }
        let now = Seen::of(world);
        let mut breaches = Vec::new();
        let allowed = self.rules.downtime && allows_downtime(op);
        if self.rules.dropped && !allowed {
            breaches.extend(self.dropped(&now, world.clock));
        }
        if self.rules.healthy && !allowed {
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
        breaches.extend(self.too_many(&now));
        self.note(op, outcome, now, world.clock);
        breaches
    }

    /// Requests that nothing answers: those in flight to what was ended, and those to a front without a container.
    fn dropped(&self, now: &Seen, clock: Period) -> Vec<Breach> {
        let mut breaches = Vec::new();
        for place in self.before.running.difference(&now.running) {
            let (host, container) = place;
            if self.before.serves(place) {
                breaches.push(Breach::new("dropped", format!("{container} on {host} was ended while it had traffic")));
            } else if self.busy.get(place).is_some_and(|until| *until > clock) {
                breaches
                    .push(Breach::new("dropped", format!("{container} on {host} was ended with requests in flight: it was not drained")));
            }
        }
        for front in self.before.fronts.difference(&now.fronts).filter(|front| self.fronts.contains(*front)) {
            let (proxy, (_, service)) = front;
            breaches.push(Breach::new("dropped", format!("the proxy on {proxy} has no container of {service} left")));
        }
        breaches
    }

    fn unhealthy(&self, now: &Seen) -> Vec<Breach> {
        let gaining = now.serving.values().flat_map(BTreeMap::keys).filter(|place| !self.before.serves(place));
        let sick = gaining.filter(|place| !now.healthy.contains(*place));
        sick.map(|(host, container)| Breach::new("healthy", format!("{container} on {host} gets traffic and is not healthy"))).collect()
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
            let least = match least {
                Least::Containers(count) => count,
                Least::Percent(percent) => (in_the_beginning * percent).div_ceil(100),
            };
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
        for service in now.serving.keys() {
            let (was, is) = (self.before.releases(service).len(), now.releases(service).len());
            if is > most && is > was {
                breaches.push(Breach::new("versions", format!("{is} releases of {} serve at once, and {most} is the most", service.1)));
            }
        }
        breaches
    }

    fn note(&mut self, op: &Op, outcome: Option<&Outcome>, now: Seen, clock: Period) {
        let until = Period::milliseconds(clock.as_milliseconds() + LONGEST_REQUEST.as_milliseconds());
        let before = self.before.serving.values().flat_map(BTreeMap::keys);
        for place in before.filter(|place| !now.serves(place) && now.running.contains(*place)) {
            self.busy.insert(place.clone(), until);
        }
        if let (Op::Drain(drain), Some(_)) = (op, outcome) {
            self.busy.retain(|(host, container), _| *host != drain.host.name || !drain.containers.contains(container));
        }
        self.busy.retain(|place, until| *until > clock && !now.serves(place));
        self.before = now;
    }
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
