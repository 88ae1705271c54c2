//! Databases at one address, and what is taken away for good; by commands too.

use super::{broken, proof, subject, told};

const COLUMN: &str = "sql(\"ALTER TABLE users ADD COLUMN mail text\", #{ undo: \"ALTER TABLE users DROP COLUMN mail\" });";

#[test]
fn databases_at_the_same_address_of_different_hosts_are_two() {
    let both = "let one = database(\"postgres://app@127.0.0.1/shop\", #{ via: fleet[0] });\n\
                let two = database(\"postgres://app@127.0.0.1/shop\", #{ via: fleet[1] });\n";
    let script = format!("{both}one.{COLUMN}\ntry {{ two.{COLUMN} }} catch (problem) {{ warn(problem.message); }}");
    assert_eq!(broken(&subject(&script)).first(), Some(&("ending".to_owned(), 1)));
    // One that has a name of its own is the same by whichever host it is reached.
    let both = both.replace("127.0.0.1", "db.internal");
    let second = format!("{both}try {{ one.{COLUMN} }} catch (problem) {{ two.{COLUMN} }}");
    let found = proof(&subject(&second));
    assert!(found.findings.is_empty(), "{}", told(&found));
}

#[test]
fn what_an_undo_makes_again_was_there() {
    let replaced = "CREATE OR REPLACE VIEW v AS SELECT 2\", #{ undo: \"CREATE OR REPLACE VIEW v AS SELECT 1";
    let dropped = "DROP VIEW v; CREATE VIEW v AS SELECT 2\", #{ undo: \"DROP VIEW IF EXISTS v; CREATE VIEW v AS SELECT 1";
    for statements in [replaced, dropped] {
        let found = proof(&subject(&format!("let db = database(\"postgres://app@db/shop\");\ndb.sql(\"{statements}\" }});")));
        assert!(found.findings.is_empty(), "{}", told(&found));
    }
    // What was not there is not taken back by making it again.
    let made = "CREATE VIEW v AS SELECT 2\", #{ undo: \"CREATE OR REPLACE VIEW v AS SELECT 1";
    let script = format!("let db = database(\"postgres://app@db/shop\");\ndb.sql(\"{made}\" }});\nhook(fleet[0], \"true\");");
    assert_eq!(broken(&subject(&script)).first(), Some(&("ending".to_owned(), 1)));
}

#[test]
fn a_table_that_is_dropped_for_good_is_a_change() {
    let proof = proof(&subject("database(\"postgres://app@db/shop\").sql(\"DROP TABLE legacy\");"));
    assert!(proof.changes);
}

#[test]
fn what_is_taken_away_without_an_undo_after_a_commit_stays_so() {
    let table = "let db = database(\"postgres://app@db/shop\");\n\
                 db.sql(\"CREATE TABLE shelf (id int)\", #{ undo: \"DROP TABLE shelf\" });\ncommit();\ndb.sql(\"DROP TABLE shelf\");\n";
    let alerts = "hook(fleet[0], \"alerts off\", #{ undo: \"alerts on\" });\ncommit();\nhook(fleet[0], \"alerts on\");\n";
    for first in [table, alerts] {
        let found = proof(&subject(&format!("{first}hook(fleet[0], \"report\");")));
        assert!(found.findings.is_empty(), "{}", told(&found));
    }
}
