//! A run of a script against an executor that only notes the calls.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::json;

use super::{ScriptRun, SecretNames, Stopped, engine, resolver::Resolver, session::lock, sources::Sources};
use crate::{
    executor::{Branches, Call, Cancellation, Event, Executor, Narrator, Outcome, RunInfo},
    failure::Failure,
    model::{Container, ContainerFacts, ContainerState, Health, Host, RunId, Version},
    op::{self, Op},
};

type Answer = Box<dyn Fn(&Call) -> Option<Result<Outcome, Failure>> + Send + Sync>;

/// A script with what it runs against.
#[must_use]
pub(super) struct Recorded {
    script: String,
    arguments: Vec<(String, String)>,
    branches: Branches,
    answers: Vec<Answer>,
    pub(super) cancellation: Cancellation,
    placed: BTreeMap<String, Vec<Container>>,
    weights: u64,
    folder: tempfile::TempDir,
}

/// What happened.
pub(super) struct Story {
    pub(super) result: Result<(), Stopped>,
    pub(super) calls: Vec<Call>,
    pub(super) said: Vec<String>,
    pub(super) sources: Sources,
    /// How often hosts that were given up were to be reached again.
    pub(super) reached_again: usize,
}

/// Two hosts, a service, an image: what most scripts begin with.
pub(super) const PRELUDE: &str = r#"project("shop");
let fleet = hosts(["deploy@10.0.0.1", "deploy@10.0.0.2"]);
let web = service("web", #{ port: 8000, replicas: 2, health: http("/health") });
let img = image("shop-web:v2");
"#;

pub(super) fn script(script: impl Into<String>) -> Recorded {
    Recorded {
        script: script.into(),
        arguments: Vec::new(),
        branches: Branches::default(),
        answers: Vec::new(),
        cancellation: Cancellation::default(),
        placed: BTreeMap::new(),
        weights: 0,
        folder: tempfile::tempdir().expect("a folder"),
    }
}

pub(super) fn deploy(rest: &str) -> Recorded {
    script(format!("{PRELUDE}{rest}"))
}

/// A container of the service `web` as an earlier run left it.
pub(super) fn container(host: &str, version: &str, run: &str, replica: u32, state: ContainerState) -> Container {
    let name = format!("shop-web-{version}-00000000{replica:02}-{replica}");
    let health: Health =
        serde_json::from_value(json!({ "check": { "kind": "http", "path": "/old", "expect": [200] } })).expect("a health check");
    ContainerFacts {
        name: crate::model::ContainerName::new(name).expect("a name"),
        host: Host::parse(host).expect("a host").name.clone(),
        project: crate::model::ProjectName::new("shop").expect("a name"),
        service: crate::model::ServiceName::new("web").expect("a name"),
        version: Version::new(version).expect("a version"),
        run: RunId::new(run).expect("a run"),
        token: crate::model::Token::new("0000000000").expect("a token"),
        replica,
        image: format!("shop-web:{version}"),
        digest: format!("sha256:{version}"),
        address: "127.0.0.1".into(),
        port: Some(20000 + u16::try_from(replica).expect("small")),
        state,
        exit_code: None,
        health,
        dependency: false,
        deployed_at: format!("2026-01-0{}T00:00:00Z", version.trim_start_matches('v')),
        deployed_by: "ann@desk".into(),
    }
    .into()
}

impl Recorded {
    pub(super) fn arguments(mut self, arguments: &[(&str, &str)]) -> Self {
        self.arguments = arguments.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        self
    }

    /// Puts a module beside the script.
    pub(super) fn module(self, name: &str, text: &str) -> Self {
        std::fs::write(self.folder.path().join(format!("{name}.rhai")), text).expect("a file");
        self
    }

    pub(super) fn in_order(mut self) -> Self {
        self.branches = Branches::InOrder;
        self
    }

    pub(super) fn cancelled_by(mut self, cancellation: &Cancellation) -> Self {
        self.cancellation = cancellation.clone();
        self
    }

    /// Answers calls in place of the usual answers.
    pub(super) fn answering(mut self, answer: impl Fn(&Call) -> Option<Result<Outcome, Failure>> + Send + Sync + 'static) -> Self {
        self.answers.push(Box::new(answer));
        self
    }

    /// Version 1 runs on both hosts, with this weight.
    pub(super) fn with_running(mut self, weight: u64) -> Self {
        for host in ["10.0.0.1", "10.0.0.2"] {
            let one = |replica| container(host, "v1", "r1", replica, ContainerState::Running);
            self.placed.insert(host.into(), vec![one(1), one(2)]);
        }
        self.weights = weight;
        self
    }

    pub(super) fn placing(mut self, containers: impl IntoIterator<Item = Container>) -> Self {
        for container in containers {
            self.placed.entry(container.host.to_string()).or_default().push(container);
        }
        self
    }

    pub(super) fn run(self) -> Story {
        let sources = Sources::default();
        let padded = sources.add("deploy.rhai", &self.script).expect("short");
        let ast = engine::language().compile(padded).unwrap_or_else(|error| panic!("{error}"));
        let fake = Arc::new(Fake {
            answers: self.answers,
            placed: self.placed,
            weights: self.weights,
            calls: Mutex::default(),
            said: Mutex::default(),
            reached_again: AtomicUsize::new(0),
        });
        let run = ScriptRun {
            arguments: self.arguments,
            executor: Arc::clone(&fake) as Arc<dyn Executor>,
            narrator: Arc::clone(&fake) as Arc<dyn Narrator>,
            run: Arc::new(RunInfo {
                id: RunId::new("r2").expect("a run"),
                operator: "ann@desk".into(),
                started: "2026-01-09T00:00:00Z".into(),
            }),
            branches: self.branches,
            cancellation: self.cancellation,
            secrets: Arc::new(Names),
        };
        let result = run.perform(&ast, &Resolver::new(sources.clone(), self.folder.path(), self.folder.path()));
        let calls = lock(&fake.calls).clone();
        let said = lock(&fake.said).clone();
        let reached_again = fake.reached_again.load(Ordering::SeqCst);
        Story { result, calls, said, sources, reached_again }
    }

    /// The error that stops it: `LINE: MESSAGE | HINT | …`.
    pub(super) fn fails(self) -> String {
        let story = self.run();
        let stopped = story.result.err().unwrap_or_else(|| panic!("it reached its end, and said {:?}", story.said));
        let failure = stopped.failure().unwrap_or_else(|| panic!("{}", stopped.error));
        let line = failure.origin.as_ref().map_or(0, |origin| origin.line);
        let words: Vec<String> = std::iter::once(failure.to_string()).chain(failure.hints).collect();
        format!("{line}: {}", words.join(" | "))
    }

    /// The message of the error that stops it, wherever it was raised.
    pub(super) fn fails_anywhere(self) -> String {
        let stopped = self.run().result.expect_err("it reached its end");
        stopped.failure().map_or_else(|| stopped.error.to_string(), |failure| failure.message)
    }

    /// What it says with `print`, `info` and `warn`.
    pub(super) fn says(self) -> Vec<String> {
        let story = self.run();
        if let Err(stopped) = story.result {
            panic!("{} {:?}", stopped.error, stopped.failure());
        }
        story.said
    }

    /// The calls, one line each: `KEY HOST VERB DESCRIPTION`, sorted by key.
    pub(super) fn calls(self) -> Vec<String> {
        let story = self.run();
        if let Err(stopped) = &story.result {
            panic!("{} {:?}", stopped.error, stopped.failure());
        }
        story.lines()
    }
}

impl Story {
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .calls
            .iter()
            .map(|call| {
                let host = call.op.host().map_or("-", |host| host.name.as_str());
                format!("{} {host} {} {}", call.key, call.op.verb(), call.op.describe())
            })
            .collect();
        lines.sort();
        lines
    }
}

