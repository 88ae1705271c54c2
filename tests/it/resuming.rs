//! A deploy whose process is killed: it is resumed or undone, from here or from a machine that has nothing of it, and no request is
//! lost.

use std::fs;

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

/// Two hosts on which v1 serves.
struct Serving {
    rig: Rig,
    project: Project,
}

impl Serving {
    fn new() -> Self {
        let rig = Rig::up(RigOptions { hosts: 2, client: true, ..RigOptions::default() });
        let project = project(&rig);
        let first = project.podlift(&["run", "deploy.rhai"]);
        assert_eq!(first.code, 0, "{}", first.stderr);
        Self { rig, project }
    }

    /// Deploys a version in a process that dies at this point; whether it did.
    fn killed(&self, version: &str, point: usize) -> bool {
        let mut command = self.project.command(&["run", "deploy.rhai", &format!("version={version}")]);
        let run = crate::rig::output(command.env("PODLIFT_TEST_KILL_AT", point.to_string()), "");
        assert!(run.code == 0 || run.code == -1, "{} {}", run.code, run.stderr);
        run.code == -1
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

#[track_caller]
fn ends(output: &Output, code: i32) {
    assert_eq!(output.code, code, "{}{}", output.stdout, output.stderr);
}

/// Where the points come from: all of them where `PODLIFT_KILL_SWEEP` is set, else a few that a seed chooses.
fn points(seed: u64) -> Vec<usize> {
    if std::env::var_os("PODLIFT_KILL_SWEEP").is_some() {
        return (0..).take(1000).collect();
    }
    // One of each phase of a deploy: image, first host, second host, its end.
    let mut state = seed;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    [(12, 20), (32, 20)].map(|(from, count)| usize::try_from(from + random(count)).expect("it is small")).to_vec()
}

fn seed() -> u64 {
    std::env::var("PODLIFT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1)
}

/// Resumes the killed run from a machine that has nothing of it; before any host had a copy, from where it was begun.
fn resumed(serving: &Serving) -> Output {
    let elsewhere = project(&serving.rig);
    let there = elsewhere.podlift(&["resume", "--from", "h1", "--from", "h2"]);
    if there.stderr.contains("no such run is kept") || there.stderr.contains("cannot be resumed") {
        println!("no host had a copy yet: from where it was begun");
        return serving.project.podlift(&["resume"]);
    }
    there
}

fn undone(serving: &Serving) -> Output {
    let elsewhere = project(&serving.rig);
    let there = elsewhere.podlift(&["undo", "--from", "h1", "--from", "h2"]);
    if there.stderr.contains("no such run is kept") || there.stderr.contains("cannot be undone") {
        println!("no host had a copy yet: from where it was begun");
        return serving.project.podlift(&["undo"]);
    }
    there
}

/// Kills one deploy, sees to it that all is new or all is old, and that no request was lost. Returns what serves then, or nothing
/// where the deploy came to its end.
fn round(serving: &Serving, serves: &str, version: &str, is_undo: bool, kill: impl Fn() -> bool) -> Option<String> {
    let before = serving.fleet();
    let load = Load::start(&serving.rig, LoadOptions { kept: 12, fresh: 6, ..LoadOptions::on(&serving.rig) });
    let was_killed = kill();
    if was_killed {
        let settled = if is_undo { undone(serving) } else { resumed(serving) };
        println!("{}", settled.stderr);
        ends(&settled, 0);
    }
    load.finish().assert_nothing_lost();
    let after = serving.fleet();
    if was_killed && is_undo {
        assert_eq!(after, before, "an undo leaves everything as it was");
        return Some(serves.to_owned());
    }
    for host in ["h1", "h2"] {
        let running: Vec<&String> = after.iter().filter(|line| line.starts_with(host) && line.ends_with("running")).collect();
        assert_eq!(running, [&format!("{host} {version} running")], "{after:#?}");
        assert!(after.contains(&format!("{host} serves {version}")), "{after:#?}");
    }
    assert!(!after.iter().any(|line| line.ends_with("created")), "{after:#?}");
    was_killed.then(|| version.to_owned())
}

#[test]
fn a_deploy_that_is_killed_is_resumed_or_undone_and_loses_no_request() {
    let serving = Serving::new();
    let mut serves = "v1".to_owned();
    let mut number = 1;
    'points: for point in points(seed()) {
        for is_undo in [false, true] {
            number += 1;
            let version = format!("v{number}");
            println!("--- killed at point {point}, then {}", if is_undo { "undone" } else { "resumed" });
            if let Some(now) = round(&serving, &serves, &version, is_undo, || serving.killed(&version, point)) {
                serves = now;
            } else {
                println!("--- {point} points in all, each survived");
                serves = version;
                break 'points;
            }
        }
    }
    if std::env::var_os("PODLIFT_KILL_SWEEP").is_none() {
        return;
    }
    let mut state = seed();
    let mut killed = 0;
    while killed < 30 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let wait = std::time::Duration::from_millis((state >> 33) % 9000);
        number += 1;
        let version = format!("v{number}");
        println!("--- killed from outside after {wait:?}");
        let kill = || {
            let mut run = serving.project.start(&["run", "deploy.rhai", &format!("version={version}")]);
            std::thread::sleep(wait);
            let ended = run.try_wait().expect("it can be asked").is_some();
            let _ = run.kill();
            let _ = run.wait();
            !ended
        };
        if let Some(now) = round(&serving, &serves, &version, killed % 2 == 1, kill) {
            serves = now;
            killed += 1;
        } else {
            serves = version;
        }
    }
    println!("--- 30 kills from outside, each survived; {serves} serves");
}

/// A project whose script does things on this machine only.
fn local() -> Project {
    let project = Project::new();
    project.write(
        "deploy.rhai",
        "hook(\"local\", \"echo one >>done\");\nhook(\"local\", \"echo two >>done\", #{ undo: \"echo back >>done\" });\nhook(\"local\", \"echo three >>done\");\n",
    );
    project
}

/// Runs it in a process that dies at this point.
#[track_caller]
fn killed_at(project: &Project, point: usize) {
    let mut command = project.command(&["run", "deploy.rhai"]);
    assert_eq!(crate::rig::output(command.env("PODLIFT_TEST_KILL_AT", point.to_string()), "").code, -1);
}

fn done(project: &Project) -> Vec<String> {
    fs::read_to_string(project.path().join("done")).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[test]
fn a_command_that_nobody_saw_end_is_asked_about() {
    let project = local();
    // The second command was done, and its answer was lost.
    killed_at(&project, 6);
    assert_eq!(done(&project), ["one", "two"]);
    let asked = project.podlift(&["resume"]);
    ends(&asked, 7);
    assert!(asked.stderr.contains("--in-doubt") && asked.stderr.contains("podlift resume"), "{}", asked.stderr);
    ends(&project.podlift(&["resume", "--in-doubt", "done"]), 0);
    assert_eq!(done(&project), ["one", "two", "three"]);
    let again = project.podlift(&["resume"]);
    ends(&again, 3);
    assert!(again.stderr.contains("it reached its end"), "{}", again.stderr);

    let project = local();
    killed_at(&project, 6);
    ends(&project.podlift(&["resume", "--in-doubt", "redo"]), 0);
    assert_eq!(done(&project), ["one", "two", "two", "three"]);

    let project = local();
    killed_at(&project, 6);
    ends(&project.podlift(&["undo", "--in-doubt", "done"]), 0);
    assert_eq!(done(&project), ["one", "two", "back"]);
    let runs = project.podlift(&["runs", "--json"]);
    assert!(runs.text().contains("\"state\":\"undone\""), "{}", runs.stdout);
}

#[test]
fn a_run_is_shown_and_listed() {
    let project = local();
    killed_at(&project, 6);
    let runs = project.podlift(&["runs"]);
    assert!(runs.text().contains("interrupted") && runs.text().contains("deploy.rhai"), "{}", runs.stdout);
    let shown = project.podlift(&["show"]);
    for words in ["✓ 1", "? 2", "in doubt", "missing: what comes behind deploy.rhai:2", "podlift resume"] {
        assert!(shown.text().contains(words), "{words:?} is not in\n{}", shown.stdout);
    }
    let json: serde_json::Value = serde_json::from_str(project.podlift(&["show", "--json"]).text()).expect("JSON");
    assert_eq!((&json["state"], &json["calls"][1]["state"]), (&"interrupted".into(), &"in-doubt".into()));
    ends(&project.podlift(&["show", "nothing"]), 3);
}

#[test]
fn a_changed_script_is_refused_with_both_calls_shown() {
    let project = local();
    killed_at(&project, 8);
    let text = fs::read_to_string(project.path().join("deploy.rhai")).expect("it is there");
    project.write("other.rhai", &text.replace("echo two", "echo second"));
    let refused = project.podlift(&["resume", "--script", "other.rhai"]);
    ends(&refused, 3);
    for words in ["call 2 is not the one that was recorded", "echo two", "echo second", "nothing was done or undone"] {
        assert!(refused.stderr.contains(words), "{words:?} is not in\n{}", refused.stderr);
    }
    project.write("other.rhai", "hook(\"local\", \"echo one >>done\");\n");
    let refused = project.podlift(&["resume", "--script", "other.rhai"]);
    assert!(refused.stderr.contains("call 2 was recorded, and the script does not make it"), "{}", refused.stderr);
    assert_eq!(done(&project), ["one", "two"]);

    project.write("other.rhai", &format!("// corrected\n{}", text.replace("echo three", "echo four")));
    ends(&project.podlift(&["resume", "--script", "other.rhai"]), 0);
    assert_eq!(done(&project), ["one", "two", "four"]);
}

#[test]
fn a_run_that_goes_on_cannot_be_resumed_and_its_secrets_are_asked_for() {
    let project = Project::new();
    project.write(
        "deploy.rhai",
        "hook(\"local\", \"echo up >>done; sleep 30\");\nhook(\"local\", \"true\", #{ env: #{ T: secret(\"PW\") } });\n",
    );
    let mut running = project.command(&["run", "deploy.rhai"]).env("PW", "x").stderr(std::process::Stdio::null()).spawn().expect("starts");
    crate::until::until("the command runs", || !done(&project).is_empty());
    for verb in ["resume", "undo"] {
        let refused = project.podlift(&[verb]);
        ends(&refused, 3);
        assert!(refused.stderr.contains("it is still running"), "{}", refused.stderr);
    }
    running.kill().expect("it runs");
    running.wait().expect("it ends");
    let refused = project.podlift(&["resume"]);
    ends(&refused, 3);
    assert!(refused.stderr.contains("PW"), "{}", refused.stderr);
}
