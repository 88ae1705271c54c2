//! The strategies of `stdlib/` on a modelled fleet: what they do, and what is left when a call of theirs fails, whichever it is.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
};

use rhai::FnAccess;

use super::lab::{Answer, Lab};
use crate::{
    executor::{Call, Outcome, ending::State},
    failure::{Failure, FailureKind},
    model::HostName,
    op::{Class, Measured, Op, Series},
    script::{check::declared_options, engine, stdlib},
};

/// Every way to bring a release to a service that has a proxy.
const STRATEGIES: &[&str] = &[
    "rolling::deploy(web, img, fleet);",
    "rolling::deploy(web, img, fleet, #{ order: \"stop-first\", allow_downtime: true });",
    "recreate::deploy(web, img, fleet);",
    "canary::deploy(web, img, fleet, #{ steps: [5, 50], sticky: \"seen\" });",
    "canary::deploy(web, img, fleet, #{ by: \"hosts\", steps: [1] });",
    "canary::deploy(web, img, fleet, #{ by: \"replicas\", steps: [1] });",
    "blue_green::deploy(web, img, fleet, #{ soak: \"1m\", gates: gates::guide(), standby: true });",
];

#[test]
fn each_strategy_brings_every_release_to_the_whole_fleet() {
    for strategy in STRATEGIES {
        let mut lab = Lab::new();
        for version in ["v1", "v2", "v3"] {
            let told = lab.does(strategy, version);
            assert_eq!(told.state, State::AllNew, "{strategy} {version}");
        }
        for line in lab.serving() {
            assert!(line.contains(": v3 ") && !line.contains(", "), "{strategy}: {line}");
        }
        let history = lab.does("for deploy in history(web, fleet) { info(deploy.version) }", "v4").said;
        assert_eq!(history, ["v3", "v2", "v1"], "{strategy}");
    }
}

#[test]
fn a_strategy_that_fails_at_any_call_leaves_the_fleet_as_it_was() {
    for strategy in STRATEGIES {
        for serving in [false, true] {
            let found = if serving { Lab::serving_v1() } else { Lab::new() };
            let before = found.fleet();
            let calls = found.copy().does(strategy, "v2").calls;
            for number in 0..calls {
                let mut lab = found.copy();
                let fault = move |at: usize, _: &Call| (at == number).then(|| Failure::failed("the call failed"));
                let told = lab.run_with(strategy, "v2", Box::new(fault));
                let which = format!("{strategy} serving: {serving}, call {number} of {calls}");
                assert!(told.ended.is_err() && told.left.is_empty(), "{which}");
                let expected = if before.is_empty() { State::Unchanged } else { State::AllOld };
                assert!(told.state == expected || matches!(told.state, State::Unchanged | State::AllOld), "{which}: {:?}", told.state);
                let after: BTreeMap<_, _> = lab.fleet().into_iter().filter(|(_, lines)| serving || !lines.is_empty()).collect();
                assert_eq!(without_empty_tables(after), without_empty_tables(before.clone()), "{which}");
            }
        }
    }
}

/// A proxy that serves nothing of a service is like one that never did.
fn without_empty_tables(mut fleet: BTreeMap<HostName, Vec<String>>) -> BTreeMap<HostName, Vec<String>> {
    for lines in fleet.values_mut() {
        lines.retain(|line| !line.ends_with(" {}"));
    }
    fleet.retain(|_, lines| !lines.is_empty());
    fleet
}

