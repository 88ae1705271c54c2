//! What a script asks people and tells them, and what it leaves out.

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
};

use crate::podlift::Project;

#[test]
fn a_question_that_nobody_answers_suspends_the_run_and_yes_answers_it() {
    let project = Project::new();
    project.write("ask.rhai", r#"info(`the answer is ${confirm("go on?", #{ name: "switch" })}`);"#);
    let alone = project.podlift(&["run", "ask.rhai"]);
    assert_eq!(alone.code, 7, "{}", alone.stderr);
    assert!(alone.stderr.contains("go on?") && alone.stderr.contains("--yes=switch"), "{}", alone.stderr);
    for yes in ["--yes", "--yes=switch"] {
        let told = project.podlift(&["run", "ask.rhai", yes]);
        assert_eq!(told.code, 0, "{}", told.stderr);
        assert!(told.stderr.contains("the answer is true"), "{}", told.stderr);
    }
    let other = project.podlift(&["run", "ask.rhai", "--yes=swich"]);
    assert_eq!(other.code, 2, "{}", other.stderr);
    assert!(other.stderr.contains("asks no question named `swich`") && other.stderr.contains("did you mean `switch`?"), "{}", other.stderr);
    project.write("ask.rhai", r#"info(`the answer is ${confirm("go on?", #{ otherwise: false })}`);"#);
    let otherwise = project.podlift(&["run", "ask.rhai"]);
    assert!(otherwise.code == 0 && otherwise.stderr.contains("the answer is false"), "{}", otherwise.stderr);
}

#[test]
fn a_url_is_told_and_one_that_cannot_be_told_fails_no_run() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/hook-of-many", listener.local_addr().expect("it listens"));
    let heard = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("somebody calls");
        let mut text = String::new();
        let mut buffer = [0; 1024];
        while !text.contains("is live") {
            let count = stream.read(&mut buffer).expect("it says something");
            assert!(count > 0, "{text}");
            text += &String::from_utf8_lossy(&buffer[..count]);
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").expect("it listens to the answer");
        text
    });
    let project = Project::new().env("CHAT", &url);
    project.write("tell.rhai", "notify(secret(\"CHAT\"), #{ text: \"web v2 is live\" });");
    let told = project.podlift(&["run", "tell.rhai", "--verbose"]);
    assert_eq!(told.code, 0, "{}", told.stderr);
    let heard = heard.join().expect("somebody called");
    assert!(heard.starts_with("POST /hook-of-many ") && heard.contains("application/json"), "{heard}");
    assert!(heard.ends_with("{\"text\":\"web v2 is live\"}"), "{heard}");
    // Nobody listens there any longer.
    let untold = project.podlift(&["run", "tell.rhai", "--verbose"]);
    assert_eq!(untold.code, 0, "{}", untold.stderr);
    assert!(untold.stderr.contains("nobody was told: ${CHAT} did not answer"), "{}", untold.stderr);
    for shown in [&told.stderr, &told.stdout, &untold.stderr, &untold.stdout] {
        assert!(!shown.contains("hook-of-many"), "{shown}");
    }
}

#[test]
fn a_run_that_leaves_a_host_out_ends_as_mixed_and_names_it() {
    let project = Project::new();
    project.write("leave.rhai", r#"leave_out(hosts(["h1"]), "it has no room");"#);
    let run = project.podlift(&["run", "leave.rhai", "--simulate"]);
    assert_eq!(run.code, 6, "{}", run.stderr);
    assert!(run.stderr.contains("left out h1 (it has no room)"), "{}", run.stderr);
    let plan = project.podlift(&["run", "leave.rhai", "--simulate", "--dry-run"]);
    let told = plan.stderr.contains("it leaves out 1 host, so the run is to end as mixed, with 6");
    assert!(plan.code == 0 && told, "{}", plan.stderr);
    project.write("leave.rhai", r#"attempt(|| { leave_out(host("h1"), "it has no room"); fail("all of it") });"#);
    let undone = project.podlift(&["run", "leave.rhai", "--simulate"]);
    assert_eq!(undone.code, 0, "{}", undone.stderr);
}
