//! Runs that die and go on, on the operator's own machine.

use std::fs;

use crate::podlift::Project;
use crate::rig::Output;

#[track_caller]
fn ends(output: &Output, code: i32) {
    assert_eq!(output.code, code, "{}{}", output.stdout, output.stderr);
}

/// A project whose script does things on this machine only.
fn local() -> Project {
    let project = Project::new();
    project.write(
        "deploy.rhai",
        "hook(\"local\", \"echo one >>done\");\nhook(\"local\", \"echo two >>done\", #{ undo: \"echo back >>done\" });\nhook(\"local\", \"echo three >>done\");\n",
    );
    project
}

/// Runs it in a process that dies at this point.
#[track_caller]
fn killed_at(project: &Project, point: usize) {
    let mut command = project.command(&["run", "deploy.rhai"]);
    assert_eq!(crate::rig::output(command.env("PODLIFT_TEST_KILL_AT", point.to_string()), "").code, -1);
}

fn done(project: &Project) -> Vec<String> {
    fs::read_to_string(project.path().join("done")).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[test]
fn a_command_that_nobody_saw_end_is_asked_about() {
    let project = local();
    // The second command was done, and its answer was lost.
    killed_at(&project, 6);
    assert_eq!(done(&project), ["one", "two"]);
    let asked = project.podlift(&["resume"]);
    ends(&asked, 3);
    for words in
        ["deploy.rhai:2: `hook` echo two >>done here was begun and not answered", "podlift resume ", "--in-doubt done", "nothing was done"]
    {
        assert!(asked.stderr.contains(words), "{words:?} is not in\n{}", asked.stderr);
    }
    ends(&project.podlift(&["resume", "--in-doubt", "done"]), 0);
    assert_eq!(done(&project), ["one", "two", "three"]);
    let again = project.podlift(&["resume"]);
    ends(&again, 3);
    assert!(again.stderr.contains("it reached its end"), "{}", again.stderr);

    let project = local();
    killed_at(&project, 6);
    ends(&project.podlift(&["resume", "--in-doubt", "redo"]), 0);
    assert_eq!(done(&project), ["one", "two", "two", "three"]);

    let project = local();
    killed_at(&project, 6);
    ends(&project.podlift(&["undo", "--in-doubt", "done"]), 0);
    assert_eq!(done(&project), ["one", "two", "back"]);
    let runs = project.podlift(&["runs", "--json"]);
    assert!(runs.text().contains("\"state\":\"undone\""), "{}", runs.stdout);
}

#[test]
fn a_script_gets_exit_code_0_and_no_output_of_a_command_that_a_person_answers_for() {
    for answer in ["done", "skip"] {
        let project = Project::new();
        let script = "let said = hook(\"local\", \"echo words; echo more >&2; exit 3\", #{ check: false });\n\
            info(`code ${said.code}, output <${said.stdout}${said.stderr}>`);\n";
        project.write("deploy.rhai", script);
        killed_at(&project, 2);
        let resumed = project.podlift(&["resume", "--in-doubt", answer]);
        ends(&resumed, 0);
        assert!(resumed.stderr.contains("code 0, output <>"), "{}", resumed.stderr);
    }
    for verb in ["resume", "undo"] {
        let help = Project::new().podlift(&[verb, "--help"]);
        assert!(help.stdout.contains("after `resume` the script gets exit code 0 and no output"), "{}", help.stdout);
    }
}

#[test]
fn an_undo_that_depends_on_what_nobody_knows_is_refused_before_anything_is_undone() {
    let project = local();
    killed_at(&project, 6);
    for arguments in [&["undo"][..], &["undo", "--in-doubt", "abort"], &["undo", "--in-doubt", "redo"]] {
        let refused = project.podlift(arguments);
        ends(&refused, 3);
        for words in [
            "deploy.rhai:2: `hook` echo two >>done here was begun and not answered",
            "--in-doubt done",
            "--in-doubt skip",
            "nothing was done or undone",
        ] {
            assert!(refused.stderr.contains(words), "{words:?} is not in\n{}", refused.stderr);
        }
    }
    assert_eq!(done(&project), ["one", "two"]);
    // Nor is it said to be undone: it can still be resumed.
    ends(&project.podlift(&["resume", "--in-doubt", "done"]), 0);
    assert_eq!(done(&project), ["one", "two", "three"]);
}

#[test]
fn a_command_in_doubt_that_nothing_takes_back_keeps_nothing_from_being_undone() {
    let project = local();
    // The third command was done, and its answer was lost.
    killed_at(&project, 10);
    let undone = project.podlift(&["undo"]);
    ends(&undone, 0);
    assert_eq!(done(&project), ["one", "two", "three", "back"]);
    for words in [
        "! deploy.rhai:1: `hook` echo one >>done (here) was done, and has no `undo`",
        "! deploy.rhai:3: `hook` echo three >>done (here) was begun and not answered: nobody knows whether it was done, and it has no `undo`",
        "undone: everything is as it was, but for what 2 commands without `undo` did",
    ] {
        assert!(undone.stderr.contains(words), "{words:?} is not in\n{}", undone.stderr);
    }

    let project = local();
    killed_at(&project, 10);
    let undone = project.events(&["undo"]);
    assert_eq!(undone.output.code, 0, "{undone:?}");
    let left = undone.events.iter().filter(|event| event["event"] == "left");
    let run = undone.events.iter().find(|event| event["event"] == "done").expect("it took one back")["run"].clone();
    assert!(run.is_string() && left.clone().all(|event| event["run"] == run), "{undone:?}");
    let left: Vec<_> = left.map(|event| (&event["key"], &event["why"], &event["origin"]["line"], &event["op"]["command"])).collect();
    let (one, three) = ("echo one >>done".into(), "echo three >>done".into());
    assert_eq!(left, [(&"1".into(), &"no_undo".into(), &1.into(), &one), (&"3".into(), &"in_doubt".into(), &3.into(), &three)]);

    let project = local();
    killed_at(&project, 10);
    let undone = project.podlift(&["undo", "--in-doubt", "skip"]);
    ends(&undone, 0);
    let words = "echo three >>done (here) was begun and not answered";
    assert!(undone.stderr.contains(words), "an answer goes for what is asked about only: {}", undone.stderr);
}

#[test]
fn an_undo_command_that_is_left_out_takes_nothing_back_and_the_next_undo_does_it() {
    let project = local();
    killed_at(&project, 6);
    let mut command = project.command(&["undo", "--in-doubt", "done"]);
    // Behind its answer, noted, and the intent of the command that takes it back, which does not begin.
    assert_eq!(crate::rig::output(command.env("PODLIFT_TEST_KILL_AT", "3"), "").code, -1);
    assert_eq!(done(&project), ["one", "two"]);
    let left = project.podlift(&["undo", "--in-doubt", "skip"]);
    ends(&left, 6);
    assert!(left.stderr.contains("1 change may stand") && left.stderr.contains("goes on"), "{}", left.stderr);
    assert_eq!(done(&project), ["one", "two"]);
    ends(&project.podlift(&["undo"]), 0);
    assert_eq!(done(&project), ["one", "two", "back"]);

    // The next undo may die in it, too: then it is asked about a second time.
    let project = local();
    killed_at(&project, 6);
    for (answer, point) in [(Some("done"), "3"), (Some("skip"), "never"), (None, "2")] {
        let arguments: Vec<&str> = ["undo"].into_iter().chain(answer.iter().flat_map(|answer| ["--in-doubt", answer])).collect();
        crate::rig::output(project.command(&arguments).env("PODLIFT_TEST_KILL_AT", point), "");
    }
    assert_eq!(done(&project), ["one", "two", "back"]);
    let refused = project.podlift(&["undo"]);
    ends(&refused, 3);
    assert!(refused.stderr.contains("echo back >>done here was begun and not answered"), "{}", refused.stderr);
    ends(&project.podlift(&["undo", "--in-doubt", "done"]), 0);
    assert_eq!(done(&project), ["one", "two", "back"]);
}

#[test]
fn an_undo_that_was_killed_in_a_command_asks_what_became_of_it() {
    let project = local();
    killed_at(&project, 6);
    let mut command = project.command(&["undo", "--in-doubt", "done"]);
    // Behind its answer, noted, and the intent of the command that takes it back.
    assert_eq!(crate::rig::output(command.env("PODLIFT_TEST_KILL_AT", "4"), "").code, -1);
    assert_eq!(done(&project), ["one", "two", "back"]);
    let refused = project.podlift(&["undo"]);
    ends(&refused, 3);
    assert!(refused.stderr.contains("deploy.rhai:2: `hook` echo back >>done here was begun and not answered"), "{}", refused.stderr);
    ends(&project.podlift(&["undo", "--in-doubt", "done"]), 0);
    assert_eq!(done(&project), ["one", "two", "back"]);
}

#[test]
fn a_run_is_shown_and_listed() {
    let project = local();
    killed_at(&project, 6);
    let runs = project.podlift(&["runs"]);
    assert!(runs.text().contains("interrupted") && runs.text().contains("deploy.rhai"), "{}", runs.stdout);
    let shown = project.podlift(&["show"]);
    for words in ["✓ 1", "? 2", "in doubt", "missing: what comes behind deploy.rhai:2", "podlift resume"] {
        assert!(shown.text().contains(words), "{words:?} is not in\n{}", shown.stdout);
    }
    let json: serde_json::Value = serde_json::from_str(project.podlift(&["show", "--json"]).text()).expect("JSON");
    assert_eq!((&json["state"], &json["calls"][1]["state"]), (&"interrupted".into(), &"in-doubt".into()));
    ends(&project.podlift(&["show", "nothing"]), 3);
}

#[test]
fn why_a_script_stopped_is_told_where_no_call_failed() {
    let of = |text: &str| {
        let project = Project::new();
        project.write("deploy.rhai", text);
        let failed = project.podlift(&["run", "deploy.rhai"]);
        assert_ne!(failed.code, 0, "{}", failed.stderr);
        let shown = project.podlift(&["show"]).stdout;
        let json: serde_json::Value = serde_json::from_str(project.podlift(&["show", "--json"]).text()).expect("JSON");
        ends(&project.podlift(&["report", "-o", "report.html"]), 0);
        let page = fs::read_to_string(project.path().join("report.html")).expect("it is written");
        (shown, json["why"].clone(), page)
    };
    let (shown, json, page) = of("hook(\"local\", \"true\");\n\nfail(\"the <shop> is closed\");\n");
    assert!(shown.contains("its script stopped at deploy.rhai:3: the <shop> is closed\n"), "{shown}");
    assert_eq!(json, serde_json::json!({ "message": "the <shop> is closed", "origin": "deploy.rhai:3" }));
    assert!(page.contains("its script stopped at deploy.rhai:3: the &lt;shop&gt; is closed"), "{page}");

    let (shown, json, page) = of("hook(\"local\", \"true\");\nlet parts = 0;\nlet share = 100 / parts;\n");
    assert!(shown.contains("its script stopped at deploy.rhai:3: division by zero"), "{shown}");
    assert_eq!(json["origin"], "deploy.rhai:3");
    assert!(page.contains("its script stopped at deploy.rhai:3: division by zero"), "{page}");
}

#[test]
fn a_run_that_did_nothing_is_passed_over_where_none_is_named() {
    let project = local();
    killed_at(&project, 8);
    project.write("refused.rhai", "fail(\"not today\");\n");
    ends(&project.podlift(&["run", "refused.rhai"]), 1);
    let states = || -> Vec<String> {
        let runs: Vec<serde_json::Value> = serde_json::from_str(project.podlift(&["runs", "--json"]).text()).expect("JSON");
        runs.iter().map(|run| run["state"].as_str().expect("a state").to_owned()).collect()
    };
    assert_eq!(states(), ["failed", "interrupted"], "the newest first");
    let undone = project.podlift(&["undo"]);
    ends(&undone, 0);
    for words in [", deploy.rhai of ", ": the newest but for ", ", which failed before it did anything"] {
        assert!(undone.stderr.contains(words), "{words:?} is not in\n{}", undone.stderr);
    }
    assert_eq!(states(), ["failed", "undone"]);
    let refused = project.podlift(&["undo"]);
    ends(&refused, 3);
    assert!(refused.stderr.contains("all that an undo takes back was undone"), "{}", refused.stderr);
}

#[test]
fn what_was_skipped_is_told_as_skipped_and_what_is_in_doubt_as_that() {
    let project = local();
    killed_at(&project, 6);
    let report = || {
        ends(&project.podlift(&["report", "-o", "report.html"]), 0);
        fs::read_to_string(project.path().join("report.html")).expect("it is written")
    };
    let page = report();
    for words in ["<h2>In doubt</h2>", "class=\"doubt\"", "hook echo two &gt;&gt;done on here, deploy.rhai:2"] {
        assert!(page.contains(words), "{words:?} is not in\n{page}");
    }
    let resumed = project.events(&["resume", "--in-doubt", "skip"]);
    assert_eq!(resumed.result()["counts"]["changes"], 2, "{resumed:?}");
    let events: Vec<_> = resumed.events.iter().filter(|event| event["key"] == "2").map(|event| &event["event"]).collect();
    assert_eq!(events, ["began", "skipped"]);
    let shown = project.podlift(&["show"]);
    assert!(shown.text().contains("  - 2            hook echo two >>done  (skipped by "), "{}", shown.stdout);
    let json: serde_json::Value = serde_json::from_str(project.podlift(&["show", "--json"]).text()).expect("JSON");
    let states: Vec<_> = json["calls"].as_array().expect("calls").iter().map(|call| &call["state"]).collect();
    assert_eq!(states, ["done", "skipped", "done"]);
    assert!(json["calls"][1]["answered_by"].is_string(), "{json}");
    let page = report();
    assert!(page.contains("class=\"skipped\"") && !page.contains("<h2>In doubt</h2>"), "{page}");
}

#[test]
fn calls_that_the_journal_answers_are_not_told_as_if_they_were_done_again() {
    let resumed = |arguments: &[&str]| {
        let project = local();
        killed_at(&project, 6);
        let resumed = project.podlift(&[&["resume", "--in-doubt", "done"], arguments].concat());
        ends(&resumed, 0);
        resumed
    };
    let told = resumed(&[]).stderr;
    assert!(told.contains("answered by the journal, and not made again: 1 call\n"), "{told}");
    assert!(!told.contains("echo one") && told.contains("began   2 ") && told.contains("done    3 "), "{told}");
    let told = resumed(&["--verbose"]).stderr;
    assert!(told.contains("replay  1       here            hook         echo one"), "{told}");
    let told = resumed(&["--json"]).stdout;
    let events: Vec<serde_json::Value> = told.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of = |key: &str| -> Vec<_> { events.iter().filter(|event| event["key"] == key).map(|event| event["event"].clone()).collect() };
    assert_eq!((of("1"), of("3")), (vec!["replayed".into()], vec!["began".into(), "done".into()]), "{told}");
    let replayed = events.iter().find(|event| event["event"] == "replayed").expect("it is told");
    assert_eq!((&replayed["value"]["code"], &replayed["verb"]), (&0.into(), &"hook".into()), "{replayed}");
}

#[test]
fn what_an_undo_was_told_of_a_command_is_told_as_that() {
    let state = |answer: &str| {
        let project = local();
        killed_at(&project, 6);
        ends(&project.podlift(&["undo", "--in-doubt", answer]), 0);
        let json: serde_json::Value = serde_json::from_str(project.podlift(&["show", "--json"]).text()).expect("JSON");
        json["calls"][1]["state"].clone()
    };
    assert_eq!((state("skip"), state("done")), ("skipped".into(), "done".into()));
}

#[test]
fn a_changed_script_is_refused_with_both_calls_shown() {
    let project = local();
    killed_at(&project, 8);
    let text = fs::read_to_string(project.path().join("deploy.rhai")).expect("it is there");
    project.write("other.rhai", &text.replace("echo two", "echo second"));
    let refused = project.podlift(&["resume", "--script", "other.rhai"]);
    ends(&refused, 3);
    for words in ["call 2 is not the one that was recorded", "echo two", "echo second", "nothing was done or undone"] {
        assert!(refused.stderr.contains(words), "{words:?} is not in\n{}", refused.stderr);
    }
    project.write("other.rhai", "hook(\"local\", \"echo one >>done\");\n");
    let refused = project.podlift(&["resume", "--script", "other.rhai"]);
    assert!(refused.stderr.contains("call 2 was recorded, and the script does not make it"), "{}", refused.stderr);
    assert_eq!(done(&project), ["one", "two"]);

    project.write("other.rhai", &format!("// corrected\n{}", text.replace("echo three", "echo four")));
    ends(&project.podlift(&["resume", "--script", "other.rhai"]), 0);
    assert_eq!(done(&project), ["one", "two", "four"]);
}

#[test]
fn a_run_that_goes_on_cannot_be_resumed_and_its_secrets_are_asked_for() {
    let project = Project::new();
    project.write(
        "deploy.rhai",
        "hook(\"local\", \"echo up >>done; sleep 30\");\nhook(\"local\", \"true\", #{ env: #{ T: secret(\"PW\") } });\n",
    );
    let mut running = project.command(&["run", "deploy.rhai"]).env("PW", "x").stderr(std::process::Stdio::null()).spawn().expect("starts");
    crate::until::until("the command runs", || !done(&project).is_empty());
    for verb in ["resume", "undo"] {
        let refused = project.podlift(&[verb]);
        ends(&refused, 3);
        assert!(refused.stderr.contains("it is still running"), "{}", refused.stderr);
    }
    running.kill().expect("it runs");
    running.wait().expect("it ends");
    let refused = project.podlift(&["resume"]);
    ends(&refused, 3);
    assert!(refused.stderr.contains("PW"), "{}", refused.stderr);
}

#[test]
fn a_run_is_taken_back_beside_its_script_and_with_its_secrets() {
    let project = Project::new();
    project.write(
        "shop/go.rhai",
        "hook(\"local\", \"echo up >>done\", #{ env: #{ PW: secret(\"PW\") }, undo: \"echo back $(printf %s $PW | wc -c) >>done\" });\nhook(\"local\", \"true\");\n",
    );
    project.write("shop/.env", "PW=hunter2\n");
    let mut command = project.command(&["run", "shop/go.rhai"]);
    assert_eq!(crate::rig::output(command.env("PODLIFT_TEST_KILL_AT", "4"), "").code, -1);
    let done = || fs::read_to_string(project.path().join("shop/done")).unwrap_or_default();
    assert_eq!(done(), "up\n");

    fs::remove_file(project.path().join("shop/.env")).expect("it is there");
    let refused = project.podlift(&["undo"]);
    ends(&refused, 3);
    assert!(refused.stderr.contains("what takes the run back needs what is not here: PW"), "{}", refused.stderr);
    let shown: serde_json::Value = serde_json::from_str(project.podlift(&["show", "--json"]).text()).expect("JSON");
    assert_eq!(shown["state"], "interrupted", "it can still be resumed");

    project.write("shop/.env", "PW=hunter2\n");
    ends(&project.podlift(&["undo", "--in-doubt", "skip"]), 0);
    assert_eq!(done(), "up\nback 7\n");
}
