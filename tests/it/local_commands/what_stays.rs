//! What local commands did counts: the end of a run says what was taken back, and names what was not.

use serde_json::Value;

use crate::podlift::Project;
use crate::rig::output;

/// Runs the script and expects this exit code, and these words in what is told.
#[track_caller]
fn ends(script: &str, code: i32, words: &[&str]) -> Project {
    let project = Project::new();
    project.write("deploy.rhai", script);
    let output = project.podlift(&["run", "deploy.rhai"]);
    assert_eq!(output.code, code, "{}", output.stderr);
    for word in words {
        assert!(output.stderr.contains(word), "{word:?} is not in\n{}", output.stderr);
    }
    project
}

#[test]
fn a_local_command_without_undo_is_named_in_what_stays() {
    ends(
        "hook(\"local\", \"touch made\");\nfail(\"no\");",
        4,
        &["! deploy.rhai:1: `hook` touch made (here) was done, and has no `undo`", "nothing was changed but by 1 command without `undo`"],
    );
    ends(
        "hook(\"local\", \"touch a\", #{ undo: \"rm a\" });\nhook(\"local\", \"touch b\");\nfail(\"no\");",
        4,
        &["! deploy.rhai:2: `hook` touch b (here) was done", "everything was undone but for what 1 command without `undo` did"],
    );
}

#[test]
fn a_command_that_failed_is_told_as_that_whatever_its_undo_would_be() {
    ends(
        "hook(\"local\", \"touch a\", #{ undo: \"rm a\" });\nhook(\"local\", \"exit 3\", #{ undo: \"true\" });",
        4,
        &["everything was undone but for what 1 command that failed did"],
    );
    ends(
        "hook(\"local\", \"touch a\", #{ undo: \"rm a\" });\nhook(\"local\", \"touch b\");\nhook(\"local\", \"exit 3\", #{ undo: \"true\" });",
        4,
        &["everything was undone but for what 2 commands that failed or have no `undo` did"],
    );
}

#[test]
fn a_local_command_that_was_undone_leaves_nothing() {
    let project = ends("hook(\"local\", \"touch a\", #{ undo: \"rm a\" });\nfail(\"no\");", 4, &["failed; everything was undone in"]);
    assert!(!project.path().join("a").exists());
}

#[test]
fn a_local_command_whose_undo_failed_is_mixed_until_it_is_undone() {
    let script = "hook(\"local\", \"touch a\", #{ undo: \"test -e may && rm a\" });\nfail(\"no\");";
    let project = ends(script, 6, &["what was done on this machine is mixed: 1 change of 1 may stand", "`podlift undo "]);
    project.write("may", "");
    let undone = project.podlift(&["undo"]);
    assert_eq!(undone.code, 0, "{}", undone.stderr);
    assert!(undone.stderr.contains("undone: everything is as it was"), "{}", undone.stderr);
    assert!(!project.path().join("a").exists());
}

#[test]
fn what_only_reads_or_tells_is_no_change() {
    ends(
        "probe(\"local\", \"true\");\nhook(\"local\", \"true\", #{ check: false, name: \"mail\" });\nfail(\"no\");",
        1,
        &["failed; nothing was changed in"],
    );
    let failed = "! deploy.rhai:1: `hook` exit 3 (here) failed: nobody knows what it did until then";
    ends("hook(\"local\", \"exit 3\");", 1, &[failed, "nothing was changed but what 1 command may have done"]);
}

#[test]
fn what_a_commit_made_final_is_not_left_behind() {
    let script = "hook(\"local\", \"touch a\");\ncommit();\nhook(\"local\", \"touch b\", #{ undo: \"rm b\" });\nfail(\"no\");";
    ends(script, 4, &["failed; everything since the last commit was undone in"]);
}

#[test]
fn local_commands_are_counted_in_the_end_of_a_plan_and_of_a_run() {
    let project = Project::new();
    project.write("deploy.rhai", "hook(\"local\", \"true\");\nhook(host(\"h1\"), \"true\");");
    let planned = project.podlift(&["plan", "deploy.rhai", "--simulate"]);
    assert!(planned.stderr.contains("plan: 2 changes on 1 host and this machine, nothing was touched"), "{}", planned.stderr);
    project.write("deploy.rhai", "hook(\"local\", \"true\");");
    let done = project.podlift(&["run", "deploy.rhai", "--json"]);
    let result: Value = serde_json::from_str(done.stdout.lines().last().expect("a result")).expect("JSON");
    assert_eq!((&result["end"], &result["counts"]["here"]), (&"done: 1 change on this machine".into(), &true.into()));
}

#[test]
fn a_command_that_failed_on_the_way_is_named_in_the_end_of_a_run_that_is_done() {
    let tried = "let tried = attempt(|| hook(\"local\", \"touch log; sleep 9\", #{ timeout: \"1s\", undo: \"true\" }));";
    let named = "! deploy.rhai:1: `hook` touch log; sleep 9 (here) failed: nobody knows what it did until then";
    let project = ends(tried, 0, &[named, "done: nothing changed, but for what 1 command that failed did", "; see what it did"]);
    assert!(project.path().join("log").exists(), "it had begun");
    ends(
        &format!("{tried}\nhook(\"local\", \"true\");"),
        0,
        &[named, "done: 1 change on this machine, and what 1 command that failed did"],
    );

    let told = project.events(&["run", "deploy.rhai"]);
    let left: Vec<&Value> = told.events.iter().filter(|event| event["event"] == "left").collect();
    assert_eq!((left.len(), &left[0]["why"], &left[0]["verb"]), (1, &"failed".into(), &"hook".into()), "{left:?}");
    let typed = output(&mut project.command(&["repl", "--yes"]), "try { hook(\"local\", \"exit 3\"); } catch { }\n");
    assert!(typed.stderr.contains("done: nothing changed, but for what 1 command that failed did"), "{}", typed.stderr);
}

#[test]
fn a_command_that_a_retry_did_again_is_not_named_where_it_succeeded() {
    let tried = "retry(3, \"10ms\", || hook(\"local\", \"echo x >>log; test $(wc -l <log) -ge 2\"));";
    let project = Project::new();
    project.write("deploy.rhai", tried);
    let done = project.podlift(&["run", "deploy.rhai"]);
    assert_eq!(std::fs::read_to_string(project.path().join("log")).expect("it has begun"), "x\nx\n");
    assert!(done.code == 0 && !done.stderr.contains("! ") && done.stderr.contains("done: 1 change on this machine in"), "{}", done.stderr);

    // Another time that failed is named, though the first had succeeded.
    let other = "for n in 0..2 { attempt(|| hook(\"local\", \"test -e log\")); hook(\"local\", \"rm -f log\"); }";
    project.write("deploy.rhai", other);
    let done = project.podlift(&["run", "deploy.rhai"]);
    assert!(done.stderr.contains("! deploy.rhai:1: `hook` test -e log (here) failed"), "{}", done.stderr);
}
