//! Fixed ports: what a host can publish once, the model publishes once.

use super::lab::Lab;
use crate::{
    executor::{Call, ending::State},
    failure::Failure,
};

const DATABASE: &str = r#"let db = service("db", #{ port: 5432, publish: 5432, health: tcp(), balancer: "none", image: "shop-web" });"#;

fn script(rest: &str) -> String {
    format!("{DATABASE} {rest}")
}

#[test]
fn a_second_container_on_a_published_port_fails_as_it_does_live() {
    let mut lab = Lab::new();
    lab.does(&script("recreate::deploy(db, img, fleet);"), "v1");
    let taken = "port 5432, which db publishes, is taken on 10.0.0.1";
    assert_eq!(lab.fails(&script("start(db, img, fleet[0]);"), "v2"), taken);
    assert_eq!(lab.fails(&script("rolling::deploy(db, img, fleet);"), "v2"), taken);
    let other = script(
        "let other = service(\"other\", #{ port: 80, publish: 5432, health: tcp(), image: \"shop-web\" }); start(other, img, fleet[0]);",
    );
    assert_eq!(lab.fails(&other, "v2"), "port 5432, which other publishes, is taken on 10.0.0.1");
}

#[test]
fn the_ports_that_podlift_picks_are_no_others_to_publish() {
    let mut lab = Lab::new();
    let fixed = r#"let db = service("db", #{ port: 80, publish: 20000, health: tcp(), balancer: "none", image: "shop-web" });"#;
    lab.does(&format!("{fixed} start(db, img, fleet[1]); start(web, img, fleet);"), "v1");
    let message = lab.fails(&format!("{fixed} start(db, img, fleet[0]);"), "v2");
    assert_eq!(message, "port 20000, which db publishes, is taken on 10.0.0.1");
    let message = lab.fails("start(web, img, fleet[0], #{ replicas: 10000 });", "v2");
    assert_eq!(message, "no port from 20000 to 29999 is free");
}

#[test]
fn a_port_is_free_again_when_its_container_has_stopped() {
    let mut lab = Lab::new();
    for version in ["v1", "v2"] {
        lab.does(&script("recreate::deploy(db, img, fleet);"), version);
    }
    lab.does(&script("rolling::deploy(db, img, fleet, #{ order: \"stop-first\", allow_downtime: true });"), "v3");
    let again = script("start(releases(db, fleet).find(|release| release.version == \"v2\"));");
    let told = lab.run(&again, "v4");
    let failure = told.records.into_iter().find_map(|record| record.result.err()).expect("v3 has the port");
    assert!(failure.message.ends_with("could not be started again on 10.0.0.1"), "{failure}");
    assert!(failure.details[0].text.starts_with("port 5432 is taken by shop-db-v3-"), "{:?}", failure.details);
}

#[test]
fn what_is_taken_back_has_its_port_again() {
    let mut lab = Lab::new();
    lab.does(&script("recreate::deploy(db, img, fleet);"), "v1");
    for deploy in
        ["recreate::deploy(db, img, fleet);", "rolling::deploy(db, img, fleet, #{ order: \"stop-first\", allow_downtime: true });"]
    {
        let script = script(deploy);
        let calls = lab.copy().does(&script, "v2").calls;
        let before = lab.fleet();
        for number in 0..calls {
            let mut lab = lab.copy();
            let fault = move |at: usize, _: &Call| (at == number).then(|| Failure::failed("the call failed"));
            let told = lab.run_with(&script, "v2", Box::new(fault));
            if told.ended.is_err() {
                assert!(told.left.is_empty(), "{deploy} at {number}: {:?}", told.left);
                assert!(matches!(told.state, State::AllOld | State::Unchanged), "{deploy} at {number}: {:?}", told.state);
                assert_eq!(lab.fleet(), before, "{deploy} at {number}");
            }
        }
    }
}

#[test]
fn several_containers_on_a_host_are_not_to_publish_one_port() {
    let mut lab = Lab::new();
    lab.does("info(\"shipped\");", "v1");
    let declared = r#"service("db", #{ port: 80, publish: 5432, replicas: 3, health: tcp() });"#;
    let refused = |count: &str| format!("{count} containers of db on a host cannot all publish port 5432");
    assert_eq!(lab.fails(declared, "v1"), refused("3"));
    assert_eq!(lab.fails(&script("start(db, img, fleet[0], #{ replicas: 2 });"), "v1"), refused("2"));
}
