//! Databases: one migration at a time, and no statement for longer than it may.

use crate::databases::Shop;
use crate::leases::{ended, signal};
use crate::until::until;

#[test]
fn one_migration_runs_at_a_time_and_the_next_one_waits_for_its_turn_or_tells_whose_it_is() {
    let shop = Shop::new();
    shop.postgres.sql("GRANT CREATE ON SCHEMA public TO app");
    let gate = shop.postgres.gate();
    let start = |statements: &str| {
        shop.write(&format!("db.sql(\"{statements}\", #{{ lock_timeout: \"5m\" }});"));
        shop.project.start(&["run", "deploy.rhai"])
    };
    let first = start("SELECT pg_advisory_xact_lock(7); CREATE TABLE one (id int)");
    until("the first one waits in its statement", || shop.postgres.at_gate(false) == 1);
    let sessions = || shop.postgres.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'podlift-%'");
    let second = start("CREATE TABLE two (id int)");
    until("the second one waits for its turn", || sessions() == "2");
    signal(&second, "INT");
    let told = ended(second);
    assert_ne!(told.code, 0, "{}", told.stderr);
    assert!(told.stderr.contains("another migration is running in the database"), "{}", told.stderr);

    let third = start("CREATE TABLE three (id int)");
    until("the third one waits for its turn", || sessions() == "2");
    let tables = || shop.postgres.sql("SELECT string_agg(tablename, ' ' ORDER BY tablename) FROM pg_tables WHERE schemaname = 'public'");
    assert_eq!(tables(), "");
    gate.open();
    for run in [ended(first), ended(third)] {
        assert_eq!(run.code, 0, "{}", run.stderr);
    }
    assert_eq!(tables(), "one three");
}

#[test]
fn a_statement_that_takes_too_long_is_ended_by_its_server_and_leaves_nothing() {
    let shop = Shop::new();
    shop.postgres.sql("GRANT CREATE ON SCHEMA public TO app");
    shop.write("db.sql(\"CREATE TABLE one AS SELECT 1 AS n FROM pg_sleep(600)\");");
    let script = std::fs::read_to_string(shop.project.path().join("deploy.rhai")).expect("it was written");
    shop.project.write("deploy.rhai", &script.replace("/shop`", "/shop`, #{ statement_timeout: \"300ms\" }"));
    let run = shop.project.podlift(&["run", "deploy.rhai"]);
    assert!(run.code == 1 && run.stderr.contains("canceling statement due to statement timeout"), "{}", run.stderr);
    assert_eq!(shop.postgres.sql("SELECT to_regclass('one')"), "");
}
