//! A schema changes under readers and writers of both versions, and no query fails.

use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::podlift::Project;
use crate::postgres::{PASSWORD, Postgres, program};
use crate::until::until;

/// How many rows the table has: `PODLIFT_ROWS=1000000` is what the claims are made of. What fails shows on few as well.
fn rows() -> u32 {
    std::env::var("PODLIFT_ROWS").ok().and_then(|rows| rows.parse().ok()).unwrap_or(3000)
}

/// How many times its own before the p99 of a version's transactions may be, for `scripts/schema-changes`: on a machine that does
/// other things besides it says little.
fn limit() -> Option<f64> {
    std::env::var("PODLIFT_P99").ok().map(|limit| limit.parse().expect("PODLIFT_P99 is a number"))
}

/// Clients of one version of the code, again and again the same statements on random rows, until they are ended.
struct Clients {
    version: &'static str,
    process: Child,
    _script: tempfile::NamedTempFile,
    /// A line for each transaction.
    log: tempfile::TempDir,
}

impl Clients {
    fn start(postgres: &Postgres, version: &'static str, statements: &str) -> Self {
        let script = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(script.path(), format!("\\set id random(1, {})\n{statements}\n", rows())).expect("written");
        let mut pgbench = Command::new(program("pgbench"));
        pgbench.args(["--no-vacuum", "--client=3", "--time=1800", "--rate=60", "--username=postgres"]).arg("--host").arg(postgres.folder());
        pgbench.args(["--port", &postgres.port.to_string(), "--file"]).arg(script.path()).arg("shop").env("PGAPPNAME", version);
        let log = tempfile::tempdir().expect("a folder");
        pgbench.arg("--log").arg(format!("--log-prefix={}", log.path().join("log").display()));
        let process = pgbench.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("pgbench starts");
        let clients = Self { version, process, _script: script, log };
        let connected = format!("SELECT count(*) FROM pg_stat_activity WHERE application_name = '{version}'");
        until("its clients are connected", || postgres.sql(&connected) == "3");
        clients
    }

    /// How long each transaction took so far, in microseconds: the third word of a line of pgbench's log.
    fn latencies(&self) -> Vec<u64> {
        let files = std::fs::read_dir(self.log.path()).expect("the folder is there").flatten();
        let texts = files.filter_map(|file| std::fs::read_to_string(file.path()).ok());
        texts.flat_map(|text| text.lines().filter_map(|line| line.split(' ').nth(2)?.parse().ok()).collect::<Vec<u64>>()).collect()
    }

    /// Waits until enough of them were measured to know how long they take when nothing else happens; returns how many were.
    fn measured(&self) -> usize {
        // Fewer than a minute brings, which is how long a test waits.
        let enough = if limit().is_some() { 3000 } else { 60 };
        until("its transactions are measured", || {
            // To read the log again and again would be what is measured.
            std::thread::sleep(std::time::Duration::from_millis(500));
            self.latencies().len() >= enough
        });
        self.latencies().len()
    }

