//! Hosts that a script says it has left out: they are as they were, and all others are done.

use super::{QUIETLY, SINGLE, broken, proof, subject, told};
use crate::commands::proof::{Unprovable, prove};

/// A deploy to one host after the other; `failed` is what is done about one on which it fails.
fn script(failed: &str) -> String {
    format!(
        "for h in fleet {{\n\
         let tried = attempt(|| {{\n\
         let old = running(web, h); let next = start(web, img, h); healthcheck(next);\n\
         set_weights([[old, 0], [next, 100]]); drain(old); stop(old); record(next);\n}});\n\
         if !tried.ok {{ {failed} }}\n}}"
    )
}

/// What is said of the shortest story that is found of this script.
#[track_caller]
fn breach(script: &str) -> String {
    let found = proof(&subject(script));
    let finding = found.findings.first().unwrap_or_else(|| panic!("nothing is found in {} stories of {script}", found.stories));
    assert_eq!(finding.story.faults.len(), 1, "{}", told(&found));
    finding.breaches[0].what.clone()
}

#[test]
fn a_host_that_is_left_out_is_as_it_was_and_all_others_are_done() {
    let found = proof(&subject(&script("leave_out(h, tried.error.message);")));
    assert!(found.findings.is_empty(), "{}", told(&found));
    assert!(found.exits.get("mixed").is_some_and(|count| *count > 20), "{:?}", found.exits);
    let elsewhere =
        "the run says that it is done but for 10.0.0.1, and what there is elsewhere differs from what it makes where nothing goes wrong";
    // The rest of them skipped in silence, and another one than that which failed.
    assert_eq!(breach(&script("leave_out(h, tried.error.message); break;")), elsewhere);
    assert_eq!(breach(&script("leave_out(fleet[0], tried.error.message);")), elsewhere);
}

#[test]
fn a_host_that_is_left_out_in_the_middle_is_found() {
    let halfway = script("leave_out(h, problem.message);")
        .replace("let tried = attempt(|| {", "try {")
        .replace("});\nif !tried.ok {", "} catch (problem) {");
    assert_eq!(broken(&subject(&halfway)).first(), Some(&("ending".to_owned(), 1)));
    let before = breach(&halfway);
    assert_eq!(before, "the run says that it has left out 10.0.0.1, and what there is differs from before");
}

#[test]
fn a_script_that_leaves_a_host_out_whatever_happens_is_told_where_it_does() {
    let script = "leave_out(fleet[1], \"under repair\");\nrolling::deploy(web, img, fleet[0]);";
    let Err(Unprovable::Fails(diagnostic)) = prove(&subject(script), &SINGLE, QUIETLY) else { panic!("there is nothing to measure it by") };
    assert_eq!(diagnostic.message, "10.0.0.2 is left out: under repair");
    assert!(diagnostic.line.is_some() && diagnostic.hints.iter().any(|hint| hint.contains("take the host out")), "{diagnostic:?}");
}

#[track_caller]
fn holds(script: &str) {
    let found = proof(&subject(script));
    assert!(found.findings.is_empty(), "{script}\n{}", told(&found));
}

const SKIP: &str = "#{ on_failure: \"skip\" }";
const API: &str = "image: \"shop-web\", health: http(\"/health\")";

#[test]
fn each_service_on_a_host_that_is_left_out_is_judged_for_itself() {
    // One service leaves a host out, and the other is done there, or the other way round.
    holds(&format!(
        "let api = service(\"api\", #{{ port: 9000, listen: 81, {API} }});\n\
         rolling::deploy(api, img, fleet, {SKIP});\nrolling::deploy(web, img, fleet, {SKIP});"
    ));
    // A dependency stays, and what nothing is served by any more is not missed.
    holds(&format!(
        "given(|| rolling::deploy(web, img, fleet));\nlet cache = service(\"cache\", #{{ port: 6379, publish: 6379, balancer: \"none\", health: tcp() }});\n\
         healthcheck(dependency(cache, image(\"redis:7\"), fleet[0]));\n\
         let next = build(web, #{{ tag: \"v3\" }});\nship(next, fleet);\nrolling::deploy(web, next, fleet, {SKIP});"
    ));
    holds(&format!(
        "given(|| ());\nlet far = host(\"a1\", #{{ bind: \"10.0.0.9\" }});\n\
         let api = service(\"api\", #{{ port: 9000, balancer: host(\"lb1\"), {API} }});\nship(img, far);\nrolling::deploy(api, img, far, {SKIP});"
    ));
}

#[test]
fn a_host_that_the_story_never_met_is_skipped_in_silence_too() {
    let first = script("leave_out(h, tried.error.message); break;")
        .replace("for h in fleet", "given(|| ());\nfor h in hosts([\"n1\", \"n2\"])")
        .replace("let old = running(web, h);", "ship(img, h);")
        .replace("[old, 0], ", "")
        .replace("drain(old); stop(old); ", "");
    assert!(breach(&first).starts_with("the run says that it is done but for n1, and what there is elsewhere"));
}
