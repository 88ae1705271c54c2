//! Each strategy of the standard library under load from 40 ms away: a deploy, one that fails in the middle and is taken back, the
//! way back after one that succeeded, and a way back that fails.

use std::thread;

use crate::load::{Load, LoadOptions};
use crate::podlift::Project;
use crate::rig::{Rig, RigOptions};

const SHOP: &str = r#"
import "std/blue_green" as blue_green;
import "std/canary" as canary;
import "std/deploy" as deploy;
import "std/gates" as gates;
import "std/recreate" as recreate;
import "std/restart" as restart;
import "std/rollback" as rollback;
import "std/rolling" as rolling;
import "std/workers" as workers;
project("shop");
let p = params(#{ version: "v1", fails: false, delay: 0, budget: 1 });
let fleet = hosts(["h1", "h2"]);
let web = service("web", SERVICE);
// What nothing can keep, once the new release has traffic; before the first one there is none to judge.
let limits = if p.fails { [gates::p95_under(0)] } else if p.version == "v1" { [] } else { [gates::error_rate_under(0.5)] };
let args = #{ VERSION: p.version };
fn image(web, version, fleet) {
    let img = build(web, #{ tag: version, args: #{ VERSION: version } });
    ship(img, fleet);
    img
}
"#;

const WEB: &str = "#{ port: 8000, replicas: 2, health: http(\"/health\"), env: #{ START_DELAY_MS: p.delay } }";
const WORKER: &str = "#{ replicas: 2, health: no_health(), env: #{ START_DELAY_MS: p.delay } }";

/// Two hosts on which v1 runs, a script that deploys and one that goes back.
fn shop(service: &str, how: &str) -> (Rig, Project) {
    let rig = Rig::up(RigOptions { hosts: 2, client: true, ..RigOptions::default() });
    let project = Project::on(&rig);
    let shop = SHOP.replace("SERVICE", service);
    project.write("deploy.rhai", &format!("{shop}{how}\n"));
    let back = "rollback::previous(web, fleet, #{ after: |release| ensure(!p.fails, \"as it was asked to\") });";
    project.write("back.rhai", &format!("{shop}{back}\n"));
    ends(&project, 0, &["run", "deploy.rhai"]);
    (rig, project)
}

#[track_caller]
fn ends(project: &Project, code: i32, arguments: &[&str]) {
    let output = project.podlift(arguments);
    assert_eq!(output.code, code, "{arguments:?}\n{}{}", output.stdout, output.stderr);
}

/// The versions that run on each host, twice each where two replicas do.
fn running(rig: &Rig) -> Vec<String> {
    let list = ["docker", "ps", "--format", "{{.Label \"podlift.version\"}}"];
    (1..=2).map(|host| rig.exec(host, &list).text().replace('\n', " ")).collect()
}

/// Kills the containers of a version on a host as soon as there are any.
fn kill_when_there(rig: &Rig, host: usize, version: &str) {
    let list = format!("docker ps --quiet --filter label=podlift.version={version}");
    let script = format!("until all=$({list}) && [ -n \"$all\" ]; do sleep 0.05; done; docker kill $all");
    rig.exec(host, &["timeout", "60", "sh", "-c", &script]).text();
}

/// Deploys v2; v3, which fails in its middle; goes back from v2 to v1, once in vain. Tells how many requests there were.
#[track_caller]
fn loses_nothing(strategy: &str, how: &str, kills: bool) {
    let (rig, project) = shop(WEB, how);
    let mut load = Load::start(&rig, LoadOptions { kept: 24, fresh: 12, ..LoadOptions::on(&rig) });
    load.mark("success");
    ends(&project, 0, &["run", "deploy.rhai", "version=v2"]);
    load.mark("failure");
    if kills {
        thread::scope(|scope| {
            scope.spawn(|| kill_when_there(&rig, 2, "v3"));
            ends(&project, 4, &["run", "deploy.rhai", "version=v3", "delay=2000"]);
        });
    } else {
        ends(&project, 4, &["run", "deploy.rhai", "version=v3", "fails=true"]);
    }
    assert_eq!(running(&rig), ["v2 v2", "v2 v2"]);
    load.more(500);
    load.mark("failed rollback");
    ends(&project, 4, &["run", "back.rhai", "fails=true"]);
    assert_eq!(running(&rig), ["v2 v2", "v2 v2"]);
    load.mark("rollback");
    ends(&project, 0, &["run", "back.rhai"]);
    assert_eq!(running(&rig), ["v1 v1", "v1 v1"]);
    load.more(500);
    let summary = load.finish();
    summary.assert_nothing_lost();
    let phases: Vec<String> = summary.phases.iter().map(|phase| format!("{} {}", phase.name, phase.requests)).collect();
    println!("{strategy}: 0 of {} requests failed: {}", summary.total, phases.join(", "));
    assert_eq!(summary.versions.keys().collect::<Vec<_>>(), ["v1", "v2", "v3"], "each of them had traffic");
}

#[test]
fn a_rolling_deploy_its_failure_and_the_way_back_lose_no_request() {
    loses_nothing("rolling", "rolling::deploy(web, image(web, p.version, fleet), fleet);", true);
}

#[test]
fn a_blue_green_deploy_its_failure_and_the_way_back_lose_no_request() {
    let options = "#{ soak: \"2s\", gates: limits, min_requests: 50 }";
    loses_nothing("blue-green", &format!("blue_green::deploy(web, image(web, p.version, fleet), fleet, {options});"), false);
}

#[test]
fn a_canary_its_failure_and_the_way_back_lose_no_request() {
    let options = "#{ steps: [20, 60, 100], pause: \"2s\", sticky: \"seat\", gates: limits, min_requests: 20 }";
    loses_nothing("canary", &format!("canary::deploy(web, image(web, p.version, fleet), fleet, {options});"), false);
}

#[test]
fn a_canary_by_hosts_its_failure_and_the_way_back_lose_no_request() {
    let options = "#{ by: \"hosts\", steps: [1], pause: \"2s\", gates: limits, min_requests: 20 }";
    loses_nothing("canary by hosts", &format!("canary::deploy(web, image(web, p.version, fleet), fleet, {options});"), false);
}

#[test]
fn a_canary_by_replicas_its_failure_and_the_way_back_lose_no_request() {
    let options = "#{ by: \"replicas\", steps: [1], pause: \"2s\", gates: limits, min_requests: 20 }";
    loses_nothing("canary by replicas", &format!("canary::deploy(web, image(web, p.version, fleet), fleet, {options});"), false);
}

#[test]
fn a_whole_deploy_its_failure_and_the_way_back_lose_no_request() {
    let options = "#{ tag: p.version, build: #{ args: args }, verify: |release| ensure(!p.fails, \"as it was asked to\") }";
    loses_nothing("deploy", &format!("deploy::run(web, fleet, {options});"), false);
}

/// Those with downtime, or without traffic: what runs is the old or the new version, and nothing else.
#[track_caller]
fn ends_all_old_or_all_new(service: &str, how: &str) {
    let (rig, project) = shop(service, how);
    ends(&project, 0, &["run", "deploy.rhai", "version=v2"]);
    assert_eq!(running(&rig), ["v2 v2", "v2 v2"]);
    thread::scope(|scope| {
        scope.spawn(|| kill_when_there(&rig, 2, "v3"));
        ends(&project, 4, &["run", "deploy.rhai", "version=v3", "delay=2000"]);
    });
    assert_eq!(running(&rig), ["v2 v2", "v2 v2"]);
    ends(&project, 0, &["run", "back.rhai"]);
    assert_eq!(running(&rig), ["v1 v1", "v1 v1"]);
}

#[test]
fn a_recreate_its_failure_and_the_way_back_end_all_old_or_all_new() {
    ends_all_old_or_all_new(WEB, "recreate::deploy(web, image(web, p.version, fleet), fleet);");
}

#[test]
fn a_deploy_of_workers_its_failure_and_the_way_back_end_all_old_or_all_new() {
    ends_all_old_or_all_new(WORKER, "workers::deploy(web, image(web, p.version, fleet), fleet, #{ watch: \"1s\" });");
}

#[test]
fn containers_that_are_restarted_one_at_a_time_stay_the_same_and_lose_no_request() {
    // Two on each host, and one that is alone there.
    for (service, count) in [(WEB.to_owned(), 2), (WEB.replace("replicas: 2", "replicas: 1"), 1)] {
        let (rig, project) = shop(&service, "rolling::deploy(web, image(web, p.version, fleet), fleet);");
        project.write(
            "restart.rhai",
            &format!("{}restart::one_by_one(web, fleet, #{{ pause: \"500ms\" }});\n", SHOP.replace("SERVICE", &service)),
        );
        let inspect = |host: usize, format: &str| {
            let all = rig.exec(host, &["docker", "ps", "--quiet", "--no-trunc"]).text().to_owned();
            let ids: Vec<&str> = all.lines().collect();
            assert_eq!(ids.len(), count, "{all}");
            let told = rig.exec(host, &[&["docker", "inspect", "--format", format], &ids[..]].concat());
            let mut lines: Vec<String> = told.text().lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let both = |format: &str| [1, 2].map(|host| inspect(host, format));
        let (ids, starts) = (both("{{.Id}}"), both("{{.Id}} {{.State.StartedAt}}"));
        let mut load = Load::start(&rig, LoadOptions { kept: 24, fresh: 12, ..LoadOptions::on(&rig) });
        ends(&project, 0, &["run", "restart.rhai"]);
        load.more(500);
        let summary = load.finish();
        summary.assert_nothing_lost();
        println!("restart: 0 of {} requests failed", summary.total);
        assert_eq!(both("{{.Id}}"), ids, "they are the same containers");
        let again = both("{{.Id}} {{.State.StartedAt}}");
        assert!(again.iter().flatten().zip(starts.iter().flatten()).all(|(again, before)| again != before), "{starts:?} {again:?}");
    }
}

#[test]
fn a_host_that_fails_is_left_out_within_the_budget_and_beyond_it_all_is_taken_back_without_a_lost_request() {
    let how = "rolling::deploy(web, image(web, p.version, fleet), fleet, #{ on_failure: \"skip\", max_failures: p.budget });";
    let (rig, project) = shop(WEB, how);
    let load = Load::start(&rig, LoadOptions { kept: 24, fresh: 12, ..LoadOptions::on(&rig) });
    for (budget, code, runs) in [("0", 4, ["v1 v1", "v1 v1"]), ("1", 6, ["v2 v2", "v1 v1"])] {
        let output = thread::scope(|scope| {
            scope.spawn(|| kill_when_there(&rig, 2, "v2"));
            project.podlift(&["run", "deploy.rhai", "version=v2", "delay=2000", &format!("budget={budget}")])
        });
        assert_eq!((output.code, running(&rig)), (code, runs.map(Into::into).to_vec()), "{}", output.stderr);
        assert!(code == 4 || output.stderr.contains("h2"), "{}", output.stderr);
    }
    load.finish().assert_nothing_lost();
}