    /// Tells what a change cost them.
    #[track_caller]
    fn tell(&self, before: usize, change: &str) {
        let all = self.latencies();
        let (before, during) = all.split_at(before.min(all.len()));
        let p99 = |latencies: &[u64]| {
            let mut sorted = latencies.to_vec();
            sorted.sort_unstable();
            sorted.get((sorted.len() * 99 / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
        };
        let (count, quiet, busy) = (during.len(), p99(before), p99(during));
        #[expect(clippy::cast_precision_loss, reason = "microseconds are few enough")]
        let times = busy as f64 / quiet as f64;
        let told =
            format!("p99 of {} transactions before: {quiet} µs, of {count} during {change}: {busy} µs, {times:.2} times", before.len());
        println!("{}: {told}", self.version);
        assert!(limit().is_none_or(|limit| times <= limit), "{told}");
    }

    /// Ends them; panics where one of their queries failed, or waited longer for a lock than podlift may hold one up.
    #[track_caller]
    fn end(mut self, postgres: &Postgres) {
        let connected = format!("SELECT count(*) FROM pg_stat_activity WHERE application_name = '{}'", self.version);
        let still = postgres.sql(&connected);
        let ended = self.process.try_wait().expect("it can be asked");
        let _ = self.process.kill();
        let output = self.process.wait_with_output().expect("it ends");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            ended.is_none() && still == "3" && !told.contains("ERROR") && !told.contains("abort"),
            "{}: {still} left, {told}",
            self.version
        );
        assert_eq!(postgres.waited_too_long(self.version), Vec::<String>::new());
        until("its sessions are gone", || postgres.sql(&connected) == "0");
    }
}

fn shop() -> (Postgres, Project) {
    let rows = rows();
    let postgres = Postgres::start();
    postgres.sql("CREATE TABLE users (id int PRIMARY KEY, email text, name text, age int); ALTER TABLE users OWNER TO app");
    postgres.sql(&format!(
        "INSERT INTO users SELECT n, 'user' || n || '@example.com', 'Ann ' || n, n % 90 FROM generate_series(1, {rows}) n; ANALYZE users"
    ));
    // A server that has been at work for a while has segments of its log to take again; to make each anew holds all writers up.
    postgres.sql("CHECKPOINT");
    (postgres, Project::new().env("DB_PASSWORD", PASSWORD))
}

fn write(postgres: &Postgres, project: &Project, script: &str) {
    let url = format!("postgres://app:${{secret(\"DB_PASSWORD\")}}@127.0.0.1:{}/shop", postgres.port);
    project.write("deploy.rhai", &format!("import \"std/expand_contract\" as change;\nlet db = database(`{url}`);\n{script}"));
}

#[track_caller]
fn run(postgres: &Postgres, project: &Project, script: &str) -> crate::rig::Output {
    write(postgres, project, script);
    project.podlift(&["run", "deploy.rhai", "--verbose"])
}

#[track_caller]
fn succeeds(postgres: &Postgres, project: &Project, script: &str) {
    let output = run(postgres, project, script);
    assert_eq!(output.code, 0, "{}", output.stderr);
}

const CHECK: &str = "SELECT id FROM users WHERE mail IS DISTINCT FROM email LIMIT 5";

fn begin_rename(services: &str) -> String {
    format!(
        r#"change::begin(db, "users-email", #{{ services: {services}, fleet: [],
        expand: "ALTER TABLE users ADD COLUMN mail text",
        triggers: `
            CREATE FUNCTION users_mail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF TG_OP = 'INSERT' THEN NEW.mail := coalesce(NEW.mail, NEW.email); NEW.email := coalesce(NEW.email, NEW.mail);
                ELSIF NEW.mail IS DISTINCT FROM OLD.mail THEN NEW.email := NEW.mail;
                ELSE NEW.mail := NEW.email; END IF;
                RETURN NEW; END $$;
            CREATE TRIGGER users_mail BEFORE INSERT OR UPDATE ON users FOR EACH ROW EXECUTE FUNCTION users_mail()`,
        backfill: #{{ table: "users", key: "id", set: "mail = email", where: "mail IS DISTINCT FROM email" }},
        verify: "{CHECK}", deploy: |service, img, fleet| () }});"#
    )
}

#[test]
fn a_column_is_renamed_under_both_versions_and_not_before_the_old_one_is_gone() {
    let (postgres, project) = shop();
    let old =
        Clients::start(&postgres, "web@v1", "UPDATE users SET email = 'x' || :id WHERE id = :id;\nSELECT email FROM users WHERE id = :id;");
    let measured = old.measured();
    let declared = "let web = service(\"web\", #{}); let img = image(\"shop-web:v2\");\n";
    succeeds(&postgres, &project, &format!("{declared}{}", begin_rename("[[web, img]]")));
    old.tell(measured, "expand and backfill");
    let between = project.podlift(&["ps", "deploy.rhai"]);
    assert_eq!(between.code, 0, "{}", between.stderr);
    assert!(["users-email", "expanded", "web v2", "/shop"].iter().all(|word| between.stdout.contains(word)), "{}", between.stdout);
    let json: serde_json::Value = serde_json::from_str(project.podlift(&["ps", "deploy.rhai", "--json"]).text()).expect("JSON");
    let change = &json["changes"][0];
    assert_eq!((&json["containers"], &change["change"], &change["state"]), (&json!([]), &json!("users-email"), &json!("expanded")));
    assert_eq!(change["versions"], json!({ "web": "v2" }));
    let new =
        Clients::start(&postgres, "web@v2", "UPDATE users SET mail = 'y' || :id WHERE id = :id;\nSELECT mail FROM users WHERE id = :id;");
    let finish = format!(
        r#"{declared}change::finish(db, "users-email", #{{ services: [[web, img]], fleet: [], verify: "{CHECK}",
        contract: "DROP TRIGGER users_mail ON users; DROP FUNCTION users_mail(); ALTER TABLE users RENAME COLUMN email TO email_old" }});"#
    );
    let shut = run(&postgres, &project, &finish);
    assert!(shut.code != 0 && shut.stderr.contains("a session of web@v1 is open"), "{}", shut.stderr);
    assert_eq!(postgres.sql("SELECT state FROM podlift.changes"), "expanded");
    old.end(&postgres);
    // What fails behind a contract does not make it an expand again.
    let failed = run(&postgres, &project, &format!("{finish} fail(\"later\");"));
    assert_ne!(failed.code, 0, "{}", failed.stderr);
    assert_eq!(postgres.sql("SELECT state FROM podlift.changes"), "contracted");
    new.end(&postgres);
    succeeds(&postgres, &project, &finish);
    assert!(!project.podlift(&["ps", "deploy.rhai"]).stdout.contains("users-email"), "it is contracted");
    let again = run(&postgres, &project, &format!("{declared}{}", begin_rename("[[web, img]]")));
    assert!(again.stderr.contains("cannot begin again"), "{}", again.stderr);
}

