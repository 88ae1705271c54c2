//! Draining waits for what is really in flight, no longer; a switch waits for clients that rest on their connections.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::podlift::Project;
use crate::rig::{Rig, RigOptions, output};
use crate::until::until;

const FIRST: &str = r#"
project("shop");
let web = service("web", #{ port: 8000, replicas: 1, health: http("/health") });
let img = build(web, #{ tag: "v1" });
ship(img, host("h1"));
let first = start(web, img, host("h1"));
healthcheck(first);
set_weights([[first, 100]]);
"#;

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

/// A host on which v1 serves.
fn serving() -> (Rig, Project) {
    let rig = Rig::up(RigOptions::default());
    let project = Project::on(&rig);
    project.write("switch.rhai", SWITCH).write("first.rhai", FIRST);
    let first = project.podlift(&["run", "first.rhai"]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    (rig, project)
}

#[test]
fn a_drain_waits_for_a_long_request_and_for_nothing_else() {
    let (rig, project) = serving();
    let (waited, cut) = switch(&project);
    assert!(waited < 1.0 && cut == 0, "nothing was in flight, and the drain waited {waited} s");

    let address = rig.host(1).address.clone();
    let begin = Instant::now();
    let request = thread::spawn(move || {
        let url = format!("http://{address}/work?ms=15000");
        output(std::process::Command::new("curl").args(["-sS", "--max-time", "30", &url]), "")
    });
    let (waited, cut) = switch(&project);
    let answer = request.join().expect("curl ends");
    assert_eq!(answer.code, 0, "the long request was cut: {answer:?}");
    assert!(begin.elapsed() >= Duration::from_secs(15));
    assert!(waited > 1.0 && waited < 15.0 && cut == 0, "the drain waited {waited} s, cut {cut}");
}

#[test]
fn a_client_that_rests_on_its_connection_while_traffic_moves_is_answered() {
    let (rig, project) = serving();
    let mut connection = TcpStream::connect((rig.host(1).address.as_str(), 80)).expect("nginx accepts");
    connection.set_read_timeout(Some(Duration::from_secs(10))).expect("it can be set");
    let mut ask = || {
        connection.write_all(b"GET /version HTTP/1.1\r\nHost: shop\r\n\r\n").expect("the connection is open");
        let mut answer = [0; 4096];
        let length = connection.read(&mut answer).expect("an answer comes");
        String::from_utf8_lossy(&answer[..length]).into_owned()
    };
    let first = ask();
    assert!(first.contains("200 OK") && first.contains("Connection: keep-alive"), "{first}");
    let run = project.start(&["run", "switch.rhai"]);
    until("clients are asked to leave", || rig.exec(1, &["test", "-e", "/run/nginx.podlift-drain"]).code == 0);
    thread::sleep(Duration::from_millis(1800));
    let second = ask();
    assert!(second.contains("200 OK") && second.contains("Connection: close"), "{second:?}");
    let ended = run.wait_with_output().expect("podlift ends");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}
