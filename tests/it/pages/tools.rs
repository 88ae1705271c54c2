//! `tasks`, `docs`, `definitions`, `eject`, `new` and `completions`.

use std::fs;

use podlift::script::stdlib;
use serde_json::Value;

use crate::podlift::Project;

const TASK: &str = "//! Deploys the shop. Every night.\n\nimport \"std/rolling\" as rolling;\nlet p = params(#{ version: required(\"the tag\"), batch: 1 });\n\
    project(\"shop\");\nlet fleet = hosts([\"h1\", \"h2\"]);\nlet web = service(\"web\", #{ port: 8000, health: http(\"/\") });\n\
    let img = build(web, #{ tag: p.version });\nship(img, fleet);\nrolling::deploy(web, img, fleet, #{ batch: p.batch });\n";

#[track_caller]
fn stdout(project: &Project, arguments: &[&str]) -> String {
    let output = project.podlift(arguments);
    assert_eq!(output.code, 0, "{arguments:?}:\n{}{}", output.stdout, output.stderr);
    output.stdout
}

#[test]
fn a_projects_tasks_say_what_they_do() {
    let project = Project::new();
    project
        .write("deploy/shop.rhai", TASK)
        .write("deploy/broken.rhai", "//! Broken.\nlet = 1;\n")
        .write("deploy/podlift.d.rhai", "module static;\n");
    let table = stdout(&project, &["tasks"]);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[1].starts_with("broken  cannot be parsed: see `podlift check deploy/broken.rhai`"), "{table}");
    assert!(lines[2].starts_with("shop    Deploys the shop  ") && lines[2].ends_with("version=… [batch=1]"), "{table}");
    let tasks: Value = serde_json::from_str(&stdout(&project, &["tasks", "--json"])).expect("it is JSON");
    assert_eq!((&tasks[1]["name"], &tasks[0]["parses"], &tasks[1]["parses"]), (&"shop".into(), &false.into(), &true.into()));
    let version = &tasks[1]["parameters"].as_array().expect("a list").iter().find(|parameter| parameter["name"] == "version");
    assert_eq!(version.expect("it takes one")["required"], "the tag");
}

#[test]
fn documentation_is_found_by_name() {
    let project = Project::new();
    project.write("deploy/shop.rhai", TASK);
    assert!(stdout(&project, &["docs", "drain"]).contains("    drain(release, options?) → Map\n"));
    assert!(stdout(&project, &["docs", "std/rolling"]).contains("deploy(service, img, fleet, opts)\n"));
    assert!(stdout(&project, &["docs", "rolling::deploy"]).starts_with("std/rolling\n"));
    assert!(stdout(&project, &["docs", "shop"]).contains("- `version`: the tag (required)"));
    assert!(stdout(&project, &["docs", "failures", "--markdown"]).contains("| kind | meaning |"));
    let contents = stdout(&project, &["docs"]);
    for page in ["- `set_weights`: ", "- `std/rolling`: Rolling", "- `shop`: Deploys the shop"] {
        assert!(contents.contains(page), "{page}:\n{contents}");
    }
    let unknown = project.podlift(&["docs", "set_weihgts"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains("did you mean `set_weights`?"), "{}", unknown.stderr);
}

#[test]
fn editors_get_a_definition_of_everything_that_can_be_called() {
    let project = Project::new();
    let written = stdout(&project, &["definitions", "deploy"]);
    assert!(written.lines().any(|line| line == "deploy/podlift.d.rhai"), "{written}");
    assert_eq!(written, stdout(&project, &["definitions", "deploy"]), "it can be done again");
    for (name, _) in stdlib::MODULES {
        assert!(project.path().join(format!("deploy/std/{name}.d.rhai")).is_file(), "std/{name}");
    }
}

/// Puts the import line that podlift printed into a script in place of the standard library's, and runs it.
#[track_caller]
fn assert_imports(project: &Project, script: &str, line: &str) {
    let text = TASK.replace("import \"std/rolling\" as rolling;", line);
    assert_ne!(text, TASK);
    project.write(script, &text);
    let output = project.podlift(&["run", script, "--simulate", "version=v1"]);
    assert_eq!(output.code, 0, "{script}, {line}:\n{}", output.stderr);
}

#[test]
fn an_ejected_strategy_is_imported_as_the_printed_line_says() {
    let project = Project::new();
    project.write("deploy.rhai", TASK);
    let line = stdout(&project, &["eject", "std/rolling"]);
    assert_eq!(line, "import \"lib/rolling\" as rolling;\n");
    assert_imports(&project, "deploy.rhai", &line);
    let again = project.podlift(&["eject", "std/rolling"]);
    assert!(again.code == 2 && again.stderr.contains("lib/rolling.rhai is there already"), "{}", again.stderr);
    let ejected = fs::read_to_string(project.path().join("lib/rolling.rhai")).expect("it was written");
    assert!(ejected.contains("//! import \"lib/rolling\" as rolling;") && !ejected.contains("std/rolling"), "{ejected}");
}

#[test]
fn a_project_with_tasks_keeps_its_modules_beside_them() {
    let project = Project::new();
    project.write("deploy/shop.rhai", TASK);
    let lines = stdout(&project, &["eject", "rolling"]);
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(
        lines,
        [
            "import \"lib/rolling\" as rolling; // in a script of deploy/",
            "import \"deploy/lib/rolling\" as rolling; // in a script of this folder"
        ]
    );
    assert_imports(&project, "deploy/shop.rhai", lines[0]);
    assert_imports(&project, "here.rhai", lines[1]);
    let elsewhere = stdout(&project, &["eject", "std/rolling", "--for", "ops/night/run.rhai", "--to", "deploy/lib/careful.rhai"]);
    assert_eq!(elsewhere, "import \"../../deploy/lib/careful\" as rolling;\n");
    assert_imports(&project, "ops/night/run.rhai", &elsewhere);
    let outside = project.podlift(&["eject", "std/rolling", "--to", "../rolling.rhai"]);
    assert!(outside.code == 2 && outside.stderr.contains("outside of the project"), "{}", outside.stderr);
}

#[test]
fn a_new_strategy_works_before_it_is_changed() {
    let project = Project::new();
    let line = stdout(&project, &["new", "strategy", "careful", "--for", "deploy.rhai"]);
    assert_eq!(line, "import \"lib/careful\" as careful;\n");
    let script = TASK.replace("import \"std/rolling\" as rolling;", &line).replace("rolling::", "careful::");
    project.write("deploy.rhai", &script);
    for version in ["version=v1", "version=v2"] {
        let output = project.podlift(&["run", "deploy.rhai", "--simulate", version]);
        assert!(output.code == 0 && output.stdout.contains("; 0 failed"), "{}{}", output.stdout, output.stderr);
    }
    assert!(stdout(&project, &["docs", "lib/careful.rhai"]).contains("careful::deploy(web, img, fleet, #{ batch: 2, share: 5 });"));
    let bad = project.podlift(&["new", "strategy", "is"]);
    assert!(bad.code == 2 && bad.stderr.contains("cannot be a module's name"), "{}", bad.stderr);
}

#[test]
fn every_shell_has_its_completions() {
    let project = Project::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = stdout(&project, &["completions", shell]);
        assert!(script.contains("definitions") && script.contains("simulate"), "{shell}");
    }
}