struct Fake {
    answers: Vec<Answer>,
    placed: BTreeMap<String, Vec<Container>>,
    weights: u64,
    calls: Mutex<Vec<Call>>,
    said: Mutex<Vec<String>>,
    reached_again: AtomicUsize,
}

impl Executor for Fake {
    fn reach_again(&self) {
        self.reached_again.fetch_add(1, Ordering::SeqCst);
    }

    fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
        lock(&self.calls).push(call.clone());
        if let Some(answer) = self.answers.iter().find_map(|answer| answer(call)) {
            return answer;
        }
        Ok(match &*call.op {
            Op::Start(op) => {
                let made = (1..=op.replicas).map(|replica| made(call, op, replica)).collect::<Vec<_>>();
                let undo = op::Remove {
                    host: op.host.clone(),
                    project: op.project.clone(),
                    service: op.service.name.clone(),
                    containers: made.iter().map(|container| container.name.clone()).collect(),
                    proxies: Vec::new(),
                    allow_downtime: false,
                };
                Outcome::of(made).undone_by([undo.into()])
            }
            Op::StartAgain(op) => {
                let all = self.placed.get(op.host.name.as_str()).cloned().unwrap_or_default();
                let again = |mut container: Container| {
                    container.state = ContainerState::Running;
                    container
                };
                Outcome::of(all.into_iter().filter(|container| op.containers.contains(&container.name)).map(again).collect::<Vec<_>>())
            }
            Op::Find(op) => {
                let containers = self.placed.get(op.host.name.as_str()).cloned().unwrap_or_default();
                let weighted = |container: &&Container| container.is_running() && self.weights > 0;
                let weights = containers.iter().filter(weighted).map(|container| (container.name.clone(), self.weights)).collect();
                Outcome::of(op::Found { containers, weights, ..op::Found::default() })
            }
            Op::Healthcheck(op) => Outcome::of(op::Checks { seconds: 1.5, checks: op.containers.len() as u64 }),
            Op::Drain(_) => Outcome::of(op::Drained { waited: 0.5, cut: 1 }),
            Op::Ship(_) => Outcome::of(op::Shipped { sent: 10, reused: 20, seconds: 0.5 }),
            Op::Build(op) => Outcome::of(json!({ "reference": op.reference(), "digest": "sha256:b", "version": op.version })),
            Op::SetWeights(op) => Outcome::of(json!({
                "project": op.project, "service": op.service, "generation": 2, "token": call.token, "front": op.front, "shares": op.changes,
            })),
            Op::Git(_) => Outcome::of(json!({
                "commit": "0123456789012345678901234567890123456789", "short": "0123456", "branch": "main", "tag": null,
                "dirty": false, "difference": "", "message": "first",
            })),
            Op::Hook(_) | Op::Probe(_) => Outcome::of(op::CommandOutput { code: 0, stdout: "out\u{F0000}".into(), stderr: String::new() }),
            Op::HttpGet(_) => Outcome::of(op::HttpResponse { code: 200, body: "ok".into(), seconds: 0.1 }),
            Op::Traffic(_) => Outcome::of(json!({ "requests": 100, "errors": 5, "milliseconds": { "10": 90, "200": 10 } })),
            Op::Reachable(op) => Outcome::of(!op.host.name.as_str().ends_with('2')),
            Op::ReadEnv(op) => Outcome::of((op.name != "MISSING").then(|| format!("value of {}", op.name))),
            Op::ReadFile(op) => Outcome::of(format!("text of {}\u{F0000}", op.path)),
            Op::Now(_) => Outcome::of("2026-01-09T00:00:00Z"),
            Op::Logs(op) => {
                Outcome::of(op.containers.iter().map(|container| json!({ "container": container, "text": "line" })).collect::<Vec<_>>())
            }
            Op::HistoryOf(op) => {
                let entry = |version: &str, at: &str| json!({ "version": version, "image": format!("shop-web:{version}"), "run": "r0", "at": at, "by": "ann@desk" });
                let mut entries = vec![entry("v1", "2026-01-01T00:00:00Z")];
                if op.host.name.as_str().ends_with('1') {
                    entries.insert(0, entry("v2", "2026-01-02T00:00:00Z"));
                }
                Outcome::of(entries)
            }
            _ => Outcome::default(),
        })
    }
}

