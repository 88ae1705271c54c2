//! A deploy whose process is killed, by each strategy: it is resumed or undone, from here or from a machine that has nothing of it,
//! and no request is lost. A few points at which it dies, which a seed chooses; `scripts/kill-sweep` does all.

use std::env;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::load::{Load, LoadOptions};
use crate::podlift::Project;
use crate::rig::{Output, Rig, RigOptions};
use crate::until::until;

const DEPLOY: &str = r#"
import "std/blue_green" as blue_green;
import "std/canary" as canary;
import "std/deploy" as deploy;
import "std/recreate" as recreate;
import "std/rollback" as rollback;
import "std/rolling" as rolling;
import "std/workers" as workers;
project("PROJECT");
let p = params(#{ version: "v1" });
let fleet = hosts(["h1", "h2"]);
let web = service("web", SERVICE);
let args = #{ VERSION: p.version };
fn image(web, version, fleet) {
    let img = build(web, #{ tag: version, args: #{ VERSION: version } });
    ship(img, fleet);
    img
}
HOW
"#;

/// A strategy, and what can be asked of it.
pub struct Strategy {
    service: &'static str,
    how: &'static str,
    /// How many changes of images come first, its build and what is shipped. Each change has four points.
    images: u64,
    /// How many changes of the hosts come then.
    changes: u64,
    /// Whether there is no moment without a release that serves.
    is_seamless: bool,
    serves: bool,
}

const SERVICE: &str = "#{ port: 8000, replicas: 1, health: http(\"/health\") }";
pub const ROLLING: Strategy = Strategy {
    service: SERVICE,
    how: "rolling::deploy(web, image(web, p.version, fleet), fleet);",
    images: 3,
    changes: 10,
    is_seamless: true,
    serves: true,
};
const BLUE_GREEN: Strategy = Strategy {
    how: "blue_green::deploy(web, image(web, p.version, fleet), fleet, #{
        preview: #{ header: \"X-Preview: green\" }, soak: \"1s\",
        test: |green| for page in http_get([green, \"/version\"]) { ensure(page.code == 200, page.body) },
    });",
    changes: 12,
    ..ROLLING
};
const CANARY: Strategy = Strategy {
    how: "canary::deploy(web, image(web, p.version, fleet), fleet, #{ steps: [20, 100], pause: \"1s\", sticky: \"seat\", gates: [] });",
    changes: 12,
    ..ROLLING
};
const RECREATE: Strategy = Strategy { how: "recreate::deploy(web, image(web, p.version, fleet), fleet);", is_seamless: false, ..ROLLING };
const WHOLE: Strategy = Strategy {
    how: "deploy::run(web, fleet, #{ tag: p.version, build: #{ args: args }, after: [|release| ensure(release.version == p.version, \"\")] });",
    ..ROLLING
};
const ROLLBACK: Strategy = Strategy {
    // Two releases first, then from one to the other.
    how: "if releases(web, fleet).len < 2 { rolling::deploy(web, image(web, p.version, fleet), fleet) } else { rollback::to(web, fleet, p.version) }",
    images: 0,
    ..ROLLING
};
const WORKERS: Strategy = Strategy {
    service: "#{ replicas: 1, health: no_health() }",
    how: "workers::deploy(web, image(web, p.version, fleet), fleet, #{ watch: \"1s\" });",
    changes: 6,
    serves: false,
    is_seamless: false,
    ..ROLLING
};

/// Two hosts on which a version serves, and what was seen there so far.
pub struct Serving {
    strategy: &'static Strategy,
    pub rig: Rig,
    pub project: Project,
    pub version: String,
    deploys: usize,
    pub requests: usize,
}

impl Serving {
    pub fn new(strategy: &'static Strategy) -> Self {
        let rig = Rig::up(RigOptions { hosts: 2, client: true, ..RigOptions::default() });
        let project = project(&rig, strategy);
        for version in ["v1", "v2"] {
            let first = project.podlift(&["run", "deploy.rhai", &format!("version={version}")]);
            assert_eq!(first.code, 0, "{}", first.stderr);
        }
        Self { strategy, rig, project, version: "v2".into(), deploys: 2, requests: 0 }
    }

    /// The version that comes next: a new one, or for a rollback the other of two.
    pub fn next(&mut self) -> String {
        self.deploys += 1;
        match self.version.as_str() {
            "v2" if self.strategy.how.contains("rollback") => "v1".into(),
            "v1" => "v2".into(),
            _ => format!("v{}", self.deploys),
        }
    }

    /// Kills the deploy of a next version, sees to it that all is new or all is old, and that no request was lost. Whether it was
    /// killed: `kill` may come too late.
    fn round(&mut self, how: &str, is_undo: bool, kill: impl FnOnce(&Project, &str) -> bool) -> bool {
        let next = self.next();
        let mut before = self.fleet();
        let load = || Load::start(&self.rig, LoadOptions { kept: 12, fresh: 6, ..LoadOptions::on(&self.rig) });
        let load = self.strategy.is_seamless.then(load);
        let was_killed = kill(&self.project, &next);
        let mut pruned = String::new();
        if was_killed {
            let settled = self.settled(if is_undo { "undo" } else { "resume" });
            println!("{}", settled.stderr);
            pruned = settled.stderr.lines().filter(|line| line.starts_with("! ") && line.contains("pruned")).collect();
            assert_eq!(settled.code, 0, "{how}: {}{}", settled.stdout, settled.stderr);
            let all = format!("done: {} changes", self.strategy.changes);
            assert!(is_undo || settled.stderr.contains(&all), "{how}: {all}: {}", settled.stderr);
        }
        let summary = load.map(Load::finish);
        summary.iter().for_each(crate::load::Summary::assert_nothing_lost);
        let requests = summary.map_or(0, |summary| summary.total);
        self.requests += requests;
        let after = self.fleet();
        if was_killed && is_undo {
            before.retain(|line| after.contains(line) || !is_told(line, &pruned));
            assert_eq!(after, before, "{how}: an undo leaves everything as it was, but for old releases that it says were pruned");
        } else {
            self.version = next;
        }
        self.assert_runs(&self.version, &[1, 2], how);
        let ended = if !was_killed {
            "came to its end"
        } else if is_undo {
            "undone"
        } else {
            "resumed"
        };
        println!("--- {how}: {ended}, 0 of {requests} requests failed");
        was_killed
    }

    /// Settles the killed run from a machine that has nothing of it; before any host had a copy, from where it was begun.
    fn settled(&self, verb: &str) -> Output {
        let there = project(&self.rig, self.strategy).podlift(&[verb, "--from", "h1", "--from", "h2"]);
        let words = if verb == "undo" { "cannot be undone" } else { "cannot be resumed" };
        if there.stderr.contains("no such run is kept") || there.stderr.contains(words) {
            println!("no host had a copy yet: from where it was begun");
            return self.project.podlift(&[verb]);
        }
        there
    }

    /// On each of these hosts only this version runs and serves, and nothing is half made.
    #[track_caller]
    pub fn assert_runs(&self, version: &str, hosts: &[usize], how: &str) {
        for host in hosts {
            let there = self.on(*host);
            let running: Vec<&String> = there.iter().filter(|line| line.ends_with("running")).collect();
            assert_eq!(running, [&format!("h{host} {version} running")], "{how}: {there:#?}");
            assert!(!self.strategy.serves || there.contains(&format!("h{host} serves {version}")), "{how}: {there:#?}");
            assert!(!there.iter().any(|line| line.ends_with("created")), "{how}: {there:#?}");
        }
    }

    /// The containers on both hosts, and the versions that serve there.
    pub fn fleet(&self) -> Vec<String> {
        (1..=2).flat_map(|host| self.on(host)).collect()
    }

    /// The containers on a host, and the version that serves there.
    pub fn on(&self, host: usize) -> Vec<String> {
        let format = "{{.Label \"podlift.version\"}} {{.State}}";
        let containers = self.rig.exec(host, &["docker", "ps", "-a", "--format", format]).text().to_owned();
        let mut lines: Vec<String> = containers.lines().map(|line| format!("h{host} {line}")).collect();
        lines.sort();
        if self.strategy.serves {
            let served = self.rig.exec(host, &["curl", "-sS", "http://127.0.0.1/version"]).text().to_owned();
            lines.push(format!("h{host} serves {served}"));
        }
        lines
    }
}

/// Whether a stopped release of a host, `h1 v3 exited`, is among those that are said to be pruned.
fn is_told(release: &str, pruned: &str) -> bool {
    let words: Vec<&str> = release.split(' ').collect();
    matches!(words[..], [host, version, "exited"] if pruned.split("! ").any(|line|
        line.starts_with(&format!("{host}: ")) && line.split([' ', ',']).any(|word| word == version)))
}

pub fn project(rig: &Rig, strategy: &Strategy) -> Project {
    let project = Project::on(rig);
    let script = DEPLOY.replace("SERVICE", strategy.service).replace("HOW", strategy.how);
    project.write("deploy.rhai", &script.replace("PROJECT", &format!("shop{}", rig.id())));
    project
}

/// Deploys in a process that dies at this point; whether it did.
fn dies_at(point: usize) -> impl FnOnce(&Project, &str) -> bool {
    move |project, version| {
        let mut command = project.command(&["run", "deploy.rhai", &format!("version={version}")]);
        let run = crate::rig::output(command.env("PODLIFT_TEST_KILL_AT", point.to_string()), "");
        assert!(run.code == 0 || run.code == -1, "{} {}", run.code, run.stderr);
        run.code == -1
    }
}

/// Deploys in a process that is killed from outside so long after its run has begun; whether it had not ended by then.
fn is_killed_after(wait: Duration) -> impl FnOnce(&Project, &str) -> bool {
    move |project, version| {
        let before = newest_journal(project);
        let mut run = project.start(&["run", "deploy.rhai", &format!("version={version}")]);
        // Before that there is no run that could be resumed or undone.
        until("the run has begun", || newest_journal(project) != before);
        std::thread::sleep(wait);
        let ended = run.try_wait().expect("it can be asked").is_some();
        let _ = run.kill();
        let _ = run.wait();
        !ended
    }
}

fn newest_journal(project: &Project) -> Option<PathBuf> {
    let runs = std::fs::read_dir(project.path().join(".podlift/runs")).into_iter().flatten().flatten();
    let journals = runs.map(|run| run.path().join("journal.jsonl"));
    journals.filter(|journal| std::fs::metadata(journal).is_ok_and(|journal| journal.len() > 0)).max()
}

/// Numbers that only the seed decides.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// A setting of `scripts/kill-sweep`.
pub fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text}")))
}

