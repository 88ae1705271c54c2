//! Services without a proxy, releases that are brought back, and what a script does with what it has made before it fails.

use super::{Bounds, QUIETLY, SINGLE, broken, proof, subject, told};
use crate::{
    commands::proof::{Unprovable, prove, retell},
    world::watch::{Least, Rules},
};

const MAILER: &str = "let mailer = service(\"mailer\", #{ image: \"shop-web\", balancer: \"none\", replicas: 2, health: command([\"alive\"]) });\n\
                      let old = running(mailer, fleet);\n";

#[test]
fn workers_that_start_and_are_found_healthy_before_the_old_ones_end_hold() {
    let subject = subject(&format!("{MAILER}let next = start(mailer, img, fleet); healthcheck(next); stop(old); record(next);"));
    let proof = proof(&subject);
    assert!(proof.findings.is_empty(), "{}", told(&proof));
}

#[test]
fn a_worker_that_never_becomes_healthy_is_found() {
    for check in ["", "try { healthcheck(next); } catch (problem) { warn(problem.message); }"] {
        let subject = subject(&format!("{MAILER}let next = start(mailer, img, fleet); {check} stop(old); record(next);"));
        let found = proof(&subject);
        let first = found.findings.first().unwrap_or_else(|| panic!("{check:?} is taken for right"));
        assert_eq!((first.breaches[0].rule.as_str(), first.story.faults.len()), ("healthy", 1), "{check:?} {}", told(&found));
        assert!(first.breaches[0].what.contains("has not become healthy"), "{:?}", first.breaches);
    }
}

#[test]
fn a_worker_that_is_started_again_and_does_not_become_healthy_is_found() {
    let given = MAILER.replace("let old", "given(|| { let next = start(mailer, img, fleet); healthcheck(next); record(next); });\nlet old");
    let again = |check: &str| subject(&format!("{given}stop(old); start(old); {check}"));
    let found = proof(&again(""));
    let first = found.findings.first().expect("nobody looks at its health");
    assert_eq!((first.breaches[0].rule.as_str(), first.story.to_string().ends_with(":unhealthy")), ("healthy", true), "{}", told(&found));
    // It was healthy before it was stopped: that says nothing of what it is now.
    let checked_before = proof(&subject(&format!("{given}healthcheck(old); stop(old); start(old);")));
    assert_eq!(checked_before.findings.first().map(|first| first.breaches[0].rule.as_str()), Some("healthy"));
    let held = proof(&again("healthcheck(old);"));
    assert!(held.findings.is_empty(), "{}", told(&held));
}

#[test]
fn a_worker_without_a_check_that_was_found_not_to_run_is_found() {
    let mailer = MAILER.replace("command([\"alive\"])", "no_health()");
    let script = |check: &str| format!("{mailer}let next = start(mailer, img, fleet); {check} stop(old); record(next);");
    let found = proof(&subject(&script("try { healthcheck(next); } catch (problem) { warn(problem.message); }")));
    let first = found.findings.first().expect("it goes on without it");
    assert_eq!((first.breaches[0].rule.as_str(), first.story.faults.len()), ("healthy", 1), "{}", told(&found));
    let held = proof(&subject(&script("healthcheck(next);")));
    assert!(held.findings.is_empty(), "{}", told(&held));
}

#[test]
fn a_script_in_the_end_of_which_no_worker_runs_is_found() {
    let subject = subject(&format!("{MAILER}let next = start(mailer, img, fleet); stop(running(mailer, fleet)); record(next);"));
    let proof = proof(&subject);
    let whole = proof.findings.iter().find(|finding| finding.story.faults.is_empty()).unwrap_or_else(|| panic!("{}", told(&proof)));
    assert_eq!(whole.breaches[0].what, "the run says that it is done, and no container of mailer runs");
}

