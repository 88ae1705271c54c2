//! Stories of a modelled fleet behind its guard.

mod surroundings;

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;
use serde::de::DeserializeOwned;

use super::*;
use crate::{
    executor::{Branches, Call, Cancellation, Executor, Guard, Key, Model, Recorded, Source, Undo, Urgency, undo::Left},
    failure::Origin,
    model::{
        Balancer, Check, Container, Health, Host, OwnNetwork, Release, ReleaseId, RouteTable, RunId, Service, ServiceFacts, ServiceName,
        Share, TakenFront, TakenPort, Version,
    },
    op::{
        Build, Confirm, Drain, Drained, Find, Found, Healthcheck, Hook, OnTimeout, Operation, Outcome, Record, Remove, SetWeights, Ship,
        Sought, Start, Stop, Survey,
    },
};

struct Fresh(HostState);

impl Source for Fresh {
    fn survey(&self, _: &Call, _: &Host, _: &ProjectName) -> Result<HostState, Failure> {
        Ok(self.0.clone())
    }
    fn read(&self, _: &Call) -> Option<Result<Outcome, Failure>> {
        None
    }
}

struct Fleet {
    executor: Guard<Model<Fresh>>,
    run: Arc<RunInfo>,
    calls: usize,
    records: Vec<Recorded>,
    host: Host,
    service: Service,
}

impl Fleet {
    fn new(state: HostState) -> Self {
        let service: Service = ServiceFacts {
            name: ServiceName::new("web").expect("valid"),
            image: "shop-web".into(),
            port: Some(8000),
            replicas: 2,
            command: None,
            env: BTreeMap::new(),
            health: Health::new(Check::Http { path: "/health".into(), expect: vec![200] }),
            volumes: Vec::new(),
            network: None,
            publish: None,
            memory: None,
            cpus: None,
            restart: "unless-stopped".into(),
            stop_timeout: Period::seconds(10),
            labels: BTreeMap::new(),
            domain: None,
            listen: 80,
            balancer: Balancer::Each,
            tls: None,
            server: true,
            options: None,
        }
        .into();
        let run = RunInfo { id: RunId::new("r1").expect("valid"), operator: "me@here".into(), started: "2026-01-01T00:00:00Z".into() };
        let executor = Guard::new(Model::new(World::default(), Fresh(state)));
        Self { executor, run: Arc::new(run), calls: 0, records: Vec::new(), host: Host::parse("h1").expect("valid"), service }
    }

    fn perform<O: Operation>(&mut self, op: O) -> Result<O::Output, Failure>
    where
        O::Output: DeserializeOwned,
    {
        self.calls += 1;
        let origin = Origin { file: "deploy.rhai".into(), line: self.calls, column: 1 };
        let call = Call::new(op, Key::call("", self.calls), origin, self.run.clone());
        let result = self.executor.perform(&call);
        let Call { key, op, origin, .. } = call;
        self.records.push(Recorded { key, op, origin, result: result.clone(), seconds: 0.0 });
        Ok(result?.value.read().expect("the op's output"))
    }

    /// What was assumed that has this word.
    fn assumed(&self, word: &str) -> Vec<&str> {
        let assumed = self.records.iter().filter_map(|record| record.result.as_ref().ok()?.assumed.as_deref());
        assumed.filter(|words| words.contains(word)).collect()
    }

    /// Its host as it was met.
    fn met(self) -> HostState {
        let host = self.host.clone();
        self.executor.into_inner().world().state(&host.name).cloned().expect("it was met")
    }

    fn start(&mut self, version: &str) -> Result<Vec<Container>, Failure> {
        let started = self.start_unchecked(version)?;
        self.perform(Healthcheck {
            host: self.host.clone(),
            project: ProjectName::default(),
            service: self.service.name.clone(),
            containers: started.iter().map(|container| container.name.clone()).collect(),
            health: self.service.health.clone(),
        })?;
        Ok(started)
    }