#[test]
fn a_host_that_dies_in_the_middle_is_reported_as_mixed_or_all_is_as_it_was() {
    for strategy in STRATEGIES {
        let found = Lab::serving_v1();
        let before = found.fleet();
        let calls = found.copy().does(strategy, "v2").calls;
        for number in 0..calls {
            let mut lab = found.copy();
            let dead = AtomicBool::new(false);
            let fault = move |at: usize, call: &Call| {
                if at == number {
                    dead.store(true, Ordering::SeqCst);
                }
                let concerned = call.op.hosts().iter().any(|host| host.name.as_str() == "10.0.0.2");
                (dead.load(Ordering::SeqCst) && concerned).then(|| Failure::new(FailureKind::Unreachable, "it does not answer"))
            };
            let told = lab.run_with(strategy, "v2", Box::new(fault));
            let which = format!("{strategy}, 10.0.0.2 dies at call {number} of {calls}");
            assert!(told.ended.is_err(), "{which}");
            if told.state != State::Mixed {
                assert_eq!(lab.fleet(), before, "{which}: {:?}", told.state);
            }
            let living = |fleet: &BTreeMap<HostName, Vec<String>>| {
                fleet.iter().find(|(host, _)| host.as_str() == "10.0.0.1").map(|(_, lines)| lines.clone())
            };
            assert_eq!(living(&lab.fleet()), living(&before), "{which}: the host that lives is as it was");
        }
    }
}

/// What the gates' windows see: a healthy release beside, and a new one by this measure.
fn seen(call: &Call, next: serde_json::Value) -> Option<Outcome> {
    let Op::Traffic(op) = &*call.op else { return None };
    let is_next = op.containers.iter().any(|container| container.as_str().contains("-v2-"));
    Some(Outcome::of(if is_next { next } else { serde_json::json!({ "requests": 1000, "errors": 1, "milliseconds": { "20": 1000 } }) }))
}

const CANARY: &str = "canary::deploy(web, img, fleet);";

#[test]
fn a_canary_gives_the_new_release_more_step_by_step() {
    let mut lab = Lab::serving_v1();
    lab.answer = |call| seen(call, serde_json::json!({ "requests": 1000, "errors": 1, "milliseconds": { "25": 1000 } }));
    let told = lab.does(CANARY, "v2");
    let weights: Vec<u64> = told
        .records
        .iter()
        .filter_map(|record| match &*record.op {
            Op::SetWeights(op) if op.proxy.name.as_str() == "10.0.0.1" => {
                op.changes.values().flatten().find(|share| share.release.version.as_str() == "v2").map(|share| share.weight)
            }
            _ => None,
        })
        .collect();
    assert_eq!(weights, [1, 5, 25, 50, 100]);
    assert!(told.said[0].starts_with("pass: 2 errors of 2000 requests, p95 25 ms; beside it 2 errors of 2000"), "{:?}", told.said);
    assert_eq!(lab.serving(), ["10.0.0.1: v2 100; 2 run", "10.0.0.2: v2 100; 2 run"]);
}

#[test]
fn a_canary_that_breaks_a_limit_is_taken_back() {
    for (measure, answer) in [
        (
            "error rate under 1 %: it is 5 %, and the limit is 1 %",
            (|call| seen(call, serde_json::json!({ "requests": 1000, "errors": 50, "milliseconds": { "20": 1000 } }))) as Answer,
        ),
        ("error rate up by at most 50 %: it is 0.2 %, and the limit is 0.15 %", |call| {
            seen(call, serde_json::json!({ "requests": 1000, "errors": 2, "milliseconds": { "20": 1000 } }))
        }),
        ("p95 up by at most 100 ms: it is 170 ms, and the limit is 120 ms", |call| {
            seen(call, serde_json::json!({ "requests": 1000, "errors": 1, "milliseconds": { "20": 900, "170": 100 } }))
        }),
    ] {
        let mut lab = Lab::serving_v1();
        lab.answer = answer;
        let message = lab.fails(CANARY, "v2");
        assert!(message.starts_with("web v2: fail: ") && message.contains(measure), "{message}");
    }
}

#[test]
fn a_canary_with_too_few_requests_is_inconclusive_and_does_not_pass() {
    let few: Answer = |call| seen(call, serde_json::json!({ "requests": 3, "errors": 0, "milliseconds": { "20": 3 } }));
    let mut lab = Lab::serving_v1();
    lab.answer = few;
    let told = lab.fails(CANARY, "v2");
    assert_eq!(told, "web v2: inconclusive: 6 requests of at least 100; measured 4 times");
    let told = lab.fails("canary::deploy(web, img, fleet, #{ on_inconclusive: \"undo\" });", "v2");
    assert_eq!(told, "web v2: inconclusive: 6 requests of at least 100");
    let told = lab.does("canary::deploy(web, img, fleet, #{ on_inconclusive: \"go_on\", steps: [50, 100] });", "v2");
    assert_eq!(told.said[1], "web v2: inconclusive: 6 requests of at least 100; going on");
    assert!(lab.serving()[0].contains("v2 100"));
}

