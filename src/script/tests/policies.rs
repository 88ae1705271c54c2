//! What a failure leaves: undone as a whole, held, or a host left out; and how an undo gets there.

use std::collections::BTreeMap;

use super::lab::{Fault, Lab, Told};
use crate::{
    executor::{Call, ending::State},
    failure::{Failure, FailureKind},
    model::HostName,
    op::Op,
};

/// What was started anew is unhealthy on these hosts.
fn sick(hosts: &'static [&'static str]) -> Fault {
    Box::new(|_, call| match &*call.op {
        Op::Healthcheck(op) if hosts.contains(&op.host.name.as_str()) && !call.key.is_undo() => {
            Some(Failure::new(FailureKind::Unhealthy, "it answered 503"))
        }
        _ => None,
    })
}

/// The versions that undoing gave traffic to, one item a call.
fn weighed_back(told: &Told) -> Vec<Vec<String>> {
    let undone = told.records.iter().filter(|record| record.key.is_undo());
    let weights = undone.filter_map(|record| if let Op::SetWeights(op) = &*record.op { Some(op) } else { None });
    weights.map(|op| op.changes.values().flatten().map(|share| share.release.version.to_string()).collect()).collect()
}

fn on(fleet: &BTreeMap<HostName, Vec<String>>, name: &str) -> Vec<String> {
    fleet.iter().find(|(host, _)| host.as_str() == name).map(|(_, lines)| lines.clone()).unwrap_or_default()
}

#[test]
fn a_host_that_is_skipped_is_as_it_was_and_marked_and_the_others_go_on() {
    let mut lab = Lab::serving_v1();
    let before = lab.fleet();
    let told = lab.run_with("rolling::deploy(web, img, fleet, #{ on_failure: \"skip\" });", "v2", sick(&["10.0.0.1"]));
    assert!(told.ended.is_ok(), "{:?}", told.ended);
    assert_eq!(lab.serving(), ["10.0.0.1: v1 100; 2 run", "10.0.0.2: v2 100; 2 run"]);
    assert_eq!(on(&lab.fleet(), "10.0.0.1"), on(&before, "10.0.0.1"));
    let marked: Vec<String> = told
        .records
        .iter()
        .filter_map(|record| if let Op::LeaveOut(op) = &*record.op { Some(format!("{}: {}", op.host.name, op.why)) } else { None })
        .collect();
    assert_eq!(marked, ["10.0.0.1: it answered 503"]);
}

