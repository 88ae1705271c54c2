//! Commands on the operator's own machine: secrets reach them, and ctrl-C ends them.

mod looking;
mod older_releases;
mod outliving;
mod plans;
mod questions;
mod saving;
mod secrets;
mod tested_scripts;
mod undone;
mod what_stays;

use std::{
    fs,
    io::Write as _,
    process::{Child, Command, Stdio},
};

use crate::podlift::Project;
use crate::until::until;

#[test]
fn a_secret_reaches_a_command_and_no_output() {
    let project = Project::new().env("PASSWORD", "from-the-environment");
    project.write(".env", "PASSWORD=from-the-file\n");
    project.write(
        "seed.rhai",
        r#"
        let said = hook("local", "printf %s \"$PASSWORD\" >got; echo \"it is $PASSWORD\"", #{ env: #{ PASSWORD: secret("PASSWORD") } });
        info(said.stdout);
        "#,
    );
    let run = project.podlift(&["run", "seed.rhai", "--verbose"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let got = fs::read_to_string(project.path().join("got")).expect("the command wrote it");
    assert_eq!(got, "from-the-environment", "the environment wins over .env");
    assert!(run.stderr.contains("it is ${PASSWORD}"), "{}", run.stderr);
    assert!(!format!("{}{}", run.stdout, run.stderr).contains("from-the-environment"), "{}{}", run.stdout, run.stderr);
}

#[test]
fn a_database_that_cannot_be_asked_is_not_one_without_changes() {
    let project = Project::new();
    project.write("deploy.rhai", "database(\"postgres://nobody@127.0.0.1:1/shop\").sql(\"CREATE TABLE orders (id int)\");\n");
    let json: serde_json::Value = serde_json::from_str(project.podlift(&["ps", "deploy.rhai", "--json"]).text()).expect("JSON");
    let unread = &json["unread"][0];
    assert!(unread["database"].as_str().is_some_and(|database| database.contains("/shop")), "{json}");
    assert!(unread["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{json}");
    assert_eq!(json["changes"], serde_json::json!([]));
}

#[test]
fn an_interrupted_run_ends_its_command_and_says_so() {
    let project = Project::new();
    project.write("wait.rhai", r#"hook("local", "echo $$ >pid; exec sleep 300");"#);
    let run = project.start(&["run", "wait.rhai"]);
    let pid = || fs::read_to_string(project.path().join("pid")).unwrap_or_default().trim().to_owned();
    until("the command runs", || !pid().is_empty());
    signal(&run, "TERM");
    let output = run.wait_with_output().expect("podlift ends");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{told}");
    assert!(told.contains("interrupted"), "{told}");
    until("the command is gone", || !std::path::Path::new("/proc").join(pid()).exists());
}

#[test]
fn ctrl_c_ends_a_session_whose_lines_nobody_types() {
    let project = Project::new();
    let lines = "hook(\"local\", \"touch began; until [ -e go ]; do sleep 0.1; done\");\nhook(\"local\", \"touch next\");\n";
    let mut command = project.command(&["repl", "--yes"]);
    let mut session = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("podlift starts");
    // It stays open: what ends the session is not the end of its input.
    let mut input = session.stdin.take().expect("it is piped");
    input.write_all(lines.as_bytes()).expect("it reads");
    let there = |name: &str| project.path().join(name).exists();
    until("the first command runs", || there("began"));
    signal(&session, "INT");
    project.write("go", "");
    let output = session.wait_with_output().expect("podlift ends");
    drop(input);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{told}");
    assert!(!there("next"), "the line behind it is not done: {told}");
}

fn signal(process: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &process.id().to_string()]).status().expect("kill is there");
    assert!(sent.success());
}
