//! Containers that somebody deletes behind a run's back.

use crate::podlift::Project;
use crate::rig::{Rig, RigOptions};
use crate::until::until;

const SCRIPT: &str = r#"
import "std/rolling" as rolling;
project("PROJECT");
let p = params(#{ version: "v1", how: "deploy" });
let h1 = host("h1");
let web = service("web", #{ port: 8000, replicas: 1, health: http("/health") });
if p.how == "remove and stop" {
    let there = running(web, h1);
    hook(h1, `docker rm -f ${there.containers[0].name}`);
    stop(there, #{ allow_downtime: true });
}
let img = build(web, #{ tag: p.version, args: #{ VERSION: p.version } });
ship(img, h1);
if p.how == "deploy" {
    rolling::deploy(web, img, h1);
} else {
    let old = running(web, h1);
    let next = start(web, img, h1);
    healthcheck(next);
    set_weights([[old, 0], [next, 100]]);
    drain(old);
    stop(old);
    pause("10m");
}
"#;

#[test]
fn what_was_removed_by_hand_does_not_keep_a_run_from_being_taken_back() {
    let rig = Rig::up(RigOptions::default());
    let project = Project::on(&rig);
    project.write("deploy.rhai", &SCRIPT.replace("PROJECT", &format!("shop{}", rig.id())));
    let first = project.podlift(&["run", "deploy.rhai"]);
    assert_eq!(first.code, 0, "{}", first.stderr);

    let containers = || rig.exec(1, &["docker", "ps", "-a", "--format", "{{.Names}} {{.State}}"]).text().to_owned();
    let before = containers();
    let mut killed = project.start(&["run", "deploy.rhai", "version=v2", "how=wait"]);
    until("the old one is stopped", || containers().lines().any(|line| line.contains("-v1-") && line.ends_with("exited")));
    killed.kill().expect("it runs");
    killed.wait().expect("it is our child");
    let new =
        containers().lines().find_map(|line| line.split_once(' ').map(|(name, _)| name.to_owned()).filter(|name| name.contains("-v2-")));
    let new = new.expect("it was started");
    rig.exec(1, &["docker", "rm", "-f", &new]).text();

    let undone = project.podlift(&["undo"]);
    println!("{}", undone.stderr);
    assert_eq!(undone.code, 0, "{}", undone.stderr);
    assert_eq!(undone.stderr.matches(&format!("{new} was gone already")).count(), 3, "drain, stop and remove: {}", undone.stderr);
    assert_eq!(containers(), before);
    assert_eq!(rig.exec(1, &["curl", "-sS", "http://127.0.0.1/version"]).stdout, "v1\n");

    // A script that stops what is not there is wrong all the same.
    let refused = project.podlift(&["run", "deploy.rhai", "how=remove and stop"]);
    assert!(refused.stderr.contains("h1 has no container "), "{}", refused.stderr);
    assert!(!refused.stderr.contains("was gone already"), "{}", refused.stderr);
}