/// Too few requests to judge by, and a person who answers so.
fn asked(answer: bool) -> Answer {
    if answer {
        |call| match &*call.op {
            Op::Confirm(op) => Some(Outcome::of(op.name.as_deref() == Some("gate"))),
            _ => seen(call, serde_json::json!({ "requests": 3, "errors": 0, "milliseconds": { "20": 3 } })),
        }
    } else {
        |call| match &*call.op {
            Op::Confirm(_) => Some(Outcome::of(false)),
            _ => seen(call, serde_json::json!({ "requests": 3, "errors": 0, "milliseconds": { "20": 3 } })),
        }
    }
}

#[test]
fn a_person_decides_what_no_gate_can() {
    const ASK: &str = "canary::deploy(web, img, fleet, #{ on_inconclusive: \"ask\", steps: [50, 100] });";
    let mut lab = Lab::serving_v1();
    lab.answer = asked(false);
    assert_eq!(lab.fails(ASK, "v2"), "web v2: inconclusive: 6 requests of at least 100; a person said no");
    lab.answer = asked(true);
    lab.does(ASK, "v2");
    assert_eq!(lab.serving(), ["10.0.0.1: v2 100; 2 run", "10.0.0.2: v2 100; 2 run"]);
}

/// A new release of which 5 % of the requests fail, and a person who says so.
fn failing(answer: bool) -> Answer {
    if answer {
        |call| match &*call.op {
            Op::Confirm(_) => Some(Outcome::of(true)),
            _ => seen(call, serde_json::json!({ "requests": 1000, "errors": 50, "milliseconds": { "20": 1000 } })),
        }
    } else {
        |call| match &*call.op {
            Op::Confirm(_) => Some(Outcome::of(false)),
            _ => seen(call, serde_json::json!({ "requests": 1000, "errors": 50, "milliseconds": { "20": 1000 } })),
        }
    }
}

#[test]
fn what_becomes_of_a_limit_that_is_broken_is_a_policy() {
    let canary = |on_fail: &str| {
        format!(
            "canary::deploy(web, img, fleet, #{{ steps: [50, 100], gates: [gates::error_rate_under(0.01)], on_fail: \"{on_fail}\", holds: 1 }});"
        )
    };
    let broken = "web v2: fail: error rate under 1 %: it is 5 %, and the limit is 1 %";
    let mut lab = Lab::serving_v1();
    lab.answer = failing(false);
    assert_eq!(lab.fails(&canary("undo"), "v2"), broken);
    assert_eq!(lab.fails(&canary("hold"), "v2"), format!("{broken}; measured 2 times"));
    assert_eq!(lab.fails(&canary("ask"), "v2"), format!("{broken}; a person said no"));
    let mut other = lab.copy();
    let told = other.does(&canary("go_on"), "v2");
    assert_eq!(told.said[1], format!("{broken}; going on"));
    lab.answer = failing(true);
    lab.does(&canary("ask"), "v2");
    assert_eq!((lab.serving(), other.serving()), (other.serving(), lab.serving()));
    assert!(lab.serving().iter().all(|line| line.contains("v2 100")), "{:?}", lab.serving());
}

#[test]
fn a_step_is_watched_for_as_many_windows_as_are_to_pass() {
    let mut lab = Lab::serving_v1();
    let told = lab.does("canary::deploy(web, img, fleet, #{ steps: [50, 100], pause: \"30s\", windows: 3 });", "v2");
    assert_eq!(told.said.iter().filter(|said| said.starts_with("pass: ")).count(), 6, "{:?}", told.said);
}

