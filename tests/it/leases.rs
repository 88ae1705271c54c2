//! One run at a time: what two operators at once, sleepers and killed runs meet on real hosts.

use std::{
    process::{Child, Command},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::podlift::Project;
use crate::rig::{Output, Rig, RigOptions, output};
use crate::until::until;

/// Takes leases and keeps them for a while.
const HOLD: &str = r#"
project("shop");
let p = params(#{ hosts: "h1", pause: "0s" });
lock(service("web", #{}), hosts(p.hosts.split(",")));
pause(p.pause);
"#;

fn project(rig: &Rig) -> Project {
    let project = Project::on(rig);
    project.write("hold.rhai", HOLD);
    project
}

/// The leases on hosts, as `HOST OWNER'S RUN STATE`.
pub fn leases(project: &Project, name: &str, hosts: &[&str]) -> Vec<(String, String, String)> {
    let hosts = hosts.iter().flat_map(|host| ["--host", host]);
    let arguments: Vec<&str> = ["lock", "status", "--project", name, "--json"].into_iter().chain(hosts).collect();
    let output = project.podlift(&arguments);
    let rows: Vec<Value> = serde_json::from_str(output.text()).expect("an array");
    let word = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    rows.iter().map(|row| (word(row, "host"), word(row, "run"), word(row, "state"))).collect()
}

fn hosts_of(leases: &[(String, String, String)]) -> Vec<&str> {
    leases.iter().map(|(host, ..)| host.as_str()).collect()
}

pub fn signal(child: &Child, name: &str) {
    output(Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]), "").text();
}

pub fn ended(child: Child) -> Output {
    let output = child.wait_with_output().expect("it is our child");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Output { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn of_two_operators_at_once_one_is_refused_or_waits() {
    let rig = Rig::up(RigOptions { hosts: 3, nginx: false, ..RigOptions::default() });
    let project = project(&rig);
    let first = project.start(&["run", "hold.rhai", "hosts=h2,h1", "pause=10m"]);
    until("the first one has both", || leases(&project, "shop", &["h1", "h2", "h3"]).len() == 2);
    // Another user of the same host, to whom Docker's group lets it through.
    let refused = project.podlift(&["run", "hold.rhai", "hosts=h3,d2"]);
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    for words in ["web on d2 is locked: the run ", "(hold.rhai hosts=h2,h1 pause=10m) of ", " is at work there since ", "`--wait 10m`"] {
        assert!(refused.stderr.contains(words), "{words:?} is not in\n{}", refused.stderr);
    }
    assert_eq!(hosts_of(&leases(&project, "shop", &["h1", "h2", "h3"])), ["h1", "h2"], "it has given h3 back");
    let kept = project.podlift(&["lock", "release", "--host", "h1", "--project", "shop"]);
    assert_eq!(kept.code, 3, "{}", kept.stderr);

    let mut waiting = project.start(&["run", "hold.rhai", "hosts=h2,h3", "--wait", "2m"]);
    let dry = project.podlift(&["run", "hold.rhai", "hosts=h3", "--dry-run"]);
    assert_eq!(dry.code, 0, "{}", dry.stderr);
    assert!(waiting.try_wait().expect("it is our child").is_none(), "it waits");
    signal(&first, "INT");
    assert_eq!(ended(first).code, 7);
    let waited = ended(waiting);
    assert_eq!(waited.code, 0, "{}", waited.stderr);
    assert_eq!(hosts_of(&leases(&project, "shop", &["h1", "h2", "h3"])), Vec::<&str>::new(), "a run that changed nothing gives all back");

    let both = ["hosts=h1,h2,h3", "hosts=d3,d2,d1"].map(|hosts| project.start(&["run", "hold.rhai", hosts, "pause=1s", "--wait", "2m"]));
    for operator in both {
        let output = ended(operator);
        assert_eq!(output.code, 0, "{}", output.stderr);
    }
}

#[test]
fn a_killed_runs_lease_runs_out_and_the_next_run_names_it() {
    let rig = Rig::up(RigOptions { nginx: false, ..RigOptions::default() });
    let project = project(&rig);
    let mut killed = project.start(&["run", "hold.rhai", "pause=10m", "--lease", "3s"]);
    until("it has the lease", || leases(&project, "shop", &["h1"]).len() == 1);
    killed.kill().expect("it runs");
    killed.wait().expect("it is our child");
    until("it has run out", || leases(&project, "shop", &["h1"]).iter().all(|(.., state)| state == "run out"));
    let run = leases(&project, "shop", &["h1"])[0].1.clone();
    let refused = project.podlift(&["run", "hold.rhai", "--wait", "10m"]);
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    for words in [run.as_str(), "did not come to its end", "`podlift lock release --host h1 --project shop`"] {
        assert!(refused.stderr.contains(words), "{words:?} is not in\n{}", refused.stderr);
    }
    let released = project.podlift(&["lock", "release", "hold.rhai"]);
    assert_eq!(released.code, 0, "{}", released.stderr);
    assert_eq!(project.podlift(&["run", "hold.rhai"]).code, 0);
}

#[test]
fn a_run_that_was_killed_while_it_took_its_first_lease_gives_it_back_when_it_is_undone() {
    let rig = Rig::up(RigOptions { nginx: false, ..RigOptions::default() });
    let project = project(&rig);
    let mut killed = project.start(&["run", "hold.rhai", "pause=10m"]);
    until("it has the lease", || leases(&project, "shop", &["h1"]).len() == 1);
    killed.kill().expect("it runs");
    killed.wait().expect("it is our child");
    // As if it had been killed between the host's answer and its record.
    let run = leases(&project, "shop", &["h1"])[0].1.clone();
    let file = project.path().join(".podlift/runs").join(run).join("journal.jsonl");
    let text = std::fs::read_to_string(&file).expect("a journal");
    let intent = text.find("\"kind\":\"intent\"").expect("the intent of the lease");
    let end = intent + text[intent..].find('\n').expect("a whole line") + 1;
    std::fs::write(&file, &text[..end]).expect("writes");
    let undone = project.podlift(&["undo"]);
    assert_eq!(undone.code, 0, "{}", undone.stderr);
    assert_eq!(leases(&project, "shop", &["h1"]).len(), 0);
}

const COMMANDS: &str = r#"
project("shop");
lock(service("web", #{}), host("h1"));
hook("local", "echo one >>done", #{ undo: "echo back >>done" });
hook("local", "echo two >>done");
"#;

#[test]
fn a_run_goes_on_or_is_taken_back_only_with_the_leases_that_it_had() {
    let rig = Rig::up(RigOptions { nginx: false, ..RigOptions::default() });
    let project = project(&rig);
    project.write("commands.rhai", COMMANDS);
    let mut command = project.command(&["run", "commands.rhai"]);
    // The first command was done; the second one was not asked for.
    let killed = output(command.env("PODLIFT_TEST_KILL_AT", "6"), "");
    assert_eq!(killed.code, -1, "{}", killed.stderr);
    let run = leases(&project, "shop", &["h1"])[0].1.clone();
    assert_eq!(project.podlift(&["lock", "release", "commands.rhai"]).code, 0);
    let holder = project.start(&["run", "hold.rhai", "pause=10m"]);
    until("another run has the lease", || leases(&project, "shop", &["h1"]).iter().any(|(_, of, _)| *of != run));

    let done = || std::fs::read_to_string(project.path().join("done")).expect("the first command was done");
    let journal = || std::fs::read_to_string(project.path().join(".podlift/runs").join(&run).join("journal.jsonl")).expect("it is kept");
    for verb in ["resume", "undo"] {
        let refused = project.podlift(&[verb, &run]);
        assert_eq!(refused.code, 3, "{}", refused.stderr);
        assert!(refused.stderr.contains("web on h1 is locked"), "{}", refused.stderr);
        assert_eq!(done(), "one\n", "{verb} has done something");
        assert!(!journal().contains("\"undoing\""), "{}", journal());
    }

    let mut waiting = project.start(&["resume", &run, "--wait", "2m"]);
    assert!(waiting.try_wait().expect("it is our child").is_none(), "it waits");
    signal(&holder, "INT");
    assert_eq!(ended(holder).code, 7);
    let resumed = ended(waiting);
    assert_eq!(resumed.code, 0, "{}", resumed.stderr);
    assert_eq!(done(), "one\ntwo\n");
    assert_eq!(hosts_of(&leases(&project, "shop", &["h1"])), Vec::<&str>::new());
}

const DEPLOY: &str = r#"
import "std/rolling" as rolling;
project("PROJECT");
let p = params(#{ version: "v1", health: 200 });
let web = service("web", #{
    port: 8000, replicas: 1, health: http("/health", #{ timeout: "5m" }), env: #{ HEALTH_STATUS: `${p.health}` },
});
let img = build(web, #{ tag: p.version, args: #{ VERSION: p.version } });
ship(img, host("h1"));
rolling::deploy(web, img, host("h1"));
"#;

#[test]
fn a_run_that_slept_while_another_took_over_changes_nothing_when_it_wakes_up() {
    let rig = Rig::up(RigOptions::default());
    let project = Project::on(&rig);
    // Tests share this machine's engine, in which a name is one image.
    let name = format!("shop{}", rig.id());
    project.write("deploy.rhai", &DEPLOY.replace("PROJECT", &name));
    let first = project.podlift(&["run", "deploy.rhai"]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    let sleeper = project.start(&["run", "deploy.rhai", "version=v2", "health=503", "--lease", "3s"]);
    let engine = |arguments: &[&str]| rig.exec(1, &[&["docker"], arguments].concat()).text().to_owned();
    until("it waits for health", || engine(&["ps", "--format", "{{.Names}}"]).contains("-web-v2-"));
    signal(&sleeper, "STOP");
    until("its lease has run out", || leases(&project, &name, &["h1"]).iter().any(|(.., state)| state == "run out"));
    let refused = project.podlift(&["run", "deploy.rhai", "version=v3"]);
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    let released = project.podlift(&["lock", "release", "deploy.rhai"]);
    assert_eq!(released.code, 0, "{}", released.stderr);
    let other = project.podlift(&["run", "deploy.rhai", "version=v3"]);
    assert_eq!(other.code, 0, "{}", other.stderr);

    let now = || rig.exec(1, &["date", "+%s.%N"]).text().to_owned();
    let begin = now();
    signal(&sleeper, "CONT");
    let woken = ended(sleeper);
    println!("--- exit {}\n{}", woken.code, woken.stderr);
    assert_eq!(woken.code, 6, "{}", woken.stderr);
    assert!(
        woken.stderr.contains("has taken the lease of web on h1 over") || woken.stderr.contains("was taken from this run"),
        "{}",
        woken.stderr
    );
    let seen = engine(&[
        "events",
        "--since",
        &begin,
        "--until",
        &now(),
        "--filter",
        "type=container",
        "--format",
        "{{.Action}} {{.Actor.Attributes.name}}",
    ]);
    assert_eq!(seen, "", "the sleeper changed something");
    assert_eq!(rig.exec(1, &["curl", "-sS", "http://127.0.0.1/version"]).stdout, "v3\n");
}

/// Runs a command on a host, waits for a file, and runs another one there or here.
const HOOKS: &str = r#"
project("shop");
let p = params(#{ then: "host" });
hook(host("h1"), "echo one >>/var/tmp/done");
hook("local", "touch waits; while [ ! -e go ]; do sleep 0.1; done");
if p.then == "host" {
    hook(host("h1"), "echo two >>/var/tmp/done");
} else {
    hook("local", "echo two >>done");
}
"#;

#[test]
fn two_operators_do_not_run_commands_on_a_host_side_by_side_and_a_stale_run_runs_none() {
    let rig = Rig::up(RigOptions { nginx: false, ..RigOptions::default() });
    let project = project(&rig);
    project.write("hooks.rhai", HOOKS);
    let there = || rig.exec(1, &["sh", "-c", "cat /var/tmp/done 2>/dev/null"]).stdout;
    for then in ["host", "here"] {
        rig.exec(1, &["rm", "-f", "/var/tmp/done"]).text();
        let [waits, go, done] = ["waits", "go", "done"].map(|name| project.path().join(name));
        for file in [&waits, &go, &done] {
            let _ = std::fs::remove_file(file);
        }
        let sleeper = project.start(&["run", "hooks.rhai", &format!("then={then}"), "--lease", "3s"]);
        until("it waits", || waits.exists());
        let refused = project.podlift(&["run", "hooks.rhai"]);
        assert_eq!(refused.code, 3, "{}", refused.stderr);
        assert!(refused.stderr.contains("shop on h1 is locked: the run "), "{}", refused.stderr);
        let told = refused.stderr.contains("failed; nothing was changed") && !refused.stderr.contains("may have done");
        assert!(told, "its command was never sent: {}", refused.stderr);
        assert_eq!(there(), "one\n");

        signal(&sleeper, "STOP");
        until("its lease has run out", || leases(&project, "shop", &["h1"]).iter().any(|(.., state)| state == "run out"));
        let released = project.podlift(&["lock", "release", "hooks.rhai"]);
        assert!(released.stderr.contains("shop on h1 is free: the run "), "{}", released.stderr);
        std::fs::write(&go, "").expect("writes");
        let other = project.podlift(&["run", "hooks.rhai", "then=host"]);
        assert_eq!(other.code, 0, "{}", other.stderr);
        let before = there();
        assert_eq!(before, "one\none\ntwo\n");

        signal(&sleeper, "CONT");
        let woken = ended(sleeper);
        assert_ne!(woken.code, 0, "{}", woken.stderr);
        // No host that could note the command lets it in any more.
        let words = ["was taken from this run", "has taken the lease of shop on h1 over", "could note that `hook`"];
        assert!(words.iter().any(|words| woken.stderr.contains(words)), "{}", woken.stderr);
        assert_eq!(there(), before, "the sleeper ran its command");
        assert!(!done.exists(), "the sleeper ran its command here");
    }
}

/// Changes something here before and after a host is lost, and then wants something of that host.
const HERE: &str = r#"
project("shop");
lock(service("web", #{}), hosts(["h1", "h2"]));
hook("local", "echo one >>done", #{ undo: "echo back from one >>done" });
hook("local", "touch waits; until [ -e go ]; do sleep 0.1; done");
hook("local", "echo two >>done", #{ undo: "echo back from two >>done" });
hook(host("h2"), "true");
"#;

#[test]
fn a_dead_host_keeps_nothing_from_being_changed_or_taken_back_elsewhere() {
    let rig = Rig::up(RigOptions { hosts: 2, nginx: false, ..RigOptions::default() });
    let project = project(&rig);
    project.write("here.rhai", HERE);
    let run = project.start(&["run", "here.rhai", "--lease", "3s", "--reconnect", "2s"]);
    until("it waits", || project.path().join("waits").exists());
    signal(&run, "STOP");
    until("its leases have run out", || {
        let leases = leases(&project, "shop", &["h1", "h2"]);
        leases.len() == 2 && leases.iter().all(|(.., state)| state == "run out")
    });
    rig.kill(2);
    std::fs::write(project.path().join("go"), "").expect("writes");
    signal(&run, "CONT");
    let ended = ended(run);
    println!("--- exit {}\n{}", ended.code, ended.stderr);
    let done = std::fs::read_to_string(project.path().join("done")).expect("it was made");
    assert_eq!(done, "one\ntwo\nback from two\nback from one\n", "{}", ended.stderr);
}

/// Is at work on this machine, and has leases on two hosts.
const LONG: &str = r#"
project("shop");
lock(service("web", #{}), hosts(["h1", "h2"]));
hook("local", "touch waits; until [ -e go ]; do sleep 0.1; done");
"#;

#[test]
fn a_dead_host_keeps_no_lease_of_another_from_being_renewed() {
    let rig = Rig::up(RigOptions { hosts: 2, nginx: false, ..RigOptions::default() });
    let project = project(&rig);
    project.write("long.rhai", LONG);
    let run = project.start(&["run", "long.rhai", "--lease", "8s"]);
    until("it waits", || project.path().join("waits").exists());
    rig.partition(2);
    // As long as its lease lasts, some times over, while the one who renews them waits for h2.
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(25) {
        let leases = leases(&project, "shop", &["h1"]);
        assert!(leases.len() == 1 && leases[0].2 == "in force", "{leases:?} after {:?}", begin.elapsed());
        std::thread::sleep(Duration::from_millis(500));
    }
    rig.heal(2);
    std::fs::write(project.path().join("go"), "").expect("writes");
    let ended = ended(run);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
}
