//! Databases: what a script reads, and what it changes, each change once.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use crate::podlift::Project;
use crate::postgres::{PASSWORD, Postgres};
use crate::rig::Output;
use crate::until::until;

/// A project whose scripts have the database as `db`.
pub struct Shop {
    pub postgres: Postgres,
    pub project: Project,
    port: u16,
}

impl Shop {
    pub fn new() -> Self {
        let postgres = Postgres::start();
        Self { port: postgres.port, postgres, project: Project::new().env("DB_PASSWORD", PASSWORD) }
    }

    pub fn write(&self, script: &str) {
        let url = format!("postgres://app:${{secret(\"DB_PASSWORD\")}}@127.0.0.1:{}/shop", self.port);
        self.project.write("deploy.rhai", &format!("let db = database(`{url}`);\n{script}"));
    }

    pub fn run(&self, script: &str) -> Output {
        self.write(script);
        let output = self.project.podlift(&["run", "deploy.rhai", "--verbose"]);
        assert!(!format!("{}{}", output.stdout, output.stderr).contains(PASSWORD), "{}{}", output.stdout, output.stderr);
        output
    }

    #[track_caller]
    pub fn succeeds(&self, script: &str) -> Output {
        let output = self.run(script);
        assert_eq!(output.code, 0, "{}", output.stderr);
        output
    }

    #[track_caller]
    pub fn fails(&self, script: &str, words: &str) -> Output {
        let output = self.run(script);
        assert_ne!(output.code, 0, "{}", output.stderr);
        let told = output.stderr.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
        assert!(told.contains(words), "{}", output.stderr);
        output
    }
}

