//! What is told before anything runs: of scripts, of hosts that do not answer, and to programs.

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
