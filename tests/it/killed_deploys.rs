//! A deploy whose process is killed: it is resumed or undone, from here or from a machine that has nothing of it, and no request is
//! lost. A few points at which it dies, which a seed chooses; `scripts/kill-sweep` does all.

use std::env;
use std::time::{Duration, Instant};

use crate::load::{Load, LoadOptions};
use crate::podlift::Project;
use crate::rig::{Output, Rig, RigOptions};

const DEPLOY: &str = r#"
import "std/rolling" as rolling;
project("PROJECT");
let p = params(#{ version: "v1" });
let fleet = hosts(["h1", "h2"]);
let web = service("web", #{ port: 8000, replicas: 1, health: http("/health") });
let img = build(web, #{ tag: p.version, args: #{ VERSION: p.version } });
ship(img, fleet);
rolling::deploy(web, img, fleet);
"#;

/// Two hosts on which a version serves, and what was seen there so far.
struct Serving {
    rig: Rig,
    project: Project,
    version: String,
    deploys: usize,
    requests: usize,
}

impl Serving {
    fn new() -> Self {
        let rig = Rig::up(RigOptions { hosts: 2, client: true, ..RigOptions::default() });
        let project = project(&rig);
        let first = project.podlift(&["run", "deploy.rhai"]);
        assert_eq!(first.code, 0, "{}", first.stderr);
        Self { rig, project, version: "v1".into(), deploys: 1, requests: 0 }
    }

    /// Kills the deploy of a next version, sees to it that all is new or all is old, and that no request was lost. Whether it was
    /// killed: `kill` may come too late.
    fn round(&mut self, how: &str, is_undo: bool, kill: impl FnOnce(&Project, &str) -> bool) -> bool {
        self.deploys += 1;
        let next = format!("v{}", self.deploys);
        let before = self.fleet();
        let load = Load::start(&self.rig, LoadOptions { kept: 12, fresh: 6, ..LoadOptions::on(&self.rig) });
        let was_killed = kill(&self.project, &next);
        if was_killed {
            let settled = self.settled(if is_undo { "undo" } else { "resume" });
            println!("{}", settled.stderr);
            assert_eq!(settled.code, 0, "{how}: {}{}", settled.stdout, settled.stderr);
        }
        let summary = load.finish();
        summary.assert_nothing_lost();
        self.requests += summary.total;
        let after = self.fleet();
        if was_killed && is_undo {
            assert_eq!(after, before, "{how}: an undo leaves everything as it was");
        } else {
            self.version = next;
        }
        for host in ["h1", "h2"] {
            let running: Vec<&String> = after.iter().filter(|line| line.starts_with(host) && line.ends_with("running")).collect();
            assert_eq!(running, [&format!("{host} {} running", self.version)], "{how}: {after:#?}");
            assert!(after.contains(&format!("{host} serves {}", self.version)), "{how}: {after:#?}");
        }
        assert!(!after.iter().any(|line| line.ends_with("created")), "{how}: {after:#?}");
        let ended = if !was_killed {
            "came to its end"
        } else if is_undo {
            "undone"
        } else {
            "resumed"
        };
        println!("--- {how}: {ended}, 0 of {} requests failed", summary.total);
        was_killed
    }

    /// Settles the killed run from a machine that has nothing of it; before any host had a copy, from where it was begun.
    fn settled(&self, verb: &str) -> Output {
        let there = project(&self.rig).podlift(&[verb, "--from", "h1", "--from", "h2"]);
        let words = if verb == "undo" { "cannot be undone" } else { "cannot be resumed" };
        if there.stderr.contains("no such run is kept") || there.stderr.contains(words) {
            println!("no host had a copy yet: from where it was begun");
            return self.project.podlift(&[verb]);
        }
        there
    }

    /// The containers on both hosts, and the versions that serve there.
    fn fleet(&self) -> Vec<String> {
        (1..=2)
            .flat_map(|host| {
                let format = "{{.Label \"podlift.version\"}} {{.State}}";
                let containers = self.rig.exec(host, &["docker", "ps", "-a", "--format", format]).text().to_owned();
                let served = self.rig.exec(host, &["curl", "-sS", "http://127.0.0.1/version"]).text().to_owned();
                let mut lines: Vec<String> = containers.lines().map(|line| format!("h{host} {line}")).collect();
                lines.sort();
                lines.push(format!("h{host} serves {served}"));
                lines
            })
            .collect()
    }
}

fn project(rig: &Rig) -> Project {
    let project = Project::on(rig);
    project.write("deploy.rhai", &DEPLOY.replace("PROJECT", &format!("shop{}", rig.id())));
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

/// Deploys in a process that is killed from outside after this time; whether it had not ended by then.
fn is_killed_after(wait: Duration) -> impl FnOnce(&Project, &str) -> bool {
    move |project, version| {
        let mut run = project.start(&["run", "deploy.rhai", &format!("version={version}")]);
        std::thread::sleep(wait);
        let ended = run.try_wait().expect("it can be asked").is_some();
        let _ = run.kill();
        let _ = run.wait();
        !ended
    }
}

/// Numbers that only the seed decides.
struct Random(u64);

impl Random {
    fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text}")))
}

#[test]
fn a_deploy_that_is_killed_is_resumed_or_undone_and_loses_no_request() {
    let seed = setting("PODLIFT_SEED").unwrap_or(1);
    let mut random = Random(seed);
    // One of each host's part of a deploy, or all from one on until the deploy survives.
    let sample = [(12, 20), (32, 20)].map(|(from, count)| usize::try_from(from + random.below(count)).expect("it is small"));
    let first: Option<usize> = setting("PODLIFT_KILL_FROM");
    let last = setting("PODLIFT_KILL_TO").unwrap_or(usize::MAX);
    let points: Box<dyn Iterator<Item = usize>> = match first {
        Some(first) => Box::new(first..=last),
        None => Box::new(sample.into_iter()),
    };
    let end = setting("PODLIFT_KILL_MINUTES").map(|minutes: u64| Instant::now() + Duration::from_secs(60 * minutes));
    let is_over = || end.is_some_and(|end| Instant::now() >= end);

    let mut serving = Serving::new();
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
    let mut random = Random(seed);
    let mut from_outside = 0;
    while from_outside < setting("PODLIFT_KILLS").unwrap_or(0) && !is_over() {
        let wait = Duration::from_millis(random.below(9000));
        let was_killed = serving.round(&format!("killed from outside after {wait:?}"), from_outside % 2 == 1, is_killed_after(wait));
        from_outside += usize::from(was_killed);
    }
    println!("--- {killed} points and {from_outside} kills from outside survived; 0 of {} requests failed", serving.requests);
}
