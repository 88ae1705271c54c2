//! `podlift run --step`, driven by lines on its standard input.

use crate::{
    podlift::Project,
    rig::{Output, output},
};

const SCRIPT: &str = "import \"std/rolling\" as rolling;
let p = params(#{ version: \"v1\" });
let fleet = hosts([\"h1\", \"h2\"]);
let web = service(\"web\", #{ port: 8000, health: http(\"/\") });
let img = build(web, #{ tag: p.version });
ship(img, fleet);
rolling::deploy(web, img, fleet);
info(`serves ${p.version}`);
";

fn project() -> Project {
    let project = Project::new();
    project.write("deploy.rhai", SCRIPT);
    let first = project.podlift(&["run", "deploy.rhai", "--simulate"]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    project
}

/// Steps through a simulated run and types these lines.
fn step(project: &Project, arguments: &[&str], lines: &[&str]) -> Output {
    let arguments = [&["run", "deploy.rhai", "version=v2", "--simulate", "--step"], arguments].concat();
    output(&mut project.command(&arguments), &(lines.join("\n") + "\n"))
}

/// Fails unless these stand in what was said, in this order.
#[track_caller]
fn assert_said(output: &Output, expected: &[&str]) {
    let mut rest = output.stderr.as_str();
    for piece in expected {
        rest = rest.split_once(piece).unwrap_or_else(|| panic!("{piece:?} is not said there in\n{}", output.stderr)).1;
    }
}

#[test]
fn it_stops_before_each_change_and_shows_what_that_would_be() {
    let places = ["--break", "build", "--break", "ship", "--break", "start"];
    let output = step(&project(), &places, &["c", "c", "c", "print old.version", "where", "c", "c"]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_said(
        &output,
        &[
            ">    5 let img = build",
            "op: build default-web:v2",
            "web = web",
            "op: ship default-web:v2 on h1 (call 2[0])",
            "+ image default-web:v2 on h1",
            "op: ship default-web:v2 on h2",
            "std/rolling:",
            "let next = start(service, img, group);",
            "op: start 1 × web v2 on h1 (call ",
            "+ default-web-v2-",
            "old = web v1 on h1",
            "in deploy, called at deploy.rhai:7",
            "serves v2",
        ],
    );
    assert!(output.stdout.contains("\"v1\"\n"), "{}", output.stdout);
}

#[test]
fn a_line_a_function_and_an_op_are_places_to_stop_at() {
    let output = step(&project(), &["--break", "set_weights", "--break", "deploy.rhai:8", "--break", "retire"], &["break", "c", "c", "c"]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_said(
        &output,
        &[
            "op: set_weights",
            "~ weight of web v1 on h1, by the proxy of h1: 100 → 0",
            "~ weight of web v2 on h1, by the proxy of h1: 0 → 100",
            "deploy.rhai:8\n`retire`",
            "op: set_weights",
            "on h2",
            ">    8 info(",
            "serves v2",
        ],
    );
    assert!(!output.stderr.contains("op: start"), "{}", output.stderr);
}

#[test]
fn lines_are_stepped_over_into_and_out_of() {
    let output = step(&project(), &["--break", "7"], &["into", "into", "out", "next", "c"]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_said(&output, &[">    7 rolling::deploy", "std/rolling:", "std/rolling:", ">    8 info("]);
    let until = step(&project(), &["--break", "4"], &["until 8", "vars", "c"]);
    assert_said(&until, &[">    4 let web", ">    8 info("]);
    assert!(until.stdout.contains("img = default-web:v2"), "{}", until.stdout);
}

#[test]
fn a_failed_op_waits_for_another_try() {
    let project = Project::new();
    project.write("VERSION", "");
    project.write("deploy.rhai", "hook(\"local\", \"exit 3\");\ninfo(\"on it goes\");\n");
    let run = |lines: &str| output(&mut project.command(&["run", "deploy.rhai", "--step"]), lines);
    let redone = run("\nredo stop(())\nredo hook(\"local\", \"exit 4\")\nredo hook(\"local\", \"echo well\")\nc\n");
    assert_eq!(redone.code, 0, "{}", redone.stderr);
    assert_said(&redone, &["op: hook exit 3 on here (call 1)", "exited with 3", "asks for no `hook`", "exited with 4", "on it goes"]);
    let skipped = run("c\nskip #{ code: \"a\" }\nskip #{ code: 7, stdout: \"\", stderr: \"\" }\nc\n");
    assert_eq!(skipped.code, 0, "{}", skipped.stderr);
    assert_said(&skipped, &["exited with 3", "`hook` does not answer with that", "on it goes"]);
    let failed = run("c\nfail\n");
    assert_eq!(failed.code, 1, "{}", failed.stderr);
    assert!(!failed.stderr.contains("info    on it goes"), "{}", failed.stderr);
}

#[test]
fn the_last_op_is_taken_back_and_functions_can_be_called() {
    let output =
        step(&project(), &["--break", "healthcheck"], &["print running(service, group).version", "undo", "running(service, group)", "q"]);
    assert_eq!(output.code, 7, "{}", output.stderr);
    assert!(output.stdout.contains("web      v1       h1    default-web-v1-"), "{}", output.stdout);
    assert_said(&output, &["op: healthcheck", "taken back: start 1 × web v2 on h1", "interrupted"]);
}

#[test]
fn a_variable_that_is_set_by_hand_is_told() {
    let output = step(&project(), &["--break", "5"], &["set p = #{ version: \"v3\" }", "set nobody = 1", "print p.version", "c"]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_said(
        &output,
        &["`p` is set by hand: this run can be undone, but not resumed", "there is no variable `nobody` here", "serves v3"],
    );
    assert!(output.stderr.trim_end().lines().any(|line| line.starts_with("! `p` was set by hand")), "{}", output.stderr);
}

#[test]
fn branches_are_stepped_in_order_and_a_dry_run_too() {
    let project = project();
    project.write("deploy.rhai", "let fleet = hosts([\"h1\", \"h2\"]);\nparallel(fleet, |one| {\n    hook(one, \"uptime\");\n});\n");
    let output = output(&mut project.command(&["run", "deploy.rhai", "--simulate", "--dry-run", "--step"]), "print one\n\nprint one\n\n\n");
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_said(&output, &["hook uptime on h1 (call 1[0].1)", "hook uptime on h2 (call 1[1].1)"]);
    assert!(output.stdout.starts_with("h1\nh2\n"), "{}", output.stdout);
}

#[test]
fn the_end_of_the_input_quits() {
    let output = step(&project(), &[], &["step"]);
    assert_eq!(output.code, 7, "{}", output.stderr);
    assert_said(&output, &["op: build", "op: ship", "interrupted"]);
}

#[test]
fn a_place_that_is_none_is_told_and_nothing_goes_past_it() {
    let project = project();
    for (place, words) in [
        ("set_weight", "did you mean `set_weights`?"),
        ("retier", "did you mean `retire`?"),
        ("9999", "no code at or behind line 9999"),
        ("other.rhai:3", "its files are deploy.rhai, std/rolling"),
        ("", "a place to stop at is a line, a function or an op"),
    ] {
        let output = step(&project, &["--break", place], &["q"]);
        assert_eq!(output.code, 2, "{place}: {}", output.stderr);
        assert_said(&output, &[words, "nothing was touched"]);
    }
    let typed = step(&project, &["--break", "5"], &["break nosuch", "until 4000", "break", "q"]);
    assert_eq!(typed.code, 7, "{}", typed.stderr);
    assert_said(
        &typed,
        &[
            "there is no function and no op `nosuch` to stop at",
            "deploy.rhai has no code at or behind line 4000",
            "line 5\n",
            "interrupted",
        ],
    );
    assert!(!typed.stderr.contains("op: ship"), "{}", typed.stderr);
}

#[test]
fn a_run_with_a_variable_set_by_hand_is_undone_and_not_resumed() {
    let project = Project::new();
    project.write("two.rhai", "let n = 1;\nhook(\"local\", `echo ${n} >>done`, #{ undo: \"rm done\" });\nhook(\"local\", \"true\");\n");
    let run = output(&mut project.command(&["run", "two.rhai", "--step"]), "set n = 5\nstep\nquit\n");
    assert_eq!(run.code, 7, "{}", run.stderr);
    assert!(run.stderr.contains("takes it back") && !run.stderr.contains("goes on"), "{}", run.stderr);
    let resumed = project.podlift(&["resume"]);
    assert_eq!(resumed.code, 3, "{}", resumed.stderr);
    assert!(resumed.stderr.contains("cannot be resumed: `n` was set by hand in it"), "{}", resumed.stderr);
    assert!(project.path().join("done").exists());
    project.podlift(&["undo"]);
    assert!(!project.path().join("done").exists());
}
