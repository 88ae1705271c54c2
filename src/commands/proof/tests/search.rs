//! What is tried within its bounds, until somebody stops it, and what cannot be tried at all.

use std::ops::ControlFlow;

use super::{BY_HAND, QUIETLY, SINGLE, on_one_host, proof, subject, told};
use crate::commands::proof::{Bounds, Finding, Unprovable, explore::Far, prove, retell};

#[test]
fn a_script_that_never_ends_is_refused() {
    for (endless, why) in [("while true { }", "its own code took more than"), ("loop { pause(\"1s\"); }", "it made more than 10000 calls")]
    {
        let script = format!("given(|| rolling::deploy(web, img, fleet));\n{endless}");
        let Err(Unprovable::Fails(told)) = prove(&subject(&script), &SINGLE, QUIETLY) else { panic!("it is taken") };
        assert!(told.message.starts_with("the script does not come to its end") && told.message.contains(why), "{told:?}");
        assert!(told.line.is_some(), "{told:?}");
    }
}

#[test]
fn a_test_that_is_stopped_tells_what_it_has_found_until_then() {
    let leaks = format!("try {{\n{}\n}} catch (problem) {{ }}", on_one_host());
    let until = |script: &str, faults, stories| {
        let stop = move |far: Far| if far.told >= stories { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        prove(&subject(script), &Bounds { faults, runs: 100_000, workers: 1, ..SINGLE }, &stop).expect("it works")
    };
    let holds = until(&on_one_host(), 2, 20);
    assert!(holds.is_stopped && holds.findings.is_empty() && !holds.all_single && !holds.all_pairs, "{holds:?}");
    assert!((20..=21).contains(&(holds.stories + holds.missed)) && holds.by_faults.keys().eq([&1]), "{holds:?}");
    let single = proof(&subject(&on_one_host())).single;
    let among_pairs = until(&on_one_host(), 2, single + 5);
    assert!(among_pairs.is_stopped && among_pairs.all_single && !among_pairs.all_pairs, "{among_pairs:?}");
    assert_eq!((among_pairs.single, among_pairs.by_faults[&1]), (single, single), "{among_pairs:?}");
    let broken = until(&leaks, 1, 60);
    assert!(broken.is_stopped && !broken.findings.is_empty() && broken.stories + broken.missed <= 61, "{broken:?}");
    let whole = prove(&subject(&leaks), &SINGLE, QUIETLY).expect("it works");
    assert!(!whole.is_stopped && whole.broken > broken.broken, "{} and {}", whole.broken, broken.broken);
}

#[test]
fn where_a_script_fails_by_itself_it_is_said_in_which_run_and_what_was_taken_for_granted() {
    let port = "let port = parse_int(probe(fleet[0], \"cat /etc/port\").stdout);";
    let given = "given(|| { let port = parse_int(probe(fleet[0], \"cat /etc/port\").stdout); });";
    let later = "given(|| { });\nlet port = parse_int(probe(fleet[0], \"cat /etc/port\").stdout);";
    for (script, run) in [(port, "this was the first run"), (given, "this was in `given`"), (later, "this was the run that is tested")] {
        let Err(Unprovable::Fails(told)) = prove(&subject(script), &SINGLE, QUIETLY) else { panic!("it works: {script}") };
        let [answer, which] = &told.hints[..] else { panic!("{:?}", told.hints) };
        assert!(answer.starts_with("what `probe` answers at deploy.rhai:") && answer.contains("(exit code 0 and no output)"), "{answer}");
        assert!(which.starts_with(run), "{which}");
    }
    let said = port.replace("port\")", "port\", #{ assume: #{ stdout: \"x\" } })");
    let Err(Unprovable::Fails(told)) = prove(&subject(&said), &SINGLE, QUIETLY) else { panic!("it works") };
    assert_eq!(told.hints.len(), 1, "the script says what it answers: {:?}", told.hints);
}

#[test]
fn a_story_of_which_nothing_comes_up_is_refused() {
    let subject = subject(&on_one_host());
    let known = proof(&subject);
    assert_eq!(known.missed, 0, "what can go wrong once comes up");
    for (story, what) in [("99:start:fails", "no call `99:start`"), ("0:strat:fails", "no call `0:strat`")] {
        let Err(Unprovable::Missed(failure)) = retell(&subject, &story.parse().expect("a story"), &SINGLE) else {
            panic!("{story} is taken")
        };
        assert!(failure.message.contains(what) && failure.hints[0].contains("the nearest call is `"), "{failure:?}");
    }
}

#[test]
fn only_what_was_tried_is_said_to_be() {
    let subject = subject(&on_one_host());
    let single = proof(&subject).single;
    let within = |faults, runs| prove(&subject, &Bounds { faults, runs, ..SINGLE }, QUIETLY).expect("it works");
    let just_singles = within(2, single + 1);
    assert!(just_singles.all_single && !just_singles.all_pairs && just_singles.stories == single + 1);
    let (fewer, none) = (within(2, single), within(0, 1000));
    assert!(!fewer.all_single && !fewer.all_pairs && !none.all_single && !none.all_pairs && none.stories == 1);
}

#[test]
fn one_mistake_is_told_once_on_whichever_host_and_whatever_went_wrong() {
    let leaks = BY_HAND.replace("    healthcheck(next);\n", "    try { healthcheck(next); } catch (problem) { continue; }\n");
    let proof = proof(&subject(&leaks));
    assert!(proof.by_rule["mixed"] > 5 && proof.by_rule["ending"] > 5, "{:?}", proof.by_rule);
    let [finding] = &proof.findings[..] else { panic!("{}", told(&proof)) };
    assert_eq!(finding.story.faults.len(), 1, "{}", finding.story);
    let two = leaks.replace("    stop(old);\n", "    try { stop(old); } catch (problem) { }\n");
    let two = super::proof(&subject(&two));
    let is_other = |finding: &Finding| finding.breaches.iter().all(|breach| breach.rule != "mixed");
    assert!((2..=3).contains(&two.findings.len()) && two.findings.iter().any(is_other), "{}", told(&two));
}
