//! A database that only its own host reaches, through that host's SSH: with TLS within it and without, and when SSH breaks.

use std::process::Command;

use crate::certificates::Authority;
use crate::podlift::Project;
use crate::postgres::{PASSWORD, program};
use crate::rig::{Output, Rig, RigOptions, output};
use crate::until::until;

/// A host whose Postgres listens on 127.0.0.1 there.
struct Shop {
    rig: Rig,
    project: Project,
}

const FOLDER: &str = "/var/lib/shop";

impl Shop {
    fn new() -> Self {
        let rig = Rig::up(RigOptions { nginx: false, ..RigOptions::default() });
        let bin = program("postgres").parent().expect("a folder").display().to_string();
        let make = format!(
            "set -e; install -d -o postgres {FOLDER}; cd {FOLDER}; as='setpriv --reuid=postgres --regid=postgres --clear-groups --'
            $as {bin}/initdb --auth=trust --username=postgres --encoding=UTF8 --no-locale --no-sync --pgdata {FOLDER}/data
            printf 'local all all trust\\nhost all all 127.0.0.1/32 scram-sha-256\\n' >data/pg_hba.conf
            $as {bin}/pg_ctl start --wait --pgdata {FOLDER}/data --log {FOLDER}/log \
                --options '-c listen_addresses=127.0.0.1 -c unix_socket_directories={FOLDER} -c fsync=off'"
        );
        rig.exec(1, &["sh", "-c", &format!("({make}) </dev/null >/root/made 2>&1 || {{ cat /root/made >&2; exit 1; }}")]).text();
        let project = Project::on(&rig).env("DB_PASSWORD", PASSWORD);
        let shop = Self { rig, project };
        shop.psql("postgres", &format!("CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'"));
        shop.psql("postgres", "CREATE DATABASE shop OWNER app");
        shop.sql("CREATE TABLE users (id int PRIMARY KEY, email text, mail text); ALTER TABLE users OWNER TO app");
        shop.sql("INSERT INTO users SELECT n, 'user' || n FROM generate_series(1, 20000) n");
        shop
    }

    fn psql(&self, database: &str, sql: &str) -> String {
        let plain = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--username=postgres"];
        let command = [&plain[..], &["--host", FOLDER, "--dbname", database, "--command", sql]].concat();
        self.rig.exec(1, &command).text().to_owned()
    }

    fn sql(&self, sql: &str) -> String {
        self.psql("shop", sql)
    }

    fn encrypt(&self, authority: &Authority) {
        let certificate = authority.certify("IP:127.0.0.1", 2);
        for (file, text) in [("server.crt", certificate.certificate), ("server.key", certificate.key)] {
            let path = format!("{FOLDER}/data/{file}");
            self.rig.write(1, &path, &text);
            self.rig.exec(1, &["sh", "-c", &format!("chown postgres: {path} && chmod 600 {path}")]).text();
        }
        self.psql("postgres", "ALTER SYSTEM SET ssl = on");
        self.psql("postgres", "SELECT pg_reload_conf()");
        until("it encrypts", || self.psql("postgres", "SHOW ssl") == "on");
    }

    fn write(&self, parameters: &str, script: &str) {
        let url = format!("postgres://app:${{secret(\"DB_PASSWORD\")}}@127.0.0.1:5432/shop{parameters}");
        let head =
            format!("import \"std/expand_contract\" as change;\nlet h1 = host(\"h1\");\nlet db = database(`{url}`, #{{ via: h1 }});");
        self.project.write("deploy.rhai", &format!("{head}\n{script}"));
    }

    #[track_caller]
    fn succeeds(&self, parameters: &str, script: &str) -> Output {
        self.write(parameters, script);
        let output = self.project.podlift(&["run", "deploy.rhai", "--verbose"]);
        assert_eq!(output.code, 0, "{parameters}: {}", output.stderr);
        self.is_nowhere(&output);
        output
    }

    /// The password is in nothing that was said, and in no file here or on the host.
    #[track_caller]
    fn is_nowhere(&self, output: &Output) {
        assert!(!format!("{}{}", output.stdout, output.stderr).contains(PASSWORD), "{}{}", output.stdout, output.stderr);
        let here = Command::new("grep").args(["-rlF", PASSWORD]).arg(self.project.path()).output().expect("grep starts");
        assert_eq!(String::from_utf8_lossy(&here.stdout), "");
        let there = self
            .rig
            .exec(1, &["grep", "-rlF", "--exclude-dir=docker", "--exclude-dir=containerd", PASSWORD, "/var", "/root", "/home", "/tmp"]);
        assert_eq!(there.stdout, "");
    }
}

/// Every program's arguments.
fn arguments() -> String {
    output(Command::new("ps").args(["axww", "-o", "args="]), "").text().to_owned()
}

