//! What a script says of its own tests.

use std::sync::Arc;

use super::{PRELUDE, QUIETLY, SINGLE, on_one_host, proof, subject, told};
use crate::{
    commands::proof::{Bounds, Subject, Unprovable, prove},
    executor::faults::What,
    script::Checked,
};

#[test]
fn a_second_given_is_refused() {
    let script = format!("given(|| rolling::deploy(web, img, fleet));\ngiven(|| fail(\"never seen\"));\n{}", on_one_host());
    let Err(Unprovable::Fails(told)) = prove(&subject(&script), &SINGLE, QUIETLY) else { panic!("it is passed over") };
    assert!(told.message.contains("`given` was said before") && told.line.is_some(), "{told:?}");
}

#[test]
fn a_script_says_what_its_tests_begin_with() {
    let script = r#"
given(|| {
    for one in ["v1", "v2"] {
        let img = build(web, #{ tag: one });
        ship(img, fleet);
        rolling::deploy(web, img, fleet);
        commit();
    }
});
ensure(running(web, fleet).version == "v2", "the second is the one that serves");
ensure(releases(web, fleet).len() == 2, "and the first is there too");
"#;
    let proof = proof(&subject(script));
    assert!(proof.findings.is_empty(), "{}", told(&proof));
}

#[test]
fn a_script_has_invariants_of_its_own() {
    let of_its_own = |holds: &str| {
        let script = format!("invariant(\"two serve\", |world| {holds});\n{}", on_one_host());
        prove(&subject(&script), &Bounds { faults: 0, ..SINGLE }, QUIETLY).expect("it works")
    };
    let holds = of_its_own("world.services.web.serving >= 2 && world.hosts[\"10.0.0.1\"].reachable");
    assert!(holds.findings.is_empty(), "{}", told(&holds));
    let broken = of_its_own("world.services.web.containers.filter(|one| one.is_new).is_empty()");
    let breaches = &broken.findings.first().expect("it is taken").breaches;
    assert!(breaches[0].rule == "two serve" && breaches[0].what == "it does not hold", "{breaches:?}");
    assert_eq!(breaches.len(), 1, "what lasts is told once");
}

#[test]
fn an_invariant_that_cannot_be_asked_is_a_mistake_of_the_script() {
    for (wrong, what) in [
        ("world.services.web.servin > 0", "there is no property `servin`"),
        ("world.services.web.serving", "it answers with something else than true or false"),
        ("running(web, fleet) != ()", "`find` failed on 2 of 2 hosts: 10.0.0.1: an invariant looks"),
    ] {
        let script = format!("invariant(\"two serve\", |world| {wrong});\n{}", on_one_host());
        let unprovable = prove(&subject(&script), &SINGLE, QUIETLY).map(|_| ()).expect_err(wrong);
        let Unprovable::Fails(diagnostic) = unprovable else { panic!("{wrong}: {unprovable:?}") };
        let message = format!("the invariant `two serve` cannot be asked: {what}");
        assert!(diagnostic.message.starts_with(&message) && diagnostic.line == Some(1 + PRELUDE.lines().count()), "{diagnostic:?}");
    }
}

/// A host's power fails: only then the invariant has no answer.
#[test]
fn an_invariant_that_cannot_be_asked_in_some_state_is_broken_there() {
    let holds = "if world.hosts[\"10.0.0.1\"].reachable { true } else { world.nothing.at_all }";
    let proof = proof(&subject(&format!("invariant(\"asked\", |world| {holds});\n{}", on_one_host())));
    let finding = proof.findings.first().unwrap_or_else(|| panic!("{}", told(&proof)));
    let place = format!("(deploy.rhai:{}", 1 + PRELUDE.lines().count());
    assert!(finding.breaches[0].what.contains("it cannot be asked: ") && finding.breaches[0].what.contains(&place), "{finding:?}");
}

/// What comes before the story has a clock of its own.
#[test]
fn an_invariant_sees_the_seconds_of_the_story() {
    let script = format!("invariant(\"early\", |world| world.seconds < 9.0);\n{}", on_one_host());
    let proof = prove(&subject(&script), &Bounds { faults: 0, ..SINGLE }, QUIETLY).expect("it works");
    let finding = proof.findings.first().expect("it takes longer");
    let first = finding.steps.iter().find(|step| matches!(step.what, What::Breach(_))).expect("it is broken");
    assert!(first.at.as_milliseconds() - finding.start.as_milliseconds() >= 9_000, "{finding:?}");
}

/// A first deploy.
#[test]
fn what_makes_nothing_begins_with_an_empty_fleet() {
    let proof =
        proof(&subject("given(|| {});\nensure(running(web, fleet) == (), \"nothing is there\");\nrolling::deploy(web, img, fleet);"));
    assert!(proof.findings.is_empty(), "{}", told(&proof));
}

#[test]
fn a_script_chooses_its_rules() {
    let of = |rules: &str, script: &str| {
        prove(&subject(&format!("invariants(#{{ {rules} }});\n{script}")), &Bounds { faults: 0, ..SINGLE }, QUIETLY)
            .expect("it works")
            .findings
    };
    assert!(of("min_capacity: \"100%\"", &on_one_host()).is_empty());
    let fewer = on_one_host().replace("start(web, img, one)", "start(web, img, one, #{ replicas: 1 })");
    let fewer = format!("given(|| rolling::deploy(web, img, fleet));\n{fewer}");
    assert!(of("mixed: false, min_capacity: \"75%\"", &fewer).is_empty(), "three of four serve");
    for rule in ["mixed: false, min_capacity: \"76%\"", "mixed: false, min_capacity: 4"] {
        assert_eq!(of(rule, &fewer).remove(0).breaches[0].rule, "min_capacity");
    }
    let canary = on_one_host().replace("[[old, 0], [next, 100]]", "[[old, 50], [next, 50]]);\n set_weights([[old, 0], [next, 100]]");
    assert_eq!(of("versions: 1", &canary).remove(0).breaches[0].rule, "versions");
}

/// Where a script says what must hold is no part of that.
#[test]
fn rules_count_for_the_whole_run_wherever_they_are_said() {
    let of = |script: &str| prove(&subject(script), &Bounds { faults: 0, ..SINGLE }, QUIETLY).expect("it works").findings;
    let canary = on_one_host().replace("[[old, 0], [next, 100]]", "[[old, 50], [next, 50]]);\n set_weights([[old, 0], [next, 100]]");
    assert_eq!(of(&format!("{canary}\ninvariants(#{{ versions: 1 }});")).remove(0).breaches[0].rule, "versions");
    let late = "invariant(\"fine\", |world| true);\ninvariant(\"never\", |world| false);";
    assert_eq!(of(&format!("{}\n{late}", on_one_host())).remove(0).breaches[0].rule, "never");
}

#[test]
fn more_than_serves_in_the_beginning_is_refused_as_the_least() {
    let script = format!("invariants(#{{ min_capacity: 3 }});\n{}", on_one_host());
    let unprovable = prove(&subject(&script), &SINGLE, QUIETLY).map(|_| ()).expect_err("two serve");
    let Unprovable::NeverMet(what) = unprovable else { panic!("{unprovable:?}") };
    assert_eq!(what, "web has 2 healthy containers with traffic in the beginning, and `min_capacity` wants 3");

    // A small service beside one that is guarded so is no reason.
    let admin = r#"let admin = service("admin", #{ image: "shop-web", port: 80, listen: 81, health: tcp() });"#;
    let both = "rolling::deploy(web, img, [fleet[0]]); rolling::deploy(admin, img, [fleet[0]]);";
    let script = format!("{admin} given(|| {{ {both} }}); invariants(#{{ min_capacity: 2 }}); {both}");
    let proof = prove(&subject(&script), &Bounds { faults: 0, ..SINGLE }, QUIETLY).expect("web has two");
    assert!(proof.findings.is_empty(), "{}", told(&proof));
}

#[test]
fn an_invariant_that_is_none_is_told_as_that() {
    for (wrong, what) in [
        ("invariant(\"two\", || true);", "the invariant `two` cannot be asked: its closure takes one argument, the world: `|world| …`"),
        ("invariant(\" \", |world| true);", "an invariant has a name, by which it is told when it is broken"),
        ("invariant(\"endless\", |world| { loop {} });", "the invariant `endless` cannot be asked: it comes to no end"),
    ] {
        let unprovable = prove(&subject(&format!("{wrong}\n{}", on_one_host())), &SINGLE, QUIETLY).map(|_| ()).expect_err(wrong);
        let Unprovable::Fails(diagnostic) = unprovable else { panic!("{wrong}: {unprovable:?}") };
        assert!(diagnostic.message.starts_with(what) && diagnostic.line == Some(1 + PRELUDE.lines().count()), "{diagnostic:?}");
    }
}

/// A strategy brings its own rules: what their closures call and have captured is their module's.
#[test]
fn a_module_has_invariants_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let module = r#"
import "std/gates" as gates;
fn serving(world, service) { world.services[service].serving }
fn holds(least, service) {
    invariant("the module's", |world| serving(world, service) >= least && gates::success_criteria().len() > 0);
}
"#;
    std::fs::write(folder.path().join("rules.rhai"), module).expect("it is written");
    let of = |least: usize| {
        let script = format!("import \"rules\" as rules;\n{PRELUDE}rules::holds({least}, \"web\");\n{}", on_one_host());
        let checked = Checked::new("deploy.rhai", folder.path(), &script);
        let subject = Subject { script: Arc::new(checked), ..subject("") };
        prove(&subject, &Bounds { faults: 1, runs: 20, ..SINGLE }, QUIETLY).expect("it works")
    };
    let holds = of(0);
    assert!(holds.findings.is_empty(), "{}", told(&holds));
    assert_eq!(of(3).findings[0].breaches[0].rule, "the module's");
}

#[test]
fn a_story_with_invariants_leaves_nothing_behind() {
    let subject = subject(&format!("invariant(\"fine\", |world| true);\n{}", on_one_host()));
    prove(&subject, &Bounds { runs: 20, ..SINGLE }, QUIETLY).expect("it works");
    assert_eq!(Arc::strong_count(&subject.desk), 1, "each fleet of a story has it");
}

#[test]
fn an_invariant_is_not_blamed_for_a_script_without_an_end() {
    let script = "invariant(\"fine\", |world| true);\nlet next = start(web, img, fleet);\nloop { healthcheck(next); }";
    let unprovable = prove(&subject(script), &SINGLE, QUIETLY).map(|_| ()).expect_err("it has no end");
    let Unprovable::Fails(diagnostic) = unprovable else { panic!("{unprovable:?}") };
    assert!(!diagnostic.message.contains("invariant"), "{diagnostic:?}");
}
