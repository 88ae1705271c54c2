//! What a script makes final, what `prune` and `dependency` leave, and what clients reach a service by.

use super::{broken, proof, subject, told};

/// A deploy to one host by hand.
const BY_HAND: &str = "let old = running(web, h); let next = start(web, img, h); healthcheck(next);\n\
                       set_weights([[old, 0], [next, 100]]); drain(old); stop(old); record(next);\n";

#[track_caller]
fn holds(script: &str) {
    let proof = proof(&subject(script));
    assert!(proof.findings.is_empty(), "{script}\n{}", told(&proof));
}

#[test]
fn a_commit_in_the_end_does_not_make_up_for_what_was_not_done() {
    let swallowed = format!("let h = fleet[0];\ntry {{ {BY_HAND} }} catch (problem) {{ warn(problem.message); }}\n");
    for script in [swallowed.clone(), format!("{swallowed}commit();"), format!("{swallowed}prune(web, h, 2);\ncommit();")] {
        assert_eq!(broken(&subject(&script)).first(), Some(&("ending".to_owned(), 1)), "{script}");
    }
}

#[test]
fn what_is_made_final_in_a_block_is_that_and_nothing_else() {
    // A command of the outer block on the same host, of which the inner one knows nothing.
    holds(&format!(
        "for h in fleet {{ hook(h, [\"alerts\", \"off\"], #{{ undo: [\"alerts\", \"on\"] }});\n\
         let tried = attempt(|| {{ {BY_HAND} commit(); }});\nif !tried.ok {{ throw tried.error; }}\nhook(h, [\"alerts\", \"on\"]); }}"
    ));
    // Statements and commands of this machine are final too.
    let column = "db.sql(\"ALTER TABLE users ADD COLUMN mail text\", #{ undo: \"ALTER TABLE users DROP COLUMN mail\" });";
    let tag = "hook(\"local\", [\"git\", \"tag\", \"deploying\"], #{ undo: [\"git\", \"tag\", \"-d\", \"deploying\"] });";
    for first in [column, tag] {
        holds(&format!(
            "let db = database(\"postgres://app@db/shop\");\nlet tried = attempt(|| {{ {first} commit(); }});\n\
             if !tried.ok {{ throw tried.error; }}\nfor h in fleet {{ {BY_HAND} }}"
        ));
    }
    // Two services on the same hosts, side by side.
    holds(
        "lock(web, fleet); lock(job, fleet);\nparallel([web, job], |web| { let h = fleet;\n\
         let old = running(web, h); let next = start(web, img, h); healthcheck(next);\n\
         if web.has_proxy { set_weights([[old, 0], [next, 100]]); drain(old); }\nstop(old); record(next); commit(); });",
    );
}

#[test]
fn what_comes_behind_a_last_commit_is_judged_whatever_blocks_came_before() {
    let first = format!(
        "let h = fleet[0];\nhook(h, [\"alerts\", \"off\"], #{{ undo: [\"alerts\", \"on\"] }});\n\
         let tried = attempt(|| {{ {BY_HAND} commit(); }});\nif !tried.ok {{ throw tried.error; }}\nhook(h, [\"alerts\", \"on\"]);\ncommit();\n"
    );
    let worker = "try { let old = running(job, h); let next = start(job, img, h); healthcheck(next); stop(old); record(next); }\n\
                  catch (problem) { warn(problem.message); }";
    assert!(broken(&subject(&format!("{first}{worker}"))).contains(&("ending".to_owned(), 1)));
}

#[test]
fn what_prune_has_deleted_stays_so_and_what_it_could_not_is_a_warning() {
    let given = "given(|| two(web, fleet, |img| rolling::deploy(web, img, fleet)));\n";
    holds(&format!("{given}rolling::deploy(web, img, fleet, #{{ keep: 1 }});"));
    // A release that is removed by hand is not.
    let by_hand = "let gone = releases(web, fleet).filter(|release| release.state != \"running\")[0];\nremove(gone);\nfail(\"no\");";
    assert_eq!(broken(&subject(&format!("{given}try {{ {by_hand} }} catch {{ info(\"well\"); }}")))[0].0, "ending");
}

#[test]
fn what_may_have_been_removed_is_no_reason_to_say_less_than_mixed() {
    holds(
        "given(|| two(web, fleet, |img| rolling::deploy(web, img, fleet)));\n\
         for old in releases(web, fleet[0]).filter(|release| release.state == \"stopped\") { remove(old); }",
    );
}

#[test]
fn a_dependency_stays_where_a_first_deploy_fails() {
    let cache = "let cache = service(\"cache\", #{ port: 6379, publish: 6379, balancer: \"none\", health: tcp() });\n";
    holds(&format!(
        "given(|| ());\n{cache}healthcheck(dependency(cache, image(\"redis:7\"), fleet[0]));\nrolling::deploy(web, img, fleet);"
    ));
}

#[test]
fn a_host_whose_front_is_not_changed_is_found() {
    let given = "fn at(domain) { service(\"web\", #{ port: 8000, replicas: 2, health: http(\"/health\"), domain: domain }) }\n\
                 given(|| rolling::deploy(at(\"old.example.com\"), img, fleet));\nlet now = at(\"new.example.com\");\nlock(now, fleet);\n";
    let each = "for h in fleet { set_weights([[running(now, h), 100]]); }";
    holds(&format!("{given}{each}"));
    let skipping = each.replace("set_weights", "try { set_weights").replace("; }", "; } catch (problem) { warn(problem.message); } }");
    assert_eq!(broken(&subject(&format!("{given}{skipping}"))).first(), Some(&("ending".to_owned(), 1)));
}

#[test]
fn a_release_that_is_alone_has_all_the_traffic_whatever_its_weight() {
    holds(
        "let h = fleet[0];\nlet old = running(web, h); let next = start(web, img, h); healthcheck(next);\nset_weights([[old, 50], [next, 50]]);\n\
         let seen = traffic(next, \"1m\", #{ assume: #{ requests: 1000, errors: 0, p95: 10 } });\n\
         if seen.requests > 0 { set_weights([[old, 0], [next, 100]]); }\ndrain(old); stop(old); record(next);",
    );
}

#[test]
fn a_rule_that_is_broken_where_nothing_goes_wrong_is_told_so_alone() {
    let rule = "invariant(\"room\", |world| !(\"web\" in world.services) || world.services.web.containers.len() <= 5);\n";
    let found = proof(&subject(&format!("{rule}for h in fleet {{ {BY_HAND} }}")));
    assert_eq!(found.findings.len(), 1, "{}", told(&found));
    assert!(found.findings[0].story.faults.is_empty());
}

#[test]
fn what_is_gone_gets_no_traffic_back_where_downtime_was_allowed() {
    // Somebody deletes the old containers while the new ones already serve.
    let one = "let web = service(\"web\", #{ port: 8000, health: http(\"/health\") });\n";
    let script = format!("{one}for h in fleet {{ {} }}", BY_HAND.replace("[next, 100]]", "[next, 100]], #{ allow_downtime: true }"));
    let subject = crate::commands::proof::Subject {
        rules: crate::world::watch::Rules { downtime: false, ..crate::world::watch::Rules::default() },
        ..subject(&script)
    };
    let proof = proof(&subject);
    let misrouted = proof.findings.iter().find(|finding| finding.story.to_string().contains(":deleted"));
    assert!(misrouted.is_none(), "{}", told(&proof));
}