    fn start_unchecked(&mut self, version: &str) -> Result<Vec<Container>, Failure> {
        let version = Version::new(version).expect("valid");
        let local = Host::parse("local").expect("valid");
        let build = Build {
            on: local.clone(),
            image: "shop-web".into(),
            version: version.clone(),
            context: ".".into(),
            dockerfile: None,
            target: None,
            args: BTreeMap::new(),
            secrets: BTreeMap::new(),
            platform: None,
        };
        let image = self.perform(build)?;
        self.perform(Ship { host: self.host.clone(), from: local, reference: image.reference.clone(), digest: image.digest.clone() })?;
        self.perform(Start {
            host: self.host.clone(),
            project: ProjectName::default(),
            service: self.service.clone(),
            reference: image.reference,
            digest: image.digest,
            version,
            replicas: self.service.replicas,
            copy: None,
        })
    }

    fn weigh(&mut self, table: &[(&[Container], u64)]) -> Result<RouteTable, Failure> {
        let share = |(containers, weight): &(&[Container], u64)| Share {
            release: ReleaseId { run: containers[0].run.clone(), version: containers[0].version.clone() },
            weight: *weight,
            containers: containers.iter().filter_map(Container::endpoint).collect(),
        };
        self.perform(SetWeights {
            proxy: self.host.clone(),
            project: ProjectName::default(),
            service: self.service.name.clone(),
            front: self.service.front(),
            changes: [(self.host.name.clone(), table.iter().map(share).collect())].into(),
            hosts: vec![self.host.clone()],
            allow_downtime: false,
            removes_empty: false,
        })
    }

    fn drain(&mut self, containers: &[Container]) -> Result<Drained, Failure> {
        self.perform(Drain {
            host: self.host.clone(),
            project: ProjectName::default(),
            service: self.service.name.clone(),
            containers: containers.iter().map(|container| container.name.clone()).collect(),
            others: Vec::new(),
            proxies: vec![self.host.clone()],
            timeout: Period::seconds(30),
            on_timeout: OnTimeout::Proceed,
            allow_downtime: false,
        })
    }

    fn stop(&mut self, containers: &[Container]) -> Result<(), Failure> {
        self.perform(Stop {
            host: self.host.clone(),
            project: ProjectName::default(),
            service: self.service.name.clone(),
            containers: containers.iter().map(|container| container.name.clone()).collect(),
            proxies: vec![self.host.clone()],
            timeout: Period::seconds(10),
            allow_downtime: false,
        })
    }

    fn remove(&mut self, containers: &[Container]) -> Result<(), Failure> {
        self.perform(Remove {
            host: self.host.clone(),
            project: ProjectName::default(),
            service: self.service.name.clone(),
            containers: containers.iter().map(|container| container.name.clone()).collect(),
            proxies: vec![self.host.clone()],
            allow_downtime: false,
        })
    }

    fn undo(&self, cancellation: &Cancellation) -> Vec<Left> {
        let undo = Undo { executor: &self.executor, run: &self.run, branches: Branches::InOrder, cancellation };
        undo.block(&self.records, "")
    }

    fn find(&mut self) -> Found {
        let op = Find {
            host: self.host.clone(),
            project: ProjectName::default(),
            service: self.service.name.clone(),
            proxies: vec![self.host.clone()],
            sought: Sought::Running,
        };
        self.perform(op).expect("a read")
    }
}

#[test]
fn a_rolling_deploy_moves_the_traffic_and_keeps_the_old_containers() {
    let mut fleet = Fleet::new(HostState::default());
    let old = fleet.start("v1").expect("starts");
    fleet.weigh(&[(&old, 100)]).expect("weighs");
    let new = fleet.start("v2").expect("starts");
    fleet.weigh(&[(&old, 0), (&new, 100)]).expect("weighs");
    fleet.drain(&old).expect("drains");
    fleet.stop(&old).expect("stops");
    let found = fleet.find();
    let serving = Release::of(
        &fleet.service.clone(),
        std::slice::from_ref(&fleet.host),
        found.containers.iter().filter(|container| found.weights.contains_key(&container.name)).cloned().collect(),
        BTreeMap::new(),
    );
    assert_eq!(serving.expect("serves").version().map(Version::as_str), Some("v2"));
    assert_eq!(found.containers.len(), 4);
    assert_eq!(old[0].name.as_str(), format!("default-web-v1-{}-1", old[0].token));
}

