//! Rules beyond traffic: schemas, commands, leases, a script's own invariants, and an end within bounds.

use std::sync::Arc;

use super::{BY_HAND, Bounds, QUIETLY, SINGLE, broken, on_one_host, proof, subject, told};
use crate::{
    commands::{
        exit::Exit,
        proof::{Subject, Unprovable, prove, retell},
    },
    executor::{Call, Executor, Outcome},
    failure::Failure,
    op::{Locking, Op},
};

const DATABASE: &str = "let db = database(\"postgres://app@db/shop\");\n";

/// A migration with this `undo`, then a deploy.
fn migrated(statement: &str, undo: &str) -> Subject {
    subject(&format!("{DATABASE}db.sql(\"{statement}\", #{{ undo: \"{undo}\" }});\n{}", on_one_host()))
}

/// One of two statements that is taken back as a whole.
fn two_statements() -> Subject {
    migrated(
        "ALTER TABLE users ADD COLUMN mail text; CREATE INDEX CONCURRENTLY users_mail ON users (mail)",
        "DROP INDEX CONCURRENTLY IF EXISTS users_mail; ALTER TABLE users DROP COLUMN IF EXISTS mail",
    )
}

#[test]
fn a_migration_is_taken_back_with_the_run() {
    let proof = proof(&two_statements());
    assert!(proof.findings.is_empty(), "{}", told(&proof));
}

#[test]
fn a_migration_whose_connection_breaks_between_two_statements_goes_on_behind_the_first() {
    for (story, exit) in [("3:sql:lost-halfway", Exit::Done), ("3:sql:lost-halfway, 5:start:fails", Exit::Undone)] {
        let told = retell(&two_statements(), &story.parse().expect("a story"), &SINGLE).expect("it comes up");
        assert!(told.breaches.is_empty() && told.exit == Some(exit), "{story}: {told:#?}");
    }
}

#[test]
fn a_contraction_that_takes_nothing_with_a_name_is_one_all_the_same() {
    for (statement, undo) in [
        ("ALTER TABLE users ALTER COLUMN state DROP DEFAULT", "ALTER TABLE users ALTER COLUMN state SET DEFAULT 'new'"),
        ("REVOKE SELECT ON users FROM app", "GRANT SELECT ON users TO app"),
    ] {
        let found = proof(&migrated(statement, undo));
        let first = found.findings.first().unwrap_or_else(|| panic!("{statement} is taken for harmless"));
        assert_eq!((first.breaches[0].rule.as_str(), first.story.faults.len()), ("schema", 0), "{:?}", first.breaches);
        assert!(first.breaches[0].what.contains(&format!("`{statement}` is done")), "{:?}", first.breaches);
        // Behind the deploy it harms nobody, and it is taken back with what comes behind it.
        let behind = format!("{DATABASE}{}db.sql(\"{statement}\", #{{ undo: \"{undo}\" }});\nhook(fleet[0], \"true\");", on_one_host());
        let held = proof(&subject(&behind));
        assert!(held.findings.is_empty(), "{}", told(&held));
    }
}

#[test]
fn an_undo_that_does_not_take_its_migration_back_is_found() {
    for (statement, undo, left) in [
        ("ALTER TABLE users ADD COLUMN mail text", "ALTER TABLE users DROP COLUMN IF EXISTS email", "column users.mail is there"),
        ("ALTER TABLE users ADD COLUMN mail text; CREATE TABLE mails (id int)", "DROP TABLE mails", "column users.mail is there"),
    ] {
        let proof = proof(&migrated(statement, undo));
        let first = proof.findings.first().unwrap_or_else(|| panic!("{undo} is taken for right"));
        assert!(
            first.breaches.iter().any(|breach| breach.rule == "ending" && breach.differences.iter().any(|line| line.contains(left))),
            "{:?}",
            first.breaches
        );
        assert_eq!(first.story.faults.len(), 1);
    }
}

const CONTRACT: &str = "db.sql(\"ALTER TABLE users DROP COLUMN email\");\n";

#[test]
fn a_contract_before_the_old_code_is_gone_is_found() {
    for script in [
        format!("{DATABASE}{CONTRACT}{}", on_one_host()),
        format!("{DATABASE}{}", on_one_host().replace("    drain(old);\n", &format!("{CONTRACT}    drain(old);\n"))),
    ] {
        let proof = prove(&subject(&script), &Bounds { faults: 0, ..SINGLE }, QUIETLY).expect("it works");
        let breach = &proof.findings[0].breaches[0];
        assert_eq!(breach.rule, "schema");
        assert!(breach.what.contains("runs before, and the schema is contracted under it: column users.email is gone"), "{breach:?}");
    }
    let last = format!("{DATABASE}{}commit();\n{CONTRACT}", on_one_host());
    let proof = prove(&subject(&last), &Bounds { faults: 0, ..SINGLE }, QUIETLY).expect("it works");
    assert!(proof.findings.is_empty(), "{}", told(&proof));
}