#[test]
fn the_least_of_workers_is_counted_as_that_of_what_has_traffic_is() {
    let script = format!("{MAILER}stop(old); let next = start(mailer, img, fleet); healthcheck(next); record(next);");
    let held =
        |least| crate::commands::proof::Subject { rules: Rules { min_capacity: Some(least), ..Rules::default() }, ..subject(&script) };
    let found = proof(&held(Least::Percent(50)));
    let first = found.findings.first().expect("none runs in between");
    assert_eq!(first.breaches[0].what, "mailer has 0 healthy containers, and 2 is the least");
    assert!(first.story.faults.is_empty());
    assert!(matches!(prove(&held(Least::Containers(9)), &SINGLE, QUIETLY), Err(Unprovable::NeverMet(what)) if what.contains("wants 9")));
}

#[test]
fn a_host_that_is_forgotten_where_releases_are_brought_back_is_found() {
    let given = "given(|| two(web, fleet, |img| rolling::deploy(web, img, fleet)));\n";
    assert_eq!(broken(&subject(&format!("{given}rollback::previous(web, fleet[0]);")))[0], ("mixed".to_owned(), 0));
    let all = proof(&subject(&format!("{given}rollback::previous(web, fleet);")));
    assert!(all.findings.is_empty(), "{}", told(&all));
}

#[test]
fn what_was_stopped_and_made_by_the_run_is_not_started_again_to_be_deleted() {
    // What failed is kept stopped until the run is taken back.
    let kept = "let old = running(web, fleet); let next = start(web, img, fleet);\n\
                try { healthcheck(next); } catch (problem) { stop(next); throw problem; }\n\
                set_weights([[old, 0], [next, 100]]); drain(old); stop(old); record(next);";
    // One that is tried out and deleted before the deploy; the operator's machine dies while it is.
    let tried = "let smoke = start(web, img, fleet[0], #{ replicas: 1 }); healthcheck(smoke); stop(smoke); remove(smoke);\n\
                 rolling::deploy(web, img, fleet);";
    for script in [kept, tried] {
        let proof = proof(&subject(script));
        assert!(proof.findings.is_empty(), "{}", told(&proof));
    }
}

#[test]
fn a_canary_that_goes_back_is_told_what_it_left_and_not_what_it_did_not_make() {
    let subject = subject(
        "let old = running(web, fleet); let next = start(web, img, fleet); healthcheck(next);\n\
         set_weights([[old, 90], [next, 10]]); pause(\"1m\");\n\
         if !confirm(\"is it fine?\") { set_weights([[old, 100], [next, 0]]); drain(next); stop(next); return; }\n\
         set_weights([[old, 0], [next, 100]]); drain(old); stop(old); record(next);",
    );
    let proof = proof(&subject);
    let first = proof.findings.first().expect("what it has made is left");
    assert!(first.breaches[0].what.contains("has not made what it makes"), "{:?}", first.breaches);
    assert!(
        first.breaches[0].differences.iter().all(|line| line.starts_with("+ ") && line.ends_with("web v2 (new) stopped")),
        "{:?}",
        first.breaches
    );
}

#[test]
fn a_host_that_reboots_does_not_start_what_its_restart_policy_leaves_down() {
    for (restart, serve) in [("no", 2), ("unless-stopped", 4)] {
        let web =
            format!("let web = service(\"web\", #{{ port: 8000, replicas: 2, health: http(\"/health\"), restart: \"{restart}\" }});\n");
        let subject = subject(&format!("{web}given(|| rolling::deploy(web, img, fleet)); hook(fleet[0], \"true\");"));
        let story = "3:hook:reboots".parse().expect("a story");
        let told = retell(&subject, &story, &SINGLE).unwrap_or_else(|error| panic!("{error:?}"));
        let over_time = told.capacity.values().next().expect("web serves");
        assert_eq!(over_time.last().expect("it is counted").1, serve, "{restart}: {over_time:?}");
    }
}

