//! What is told before anything runs: of scripts, of hosts that do not answer, and to programs.

use std::{fs, os::unix::fs::symlink};

use serde_json::Value;

use crate::podlift::Project;

/// A host that refuses every connection.
const NOBODY: &str = "let web = service(\"web\", #{ port: 80, health: no_health() });\nlock(web, host(\"nobody@127.0.0.1:1\"));\n";

#[test]
fn a_host_that_does_not_answer_has_no_place_in_a_script_and_is_told_first() {
    let project = Project::new();
    project.write("deploy.rhai", NOBODY);
    for arguments in [&["check", "deploy.rhai", "--hosts"][..], &["ps", "deploy.rhai"]] {
        let output = project.podlift(arguments);
        assert_eq!(output.code, 5, "{}", output.stderr);
        assert!(output.stderr.contains("127.0.0.1") && !output.stderr.contains("the command line"), "{}", output.stderr);
        assert!(!output.stderr.contains('✓'), "{}", output.stderr);
    }
}

#[test]
fn programs_are_told_why_a_run_was_not_begun() {
    let project = Project::new();
    project.write("other.rhai", "");
    let output = project.podlift(&["run", "deploy.rhai", "--json"]);
    let result: Value = serde_json::from_str(output.stdout.trim()).expect("one event");
    assert_eq!((output.code, &result["end"]), (2, &"not begun".into()));
    assert!(result["diagnostics"][0]["message"].as_str().is_some_and(|why| why.contains("deploy.rhai")), "{result}");
}

#[test]
fn the_project_of_a_script_without_services_is_the_one_that_it_names() {
    let project = Project::new();
    project.write("chores.rhai", "project(\"shop\");\nhook(\"local\", \"true\");\n");
    let status = project.podlift(&["lock", "status", "chores.rhai"]);
    assert_eq!((status.code, status.stderr.trim()), (0, "no run has a lease in the project shop"));
    let shown = project.podlift(&["ps", "chores.rhai"]);
    assert_eq!((shown.code, shown.stderr.trim()), (0, "no container of the project shop is on any host that the script names"));
}

/// A link that leads to itself: nobody can read it, not even root.
fn lock_away(project: &Project, name: &str) {
    let path = project.path().join(name);
    fs::create_dir_all(path.parent().expect("it is in the folder")).expect("the folder can be written");
    symlink(path.file_name().expect("a name"), &path).expect("the folder can be written");
}

#[test]
fn what_cannot_be_read_is_not_said_to_be_missing() {
    let project = Project::new();
    project.write("deploy.rhai", "hook(\"local\", \"true\");\n");
    assert_eq!(project.podlift(&["run", "deploy.rhai"]).code, 0);
    lock_away(&project, ".podlift/runs/theirs/journal.jsonl");
    let why = "theirs/journal.jsonl cannot be read: Too many levels of symbolic links";
    for arguments in [&["runs"][..], &["show", "theirs"], &["show"]] {
        let output = project.podlift(arguments);
        assert!(output.code == 1 && output.stderr.contains(why), "{arguments:?}: {}", output.stderr);
    }
    let listed = project.podlift(&["runs", "--json"]);
    let listed: Value = serde_json::from_str(&listed.stdout).expect("JSON");
    assert!(listed[0]["unreadable"].as_str().is_some_and(|told| told.contains(why)) && listed[1]["state"] == "done", "{listed}");

    lock_away(&project, "locked");
    let output = project.podlift(&["run", "locked/deploy.rhai"]);
    assert!(output.code == 2 && output.stderr.contains("the script locked/deploy.rhai cannot be read: Too many"), "{}", output.stderr);
}

#[test]
fn where_nothing_is_named_the_usual_script_is_meant() {
    let project = Project::new();
    for arguments in [&["ps"][..], &["lock", "status"], &["logs", "web"]] {
        let output = project.podlift(arguments);
        assert_eq!(output.code, 2, "{}", output.stderr);
        assert!(output.stderr.contains("there is no deploy.rhai here") && output.stderr.contains("--host ADDRESS"), "{}", output.stderr);
    }
    project.write("deploy.rhai", "let p = params(#{ name: \"shop\" });\nproject(p.name);\nhook(\"local\", \"true\");\n");
    let status = project.podlift(&["lock", "status"]);
    assert_eq!((status.code, status.stderr.trim()), (0, "no run has a lease in the project shop"));
    let status = project.podlift(&["lock", "status", "name=blog"]);
    assert_eq!((status.code, status.stderr.trim()), (0, "no run has a lease in the project blog"));
}