/// What a real bash offers for the last of these words.
fn offered(project: &Project, words: &[&str]) -> Vec<String> {
    project.write("completions.bash", &stdout(project, &["completions", "bash"]));
    let line = format!(
        "source completions.bash; COMP_WORDS=({}); COMP_CWORD={}; _podlift_with_tasks podlift \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
        words.len() - 1
    );
    let folder = std::path::Path::new(env!("CARGO_BIN_EXE_podlift")).parent().expect("it is in a folder").to_path_buf();
    let path = std::env::var("PATH").expect("there is one");
    let mut bash = std::process::Command::new("bash");
    bash.args(["-c", &line]).current_dir(project.path()).env("PATH", format!("{}:{path}", folder.display()));
    let output = bash.output().expect("bash is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_functions_modules_and_tasks() {
    let project = Project::new();
    project.write("deploy/shop.rhai", TASK).write("deploy/shut.rhai", TASK);
    assert_eq!(offered(&project, &["podlift", "docs", "set_"]), ["set_weights"]);
    assert!(offered(&project, &["podlift", "docs", "std/r"]).contains(&"std/rolling".to_owned()));
    assert_eq!(offered(&project, &["podlift", "eject", "std/rol"]), ["std/rollback", "std/rolling"]);
    assert_eq!(offered(&project, &["podlift", "run", "sh"]), ["shop", "shut"]);
    let all = offered(&project, &["podlift", "run", ""]);
    assert!(all.contains(&"shop".to_owned()) && all.contains(&"--simulate".to_owned()), "{all:?}");
    assert!(!all.iter().any(|word| word.starts_with(['[', '<'])), "{all:?}");
    assert_eq!(stdout(&project, &["tasks", "--names"]), "shop\nshut\n");
}

#[test]
fn definitions_beside_tasks_are_no_tasks_and_are_not_checked() {
    let project = Project::new();
    project.write("deploy/shop.rhai", TASK);
    stdout(&project, &["definitions", "deploy"]);
    assert_eq!(stdout(&project, &["tasks", "--names"]), "shop\n");
    // As a shell expands deploy/*.rhai.
    let output = project.podlift(&["check", "deploy/podlift.d.rhai", "deploy/rhai-core.d.rhai", "deploy/shop.rhai"]);
    assert!(output.code == 0 && output.stderr.contains("1 script: nothing found"), "{}", output.stderr);
}

#[test]
fn ps_shows_the_simulated_fleet() {
    let project = Project::new();
    project.write("deploy.rhai", TASK);
    assert_eq!(project.podlift(&["run", "deploy.rhai", "version=v7", "--simulate"]).code, 0);
    let table = stdout(&project, &["ps", "deploy.rhai", "version=v8", "--simulate"]);
    assert!(table.starts_with("SERVICE") && table.matches("v7").count() >= 2 && !table.contains("v8"), "{table}");
    let json: Value =
        serde_json::from_str(&stdout(&project, &["ps", "--host", "h1", "--project", "shop", "--simulate", "--json"])).expect("JSON");
    assert_eq!(json["containers"].as_array().map(Vec::len), Some(1), "{json}");
}
