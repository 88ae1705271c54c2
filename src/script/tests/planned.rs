//! Runs that are held to a plan, on a fleet on which calls fail: what a script does about a failure is in no plan.

use super::lab::{Fault, Lab};
use crate::{
    executor::ending::State,
    failure::{Failure, FailureKind},
    op::Op,
};

/// Health checks of what is started fail on this host, so many times.
fn sick(host: &'static str, times: usize) -> Fault {
    let left = std::sync::atomic::AtomicUsize::new(times);
    Box::new(move |_, call| match &*call.op {
        Op::Healthcheck(op) if op.host.name.as_str() == host && !call.key.is_undo() => {
            let was =
                left.fetch_update(std::sync::atomic::Ordering::SeqCst, std::sync::atomic::Ordering::SeqCst, |left| left.checked_sub(1));
            was.is_ok().then(|| Failure::new(FailureKind::Unhealthy, "it answered 503"))
        }
        _ => None,
    })
}

#[test]
fn a_planned_run_leaves_out_the_host_that_fails_and_goes_on_with_the_others() {
    let script = "rolling::deploy(web, img, fleet, #{ on_failure: \"skip\" });";
    let mut lab = Lab::serving_v1();
    let plan = lab.plan(script, "v2");
    let told = lab.follow(Some(plan), script, "v2", sick("10.0.0.1", 1));
    assert!(told.ended.is_ok(), "{:?}", told.ended);
    assert_eq!(told.unmade, None);
    assert_eq!(lab.serving(), ["10.0.0.1: v1 100; 2 run", "10.0.0.2: v2 100; 2 run"]);
}

#[test]
fn a_planned_run_tries_again_what_it_was_to_try() {
    let script = "for one in fleet { retry(3, \"1s\", || rolling::deploy(web, img, one)); }\nprune(web, fleet, 2);";
    let mut lab = Lab::serving_v1();
    let plan = lab.plan(script, "v2");
    let told = lab.follow(Some(plan.clone()), script, "v2", sick("10.0.0.1", 2));
    assert!(told.ended.is_ok(), "{:?}", told.ended);
    assert_eq!(told.unmade, None);
    assert_eq!(lab.serving(), ["10.0.0.1: v2 100; 2 run", "10.0.0.2: v2 100; 2 run"]);
    // What is tried again is held to the plan as well.
    let mut lab = Lab::serving_v1();
    let other = script.replace("rolling::deploy(web, img, one)", "{ rolling::deploy(web, img, one); }");
    let twice = other.replace("deploy(web, img, one);", "deploy(web, img, one); stop(running(web, one), #{ allow_downtime: true });");
    let told = lab.follow(Some(plan), &twice, "v2", sick("10.0.0.1", 2));
    let ended = told.ended.expect_err("it does what was not planned");
    assert_eq!(ended.kind, Some(FailureKind::Unplanned));
    // What had failed was done since: that is not why.
    assert!(ended.diagnostic.message.starts_with("the run would leave its plan at call "), "{}", ended.diagnostic.message);
    assert!(told.is_taken_back);
}

#[test]
fn a_planned_run_holds_what_is_to_be_held() {
    let script = "rolling::deploy(web, img, fleet, #{ on_failure: \"hold\" });";
    let mut lab = Lab::serving_v1();
    let plan = lab.plan(script, "v2");
    let told = lab.follow(Some(plan), script, "v2", sick("10.0.0.2", 1));
    let ended = told.ended.expect_err("it fails");
    assert!(ended.diagnostic.message.contains("it answered 503") && ended.kind != Some(FailureKind::Unplanned), "{ended:?}");
    assert_eq!(told.state, State::Mixed);
    assert_eq!(lab.serving()[0], "10.0.0.1: v2 100; 2 run");
}

#[test]
fn a_failure_that_is_caught_is_told_where_what_was_planned_behind_it_is_missing() {
    let script = "try { healthcheck(start(web, img, fleet[0])); start(web, img, fleet[1]); } catch { }";
    let mut lab = Lab::serving_v1();
    let plan = lab.plan(script, "v2");
    let told = lab.follow(Some(plan), script, "v2", sick("10.0.0.1", 1));
    let unmade = told.unmade.expect("it does not do all");
    assert!(unmade.starts_with("it answered 503; the script ended before it did all that was planned: "), "{unmade}");
}