/// A deploy behind a migration, on a schema that `given` makes, and the one that it deploys first.
fn migrating(given: &str, up: &str, undo: Option<&str>) -> Subject {
    let given = if given.is_empty() { String::new() } else { format!("db.sql(\"{given}\");") };
    let undo = undo.map(|undo| format!(", #{{ undo: \"{undo}\" }}")).unwrap_or_default();
    subject(&format!(
        "{DATABASE}given(|| {{ {given} let before = build(web, #{{ tag: \"v1\" }}); ship(before, fleet);\n\
         rolling::deploy(web, before, [fleet[0]]); }});\ndb.sql(\"{up}\"{undo});\n{}",
        on_one_host()
    ))
}

#[test]
fn what_old_code_needs_is_missed_whoever_made_it() {
    for (given, up, gone) in [
        ("", "DROP TABLE orders", "table orders is gone"),
        ("CREATE TABLE orders (id int)", "DROP TABLE orders", "table orders is gone"),
        ("CREATE TABLE orders (id int)", "DROP TABLE public.orders", "table orders is gone"),
        ("ALTER TABLE users ADD COLUMN legacy text", "ALTER TABLE users DROP COLUMN legacy", "column users.legacy is gone"),
        ("CREATE TABLE users (id int, legacy text)", "ALTER TABLE users DROP COLUMN legacy", "column users.legacy is gone"),
        ("CREATE VIEW v AS SELECT 1 AS a", "DROP VIEW v", "view v is gone"),
        ("", "-- podlift: allow\\nALTER TABLE users RENAME COLUMN name TO fullname", "column users.name is gone"),
    ] {
        let proof = prove(&migrating(given, up, None), &Bounds { faults: 0, ..SINGLE }, QUIETLY).expect("it works");
        let breach = &proof.findings.first().unwrap_or_else(|| panic!("{given}; {up}: nothing is found")).breaches[0];
        assert!(breach.rule == "schema" && breach.what.contains(gone), "{given}; {up}: {breach:?}");
    }
}

#[test]
fn an_undo_that_takes_away_what_was_there_before_is_found() {
    let pets = "CREATE TABLE pets (id int)";
    for (given, up, undo, gone) in [
        ("CREATE TABLE orders (id int)", pets, "DROP TABLE pets; DROP TABLE orders", "- /shop: table orders is there"),
        ("", pets, "DROP TABLE pets; DROP TABLE orders", "+ /shop: table orders is gone"),
        ("", "ALTER TABLE users ADD COLUMN mail text", "ALTER TABLE users DROP COLUMN name", "+ /shop: column users.name is gone"),
    ] {
        let proof = proof(&migrating(given, up, Some(undo)));
        let told: Vec<&String> =
            proof.findings.iter().flat_map(|finding| &finding.breaches).flat_map(|breach| &breach.differences).collect();
        assert!(told.iter().any(|line| line.contains(&gone[9..].replace("is there", "is gone"))), "{up} {undo}: {told:?}");
    }
}

#[test]
fn an_undo_that_takes_back_what_goes_with_it_holds() {
    for (given, up, undo) in [
        (
            "",
            "ALTER TABLE users ADD COLUMN email text; CREATE INDEX CONCURRENTLY ue ON users (lower(email))",
            "ALTER TABLE users DROP COLUMN email",
        ),
        (
            "",
            "ALTER TABLE users ADD COLUMN age int; ALTER TABLE users ADD CONSTRAINT old CHECK (age > 0) NOT VALID",
            "ALTER TABLE users DROP COLUMN IF EXISTS age",
        ),
        ("", "ALTER TABLE users ADD COLUMN email text", "ALTER TABLE public.users DROP COLUMN email"),
        ("", "CREATE SCHEMA audit; CREATE TABLE audit.log (id int)", "DROP SCHEMA audit CASCADE"),
        ("", "CREATE TABLE IF NOT EXISTS pets (id int)", "DROP TABLE IF EXISTS pets"),
        ("CREATE TABLE pets (id int)", "CREATE TABLE IF NOT EXISTS pets (id int)", "DROP TABLE pets"),
        ("CREATE TABLE users (id int, name text)", "ALTER TABLE users ADD COLUMN IF NOT EXISTS name text", "SELECT 1"),
        (
            "CREATE TABLE users (id int, old text); ALTER TABLE users DROP COLUMN old",
            "ALTER TABLE users ADD COLUMN old text",
            "ALTER TABLE users DROP COLUMN old",
        ),
        ("", "-- podlift: expand\\nDO $$ BEGIN CREATE TYPE mood AS ENUM ('ok'); END $$", "DROP TYPE IF EXISTS mood"),
        (
            "",
            "CREATE UNIQUE INDEX CONCURRENTLY u ON users (name); ALTER TABLE users ADD CONSTRAINT c UNIQUE USING INDEX u",
            "ALTER TABLE users DROP CONSTRAINT IF EXISTS c; DROP INDEX CONCURRENTLY IF EXISTS u",
        ),
    ] {
        let proof = proof(&migrating(given, up, Some(undo)));
        assert!(proof.findings.is_empty(), "{given}; {up}; {undo}: {}", told(&proof));
    }
}

