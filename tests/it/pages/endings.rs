//! The last lines of runs, and the exit codes of what cannot be written: on modelled fleets and this machine.

use std::fs::{self, File};

use crate::podlift::Project;

const DEPLOY: &str = "import \"std/rolling\" as rolling;
let p = params(#{ version: \"v1\", on_failure: \"undo\" });
let fleet = hosts([\"h1\", \"h2\", \"h3\"]);
let web = service(\"web\", #{ port: 8000, health: http(\"/\") });
let img = build(web, #{ tag: p.version });
ship(img, fleet);
rolling::deploy(web, img, fleet, #{ on_failure: p.on_failure });
";

#[track_caller]
fn assert_ends(project: &Project, arguments: &[&str], code: i32, words: &[&str]) {
    let output = project.podlift(arguments);
    assert_eq!(output.code, code, "{}", output.stderr);
    for word in words {
        assert!(output.stderr.contains(word), "{word:?} is not in\n{}", output.stderr);
    }
}

#[test]
fn data_that_cannot_be_written_is_an_error_and_a_reader_that_left_is_none() {
    let project = Project::new();
    project.write("deploy.rhai", DEPLOY);
    for (arguments, code) in [
        (&["docs"][..], 1),
        (&["--help"], 1),
        (&["plan", "deploy.rhai", "--simulate"], 1),
        (&["run", "deploy.rhai", "--simulate", "--json"], 0),
    ] {
        let full = File::options().write(true).open("/dev/full").expect("Linux has one");
        let output = project.command(arguments).stdout(full).output().expect("podlift runs");
        assert_eq!(output.status.code(), Some(code), "{arguments:?} {}", String::from_utf8_lossy(&output.stderr));
    }
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = project.command(&["docs"]).stdout(writer).output().expect("podlift runs");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_run_that_fails_behind_a_commit_names_the_hosts_that_are_new_and_those_that_are_not() {
    let project = Project::new();
    project.write("deploy.rhai", DEPLOY);
    assert_ends(&project, &["run", "deploy.rhai", "--simulate"], 0, &["the fleet is kept in .podlift/simulated.json"]);
    let halfway = "rolling::deploy(web, img, [fleet[0]]);\ncommit();\nstart(web, img, fleet[1]);\nfail(\"enough\");";
    let failing = DEPLOY.replace("rolling::deploy(web, img, fleet, #{ on_failure: p.on_failure });", halfway);
    assert_ne!(failing, DEPLOY);
    project.write("deploy.rhai", &failing);
    let output = project.podlift(&["run", "deploy.rhai", "--simulate", "version=v2"]);
    let told = output.stderr.lines().any(|line| line == "! web is new on h1 (v2), as before on h2 (v1)");
    assert!(told && !output.stderr.contains("is not known"), "{}", output.stderr);
}

#[test]
fn a_simulation_says_that_it_forgets_what_was_done_to_databases() {
    let project = Project::new();
    project.write("deploy.rhai", "let db = database(\"postgres://app@db/shop\");\ndb.sql(\"CREATE TABLE mails (id int)\");\n");
    let kept = "the fleet is kept in .podlift/simulated.json, and nothing of what was done to databases";
    assert_ends(&project, &["run", "deploy.rhai", "--simulate"], 0, &[kept]);
}

#[test]
fn a_run_that_was_killed_before_its_first_answer_is_shown_so() {
    let project = Project::new();
    project.write("wait.rhai", "pause(\"5m\");\n");
    let mut run = project.start(&["run", "wait.rhai"]);
    let runs = project.path().join(".podlift/runs");
    crate::until::until("the run has begun", || {
        let journals = fs::read_dir(&runs).into_iter().flatten().flatten().map(|run| run.path().join("journal.jsonl"));
        journals.filter_map(|journal| fs::read_to_string(journal).ok()).any(|text| text.contains("\"began\""))
    });
    run.kill().expect("it runs");
    run.wait().expect("it ends");
    let shown = project.podlift(&["show"]);
    assert!(shown.code == 0 && shown.stdout.contains("nothing was changed; `podlift resume "), "{}{}", shown.stdout, shown.stderr);
}

#[test]
fn what_can_be_done_next_is_what_can_be_done() {
    let project = Project::new();
    project.write("wait.rhai", "confirm(\"go on?\");\n");
    let output = project.podlift(&["run", "wait.rhai"]);
    assert_eq!(output.code, 7, "{}", output.stderr);
    assert!(output.stderr.contains("goes on") && !output.stderr.contains("podlift undo"), "{}", output.stderr);
    project.write("bad.rhai", "fail(\"no\");\n").write("deploy/go.rhai", "");
    assert_ends(&project, &["run", "bad.rhai", "--simulate"], 1, &["correct bad.rhai, and simulate it again"]);
    project.write("kept.rhai", "hook(\"local\", \"true\");\nfail(\"no\");\n");
    let nothing = ["failed, as a run would", "1 command without `undo`, of which nothing was done", "simulate it again"];
    assert_ends(&project, &["run", "kept.rhai", "--simulate"], 4, &nothing);
    // What was assumed may be what it failed for.
    project.write("asks.rhai", "let n = probe(\"local\", \"x\").stdout;\nensure(n == \"3\", \"no\");\n");
    let hint = "what `probe` answered at asks.rhai:1 was assumed; `assume` says otherwise";
    let end = "failed, by what was assumed; nothing was touched";
    let next = "correct asks.rhai, or say with `assume` what to go by, and simulate it again";
    assert_ends(&project, &["run", "asks.rhai", "--simulate"], 1, &[hint, end, next]);
    let next = "say with `assume` what to go by, or `podlift run asks.rhai --simulate` goes by what is so";
    assert_ends(&project, &["plan", "asks.rhai", "--simulate"], 1, &[hint, end, next]);
    project.write(
        "rows.rhai",
        "let db = database(\"postgres://app@db/shop\");\nlet rows = db.query(\"SELECT 1 AS n\");\ninfo(`${rows[0].n}`);\n",
    );
    let hint = "what `query` answered at rows.rhai:2 was assumed; `assume` says otherwise";
    assert_ends(&project, &["run", "rows.rhai", "--simulate"], 2, &[hint, end]);
    project.write("said.rhai", "hook(host(\"h1\"), \"x\", #{ assume: #{ code: 2 } });\n");
    let hint = "what `hook` answered at said.rhai:1 is what its `assume` says";
    assert_ends(&project, &["run", "said.rhai", "--simulate"], 1, &["`x` exited with 2", hint]);
    project.write("mails.rhai", "let r = hook(\"local\", \"true\");\nfail(\"no\");\n");
    let hint = "what `hook` answered at mails.rhai:1 was assumed; `assume` says otherwise";
    assert_ends(&project, &["run", "mails.rhai", "--simulate"], 4, &[hint, "failed, by what was assumed; everything was undone but for 1"]);
    // A call that is refused is refused whatever was assumed before.
    project.write(
        "stops.rhai",
        "let n = probe(\"local\", \"x\").stdout;\nlet h = host(\"h1\");\nlet web = service(\"web\", #{ port: 80, health: tcp() });\n\
         let img = build(web, #{ tag: \"v1\" });\nship(img, h);\nlet next = start(web, img, h);\nhealthcheck(next);\n\
         set_weights([[next, 100]]);\nstop(next);\n",
    );
    project.write("Dockerfile", "FROM scratch\n");
    let stopped = project.podlift(&["plan", "stops.rhai", "--simulate"]);
    assert_eq!(stopped.code, 3, "{}", stopped.stderr);
    assert!(stopped.stderr.contains("failed, as a run would; nothing was touched"), "{}", stopped.stderr);
    assert!(!stopped.stderr.contains("assume"), "{}", stopped.stderr);
    assert_ends(&project, &["run", "go.rhai"], 2, &["did you mean deploy/go.rhai?"]);
    assert_ends(&project, &["run", "deploy"], 2, &["deploy is a folder", "`podlift tasks`"]);
}