fn made(call: &Call, op: &op::Start, replica: u32) -> Container {
    ContainerFacts {
        name: Container::name_for(&op.project, &op.service.name, &op.version, &call.token, replica),
        host: op.host.name.clone(),
        project: op.project.clone(),
        service: op.service.name.clone(),
        version: op.version.clone(),
        run: call.run.id.clone(),
        token: call.token.clone(),
        replica,
        image: op.reference.clone(),
        digest: op.digest.clone(),
        address: op.host.bind.clone(),
        port: op.service.port.map(|_| 20000 + u16::try_from(replica).expect("small")),
        state: ContainerState::Running,
        exit_code: None,
        health: op.service.health.clone(),
        dependency: false,
        deployed_at: call.run.started.clone(),
        deployed_by: call.run.operator.clone(),
    }
    .into()
}

impl Narrator for Fake {
    fn tell(&self, event: Event<'_>) {
        lock(&self.said).push(match event {
            Event::Said { text, .. } => text.into(),
            Event::PhaseBegan { title, depth } => format!("{depth}> {title}"),
            Event::PhaseEnded { title, depth, .. } => format!("{depth}< {title}"),
            _ => return,
        });
    }
}

struct Names;

impl SecretNames for Names {
    fn has(&self, name: &str) -> bool {
        ["PW", "TOKEN", ".env.web#URL"].contains(&name)
    }

    fn in_file(&self, path: &str) -> Result<Vec<String>, Failure> {
        if path == ".env.web" { Ok(vec!["URL".into()]) } else { Err(Failure::failed(format!("there is no file {path}"))) }
    }
}