#[test]
fn a_part_of_one_host_is_skipped_and_one_host_may_be_where_nothing_is_said() {
    let script = r#"
        import "std/policy" as policy;
        let left_out = 0;
        for one in fleet {
            left_out = policy::part(#{ on_failure: "skip" }, one, left_out, || healthcheck(start(web, img, one)));
        }
        print(`left out: ${left_out}`);"#;
    let told = Lab::serving_v1().run_with(script, "v2", sick(&["10.0.0.1"]));
    assert!(told.ended.is_ok() && told.said.iter().any(|said| said.contains("left out: 1")), "{:?} {:?}", told.ended, told.said);
    let told = Lab::serving_v1().run_with(script, "v2", sick(&["10.0.0.1", "10.0.0.2"]));
    assert_eq!(told.ended.expect_err("two are too many").diagnostic.message, "it answered 503");
}

#[test]
fn more_hosts_than_may_be_skipped_undo_all() {
    let mut lab = Lab::serving_v1();
    let before = lab.fleet();
    let told = lab.run_with("rolling::deploy(web, img, fleet, #{ on_failure: \"skip\" });", "v2", sick(&["10.0.0.1", "10.0.0.2"]));
    assert!(told.ended.is_err() && told.left.is_empty());
    assert_eq!(lab.fleet(), before);
    assert!(matches!(told.state, State::AllOld | State::Unchanged), "{:?}", told.state);
}

#[test]
fn a_deploy_that_holds_keeps_what_stands_and_is_mixed() {
    let mut lab = Lab::serving_v1();
    let told = lab.run_with("rolling::deploy(web, img, fleet, #{ on_failure: \"hold\" });", "v2", sick(&["10.0.0.2"]));
    assert!(told.ended.is_err() && told.left.is_empty());
    assert_eq!(told.state, State::Mixed);
    assert!(!told.is_taken_back, "what it holds is not taken back");
    assert_eq!(lab.serving(), ["10.0.0.1: v2 100; 2 run", "10.0.0.2: v1 100; 4 run"]);
}

#[test]
fn a_canary_that_holds_stays_at_its_step() {
    let mut lab = Lab::serving_v1();
    let watched =
        |_: usize, call: &Call| matches!(*call.op, Op::Traffic(_)).then(|| Failure::new(FailureKind::NoData, "nobody counts the requests"));
    let deploy = "canary::deploy(web, img, fleet, #{ steps: [10, 100], on_failure: \"hold\" });";
    let told = lab.run_with(deploy, "v2", Box::new(watched));
    assert!(told.ended.is_err() && told.left.is_empty());
    assert_eq!(told.state, State::Mixed);
    assert!(!told.is_taken_back, "what it holds is not taken back");
    assert_eq!(lab.serving(), ["10.0.0.1: v1 90, v2 10; 4 run", "10.0.0.2: v1 90, v2 10; 4 run"]);
}

#[test]
fn a_blue_green_that_holds_keeps_both_and_the_old_one_has_the_traffic() {
    let deploy = "blue_green::deploy(web, img, fleet, #{ on_failure: \"hold\", test: |green| fail(\"it looks wrong\") });";
    let broken = "blue_green::deploy(web, img, fleet, #{ on_failure: \"hold\", soak: \"1m\", gates: [gates::error_rate_under(0.01)] });";
    for (deploy, is_late) in [(deploy, false), (broken, true)] {
        let mut lab = Lab::serving_v1();
        let fault: Fault = Box::new(move |_, call| {
            (is_late && matches!(*call.op, Op::Traffic(_))).then(|| Failure::new(FailureKind::NoData, "nobody counts the requests"))
        });
        let told = lab.run_with(deploy, "v2", fault);
        assert!(told.ended.is_err() && told.left.is_empty());
        assert_eq!(lab.serving(), ["10.0.0.1: v1 100; 4 run", "10.0.0.2: v1 100; 4 run"], "{deploy}");
    }
}

#[test]
fn a_recreate_that_holds_leaves_what_it_did() {
    let mut lab = Lab::serving_v1();
    let told = lab.run_with("recreate::deploy(web, img, fleet, #{ on_failure: \"hold\" });", "v2", sick(&["10.0.0.2"]));
    assert!(told.ended.is_err() && told.left.is_empty());
    for host in ["10.0.0.1", "10.0.0.2"] {
        let there = on(&lab.fleet(), host);
        let of = |version: &str, state: &str| there.iter().filter(|line| line.contains(version) && line.ends_with(state)).count();
        assert_eq!((of("-v1-", "stopped"), of("-v2-", "running")), (2, 2), "{there:?}");
    }
}

#[test]
fn workers_of_a_host_are_skipped_or_held_as_a_rolling_deploy_does() {
    let workers = |policy: &str| {
        format!(
            "let jobs = service(\"jobs\", #{{ image: \"shop-web\", health: no_health() }}); \
             workers::deploy(jobs, img, fleet, #{{ on_failure: \"{policy}\" }});"
        )
    };
    let run = |lab: &Lab, host: &str| {
        let running = on(&lab.fleet(), host).into_iter().filter(|line| line.contains("shop-jobs") && line.ends_with("running"));
        running.map(|line| line.split('-').nth(2).unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    for (policy, ends_well, on_the_other) in [("skip", true, "v2"), ("hold", false, "v1")] {
        let mut lab = Lab::new();
        lab.does(&workers("undo"), "v1");
        let told = lab.run_with(&workers(policy), "v2", sick(&["10.0.0.1"]));
        assert_eq!(told.ended.is_ok(), ends_well, "{policy}");
        assert!(told.left.is_empty());
        let expected: &[&str] = if ends_well { &["v1"] } else { &["v1", "v2"] };
        assert_eq!(run(&lab, "10.0.0.1"), expected, "{policy}");
        assert_eq!(run(&lab, "10.0.0.2"), [on_the_other], "{policy}");
    }
}

#[test]
fn a_policy_that_makes_no_sense_is_refused_before_anything_is_done() {
    for (strategy, why) in [
        ("canary", "no host can be skipped: a canary is judged as a whole"),
        ("blue_green", "no host can be skipped: blue-green switches all of the traffic at once"),
        ("recreate", "no host can be skipped: recreate stops the old release everywhere"),
    ] {
        let told = Lab::serving_v1().run(&format!("{strategy}::deploy(web, img, fleet, #{{ on_failure: \"skip\" }});"), "v2");
        let message = told.ended.expect_err("it is refused").diagnostic.message;
        assert!(message.starts_with(why), "{message}");
        let done: Vec<&str> = told.records.iter().map(|record| record.op.verb()).filter(|verb| !["build", "ship"].contains(verb)).collect();
        assert!(done.is_empty(), "{strategy}: {done:?}");
    }
    for strategy in ["rolling", "canary", "blue_green", "recreate"] {
        let script = format!("let policy = \"ignore\"; {strategy}::deploy(web, img, fleet, #{{ on_failure: policy }});");
        let ended = Lab::serving_v1().run(&script, "v2").ended.expect_err("there is no such policy");
        let said = "the option `on_failure` is to be \"undo\", \"hold\" or \"skip\", and got \"ignore\"";
        assert_eq!(ended.diagnostic.message, said, "{strategy}");
    }
}

#[test]
fn an_undo_gives_the_traffic_straight_back_to_what_had_it() {
    let mut lab = Lab::serving_v1();
    let before = lab.fleet();
    let script = r#"
        let old = running(web, fleet);
        let next = start(web, img, fleet);
        healthcheck(next);
        for part in [5, 50, 100] {
            set_weights([[old, 100 - part], [next, part]]);
        }
        drain(old);
        stop(old);
        fail("no");"#;
    let told = lab.run(script, "v2");
    assert!(told.ended.is_err() && told.left.is_empty(), "{:?}", told.left);
    assert_eq!(lab.fleet(), before);
    assert!(weighed_back(&told).iter().all(|versions| *versions == ["v1"]), "{:?}", weighed_back(&told));
}

#[test]
fn what_was_deployed_on_the_way_gets_no_traffic_again_in_an_undo() {
    let mut lab = Lab::serving_v1();
    let before = lab.fleet();
    let script = r#"
        rolling::deploy(web, img, fleet);
        let third = build(web, #{ tag: "v3" });
        ship(third, fleet);
        rolling::deploy(web, third, fleet);
        fail("no");"#;
    let told = lab.run(script, "v2");
    assert!(told.ended.is_err() && told.left.is_empty(), "{:?}", told.left);
    assert_eq!(lab.fleet(), before);
    assert!(weighed_back(&told).iter().all(|versions| *versions == ["v1"]), "{:?}", weighed_back(&told));
}

#[test]
fn where_the_traffic_cannot_be_moved_back_the_new_containers_keep_serving() {
    let mut lab = Lab::serving_v1();
    let fault: Fault = Box::new(|_, call| match &*call.op {
        Op::SetWeights(op) if call.key.is_undo() && op.proxy.name.as_str() == "10.0.0.1" => Some(Failure::failed("nginx is stuck")),
        _ => None,
    });
    let told = lab.run_with("rolling::deploy(web, img, fleet); fail(\"no\");", "v2", fault);
    assert_eq!(told.state, State::Mixed);
    assert_eq!(lab.serving(), ["10.0.0.1: v2 100; 4 run", "10.0.0.2: v1 100; 2 run"]);
    let why: Vec<&str> = told.left.iter().map(|left| left.failure.message.as_str()).collect();
    assert_eq!(why, ["nginx is stuck", "what serves web on 10.0.0.1 stays: its traffic could not be given back to what had it"]);
}

#[test]
fn an_attempt_that_fails_at_any_call_leaves_the_fleet_as_it_was_and_the_script_goes_on() {
    for strategy in [
        "rolling::deploy(web, img, fleet);",
        "rolling::deploy(web, img, fleet, #{ order: \"stop-first\", allow_downtime: true });",
        "canary::deploy(web, img, fleet, #{ steps: [5, 50] });",
        "parallel(fleet, |host| rolling::deploy(web, img, host));",
    ] {
        let script = format!("let tried = attempt(|| {{ {strategy} }}); print(`went on: ${{tried.ok}}`);");
        let found = Lab::serving_v1();
        let before = found.fleet();
        let calls = found.copy().does(&script, "v2").calls;
        for number in 0..calls {
            let mut lab = found.copy();
            let fault: Fault = Box::new(move |at, _| (at == number).then(|| Failure::failed("the call failed")));
            let told = lab.run_with(&script, "v2", fault);
            // What comes before the attempt is not in it.
            if told.ended.is_ok() {
                assert_eq!(told.said.last().map(String::as_str), Some("went on: false"), "{strategy} {number}");
            }
            assert_eq!(lab.fleet(), before, "{strategy}, call {number} of {calls}: {:?}", told.ended);
        }
    }
}

#[test]
fn what_was_committed_stays_and_what_came_after_is_undone() {
    let mut lab = Lab::serving_v1();
    let told = lab.run("rolling::deploy(web, img, fleet); commit(); start(web, img, fleet); fail(\"no\");", "v2");
    assert!(told.ended.is_err() && told.left.is_empty());
    assert_eq!(told.state, State::AllNew);
    assert_eq!(lab.serving(), ["10.0.0.1: v2 100; 2 run", "10.0.0.2: v2 100; 2 run"]);
}

#[test]
fn of_two_services_with_a_commit_between_them_one_stays_and_the_other_is_taken_back() {
    let mut lab = Lab::new();
    let other = r#"
        let api = service("api", #{ port: 9000, domain: "api.example.com", health: http("/health") });
        let api_image = build(api, #{ tag: p.v });
        ship(api_image, fleet);"#;
    lab.does(&format!("{other} rolling::deploy(web, img, fleet); rolling::deploy(api, api_image, fleet);"), "v1");
    let told = lab
        .run(&format!("{other} rolling::deploy(web, img, fleet); commit(); rolling::deploy(api, api_image, fleet); fail(\"no\");"), "v2");
    assert!(told.ended.is_err() && told.left.is_empty());
    assert_eq!(told.state, State::Mixed, "by version");
    assert!(told.is_taken_back, "and yet nothing is there that was not committed");
    let told = lab.run_with(
        &format!("{other} rolling::deploy(web, img, fleet); commit(); rolling::deploy(api, api_image, fleet); fail(\"no\");"),
        "v3",
        Box::new(|_, call| call.key.is_undo().then(|| Failure::failed("it cannot be taken back"))),
    );
    assert!(!told.left.is_empty() && !told.is_taken_back);
}

#[test]
fn what_the_script_itself_has_removed_is_not_undone_once_more() {
    let mut lab = Lab::serving_v1();
    lab.fails("let next = start(web, img, fleet); healthcheck(next); remove(next); fail(\"no\");", "v2");
}

#[test]
fn an_undo_in_the_middle_gives_everything_back_and_the_script_can_begin_anew() {
    let mut lab = Lab::serving_v1();
    let told = lab.does("rolling::deploy(web, img, fleet); undo(); undo(); rolling::deploy(web, img, fleet);", "v2");
    assert_eq!(told.state, State::AllNew);
    assert_eq!(lab.serving(), ["10.0.0.1: v2 100; 2 run", "10.0.0.2: v2 100; 2 run"]);
    let mut lab = Lab::serving_v1();
    lab.fails("rolling::deploy(web, img, fleet); undo(); rolling::deploy(web, img, fleet); fail(\"no\");", "v2");
}

#[test]
fn a_deploy_that_holds_with_one_host_all_new_and_another_all_old_is_not_told_as_taken_back() {
    let mut lab = Lab::serving_v1();
    let second = |call: &Call| matches!(&*call.op, Op::Start(op) if op.host.name.as_str() == "10.0.0.2");
    let fault: Fault = Box::new(move |_, call| second(call).then(|| Failure::failed("there is no room")));
    let told = lab.run_with("rolling::deploy(web, img, fleet, #{ on_failure: \"hold\" });", "v2", fault);
    assert!(told.ended.is_err() && told.left.is_empty());
    assert_eq!(lab.serving(), ["10.0.0.1: v2 100; 2 run", "10.0.0.2: v1 100; 2 run"]);
    assert_eq!((told.state, told.is_taken_back), (State::Mixed, false));

    // Where nothing was done yet nothing is held.
    let mut lab = Lab::serving_v1();
    let fault: Fault = Box::new(|_, call| matches!(*call.op, Op::Start(_)).then(|| Failure::failed("there is no room")));
    let told = lab.run_with("rolling::deploy(web, img, fleet, #{ on_failure: \"hold\" });", "v2", fault);
    assert_eq!((told.state, told.is_taken_back), (State::AllOld, true));
}

#[test]
fn of_two_deploys_in_one_run_the_later_one_is_the_newer() {
    let mut lab = Lab::new();
    let script = r#"
        rolling::deploy(web, img, fleet);
        let second = build(web, #{ tag: "v3" });
        ship(second, fleet);
        rolling::deploy(web, second, fleet);
        print(`${releases(web, fleet).map(|release| release.version)} ${history(web, fleet).map(|deploy| deploy.version)}`);
        rollback::previous(web, fleet);"#;
    let told = lab.does(script, "v2");
    assert!(told.said.contains(&r#"["v3", "v2"] ["v3", "v2"]"#.to_owned()), "{:?}", told.said);
    assert_eq!(lab.serving(), ["10.0.0.1: v2 100; 2 run", "10.0.0.2: v2 100; 2 run"]);
}
