//! Deploys that fail: what the error shows, and that the traffic does not notice.

use crate::load::{Load, LoadOptions};
use crate::podlift::{Project, assert_alike};
use crate::rig::{Rig, RigOptions};

const DEPLOY: &str = r#"
import "std/rolling" as rolling;
project("shop");
let p = params(#{ version: "v1", health: 200 });
let web = service("web", #{
    port: 8000,
    replicas: 2,
    health: http("/health", #{ timeout: "3s" }),
    env: #{ HEALTH_STATUS: `${p.health}` },
});
let img = build(web, #{ tag: p.version, args: #{ VERSION: p.version } });
ship(img, host("h1"));
rolling::deploy(web, img, [host("h1")]);
"#;

/// A host on which v1 serves.
fn serving() -> (Rig, Project) {
    let rig = Rig::up(RigOptions { client: true, ..RigOptions::default() });
    let project = Project::on(&rig);
    project.write("deploy.rhai", DEPLOY);
    let first = project.podlift(&["run", "deploy.rhai"]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    (rig, project)
}

#[test]
fn a_release_that_never_gets_healthy_gets_no_traffic_and_is_taken_back() {
    let (rig, project) = serving();
    let before = rig.snapshot(1);
    let mut load = Load::start(&rig, LoadOptions::on(&rig));
    let failed = project.podlift(&["run", "deploy.rhai", "version=v2", "health=503"]);
    load.more(500);
    let summary = load.finish();
    summary.assert_nothing_lost();
    assert_eq!(summary.versions.keys().collect::<Vec<_>>(), ["v1"]);
    assert_eq!(failed.code, 4, "{}", failed.stderr);
    let shown = [
        "std/rolling:",
        "deploy.rhai:",
        "healthcheck(next)",
        "GET /health answered 503",
        "demo v2 listens on port 8000",
        "everything was undone",
    ];
    for words in shown {
        assert!(failed.stderr.contains(words), "{words:?} is not in\n{}", failed.stderr);
    }
    let left: Vec<String> = rig.snapshot(1).into_iter().filter(|line| !before.contains(line)).collect();
    assert!(left.iter().all(|line| line.starts_with("image ")), "more than the image is left: {left:?}");
}

#[test]
fn a_container_that_dies_between_its_health_check_and_the_switch_gets_no_traffic() {
    let (rig, project) = serving();
    project.write(
        "killed.rhai",
        r#"
        project("shop");
        let web = service("web", #{ port: 8000, replicas: 1, health: http("/health"), restart: "no" });
        let h = host("h1");
        let old = running(web, h);
        let next = start(web, image("shop-web:v1"), h);
        healthcheck(next);
        hook(h, ["docker", "kill", next.containers[0].name]);
        set_weights([[old, 0], [next, 100]]);
        "#,
    );
    let mut load = Load::start(&rig, LoadOptions::on(&rig));
    let refused = project.podlift(&["run", "killed.rhai"]);
    load.more(500);
    load.finish().assert_nothing_lost();
    assert_eq!(refused.code, 4, "{}", refused.stderr);
    assert!(refused.stderr.contains("must not get traffic: it is not healthy"), "{}", refused.stderr);
    assert!(refused.stderr.contains("it is stopped"), "{}", refused.stderr);
}

#[test]
fn where_a_proxy_cannot_be_switched_back_the_new_containers_keep_serving_and_it_is_said() {
    let rig = Rig::up(RigOptions { hosts: 2, client: true, ..RigOptions::default() });
    let project = Project::on(&rig);
    project.write(
        "deploy.rhai",
        r#"
        import "std/rolling" as rolling;
        project("shop");
        let p = params(#{ version: "v1" });
        let fleet = hosts(["h1", "h2"]);
        let web = service("web", #{ port: 8000, health: http("/health") });
        let img = build(web, #{ tag: p.version, args: #{ VERSION: p.version } });
        ship(img, fleet);
        rolling::deploy(web, img, fleet);
        if p.version == "v2" {
            hook(fleet[0], "echo broken >/etc/nginx/conf.d/broken.conf");
            fail("nobody wants v2");
        }
        "#,
    );
    assert_eq!(project.podlift(&["run", "deploy.rhai"]).code, 0);
    let served = || [1, 2].map(|host| rig.exec(host, &["curl", "-sS", "http://127.0.0.1/version"]).text().to_owned());
    let load = Load::start(&rig, LoadOptions { kept: 16, fresh: 8, ..LoadOptions::on(&rig) });
    let failed = project.podlift(&["run", "deploy.rhai", "version=v2"]);
    println!("{}", failed.stderr);
    assert_eq!(failed.code, 6, "{}", failed.stderr);
    let told = "what serves web on h1 stays: its traffic could not be given back to what had it";
    for words in [told, "web is new on h1 (v2), as before on h2 (v1)", "podlift undo"] {
        assert!(failed.stderr.contains(words), "{words:?} is not in\n{}", failed.stderr);
    }
    assert_eq!(served(), ["v2", "v1"]);
    rig.exec(1, &["rm", "/etc/nginx/conf.d/broken.conf"]).text();
    let undone = project.podlift(&["undo"]);
    assert_eq!(undone.code, 0, "{}", undone.stderr);
    load.finish().assert_nothing_lost();
    assert_eq!(served(), ["v1", "v1"]);
}

#[test]
fn a_failing_run_and_its_dry_run_fail_alike() {
    let (_rig, project) = serving();
    project.write(
        "stop.rhai",
        r#"
        project("shop");
        let web = service("web", #{ port: 8000, health: http("/health") });
        stop(running(web, host("h1")));
        "#,
    );
    let plan = project.events(&["run", "stop.rhai", "--dry-run"]);
    let run = project.events(&["run", "stop.rhai"]);
    assert_alike(&plan, &run);
    assert!(run.records().iter().any(|record| record.contains("failed")), "{:#?}", run.records());
    assert_eq!((plan.output.code, run.output.code), (3, 3), "{}\n{}", plan.output.stderr, run.output.stderr);
}

/// An engine that is about to start a container again cannot change it; whoever takes back a release whose containers end at once
/// meets that more often than not.
#[test]
fn a_first_release_whose_containers_end_at_once_is_taken_back() {
    let rig = Rig::up(RigOptions::default());
    let project = Project::on(&rig);
    project.write("deploy.rhai", &DEPLOY.replace("replicas: 2", "replicas: 3").replace("HEALTH_STATUS: `${p.health}`", "PORT: \"none\""));
    let before = rig.snapshot(1);
    for _ in 0..4 {
        let failed = project.podlift(&["run", "deploy.rhai"]);
        assert_eq!(failed.code, 4, "{}", failed.stderr);
        let left: Vec<String> = rig.snapshot(1).into_iter().filter(|line| !before.contains(line)).collect();
        assert!(left.iter().all(|line| line.starts_with("image ")), "more than the image is left: {left:?}");
    }
}