#[test]
fn a_deploy_that_is_killed_is_resumed_or_undone_and_loses_no_request() {
    survives(&ROLLING, 2);
}

#[test]
fn a_killed_blue_green_is_resumed_or_undone() {
    survives(&BLUE_GREEN, 1);
}

#[test]
fn a_killed_canary_is_resumed_or_undone() {
    survives(&CANARY, 1);
}

#[test]
fn a_killed_recreate_is_resumed_or_undone() {
    survives(&RECREATE, 1);
}

#[test]
fn a_killed_whole_deploy_is_resumed_or_undone() {
    survives(&WHOLE, 1);
}

#[test]
fn a_killed_rollback_is_resumed_or_undone() {
    survives(&ROLLBACK, 1);
}

#[test]
fn a_killed_deploy_of_workers_is_resumed_or_undone() {
    survives(&WORKERS, 1);
}

/// Kills deploys of a strategy at so many points, each in one part of it, or at those that the environment names.
fn survives(strategy: &'static Strategy, samples: u64) {
    let seed = setting("PODLIFT_SEED").unwrap_or(1);
    let mut random = Random(seed);
    // One in each part of a deploy behind its build, or all from one on until the deploy survives.
    let (images, part) = (4 * strategy.images, 4 * strategy.changes / samples);
    let sample = (0..samples).map(|sample| usize::try_from(images + sample * part + random.below(part)).expect("it is small"));
    let sample: Vec<usize> = sample.collect();
    let first: Option<usize> = setting("PODLIFT_KILL_FROM");
    let last = setting("PODLIFT_KILL_TO").unwrap_or(usize::MAX);
    let points: Box<dyn Iterator<Item = usize>> = match first {
        Some(first) => Box::new((first..=last).step_by(setting("PODLIFT_KILL_EVERY").unwrap_or(1))),
        None => Box::new(sample.into_iter()),
    };
    let end = setting("PODLIFT_KILL_MINUTES").map(|minutes: u64| Instant::now() + Duration::from_secs(60 * minutes));
    let is_over = || end.is_some_and(|end| Instant::now() >= end);

    let mut serving = Serving::new(strategy);
    let mut killed = 0;
    for point in points {
        if is_over() {
            println!("--- it is time: go on with --points {point}-");
            break;
        }
        let rounds = [false, true].map(|is_undo| serving.round(&format!("point {point}"), is_undo, dies_at(point)));
        if rounds == [false, false] {
            println!("--- a deploy has {point} points in all");
            break;
        }
        killed += 1;
    }
    assert!(first.is_some() || killed == samples, "a deploy has fewer points than its strategy says");
    let mut random = Random(seed);
    let mut from_outside = 0;
    while from_outside < setting("PODLIFT_KILLS").unwrap_or(0) && !is_over() {
        let wait = Duration::from_millis(random.below(9000));
        let was_killed = serving.round(&format!("killed from outside after {wait:?}"), from_outside % 2 == 1, is_killed_after(wait));
        from_outside += usize::from(was_killed);
    }
    println!("--- {killed} points and {from_outside} kills from outside survived; 0 of {} requests failed", serving.requests);
}
