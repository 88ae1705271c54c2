//! `prune` on a modelled fleet: what it deletes, when, and what it never does.

use super::lab::Lab;
use crate::{
    executor::ending::State,
    failure::{Failure, FailureKind},
    op::Op,
};

/// The versions of a service's containers and the references of the images on each host.
fn there(lab: &Lab) -> Vec<String> {
    let hosts = lab.states().into_iter().filter(|(_, state)| !state.containers.is_empty());
    let lines = hosts.map(|(host, state)| {
        let mut versions: Vec<String> =
            state.containers.values().map(|container| format!("{} {}", container.service, container.version)).collect();
        versions.dedup();
        let mut images: Vec<String> = state.images.iter().flat_map(|image| image.references.clone()).collect();
        images.sort();
        format!("{host}: {}; {}", versions.join(", "), images.join(", "))
    });
    lines.collect()
}

/// A fleet on which these versions were deployed, one after the other, and none was pruned.
fn deployed(versions: &[&str]) -> Lab {
    let mut lab = Lab::new();
    for version in versions {
        lab.does("rolling::deploy(web, img, fleet, #{ keep: 100 });", version);
    }
    lab
}

#[test]
fn the_newest_releases_stay_with_their_images() {
    let mut lab = deployed(&["v1", "v2", "v3", "v4"]);
    let told = lab.does("rolling::deploy(web, img, fleet);", "v5");
    assert_eq!(told.state, State::AllNew);
    let kept = "web v3, web v4, web v5; shop-web:v3, shop-web:v4, shop-web:v5";
    assert_eq!(there(&lab), [format!("10.0.0.1: {kept}"), format!("10.0.0.2: {kept}")]);
    let pruned: Vec<_> = told.records.iter().filter(|record| matches!(*record.op, Op::Prune(_))).collect();
    assert_eq!(pruned.iter().map(|record| record.op.describe()).collect::<Vec<_>>(), ["web v2, v1, and 2 images"; 2]);
    assert!(pruned[0].result.as_ref().is_ok_and(|outcome| outcome.assumed.is_some()), "{pruned:?}");
    // The next one begins with what is left, and can be undone.
    assert!(lab.fails("rolling::deploy(web, img, fleet); fail(\"no\");", "v6").contains("no"));
    lab.does("rollback::to(web, fleet, \"v3\");", "v7");
}

#[test]
fn what_runs_or_has_traffic_stays_however_old_it_is() {
    let mut lab = deployed(&["v1", "v2", "v3"]);
    lab.does("rollback::to(web, fleet, \"v1\");", "v4");
    lab.does("prune(web, fleet, 1);", "v5");
    assert_eq!(lab.serving(), ["10.0.0.1: v1 100; 2 run", "10.0.0.2: v1 100; 2 run"]);
    assert!(there(&lab)[0].starts_with("10.0.0.1: web v1, web v3; shop-web:v1, shop-web:v3"), "{:?}", there(&lab));
}

#[test]
fn nothing_is_deleted_before_all_is_final() {
    let mut lab = deployed(&["v1", "v2", "v3"]);
    lab.fails("prune(web, fleet, 1); fail(\"no\");", "v3");
    lab.fails("parallel(fleet, |one| { prune(web, one, 1); commit(); }); fail(\"no\");", "v3");
    lab.does("attempt(|| { prune(web, fleet, 1); fail(\"no\") });", "v3");
    lab.does("prune(web, fleet, 1); undo();", "v3");
    assert!(there(&lab)[0].starts_with("10.0.0.1: web v1, web v2, web v3; "), "{:?}", there(&lab));
    // What was final before the failure was pruned then.
    let told = lab.run("prune(web, fleet, 1); commit(); rolling::deploy(web, img, fleet); fail(\"no\");", "v4");
    assert!(told.ended.is_err() && told.left.is_empty());
    assert_eq!(told.state, State::AllOld);
    assert!(there(&lab)[0].starts_with("10.0.0.1: web v3; shop-web:v3"), "{:?}", there(&lab));
}

#[test]
fn what_an_undo_could_need_stays_until_a_commit() {
    let mut lab = deployed(&["v1", "v2"]);
    lab.does("rolling::deploy(web, img, fleet, #{ keep: 1 });", "v3");
    assert!(there(&lab)[0].starts_with("10.0.0.1: web v2, web v3; "), "{:?}", there(&lab));
    lab.does("rolling::deploy(web, img, fleet, #{ keep: 1 }); commit();", "v4");
    assert_eq!(there(&lab)[0], "10.0.0.1: web v4; shop-web:v4");
}

#[test]
fn branches_ask_for_it_too_and_what_was_asked_last_counts() {
    let mut lab = deployed(&["v1", "v2", "v3", "v4"]);
    lab.does("prune(web, fleet, 1); parallel(fleet, |one| attempt(|| prune(web, one, 3))); prune(web, fleet[1], 2);", "v4");
    let versions = there(&lab);
    assert!(versions[0].starts_with("10.0.0.1: web v2, web v3, web v4; shop-web:v2"), "{versions:?}");
    assert!(versions[1].starts_with("10.0.0.2: web v3, web v4; shop-web:v3"), "{versions:?}");
}

#[test]
fn services_that_share_an_image_name_do_not_lose_each_others_images() {
    let mut lab = Lab::new();
    let both = "let mailer = service(\"mailer\", #{ image: \"shop-web\", health: no_health() }); \
                rolling::deploy(web, img, fleet, #{ keep: 100 }); workers::deploy(mailer, img, fleet, #{ keep: 100 });";
    lab.does(both, "v1");
    for version in ["v2", "v3", "v4"] {
        lab.does("rolling::deploy(web, img, fleet, #{ keep: 1 }); commit();", version);
    }
    assert_eq!(there(&lab)[0], "10.0.0.1: mailer v1, web v4; shop-web:v1, shop-web:v4");
    // An image that this run has brought is somebody's, though no container has it yet.
    let again = "prune(web, fleet, 1); let mailer = service(\"mailer\", #{ image: \"shop-web\", health: no_health() }); \
                 rolling::deploy(web, build(web, #{ tag: \"v4\" }), fleet, #{ keep: 1 }); commit(); \
                 workers::deploy(mailer, img, fleet);";
    lab.does(again, "v5");
}

#[test]
fn a_prune_that_fails_is_a_warning() {
    let mut lab = deployed(&["v1", "v2", "v3", "v4"]);
    let faults: [fn(&Op) -> bool; 2] = [
        |op| matches!(op, Op::Find(find) if find.sought == crate::op::Sought::Releases && find.host.name.as_str() == "10.0.0.1"),
        |op| matches!(op, Op::Prune(prune) if prune.host.name.as_str() == "10.0.0.1"),
    ];
    for fault in faults {
        let away = move |_: usize, call: &crate::executor::Call| {
            fault(&call.op).then(|| Failure::new(FailureKind::Unreachable, "10.0.0.1 does not answer"))
        };
        let told = lab.run_with("prune(web, fleet, 3);", "v4", Box::new(away));
        assert!(told.ended.is_ok());
        assert_eq!(told.said, ["old releases of web on 10.0.0.1 were not deleted: 10.0.0.1 does not answer"]);
        assert!(there(&lab)[0].starts_with("10.0.0.1: web v1, "), "{:?}", there(&lab));
        assert!(there(&lab)[1].starts_with("10.0.0.2: web v2, "), "{:?}", there(&lab));
    }
}

#[test]
fn at_least_one_release_is_kept() {
    let mut lab = deployed(&["v1"]);
    assert!(lab.fails("prune(web, fleet, 0);", "v1").contains("keeps 1 release at least"));
}
