//! The strategies of the standard library, while something goes wrong: a choice of the faults at all of their calls, so that it
//! takes seconds. `benches/stories` tries all.

use super::{Bounds, QUIETLY, SINGLE, subject, told};
use crate::commands::{
    exit::Exit,
    proof::{prove, retell},
};

/// A choice that is the same each time.
const CHOICE: Bounds = Bounds { runs: 60, seed: 6, ..SINGLE };

#[track_caller]
fn holds(call: &str) {
    let proof = prove(&subject(call), &CHOICE, QUIETLY).expect("it works where nothing goes wrong");
    assert!(proof.findings.is_empty(), "{call}: {}", told(&proof));
    assert!(proof.stories > 50, "{call}: {} stories", proof.stories);
}

macro_rules! strategies {
    ($($name:ident: $call:literal;)*) => {
        $(#[test]
        fn $name() {
            holds($call);
        })*
    };
}

strategies! {
    rolling_in_one_batch: "rolling::deploy(web, img, fleet, #{ batch: \"100%\" });";
    rolling_that_skips: "rolling::deploy(web, img, fleet, #{ on_failure: \"skip\" });";
    rolling_that_holds: "rolling::deploy(web, img, fleet, #{ on_failure: \"hold\" });";
    rolling_that_stops_first: "rolling::deploy(web, img, fleet, #{ order: \"stop-first\", allow_downtime: true });";
    recreate_that_holds: "recreate::deploy(web, img, fleet, #{ on_failure: \"hold\" });";
    blue_green_that_holds: "blue_green::deploy(web, img, fleet, #{ on_failure: \"hold\", soak: \"1m\", gates: gates::guide() });";
    canary_that_holds: "canary::deploy(web, img, fleet, #{ steps: [5, 50], on_failure: \"hold\" });";
    recreate: "recreate::deploy(web, img, fleet);";
    blue_green_that_keeps: "blue_green::deploy(web, img, fleet, #{ soak: \"1m\", gates: gates::guide(), standby: true });";
    canary_by_weight: "canary::deploy(web, img, fleet, #{ steps: [5, 50] });";
    canary_by_hosts: "canary::deploy(web, img, fleet, #{ by: \"hosts\", steps: [1] });";
    canary_by_replicas: "canary::deploy(web, img, fleet, #{ by: \"replicas\", steps: [1] });";
    rolling_that_begins_with_one: "rolling::deploy(web, img, fleet, #{ first: 1, pause: \"10s\", keep: 1 });";
    retiring_a_host: "given(|| rolling::deploy(web, img, fleet)); rolling::retire(web, [fleet[1]], #{ allow_downtime: true });";
    blue_green_that_asks: "blue_green::deploy(web, img, fleet, #{ preview: #{ header: \"X-Preview: green\" }, test: |next| confirm(\"switch?\") });";
    switching_back: "given(|| two(web, fleet, |i| blue_green::deploy(web, i, fleet, #{ standby: true }))); blue_green::switch_back(web, fleet);";
    cleaning_up: "given(|| two(web, fleet, |i| blue_green::deploy(web, i, fleet, #{ standby: true }))); blue_green::cleanup(web, fleet);";
    rolling_back: "given(|| two(web, fleet, |i| rolling::deploy(web, i, fleet))); rollback::previous(web, fleet);";
    rolling_back_to_a_version: "given(|| two(web, fleet, |i| rolling::deploy(web, i, fleet))); rollback::to(web, fleet, \"one\", #{ drain: \"5s\" });";
    restarting: "given(|| rolling::deploy(web, img, fleet)); restart::one_by_one(web, fleet);";
    workers_one_by_one: "workers::deploy(job, img, fleet);";
    workers_that_are_told: "workers::deploy(job, img, fleet, #{ quiet: \"stop-taking\", loud: \"take-again\", pause: \"10s\" });";
    rolling_back_from_a_version_that_was_deployed_again: "given(|| { two(web, fleet, |i| rolling::deploy(web, i, fleet)); let i = build(web, #{ tag: \"two\" }); rolling::deploy(web, i, fleet); }); rollback::previous(web, fleet);";
    a_whole_deploy: "deploy::run(web, fleet, #{ image: img });";
    a_whole_deploy_by_canary: "deploy::run(web, fleet, #{ image: img, before: [\"migrate\"], after: [\"warm-up\"], strategy: \"canary\", how: #{ steps: [50] } });";
}

#[test]
fn a_person_who_says_no_to_the_test_has_the_deploy_undone() {
    let subject = subject("blue_green::deploy(web, img, fleet, #{ test: |next| confirm(\"switch?\") });");
    let story = |key: usize| format!("{key}:confirm:says-no").parse().expect("a story");
    let told = (1..20).find_map(|key| retell(&subject, &story(key), &SINGLE).ok()).expect("somebody is asked");
    assert!(told.breaches.is_empty() && told.exit == Some(Exit::Undone), "{told:#?}");
    assert_eq!(told.why.as_deref(), Some("the test says no: web v2 gets no traffic"));
}

#[test]
fn what_came_too_early_in_an_undo_is_tried_again_by_the_same_one() {
    // A host dies behind the others, and what ran on one of them before does not start again: the next undo begins with the dead one,
    // which is back and alone has traffic.
    let script = "let far = [host(\"a1\", #{ bind: \"10.0.0.1\" }), host(\"a2\", #{ bind: \"10.0.0.2\" })];\n\
                  let api = service(\"api\", #{ port: 9000, image: \"shop-web\", health: http(\"/health\"), balancer: host(\"lb1\") });\n\
                  ship(img, far);\nrolling::deploy(api, img, far, #{ order: \"stop-first\" });";
    let story = "18:record:dies, undo/7.0:start:fails".parse().expect("a story");
    let told = retell(&subject(script), &story, &SINGLE).unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!((told.exit, told.breaches), (Some(Exit::Mixed), Vec::new()), "{:#?}", told.steps);
}

#[test]
fn a_first_deploy_behind_a_balancer_can_be_taken_back_in_two_goes() {
    let script = "given(|| ());\nlet far = [host(\"a1\", #{ bind: \"10.0.0.1\" }), host(\"a2\", #{ bind: \"10.0.0.2\" })];\n\
                  let api = service(\"api\", #{ port: 9000, image: \"shop-web\", health: http(\"/health\"), balancer: host(\"lb1\") });\n\
                  ship(img, far);\nrolling::deploy(api, img, far);";
    let proof = prove(&subject(script), &SINGLE, QUIETLY).expect("it works where nothing goes wrong");
    assert!(proof.findings.is_empty(), "{}", told(&proof));
}
