//! Databases and leases: a run that another one took over writes nothing more, though no host leads to the database.

use std::process::Child;

use crate::leases::{ended, leases, signal};
use crate::podlift::Project;
use crate::postgres::{PASSWORD, Postgres};
use crate::rig::{Rig, RigOptions};
use crate::until::until;

const OTHER: &str = r#"
project("shop");
lock(service("web", #{}), host("h1"));
"#;

/// A rig, a database, and a project whose `deploy.rhai` has the lease of `web` and the database as `db`.
struct Shop {
    _rig: Rig,
    postgres: Postgres,
    project: Project,
}

impl Shop {
    fn new(script: &str) -> Self {
        let rig = Rig::up(RigOptions { nginx: false, ..RigOptions::default() });
        let postgres = Postgres::start();
        let project = Project::on(&rig).env("DB_PASSWORD", PASSWORD);
        let url = format!("postgres://app:${{secret(\"DB_PASSWORD\")}}@127.0.0.1:{}/shop", postgres.port);
        project.write("other.rhai", OTHER);
        project.write("deploy.rhai", &format!("{OTHER}let db = database(`{url}`);\n{script}"));
        Self { _rig: rig, postgres, project }
    }

    fn start(&self) -> Child {
        self.project.start(&["run", "deploy.rhai", "--lease", "3s"])
    }

    /// Lets the run sleep until another one has come and gone.
    fn overtake(&self, sleeper: &Child) {
        signal(sleeper, "STOP");
        until("its lease has run out", || leases(&self.project, "shop", &["h1"]).iter().any(|(.., state)| state == "run out"));
        let released = self.project.podlift(&["lock", "release", "other.rhai"]);
        assert_eq!(released.code, 0, "{}", released.stderr);
        let other = self.project.podlift(&["run", "other.rhai"]);
        assert_eq!(other.code, 0, "{}", other.stderr);
    }
}

/// Wakes the run up, which finds that its lease is lost.
fn wake(sleeper: Child) {
    signal(&sleeper, "CONT");
    let woken = ended(sleeper);
    assert_ne!(woken.code, 0, "{}", woken.stderr);
    assert!(woken.stderr.contains("was taken from this run"), "{}", woken.stderr);
}

#[test]
fn a_run_that_slept_in_a_statement_does_not_go_on_with_the_next_one() {
    let shop = Shop::new(
        r#"
        let statements = "SELECT pg_advisory_xact_lock(7); INSERT INTO done VALUES ('next')";
        db.sql(statements, #{ undo: "INSERT INTO done VALUES ('undone')", lock_timeout: "5m" });
        "#,
    );
    shop.postgres.sql("CREATE TABLE done (what text); GRANT ALL ON done TO app");
    let gate = shop.postgres.gate();
    let sleeper = shop.start();
    until("the first statement waits", || shop.postgres.at_gate(false) == 1);
    shop.overtake(&sleeper);
    // The statement that was on its way comes to its end.
    gate.open();
    until("it has come to its end", || shop.postgres.at_gate(true) == 0);
    wake(sleeper);
    assert_eq!(shop.postgres.sql("SELECT coalesce(string_agg(what, ','), '') FROM done"), "");
}

#[test]
fn a_run_that_slept_in_a_backfill_makes_no_further_batch() {
    let shop = Shop::new(r#"db.backfill(#{ table: "users", key: "id", set: "seen = seen + 1", batch: 10, pause: "200ms" });"#);
    shop.postgres.sql("CREATE TABLE users (id int PRIMARY KEY, seen int NOT NULL DEFAULT 0); ALTER TABLE users OWNER TO app");
    shop.postgres.sql("INSERT INTO users SELECT generate_series(1, 2000); ANALYZE users");
    let seen = || shop.postgres.sql("SELECT sum(seen) FROM users");
    let sleeper = shop.start();
    until("it has begun", || seen() != "0");
    shop.overtake(&sleeper);
    let before = seen();
    wake(sleeper);
    assert_eq!(seen(), before, "the sleeper changed rows");
}
