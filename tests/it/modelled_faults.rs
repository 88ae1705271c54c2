//! What goes wrong on real hosts goes wrong in the model in the same way: the same script with the same fault, record by record,
//! and with the same end.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::databases;
use crate::podlift::{Events, Project};
use crate::rig::{Rig, RigOptions};
use crate::until::until;

/// What every script of this file begins with. A command that makes the fault does nothing in a model: there it is told.
const PRELUDE: &str = r#"
import "std/rolling" as rolling;
project("shop");
let p = params(#{ version: "v1", health: 200, fault: "true" });
let h1 = host("h1");
let h2 = host("h2");
let fleet = [h1, h2];
let web = service("web", #{
    port: 8000, replicas: 2, health: http("/health", #{ timeout: "2s" }), env: #{ HEALTH_STATUS: `${p.health}` },
});
let img = build(web, #{ tag: p.version, args: #{ VERSION: p.version } });
ship(img, fleet);
"#;

/// The second host is deployed by hand: with a place for the fault between what is healthy and its traffic.
const BY_HAND: &str = r#"
rolling::deploy(web, img, h1);
let old = running(web, h2);
let next = start(web, img, h2);
healthcheck(next);
hook(h2, p.fault);
pause("2s");
set_weights([[old, 0], [next, 100]]);
drain(old, #{ timeout: "3s", on_timeout: "fail" });
stop(old);
record(next);
"#;

/// Hosts that serve `v1`.
struct Shop {
    rig: Rig,
    project: Project,
}

impl Shop {
    fn new(options: RigOptions) -> Self {
        let rig = Rig::up(options);
        let project = Project::on(&rig);
        let shop = Self { rig, project };
        shop.project.write("deploy.rhai", &format!("{PRELUDE}{BY_HAND}"));
        shop.run(&["version=v1"], 0);
        shop
    }

    #[track_caller]
    fn run(&self, arguments: &[&str], code: i32) -> Events {
        let run = self.project.events(&[&["run", "deploy.rhai", "--reconnect", "30s"], arguments].concat());
        assert_eq!(run.output.code, code, "{arguments:?}\n{}\n{:#?}", run.output.stderr, run.result());
        run
    }

    /// Deploys `v2`, which fails and is undone, and has the model tell the same.
    #[track_caller]
    fn fails_alike(&self, verb: &str, fault: &str, arguments: &[&str]) {
        self.ends_alike(verb, fault, arguments, 4, || {});
    }

    /// Deploys `v2`, which ends with this code, and has the model tell it with this fault at the last call of this verb that was made
    /// before it failed, or, as `OP:FAULT`, at what that call reads first; `over` ends what goes wrong.
    #[track_caller]
    fn ends_alike(&self, verb: &str, fault: &str, arguments: &[&str], code: i32, over: impl FnOnce()) {
        let arguments = [&["version=v2"], arguments].concat();
        let run = self.run(&arguments, code);
        over();
        let tale = told_alike(&self.project, &run.events, verb, fault, &arguments);
        for (number, host) in [(1, "h1"), (2, "h2")] {
            assert_eq!(self.containers(number), there(&tale, host), "{host}: {}", tale["story"]);
        }
    }

    /// The service's containers on a host: `VERSION running` or `VERSION stopped`.
    fn containers(&self, number: usize) -> Vec<String> {
        let format = "{{.Label \"podlift.version\"}} {{.State}}";
        let listed = self.rig.exec(number, &["docker", "ps", "--all", "--filter", "label=podlift.service=web", "--format", format]);
        let mut lines: Vec<String> = listed.text().lines().map(|line| line.replace("exited", "stopped")).collect();
        lines.sort();
        lines
    }
}

/// Has the model tell what these events tell: with this fault at the last call of this verb that was made before it failed. Returns
/// the story as it was told.
#[track_caller]
fn told_alike(project: &Project, events: &[Value], verb: &str, fault: &str, arguments: &[&str]) -> Value {
    let end = events.iter().position(|event| event["event"] == "failed").unwrap_or(events.len() - 1);
    let site = events[..=end].iter().rev().find(|event| event["verb"] == verb).expect("it is called");
    let (op, fault) = fault.split_once(':').unwrap_or((verb, fault));
    let story = format!("{}:{op}:{fault}", site["key"].as_str().expect("a key"));
    let told = project.podlift(&[&["test", "deploy.rhai"], arguments, &["--story", &story, "--json"]].concat());
    let told: Value = serde_json::from_str(&told.stdout).unwrap_or_else(|error| panic!("{error}\n{}", told.stderr));
    assert_eq!(told["holds"], true, "{told:#}");
    let tale = &told["stories"][0];
    let (done, modelled) = (records(events), records(tale["records"].as_array().expect("what its journal has")));
    let only = |these: &BTreeMap<String, String>, those: &BTreeMap<String, String>| {
        these.iter().filter(|(key, what)| those.get(*key) != Some(what)).map(|(key, what)| format!("{key} {what}")).collect::<Vec<_>>()
    };
    let (real, model) = (only(&done, &modelled), only(&modelled, &done));
    assert!(real.is_empty() && model.is_empty(), "{story}\nonly on the hosts: {real:#?}\nonly in the model: {model:#?}");
    assert_eq!(tale["exit"], events.last().expect("a result")["result"], "{story}");
    tale.clone()
}

/// What each call came to, the last of each key.
fn records(events: &[Value]) -> BTreeMap<String, String> {
    let is_end = |event: &&Value| event.get("event").is_none_or(|event| event == "done" || event == "failed");
    let told = |event: &Value| {
        let failure = event.get("failed").filter(|kind| !kind.is_null()).or_else(|| event.get("failure").map(|failure| &failure["kind"]));
        let how = failure.and_then(Value::as_str).unwrap_or("done");
        let text = |name: &str| event[name].as_str().unwrap_or("here").to_owned();
        (text("key"), format!("{} on {}: {how}", text("verb"), text("host")))
    };
    events.iter().filter(is_end).map(told).collect()
}

/// The same containers in the model, where what came before is called so.
fn there(tale: &Value, host: &str) -> Vec<String> {
    let lines = tale["there"][host].as_array().cloned().unwrap_or_default();
    let container = |line: &Value| {
        let words: Vec<&str> = line.as_str()?.split(' ').collect();
        let [_, version, _, state @ ("running" | "stopped")] = words[..] else { return None };
        Some(format!("{} {state}", version.replace("before", "v1")))
    };
    let mut containers: Vec<String> = lines.iter().filter_map(container).collect();
    containers.sort();
    containers
}

/// A request that takes a minute, in flight on the second host until this ends.
struct InFlight(Child);

impl InFlight {
    fn on(rig: &Rig) -> Self {
        let url = format!("http://{}/work?ms=60000", rig.host(2).address);
        let mut curl = std::process::Command::new("curl");
        curl.args(["-sS", "--max-time", "90", &url]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(curl.spawn().expect("curl starts"))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A command that cuts its host off once it has answered, for so long.
fn cuts_off(seconds: u32) -> String {
    let rule = "INPUT ! -i lo -j DROP";
    format!("fault=(sleep 1; iptables -w -I {rule}; sleep {seconds}; iptables -w -D {rule}) </dev/null >/dev/null 2>&1 &")
}

/// A command that deletes a container of this version.
fn deletes(version: &str) -> String {
    format!("fault=docker rm --force $(docker ps --quiet --filter label=podlift.version={version} | head -n 1)")
}

#[test]
fn faults_on_real_hosts_end_as_they_do_in_the_model() {
    let shop = Shop::new(RigOptions { hosts: 2, ..RigOptions::default() });
    // The containers never become healthy.
    shop.fails_alike("healthcheck", "unhealthy", &["health=503"]);
    // One is found healthy, and then it ends.
    let ends = "fault=docker kill $(docker ps --quiet --filter label=podlift.version=v2 | head -n 1)";
    shop.fails_alike("healthcheck", "crashes", &[ends]);
    // A command fails.
    shop.fails_alike("hook", "fails", &["fault=exit 1"]);
    // nginx refuses its configuration, which somebody else broke meanwhile.
    let broken = "/etc/nginx/conf.d/broken.conf";
    shop.ends_alike("set_weights", "fails", &[&format!("fault=echo 'broken on;' >{broken}")], 4, || {
        shop.rig.exec(2, &["rm", broken]).text();
    });
    // Somebody deletes one that was found healthy, before it gets traffic.
    shop.fails_alike("set_weights", "check:deleted", &[&deletes("v2")]);
    // A request does not end in time.
    let in_flight = InFlight::on(&shop.rig);
    shop.fails_alike("drain", "never-ends", &[]);
    drop(in_flight);
    // Somebody deletes one that is to be drained: it gets no traffic back, and the deploy ends mixed.
    shop.ends_alike("set_weights", "find:deleted", &[&deletes("v1")], 6, || {});
}

#[test]
fn a_database_that_is_lost_between_two_statements_ends_a_run_as_it_does_in_the_model() {
    let shop = databases::Shop::new();
    shop.postgres.sql("CREATE TABLE users (id int PRIMARY KEY, email text); ALTER TABLE users OWNER TO app");
    shop.postgres.sql("CREATE TABLE seen (at int); GRANT ALL ON seen TO app; INSERT INTO users VALUES (1, 'a')");
    let mut holder = shop.postgres.session("a report");
    let mut input = holder.stdin.take().expect("it is piped");
    writeln!(input, "BEGIN; INSERT INTO users VALUES (2, 'b');").expect("psql reads");
    until("the report holds the table", || {
        shop.postgres.sql("SELECT count(*) FROM pg_locks WHERE relation = 'users'::regclass AND pid <> pg_backend_pid()") != "0"
    });
    shop.write(r#"db.sql("INSERT INTO seen VALUES (1); CREATE INDEX CONCURRENTLY users_email ON users (email)");"#);
    let run = shop.project.start(&["run", "deploy.rhai", "--json"]);
    let index = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('users_email')";
    until("the second statement has begun", || shop.postgres.sql(index) == "f");
    shop.postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'podlift-%'");
    drop(input);
    holder.wait().expect("psql ends");
    let output = run.wait_with_output().expect("podlift ends");
    let (told, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}");
    let events: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).expect("an event a line")).collect();
    told_alike(&shop.project, &events, "sql", "lost-halfway", &[]);
    assert_eq!(shop.postgres.sql(&format!("SELECT count(*), ({index}) FROM seen")), "1|t", "the first was done once, the second too");
}

#[test]
fn a_host_that_is_cut_off_ends_a_deploy_as_it_does_in_the_model() {
    let shop = Shop::new(RigOptions { hosts: 2, ..RigOptions::default() });
    // It is reached again in time: the deploy goes on.
    shop.ends_alike("set_weights", "cut-off", &[&cuts_off(14)], 0, || {});
}

#[test]
fn a_disk_that_is_full_ends_a_deploy_as_it_does_in_the_model() {
    let shop = Shop::new(RigOptions { hosts: 2, disk: Some("64M"), ..RigOptions::default() });
    shop.rig.exec(2, &["sh", "-c", "cat /dev/zero >/var/lib/docker/full 2>/dev/null; true"]).text();
    shop.fails_alike("start", "fails", &[]);
}
