//! Draining waits for what is really in flight, no longer.

use std::time::{Duration, Instant};

use crate::podlift::Project;
use crate::rig::{Rig, RigOptions, output};

const SWITCH: &str = r#"
project("shop");
let h = host("h1");
let web = service("web", #{ port: 8000, replicas: 1, health: http("/health") });
let old = running(web, h);
let next = start(web, image("shop-web:v1"), h);
healthcheck(next);
set_weights([[old, 0], [next, 100]]);
let drained = drain(old);
info(`waited ${drained.waited} cut ${drained.cut}`);
stop(old);
"#;

/// Switches to a new release, and returns how long the drain waited and what it cut.
fn switch(project: &Project) -> (f64, u64) {
    let run = project.podlift(&["run", "switch.rhai"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let said = run.stderr.lines().chain(run.stdout.lines()).find(|line| line.contains("waited ")).expect("the script says it");
    let words: Vec<&str> = said.split_whitespace().collect();
    let after = |word: &str| words[words.iter().position(|known| *known == word).expect("it is there") + 1];
    (after("waited").parse().expect("seconds"), after("cut").parse().expect("a count"))
}

#[test]
fn a_drain_waits_for_a_long_request_and_for_nothing_else() {
    let rig = Rig::up(RigOptions::default());
    let project = Project::on(&rig);
    project.write("switch.rhai", SWITCH).write(
        "first.rhai",
        r#"
        project("shop");
        let web = service("web", #{ port: 8000, replicas: 1, health: http("/health") });
        let img = build(web, #{ tag: "v1" });
        ship(img, host("h1"));
        let first = start(web, img, host("h1"));
        healthcheck(first);
        set_weights([[first, 100]]);
        "#,
    );
    let first = project.podlift(&["run", "first.rhai"]);
    assert_eq!(first.code, 0, "{}", first.stderr);

    let (waited, cut) = switch(&project);
    assert!(waited < 1.0 && cut == 0, "nothing was in flight, and the drain waited {waited} s");

    let address = rig.host(1).address.clone();
    let begin = Instant::now();
    let request = std::thread::spawn(move || {
        let url = format!("http://{address}/work?ms=9000");
        output(std::process::Command::new("curl").args(["-sS", "--max-time", "30", &url]), "")
    });
    let (waited, cut) = switch(&project);
    let answer = request.join().expect("curl ends");
    assert_eq!(answer.code, 0, "the long request was cut: {answer:?}");
    assert!(begin.elapsed() >= Duration::from_secs(9));
    assert!(waited > 1.0 && waited < 9.0 && cut == 0, "the drain waited {waited} s, cut {cut}");
}