#[test]
fn an_expand_whose_run_fails_leaves_schema_and_data_as_they_were() {
    let (postgres, project) = shop();
    let dump = || postgres.sql("SELECT md5(string_agg(u::text, ',' ORDER BY id)) FROM users u");
    let (before, old) = (dump(), Clients::start(&postgres, "web@v1", "SELECT email FROM users WHERE id = :id;"));
    let output = run(&postgres, &project, &format!("{} fail(\"later\");", begin_rename("[]")));
    assert_eq!(output.code, 4, "{}", output.stderr);
    assert_eq!(dump(), before);
    assert_eq!(postgres.sql("SELECT count(*) FROM pg_trigger WHERE tgrelid = 'users'::regclass"), "0");
    assert_eq!(postgres.sql("SELECT count(*) FROM podlift.changes"), "0");
    old.end(&postgres);
}

#[test]
fn a_contract_that_fails_on_its_way_is_gone_on_with_behind_what_is_done() {
    let (postgres, project) = shop();
    succeeds(
        &postgres,
        &project,
        r#"change::begin(db, "age", #{ services: [], fleet: [], expand: "ALTER TABLE users ADD COLUMN years int" });"#,
    );
    postgres.sql("CREATE VIEW ages AS SELECT age FROM users");
    let finish = r#"change::finish(db, "age", #{ services: [], fleet: [], verify: "SELECT id FROM users WHERE name IS NULL",
        contract: "ALTER TABLE users RENAME COLUMN name TO name_old; ALTER TABLE users DROP COLUMN age" });"#;
    let failed = run(&postgres, &project, finish);
    let told = failed.stderr.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
    assert!(failed.code != 0 && told.contains("other objects depend on it"), "{}", failed.stderr);
    assert_eq!(postgres.sql("SELECT state FROM podlift.changes"), "contracting");
    postgres.sql("DROP VIEW ages");
    succeeds(&postgres, &project, finish);
    assert_eq!(postgres.sql("SELECT state FROM podlift.changes"), "contracted");
    let columns = "SELECT string_agg(column_name, ',' ORDER BY column_name) FROM information_schema.columns WHERE table_name = 'users'";
    assert_eq!(postgres.sql(columns), "email,id,name_old,years");
}

/// One call for all of it, and what becomes of a process that dies in it.
const WHOLE: &str = r#"
change::run(db, "mail", #{ services: [], fleet: [],
    expand: "ALTER TABLE users ADD COLUMN mail text; CREATE TABLE mails (id int); CREATE INDEX CONCURRENTLY users_mail ON users (mail)",
    triggers: `
        CREATE FUNCTION users_mail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.mail := NEW.email; RETURN NEW; END $$;
        CREATE TRIGGER users_mail BEFORE INSERT OR UPDATE ON users FOR EACH ROW EXECUTE FUNCTION users_mail()`,
    backfill: #{ table: "users", key: "id", set: "mail = email", where: "mail IS DISTINCT FROM email", pause: "0s" },
    verify: "SELECT id FROM users WHERE mail IS DISTINCT FROM email LIMIT 5",
    contract: "DROP TRIGGER users_mail ON users; DROP FUNCTION users_mail(); ALTER TABLE users RENAME COLUMN email TO email_old" });
"#;

fn is_committed(project: &Project) -> bool {
    let runs = std::fs::read_dir(project.path().join(".podlift/runs")).expect("there is a run").flatten();
    let journals: Vec<String> = runs.filter_map(|run| std::fs::read_to_string(run.path().join("journal.jsonl")).ok()).collect();
    journals.iter().any(|journal| journal.contains("\"commit\""))
}

