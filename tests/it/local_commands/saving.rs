//! Files that podlift is asked to write: what else is there stays, unless that is forced.

use std::fs;

use crate::podlift::Project;

const SCRIPT: &str = "hook(\"local\", \"true\");\n";

fn project() -> Project {
    let project = Project::new();
    project.write("deploy.rhai", SCRIPT).write("notes", "precious\n");
    project
}

fn text(project: &Project, file: &str) -> String {
    fs::read_to_string(project.path().join(file)).expect("it is there")
}

/// Refused, then forced, and then replaced as one's own.
#[track_caller]
fn assert_spares(project: &Project, arguments: &[&str], what: &str) {
    let refused = project.podlift(arguments);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    for words in [&format!("notes is there already, and is no {what} of podlift"), "--force replaces it"] {
        assert!(refused.stderr.contains(words), "{words:?} is not in\n{}", refused.stderr);
    }
    assert_eq!(text(project, "notes"), "precious\n");
    let forced = project.podlift(&[arguments, &["--force"]].concat());
    assert_eq!(forced.code, 0, "{}", forced.stderr);
    let again = project.podlift(arguments);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(text(project, "notes") != "precious\n");
}

#[test]
fn a_plan_takes_the_place_of_a_plan_only() {
    assert_spares(&project(), &["plan", "deploy.rhai", "-o", "notes"], "plan");
}

#[test]
fn a_report_takes_the_place_of_a_report_only() {
    let project = project();
    let run = project.podlift(&["run", "deploy.rhai"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_spares(&project, &["report", "-o", "notes"], "report");
}

#[test]
fn a_module_takes_the_place_of_nothing() {
    let project = project();
    project.write("lib/rolling.rhai", "precious\n");
    let refused = project.podlift(&["eject", "std/rolling"]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert_eq!(text(&project, "lib/rolling.rhai"), "precious\n");
    let forced = project.podlift(&["eject", "std/rolling", "--force"]);
    assert_eq!(forced.code, 0, "{}", forced.stderr);
    assert_eq!(fs::read_dir(project.path().join("lib")).expect("reads").count(), 1, "nothing is left beside it");
}

#[test]
fn a_simulated_fleet_that_cannot_be_kept_is_not_said_to_be() {
    let project = project();
    // No folder can be made there.
    std::os::unix::fs::symlink("no/such/place", project.path().join(".podlift")).expect("the folder can be written");
    let run = project.podlift(&["run", "deploy.rhai", "--simulate"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    for words in ["simulated.json cannot be used: ", "see to its folder's rights", "✗ simulated, but the fleet was not kept"] {
        assert!(run.stderr.contains(words), "{words:?} is not in\n{}", run.stderr);
    }
    assert!(!run.stderr.contains("is kept in") && !run.stderr.contains("not begun"), "{}", run.stderr);

    project.write("deploy.rhai", &format!("{SCRIPT}fail(\"no\");\n"));
    let failed = project.events(&["run", "deploy.rhai", "--simulate"]);
    let told = failed.result();
    assert_eq!((failed.output.code, &told["end"]), (4, &"failed, as a run would, but the fleet was not kept".into()), "{told}");
    assert_eq!((&told["diagnostics"][0]["message"], told["diagnostics"].as_array().map(Vec::len)), (&"no".into(), Some(2)), "{told}");
    assert_eq!(failed.events.iter().filter(|event| event["event"] == "result").count(), 1);
}
