use serde_json::json;

use super::lab::Lab;
use crate::{
    failure::{Failure, FailureKind},
    script::recording::{Recorded, deploy},
};

fn ops(recorded: Recorded) -> Vec<serde_json::Value> {
    let story = recorded.run();
    if let Err(stopped) = &story.result {
        panic!("{} {:?}", stopped.error, stopped.failure());
    }
    story.calls.iter().map(|call| serde_json::to_value(&call.op).expect("json")).collect()
}

#[test]
fn a_command_runs_in_every_kind_of_place() {
    let story = deploy(
        r#"let r = start(web, img, fleet[0]);
        hook("local", "make");
        print(hook(fleet[0], ["systemctl", "restart", "x"]).code);
        print(hook(fleet, "uptime").len());
        hook(r, "migrate");
        hook([web, img, fleet[1]], ["rake", "db:migrate"], #{ name: "migrate" });
        probe(fleet[1], "df");"#,
    )
    .run();
    assert!(story.result.is_ok(), "{:?}", story.result.err().map(|stopped| stopped.error));
    assert_eq!(
        story.lines()[1..],
        [
            "2 - hook make (here)",
            "3 10.0.0.1 hook systemctl restart x",
            "4[0] 10.0.0.1 hook uptime",
            "4[1] 10.0.0.2 hook uptime",
            "5 10.0.0.1 hook migrate in shop-web-v2-cec2b0998e-1",
            "6 10.0.0.2 hook migrate in a one-off web v2",
            "7 10.0.0.2 probe df",
        ]
    );
    assert_eq!(story.said, ["0", "2"]);
}

#[test]
fn a_command_is_told_about_the_run() {
    let ops = ops(deploy(
        r#"let old = running(web, fleet);
        let r = start(web, img, fleet[0]);
        hook("local", "notify", #{ env: #{ A: 1, PODLIFT_RUN: "mine" }, stdin: "in", timeout: "5s", check: false, undo: ["back"], assume: #{ code: 3, stdout: "x" } });
        hook(old, "x");"#,
    )
    .with_running(100));
    let hook = &ops[3];
    assert_eq!(
        hook["env"],
        json!({
            "A": "1", "PODLIFT_RUN": "mine", "PODLIFT_PROJECT": "shop", "PODLIFT_SERVICE": "web", "PODLIFT_VERSION": "v2",
            "PODLIFT_PREVIOUS": "v1", "PODLIFT_HOSTS": "10.0.0.1 10.0.0.2", "PODLIFT_OPERATOR": "ann@desk",
        })
    );
    assert_eq!(
        (&hook["stdin"], &hook["timeout"], &hook["check"], &hook["undo"]),
        (&json!("in"), &json!("5s"), &json!(false), &json!(["back"]))
    );
    assert_eq!(hook["assume"], json!({ "code": 3, "stdout": "x", "stderr": "" }));
    assert_eq!((&ops[4]["env"]["PODLIFT_VERSION"], &ops[4]["env"]["PODLIFT_RUN"]), (&json!("v1"), &json!("r2")));
}

#[test]
fn a_container_of_its_own_runs_on_each_of_several_hosts() {
    let story = deploy(r#"print(hook([web, img, fleet], "migrate").len()); print(probe([web, img, [fleet[1]]], "look").len());"#).run();
    assert!(story.result.is_ok(), "{:?}", story.result.err().map(|stopped| stopped.error));
    let lines = [
        "1[0] 10.0.0.1 hook migrate in a one-off web v2",
        "1[1] 10.0.0.2 hook migrate in a one-off web v2",
        "2[0] 10.0.0.2 probe look in a one-off web v2",
    ];
    let mut told = story.lines();
    told.sort();
    assert_eq!(told, lines);
    assert_eq!(story.said, ["2", "1"]);
}

#[test]
fn wrong_commands_are_refused() {
    for (call, problem) in [
        (r#"hook("there", "x")"#, "a command cannot run in \"there\""),
        (r#"hook("local", "")"#, "the command is empty"),
        (r#"hook("local", [])"#, "an array (program and arguments) or a string"),
        (r#"hook("local", 5)"#, "an array (program and arguments) or a string"),
        (r#"hook([fleet[0], 1], "x")"#, "where[1] of `hook` is a whole number, and is to be a host"),
        (r#"hook([web, img, [1]], "x")"#, "where[2][0] of `hook` is a whole number, and is to be a host"),
        (r#"hook([web, img, []], "x")"#, "`hook` got no host"),
        (r#"hook(5, "x")"#, "hook(where, command, options?) got hook(int, string)"),
        (r#"hook("local", "x", #{ assume: #{ cod: 1 } })"#, "`assume` has no `cod`"),
        (r#"hook("local", "x", #{ assume: #{ code: "1" } })"#, "not a valid assumed code"),
        (r#"probe("local", "x", #{ undo: "y" })"#, "`probe` has no option `undo`"),
    ] {
        let error = deploy(&format!("{call};")).fails();
        assert!(error.contains(problem), "{call}: {error}");
    }
}

#[test]
fn a_command_that_fails_can_be_caught() {
    let said = deploy("try { hook(\"local\", \"false\") } catch (e) { print(`${e.kind}: ${e.message}`) }")
        .answering(|_| Some(Err(Failure::new(FailureKind::Command, "it exited with 1"))))
        .says();
    assert_eq!(said, ["command: it exited with 1"]);
}

#[test]
fn a_command_on_a_host_needs_the_lease_of_its_service_there_or_of_the_project() {
    let story = deploy(
        r#"hook(fleet[0], "migrate");
        hook("local", "make");
        let r = start(web, img, fleet[0]);
        hook(fleet, "reload");
        hook(r, "warm-up");
        hook([service("api", #{ image: "shop-web" }), img, fleet[1]], "rake");"#,
    )
    .run();
    assert!(story.result.is_ok(), "{:?}", story.result.err().map(|stopped| stopped.error));
    let hooks = story.calls.iter().filter(|call| matches!(*call.op, crate::op::Op::Hook(_)));
    let mut leases: Vec<String> = hooks
        .map(|call| {
            let leased = call.op.leased().map(|(project, service, hosts)| format!("{project}/{service} on {}", hosts[0].name));
            format!("{} {}", call.key, leased.unwrap_or_default())
        })
        .collect();
    // A command goes to its hosts at once.
    leases.sort();
    assert_eq!(
        leases,
        [
            "1 shop/shop on 10.0.0.1",
            "2 ",
            "4[0] shop/web on 10.0.0.1",
            "4[1] shop/web on 10.0.0.2",
            "5 shop/web on 10.0.0.1",
            "6 shop/api on 10.0.0.2",
        ]
    );
}

#[test]
fn a_command_that_is_assumed_to_fail_fails_in_a_dry_run_as_it_does_live() {
    let mut lab = Lab::new();
    for call in ["hook", "probe"] {
        let asked = |options: &str| format!(r#"{call}(fleet[0], "x", #{{ name: "look", {options} }})"#);
        let fails = asked("assume: #{ code: 2, stderr: \"no such file\" }");
        let told = lab.run(&format!("{fails};"), "v1");
        let failure = told.records.into_iter().find_map(|record| record.result.err()).expect("it failed");
        assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Command, "look exited with 2"), "{call}");
        assert_eq!((failure.details[0].text.as_str(), failure.hints.len()), ("no such file", 1), "{call}: {:?}", failure.hints);
        assert!(told.ended.is_err(), "{call}: the script did not go on");
        let said = lab.does(&format!("try {{ {fails}; }} catch (e) {{ info(e.kind); }}"), "v1").said;
        assert_eq!(said, ["command"], "{call}");
        let said = lab.does(&format!("info(`${{{}.code}}`);", asked("check: false, assume: #{ code: 2 }")), "v1").said;
        assert_eq!(said, ["2"], "{call}");
    }
}

#[test]
fn the_undo_of_a_command_that_is_assumed_to_fail_is_not_run() {
    let told = Lab::new().run(r#"hook("local", "do", #{ undo: "undo", assume: #{ code: 1 } });"#, "v1");
    assert!(told.ended.is_err() && told.left.is_empty(), "{:?}", told.left);
    let commands = told.records.iter().filter(|record| matches!(*record.op, crate::op::Op::Hook(_))).count();
    assert_eq!(commands, 1, "as a run: only what was done is undone");
}