#[test]
fn an_operator_who_is_killed_at_any_statement_resumes_or_takes_back_to_the_same_schema_and_data() {
    let columns = "SELECT string_agg(attname, ',' ORDER BY attname) FROM pg_attribute WHERE attrelid = 'users'::regclass AND attnum > 0 AND NOT attisdropped";
    let objects = "SELECT (SELECT count(*) FROM pg_trigger WHERE tgrelid = 'users'::regclass), to_regclass('mails'), to_regclass('users_mail'), \
        (SELECT count(*) FROM pg_proc WHERE proname = 'users_mail')";
    for command in ["resume", "undo"] {
        for statements in [1, 4, 6, 8, 11] {
            let (postgres, project) = shop();
            let there = || [columns, objects].map(|asked| postgres.sql(asked));
            let data = |column: &str| {
                postgres.sql(&format!("SELECT md5(string_agg(concat(id, {column}, name, age), ',' ORDER BY id)) FROM users"))
            };
            let (before, rows) = (there(), data("email"));
            write(&postgres, &project, WHOLE);
            let mut process = project.start(&["run", "deploy.rhai"]);
            let begun = "SELECT CASE WHEN to_regclass('podlift.migrations') IS NULL THEN 0 ELSE \
                (xpath('/row/n/text()', query_to_xml('SELECT count(*) AS n FROM podlift.migrations', false, true, '')))[1]::text::int END";
            until("it is that far", || {
                postgres.sql(begun).parse::<u32>().expect("a count") >= statements || process.try_wait().expect("asked").is_some()
            });
            let _ = process.kill();
            process.wait().expect("it ends");
            let output = project.podlift(&[command]);
            let told = format!("{command} behind {statements}: {}", output.stderr);
            let state = postgres.sql("SELECT coalesce(max(state), 'none') FROM podlift.changes");
            let column = if there()[0].contains("email_old") { "email_old" } else { "email" };
            assert_eq!(data(column), rows, "{told}");
            match (command, state.as_str()) {
                ("resume", _) => assert_eq!((state.as_str(), there()[0].as_str()), ("contracted", "age,email_old,id,mail,name"), "{told}"),
                (_, "none") => assert_eq!(there(), before, "{told}"),
                // Behind the gate there is no way back, and the schema is one that the new code knows.
                (_, "expanded") if is_committed(&project) => assert!(there()[0].contains("mail"), "{told}"),
                (_, "contracting" | "contracted") => assert!(there()[0].contains("mail"), "{told}"),
                (_, other) => panic!("{other}: {told}"),
            }
        }
    }
}

#[test]
fn constraints_types_and_indexes_change_under_load() {
    let (postgres, project) = shop();
    let clients =
        Clients::start(&postgres, "web@v1", "UPDATE users SET age = age + 1 WHERE id = :id;\nSELECT * FROM users WHERE id = :id;");
    let measured = clients.measured();
    succeeds(
        &postgres,
        &project,
        r#"
        // A NOT NULL: proven by a check first.
        db.sql(`ALTER TABLE users ADD CONSTRAINT named CHECK (name IS NOT NULL) NOT VALID;
            ALTER TABLE users VALIDATE CONSTRAINT named;
            ALTER TABLE users ALTER COLUMN name SET NOT NULL; ALTER TABLE users DROP CONSTRAINT named`);
        // A unique index.
        db.sql("CREATE UNIQUE INDEX CONCURRENTLY users_email ON users (email)");
        // A change of type, and one column that becomes two.
        change::begin(db, "users-age", #{ services: [], fleet: [],
            expand: "ALTER TABLE users ADD COLUMN age_big bigint; ALTER TABLE users ADD COLUMN first_name text; ALTER TABLE users ADD COLUMN last_name text",
            triggers: `
                CREATE FUNCTION users_age() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                    NEW.age_big := NEW.age; NEW.first_name := split_part(NEW.name, ' ', 1); NEW.last_name := split_part(NEW.name, ' ', 2);
                    RETURN NEW; END $$;
                CREATE TRIGGER users_age BEFORE INSERT OR UPDATE ON users FOR EACH ROW EXECUTE FUNCTION users_age()`,
            backfill: #{ table: "users", key: "id", set: "age_big = age", where: "age_big IS NULL" },
            verify: "SELECT id FROM users WHERE age_big IS DISTINCT FROM age OR last_name IS NULL LIMIT 5" });
        "#,
    );
    clients.tell(measured, "a NOT NULL, a unique index, a change of type and a split");
    clients.end(&postgres);
    assert_eq!(postgres.sql("SELECT count(*) FROM pg_index WHERE indrelid = 'users'::regclass AND indisvalid"), "2");
}

#[test]
fn a_statement_that_old_code_does_not_survive_is_refused_with_what_to_do_instead() {
    let (postgres, project) = shop();
    let output = run(
        &postgres,
        &project,
        r#"change::begin(db, "bad", #{ services: [], fleet: [], expand: "CREATE INDEX users_email ON users (email); ALTER TABLE users RENAME COLUMN email TO mail" });"#,
    );
    let told = output.stderr.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
    assert!(output.code != 0 && told.contains("CREATE INDEX CONCURRENTLY") && told.contains("fails at that moment"), "{}", output.stderr);
    assert_eq!(postgres.sql("SELECT count(*) FROM pg_index WHERE indrelid = 'users'::regclass"), "1");
}