#[test]
fn old_code_that_is_brought_back_to_a_contracted_schema_is_found() {
    let late = format!("{DATABASE}{}{CONTRACT}hook(fleet[0], \"true\");", on_one_host());
    let rules: Vec<String> = broken(&subject(&late)).into_iter().map(|(rule, _)| rule).collect();
    assert!(rules.contains(&"schema".to_owned()), "{rules:?}");
}

#[test]
fn expand_and_contract_holds() {
    let script = format!(
        "import \"std/expand_contract\" as change;\n{DATABASE}{}",
        r#"change::run(db, "users-mail", #{
    services: [[web, img]], fleet: [fleet[0]],
    expand: "ALTER TABLE users ADD COLUMN mail text", backfill: #{ table: "users", key: "id", set: "mail = email" },
    contract: "ALTER TABLE users DROP COLUMN email",
});"#
    );
    let proof = proof(&subject(&script));
    assert!(proof.findings.is_empty(), "{}", told(&proof));
}

/// Forgets what takes a command back.
fn forgetful(inner: Arc<dyn Executor>) -> Arc<dyn Executor> {
    struct Forgetful(Arc<dyn Executor>);
    impl Executor for Forgetful {
        fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
            let outcome = self.0.perform(call)?;
            let inverse = if matches!(*call.op, Op::Hook(_)) { crate::op::Inverse::default() } else { outcome.inverse };
            Ok(Outcome { inverse, ..outcome })
        }
    }
    Arc::new(Forgetful(inner))
}

#[test]
fn what_a_command_did_is_taken_back_with_the_run() {
    let with = |catching: &str| subject(&format!("hook(fleet[0], \"migrate up\", #{{ undo: \"migrate down\" }});\n{catching}"));
    let held = proof(&with(&on_one_host()));
    assert!(held.findings.is_empty(), "{}", told(&held));
    let proof = proof(&Subject { around: forgetful, ..with(&on_one_host()) });
    let what: Vec<&String> = proof.findings.iter().flat_map(|finding| &finding.breaches[0].differences).collect();
    assert!(what.iter().any(|what| *what == "+ 10.0.0.1: what `migrate up` did stands"), "{what:?}");
}

#[test]
fn a_deploy_that_goes_on_beyond_anothers_lease_is_found() {
    /// Takes a lease for its own, whoever has it.
    fn ruthless(inner: Arc<dyn Executor>) -> Arc<dyn Executor> {
        struct Ruthless(Arc<dyn Executor>);
        impl Executor for Ruthless {
            fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
                let outcome = self.0.perform(call)?;
                Ok(if matches!(*call.op, Op::Lock(_)) { Outcome::of(Locking::Taken) } else { outcome })
            }
        }
        Arc::new(Ruthless(inner))
    }
    let script = on_one_host();
    assert!(broken(&Subject { around: ruthless, ..subject(&script) }).contains(&("lease".into(), 1)));
    // Whoever waits for it, and whoever comes later, meets the other run until that has ended.
    let waits = format!("for n in 0..5 {{ try {{ lock(web, fleet[0]); break; }} catch (held) {{ pause(\"10s\"); }} }}\n{script}");
    let proof = proof(&subject(&waits));
    assert!(proof.findings.is_empty(), "{}", told(&proof));
}

/// The new containers get traffic, and the run fails: what takes it back ends them one by one.
#[test]
fn a_scripts_own_invariants_are_asked_while_it_is_taken_back() {
    let script = format!(
        "invariant(\"nothing was ever stopped\", |world| !(\"web\" in world.services) || world.services.web.containers.all(|one| one.state != \"stopped\"));\n{}",
        BY_HAND.replace("    stop(old);\n", "").replace("in fleet", "in [fleet[0]]")
    );
    let proof = proof(&subject(&script));
    let finding = proof.findings.first().expect("an undo stops what it has started");
    assert_eq!(finding.breaches[0].rule, "nothing was ever stopped");
    assert!(finding.story.faults.len() == 1 && finding.exit.is_some(), "{finding:?}");
    let again = retell(&subject(&script), &finding.story, &SINGLE).expect("it comes up");
    assert_eq!(again.breaches, finding.breaches);
}

