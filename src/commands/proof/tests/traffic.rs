//! What the traffic loses in a story, and how many containers serve meanwhile.

use super::{BY_HAND, QUIETLY, SINGLE, on_one_host, proof, subject};
use crate::{
    commands::{
        exit::Exit,
        proof::{Bounds, Finding, prove, retell},
    },
    model::ServiceName,
};

#[track_caller]
fn told(script: &str, story: &str) -> Finding {
    retell(&subject(script), &story.parse().expect("a story"), &SINGLE).unwrap_or_else(|error| panic!("{error:?}"))
}

/// Requests that were dropped, refused and misrouted, in whole numbers.
fn lost(finding: &Finding) -> [u64; 3] {
    let counts = finding.traffic[&ServiceName::new("web").expect("valid")].rounded();
    ["dropped", "refused", "misrouted"].map(|what| counts[what].as_u64().expect("a count"))
}

/// How many containers served, one after the other, and the seconds between the first two changes.
fn capacity(finding: &Finding) -> (Vec<usize>, Option<u64>) {
    let over_time = &finding.capacity[&ServiceName::new("web").expect("valid")];
    let between =
        over_time.get(1).zip(over_time.get(2)).map(|((lost, _), (back, _))| (back.as_milliseconds() - lost.as_milliseconds()) / 1000);
    (over_time.iter().map(|(_, count)| *count).collect(), between)
}

#[test]
fn nothing_is_lost_where_nothing_goes_wrong() {
    let finding = told("rolling::deploy(web, img, fleet);", "");
    assert_eq!((lost(&finding), capacity(&finding)), ([0, 0, 0], (vec![4], None)));
    let answered = &finding.traffic[&ServiceName::new("web").expect("valid")].answered;
    assert!(answered["before"] > 100.0 && answered["v2"] > 100.0, "{answered:?}");
}

#[test]
fn a_service_that_no_proxy_ever_gives_traffic_is_found() {
    let start = "let next = start(web, img, fleet); healthcheck(next); record(next);";
    let whole = |script: &str| {
        let proof = prove(&subject(script), &Bounds { faults: 0, ..SINGLE }, QUIETLY);
        let proof = proof.unwrap_or_else(|error| panic!("{script}: {error:?}"));
        proof.findings.into_iter().flat_map(|finding| finding.breaches).map(|breach| breach.what).collect::<Vec<_>>()
    };
    assert_eq!(
        whole(&format!("given(|| {{}});\n{start}")),
        ["the run says that it is done, and no proxy sends web any traffic: no set_weights gives it some"]
    );
    // One that waits beside what serves is a standby, and one that was tried out is gone.
    let beside = "given(|| rolling::deploy(web, img, fleet)); let next = start(web, img, fleet); healthcheck(next);";
    for script in [beside, "given(|| {}); let next = start(web, img, fleet); healthcheck(next); stop(next); remove(next);"] {
        assert_eq!(whole(script), [""; 0], "{script}");
    }
}

/// Who allows downtime allows a gap, and no end in which nothing serves.
#[test]
fn a_release_that_never_becomes_healthy_and_gets_the_traffic_is_found() {
    let script = "let old = running(web, fleet); drain(old, #{ allow_downtime: true }); stop(old);\n\
                  let next = start(web, img, fleet);\ntry { healthcheck(next); } catch (problem) { warn(problem.message); }\n\
                  set_weights([[next, 100]], #{ allow_downtime: true }); record(next);";
    let found = proof(&subject(script));
    let first = found.findings.first().expect("it serves and is not healthy");
    assert_eq!((first.breaches[0].rule.as_str(), first.story.faults.len()), ("healthy", 1));
    assert!(first.breaches[0].what.contains("has not become healthy"), "{:?}", first.breaches);
}

#[test]
fn a_release_that_is_noted_and_gets_no_traffic_is_found() {
    let script = "let old = running(web, fleet); let next = start(web, img, fleet); healthcheck(next);\n\
                  if old == () { set_weights([[next, 100]]); } else { set_weights([[old, 100], [next, 0]]); drain(next); stop(next); }\n\
                  record(next);";
    let found = proof(&subject(script));
    let first = found.findings.first().expect("the old release serves");
    let what = "the run says that it is done and has noted web v2 as deployed, and another release serves";
    assert_eq!((first.breaches[0].what.as_str(), first.story.faults.len()), (what, 0));
}