#[test]
fn what_still_gets_traffic_is_not_stopped() {
    let mut fleet = Fleet::new(HostState::default());
    let old = fleet.start("v1").expect("starts");
    fleet.weigh(&[(&old, 100)]).expect("weighs");
    let refusal = fleet.stop(&old).expect_err("is refused");
    assert_eq!(refusal.kind, FailureKind::Refused);
    assert!(refusal.message.contains("still gets traffic"), "{refusal}");
}

#[test]
fn what_was_not_drained_is_not_stopped() {
    let mut fleet = Fleet::new(HostState::default());
    let old = fleet.start("v1").expect("starts");
    fleet.weigh(&[(&old, 100)]).expect("weighs");
    let new = fleet.start("v2").expect("starts");
    fleet.weigh(&[(&new, 100)]).expect("weighs");
    let refusal = fleet.stop(&old).expect_err("is refused");
    assert!(refusal.message.contains("was not drained"), "{refusal}");
    fleet.drain(&old).expect("drains");
    fleet.stop(&old).expect("stops");
}

#[test]
fn a_proxy_is_not_left_without_a_container() {
    let mut fleet = Fleet::new(HostState::default());
    let old = fleet.start("v1").expect("starts");
    fleet.weigh(&[(&old, 100)]).expect("weighs");
    for refusal in [fleet.weigh(&[(&old, 0)]).expect_err("is refused"), fleet.drain(&old).expect_err("is refused")] {
        assert!(refusal.message.contains("would have no container of web left"), "{refusal}");
    }
}

#[test]
fn a_stopped_container_gets_no_traffic() {
    let mut fleet = Fleet::new(HostState::default());
    let old = fleet.start("v1").expect("starts");
    fleet.stop(&old).expect("never had traffic");
    let refusal = fleet.weigh(&[(&old, 100)]).expect_err("is refused");
    assert!(refusal.message.contains("not healthy"), "{refusal}");
    assert_eq!(refusal.details.len(), 2);
}

#[test]
fn what_a_run_did_is_taken_back_the_last_first() {
    let mut fleet = Fleet::new(HostState::default());
    let old = fleet.start("v1").expect("starts");
    fleet.weigh(&[(&old, 100)]).expect("weighs");
    fleet.records.clear();
    let before = fleet.find();
    let new = fleet.start("v2").expect("starts");
    fleet.weigh(&[(&old, 0), (&new, 100)]).expect("weighs");
    fleet.drain(&old).expect("drains");
    fleet.stop(&old).expect("stops");
    let left = fleet.undo(&Cancellation::default());
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(fleet.find(), before);
}

#[test]
fn a_proxy_does_not_know_a_service_any_more_whose_first_traffic_was_taken_back() {
    let mut fleet = Fleet::new(HostState::default());
    let new = fleet.start("v1").expect("starts");
    fleet.weigh(&[(&new, 100)]).expect("weighs");
    fleet.weigh(&[(&new, 50)]).expect("weighs");
    let left = fleet.undo(&Cancellation::default());
    assert!(left.is_empty(), "{left:?}");
    assert_eq!((fleet.find(), fleet.met().routes.len()), (Found::default(), 0));
}

#[test]
fn an_undo_that_is_interrupted_says_what_is_left() {
    let mut fleet = Fleet::new(HostState::default());
    let new = fleet.start("v1").expect("starts");
    let cancellation = Cancellation::default();
    cancellation.request(Urgency::Finish);
    let left = fleet.undo(&cancellation);
    assert_eq!(left.first().map(|left| left.failure.kind), Some(FailureKind::Interrupted));
    assert_eq!(fleet.find().containers.len(), new.len());
}

