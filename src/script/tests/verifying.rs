//! `std/verify` on a modelled fleet: what is looked at after a deploy, and what is refused because it could never be judged.

use super::lab::{Answer, Lab};
use crate::{
    executor::{Call, Outcome},
    op::{HttpTarget, Measured, Op, Series},
};

#[test]
fn what_a_page_says_is_verified_and_a_wrong_one_undoes_the_deploy() {
    let script = "rolling::deploy(web, img, fleet); verify::version(running(web, fleet), \"/version\");";
    let mut lab = Lab::serving_v1();
    lab.does(script, "v2");
    lab.answer = |call| {
        let Op::HttpGet(op) = &*call.op else { return None };
        let HttpTarget::Container { .. } = &op.target else { return None };
        Some(Outcome::of(serde_json::json!({ "code": 200, "body": "v2", "seconds": 0.1 })))
    };
    let message = lab.fails(script, "v3");
    assert!(message.ends_with("/version does not say \"v3\""), "{message}");
}

#[test]
fn a_watch_goes_on_for_its_minutes_and_a_limit_that_is_broken_undoes_the_deploy() {
    let script = "rolling::deploy(web, img, fleet); verify::watch(web, fleet, 3);";
    let mut lab = Lab::serving_v1();
    let told = lab.does(script, "v2");
    assert_eq!(told.said.len(), 3, "{:?}", told.said);
    let slow: Answer = |call| {
        let Op::Traffic(_) = &*call.op else { return None };
        Some(Outcome::of(serde_json::json!({ "requests": 1000, "errors": 0, "milliseconds": { "300": 1000 } })))
    };
    lab.answer = slow;
    let message = lab.fails(script, "v3");
    assert!(message.contains("p95 under 200 ms: it is 300 ms"), "{message}");
    assert_eq!(lab.serving(), ["10.0.0.1: v2 100; 2 run", "10.0.0.2: v2 100; 2 run"]);
}

#[test]
fn an_address_is_asked_again_before_it_counts_as_wrong() {
    let mut lab = Lab::new();
    lab.answer = |call| {
        let Op::HttpGet(_) = &*call.op else { return None };
        Some(Outcome::of(serde_json::json!({ "code": 503, "body": "", "seconds": 0.1 })))
    };
    let told = lab.run("verify::url(\"http://shop.example.com/\", #{ times: 3 });", "v1");
    assert_eq!(told.ended.expect_err("it is wrong").diagnostic.message, "http://shop.example.com/ answered 503, and is to answer [200]");
    assert_eq!(told.records.iter().filter(|record| matches!(*record.op, Op::HttpGet(_))).count(), 3);
}

#[test]
fn an_address_that_leads_elsewhere_is_not_followed_and_the_failure_says_what_to_give() {
    let mut lab = Lab::new();
    lab.answer = |call| {
        let Op::HttpGet(_) = &*call.op else { return None };
        Some(Outcome::of(serde_json::json!({ "code": 301, "body": "", "seconds": 0.1 })))
    };
    let told = lab.run("verify::url(\"http://shop.example.com/\", #{ times: 1 });", "v1");
    let message = told.ended.expect_err("it is not what users see").diagnostic.message;
    assert_eq!(message, "http://shop.example.com/ answered 301, and is to answer [200]; give the address that it leads to");
}

/// A page of every container with this text.
macro_rules! says {
    ($text:literal) => {
        |call| {
            let Op::HttpGet(_) = &*call.op else { return None };
            Some(Outcome::of(serde_json::json!({ "code": 200, "body": $text, "seconds": 0.1 })))
        }
    };
}

#[test]
fn a_version_is_the_whole_of_what_a_page_says_and_not_a_part_of_another_one() {
    const SCRIPT: &str = "rolling::deploy(web, img, fleet); verify::version(running(web, fleet), \"/version\");";
    let others: [Answer; 7] = [
        says!("v2.3.10"),
        says!("v2.3.1-rc1"),
        says!("v2.3.1.4"),
        says!("rev2.3.1"),
        says!("web-v2.3.1"),
        says!("v2.3.1_debug"),
        says!("V2.3.10 and v2.3.11"),
    ];
    for answer in others {
        let mut lab = Lab::serving_v1();
        lab.answer = answer;
        let message = lab.fails(SCRIPT, "v2.3.1");
        assert!(message.contains("/version ") && message.contains("\"v2.3.1\""), "{message}");
    }
    let own: [Answer; 6] = [
        says!("v2.3.1"),
        says!("{\"version\":\"v2.3.1\"}\n"),
        says!("shop/v2.3.1 (build 7)"),
        says!("This is v2.3.1."),
        says!("v2.3.10 is out, and v2.3.1 runs"),
        says!("é: v2.3.1 – ü"),
    ];
    for answer in own {
        let mut lab = Lab::serving_v1();
        lab.answer = answer;
        lab.does(SCRIPT, "v2.3.1");
    }
}