#[test]
fn a_database_that_only_its_host_reaches_is_changed_through_ssh_with_tls_within_it_and_without() {
    let (shop, authority) = (Shop::new(), Authority::new());
    shop.project.write("ca.pem", &authority.pem());
    for (parameters, encrypted) in
        [("?sslmode=require", false), ("", false), ("?sslmode=verify-full&sslrootcert=ca.pem", true), ("?sslmode=require", true)]
    {
        if encrypted {
            shop.encrypt(&authority);
        } else if !parameters.is_empty() {
            // SSH encrypts, but that is not what the URL asks for.
            shop.write(parameters, "db.query(\"SELECT 1\");");
            let refused = shop.project.podlift(&["run", "deploy.rhai"]);
            assert!(refused.code == 3 && refused.stderr.contains("does not encrypt"), "{}", refused.stderr);
            continue;
        }
        shop.sql("UPDATE users SET mail = NULL");
        let script = format!(
            r#"
            ensure(db.query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")[0].ssl == {encrypted}, "encrypted or not");
            db.sql("CREATE TABLE more (id int); CREATE INDEX CONCURRENTLY users_mail ON users (mail)");
            let filled = db.backfill(#{{ table: "users", key: "id", set: "mail = email", where: "mail IS NULL", pause: "0s" }});
            ensure(filled.rows == 20000, filled.to_json());
            ensure(db.backup(h1, "/var/backups/shop.dump").bytes > 0, "a dump");
            ensure(db.sessions().len() == 0, db.sessions().to_json());
            db.sql("DROP TABLE more; DROP INDEX CONCURRENTLY users_mail");
            "#
        );
        shop.succeeds(parameters, &script);
        assert_eq!(shop.sql("SELECT count(*) FROM users WHERE mail = email"), "20000");
    }
    let dumps = shop.rig.exec(
        1,
        &["sh", "-c", "for dump in /var/backups/shop-*.dump; do pg_restore --list $dump | grep -c 'TABLE DATA public users'; done"],
    );
    assert_eq!(dumps.text(), "1\n1\n1");

    let secure = "?sslmode=verify-full&sslrootcert=ca.pem";
    shop.succeeds(secure, r#"change::begin(db, "mail", #{ services: [], fleet: [], expand: "ALTER TABLE users ADD COLUMN post text" });"#);
    let ps = shop.project.podlift(&["ps", "deploy.rhai"]);
    assert!(ps.code == 0 && ps.stdout.contains("mail") && ps.stdout.contains("expanded"), "{}{}", ps.stdout, ps.stderr);
    let checked = shop.project.podlift(&["check", "deploy.rhai", "--hosts"]);
    assert!(checked.code == 0 && checked.stdout.contains("with TLS, through h1"), "{}{}", checked.stdout, checked.stderr);
}

#[test]
fn the_password_is_in_no_process_list_while_a_dump_is_written() {
    let shop = Shop::new();
    let hold = format!(
        "setsid psql --host {FOLDER} --username postgres --dbname shop --command 'BEGIN; LOCK TABLE users; SELECT pg_sleep(600)' </dev/null >/dev/null 2>&1 &"
    );
    shop.rig.exec(1, &["sh", "-c", &hold]).text();
    until("the table is held", || {
        shop.sql("SELECT count(*) FROM pg_locks WHERE relation = 'users'::regclass AND granted AND mode = 'AccessExclusiveLock'") == "1"
    });
    shop.write("", "db.backup(h1, \"/var/backups/shop.dump\");");
    let run = shop.project.start(&["run", "deploy.rhai"]);
    until("the dump waits", || {
        shop.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'podlift' AND wait_event_type = 'Lock'") == "1"
    });
    let there = shop.rig.exec(1, &["ps", "axww", "-o", "args="]).text().to_owned();
    assert!(there.contains("pg_dump --format=custom") && !there.contains(PASSWORD), "{there}");
    assert!(!arguments().contains(PASSWORD));
    shop.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN; LOCK%'");
    let ended = run.wait_with_output().expect("podlift ends");
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn a_backfill_goes_on_where_it_was_when_its_ssh_connection_breaks() {
    let shop = Shop::new();
    shop.write(
        "",
        r#"
        let filled = db.backfill(#{ table: "users", key: "id", set: "mail = coalesce(mail, '') || email", batch: 20, pause: "20ms" });
        ensure(filled.rows == 20000, filled.to_json());
        "#,
    );
    let mut run = shop.project.start(&["run", "deploy.rhai"]);
    let rows = || {
        // XML of no row at all is none.
        let noted = "SELECT CASE WHEN to_regclass('podlift.backfills') IS NULL THEN 0 ELSE \
            coalesce((xpath('/row/rows/text()', query_to_xml('SELECT coalesce(max(rows), 0) AS rows FROM podlift.backfills', false, true, '')))[1]::text::int, 0) END";
        shop.sql(noted).parse::<u32>().expect("a count")
    };
    for _ in 0..2 {
        let before = rows();
        until("it has gone on", || rows() > before + 200 || run.try_wait().expect("asked").is_some());
        assert!(run.try_wait().expect("asked").is_none() && rows() < 20000, "it came to its end too early");
        // The processes of the host that serve its sessions, of this test's own host only.
        let killed = shop.rig.exec(1, &["sh", "-c", "kill $(pgrep -f '^sshd: (root|.*@)') && echo broken"]);
        assert_eq!(killed.text(), "broken");
    }
    let ended = run.wait_with_output().expect("podlift ends");
    let told = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(0), "{told}");
    // Each row once: no batch was done twice.
    assert_eq!(shop.sql("SELECT count(*) FROM users WHERE mail = email"), "20000", "{told}");
}