#[test]
fn a_retry_without_an_end_is_found_and_no_hang() {
    for endless in ["fail(\"again\")", "hook(fleet[0], \"true\"); fail(\"again\")"] {
        let script = format!("try {{ retry(1_000_000_000, \"0s\", || {{ {endless} }}); }} catch (problem) {{ }}");
        let outcome = prove(&subject(&script), &Bounds { calls: 2_000, ..SINGLE }, QUIETLY);
        assert!(matches!(outcome, Err(Unprovable::Fails(_))), "{endless}: it comes to no end by itself");
    }
}

#[test]
fn a_migration_whose_answer_is_lost_and_whose_second_try_fails_is_done_or_taken_back() {
    let subject = migrated("ALTER TABLE users ADD COLUMN mail text", "ALTER TABLE users DROP COLUMN IF EXISTS mail");
    for (first, second) in [("lost-after", "fails"), ("lost-before", "fails")] {
        let story = format!("3:sql:{first}, 3:sql#2:{second}").parse().expect("a story");
        let told = retell(&subject, &story, &SINGLE).unwrap_or_else(|error| panic!("{error:?}"));
        assert!(told.breaches.is_empty(), "{story}: {:#?} {:#?}", told.breaches, told.steps);
    }
}

#[test]
fn an_undo_command_whose_connection_breaks_before_it_is_done_is_done_by_the_next_undo() {
    let subject = subject("hook(fleet[0], \"stop taking\", #{ undo: \"take again\" });\nhook(fleet[0], \"go on\");");
    for fault in ["lost-before", "lost-after", "cut-off", "gone", "reboots", "dies"] {
        let story = format!("4:hook:fails, undo/3.0:hook:{fault}").parse().expect("a story");
        let told = retell(&subject, &story, &SINGLE).unwrap_or_else(|error| panic!("{error:?}"));
        assert!(told.breaches.is_empty(), "{story}: {:#?} {:#?}", told.breaches, told.steps);
    }
}

#[test]
fn statements_of_which_no_answer_came_are_not_said_to_be_taken_back() {
    // The way to the database is lost after they are done, on a host that the run has met before or not, for a while or for good.
    for first in ["", "probe(far, \"true\");\n"] {
        let script = format!(
            "let far = host(\"far\");\n{first}let db = database(\"postgres://app@db/shop\", #{{ via: far }});\ndb.sql(\"ALTER TABLE users ADD COLUMN mail text\", #{{ undo: \"ALTER TABLE users DROP COLUMN mail\" }});"
        );
        let call = if first.is_empty() { 3 } else { 4 };
        for (fault, exit) in [("cut-off", Exit::Done), ("gone", Exit::Mixed)] {
            let story = format!("{call}:sql:lost-after, {call}:sql#2:{fault}").parse().expect("a story");
            let told = retell(&subject(&script), &story, &SINGLE).unwrap_or_else(|error| panic!("{error:?}"));
            assert_eq!((told.exit, told.breaches), (Some(exit), Vec::new()), "{first}{fault}: {:?}", told.why);
        }
    }
}

#[test]
fn an_undo_that_fails_has_taken_nothing_back_whatever_the_commands_failure_counts_for() {
    let script = "hook(fleet[0], \"alerts off\", #{ check: false, undo: \"alerts on\" });\nhook(fleet[0], \"go on\");";
    let story = "4:hook:fails, undo/3.0:hook:fails".parse().expect("a story");
    let told = retell(&subject(script), &story, &SINGLE).unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!((told.exit, told.breaches), (Some(Exit::Mixed), Vec::new()), "{:?}", told.why);
}

#[test]
fn of_two_balancers_each_has_to_bear_its_own_clients() {
    let script = |deploy: &str| {
        format!(
            "invariants(#{{ min_capacity: 2 }});\nlet far = [host(\"a1\", #{{ bind: \"10.0.0.1\" }}), host(\"a2\", #{{ bind: \"10.0.0.2\" }})];\n\
             let api = service(\"api\", #{{ port: 9000, image: \"shop-web\", health: http(\"/health\"), balancer: hosts([\"lb1\", \"lb2\"]) }});\n\
             ship(img, far);\n{deploy}"
        )
    };
    let found = proof(&subject(&script("rolling::deploy(api, img, far);")));
    assert!(found.findings.is_empty(), "{}", told(&found));
    let one = "given(|| rolling::deploy(api, img, far));\nlet other = build(api, #{ tag: \"v3\" }); ship(other, far);\n\
               let old = running(api, far[0]); let next = start(api, other, far[0]); healthcheck(next); drain(old); set_weights([[next, 1]]);";
    let found = broken(&subject(&script(one)));
    assert_eq!(found.first(), Some(&("min_capacity".to_owned(), 0)));
}