#[test]
fn a_release_that_has_died_meanwhile_gets_no_more_of_the_traffic() {
    let script = |downtime: &str| {
        format!(
            "let old = running(web, fleet); let next = start(web, img, fleet); healthcheck(next);\n\
             if old == () {{ set_weights([[next, 100]]); record(next); return; }}\n\
             set_weights([[old, 50], [next, 50]]); pause(\"30m\"); set_weights([[old, 0], [next, 100]]{downtime});\n\
             drain(old); stop(old); record(next);"
        )
    };
    let found = told(&script(""), "8:pause:crashes");
    assert_eq!(found.exit, Some(Exit::Undone), "{:?}", found.why);
    let why = found.why.unwrap_or_default();
    assert!(why.contains("web v2 on 10.0.0.1 must not get more traffic: no container of it is healthy"), "{why}");
    assert!(found.breaches.is_empty(), "{:?}", found.breaches);
    let allowed = told(&script(", #{ allow_downtime: true }"), "8:pause:crashes");
    assert_eq!(allowed.exit, Some(Exit::Done), "{:?}", allowed.why);
}

#[test]
fn a_release_that_dies_in_a_soak_without_gates_is_taken_back() {
    let found = told("blue_green::deploy(web, img, fleet, #{ soak: \"1m\" });", "9:pause:crashes");
    assert_eq!(found.exit, Some(Exit::Undone), "{:?}", found.why);
    assert!(found.breaches.is_empty() && found.there.values().flatten().all(|line| !line.contains("(new)")), "{found:#?}");
    // Without a soak nobody waits, and nothing is looked at twice.
    let at_once = told("blue_green::deploy(web, img, fleet);", "");
    assert_eq!(at_once.records.iter().filter(|record| record.op.verb() == "healthcheck").count(), 2);
}

/// A hundred requests a second come to its proxy, of which thirty are in flight.
#[test]
fn a_host_that_reboots_answers_nothing_for_so_long() {
    let finding = told(BY_HAND, "5:healthcheck:reboots");
    assert_eq!((lost(&finding), capacity(&finding)), ([30, 2000, 0], (vec![4, 2, 4], Some(20))));
}

#[test]
fn containers_that_fall_ill_get_traffic_all_the_same() {
    let finding = told("healthcheck(running(web, fleet[0]));\npause(\"1m\");\nrolling::deploy(web, img, fleet);", "4:healthcheck:flaps");
    assert_eq!((lost(&finding), capacity(&finding)), ([0, 0, 500], (vec![4, 2, 4], Some(5))));
}

#[test]
fn what_a_drain_cuts_is_dropped_and_what_is_stopped_without_one() {
    let cut = told(&on_one_host(), "7:drain:never-ends");
    assert_eq!(lost(&cut), [1, 0, 0]);
    let at_once = told("stop(running(web, fleet[0]), #{ allow_downtime: true });\npause(\"10s\");\nrolling::deploy(web, img, fleet);", "");
    let [dropped, refused, misrouted] = lost(&at_once);
    assert!(dropped == 30 && refused >= 1000 && misrouted == 0, "{dropped} {refused} {misrouted}");
}

#[test]
fn who_recovers_while_something_takes_long_is_counted_until_then() {
    let finding = told(
        "healthcheck(running(web, fleet[0]));\nship(img, fleet);\nrolling::deploy(web, img, fleet);",
        "4:healthcheck:flaps, 5[0]:ship:slow",
    );
    assert_eq!((lost(&finding), capacity(&finding)), ([0, 0, 500], (vec![4, 2, 4], Some(5))));
}

#[test]
fn a_rule_about_requests_knows_those_from_before_it_was_said() {
    let script = "stop(running(web, fleet[0]), #{ allow_downtime: true });\npause(\"5s\");\n\
                  invariant(\"none is dropped\", |world| world.services.web.requests.dropped == 0);\nrolling::deploy(web, img, fleet);";
    let searched = prove(&subject(script), &Bounds { faults: 0, ..SINGLE }, QUIETLY).expect("it works");
    assert_eq!(searched.by_rule.keys().collect::<Vec<_>>(), ["none is dropped"]);
    assert_eq!(told(script, "").breaches.len(), 1, "and so it is when it is told again");
}

#[test]
fn an_invariant_is_about_requests_too() {
    let rule = "invariant(\"few are lost\", |world| world.services.web.requests.refused + world.services.web.requests.dropped <= 1000);\n";
    let script = format!("{rule}{BY_HAND}");
    let broken = told(&script, "5:healthcheck:reboots");
    assert_eq!(broken.breaches.iter().map(|breach| breach.rule.as_str()).collect::<Vec<_>>(), ["few are lost"]);
    assert!(told(&script, "5:healthcheck:unhealthy").breaches.is_empty());
}

#[test]
fn a_drain_that_may_take_less_than_the_longest_request_loses_what_is_still_in_flight() {
    let script = |pause: &str, timeout: &str| {
        on_one_host().replace("drain(old);", &format!("pause(\"{pause}\"); drain(old, #{{ timeout: \"{timeout}\" }});"))
    };
    let dropped = |pause: &str, timeout: &str| lost(&told(&script(pause, timeout), ""))[0];
    assert!(dropped("1ms", "1s") > 0);
    assert_eq!((dropped("1ms", "30s"), dropped("11s", "1s"), dropped("6s", "5s")), (0, 0, 0));
}