/// Counts what a Prometheus is asked: 3 workers are up.
fn three(call: &Call) -> Option<Outcome> {
    let Op::Measure(_) = &*call.op else { return None };
    Some(Outcome::of(Measured { count: 1, series: vec![Series { labels: "{}".into(), value: "3".into() }] }))
}

const JOBS: &str = "let jobs = service(\"jobs\", #{ image: \"shop-web\", replicas: 2, health: no_health() });
let metrics = prometheus(\"http://10.0.0.9:9090\");
workers::deploy(jobs, img, fleet);
";

#[test]
fn workers_are_watched_by_expressions_and_gates_that_measure_traffic_are_refused_for_them() {
    let watch = |options: &str| format!("{JOBS}verify::watch(jobs, fleet, 2{options});");
    let mut lab = Lab::new();
    lab.answer = three;
    let told = lab.does(&watch(""), "v1");
    assert!(told.said.is_empty() && !told.records.iter().any(|record| matches!(*record.op, Op::Traffic(_))), "{:?}", told.said);
    let up = "gates::metric_over(\"workers\", metrics, \"sum(up)\", ";
    assert_eq!(lab.does(&watch(&format!(", #{{ gates: [{up}2)] }}")), "v2").said, ["pass: workers 3.0"; 2]);
    let message = lab.fails(&watch(&format!(", #{{ gates: [{up}4)] }}")), "v3");
    assert!(message.contains("workers: it is 3.0, and the limit is 4.0"), "{message}");
    let message = lab.fails(&watch(&format!(", #{{ gates: [gates::p95_under(200), {up}2)] }}")), "v3");
    let told =
        "jobs has no proxy, so its traffic is not measured, and these gates cannot be judged: [\"p95 under 200 ms\"]; leave them out";
    assert!(message.starts_with(told), "{message}");
}

#[test]
fn gates_that_compare_are_judged_by_what_was_measured_before_the_deploy() {
    const BESIDE: &str = "let before = gates::measure(running(web, fleet), \"1m\", #{ gates: gates::guide() });
rolling::deploy(web, img, fleet);
verify::watch(web, fleet, 2, #{ gates: gates::guide(), beside: before });";
    let slow: Answer = |call| {
        let Op::Traffic(op) = &*call.op else { return None };
        let milliseconds = if op.containers.iter().any(|container| container.as_str().contains("-v3-")) { "150" } else { "20" };
        Some(Outcome::of(serde_json::json!({ "requests": 1000, "errors": 0, "milliseconds": { milliseconds: 1000 } })))
    };
    let mut lab = Lab::new();
    lab.answer = slow;
    let first = lab.does(BESIDE, "v1").said;
    assert!(
        first.len() == 2 && first[0].starts_with("pass: ") && !first[0].contains("beside"),
        "there is nothing to compare with: {first:?}"
    );
    let told = lab.does(BESIDE, "v2").said;
    assert!(told.len() == 2 && told.iter().all(|said| said.starts_with("pass: ") && said.contains("; beside it ")), "{told:?}");
    let message = lab.fails(BESIDE, "v3");
    assert!(message.contains("p95 up by at most 100 ms: it is 150 ms, and the limit is 120 ms"), "{message}");
}

#[test]
fn gates_that_compare_with_nothing_are_refused_before_a_minute_is_over() {
    const NOTHING: &str =
        "after a deploy there is no release beside to compare with, and these gates cannot be judged: [\"error rate up by at most 50 %";
    for (options, problem) in [
        ("gates: gates::guide()", NOTHING),
        ("gates: gates::guide(), beside: running(web, fleet)", NOTHING),
        (
            "gates: gates::guide(), beside: gates::measure(running(web, fleet), \"1m\", #{ gates: [gates::metric_over(\"up\", metrics, \"up\", 1)] })",
            "what is beside was not measured for all, and these gates cannot be judged: [\"error rate up by",
        ),
        (
            "gates: [gates::metric_up_by(\"failed\", metrics, \"failed\", 0.5)], beside: gates::measure(running(web, fleet), \"1m\", #{})",
            "what is beside was not measured for all, and these gates cannot be judged: [\"failed\"]",
        ),
    ] {
        let mut lab = Lab::serving_v1();
        lab.answer = three;
        let script = format!(
            "let metrics = prometheus(\"http://10.0.0.9:9090\"); rolling::deploy(web, img, fleet); verify::watch(web, fleet, 2, #{{ {options} }});"
        );
        let message = lab.fails(&script, "v2");
        assert!(message.starts_with(problem) && message.contains("; measure before the deploy by gates::measure("), "{message}");
    }
}