#[test]
fn what_was_not_health_checked_gets_no_traffic() {
    let mut fleet = Fleet::new(HostState::default());
    let new = fleet.start_unchecked("v1").expect("starts");
    let refusal = fleet.weigh(&[(&new, 100)]).expect_err("is refused");
    assert!(refusal.message.contains("was not health-checked since it was started"), "{refusal}");
}

#[test]
fn a_host_as_it_was_kept_before_networks_were_known_is_read() {
    let text = serde_json::to_string(&HostState::default()).expect("plain data");
    assert!(!text.contains("proxy_network"), "{text}");
    assert_eq!(serde_json::from_str::<HostState>(&text).expect("an old host").proxy_network, None);
}

#[test]
fn a_project_keeps_its_own_history_alone() {
    let host = Host::parse("h1").expect("valid");
    let (shop, other) = (ProjectName::new("shop").expect("valid"), ProjectName::default());
    let mut world = World::default();
    world.insert(&host.name, Some(&shop), HostState::default());
    world.insert(&host.name, Some(&other), HostState::default());
    let service = ServiceName::new("web").expect("valid");
    let run = RunInfo { id: RunId::new("r1").expect("valid"), operator: "me".into(), started: "2026-01-01T00:00:00Z".into() };
    let note = |project: &ProjectName| Record {
        host: host.clone(),
        project: project.clone(),
        service: service.clone(),
        version: Version::new("v1").expect("valid"),
        image: "shop-web:v1".into(),
    };
    world.apply(&note(&shop).into(), &Token::new("0123456789").expect("valid"), &run).expect("it is there");
    let seen = |project: &ProjectName| {
        let survey = Survey { host: host.clone(), project: project.clone() };
        let answer = world.clone().apply(&survey.into(), &Token::new("0123456789").expect("valid"), &run).expect("it is there");
        answer.value.read::<HostState>().expect("a state").history.len()
    };
    assert_eq!([&shop, &other].map(seen), [1, 0]);
    let kept = world.kept(Kept::default()).projects;
    let histories = [&shop, &other].map(|project| kept[project][&host.name].history.len());
    assert_eq!(histories, [1, 0]);

    let mut again = World::default();
    for project in [&other, &shop] {
        again.insert(&host.name, Some(project), kept[project][&host.name].clone());
    }
    assert_eq!(again.kept(Kept::default()).projects, kept, "what was read is kept as it was");
}

#[test]
fn the_load_sees_both_versions_and_no_failure() {
    let mut fleet = Fleet::new(HostState::default());
    let old = fleet.start("v1").expect("starts");
    fleet.weigh(&[(&old, 100)]).expect("weighs");
    let new = fleet.start("v2").expect("starts");
    fleet.weigh(&[(&old, 50), (&new, 50)]).expect("weighs");
    fleet.perform(crate::op::Pause { period: Period::seconds(10) }).expect("waits");
    let record = Record {
        host: fleet.host.clone(),
        project: ProjectName::default(),
        service: fleet.service.name.clone(),
        version: Version::new("v2").expect("valid"),
        image: "shop-web:v2".into(),
    };
    fleet.perform(record).expect("records");
    let Fleet { executor, .. } = fleet;
    let world = executor.into_inner().world();
    let traffic = world.traffic();
    let seen = &traffic[&ServiceName::new("web").expect("valid")];
    assert!(seen.lost() == 0.0 && seen.answered["v2"] > 400.0 && seen.answered["v1"] > 400.0, "{seen:?}");
}

/// A host with one project's service on port 80, as that project and as others see it.
struct Shared;

