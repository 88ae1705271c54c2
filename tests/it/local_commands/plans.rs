//! Plan files, on a modelled fleet: a run does what its plan says, or stops and tells why.

use std::fs;

use serde_json::Value;

use crate::{podlift::Project, rig::output, until::until};

const SCRIPT: &str = r#"
import "std/rolling" as rolling;
project("shop");
let p = params(#{ version: "v1", replicas: 1 });
let fleet = hosts(["h1", "h2"]);
let web = service("web", #{ port: 8000, replicas: p.replicas, health: http("/health") });
let img = build(web, #{ tag: p.version });
ship(img, fleet);
rolling::deploy(web, img, fleet);
"#;

fn project() -> Project {
    let project = Project::new();
    project.write("deploy.rhai", SCRIPT);
    project
}

fn plan(project: &Project, arguments: &[&str]) -> Value {
    let output = project.podlift(&[&["plan", "deploy.rhai", "--simulate", "-o", "release.plan"], arguments].concat());
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stderr.contains("`podlift run --plan release.plan --simulate` does it"), "{}", output.stderr);
    serde_json::from_str(&fs::read_to_string(project.path().join("release.plan")).expect("it is saved")).expect("it is JSON")
}

/// Runs the plan and expects this exit code and these words.
#[track_caller]
fn follow(project: &Project, code: i32, words: &[&str]) {
    let output = project.podlift(&["run", "--plan", "release.plan", "--simulate"]);
    let said = format!("{}{}", output.stdout, output.stderr);
    assert_eq!(output.code, code, "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in:\n{said}");
    }
}

#[test]
fn a_plan_is_done_under_its_own_run_and_only_once() {
    let project = project();
    let plan = plan(&project, &["version=v2"]);
    assert_eq!(plan["arguments"][0][1], "v2");
    let calls = plan["calls"].as_array().expect("calls");
    assert!(calls.iter().any(|call| call["words"] == "start 1 × web v2 on h2" && call["origin"]["file"] == "std/rolling"), "{calls:#?}");
    assert!(calls.iter().any(|call| call["assumed"] == "the new containers become healthy"), "{calls:#?}");
    follow(&project, 0, &["simulated: "]);
    let kept = fs::read_to_string(project.path().join(".podlift/simulated.json")).expect("it is kept");
    assert!(kept.contains(plan["run"].as_str().expect("an id")), "the run has the plan's id");
    follow(
        &project,
        3,
        &["the fleet has changed since the plan was made", "h1: the containers of web, the history of web, the traffic of web"],
    );
}

/// What a load would have seen is the same in the plan and in the run that follows it, which looks at all hosts before it begins.
#[test]
fn a_plan_and_its_run_see_the_same_traffic() {
    let project = project();
    assert_eq!(project.podlift(&["run", "deploy.rhai", "--simulate"]).code, 0);
    let traffic = |output: &str| output.lines().find(|line| line.contains(" answered ")).map(str::to_owned);
    let plan = project.podlift(&["plan", "deploy.rhai", "version=v2", "--simulate", "-o", "release.plan"]);
    let planned = traffic(&plan.stdout).unwrap_or_else(|| panic!("{plan:?}"));
    assert!(planned.contains("by v1") && planned.contains("by v2") && planned.ends_with("0 failed"), "{planned}");
    let run = project.podlift(&["run", "--plan", "release.plan", "--simulate"]);
    assert_eq!(traffic(&run.stdout), Some(planned), "{run:?}");
}

#[test]
fn a_plan_without_a_folder_or_of_another_one_is_refused_before_anything_is_looked_at() {
    let project = project();
    let output = project.podlift(&["plan", "deploy.rhai", "--simulate", "-o", "nowhere/release.plan"]);
    assert_eq!(output.code, 2, "{}", output.stderr);
    assert!(output.stdout.is_empty() && output.stderr.contains("its folder nowhere: No such file"), "{}", output.stderr);
    plan(&project, &[]);
    fs::rename(project.path().join("deploy.rhai"), project.path().join("other.rhai")).expect("moves");
    follow(&project, 2, &["there is no script deploy.rhai", "a plan is followed in the folder that it was made in"]);
}

#[test]
fn a_plan_that_was_done_is_not_done_again_and_its_journal_stays() {
    let project = Project::new();
    project.write("deploy.rhai", "hook(\"local\", \"echo one >>done\");\n");
    let plan = project.podlift(&["plan", "deploy.rhai", "-o", "release.plan"]);
    assert_eq!(plan.code, 0, "{}", plan.stderr);
    assert_eq!(project.podlift(&["run", "--plan", "release.plan"]).code, 0);
    let shown = project.podlift(&["show"]).stdout;
    let again = project.podlift(&["run", "--plan", "release.plan"]);
    assert_eq!(again.code, 3, "{}", again.stderr);
    assert!(again.stderr.contains("has begun before: what is planned is done once"), "{}", again.stderr);
    assert_eq!(fs::read_to_string(project.path().join("done")).expect("it ran"), "one\n");
    assert_eq!(project.podlift(&["show"]).stdout, shown);
}

#[test]
fn a_plan_is_bound_to_its_script_and_arguments() {
    let project = project();
    plan(&project, &[]);
    let output = project.podlift(&["run", "deploy.rhai", "version=v3", "--plan", "release.plan", "--simulate"]);
    assert_eq!(output.code, 3, "{}", output.stderr);
    assert!(output.stderr.contains("the plan was made with no arguments, not with version=v3"), "{}", output.stderr);
    let output = project.podlift(&["run", "--plan", "release.plan", "version=v3", "--simulate"]);
    assert_eq!(output.code, 3, "{}", output.stderr);
    assert!(output.stderr.contains("the plan was made with no arguments, not with version=v3"), "{}", output.stderr);
    project.write("deploy.rhai", &SCRIPT.replace("ship(img, fleet)", "ship(img, fleet); pause(\"1s\")"));
    follow(&project, 3, &["deploy.rhai is not the text that the plan was made with"]);
    assert!(!project.path().join(".podlift/simulated.json").exists(), "nothing was changed");
    fs::write(project.path().join("release.plan"), "{}").expect("writes");
    follow(&project, 2, &["it is not a plan of podlift"]);
}

#[test]
fn a_run_stops_before_the_first_op_that_would_differ_and_shows_both() {
    let project = Project::new();
    project.write("version", "v1");
    // Even a script that catches everything does not go on.
    let read = r#"let version = read_file("version"); try { "#;
    let script = SCRIPT.replace("build(web, #{ tag: p.version });", "build(web, #{ tag: read_file(\"version\") });");
    let script = script.replace("rolling::deploy(web, img, fleet);", &format!("{read} rolling::deploy(web, img, fleet); }} catch {{ }}"));
    project.write("deploy.rhai", &script);
    plan(&project, &[]);
    project.write("version", "v2");
    follow(
        &project,
        3,
        &[
            "the run would leave its plan at call 2",
            "build shop-web:v1 from . on local (deploy.rhai:7)",
            "version: \"v1\" → \"v2\"",
            "nothing was touched",
        ],
    );
}

#[test]
fn a_run_that_leaves_its_plan_in_the_middle_is_undone() {
    let project = Project::new();
    project.write("order", "h1 h2");
    let script = SCRIPT.replace(
        "rolling::deploy(web, img, fleet);",
        r#"start(web, img, fleet[0]); for name in read_file("order").split(" ") { info(name); if name == "h2" { start(web, img, fleet[1]); } }"#,
    );
    project.write("deploy.rhai", &script);
    plan(&project, &[]);
    project.write("order", "h1");
    follow(&project, 4, &["the script ended before it did all that was planned", "the first that is missing", "everything was undone"]);
}

#[test]
fn a_dry_run_that_fails_saves_no_plan() {
    let project = Project::new();
    project.write("deploy.rhai", r#"fail("not today");"#);
    let output = project.podlift(&["plan", "deploy.rhai", "--simulate", "-o", "release.plan"]);
    assert_eq!(output.code, 1, "{}", output.stderr);
    assert!(!project.path().join("release.plan").exists());
    project.write("deploy.rhai", r#"host("h1");"#);
    let output = project.podlift(&["plan", "deploy.rhai", "--simulate", "-o", "/dev/full"]);
    assert_eq!(output.code, 1, "{}", output.stderr);
    assert!(output.stderr.contains("the plan was not saved"), "{}", output.stderr);
}

#[test]
fn a_plan_goes_down_a_pipe_that_stays_one() {
    let project = project();
    let pipe = project.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::read_to_string(pipe).expect("reads")
    });
    let output = project.podlift(&["plan", "deploy.rhai", "--simulate", "-o", "pipe"]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    let plan: Value = serde_json::from_str(&reader.join().expect("reads")).expect("it is JSON");
    assert_eq!(plan["script"], "deploy.rhai");
    assert!(!pipe.is_file() && pipe.exists());
}

#[test]
fn a_plan_of_one_fleet_is_not_done_to_another() {
    let project = project();
    plan(&project, &[]);
    let output = project.podlift(&["run", "--plan", "release.plan"]);
    assert_eq!(output.code, 3, "{}", output.stderr);
    for words in
        ["made for the simulated fleet", "`podlift run --plan release.plan --simulate` does what was planned", "nothing was touched"]
    {
        assert!(output.stderr.contains(words), "{words}:\n{}", output.stderr);
    }
}

#[test]
fn what_to_do_after_a_plan_that_does_not_fit_or_fails_names_the_plan() {
    let project = project();
    plan(&project, &["version=v2"]);
    follow(&project, 0, &[]);
    follow(&project, 3, &["`podlift plan deploy.rhai version=v2 -o release.plan --simulate` makes a new plan"]);
    let project = Project::new();
    project.write("deploy.rhai", "hook(\"local\", \"exit 3\", #{ assume: #{ code: 0 } });");
    let planned = project.podlift(&["plan", "deploy.rhai", "-o", "release.plan"]);
    assert_eq!(planned.code, 0, "{}", planned.stderr);
    let output = project.podlift(&["run", "--plan", "release.plan"]);
    assert_eq!(output.code, 1, "{}", output.stderr);
    let next = "see what it did; `podlift plan deploy.rhai -o release.plan` makes a new plan, to look at";
    assert!(output.stderr.contains(next), "{}", output.stderr);
}

#[test]
fn a_script_in_a_plans_place_is_told_apart() {
    let project = project();
    let output = project.podlift(&["run", "--plan", "deploy.rhai"]);
    assert_eq!(output.code, 2, "{}", output.stderr);
    assert!(
        output.stderr.contains("deploy.rhai is not a plan of podlift") && output.stderr.contains("it is a script: "),
        "{}",
        output.stderr
    );
}

#[test]
fn a_dry_run_refuses_a_build_that_cannot_be_done() {
    let project = Project::new();
    let build = "let web = service(\"web\", #{ port: 80, health: no_health() });\nbuild(web, #{ tag: \"v1\" });\n";
    let plan = |script: &str| {
        project.write("deploy.rhai", script);
        project.podlift(&["plan", "deploy.rhai"])
    };
    let refused = plan(build);
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    for words in ["there is no Dockerfile in the build context \".\"", "deploy.rhai:2:1", "nothing was touched"] {
        assert!(refused.stderr.contains(words), "{words}:\n{}", refused.stderr);
    }
    let assumed = plan(&format!("hook(\"local\", \"true\");\n{build}"));
    assert_eq!(assumed.code, 0, "{}", assumed.stderr);
    assert!(assumed.stdout.contains("a command before it makes what is missing"), "{}", assumed.stdout);
    project.write("Dockerfile", "FROM scratch\n");
    assert_eq!(plan(build).code, 0);
}

#[test]
fn a_simulated_plan_says_that_what_a_build_needs_is_missing() {
    let project = Project::new();
    let context = "let context = \"shop\" + \"-image\";\n";
    let build = "build(service(\"web\", #{ port: 80, health: no_health() }), #{ tag: \"v1\", context: context });\n";
    project.write("deploy.rhai", &format!("{context}{build}"));
    let plan = || project.podlift(&["plan", "deploy.rhai", "--simulate"]);
    let assumed = plan();
    assert_eq!(assumed.code, 0, "{}", assumed.stderr);
    let words = "what is missing will be there (the build context \"shop-image\" cannot be used: ";
    assert!(assumed.stdout.contains(words), "{}", assumed.stdout);
    assert_eq!(project.podlift(&["plan", "deploy.rhai"]).code, 3, "a real fleet needs it");
    project.write("shop-image/Dockerfile", "FROM scratch\n");
    assert!(!plan().stdout.contains("what is missing"), "it is there");
}

/// Plans a script that does nothing but to this machine, and runs the plan.
struct Planned(Project);

impl Planned {
    fn new(script: &str) -> Self {
        let project = Project::new();
        project.write("deploy.rhai", script);
        Self(project)
    }

    fn plan(&self, arguments: &[&str]) {
        let output = self.0.podlift(&[&["plan", "deploy.rhai", "-o", "release.plan"], arguments].concat());
        assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    }

    /// Runs it, and expects this exit code and these words.
    #[track_caller]
    fn follow(&self, code: i32, words: &[&str]) {
        self.says(&["run", "--plan", "release.plan"], code, words);
    }

    #[track_caller]
    fn says(&self, command: &[&str], code: i32, words: &[&str]) {
        let output = self.0.podlift(command);
        let said = format!("{}{}", output.stdout, output.stderr);
        assert_eq!(output.code, code, "{said}");
        for word in words {
            assert!(said.contains(word), "{word:?} is not in:\n{said}");
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.0.path().join("log")).unwrap_or_default()
    }
}

#[test]
fn somebody_else_may_run_a_plan_with_commands() {
    let planned = Planned::new("hook(\"local\", \"echo $PODLIFT_OPERATOR >>log\");\n");
    let ann = planned.0.command(&["plan", "deploy.rhai", "-o", "release.plan"]).env("USER", "ann").output().expect("it runs");
    assert!(ann.status.success(), "{ann:?}");
    let bob = planned.0.command(&["run", "--plan", "release.plan"]).env("USER", "bob").output().expect("it runs");
    assert!(bob.status.success(), "{bob:?}");
    assert!(planned.log().starts_with("bob@"), "{}", planned.log());
}

#[test]
fn numbers_are_the_same_in_a_plan_and_in_a_journal() {
    let script = "let m = prometheus(\"http://127.0.0.1:1\");\ntry { m.query(\"up\", #{ assume: 3699551.6654807925 }); } catch { }\n\
                  confirm(\"go on?\");\nhook(\"local\", \"echo done >>log\");\n";
    let planned = Planned::new(script);
    planned.plan(&[]);
    planned.says(&["run", "deploy.rhai"], 7, &[]);
    planned.says(&["resume", "--yes"], 0, &[]);
    planned.follow(7, &[]);
    assert_eq!(planned.log(), "done\n");
}

#[test]
fn a_run_that_goes_on_is_held_to_its_plan_too() {
    let script = r#"
confirm("go on?");
let version = read_file("version"); version.trim();
hook("local", `echo ${version} >>log`);
"#;
    let planned = Planned::new(script);
    planned.0.write("version", "v1");
    planned.plan(&[]);
    planned.follow(7, &[]);
    planned.0.write("version", "v2");
    planned.says(&["resume", "--yes"], 3, &["the run would leave its plan at call 3", "echo v1", "echo v2"]);
    planned.0.write("version", "v1");
    planned.plan(&[]);
    planned.follow(7, &[]);
    let plan = planned.0.path().join("release.plan");
    let id = serde_json::from_str::<Value>(&fs::read_to_string(&plan).expect("it is saved")).expect("it is JSON")["run"].clone();
    let id = id.as_str().expect("an id");
    // On another machine the plan is not beside the journal.
    fs::remove_file(planned.0.path().join(format!(".podlift/runs/{id}/plan.json"))).expect("it is kept");
    planned.says(&["resume", "--yes"], 3, &["is held to a plan, which is not on this machine", "--plan FILE"]);
    planned.says(&["resume", "--yes", "--plan", "release.plan"], 0, &[]);
    assert_eq!(planned.log(), "v1\n");
    planned.0.write("other.rhai", "confirm(\"go on?\");\nhook(\"local\", \"true\");\n");
    planned.says(&["run", "other.rhai"], 7, &[]);
    planned.says(&["resume", "--yes", "--plan", "release.plan"], 3, &["is held to no plan"]);
}

#[test]
fn what_fails_is_told_and_what_the_script_does_about_it_is_let_through() {
    // It is tried again.
    let planned = Planned::new(
        "retry(3, \"1ms\", || { hook(\"local\", \"echo try >>log\", #{ undo: \"true\" }); hook(\"local\", \"test -e ready || { touch ready; exit 1; }\"); });\n\
         hook(\"local\", \"echo end >>log\");\n",
    );
    planned.plan(&[]);
    planned.follow(0, &[]);
    assert_eq!(planned.log(), "try\ntry\nend\n");
    // What was done until then is to stay, and somebody is told.
    let script = "hook(\"local\", \"echo one >>log\", #{ undo: \"echo undone >>log\" });\n\
                  try { hook(\"local\", \"test -e never\", #{ name: \"migrate\" }); } catch (problem) { commit(); throw problem; }\n";
    let planned = Planned::new(script);
    planned.plan(&[]);
    planned.follow(4, &["migrate exited with 1", "since the last commit", "see what it did"]);
    assert_eq!(planned.log(), "one\n");
    // Other changes are not, and the first cause is told with them.
    let planned = Planned::new(&script.replace("commit();", "hook(\"local\", \"echo other >>log\");"));
    planned.plan(&[]);
    planned.follow(4, &["migrate exited with 1; the run would leave its plan at call 3, because call 2 has failed", "no such call"]);
    assert_eq!(planned.log(), "one\nundone\n");
}

#[test]
fn the_clock_says_what_it_said_when_the_plan_was_made() {
    let planned = Planned::new("let file = now();\nhook(\"local\", `echo ${file} >>log`);\n");
    planned.plan(&[]);
    let text = fs::read_to_string(planned.0.path().join("release.plan")).expect("it is saved");
    let plan: Value = serde_json::from_str(&text).expect("it is JSON");
    let then = plan["calls"][0]["answer"].as_str().expect("a time").to_owned();
    // Whole seconds: the next one is another.
    until("the clock goes on", || {
        fs::metadata(planned.0.path().join("release.plan"))
            .expect("it is there")
            .modified()
            .expect("a time")
            .elapsed()
            .is_ok_and(|age| age.as_millis() > 1_001)
    });
    planned.follow(0, &[]);
    assert_eq!(planned.log(), format!("{then}\n"));
}

#[test]
fn an_import_whose_name_is_made_is_held_to_by_what_it_does() {
    let planned = Planned::new("let name = \"lib/greet\";\nimport name as greet;\nhook(\"local\", greet::command());\n");
    let module = |text: &str| planned.0.write("lib/greet.rhai", &format!("/// The command.\nfn command() {{ \"echo {text} >>log\" }}\n"));
    module("one");
    planned.plan(&[]);
    module("two");
    planned.follow(3, &["the run would leave its plan at call 1", "echo one", "echo two", "nothing was changed"]);
    module("one");
    planned.follow(0, &[]);
    assert_eq!(planned.log(), "one\n");
}

#[test]
fn an_old_plan_whose_run_may_be_forgotten_is_not_done_again() {
    let planned = Planned::new("hook(\"local\", \"echo done >>log\");\n");
    planned.plan(&[]);
    planned.follow(0, &[]);
    let runs = planned.0.path().join(".podlift/runs");
    let first = fs::read_dir(&runs).expect("it is there").next().expect("a run").expect("reads").path();
    for number in 0..50 {
        let run = runs.join(format!("29990101-000000-{number:06}"));
        fs::create_dir(&run).expect("a folder");
        fs::copy(first.join("journal.jsonl"), run.join("journal.jsonl")).expect("copies");
    }
    fs::remove_dir_all(&first).expect("it is forgotten");
    planned.follow(3, &["may have begun before: what is planned is done once"]);
    assert_eq!(planned.log(), "done\n");
}

#[test]
fn the_next_command_has_the_options_of_this_one_and_does_no_more() {
    let planned = Planned::new("hook(\"local\", \"true\");\n");
    planned.0.write("ssh", "");
    let plan = ["plan", "deploy.rhai", "--allow-older", "--ssh-config", "ssh"];
    planned.says(&plan, 0, &["`podlift run deploy.rhai --allow-older --ssh-config ssh` does it"]);
    planned.says(&[&plan[..], &["-o", "."]].concat(), 2, &[". cannot be written: it is a folder"]);
    let output = planned.0.podlift(&["plan", "deploy.rhai", "-o", "/dev/full", "--json"]);
    let result: Value = serde_json::from_str(output.stdout.lines().last().expect("a result")).expect("it is JSON");
    assert!(result["diagnostics"][0]["message"].as_str().is_some_and(|why| why.contains("/dev/full")), "{result}");
}

#[test]
fn what_the_script_itself_takes_back_is_planned_too() {
    let script = "hook(\"local\", \"echo a >>log\", #{ undo: \"echo back >>log\" });\n\
                  if read_file(\"flag\").contains(\"bad\") { undo(); }\nhook(\"local\", \"echo c >>log\", #{ undo: \"true\" });\n";
    for (planned_as, is, words) in [
        ("good", "bad", "the script has taken back what the plan keeps"),
        ("bad", "good", "the script has not taken back what it takes back in the plan"),
    ] {
        let planned = Planned::new(script);
        planned.0.write("flag", planned_as);
        planned.plan(&[]);
        planned.0.write("flag", is);
        planned.follow(4, &[words, "echo a >>log"]);
    }
    let planned = Planned::new(script);
    planned.0.write("flag", "bad");
    planned.plan(&[]);
    planned.follow(0, &[]);
    assert_eq!(planned.log(), "a\nback\nc\n");
}

#[test]
fn a_failure_that_is_over_is_not_blamed_and_what_comes_next_is_what_can_be_done() {
    let script = "retry(2, \"1ms\", || { hook(\"local\", \"test -e ready || { touch ready; exit 1; }\"); });\n\
                  confirm(\"go on?\");\nlet version = read_file(\"version\"); version.trim();\nhook(\"local\", `echo ${version}`);\n";
    let planned = Planned::new(script);
    planned.0.write("version", "v1");
    planned.plan(&[]);
    planned.follow(7, &[]);
    planned.follow(3, &["has begun before", "`podlift resume "]);
    planned.0.write("version", "v2");
    let output = planned.0.podlift(&["resume", "--yes"]);
    assert!(!output.stderr.contains("because call"), "{}", output.stderr);
    assert!(output.stderr.contains("`podlift plan deploy.rhai` makes a new plan, to look at"), "{}", output.stderr);
}

#[test]
fn who_steps_through_a_planned_run_may_read_and_leave_calls_out_and_change_nothing_else() {
    let planned =
        Planned::new("hook(\"local\", \"echo a >>log\", #{ undo: \"true\" });\nhook(\"local\", \"echo b >>log\", #{ undo: \"true\" });\n");
    planned.0.write("data", "known");
    planned.plan(&[]);
    let lines = "read_file(\"data\")\nhook(\"local\", \"echo typed >>log\")\ny\nskip\nstep\n";
    let stepped = output(&mut planned.0.command(&["run", "--plan", "release.plan", "--step"]), lines);
    assert_eq!(stepped.code, 0, "{}{}", stepped.stdout, stepped.stderr);
    assert!(format!("{}{}", stepped.stdout, stepped.stderr).contains("known"), "{}{}", stepped.stdout, stepped.stderr);
    assert!(stepped.stderr.contains("what is typed may only read"), "{}{}", stepped.stdout, stepped.stderr);
    assert_eq!(planned.log(), "b\n");
}

#[test]
fn a_plan_that_was_interrupted_is_made_again_and_not_done() {
    let planned = Planned::new("loop { pause(\"1s\"); }\n");
    let mut running = planned.0.start(&["plan", "deploy.rhai", "-o", "release.plan"]);
    let process = running.id().to_string();
    until("the script is run", || {
        let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("comm")).ok()).any(|name| name.trim() == "script")
    });
    output(std::process::Command::new("kill").args(["-INT", &process]), "");
    until("it has ended", || running.try_wait().expect("it can be waited for").is_some());
    let ended = running.wait_with_output().expect("it can be read");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(7), "{said}");
    assert!(said.contains("`podlift plan deploy.rhai -o release.plan` tries again"), "{said}");
}
