//! Scripts that hold, and scripts and podlifts with a mistake in them that do not.

mod commits;
mod databases;
mod left_out;
mod rules;
mod said;
mod search;
mod strategies;
mod together;
mod traffic;
mod workers;

use std::{ops::ControlFlow, path::Path, sync::Arc};

use super::{Bounds, Desk, Finding, Proof, Subject, Unprovable, explore::Progress, prove, retell};
use crate::{
    commands::exit::Exit,
    executor::{Call, Executor, Outcome, faults::Fault, settle::PATIENCE},
    failure::Failure,
    op::{Compared, Inverse, Op},
    script::{Checked, SecretNames},
    world::watch::{Breach, Rules},
};

/// Two hosts and a service of two replicas.
const PRELUDE: &str = r#"
import "std/blue_green" as blue_green;
import "std/canary" as canary;
import "std/deploy" as deploy;
import "std/gates" as gates;
import "std/recreate" as recreate;
import "std/restart" as restart;
import "std/rollback" as rollback;
import "std/rolling" as rolling;
import "std/workers" as workers;
project("shop");
let p = params(#{ v: "v2" });
let fleet = hosts(["10.0.0.1", "10.0.0.2"]);
let web = service("web", #{ port: 8000, replicas: 2, health: http("/health") });
let job = service("job", #{ image: "shop-web", balancer: "none", replicas: 2 });
fn two(service, fleet, action) {
    for tag in ["one", "two"] {
        let img = build(service, #{ tag: tag });
        ship(img, fleet);
        action.call(img);
        commit();
    }
}
let img = build(web, #{ tag: p.v });
ship(img, fleet);
"#;

/// Tells nobody how far it is.
const QUIETLY: Progress<'static> = &|_| ControlFlow::Continue(());

struct Machine;

impl Executor for Machine {
    fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
        match &*call.op {
            Op::Now(_) => Ok(Outcome::of("2026-01-01T00:00:00Z")),
            Op::ReadEnv(_) => Ok(Outcome::of(None::<String>)),
            Op::CompareVersions(op) => Ok(Outcome::of(Compared::unknown(op.others.len()))),
            other => Err(Failure::failed(format!("{other:?} is not for a test"))),
        }
    }
}

struct NoSecrets;

impl SecretNames for NoSecrets {
    fn has(&self, _: &str) -> bool {
        false
    }
    fn in_file(&self, path: &str) -> Result<Vec<String>, Failure> {
        Err(Failure::failed(format!("{path} does not exist")))
    }
}

fn subject(script: &str) -> Subject {
    let checked = Checked::new("deploy.rhai", Path::new("/nowhere"), &format!("{PRELUDE}{script}"));
    assert!(checked.diagnostics().is_empty(), "{:#?}", checked.diagnostics());
    Subject {
        script: Arc::new(checked),
        arguments: Vec::new(),
        desk: Arc::new(Desk::new(Arc::new(Machine))),
        secrets: Arc::new(NoSecrets),
        rules: Rules::default(),
        patience: PATIENCE,
        around: |inner| inner,
    }
}

const SINGLE: Bounds = Bounds { faults: 1, runs: 100_000, seed: 0, workers: 2, calls: 10_000, steps: 100_000 };

#[track_caller]
fn proof(subject: &Subject) -> Proof {
    prove(subject, &SINGLE, QUIETLY).expect("it works where nothing goes wrong")
}

fn told(proof: &Proof) -> String {
    use std::fmt::Write;
    let mut text = format!("{} of {} stories broken, {:?}\n", proof.broken, proof.stories, proof.exits);
    for finding in &proof.findings {
        let _ = writeln!(text, "\n{} -> {:?} {:?} {:#?}", finding.story, finding.exit, finding.why, finding.breaches);
        for step in &finding.steps {
            let _ = writeln!(
                text,
                "  {:>8} {:?} {} {:?}",
                step.at.to_string(),
                step.host.as_ref().map(ToString::to_string),
                step.key,
                step.what
            );
        }
    }
    text
}

/// The rules that a script breaks, with how many faults the shortest story of each takes.
#[track_caller]
fn broken(subject: &Subject) -> Vec<(String, usize)> {
    let proof = proof(subject);
    assert!(!proof.findings.is_empty(), "nothing is found in {} stories", proof.stories);
    proof.findings.iter().map(|finding| (finding.breaches[0].rule.clone(), finding.story.faults.len())).collect()
}

#[test]
fn a_rolling_deploy_holds_whatever_goes_wrong_once() {
    let proof = proof(&subject("rolling::deploy(web, img, fleet);"));
    assert!(proof.findings.is_empty(), "{}", told(&proof));
    assert!(proof.all_single && proof.stories > 200, "{}", proof.stories);
    let of = |exit: &str| proof.exits.get(exit).copied().unwrap_or_default();
    assert!(of("done") > 50 && of("undone") > 20 && of("mixed") > 5, "{:?}", proof.exits);
}

const BY_HAND: &str = r"
for one in fleet {
    let old = running(web, one);
    let next = start(web, img, one);
    healthcheck(next);
    set_weights([[old, 0], [next, 100]]);
    drain(old);
    stop(old);
}";

/// The same on one host: fewer stories.
fn on_one_host() -> String {
    BY_HAND.replace("in fleet", "in [fleet[0]]")
}

#[test]
fn the_same_written_by_hand_holds_too() {
    let proof = proof(&subject(&on_one_host()));
    assert!(proof.findings.is_empty(), "{}", told(&proof));
}

#[test]
fn a_caught_failure_that_leaks_is_found() {
    let script = on_one_host().replace("    healthcheck(next);\n", "    try { healthcheck(next); } catch (problem) { continue; }\n");
    assert!(broken(&subject(&script)).contains(&("ending".into(), 1)));
}

#[test]
fn hosts_that_are_skipped_in_silence_are_found() {
    let script = BY_HAND.replace("for one in fleet {", "for one in fleet { attempt(|| {").replace("stop(old);\n}", "stop(old);\n}); }");
    assert!(broken(&subject(&script)).contains(&("mixed".into(), 1)));
}

#[test]
fn a_host_that_is_always_skipped_needs_no_fault_to_be_found() {
    let script = |rules: &str| format!("{rules}\ngiven(|| rolling::deploy(web, img, fleet));\n{}", on_one_host());
    let bounds = Bounds { faults: 0, ..SINGLE };
    let mixed = prove(&subject(&script("")), &bounds, QUIETLY).expect("it works");
    let Breach { rule, what, .. } = &mixed.findings[0].breaches[0];
    assert_eq!(rule, "mixed");
    let told = "the run says that it is done, and the fleet is mixed: web: v2 serves on 10.0.0.1; before serves on 10.0.0.2";
    assert_eq!(what, told);
    assert_eq!(mixed.by_rule.get("mixed"), Some(&1));
    let one_each = "rolling::deploy(web, img, [fleet[0]]);\nlet other = build(web, #{ tag: \"v3\" });\nship(other, fleet);\n\
                    rolling::deploy(web, other, [fleet[1]]);";
    assert_eq!(prove(&subject(one_each), &bounds, QUIETLY).expect("it works").findings[0].breaches[0].rule, "mixed", "both are new");
    let joined = "given(|| rolling::deploy(web, img, [fleet[0]]));\nrolling::join(web, [fleet[0]], fleet[1]);";
    assert!(prove(&subject(joined), &bounds, QUIETLY).expect("it works").findings.is_empty(), "both have the same");
    assert!(prove(&subject(&script("invariants(#{ mixed: false });")), &bounds, QUIETLY).expect("it works").findings.is_empty());
}

#[test]
fn what_runs_without_traffic_in_the_end_is_told() {
    let idle = |script: &str| prove(&subject(script), &Bounds { faults: 0, ..SINGLE }, QUIETLY).expect("it works").idle;
    assert_eq!(idle(&on_one_host().replace("    stop(old);\n", "")), ["2 × web before on 10.0.0.1"]);
    assert!(idle(&on_one_host()).is_empty());
}

#[test]
fn hosts_that_nothing_is_done_on_and_what_is_in_no_history_are_told() {
    let notes = |script: &str| {
        let proof = prove(&subject(script), &Bounds { faults: 0, ..SINGLE }, QUIETLY).expect("it works");
        (proof.untouched.iter().map(ToString::to_string).collect::<Vec<_>>(), proof.unrecorded)
    };
    assert_eq!(notes("rolling::deploy(web, img, fleet);"), (vec![], vec![]));
    let apart = "let more = [host(\"10.0.0.3\"), host(\"10.0.0.4\")];\nfor i in 0..more.len - 1 { let h = more[i]; ship(img, h); rolling::deploy(web, img, h); }";
    assert_eq!(notes(apart).0, ["10.0.0.4"]);
    assert_eq!(notes(BY_HAND).1, ["web v2 on 10.0.0.1", "web v2 on 10.0.0.2"]);
}

#[test]
fn each_rule_that_is_broken_has_its_story_before_others_have_a_second_one() {
    // Four rules of its own are broken by every story, and one by few.
    let always = [0, 1, 2].map(|number| format!("invariant(\"rule {number}\", |world| false);\n")).concat();
    let script = on_one_host().replace("    healthcheck(next);\n", "    try { healthcheck(next); } catch (problem) { continue; }\n");
    let proof = proof(&subject(&format!("{always}{script}")));
    let first = proof.findings.iter().map(|finding| finding.breaches[0].rule.as_str()).collect::<Vec<_>>();
    assert!(first.contains(&"ending") || first.contains(&"mixed"), "{first:?}");
    assert!(proof.by_rule["rule 2"] > proof.by_rule["ending"], "{:?}", proof.by_rule);
}

#[test]
fn a_story_tells_what_the_script_says_and_the_call_whose_guard_met_the_fault() {
    let start = "    let next = start(web, img, one);\n";
    let caught = "    let next = ();\n    try { next = start(web, img, one); } catch (problem) { warn(\"skipped\"); continue; }\n";
    let proof = proof(&subject(&BY_HAND.replace(start, caught)));
    let steps = |finding: &Finding| finding.steps.iter().map(|step| format!("{:?}", step.what)).collect::<Vec<_>>();
    let all: Vec<Vec<String>> = proof.findings.iter().map(steps).collect();
    let tells = |steps: &Vec<String>| {
        let failed = steps.iter().position(|what| what.starts_with("Op(\"start ") && what.contains("Some("));
        failed.is_some_and(|index| steps.get(index + 1).is_some_and(|what| what == "Said(\"skipped\", true)"))
    };
    assert!(all.iter().any(tells), "{all:#?}");
}

#[test]
fn a_story_tells_where_another_machine_goes_on() {
    let subject = subject(&on_one_host());
    for (then, command) in [("", "undo"), (", then resume", "resume")] {
        let story = format!("4:start:operator-dies-after-outcome{then}").parse().expect("a story");
        let told = retell(&subject, &story, &SINGLE).unwrap_or_else(|error| panic!("{error:?}"));
        let goes_on = format!("GoesOn {{ command: {command:?}, elsewhere: true }}");
        assert!(told.steps.iter().any(|step| format!("{:?}", step.what) == goes_on), "{:#?}", told.steps);
    }
}

#[test]
fn a_stop_before_the_weights_a_forgotten_drain_or_check_do_not_get_far() {
    let check = "    healthcheck(next);\n";
    let drain = "    drain(old);\n";
    let weights = "    set_weights([[old, 0], [next, 100]]);\n";
    for (mistake, why) in [
        (BY_HAND.replace(check, ""), "was not health-checked"),
        (BY_HAND.replace(drain, ""), "was not drained"),
        (
            BY_HAND.replace(&format!("{weights}{drain}"), "").replace("stop(old);", "stop(old);\n set_weights([[next, 100]]);"),
            "still gets traffic",
        ),
    ] {
        let Err(Unprovable::Fails(told)) = prove(&subject(&mistake), &SINGLE, QUIETLY) else { panic!("it holds: {mistake}") };
        assert!(told.message.contains(why) && told.line.is_some(), "{told:?}");
    }
}

#[test]
fn once_all_trouble_has_ended_containers_are_well() {
    let subject = subject("rolling::deploy(web, img, fleet);");
    let proof = prove(&subject, &Bounds { faults: 2, runs: 900, ..SINGLE }, QUIETLY).expect("it works");
    let of_ill = |finding: &Finding| finding.story.faults.iter().any(|planned| matches!(planned.fault, Fault::Unhealthy | Fault::Flaps));
    assert!(!proof.findings.iter().any(of_ill) && proof.exits["mixed"] > 5, "{}", told(&proof));
}

#[test]
fn a_commit_within_an_attempt_is_not_one_of_the_fleet() {
    let script = on_one_host().replace("    healthcheck(next);", "    attempt(|| { pause(\"1s\"); commit(); });\n    healthcheck(next);");
    let proof = proof(&subject(&script));
    assert!(proof.findings.is_empty() && proof.exits["undone"] > 0, "{}", told(&proof));
}

#[test]
fn a_metric_is_missing_too_high_and_too_low() {
    let script = |limit: &str| {
        let script = format!("let value = prometheus(\"http://10.0.0.9:9090\").query(\"up\");\nif value {limit} {{ throw \"bad\"; }}");
        proof(&subject(&script)).exits.remove("done").unwrap_or_default()
    };
    let (never, high, low) = (script("== 0.5"), script("> 5.0"), script("< -5.0"));
    assert_eq!((high + 1, low + 1), (never, never), "each limit is met by one of the faults");
}

#[test]
fn downtime_that_a_script_allows_is_found_where_it_is_not_to_be() {
    let allowed = "#{ allow_downtime: true }";
    let script = on_one_host().replace("    drain(old);\n", "").replace("stop(old)", &format!("stop(old, {allowed})"));
    let strict = Subject { rules: Rules { downtime: false, ..Rules::default() }, ..subject(&script) };
    assert_eq!(broken(&strict)[0], ("dropped".into(), 0));
    let unchecked = on_one_host().replace("    healthcheck(next);\n", "").replace("[next, 100]]", &format!("[next, 100]], {allowed}"));
    let strict = Subject { rules: Rules { downtime: false, ..Rules::default() }, ..subject(&unchecked) };
    assert!(broken(&strict).contains(&("healthy".into(), 1)));
}

#[test]
fn a_loop_that_never_ends_is_found_and_no_hang() {
    for endless in ["while true { }", "loop { pause(\"1s\"); }"] {
        let Err(Unprovable::Fails(_)) = prove(&subject(endless), &Bounds { calls: 500, ..SINGLE }, QUIETLY) else { panic!("it ends") };
    }
}

#[test]
fn a_podlift_that_settles_nothing_is_found() {
    let broken_podlift = Subject { patience: crate::model::Period::default(), around: deaf_to_settling, ..subject(&on_one_host()) };
    assert!(!proof(&broken_podlift).findings.is_empty());
}

/// Forgets what a start that was lost may have made: what settling is for.
fn deaf_to_settling(inner: Arc<dyn Executor>) -> Arc<dyn Executor> {
    struct Unsettled(Arc<dyn Executor>);
    impl Executor for Unsettled {
        fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
            self.0.perform(call).map_err(|failure| Failure { lost: false, ..failure })
        }
    }
    Arc::new(Unsettled(inner))
}

#[test]
fn a_podlift_that_forgets_an_inverse_is_found() {
    fn forgetful(inner: Arc<dyn Executor>) -> Arc<dyn Executor> {
        struct Forgetful(Arc<dyn Executor>);
        impl Executor for Forgetful {
            fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
                let outcome = self.0.perform(call)?;
                let keeps = !matches!(*call.op, Op::Start(_));
                Ok(Outcome { inverse: if keeps { outcome.inverse } else { Inverse::default() }, ..outcome })
            }
        }
        Arc::new(Forgetful(inner))
    }
    let forgets = Subject { around: forgetful, ..subject(&on_one_host()) };
    assert!(broken(&forgets).contains(&("ending".into(), 1)));
}

#[test]
fn a_podlift_that_says_mixed_where_all_is_as_it_was_is_found() {
    /// Sees nothing of what is there in the end.
    fn blind(inner: Arc<dyn Executor>) -> Arc<dyn Executor> {
        struct Blind(Arc<dyn Executor>);
        impl Executor for Blind {
            fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
                match &*call.op {
                    Op::Find(_) if call.key.as_str().starts_with("end/") => Err(Failure::failed("it is not seen")),
                    _ => self.0.perform(call),
                }
            }
        }
        Arc::new(Blind(inner))
    }
    let proof = proof(&Subject { around: blind, ..subject(&on_one_host()) });
    let breach = &proof.findings[0].breaches[0];
    assert_eq!(breach.what, "the run says that it is mixed, and there is what there was before");
}

#[test]
fn a_story_is_told_again_as_it_was() {
    let subject =
        subject(&on_one_host().replace("    healthcheck(next);\n", "    try { healthcheck(next); } catch (problem) { continue; }\n"));
    let proof = proof(&subject);
    let first = &proof.findings[0];
    let again = retell(&subject, &first.story.to_string().parse().expect("a story"), &SINGLE).expect("it works");
    assert_eq!((&again.breaches, again.steps.len()), (&first.breaches, first.steps.len()));
}

/// A container that somebody deletes by hand is missing in the end, and that is all.
#[test]
fn what_somebody_else_deletes_is_not_missed_by_the_judge() {
    let proof = proof(&subject(&on_one_host()));
    assert!(proof.findings.is_empty(), "{}", told(&proof));
    for (story, exit) in [("6:check:deleted", Exit::Undone), ("7:find:deleted", Exit::Mixed)] {
        let told = retell(&subject(&on_one_host()), &story.parse().expect("a story"), &SINGLE).expect("it comes up");
        assert!(told.breaches.is_empty() && told.exit == Some(exit), "{story}: {told:#?}");
    }
}

#[test]
fn what_somebody_else_deletes_is_not_missed_in_what_serves() {
    let script = "given(|| rolling::deploy(web, img, fleet[0]));\nfor one in running(web, fleet[0]).each() {\n\
                  let before = weights(web, fleet[0]); drain(one); stop(one); healthcheck(start(one)); set_weights(before);\n}";
    let proof = prove(&subject(script), &Bounds { faults: 2, runs: 4000, ..SINGLE }, QUIETLY).expect("it works");
    let broken: Vec<_> = proof.findings.iter().filter(|finding| finding.story.to_string().contains(":deleted")).collect();
    assert!(broken.is_empty(), "{}", told(&proof));
}

/// A restart that ends with fewer containers than it began with does not say that it is done.
#[test]
fn a_restart_notices_that_somebody_deleted_a_container() {
    let script = "given(|| rolling::deploy(web, img, fleet)); restart::one_by_one(web, fleet);";
    let told = retell(&subject(script), &"12[0]:find:deleted".parse().expect("a story"), &SINGLE).expect("it comes up");
    assert!(told.breaches.is_empty() && told.exit == Some(Exit::Mixed), "{told:#?}");
}

/// Its second try finds its own lease, which nobody takes away from a run that is at work.
#[test]
fn a_lease_whose_answer_was_lost_is_the_runs_own() {
    let story = "3:lock:lost-after, 3:lock#2:locked";
    let told = retell(&subject("rolling::deploy(web, img, fleet, #{ batch: \"100%\" });"), &story.parse().expect("a story"), &SINGLE);
    let told = told.expect("it comes up");
    assert!(told.breaches.is_empty() && told.exit == Some(Exit::Done), "{told:#?}");
}

/// The next process cannot ask the host that the call was for: the call stays in doubt, and whoever undoes the run asks again.
#[test]
fn what_nobody_could_be_asked_about_is_taken_back_once_the_host_is_there_again() {
    let story = "4:start:operator-dies-before-outcome, 4:start#2:gone, then resume";
    let told = retell(&subject(&on_one_host()), &story.parse().expect("a story"), &SINGLE).expect("it works");
    assert!(told.breaches.is_empty() && told.exit == Some(Exit::Mixed), "{told:#?}");
}

/// A remove that an earlier process asked for, and whose host is gone when the next one asks again: what it was to delete may be
/// gone, so nobody says that everything was undone.
#[test]
fn what_was_to_be_deleted_and_cannot_be_looked_for_is_not_said_to_be_there() {
    let subject = subject("let host = fleet[0]; let old = running(web, host); rolling::deploy(web, img, [host]); commit(); remove(old);");
    let dies = |key: usize, lock: usize| format!("{key}:remove:operator-dies-before-outcome, before/1:lock#{lock}:gone, then resume");
    let mut stories = (10..30).flat_map(|key| (1..6).map(move |lock| dies(key, lock).parse().expect("a story")));
    let told = stories.find_map(|story| retell(&subject, &story, &SINGLE).ok()).expect("one comes up");
    assert!(told.breaches.is_empty() && told.exit == Some(Exit::Mixed), "{told:#?}");
}

/// What a lost start made only its host knows: where that is gone for good too, the undo of later asks it.
#[test]
fn what_a_lost_start_made_is_taken_back_once_its_host_is_there_again() {
    let told = retell(
        &subject("recreate::deploy(web, img, fleet);"),
        &"7[0]:start:lost-after, 7[0]:start#2:gone".parse().expect("a story"),
        &SINGLE,
    );
    let told = told.expect("it comes up");
    assert!(told.breaches.is_empty() && told.exit == Some(Exit::Mixed), "{told:#?}");
}

/// An inverse that failed is tried again when those of older calls have given the traffic back already.
#[test]
fn an_undo_that_is_gone_on_with_leads_to_the_same_weights() {
    for (script, story) in [
        (
            "rolling::deploy(web, img, fleet, #{ order: \"stop-first\", allow_downtime: true });",
            "17:record:operator-dies-before-intent, undo/9.0:set_weights:fails",
        ),
        ("canary::deploy(web, img, fleet, #{ steps: [5, 50] });", "14[1]:set_weights:gone, undo/11[0].0:set_weights:fails"),
        (
            "given(|| rolling::deploy(web, img, fleet)); restart::one_by_one(web, fleet);",
            "24:healthcheck:crashes, undo/11.0:set_weights:fails",
        ),
        // The host comes back when its containers could not be started again, and before its traffic is given back.
        ("recreate::deploy(web, img, fleet);", "10[1]:set_weights:reboots, 10[1]:set_weights#7:operator-dies-before-effect"),
    ] {
        let told = retell(&subject(script), &story.parse().expect("a story"), &SINGLE).expect("it comes up");
        assert!(told.breaches.is_empty(), "{story}: {:?}", told.breaches);
    }
}

/// The second try finds the change done, and what takes it back is known from before the first.
#[test]
fn what_was_done_although_its_answer_was_lost_is_taken_back() {
    let subject = subject("rolling::deploy(web, img, fleet);");
    for story in [
        "7:set_weights:lost-after, 12[0]:start:operator-dies-before-effect",
        "16:stop:lost-after, 17:record:operator-dies-after-outcome",
        // The second try fails, and only the host knows what the first one made.
        "12[0]:start:lost-after, 12[0]:start#2:fails",
        // The second undo finds nothing left of what the first one deleted, and nobody heard of.
        "5[0]:start:operator-dies-before-outcome, undo/5[0].2:remove:operator-dies-before-outcome",
    ] {
        let again = retell(&subject, &story.parse().expect("a story"), &SINGLE).expect("it comes up");
        assert!(again.breaches.is_empty(), "{story}: {:?}", again.breaches);
    }
}
