//! What an earlier process of a run did with secrets is hidden from what its next one shows.

use crate::podlift::Project;
use crate::rig::output;

/// Writes a secret into a file, which later commands say.
const TELLING: &str = r#"
hook("local", "echo \"$T\" >kept", #{ env: #{ T: secret("PW") } });
hook("local", "true", #{ undo: "cat kept; exit 3" });
info(hook("local", "cat kept").stdout);
"#;

/// A run that dies before its last command.
fn killed() -> Project {
    let project = Project::new().env("PW", "Hunter2Core");
    project.write("deploy.rhai", TELLING);
    assert_eq!(output(project.command(&["run", "deploy.rhai"]).env("PODLIFT_TEST_KILL_AT", "8"), "").code, -1);
    project
}

#[test]
fn a_resumed_run_and_an_undo_hide_what_the_run_before_used() {
    let project = killed();
    let resumed = project.podlift(&["resume", "-v"]);
    assert_eq!(resumed.code, 0, "{}", resumed.stderr);
    assert!(resumed.stderr.contains("${PW}") && !resumed.stderr.contains("Hunter2Core"), "{}", resumed.stderr);

    let project = killed();
    let undone = project.podlift(&["undo"]);
    assert!(undone.stderr.contains("${PW}") && !undone.stderr.contains("Hunter2Core"), "{}", undone.stderr);
}
