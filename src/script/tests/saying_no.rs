//! Closures of `stdlib/` that return `false`, as `confirm` does when a person says no.

use super::lab::Lab;

/// A call whose closure says `ANSWER`, and what the run fails with where that is no.
const CALLS: &[(&str, &str)] = &[
    ("blue_green::deploy(web, img, fleet, #{ test: |green| ANSWER });", "the test says no: web v3 gets no traffic"),
    ("deploy::run(web, fleet, #{ image: img, verify: |release| ANSWER });", "verify says no to web v3"),
    ("deploy::run(web, fleet, #{ image: img, before: [|img| ANSWER] });", "a step of \"before\" says no"),
    ("deploy::run(web, fleet, #{ image: img, after: [|release| ANSWER] });", "a step of \"after\" says no"),
    (
        "deploy::run(web, fleet, #{ image: img, strategy: |service, img, hosts| { rolling::deploy(service, img, hosts); ANSWER } });",
        "the strategy says no to web v3",
    ),
    ("rollback::previous(web, fleet, #{ after: |back| ANSWER });", "what comes after says no: web does not go back to v1"),
    (
        "migrations::before(web, img, fleet, #{ migrate: \"up\", undo: \"down\", deploy: |service, img, fleet| ANSWER });",
        "the deploy says no to web v3",
    ),
    (
        "change::begin(database(\"postgres:///shop\"), \"mail\", #{ services: [[web, img]], fleet: fleet, \
         expand: \"ALTER TABLE users ADD COLUMN mail text\", deploy: |service, img, fleet| ANSWER });",
        "the deploy says no to web v3",
    ),
    ("import \"std/policy\" as policy; policy::all(#{ on_failure: \"undo\" }, || ANSWER);", "the work says no"),
];

fn serving_v2() -> Lab {
    let mut lab = Lab::serving_v1();
    lab.does("rolling::deploy(web, img, fleet);", "v2");
    lab
}

#[test]
fn a_closure_that_says_no_undoes_the_run() {
    let found = serving_v2();
    for (call, message) in CALLS {
        assert_eq!(found.copy().fails(&call.replace("ANSWER", "false"), "v3"), *message, "{call}");
    }
}

#[test]
fn a_closure_that_says_anything_else_goes_on() {
    let found = serving_v2();
    for (call, _) in CALLS {
        for answer in ["true", "()", "0", "\"\"", "running(web, fleet)"] {
            found.copy().does(&call.replace("ANSWER", answer), "v3");
        }
    }
}

#[test]
fn a_part_that_says_no_is_left_out() {
    let script = "import \"std/policy\" as policy;
        let left_out = policy::part(#{ on_failure: \"skip\" }, fleet[0], 0, || { healthcheck(start(web, img, fleet[0])); false });
        print(`left out: ${left_out}`);";
    let mut lab = Lab::serving_v1();
    assert!(lab.does(script, "v2").said.contains(&"left out: 1".into()));
    assert_eq!(lab.serving(), ["10.0.0.1: v1 100; 2 run", "10.0.0.2: v1 100; 2 run"]);
}
