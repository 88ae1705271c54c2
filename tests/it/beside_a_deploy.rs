//! What is there beside a deploy: previews of what comes, and dependencies that stay.

use std::process::Command;

use crate::podlift::Project;
use crate::rig::{Rig, RigOptions, output};

const PRELUDE: &str = r#"
project("shop");
let h = host("h1");
let web = service("web", #{ port: 8000, replicas: 1, health: http("/health") });

fn ready(web, h, version) {
    let img = build(web, #{ tag: version, args: #{ VERSION: version } });
    ship(img, h);
    let release = start(web, img, h);
    healthcheck(release);
    release
}
"#;

#[track_caller]
fn run(project: &Project, script: &str, code: i32) -> String {
    project.write("script.rhai", &format!("{PRELUDE}{script}"));
    let run = project.podlift(&["run", "script.rhai"]);
    assert_eq!(run.code, code, "{script}\n{}{}", run.stdout, run.stderr);
    format!("{}{}", run.stdout, run.stderr)
}

#[test]
fn a_release_without_traffic_is_reached_by_a_header_or_cookie_until_it_leaves() {
    let rig = Rig::up(RigOptions::default());
    let project = Project::on(&rig);
    let url = format!("http://{}/version", rig.host(1).address);
    let asked = |header: &str| output(Command::new("curl").args(["-sS", "--max-time", "20", "-H", header, &url]), "").text().to_owned();
    run(
        &project,
        r#"
        let old = ready(web, h, "v1");
        set_weights([[old, 100]]);
        let next = ready(web, h, "v2");
        preview(next, #{ header: "X-Preview: v2" });
        preview(next, #{ cookie: "preview=v2" });
        "#,
        0,
    );
    assert_eq!([asked("X-Other: v2"), asked("X-Preview: v1"), asked("X-Preview: v2")], ["v1", "v1", "v2"]);
    assert_eq!([asked("Cookie: a=b; preview=v2"), asked("Cookie: preview=v")], ["v2", "v1"]);
    let shown = project.podlift(&["ps", "script.rhai"]).stdout;
    assert!(shown.contains("0 (X-Preview: v2, preview=v2)"), "{shown}");

    let still = "can still be reached by";
    let refused = run(&project, "stop(weights(web, h).filter(|row| row[1] == 0)[0][0]);", 3);
    assert!(refused.contains(still), "{refused}");
    run(&project, "let next = weights(web, h).filter(|row| row[1] == 0)[0][0]; drain(next); stop(next);", 0);
    assert_eq!([asked("X-Preview: v2"), asked("Cookie: preview=v2")], ["v1", "v1"]);
}

#[test]
fn a_dependency_outlives_the_runs_that_need_it() {
    let rig = Rig::up(RigOptions { nginx: false, ..RigOptions::default() });
    let project = Project::on(&rig);
    std::fs::create_dir(project.path().join("cache")).expect("the folder can be written");
    for (from, to) in [(project.path().join("app"), "cache/app"), ("/bin/busybox".into(), "cache/busybox")] {
        std::fs::copy(from, project.path().join(to)).expect("it is there");
    }
    let dockerfile = |check: &str| {
        format!(
            "FROM scratch\nCOPY app /app\nCOPY busybox /busybox\nHEALTHCHECK --interval=500ms CMD [\"/busybox\", \"{check}\"]\nENTRYPOINT [\"/app\"]\n"
        )
    };
    project.write("cache/Dockerfile", &dockerfile("true")).write("cache/Sick", &dockerfile("false"));
    let needs = r#"
        let cache = service("cache", #{ port: 8000, publish: 21111, health: docker_health() });
        let found = dependency(cache, image("shop-cache:v1"), h);
        healthcheck(found);
        info(`found ${found.containers[0].name}`);
    "#;
    let found = |said: &str| said.lines().find_map(|line| line.split("found ").nth(1)).expect("the script says it").trim().to_owned();
    let first = run(
        &project,
        &format!(
            r#"let img = build(service("cache", #{{ health: no_health() }}), #{{ tag: "v1", context: "cache" }}); ship(img, h); {needs} fail("on purpose");"#
        ),
        1,
    );
    let name = found(&first);
    assert_eq!(found(&run(&project, needs, 0)), name, "what a failed run has started stays");
    rig.exec(1, &["docker", "stop", &name]).text();
    assert_eq!(found(&run(&project, needs, 0)), name, "what has stopped is started again");
    let policy = rig.exec(1, &["docker", "inspect", "--format", "{{.HostConfig.RestartPolicy.Name}}", &name]);
    assert_eq!(policy.text(), "unless-stopped");

    let replaced = r#"let other = service("cache", #{ health: no_health() }); start(other, image("shop-cache:v1"), h);"#;
    assert!(run(&project, replaced, 3).contains("is a dependency on h1"));
    let sick = r#"
        let sick = service("sick", #{ health: docker_health(#{ timeout: "3s" }) });
        let img = build(sick, #{ tag: "v1", context: "cache", dockerfile: "Sick" });
        ship(img, h);
        healthcheck(start(sick, img, h));
    "#;
    assert!(run(&project, sick, 4).contains("Docker says that it is"));
    let unchecked = r#"
        let plain = service("plain", #{ health: docker_health() });
        let img = build(plain, #{ tag: "v1" });
        ship(img, h);
        start(plain, img, h);
    "#;
    assert!(run(&project, unchecked, 3).contains("has no HEALTHCHECK"));
    let missing = run(&project, r#"dependency(service("x", #{ health: no_health() }), image("localhost:1/none:v1"), h);"#, 1);
    assert!(missing.contains("localhost:1/none:v1 could not be pulled on h1"), "{missing}");
    assert!(rig.exec(1, &["docker", "ps", "--format", "{{.Names}}"]).text().contains(&name));
}