/// What a Prometheus says of each release: `None` is nothing.
fn metric(call: &Call, next: Option<&str>) -> Option<Outcome> {
    let Op::Measure(op) = &*call.op else { return None };
    let value = if op.promql.contains("v2") { next } else { Some("0.2") };
    let series: Vec<Series> = value.into_iter().map(|value| Series { labels: "{}".into(), value: value.into() }).collect();
    Some(Outcome::of(Measured { count: series.len() as u64, series }))
}

const METRICS: &str = r#"
let metrics = prometheus("http://10.0.0.9:9090");
let failed = |release| `sum(rate(failed{version="${release.version}"}[5m]))`;
let limits = [gates::metric_under("failed", metrics, failed, 0.5), gates::metric_up_by("failed beside", metrics, failed, 0.5)];
canary::deploy(web, img, fleet, #{ gates: limits, steps: [50, 100], on_inconclusive: "undo" });"#;

#[test]
fn a_canary_is_judged_by_any_expression_alone_and_beside_the_old_release() {
    let mut lab = Lab::serving_v1();
    lab.answer = |call| metric(call, Some("0.9"));
    let told = lab.fails(METRICS, "v2");
    assert!(told.contains("fail: failed: it is 0.9, and the limit is 0.5; failed beside: it is 0.9, and the limit is 0.3"), "{told}");
    lab.answer = |call| metric(call, Some("0.4"));
    assert!(lab.fails(METRICS, "v2").ends_with("fail: failed beside: it is 0.4, and the limit is 0.3"));
    lab.answer = |call| metric(call, Some("0.25"));
    let told = lab.does(METRICS, "v2");
    assert!(told.said[0].starts_with("pass: failed 0.25, failed beside 0.25; beside it failed 0.2"), "{:?}", told.said);
}

#[test]
fn an_expression_without_data_for_the_new_release_is_inconclusive() {
    let mut lab = Lab::serving_v1();
    for value in [None, Some("NaN")] {
        lab.answer = if value.is_none() { |call| metric(call, None) } else { |call| metric(call, Some("NaN")) };
        let told = lab.fails(METRICS, "v2");
        assert!(told.contains("inconclusive: failed: sum(rate(failed{version=\"v2\"}[5m])) "), "{told}");
    }
}

#[test]
fn a_canary_of_which_only_the_old_release_is_seen_does_not_pass() {
    let mut lab = Lab::serving_v1();
    lab.answer = |call| seen(call, serde_json::json!({ "requests": 0, "errors": 0, "milliseconds": {} }));
    assert_eq!(lab.fails(CANARY, "v2"), "web v2: inconclusive: 0 requests of at least 100; measured 4 times");
}

#[test]
fn a_canary_by_hosts_leaves_the_others_alone_until_it_is_their_turn() {
    let mut lab = Lab::serving_v1();
    lab.answer = |call| {
        let Op::Traffic(op) = &*call.op else { return None };
        let errors = if op.proxy.name.as_str() == "10.0.0.2" && op.containers[0].as_str().contains("-v2-") { 500 } else { 0 };
        Some(Outcome::of(serde_json::json!({ "requests": 1000, "errors": errors, "milliseconds": { "20": 1000 } })))
    };
    let before = lab.fleet();
    let told = lab.run("canary::deploy(web, img, fleet, #{ by: \"hosts\", steps: [1, \"100%\"] });", "v2");
    let starts: Vec<&str> =
        told.records.iter().filter_map(|record| if let Op::Start(op) = &*record.op { Some(op.host.name.as_str()) } else { None }).collect();
    assert!(told.ended.is_err());
    assert_eq!(starts, ["10.0.0.1", "10.0.0.2"]);
    assert_eq!(lab.fleet(), before);
}

#[test]
fn steps_that_do_not_grow_or_are_none_are_refused_before_anything_is_touched() {
    for (options, problem) in [
        ("steps: [50, 25]", "steps grow up to 100 %"),
        ("steps: [150]", "steps grow up to 100 %"),
        ("steps: []", "steps is an array such as"),
        ("by: \"lu\" + \"ck\"", "the option `by` is to be \"weight\", \"hosts\" or \"replicas\", and got \"luck\""),
        ("on_fail: \"pr\" + \"ay\"", "the option `on_fail` is to be \"undo\", \"hold\", \"go_on\" or \"ask\", and got \"pray\""),
        ("pause: \"so\" + \"on\"", "the option `pause` is to be a duration such as \"30s\" or a size such as \"512m\", and got \"soon\""),
        ("windows: 0", "windows is a whole number from 1 on, and not 0"),
        ("holds: -1", "holds is a whole number from 0 on"),
        ("assume: 5", "assume is #{ requests, errors, p50, p95 }"),
        ("sticky: \"a b\"", "is not a cookie's name"),
        ("keep: 0", "prune keeps 1 release at least"),
        (
            "gates: [gates::metric_under(\"a\", prometheus(\"http://m\"), \"x\", 1), gates::metric_over(\"a\", prometheus(\"http://m\"), \"y\", 1)]",
            "two gates are named \"a\"",
        ),
        ("gates: [0.01]", "a gate comes from a function of std/gates"),
        ("pause: \"0s\", gates: [gates::p95_under(200)]", "gates are judged by the traffic of the pause, which is \"0s\""),
    ] {
        let mut lab = Lab::serving_v1();
        let message = lab.fails(&format!("canary::deploy(web, img, fleet, #{{ {options} }});"), "v2");
        assert!(message.contains(problem), "{message}");
    }
    for (call, problem) in [
        ("rolling::deploy(web, img, fleet, #{ pause: \"so\" + \"on\" });", "the option `pause` is to be a duration"),
        ("rolling::deploy(web, img, fleet, #{ max_failures: \"25%\" });", "max_failures is a whole number of hosts, and not 25%"),
        ("rolling::deploy(web, img, fleet, #{ first: -1 });", "first is a whole number of hosts"),
        ("rolling::deploy(web, img, fleet, #{ keep: -1 });", "prune keeps 1 release at least"),
        (
            "blue_green::deploy(web, img, fleet, #{ gates: gates::success_criteria() });",
            "gates are judged by the traffic of the soak, which is \"0s\": say how long that is",
        ),
        ("rolling::deploy(web, img, []);", "`lock` got no host"),
        ("canary::deploy(web, img, [], #{ by: \"hosts\" });", "a canary needs a host"),
        ("blue_green::deploy(web, img, fleet, #{ preview: #{ header: \"v2\" } });", "is not a valid header"),
        ("blue_green::deploy(web, img, fleet, #{ test: 5 });", "test is a closure"),
        ("blue_green::deploy(web, img, fleet, #{ gates: [5] });", "a gate comes from a function of std/gates"),
        ("recreate::deploy(web, img, fleet, #{ keep: 0 });", "prune keeps 1 release at least"),
        ("hook(fleet.filter(|host| false), \"true\");", "`hook` got no host: it would do nothing, and pass"),
        ("probe(fleet.filter(|host| false), \"true\");", "`probe` got no host: it would do nothing, and pass"),
        (
            "database(\"postgres://shop@10.0.0.9/shop\").backup(fleet.filter(|host| false), \"/var/backups/shop.dump\");",
            "`backup` got no host: it would do nothing, and pass",
        ),
        ("start(web, img, fleet.filter(|host| false));", "`start` got no host: it would do nothing, and pass"),
    ] {
        let mut lab = Lab::serving_v1();
        let before = lab.fleet();
        let told = lab.run(call, "v2");
        let message = told.ended.expect_err("it is wrong").diagnostic.message;
        assert!(message.contains(problem), "{call}: {message}");
        let touched: Vec<&str> =
            told.records.iter().filter(|record| record.op.class() != Class::Read).map(|record| record.op.verb()).collect();
        assert!(touched.iter().all(|verb| ["build", "ship"].contains(verb)), "{call}: {touched:?}");
        assert_eq!(lab.fleet(), before, "{call}");
    }
}

#[test]
fn blue_green_tests_before_the_switch_and_a_failed_test_gets_no_traffic() {
    let mut lab = Lab::serving_v1();
    let told = lab.fails("blue_green::deploy(web, img, fleet, #{ test: |green| fail(`no ${green.version} for ${green.weight}`) });", "v2");
    assert_eq!(told, "no v2 for 0");
}

#[test]
fn blue_green_shows_the_new_release_to_who_asks_for_it_until_the_switch() {
    let mut lab = Lab::serving_v1();
    let told = lab.does("blue_green::deploy(web, img, fleet, #{ preview: #{ header: \"X-Preview: green\" } });", "v2");
    let order: Vec<&str> = told
        .records
        .iter()
        .filter_map(|record| match &*record.op {
            Op::Preview(_) => Some("preview"),
            Op::SetWeights(_) => Some("switch"),
            _ => None,
        })
        .collect();
    assert_eq!(order, ["preview", "preview", "switch", "switch"]);
    assert!(!lab.fleet().values().flatten().any(|line| line.contains("X-Preview")), "{:?}", lab.fleet());
}

#[test]
fn blue_green_switches_back_when_the_soak_breaks_a_limit() {
    let mut lab = Lab::serving_v1();
    lab.answer = |call| seen(call, serde_json::json!({ "requests": 1000, "errors": 50, "milliseconds": { "20": 1000 } }));
    let told = lab.fails("blue_green::deploy(web, img, fleet, #{ soak: \"1m\", gates: gates::guide() });", "v2");
    assert!(told.contains("it is 5 %"), "{told}");
}

#[test]
fn what_blue_green_keeps_serves_again_at_once() {
    let mut lab = Lab::serving_v1();
    lab.does("blue_green::deploy(web, img, fleet, #{ standby: true });", "v2");
    assert_eq!(lab.serving(), ["10.0.0.1: v2 100; 4 run", "10.0.0.2: v2 100; 4 run"]);
    let told = lab.does("blue_green::switch_back(web, fleet);", "v3");
    assert_eq!(told.said, ["v1 serves, v2 is kept"]);
    assert!(!told.records.iter().any(|record| matches!(*record.op, Op::Start(_) | Op::StartAgain(_) | Op::Stop(_))));
    assert_eq!(lab.serving(), ["10.0.0.1: v1 100; 4 run", "10.0.0.2: v1 100; 4 run"]);
    lab.does("blue_green::cleanup(web, fleet);", "v3");
    assert_eq!(lab.serving(), ["10.0.0.1: v1 100; 2 run", "10.0.0.2: v1 100; 2 run"]);
    let told = lab.fails("blue_green::switch_back(web, fleet);", "v3");
    assert!(told.starts_with("no other release of web is kept running"), "{told}");
}

/// What `benches/stories` tries faults at: modules by the names that they have there.
const TRIED: &[(&str, &str)] = &[
    ("blue_green", "blue_green"),
    ("canary", "canary"),
    ("change", "expand_contract"),
    ("dependencies", "dependencies"),
    ("deploy", "deploy"),
    ("migrations", "migrations"),
    ("recreate", "recreate"),
    ("restart", "restart"),
    ("rollback", "rollback"),
    ("rolling", "rolling"),
    ("workers", "workers"),
];

/// Functions of theirs that only look.
const LOOKING: &[&str] = &["old_code"];

#[test]
fn faults_are_tried_at_each_strategy_in_each_of_its_options() {
    let (_, calls) = include_str!("../../../benches/stories").split_once("\ncalls='").expect("they are in the script");
    let engine = engine::language();
    let mut count = 0;
    for (alias, module) in TRIED {
        let tree = engine.compile(stdlib::text(module).expect("it is embedded")).expect("it compiles");
        for function in tree.iter_functions().filter(|function| !LOOKING.contains(&function.name)) {
            // What a function hands on is an option of those that call it.
            let name = if function.access == FnAccess::Public { format!("{alias}::{}(", function.name) } else { format!("{alias}::") };
            let of_it: Vec<&str> = calls.lines().filter(|call| call.contains(&name)).collect();
            for key in declared_options(&tree, function.name, &function.params).into_iter().flatten() {
                let written = format!(" {}: ", key.name);
                assert!(of_it.iter().any(|call| call.contains(&written)), "no call of {name}…) has the option `{}`", key.name);
                count += 1;
            }
        }
    }
    assert!(count > 80, "only {count} options are known");
}
