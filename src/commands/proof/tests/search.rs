//! What is tried within its bounds, until somebody stops it, and what cannot be tried at all.

use std::ops::ControlFlow;

use super::{BY_HAND, QUIETLY, SINGLE, on_one_host, proof, subject, told};
use crate::{
    commands::proof::{Bounds, Finding, Unprovable, explore::Far, prove, retell},
    executor::faults::What,
};

#[test]
fn what_is_dead_for_good_does_not_come_back_by_what_befalls_it_next() {
    let script = "workers::deploy(job, img, fleet, #{ on_failure: \"skip\", max_failures: 2, keep: 1 });";
    let story = "4[0].2[0]:start:lost-after, 4[0].2[0]:start#2:dies, 5:leave_out:cut-off".parse().expect("a story");
    let told = retell(&subject(script), &story, &SINGLE).unwrap_or_else(|error| panic!("{error:?}"));
    assert!(told.breaches.is_empty(), "{:?}", told.breaches);
    assert!(!told.steps.iter().any(|step| matches!(step.what, What::Back)), "{:?}", told.steps);
}

/// A story is told the same whether or not it shares its beginning with others.
#[test]
fn a_release_whose_removal_is_in_doubt_holds_however_the_story_is_told() {
    let script = "let old = running(web, fleet); let next = start(web, img, fleet); healthcheck(next);\n\
                  if old == () { set_weights([[next, 100]]); return; }\n\
                  set_weights([[old, 90], [next, 10]]); set_weights([[old, 100]]); drain(next); stop(next); remove(next);";
    let found = proof(&subject(script));
    assert_eq!((found.broken, found.findings.len()), (0, 0), "{}", told(&found));
}

/// What could not be started again, and was deleted behind that, is no reason to try for ever.
#[test]
fn an_undo_that_has_deleted_a_container_does_not_start_it_again() {
    let script = "let h = fleet[0]; let old = running(web, h); let next = start(web, img, h); healthcheck(next);\n\
                  if old == () { set_weights([[next, 100]]); return; }\n\
                  set_weights([[old, 90], [next, 10]]); set_weights([[old, 100]]); drain(next); stop(next); remove(next);";
    let story = "10:remove:fails, undo/9.0:start:fails".parse().expect("a story");
    let told = retell(&subject(script), &story, &SINGLE).unwrap_or_else(|error| panic!("{error:?}"));
    assert!(told.breaches.is_empty(), "{told:#?}");
}

#[test]
fn a_fault_that_a_call_cannot_meet_is_refused() {
    let script = "rolling::deploy(web, img, fleet); commit();";
    let calls = prove(&subject(script), &Bounds { faults: 0, ..SINGLE }, QUIETLY).expect("it works").calls;
    let story = (1..=calls).map(|key| format!("{key}:commit:operator-dies-before-outcome"));
    for story in story {
        let told = retell(&subject(script), &story.parse().expect("a story"), &SINGLE);
        assert!(matches!(told, Err(Unprovable::Missed(_))), "{story}");
    }
}

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
    let hook = port.replace("probe(fleet[0], \"cat /etc/port\")", "hook(fleet[0], \"cat /etc/port\")");
    let Err(Unprovable::Fails(told)) = prove(&subject(&hook), &SINGLE, QUIETLY) else { panic!("it works") };
    assert!(told.hints[0].starts_with("what `hook` answers at deploy.rhai:"), "{:?}", told.hints);
    let elsewhere = format!("probe(fleet[0], \"true\");\nhook(fleet[0], \"true\");\n{}", BY_HAND.replace("    drain(old);\n", ""));
    let Err(Unprovable::Fails(told)) = prove(&subject(&elsewhere), &SINGLE, QUIETLY) else { panic!("it works") };
    assert!(told.hints.iter().all(|hint| !hint.contains("what `hook` answers")), "it is not what fails: {:?}", told.hints);
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

/// The script in which a failed health check is passed over in silence.
fn leaking() -> String {
    BY_HAND.replace("    healthcheck(next);\n", "    try { healthcheck(next); } catch (problem) { continue; }\n")
}

#[test]
fn one_mistake_is_told_once_on_whichever_host_and_whatever_went_wrong() {
    let one = proof(&subject(&leaking()));
    assert!(one.by_rule["mixed"] > 5 && one.by_rule["ending"] > 5, "{:?}", one.by_rule);
    let [finding] = &one.findings[..] else { panic!("{}", told(&one)) };
    assert_eq!(finding.story.faults.len(), 1, "{}", finding.story);
    let on_four = leaking().replace("in fleet", "in hosts([\"h1\", \"h2\", \"h3\", \"h4\"])");
    let on_four = format!("let fleet = hosts([\"h1\", \"h2\", \"h3\", \"h4\"]);\nship(img, fleet);\n{on_four}");
    let on_four = prove(&subject(&on_four), &Bounds { faults: 2, runs: 600, ..SINGLE }, QUIETLY).expect("it works");
    let [finding] = &on_four.findings[..] else { panic!("{}", told(&on_four)) };
    assert_eq!(finding.story.faults.len(), 1, "{}", finding.story);
}

#[test]
fn each_of_two_mistakes_has_a_story() {
    let two = leaking().replace("    stop(old);\n", "    try { stop(old); } catch (problem) { }\n");
    let two = proof(&subject(&two));
    let is_other = |finding: &Finding| finding.breaches.iter().all(|breach| breach.rule != "mixed");
    assert!((2..=3).contains(&two.findings.len()) && two.findings.iter().any(is_other), "{}", told(&two));
    // One in each of two services whose names differ by a number alone.
    let service = |name: &str| {
        format!(
            "let {name} = service(\"api-{name}\", #{{ port: 8000, listen: {}, health: http(\"/health\") }});\n\
             let image = build({name}, #{{ tag: p.v }});\nship(image, fleet);\n{}",
            name.replace('v', "808"),
            leaking().replace("(web, img,", &format!("({name}, image,")).replace("(web,", &format!("({name},"))
        )
    };
    let both = proof(&subject(&format!("{}\n{}", service("v1"), service("v2"))));
    let said = both.findings.iter().map(|finding| format!("{:?}", finding.breaches)).collect::<Vec<_>>();
    assert!(said.len() == 2 && ["api-v1", "api-v2"].iter().all(|name| said.iter().any(|one| one.contains(name))), "{said:?}");
}

#[test]
fn a_rule_of_the_scripts_own_has_a_story_for_each_call_at_which_it_can_be_broken() {
    let rule = "invariant(\"every host is there\", |world| world.hosts.values().all(|host| host.reachable));\n";
    let proof = prove(&subject(&format!("{rule}{}", on_one_host())), &SINGLE, QUIETLY).expect("it works");
    let mut verbs = proof.findings.iter().map(|finding| finding.story.faults[0].site.verb.as_str()).collect::<Vec<_>>();
    verbs.sort_unstable();
    verbs.dedup();
    assert!(verbs.len() > 2 && proof.findings.len() == verbs.len(), "{verbs:?} {}", told(&proof));
}