#[test]
fn a_query_reads_and_can_do_nothing_else() {
    let shop = Shop::new();
    shop.postgres.sql("CREATE TABLE users (id int PRIMARY KEY, name text, tags jsonb); GRANT ALL ON users TO app");
    shop.postgres.sql(&format!("INSERT INTO users VALUES (1, 'ann', '{{\"{PASSWORD}\": [\"{PASSWORD}\"]}}'), (2, NULL, NULL)"));
    let output = shop.succeeds(
        r#"
        let rows = db.query("SELECT id, name, tags, id > 1 AS late, count(*) OVER () AS n FROM users ORDER BY id");
        ensure(rows[0].id + 1 == 2 && rows[0].name == "ann" && rows[1].late && rows[1].name == () && rows[0].n == 2, rows.to_json());
        info(rows.to_json());
        ensure(db.query("SHOW server_version").len() == 1, "a row");
        ensure(db.sessions().len() == 0, db.sessions().to_json());
        "#,
    );
    assert!(output.stderr.contains(r#""${DB_PASSWORD}":["${DB_PASSWORD}"]"#), "{}", output.stderr);
    for statement in [
        "DELETE FROM users",
        "WITH gone AS (DELETE FROM users RETURNING *) SELECT * FROM gone",
        "EXPLAIN ANALYZE DELETE FROM users",
        "SELECT nextval('s')",
        "CREATE TABLE t ()",
    ] {
        shop.postgres.sql("CREATE SEQUENCE IF NOT EXISTS s; GRANT ALL ON SEQUENCE s TO app");
        // A check cannot read a text that is in a variable, so it is the database that refuses it.
        let output = shop.fails(&format!("let text = \"{statement}\"; db.query(text);"), "`query` only reads");
        assert_eq!(output.code, 3, "{statement}: {}", output.stderr);
    }
    shop.fails(r#"db.query("SELECT 1; DELETE FROM users");"#, "`query` takes one statement");
    shop.fails(r#"db.query("COMMIT; DELETE FROM users");"#, "`query` takes one statement");
    shop.fails(r#"db.query("SELECT generate_series(1, 20000)");"#, "more than 10000 rows");
    assert_eq!(shop.postgres.sql("SELECT count(*) FROM users"), "2");
}

#[test]
fn a_dry_run_reads_the_real_database_and_changes_nothing() {
    let shop = Shop::new();
    shop.postgres.sql("CREATE TABLE users (id int PRIMARY KEY); GRANT ALL ON users TO app; INSERT INTO users VALUES (7)");
    shop.write(
        r#"
        info(`before: ${db.query("SELECT id FROM users")[0].id}`);
        db.sql("ALTER TABLE users ADD COLUMN a int", #{ undo: "ALTER TABLE users DROP COLUMN a" });
        db.backfill(#{ table: "users", key: "id", set: "a = 1" });
        ensure(db.query("SELECT a FROM users", #{ assume: [#{ a: 1 }] })[0].a == 1, "as assumed");
        db.backup(host("local"), "/nowhere/shop.dump");
        "#,
    );
    let output = shop.project.podlift(&["run", "deploy.rhai", "--dry-run"]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    let told = format!("{}{}", output.stdout, output.stderr);
    assert!(told.contains("before: 7") && told.contains("the statement succeeds") && told.contains("one row"), "{told}");
    assert_eq!(shop.postgres.sql("SELECT count(*) FROM information_schema.columns WHERE table_name = 'users'"), "1");
}

#[test]
fn a_run_that_fails_takes_its_statements_back_and_nothing_that_was_there_before() {
    let shop = Shop::new();
    shop.postgres.sql("CREATE TABLE users (id int PRIMARY KEY, email text); ALTER TABLE users OWNER TO app");
    shop.postgres.sql("CREATE INDEX users_email ON users (email)");
    let script = r#"
        db.sql("ALTER TABLE users ADD COLUMN a int; CREATE TABLE extra (id int)", #{ undo: "DROP TABLE extra; ALTER TABLE users DROP COLUMN a" });
        let made = db.sql("CREATE INDEX CONCURRENTLY IF NOT EXISTS users_email ON users (email); CREATE INDEX CONCURRENTLY IF NOT EXISTS users_a ON users (a)",
            #{ undo: "DROP INDEX CONCURRENTLY IF EXISTS users_email; DROP INDEX CONCURRENTLY IF EXISTS users_a" });
        ensure(made.existed == ["users_email"], made.to_json());
    "#;
    let output = shop.fails(&format!("{script} fail(\"no more\");"), "no more");
    assert_eq!(output.code, 4, "{}", output.stderr);
    let schema = "SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'users'::regclass AND attnum > 0 AND NOT attisdropped";
    assert_eq!(shop.postgres.sql(schema), "id,email");
    assert_eq!(shop.postgres.sql("SELECT string_agg(indexrelid::regclass::text, ',' ORDER BY indexrelid::regclass::text) FROM pg_index WHERE indrelid = 'users'::regclass"), "users_email,users_pkey");
    shop.succeeds(script);
    assert_eq!(shop.postgres.sql(schema), "id,email,a");
}

#[test]
fn an_index_that_cannot_be_built_leaves_nothing_behind() {
    let shop = Shop::new();
    shop.postgres.sql(
        "CREATE TABLE users (id int PRIMARY KEY, email text); ALTER TABLE users OWNER TO app; INSERT INTO users VALUES (1, 'a'), (2, 'a')",
    );
    let build = r#"db.sql("CREATE UNIQUE INDEX CONCURRENTLY users_email ON users (email)");"#;
    shop.fails(build, "could not create unique index");
    let indexes = "SELECT count(*), count(*) FILTER (WHERE indisvalid) FROM pg_index WHERE indrelid = 'users'::regclass";
    assert_eq!(shop.postgres.sql(indexes), "1|1");
    // What somebody's broken build left is no obstacle.
    assert!(
        !shop
            .postgres
            .psql("shop", "CREATE UNIQUE INDEX CONCURRENTLY users_email ON users (email)")
            .output()
            .expect("psql")
            .status
            .success()
    );
    assert_eq!(shop.postgres.sql(indexes), "2|1");
    shop.postgres.sql("DELETE FROM users WHERE id = 2");
    shop.succeeds(build);
    assert_eq!(shop.postgres.sql(indexes), "2|2");
}

#[test]
fn an_index_whose_build_is_broken_off_in_its_middle_is_dropped_and_built_anew() {
    // Its statement is cancelled: the run fails, and nothing is left. Its session is ended: the run goes on by itself.
    for (ending, code, valid) in [("pg_cancel_backend", 1, ""), ("pg_terminate_backend", 0, "t")] {
        let shop = Shop::new();
        shop.postgres.sql("CREATE TABLE users (id int PRIMARY KEY, email text); ALTER TABLE users OWNER TO app");
        shop.postgres.sql("CREATE TABLE seen (at int); INSERT INTO users VALUES (1, 'a')");
        let mut holder = shop.postgres.session("a report");
        let mut input = holder.stdin.take().expect("it is piped");
        writeln!(input, "BEGIN; INSERT INTO users VALUES (2, 'b'); INSERT INTO seen VALUES (1);").expect("psql reads");
        until("the report holds the table", || {
            shop.postgres.sql("SELECT count(*) FROM pg_locks WHERE relation = 'users'::regclass") != "0"
        });
        shop.write(r#"db.sql("CREATE INDEX CONCURRENTLY users_email ON users (email)");"#);
        let run = shop.project.start(&["run", "deploy.rhai"]);
        let index = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('users_email')";
        until("it is in the middle", || shop.postgres.sql(index) == "f");
        shop.postgres.sql(&format!("SELECT {ending}(pid) FROM pg_stat_activity WHERE application_name LIKE 'podlift-%'"));
        drop(input);
        holder.wait().expect("psql ends");
        let output = run.wait_with_output().expect("podlift ends");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), shop.postgres.sql(index).as_str()), (Some(code), valid), "{ending}: {told}");
        let again = shop.project.podlift(&["run", "deploy.rhai"]);
        let is_there = again.stderr.contains("already exists");
        assert!(again.code == 0 && valid.is_empty() || is_there, "{ending}: {}", again.stderr);
        assert_eq!(shop.postgres.sql(index), "t");
    }
}

#[test]
fn a_statement_waits_shortly_for_its_lock_and_comes_again() {
    let shop = Shop::new();
    shop.postgres.sql("CREATE TABLE users (id int PRIMARY KEY); ALTER TABLE users OWNER TO app; CREATE TABLE seen (at int)");
    let mut holder = shop.postgres.session("a report");
    let mut input = holder.stdin.take().expect("it is piped");
    writeln!(input, "BEGIN; SELECT * FROM users; INSERT INTO seen VALUES (1);").expect("psql reads");
    let holds = "SELECT count(*) FROM pg_locks WHERE relation = 'users'::regclass";
    until("the report holds the table", || shop.postgres.sql(holds) != "0");
    let failing = r#"db.sql("ALTER TABLE users ADD COLUMN a int", #{ lock_timeout: "100ms", retries: 1 });"#;
    shop.fails(failing, "run it again later");
    // A transaction that is still open at the second try is not even queued behind.
    shop.fails(failing, "a transaction (a report, pid");
    shop.write(r#"db.sql("ALTER TABLE users ADD COLUMN a int", #{ lock_timeout: "200ms", retries: 100 });"#);
    let run = shop.project.start(&["run", "deploy.rhai"]);
    until("it has begun", || shop.postgres.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'podlift-%'") != "0");
    drop(input);
    holder.wait().expect("psql ends");
    let output = run.wait_with_output().expect("podlift ends");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Lets a database's clients through, and cuts one off behind what first has these words in it: the server has it, the answer is lost.
fn cutting_behind(words: &'static str, server: u16) -> (u16, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("bound").port();
    let cuts = Arc::new(AtomicU32::new(0));
    let counted = cuts.clone();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(upstream) = TcpStream::connect(("127.0.0.1", server)) else { return };
            let (mut from, mut to) = (upstream.try_clone().expect("a socket"), client.try_clone().expect("a socket"));
            let cuts = counted.clone();
            let is_cut = Arc::new(AtomicU32::new(0));
            let answers_stop = is_cut.clone();
            thread::spawn(move || {
                let mut buffer = [0; 8192];
                while let Ok(count) = from.read(&mut buffer) {
                    if count == 0 || answers_stop.load(Ordering::SeqCst) == 1 || to.write_all(&buffer[..count]).is_err() {
                        break;
                    }
                }
                let _ = to.shutdown(Shutdown::Both);
            });
            thread::spawn(move || {
                let (mut client, mut upstream) = (client, upstream);
                let mut buffer = [0; 8192];
                while let Ok(count) = client.read(&mut buffer) {
                    if count == 0 {
                        break;
                    }
                    let is_it = buffer[..count].windows(words.len()).any(|part| part == words.as_bytes());
                    if is_it && cuts.load(Ordering::SeqCst) == 0 {
                        cuts.fetch_add(1, Ordering::SeqCst);
                        is_cut.store(1, Ordering::SeqCst);
                        let _ = client.shutdown(Shutdown::Both);
                    }
                    if upstream.write_all(&buffer[..count]).is_err() {
                        break;
                    }
                }
                let _ = upstream.shutdown(Shutdown::Write);
            });
        }
    });
    (port, cuts)
}

#[test]
fn a_statement_whose_answer_was_lost_is_not_done_twice() {
    let mut shop = Shop::new();
    shop.postgres.sql("CREATE TABLE counter (n int); ALTER TABLE counter OWNER TO app; INSERT INTO counter VALUES (0)");
    let (port, cuts) = cutting_behind("COMMIT", shop.postgres.port);
    shop.port = port;
    let output = shop.succeeds(
        r#"
        let done = db.sql("UPDATE counter SET n = n + 1 WHERE true; UPDATE counter SET n = n + 10 WHERE true");
        ensure(done.settled == 1, done.to_json());
        "#,
    );
    assert_eq!(cuts.load(Ordering::SeqCst), 1, "{}", output.stderr);
    assert_eq!(shop.postgres.sql("SELECT n FROM counter"), "11");
}

#[test]
fn statements_go_on_where_the_server_is_lost_between_two_of_them() {
    // While it looks what is in the way of the second one, whether the index is there, and while it notes that it begins and has ended.
    for words in ["to_regclass('\"orders\"')", "SELECT indisvalid", "'2', 'begun'", "'2', 'done'"] {
        let mut shop = Shop::new();
        shop.postgres.sql(
            "CREATE TABLE users (n int); CREATE TABLE orders (n int); ALTER TABLE users OWNER TO app; ALTER TABLE orders OWNER TO app",
        );
        let (port, cuts) = cutting_behind(words, shop.postgres.port);
        shop.port = port;
        let output = shop.succeeds(
            r#"
            db.sql("ALTER TABLE users ADD COLUMN a int; ALTER TABLE orders ADD COLUMN a int; CREATE INDEX CONCURRENTLY orders_a ON orders (a)");
            "#,
        );
        assert_eq!(cuts.load(Ordering::SeqCst), 1, "{words}: {}", output.stderr);
        let done = "SELECT count(*) FILTER (WHERE state = 'done'), count(*), (SELECT indisvalid FROM pg_index WHERE indexrelid = 'orders_a'::regclass) \
            FROM podlift.migrations";
        assert_eq!(shop.postgres.sql(done), "3|3|t", "{words}: {}", output.stderr);
    }
}

#[test]
fn what_was_set_for_the_statements_behind_it_is_set_again_where_the_connection_was_lost() {
    let mut shop = Shop::new();
    shop.postgres.sql("CREATE SCHEMA other AUTHORIZATION app");
    let (port, cuts) = cutting_behind("'2', 'done'", shop.postgres.port);
    shop.port = port;
    let output = shop.succeeds("db.sql(\"SET search_path = other; CREATE TABLE a (n int); CREATE TABLE b (n int)\");");
    assert_eq!(cuts.load(Ordering::SeqCst), 1, "{}", output.stderr);
    let tables = "SELECT string_agg(schemaname || '.' || tablename, ' ' ORDER BY tablename) FROM pg_tables WHERE tablename IN ('a', 'b')";
    assert_eq!(shop.postgres.sql(tables), "other.a other.b");
}

#[test]
fn what_cannot_be_settled_is_refused_before_anything_is_sent() {
    let shop = Shop::new();
    for (statement, words) in [
        ("CREATE TABLE t (a int); COMMIT", "podlift begins and ends the transactions"),
        ("COPY t FROM STDIN", "has nothing to read here"),
        ("SELECT 'open", "is not closed before the text ends"),
    ] {
        shop.fails(&format!("db.sql(\"{statement}\");"), words);
    }
    shop.fails("db.sql(\"VACUUM\", #{ transaction: true });", "cannot be in a transaction");
    shop.fails("db.sql(\"CREATE INDEX CONCURRENTLY ON pg_class (oid)\");", "needs a name");
    assert_eq!(shop.postgres.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "0");
    shop.project.write("deploy.rhai", "database(\"postgres://app:hunter2@db/shop\");");
    let output = shop.project.podlift(&["run", "deploy.rhai"]);
    assert!(output.code == 2 && !output.stderr.contains("@db/shop: "), "{}", output.stderr);
    assert!(output.stderr.contains("with a secret"), "{}", output.stderr);
}

#[test]
fn a_file_of_statements_is_read_before_anything_is_touched() {
    let shop = Shop::new();
    shop.postgres.sql("CREATE TABLE users (id int PRIMARY KEY); ALTER TABLE users OWNER TO app");
    shop.project.write("2.sql", "-- two\nALTER TABLE users ADD COLUMN a int;\nCREATE INDEX users_a ON users (a);\n");
    let script = r#"db.sql("ALTER TABLE users ADD COLUMN b int"); db.sql_file("2.sql");"#;
    let output = shop.fails(script, "2.sql, line 3: `CREATE INDEX users_a ON users (a)`: writers of the table wait");
    assert_eq!(output.code, 2, "{}", output.stderr);
    assert_eq!(shop.postgres.sql("SELECT count(*) FROM information_schema.columns WHERE table_name = 'users'"), "1");
    // A path that is put together is read when it is come to.
    let output = shop.fails(r"let n = 2; db.sql_file(`${n}.sql`);", "a statement is refused: writers of the table wait");
    assert_eq!(output.code, 2, "{}", output.stderr);
    assert_eq!(shop.postgres.sql("SELECT count(*) FROM information_schema.columns WHERE table_name = 'users'"), "1");
}

#[test]
fn statements_of_a_file_stand_in_one_transaction_where_they_are_to() {
    let shop = Shop::new();
    shop.postgres.sql("GRANT CREATE ON SCHEMA public TO app");
    shop.project.write("migrations/1.sql", "-- the first\nCREATE TABLE a (id int);\nCREATE TABLE b (id int);\nSELECT 1 / 0;");
    let count = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    shop.fails(r#"db.sql_file("migrations/1.sql", #{ transaction: true });"#, "division by zero");
    assert_eq!(shop.postgres.sql(count), "0");
    // Each in its own: those before the one that fails stay, unless they have an undo.
    shop.fails(r#"db.sql_file("migrations/1.sql", #{ undo: "DROP TABLE IF EXISTS b, a" });"#, "division by zero");
    assert_eq!(shop.postgres.sql(count), "0");
    shop.fails(r#"db.sql_file("migrations/1.sql");"#, "division by zero");
    assert_eq!(shop.postgres.sql(count), "2");
}

#[test]
fn a_check_asks_of_a_database_that_is_only_read_nothing_that_reading_does_not_need() {
    let shop = Shop::new();
    shop.postgres.sql("ALTER DATABASE shop OWNER TO postgres; REVOKE ALL ON DATABASE shop FROM app");
    let check = |script: &str| {
        shop.write(script);
        let output = shop.project.podlift(&["check", "deploy.rhai", "--hosts"]);
        (output.code, format!("{}{}", output.stdout, output.stderr))
    };
    let (code, told) = check("db.query(\"SELECT 1 AS one\"); db.sessions();");
    assert!(code == 0 && told.contains("✓ server") && !told.contains("rights"), "{code}: {told}");
    let (code, told) = check("db.query(\"SELECT 1 AS one\"); db.sql(\"CREATE TABLE a (id int)\");");
    assert!(code != 0 && told.contains("app may not make the schema `podlift`"), "{code}: {told}");
}

#[test]
fn a_statement_that_is_rolled_back_has_done_nothing() {
    let shop = Shop::new();
    for options in ["", ", #{ transaction: true }"] {
        let output = shop.fails(&format!("db.sql(\"CREATE TABLE a (id int); CREATE TABL b\"{options});"), "syntax error");
        assert_eq!(output.stderr.contains("1 command may have done"), options.is_empty(), "{}", output.stderr);
    }
    let output = shop.fails("db.sql(\"CREATE TABL b\");", "nothing was changed in");
    assert!(!output.stderr.contains("may have done"), "{}", output.stderr);
}

#[test]
fn a_backup_can_be_restored_and_a_second_one_does_not_take_its_place() {
    let shop = Shop::new();
    shop.postgres.sql("CREATE TABLE users (id int); ALTER TABLE users OWNER TO app; INSERT INTO users VALUES (1)");
    let path = std::env::var("PATH").unwrap_or_default();
    let bin = crate::postgres::program("pg_dump").parent().map(|folder| folder.display().to_string()).unwrap_or_default();
    let shop = Shop { project: shop.project.env("PATH", &format!("{bin}:{path}")), ..shop };
    let file = shop.project.path().join("dumps/shop.dump").display().to_string();
    let script = format!(
        "let one = db.backup(host(\"local\"), \"{file}\"); let two = db.backup(host(\"local\"), \"{file}\"); ensure(one.path != two.path && one.bytes > 0, one.to_json());"
    );
    shop.succeeds(&script);
    let dumps: Vec<_> = std::fs::read_dir(shop.project.path().join("dumps")).expect("dumps").flatten().map(|entry| entry.path()).collect();
    assert_eq!(dumps.len(), 2);
    let listed =
        std::process::Command::new(crate::postgres::program("pg_restore")).arg("--list").arg(&dumps[0]).output().expect("pg_restore");
    assert!(String::from_utf8_lossy(&listed.stdout).contains("TABLE DATA public users"), "{listed:?}");
}

#[test]
fn statements_of_a_run_that_was_killed_are_resumed_or_taken_back_without_asking() {
    for (command, counted) in [("resume", "11"), ("undo", "0")] {
        let shop = Shop::new();
        shop.postgres.sql("CREATE TABLE counter (n int); ALTER TABLE counter OWNER TO app; INSERT INTO counter VALUES (0)");
        shop.write(
            r#"db.sql("UPDATE counter SET n = n + 1 WHERE true; UPDATE counter SET n = n + 10 FROM (SELECT pg_sleep(2)) AS slept WHERE true", #{ undo: "UPDATE counter SET n = 0" });"#,
        );
        let mut run = shop.project.start(&["run", "deploy.rhai"]);
        until("the first statement is done", || shop.postgres.sql("SELECT n FROM counter") == "1");
        run.kill().expect("it runs");
        run.wait().expect("it ends");
        let output = shop.project.podlift(&[command]);
        assert!(command != "resume" || output.code == 0, "{}", output.stderr);
        assert_eq!(shop.postgres.sql("SELECT n FROM counter"), counted, "{command}: {}", output.stderr);
    }
}
