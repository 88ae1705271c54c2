//! Hosts that a script says it has left out: they are as they were, and all others are done.

use super::{broken, proof, subject, told};

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
