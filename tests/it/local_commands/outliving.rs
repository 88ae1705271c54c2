//! What becomes of commands of this machine whose podlift is killed.

use std::{fs, process::Command};

use crate::podlift::Project;
use crate::until::until;

/// The numbers that commands have written.
fn pids(project: &Project) -> Vec<String> {
    fs::read_to_string(project.path().join("pids")).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Whether a process is there and has not ended.
fn runs(pid: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}

#[track_caller]
fn killed_once(project: &Project, started: usize) {
    let mut run = project.start(&["run", "deploy.rhai"]);
    until("the command runs", || pids(project).len() == started);
    run.kill().expect("it runs");
    run.wait().expect("it is our child");
}

#[test]
fn a_command_ends_with_its_podlift_however_that_ends() {
    for place in ["\"local\"", "host(\"local\")"] {
        let project = Project::new();
        let command = "trap '' TERM HUP; sleep 300 & echo $! >>pids; echo $$ >>pids; wait; sleep 300";
        let folder = project.path().display();
        project.write("deploy.rhai", &format!("hook({place}, \"cd {folder}; {command}\");\n"));
        killed_once(&project, 2);
        until("nothing of it runs", || !pids(&project).iter().any(|pid| runs(pid)));
        let refused = project.podlift(&["resume"]);
        assert_eq!(refused.code, 3, "{}", refused.stderr);
        assert!(refused.stderr.contains("was begun and not answered"), "{}", refused.stderr);
    }
}

#[test]
fn what_a_command_leaves_running_on_purpose_stays_until_it_is_done_again() {
    let project = Project::new();
    // Its number is written once it has a session of its own.
    let daemon = "setsid sh -c 'echo $$ >>pids; exec sleep 300' >/dev/null 2>&1 </dev/null &";
    project.write(
        "deploy.rhai",
        &format!("hook(\"local\", \"{daemon} [ -e go ] && until [ $(wc -l <pids) = 2 ]; do sleep 0.1; done || sleep 300\");\n"),
    );
    killed_once(&project, 1);
    let first = pids(&project).remove(0);
    assert!(runs(&first), "it has a session of its own");
    project.write("go", "");
    let again = project.podlift(&["resume", "--in-doubt", "redo"]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    let second = pids(&project).pop().expect("it ran again");
    let left = [runs(&first), runs(&second)];
    Command::new("kill").args([&first, &second]).output().expect("there is kill");
    assert_eq!(left, [false, true], "the first is ended, and what the second left goes on");
}

#[test]
fn a_command_of_this_machine_is_asked_to_end_when_its_time_is_over_and_killed_if_it_does_not() {
    for place in ["\"local\"", "host(\"local\")"] {
        for call in ["hook", "probe"] {
            let project = Project::new();
            let folder = project.path().display();
            let script =
                format!("cd {folder}; trap 'echo asked >>told; sleep 0.3; echo tidied >>told; exit' TERM; while :; do sleep 0.1; done");
            project.write("deploy.rhai", &format!("{call}({place}, \"{script}\", #{{ timeout: \"1s\" }});\n"));
            let late = project.podlift(&["run", "deploy.rhai"]);
            assert!(late.code != 0 && late.stderr.contains("did not end within 1s"), "{}", late.stderr);
            let told = fs::read_to_string(project.path().join("told")).unwrap_or_default();
            assert_eq!(told, "asked\ntidied\n", "{call} in {place}: {}", late.stderr);

            let deaf = format!("cd {folder}; trap '' TERM; echo $$ >>pids; while :; do sleep 0.1; done");
            project.write("deploy.rhai", &format!("{call}({place}, \"{deaf}\", #{{ timeout: \"1s\" }});\n"));
            let late = project.podlift(&["run", "deploy.rhai"]);
            assert!(late.stderr.contains("did not end within 1s"), "{}", late.stderr);
            let began = pids(&project);
            assert!(began.len() == 1 && !runs(&began[0]), "{call} in {place}: {began:?} {}", late.stderr);
        }
    }
}
