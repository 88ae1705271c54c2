//! What becomes of commands whose podlift is killed, on hosts and in builds.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use crate::podlift::Project;
use crate::rig::{Rig, RigOptions};
use crate::until::until;

#[test]
fn a_command_on_a_host_that_outlived_its_operator_is_ended_before_it_is_done_again() {
    let rig = Rig::up(RigOptions::default());
    let project = Project::on(&rig);
    let folder = project.path().display().to_string();
    let command = format!("cd {folder}; echo $$ >>pids; [ -e go ] || sleep 300");
    project.write("migrate.rhai", &format!("project(\"shop{}\");\nhook(host(\"h1\"), \"{command}\");\n", rig.id()));
    rig.exec(1, &["mkdir", "-p", &folder]).text();
    let on_host = |line: &str| rig.exec(1, &["sh", "-c", &format!("cd {folder} && {line}")]).stdout.trim().to_owned();
    let runs = |pid: &str| on_host(&format!("kill -0 {pid} && echo runs")) == "runs";
    let mut killed = project.start(&["run", "migrate.rhai"]);
    until("the command runs", || !on_host("cat pids").is_empty());
    killed.kill().expect("it runs");
    killed.wait().expect("it is our child");
    let first = on_host("cat pids");
    assert!(runs(&first), "nobody ended it");
    let refused = project.podlift(&["resume"]);
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    assert!(refused.stderr.contains("it may still run there"), "{}", refused.stderr);
    on_host("touch go");
    let again = project.podlift(&["resume", "--in-doubt", "redo"]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(!runs(&first), "it ran beside the second");
    assert_eq!(on_host("wc -l <pids"), "2");
}

#[test]
fn a_build_ends_with_its_podlift() {
    let rig = Rig::up(RigOptions::default());
    let path = std::env::var("PATH").expect("there is one");
    let project = Project::on(&rig);
    let project = {
        let bin = project.path().join("bin");
        project.env("PATH", &format!("{}:{path}", bin.display()))
    };
    project.write("bin/docker", "#!/bin/sh\n[ \"$1\" = build ] || exit 0\necho $$ >pid\nsleep 300\n");
    let docker = project.path().join("bin/docker");
    fs::set_permissions(docker, fs::Permissions::from_mode(0o755)).expect("it is there");
    project.write(
        "deploy.rhai",
        &format!("project(\"shop{}\");\nbuild(service(\"web\", #{{ port: 8000, health: no_health() }}), #{{ tag: \"v1\", on: host(\"h1\") }});\n", rig.id()),
    );
    let pid = || fs::read_to_string(project.path().join("pid")).unwrap_or_default().trim().to_owned();
    let mut killed = project.start(&["run", "deploy.rhai"]);
    until("the build runs", || !pid().is_empty());
    killed.kill().expect("it runs");
    killed.wait().expect("it is our child");
    let state = || fs::read_to_string(Path::new("/proc").join(pid()).join("status")).unwrap_or_default();
    until("it has ended", || !state().lines().any(|line| line.starts_with("State:") && !line.contains('Z')));
}
