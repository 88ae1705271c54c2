//! A modelled fleet that several runs meet, one after the other, and on which any call can be made to fail.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::{
    executor::{
        Call, Cancellation, Event, Executor, Follow, Guard, Leased, Model, Narrator, Outcome, PlanFile, Record, Recorded, RunInfo,
        Simulated, Terms,
        ending::{Ending, State},
        record::in_script_order,
        undo::{Left, Undo},
    },
    failure::{Failure, Origin},
    model::{ContainerState, Host, HostName, HostState, Key, ProjectName, RunId},
    op::{Compared, Op, Release, Sought, Unlock},
    script::{Branches, Checked, Ended, ScriptRun, SecretNames, session::lock},
    world::{Kept, World},
};

/// Two hosts and a service of two replicas: what every script of these tests begins with.
const PRELUDE: &str = r#"
import "std/backup" as backup;
import "std/blue_green" as blue_green;
import "std/canary" as canary;
import "std/dependencies" as dependencies;
import "std/deploy" as deploy;
import "std/expand_contract" as change;
import "std/gates" as gates;
import "std/migrations" as migrations;
import "std/places" as places;
import "std/recreate" as recreate;
import "std/restart" as restart;
import "std/rollback" as rollback;
import "std/rolling" as rolling;
import "std/verify" as verify;
import "std/workers" as workers;
project("shop");
let p = params(#{ v: "v1" });
let fleet = hosts(["10.0.0.1", "10.0.0.2"]);
let web = service("web", #{ port: 8000, replicas: 2, health: http("/health") });
let img = build(web, #{ tag: p.v });
ship(img, fleet);
"#;

/// What a call fails with, or `None` where it is done.
pub(super) type Fault = Box<dyn Fn(usize, &Call) -> Option<Failure> + Send + Sync>;
/// What a call is answered in place of the model's answer.
pub(super) type Answer = fn(&Call) -> Option<Outcome>;

/// A modelled fleet that several runs meet, one after the other.
pub(super) struct Lab {
    model: Arc<Model<Simulated<Desk>>>,
    runs: usize,
    pub(super) answer: Answer,
    /// Scripts that were read, so that the many runs of one read it once.
    checked: Arc<Mutex<BTreeMap<String, Arc<Checked>>>>,
}

/// How a run ended.
pub(super) struct Told {
    pub(super) ended: Result<(), Ended>,
    /// Why it did not do all that was planned.
    pub(super) unmade: Option<String>,
    pub(super) state: State,
    /// Whether only what was committed, or was there before, is on the hosts.
    pub(super) is_taken_back: bool,
    pub(super) left: Vec<Left>,
    /// How many calls it made before it looked for what is to be pruned at its end: what fails there is a warning.
    pub(super) calls: usize,
    pub(super) records: Vec<Recorded>,
    pub(super) said: Vec<String>,
}

impl Lab {
    pub(super) fn new() -> Self {
        Self { model: model(World::default()), runs: 0, answer: |_| None, checked: Arc::default() }
    }

    /// Another fleet that is like this one now.
    pub(super) fn copy(&self) -> Self {
        Self { model: model(self.model.world()), checked: self.checked.clone(), ..*self }
    }

    /// What does things on it.
    pub(super) fn executor(&self) -> Arc<dyn Executor> {
        self.model.clone()
    }

    pub(super) fn checked(&self, script: &str) -> Arc<Checked> {
        let read = || {
            let checked = Checked::new("deploy.rhai", Path::new("/nowhere"), &format!("{PRELUDE}{script}"));
            let findings = checked.diagnostics();
            assert!(findings.is_empty(), "{findings:#?}");
            Arc::new(checked)
        };
        lock(&self.checked).entry(script.into()).or_insert_with(read).clone()
    }

    /// A fleet on which v1 serves.
    #[track_caller]
    pub(super) fn serving_v1() -> Self {
        let mut lab = Self::new();
        lab.does("rolling::deploy(web, img, fleet);", "v1");
        lab
    }

    pub(super) fn run_with(&mut self, script: &str, version: &str, fault: Fault) -> Told {
        self.follow(None, script, version, fault)
    }

    /// The plan of the next run, as it is read again.
    pub(super) fn plan(&self, script: &str, version: &str) -> PlanFile {
        let mut copy = self.copy();
        let told = copy.does(script, version);
        let arguments = [("v".to_owned(), version.to_owned())];
        let plan = PlanFile::new(&copy.info(), "deploy.rhai", &arguments, [], Vec::new(), &told.records);
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("release.plan");
        plan.write(&file).expect("writes");
        PlanFile::read(&file).expect("reads")
    }

    /// The last run.
    fn info(&self) -> RunInfo {
        RunInfo {
            id: RunId::new(format!("r{}", self.runs)).expect("valid"),
            operator: "tester@here".into(),
            started: format!("2026-01-01T00:{:02}:00Z", self.runs),
        }
    }

    /// Runs it, held to this plan.
    pub(super) fn follow(&mut self, plan: Option<PlanFile>, script: &str, version: &str, fault: Fault) -> Told {
        self.runs += 1;
        let run = Arc::new(self.info());
        let fleet = Arc::new(Faulty {
            model: self.model.clone(),
            answer: self.answer,
            fault,
            calls: AtomicUsize::new(0),
            looked: AtomicUsize::new(0),
        });
        let leased = Arc::new(Leased::new(Guard::new(fleet.clone() as Arc<dyn Executor>), Terms::default()));
        let follow = plan.map(|plan| Arc::new(Follow::new(leased.clone(), plan)));
        let within = follow.clone().map_or(leased as Arc<dyn Executor>, |follow| follow);
        let record = Arc::new(Record::new(within));
        let heard = Arc::new(Heard::default());
        let cancellation = Cancellation::default();
        let ended = self.checked(script).run(ScriptRun {
            arguments: vec![("v".into(), version.into())],
            executor: record.clone(),
            narrator: heard.clone(),
            run: run.clone(),
            branches: Branches::InOrder,
            cancellation: cancellation.clone(),
            secrets: Arc::new(NoSecrets),
        });
        let unmade = follow.and_then(|follow| follow.unmade());
        let calls = fleet.calls.load(Ordering::SeqCst) - fleet.looked.load(Ordering::SeqCst);
        let mut records = record.records();
        in_script_order(&mut records);
        let undo = Undo { executor: record.as_ref(), run: &run, branches: Branches::InOrder, cancellation: &cancellation };
        let left = if ended.is_err() { undo.block(&records, "") } else { Vec::new() };
        let unmade = unmade.filter(|_| ended.is_ok()).map(|failure| failure.message);
        let ending = Ending::read(fleet.as_ref(), &records, &run, Branches::InOrder);
        let (state, is_taken_back) = (ending.state(), ending.is_taken_back());
        self.give_back(&run);
        let said = lock(&heard.0).clone();
        Told { ended, unmade, state, is_taken_back, left, calls, records, said }
    }

    /// Gives the run's leases back, without a fault.
    fn give_back(&self, run: &Arc<RunInfo>) {
        for (host, state) in self.model.world().states() {
            for service in state.leases.into_keys() {
                let host = Host::parse(host.as_str()).expect("valid");
                let op = Unlock { host, project: ProjectName::new("shop").expect("valid"), service, release: Release::Free };
                let origin = Origin { file: "the end of the run".into(), line: 1, column: 1 };
                let _ = self.model.perform(&Call::new(op, Key::call("end/", 1), origin, run.clone()));
            }
        }
    }

    /// Runs it without a fault.
    pub(super) fn run(&mut self, script: &str, version: &str) -> Told {
        self.run_with(script, version, Box::new(|_, _| None))
    }

    /// Runs it, and it has to succeed.
    #[track_caller]
    pub(super) fn does(&mut self, script: &str, version: &str) -> Told {
        let told = self.run(script, version);
        if let Err(ended) = &told.ended {
            panic!("{version}: {}", ended.diagnostic.message);
        }
        told
    }

    /// Runs it, and it has to fail and leave everything as it was; returns why it failed.
    #[track_caller]
    pub(super) fn fails(&mut self, script: &str, version: &str) -> String {
        let before = self.fleet();
        let told = self.run(script, version);
        let ended = told.ended.expect_err("it is to fail");
        assert_eq!(self.fleet(), before, "{}", ended.diagnostic.message);
        assert!(matches!(told.state, State::AllOld | State::Unchanged), "{:?}", told.state);
        ended.diagnostic.message
    }

    /// The state of each host.
    pub(super) fn states(&self) -> BTreeMap<HostName, HostState> {
        self.model.world().states()
    }

    /// What is on each host: containers with their state, who gets which traffic, the history.
    pub(super) fn fleet(&self) -> BTreeMap<HostName, Vec<String>> {
        let states = self.model.world().states().into_iter();
        let lines = states.map(|(host, state)| {
            let containers = state.containers.values().map(|container| format!("{} {}", container.name, container.state.word()));
            let routes = state.routes.values().map(|table| format!("{} {:?} {:?}", table.service, table.front, table.shares));
            let history = state.history.values().flatten().map(|entry| format!("{entry:?}"));
            (host, containers.chain(routes).chain(history).collect())
        });
        lines.collect()
    }

    /// The versions that have traffic, by host, with each one's weight; and how many containers run there.
    pub(super) fn serving(&self) -> Vec<String> {
        let states = self.model.world().states().into_iter();
        let lines = states.filter(|(_, state)| !state.routes.is_empty()).map(|(host, state)| {
            let shares = state.routes.values().flat_map(|table| table.shares.values().flatten());
            let shares: Vec<String> = shares.map(|share| format!("{} {}", share.release.version, share.weight)).collect();
            let running = state.containers.values().filter(|container| container.state == ContainerState::Running).count();
            format!("{host}: {}; {running} run", shares.join(", "))
        });
        lines.collect()
    }
}

fn model(world: World) -> Arc<Model<Simulated<Desk>>> {
    Arc::new(Model::new(world, Simulated::new(Kept::default(), Desk)))
}

/// A model in which calls can fail, or are answered otherwise.
struct Faulty {
    model: Arc<Model<Simulated<Desk>>>,
    answer: Answer,
    fault: Fault,
    calls: AtomicUsize,
    /// How many of the last calls have read all releases.
    looked: AtomicUsize,
}

impl Executor for Faulty {
    fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
        let number = if call.key.is_undo() { usize::MAX } else { self.calls.fetch_add(1, Ordering::SeqCst) };
        if !call.key.is_undo() {
            let looks = matches!(&*call.op, Op::Find(find) if find.sought == Sought::Releases);
            self.looked.store(if looks { self.looked.load(Ordering::SeqCst) + 1 } else { 0 }, Ordering::SeqCst);
        }
        match (self.fault)(number, call) {
            Some(failure) => Err(failure),
            None => (self.answer)(call).map_or_else(|| self.model.perform(call), Ok),
        }
    }
}

/// The machine that the scripts are run from.
struct Desk;

impl Executor for Desk {
    fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
        match &*call.op {
            Op::Now(_) => Ok(Outcome::of("2026-01-01T00:00:00Z")),
            Op::ReadEnv(_) => Ok(Outcome::of(None::<String>)),
            Op::CompareVersions(op) => Ok(Outcome::of(Compared::unknown(op.others.len()))),
            other => Err(Failure::failed(format!("{other:?} is not for a test"))),
        }
    }
}

pub(super) struct NoSecrets;

impl SecretNames for NoSecrets {
    fn has(&self, _: &str) -> bool {
        false
    }

    fn in_file(&self, path: &str) -> Result<Vec<String>, Failure> {
        Err(Failure::failed(format!("{path} does not exist")))
    }
}

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Narrator for Heard {
    fn tell(&self, event: Event<'_>) {
        if let Event::Said { text, .. } = event {
            lock(&self.0).push(text.into());
        }
    }
}