impl Source for Shared {
    fn survey(&self, _: &Call, _: &Host, project: &ProjectName) -> Result<HostState, Failure> {
        let mut fleet = Fleet::new(HostState::default());
        let found = fleet.start("v1").and_then(|containers| fleet.weigh(&[(&containers, 1)]))?;
        let taken = TakenFront { listen: 80, domain: None, file: "/etc/nginx/conf.d/podlift-shop.web.conf".into() };
        Ok(match project.as_str() {
            "shop" => HostState {
                routes: [(found.service.clone(), RouteTable { project: project.clone(), ..found })].into(),
                ..HostState::default()
            },
            _ => HostState { fronts: vec![taken], ..HostState::default() },
        })
    }
    fn read(&self, _: &Call) -> Option<Result<Outcome, Failure>> {
        None
    }
}

#[test]
fn what_has_no_project_does_not_make_one_see_its_own_front_as_anothers() {
    let model = Model::new(World::default(), Shared);
    let run = Fleet::new(HostState::default()).run;
    let host = Host::parse("h1").expect("valid");
    let mut calls = 0;
    let mut survey = || {
        calls += 2;
        let origin = Origin { file: "deploy.rhai".into(), line: 1, column: 1 };
        let perform = |op: Op, number| model.perform(&Call::new(op, Key::call("", number), origin.clone(), run.clone()));
        let project = ProjectName::new("shop").expect("valid");
        let outcome = perform(Survey { host: host.clone(), project }.into(), calls).expect("read");
        let ship = Ship { host: host.clone(), from: host.clone(), reference: "x:v1".into(), digest: String::new() };
        assert!(perform(ship.into(), calls + 1).is_err(), "there is no such image, and the host was met");
        outcome.value.read::<HostState>().expect("a state")
    };
    for _ in 0..2 {
        let state = survey();
        assert_eq!((state.fronts.len(), state.routes.len()), (0, 1));
    }
}

/// Something that a script may try, right or wrong.
#[derive(Clone, Debug)]
enum Try {
    Start(u8),
    Weigh(Vec<(usize, u64)>),
    Drain(usize),
    Stop(usize),
    Remove(usize),
    Wait,
}

fn tries() -> impl Strategy<Value = Vec<Try>> {
    let release = 0usize..5;
    let one = prop_oneof![
        3 => (1u8..4).prop_map(Try::Start),
        4 => prop::collection::vec((release.clone(), 0u64..3), 1..4).prop_map(Try::Weigh),
        2 => release.clone().prop_map(Try::Drain),
        2 => release.clone().prop_map(Try::Stop),
        1 => release.prop_map(Try::Remove),
        1 => Just(Try::Wait),
    ];
    prop::collection::vec(one, 1..25)
}

proptest! {
    /// Whatever a script tries: once a service serves, no request is lost, because the guard refuses what would lose one.
    #[test]
    fn no_script_can_lose_a_request_without_saying_so(tries in tries()) {
        let mut fleet = Fleet::new(HostState::default());
        let mut releases: Vec<Vec<Container>> = Vec::new();
        for one in tries {
            let at = |index: usize, releases: &[Vec<Container>]| releases.get(index % releases.len().max(1)).cloned();
            match one {
                Try::Start(version) => releases.push(fleet.start(&format!("v{version}")).expect("nothing refuses a start")),
                Try::Weigh(table) => {
                    let table: Vec<(Vec<Container>, u64)> =
                        table.into_iter().filter_map(|(index, weight)| Some((at(index, &releases)?, weight))).collect();
                    let table: Vec<(&[Container], u64)> = table.iter().map(|(release, weight)| (release.as_slice(), *weight)).collect();
                    let _ = fleet.weigh(&table);
                }
                Try::Drain(index) => drop(at(index, &releases).map(|release| fleet.drain(&release))),
                Try::Stop(index) => drop(at(index, &releases).map(|release| fleet.stop(&release))),
                Try::Remove(index) => drop(at(index, &releases).map(|release| fleet.remove(&release))),
                Try::Wait => fleet.perform(crate::op::Pause { period: Period::seconds(10) }).expect("waits"),
            }
        }
        let world = fleet.executor.into_inner().world();
        let lost: f64 = world.traffic().values().map(Seen::lost).sum();
        prop_assert!(lost == 0.0, "{lost} requests were lost");
    }
}