#[test]
fn branches_of_a_script_are_told_side_by_side() {
    let deploy = "rolling::deploy(web, img, one, #{ order: \"stop-first\", allow_downtime: true })";
    let held = |script: &str| crate::commands::proof::Subject {
        rules: Rules { min_capacity: Some(Least::Containers(2)), ..Rules::default() },
        ..subject(script)
    };
    // One after the other, the other host serves.
    let apart = proof(&held(&format!("for one in fleet {{ {deploy}; }}")));
    let whole = |proof: &crate::commands::proof::Proof| proof.findings.iter().any(|finding| finding.story.faults.is_empty());
    assert!(!whole(&apart), "{}", told(&apart));
    let beside = proof(&held(&format!("parallel(fleet, |one| {deploy});")));
    assert!(whole(&beside), "{}", told(&beside));
    // Whatever goes wrong in one branch, what is left is what the run says; each time the same.
    let subject = subject("parallel(fleet, |one| rolling::deploy(web, img, one));");
    let (first, second) = (proof(&subject), proof(&subject));
    assert!(first.findings.is_empty(), "{}", told(&first));
    assert_eq!((first.stories, first.exits), (second.stories, second.exits));
}

#[test]
fn what_a_branch_has_made_final_is_there_in_the_end_and_the_rest_is_as_it_was() {
    let subject = subject("parallel(fleet, |one| { rolling::deploy(web, img, one); commit(); });");
    let proof = proof(&subject);
    assert!(proof.findings.is_empty(), "{}", told(&proof));
    assert!(proof.exits["undone"] > 0, "{:?}", proof.exits);
}

#[test]
fn a_command_is_taken_back_in_the_container_that_it_was_done_in() {
    let subject = subject(&format!(
        "{MAILER}let next = start(mailer, img, fleet[0]); healthcheck(next); hook(next, [\"app\", \"quiet\"], #{{ undo: [\"app\", \"loud\"] }});\n\
         stop(next); hook(fleet[0], \"true\"); stop(old); let other = start(mailer, img, fleet); healthcheck(other); record(other);"
    ));
    let proof = proof(&subject);
    assert!(proof.findings.is_empty(), "{}", told(&proof));
}

#[test]
fn branches_that_ask_what_a_tag_stands_for_do_not_wait_for_each_other() {
    let subject =
        subject("parallel(fleet, |one| { let img = pull(image(\"ghcr.io/team/web:v2\"), one); rolling::deploy(web, img, one); });");
    let proof = prove(&subject, &Bounds { faults: 0, runs: 1, ..SINGLE }, QUIETLY).expect("it works where nothing goes wrong");
    // A turn that nobody gives on is a panic here.
    assert_eq!((proof.stories, proof.exits.get("done")), (1, Some(&1)));
}

#[test]
fn a_helper_that_ends_and_a_command_of_its_own_where_it_was_built_hold() {
    let helper = format!("{MAILER}stop(old); let next = start(mailer, img, fleet); healthcheck(next); stop(next);");
    let built = "let here = build(web, #{ tag: \"v3\", on: fleet[0] }); hook([web, here, fleet[0]], [\"app\", \"check\"]);\nrolling::deploy(web, img, fleet);";
    for script in [helper.as_str(), built] {
        let proof = proof(&subject(script));
        assert!(!proof.findings.iter().any(|finding| finding.story.faults.is_empty()), "{}", told(&proof));
    }
}

#[test]
fn a_service_that_comes_behind_a_proxy_is_counted_by_its_traffic_from_then_on() {
    let given = "let job = service(\"web\", #{ image: \"shop-web\", balancer: \"none\", replicas: 2, health: command([\"alive\"]) });\n\
                 given(|| { let next = start(job, img, fleet); healthcheck(next); record(next); });\n\
                 let old = running(job, fleet); let next = start(web, img, fleet); healthcheck(next); set_weights([[next, 100]]); record(next);";
    let held = crate::commands::proof::Subject {
        rules: Rules { min_capacity: Some(Least::Containers(2)), mixed: false, ..Rules::default() },
        ..subject(given)
    };
    let proof = proof(&held);
    assert!(!proof.by_rule.contains_key("min_capacity"), "{}", told(&proof));
}
