//! `podlift test`: what a team's pipeline runs.

use std::process::{Command, Stdio};

use crate::{podlift::Project, rig::output, terminal::Terminal, until::until};

const SCRIPT: &str = r#"
project("shop");
let p = params(#{ version: "v2" });
let fleet = [host("h1")];
let web = service("web", #{ port: 8000, health: http("/health") });
let img = build(web, #{ tag: p.version });
ship(img, fleet);
let old = running(web, fleet);
let next = start(web, img, fleet);
healthcheck(next);
set_weights([[old, 0], [next, 100]]);
drain(old);
stop(old);
"#;

#[test]
fn a_script_that_holds_is_said_to_hold() {
    let project = Project::new();
    project.write("deploy.rhai", SCRIPT);
    let output = project.podlift(&["test", "deploy.rhai", "version=v3", "--faults", "1"]);
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert!(output.stderr.contains("deploy.rhai holds in ") && output.stderr.contains("every fault at its"), "{}", output.stderr);
    assert!(!project.path().join(".podlift").exists(), "a test leaves nothing");
}

#[test]
fn a_script_with_a_mistake_is_told_with_the_command_that_tells_it_again() {
    let project = Project::new();
    project.write("deploy.rhai", &SCRIPT.replace("healthcheck(next);", "try { healthcheck(next); } catch (problem) { return; }"));
    let output = project.podlift(&["test", "deploy.rhai", "--faults", "1", "--json"]);
    assert_eq!(output.code, 2, "{}{}", output.stdout, output.stderr);
    let result: serde_json::Value = serde_json::from_str(&output.stdout).expect("one object");
    assert_eq!((&result["holds"], &result["exit"]), (&false.into(), &2.into()));
    assert!(result["tried"]["by_rule"]["ending"].as_u64().is_some_and(|stories| stories > 0), "{}", result["tried"]);
    assert_eq!(result["tried"]["idle"], serde_json::json!([]));
    assert_eq!((&result["tried"]["stopped"], &result["tried"]["changes"]), (&false.into(), &true.into()));
    let web = &result["stories"][0]["services"]["web"];
    assert!(web["requests"]["answered"].is_object() && web["requests"]["refused"].is_u64(), "{web}");
    assert_eq!(web["capacity"][0], serde_json::json!({ "milliseconds": 0, "containers": 1 }));
    let differences = result["stories"][0]["breaches"][0]["differences"].as_array().expect("what differs");
    assert!(differences.iter().any(|line| line.as_str().is_some_and(|line| line == "+ h1: web v2 (new) running")), "{differences:?}");
    let story = result["stories"][0]["story"].as_str().expect("a story");
    let told = project.podlift(&["test", "deploy.rhai", "--story", story]);
    assert_eq!(told.code, 2, "{}{}", told.stdout, told.stderr);
    assert!(
        told.stdout.contains("✗ ending: ") && told.stdout.contains("told again by: podlift test deploy.rhai --story "),
        "{}",
        told.stdout
    );
}

#[test]
fn ctrl_c_ends_a_test_that_tells_what_it_has_found_until_then() {
    let project = Project::new();
    project.write("deploy.rhai", SCRIPT);
    let test = ["test", "deploy.rhai", "--faults", "3", "--runs", "1000000"];
    let mut terminal = Terminal::open(&project.command(&test));
    terminal.sees(" stories of at most 1000000");
    terminal.presses("\x03");
    terminal.sees("telling what was found so far; ctrl-C again ends it now");
    terminal.sees("interrupted: deploy.rhai held until then in ");
    assert_eq!(terminal.ends(), 7, "{}", terminal.text());
    project.write("deploy.rhai", &SCRIPT.replace("healthcheck(next);", "try { healthcheck(next); } catch (problem) { return; }"));
    let mut terminal = Terminal::open(&project.command(&test));
    terminal.sees("a rule is broken in ");
    terminal.presses("\x03");
    terminal.sees("told again by: podlift test deploy.rhai --story ");
    terminal.sees("interrupted: deploy.rhai does not hold: a rule is broken in ");
    assert_eq!(terminal.ends(), 2, "{}", terminal.text());
}

/// Whoever reads the output may not read on: a pager at its first page.
#[test]
fn ctrl_c_ends_a_test_whose_output_nobody_reads() {
    let project = Project::new();
    project.write(
        "deploy.rhai",
        &SCRIPT.replace("healthcheck(next);", "loop { try { healthcheck(next); break; } catch (problem) { info(\"again\"); } }"),
    );
    let mut command = project.command(&["test", "deploy.rhai", "--faults", "1", "--json"]);
    let mut running = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let process = running.id().to_string();
    until("it has ended", || {
        let ended = running.try_wait().expect("it can be waited for").is_some();
        if !ended {
            output(Command::new("kill").args(["-INT", &process]), "");
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        ended
    });
}

#[test]
fn ctrl_c_before_the_first_story_ends_a_test_with_one_object() {
    let project = Project::new();
    project.write("deploy.rhai", "while true { }");
    let mut command = project.command(&["test", "deploy.rhai", "--json"]);
    let mut running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let process = running.id().to_string();
    until("the script is run", || {
        let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
        let mut names = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("comm")).ok());
        names.any(|name| name.trim() == "script")
    });
    output(Command::new("kill").args(["-INT", &process]), "");
    until("it has ended", || running.try_wait().expect("it can be waited for").is_some());
    let ended = running.wait_with_output().expect("it can be read");
    let (stdout, stderr) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert_eq!(ended.status.code(), Some(7), "{stdout}{stderr}");
    let result: serde_json::Value = serde_json::from_str(&stdout).expect("one object");
    assert_eq!((&result["exit"], &result["tried"]), (&7.into(), &serde_json::Value::Null));
    assert!(stderr.contains("interrupted before the first story was told"), "{stderr}");
}

/// A pipeline reads one object, whatever is wrong.
#[test]
fn what_keeps_a_test_from_beginning_is_in_the_json_too() {
    let project = Project::new();
    project.write("deploy.rhai", "project(\"shop\");\nlet x = ;\nlet y = ;\n");
    for (script, message, line) in [("deploy.rhai", "unexpected ';'", Some(2)), ("missing.rhai", "there is no script missing.rhai", None)] {
        let output = project.podlift(&["test", script, "--json"]);
        assert_eq!(output.code, 2, "{}{}", output.stdout, output.stderr);
        let result: serde_json::Value = serde_json::from_str(&output.stdout).expect("one object");
        let first = &result["diagnostics"][0];
        assert_eq!((&result["holds"], &result["exit"]), (&false.into(), &2.into()));
        assert_eq!((first["message"].as_str(), first["line"].as_u64()), (Some(message), line), "{result}");
        let checked = project.podlift(&["check", script, "--json"]);
        assert_eq!(checked.code, 2, "{}{}", checked.stdout, checked.stderr);
        let found: serde_json::Value = serde_json::from_str(&checked.stdout).expect("one array");
        assert_eq!(found[0]["message"].as_str(), Some(message), "{found}");
    }
}

#[test]
fn a_script_that_does_not_hold_says_how_often_each_rule_is_broken_and_what_differs() {
    let project = Project::new();
    let leaks = SCRIPT.replace("healthcheck(next);", "try { healthcheck(next); } catch (problem) { warn(\"not healthy\"); return; }");
    project.write("deploy.rhai", &leaks.replace("\nstop(old);", ""));
    let output = project.podlift(&["test", "deploy.rhai", "--faults", "1"]);
    assert_eq!(output.code, 2, "{}{}", output.stdout, output.stderr);
    for told in ["\n    + h1: web v2 (new) running\n", "  not healthy\n"] {
        assert!(output.stdout.contains(told), "{told}: {}", output.stdout);
    }
    assert!(output.stderr.contains("ending in ") && output.stderr.contains("the shortest stories are told above"), "{}", output.stderr);
    let idle = "where nothing goes wrong, this runs in the end without traffic: 1 × web before on h1";
    assert!(output.stderr.contains(idle), "{}", output.stderr);
}

#[test]
fn a_script_that_deploys_nothing_is_told_so() {
    let project = Project::new();
    project.write("deploy.rhai", SCRIPT.split("let old").next().expect("its beginning"));
    let output = project.podlift(&["test", "deploy.rhai", "--faults", "1"]);
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    let note = "! where nothing goes wrong, everything is in the end as it was: nothing is deployed";
    assert!(output.stderr.contains(note), "{}", output.stderr);
    project.write("deploy.rhai", SCRIPT);
    let output = project.podlift(&["test", "deploy.rhai", "--faults", "1"]);
    assert!(!output.stderr.contains("nothing is deployed"), "{}", output.stderr);
}

#[test]
fn a_host_that_is_forgotten_is_told() {
    let project = Project::new();
    let two = SCRIPT.replace("[host(\"h1\")]", "hosts([\"h1\", \"h2\"])");
    project.write(
        "deploy.rhai",
        &two.replace("running(web, fleet)", "running(web, fleet[0])").replace("start(web, img, fleet)", "start(web, img, fleet[0])"),
    );
    let output = project.podlift(&["test", "deploy.rhai", "--faults", "1"]);
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    let note = "! where nothing goes wrong, an image is there in vain, and no container of it: shop-web:v2 on h2";
    assert!(output.stderr.contains(note), "{}", output.stderr);
    project.write("deploy.rhai", &two);
    let output = project.podlift(&["test", "deploy.rhai", "--faults", "1"]);
    assert!(!output.stderr.contains("in vain"), "{}", output.stderr);
}

#[test]
fn what_downtime_costs_is_told_of_a_script_that_allows_it() {
    let project = Project::new();
    let downtime =
        SCRIPT.replace("set_weights([[old, 0], [next, 100]]);", "").replace("drain(old);\nstop(old);", "set_weights([[next, 100]]);");
    let recreates = downtime.replace(
        "let next =",
        "set_weights([[old, 0]], #{ allow_downtime: true });\ndrain(old, #{ allow_downtime: true });\nstop(old, #{ allow_downtime: true });\nlet next =",
    );
    project.write("deploy.rhai", &recreates);
    let output = project.podlift(&["test", "deploy.rhai", "--faults", "1"]);
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    let told = "! where nothing goes wrong, requests are lost:\n  web: ";
    assert!(output.stderr.contains(told) && output.stderr.contains("1 container served, at the least 0"), "{}", output.stderr);
    let output = project.podlift(&["test", "deploy.rhai", "--faults", "1", "--json"]);
    let result: serde_json::Value = serde_json::from_str(&output.stdout).expect("one object");
    let web = &result["tried"]["services"]["web"];
    assert!(web["requests"]["refused"].as_u64().is_some_and(|refused| refused > 0), "{web}");
    let served: Vec<&serde_json::Value> = web["capacity"].as_array().expect("over time").iter().map(|at| &at["containers"]).collect();
    assert_eq!(served, [1, 0, 1]);
    // One that loses nothing has no such note.
    project.write("deploy.rhai", SCRIPT);
    let output = project.podlift(&["test", "deploy.rhai", "--faults", "1"]);
    assert!(!output.stderr.contains("requests are lost"), "{}", output.stderr);
}

#[test]
fn a_script_that_fails_by_itself_and_a_story_that_is_none_are_refused() {
    let project = Project::new();
    project.write("deploy.rhai", &SCRIPT.replace("drain(old);", ""));
    let output = project.podlift(&["test", "deploy.rhai"]);
    assert_eq!(output.code, 2);
    assert!(output.stderr.contains("fails where nothing goes wrong: ") && output.stderr.contains("was not drained"), "{}", output.stderr);
    let output = project.podlift(&["test", "deploy.rhai", "--story", "4:start:bang"]);
    assert!(output.code == 2 && output.stderr.contains("lost-after"), "{}", output.stderr);
}

#[test]
fn a_story_that_does_not_come_up_and_bounds_of_nothing_are_refused() {
    let project = Project::new();
    project.write("deploy.rhai", SCRIPT);
    let output = project.podlift(&["test", "deploy.rhai", "--json", "--story", "99:start:fails"]);
    assert_eq!(output.code, 2, "{}{}", output.stdout, output.stderr);
    let result: serde_json::Value = serde_json::from_str(&output.stdout).expect("one object");
    let message = result["diagnostics"][0]["message"].as_str().expect("why");
    assert!(message.contains("did not come up") && output.stderr.contains("the nearest call is"), "{message}{}", output.stderr);
    for (bound, count, why) in [("--faults", "0", "at least one"), ("--runs", "0", "at least one"), ("--runs", "1", "at least two")] {
        let output = project.podlift(&["test", "deploy.rhai", bound, count]);
        assert!(output.code == 2 && output.stderr.contains(why), "{}", output.stderr);
    }
}

#[test]
fn a_script_that_fails_by_itself_is_told_with_its_line() {
    let project = Project::new();
    project.write("deploy.rhai", &SCRIPT.replace("drain(old);", ""));
    let output = project.podlift(&["test", "deploy.rhai", "--json"]);
    assert!(output.code == 2 && output.stderr.contains("deploy.rhai:") && output.stderr.contains("stop(old);"), "{}", output.stderr);
    let result: serde_json::Value = serde_json::from_str(&output.stdout).expect("one object");
    assert_eq!((&result["holds"], &result["diagnostics"][0]["file"]), (&false.into(), &"deploy.rhai".into()), "{result}");
    assert!(result["diagnostics"][0]["line"].as_u64().is_some_and(|line| line > 10), "{result}");
}

#[test]
fn a_script_that_makes_no_call_is_not_said_to_hold() {
    let project = Project::new();
    project.write("lib/halves.rhai", "/// The half of `list`.\nfn half(list) { list.extract(0, list.len() / 2) }\n");
    let output = project.podlift(&["test", "lib/halves.rhai", "--json"]);
    assert_eq!(output.code, 2, "{}{}", output.stdout, output.stderr);
    let result: serde_json::Value = serde_json::from_str(&output.stdout).expect("one object");
    assert_eq!((&result["holds"], &result["exit"]), (&false.into(), &2.into()), "{result}");
    let told = "lib/halves.rhai makes no call with these arguments: there is nothing that could go wrong";
    assert!(output.stderr.contains(told) && output.stderr.contains("test a script that deploys"), "{}", output.stderr);
}
