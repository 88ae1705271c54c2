//! Backfills: every row that was there, once, at a pace that leaves the server to its writers.

use std::io::Write;

use crate::databases::Shop;
use crate::terminal::Terminal;
use crate::until::until;

#[test]
fn a_backfill_reaches_every_row_that_was_there_and_can_be_throttled() {
    let shop = Shop::new();
    shop.postgres.sql("CREATE TABLE users (id bigint PRIMARY KEY, email text, lower_email text); ALTER TABLE users OWNER TO app");
    shop.postgres.sql("INSERT INTO users SELECT n * 3, 'USER' || n FROM generate_series(1, 20000) n; ANALYZE users");
    let output = shop.succeeds(
        r#"
        let done = db.backfill(#{ table: "users", key: "id", set: "lower_email = lower(email)", where: "lower_email IS NULL", pause: "0s" });
        ensure(done.rows == 20000 && done.key == "60000" && done.batches > 3, done.to_json());
        let again = db.backfill(#{ table: "users", key: "id", set: "lower_email = lower(email)", where: "lower_email IS NULL", pause: "0s",
            throttle: |db| db.query("SELECT count(*) AS n FROM pg_stat_activity")[0].n < 1000 });
        ensure(again.rows == 0, again.to_json());
        "#,
    );
    assert!(output.stderr.contains("20000 rows changed"), "{}", output.stderr);
    assert_eq!(shop.postgres.sql("SELECT count(*) FROM users WHERE lower_email <> lower(email) OR lower_email IS NULL"), "0");
    shop.fails(r#"db.backfill(#{ table: "users", key: "email", set: "email = 'x'" });"#, "needs a column that is unique");
    shop.fails(
        r#"db.backfill(#{ table: "users", key: "id", set: "email = 'x'", throttle: |db| "2s", patience: "1s" });"#,
        "held the backfill up",
    );
}

#[test]
fn a_backfill_changes_each_row_once_and_keeps_the_pace_that_it_has_found() {
    let shop = Shop::new();
    shop.postgres.sql("CREATE TABLE counts (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0); ALTER TABLE counts OWNER TO app");
    // Nobody has analyzed it, and somebody had when it was small.
    shop.postgres.sql(
        "ALTER TABLE counts SET (autovacuum_enabled = off); INSERT INTO counts SELECT n FROM generate_series(1, 100) n; ANALYZE counts",
    );
    shop.postgres.sql("INSERT INTO counts SELECT n FROM generate_series(101, 20000) n");
    shop.succeeds(
        r#"
        let done = db.backfill(#{ table: "counts", key: "id", set: "n = n + 1", batch: 10, target: "10s", pause: "20ms", throttle: |db| true });
        // 10, 20, 40, … 10240, and one that finds nothing.
        ensure(done.rows == 20000 && done.batches == 11 + 1, done.to_json());
        "#,
    );
    assert_eq!(shop.postgres.sql("SELECT min(n), max(n), count(*) FROM counts"), "1|1|20000");
}

#[test]
fn a_backfill_waits_shortly_for_a_table_that_somebody_alters_and_comes_again() {
    let shop = Shop::new();
    shop.postgres.sql("CREATE TABLE counts (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0); ALTER TABLE counts OWNER TO app");
    shop.postgres.sql("INSERT INTO counts SELECT n FROM generate_series(1, 100) n");
    let mut holder = shop.postgres.session("an alter");
    let mut input = holder.stdin.take().expect("it is piped");
    writeln!(input, "BEGIN; LOCK TABLE counts IN ACCESS EXCLUSIVE MODE;").expect("psql reads");
    until("the table is held", || shop.postgres.sql("SELECT count(*) FROM pg_locks WHERE relation = 'counts'::regclass") != "0");
    shop.write(r#"db.backfill(#{ table: "counts", key: "id", set: "n = n + 1", lock_timeout: "200ms" });"#);
    let run = shop.project.start(&["run", "deploy.rhai"]);
    let waits = "SELECT query_start FROM pg_stat_activity WHERE application_name LIKE 'podlift-%' AND wait_event_type = 'Lock'";
    let mut seen = std::collections::BTreeSet::new();
    until("it has queued for the table three times", || {
        let begun = shop.postgres.sql(waits);
        seen.extend(Some(begun).filter(|begun| !begun.is_empty()));
        seen.len() == 3
    });
    drop(input);
    holder.wait().expect("psql ends");
    let output = run.wait_with_output().expect("podlift ends");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(shop.postgres.sql("SELECT min(n), max(n), count(*) FROM counts"), "1|1|100");
}

#[test]
fn a_backfill_of_a_table_or_column_that_is_not_there_tells_which_are() {
    let shop = Shop::new();
    let script = |table: &str, key: &str| format!("db.backfill(#{{ table: `{table}`, key: `{key}`, set: \"n = 1\" }});");
    shop.fails(&script("user", "id"), "help: it has no tables at all");
    shop.postgres.sql("CREATE TABLE \"User\" (id int PRIMARY KEY, n int); ALTER TABLE \"User\" OWNER TO app; CREATE SCHEMA other");
    shop.postgres.sql("CREATE TABLE other.users (id int)");
    shop.fails(&script("User", "id"), "help: its tables are \"User\", other.users help: write a name as it stands there");
    shop.fails(&script("\"User\"", "uid"), "shop has no column uid");
    shop.fails(&script("\"User\"", "uid"), "help: its columns are id, n");
    shop.succeeds(&script("\"User\"", "id"));
}

#[test]
fn a_backfill_goes_on_when_its_server_has_come_up_again() {
    let mut shop = Shop::new();
    shop.postgres.sql("CREATE TABLE counts (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0); ALTER TABLE counts OWNER TO app");
    shop.postgres.sql("INSERT INTO counts SELECT n FROM generate_series(1, 4000) n");
    shop.write(r#"db.backfill(#{ table: "counts", key: "id", set: "n = n + 1", batch: 10, pause: "20ms" });"#);
    let run = shop.project.start(&["run", "deploy.rhai"]);
    until("it is in the middle", || shop.postgres.sql("SELECT count(*) FROM counts WHERE n > 0") != "0");
    shop.postgres.restart();
    let output = run.wait_with_output().expect("podlift ends");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(shop.postgres.sql("SELECT min(n), max(n), count(*) FROM counts"), "1|1|4000");
}

#[test]
fn a_backfill_that_fails_before_its_first_batch_has_done_nothing_and_what_was_before_it_is_taken_back() {
    let shop = Shop::new();
    shop.postgres.sql("CREATE TABLE users (id int PRIMARY KEY, n int); ALTER TABLE users OWNER TO app; INSERT INTO users VALUES (1, 1)");
    shop.postgres.sql("CREATE TABLE others (id int PRIMARY KEY, n int); GRANT SELECT ON others TO app; INSERT INTO others VALUES (1, 1)");
    let columns = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'users'";
    for (table, set, words) in [
        ("users", "m = 1", "column \"m\" of relation \"users\" does not exist"),
        ("users", "a = n / 0", "division by zero"),
        ("users", "a =", "syntax error"),
        ("others", "n = 2", "permission denied for table others"),
    ] {
        let script = format!(
            r#"db.sql("ALTER TABLE users ADD COLUMN a int", #{{ undo: "ALTER TABLE users DROP COLUMN a" }});
            db.backfill(#{{ table: "{table}", key: "id", set: "{set}" }});"#
        );
        let output = shop.fails(&script, words);
        assert_eq!(output.code, 4, "{words}: {}", output.stderr);
        assert!(!output.stderr.contains("may have done") && !output.stderr.contains("its progress is kept"), "{words}: {}", output.stderr);
        assert_eq!(shop.postgres.sql(columns), "2", "{words}");
        assert_eq!(shop.postgres.sql("SELECT rows FROM podlift.backfills WHERE rows > 0 OR done"), "", "{words}");
    }
}

/// A table of 4000 rows, of which a batch changes fifty at most where it is to take no time.
fn counts() -> Shop {
    let shop = Shop::new();
    shop.postgres.sql("CREATE TABLE counts (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0); ALTER TABLE counts OWNER TO app");
    shop.postgres.sql("INSERT INTO counts SELECT n FROM generate_series(1, 4000) n");
    shop
}

#[test]
fn a_backfill_shows_how_far_it_is_and_how_long_it_takes_still() {
    let shop = counts();
    shop.write(r#"db.backfill(#{ table: "counts", key: "id", set: "n = n + 1", where: "id % 2 = 0", target: "0s", pause: "50ms" });"#);
    let mut terminal = Terminal::open(&shop.project.command(&["run", "deploy.rhai"]));
    for words in [" of about 4000 rows seen, ", " changed, about ", " s left", "2000 rows changed"] {
        terminal.sees(words);
    }
    assert_eq!(terminal.ends(), 0, "{}", terminal.text());
}

#[test]
fn a_plan_is_followed_whose_backfill_is_throttled_for_longer_than_a_part_of_it_takes() {
    // Eighty batches with their rests: four seconds, and a part takes one.
    let shop = counts();
    shop.write(
        r#"
        let done = db.backfill(#{ table: "counts", key: "id", set: "n = n + 1", target: "0s", pause: "50ms",
            throttle: |db| probe("local", "true").code == 0
                && db.query("SELECT count(*) AS n FROM pg_stat_activity", #{ assume: [#{ n: 1 }] })[0].n < 1000 });
        info(`${done.rows} rows`);
        "#,
    );
    let plan = shop.project.podlift(&["plan", "deploy.rhai", "-o", "deploy.plan"]);
    assert_eq!(plan.code, 0, "{}", plan.stderr);
    let output = shop.project.podlift(&["run", "--plan", "deploy.plan"]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(shop.postgres.sql("SELECT min(n), max(n), count(*) FROM counts"), "1|1|4000");
}
