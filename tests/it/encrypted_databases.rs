//! A database over TLS: its certificate is looked at before anything is touched.

use crate::certificates::Authority;
use crate::podlift::Project;
use crate::postgres::{PASSWORD, Postgres, program};
use crate::rig::Output;

struct Shop {
    postgres: Postgres,
    project: Project,
}

impl Shop {
    fn new() -> Self {
        let postgres = Postgres::start();
        postgres.sql("CREATE TABLE users (id int PRIMARY KEY, email text, mail text); ALTER TABLE users OWNER TO app");
        postgres.sql("INSERT INTO users SELECT n, 'user' || n FROM generate_series(1, 3000) n");
        let path = std::env::var("PATH").unwrap_or_default();
        let bin = program("pg_dump").parent().map(|folder| folder.display().to_string()).unwrap_or_default();
        let project = Project::new().env("DB_PASSWORD", PASSWORD).env("PATH", &format!("{bin}:{path}"));
        Self { postgres, project }
    }

    fn write(&self, server: &str, parameters: &str, script: &str) {
        let url = format!("postgres://app:${{secret(\"DB_PASSWORD\")}}@{server}:{}/shop{parameters}", self.postgres.port);
        self.project.write("deploy.rhai", &format!("let db = database(`{url}`);\n{script}"));
    }

    fn run(&self, server: &str, parameters: &str, script: &str) -> Output {
        self.write(server, parameters, script);
        let output = self.project.podlift(&["run", "deploy.rhai", "--verbose"]);
        assert!(!format!("{}{}", output.stdout, output.stderr).contains(PASSWORD), "{}{}", output.stdout, output.stderr);
        output
    }

    /// It works, and the session is encrypted or not.
    #[track_caller]
    fn lets_in(&self, server: &str, parameters: &str, encrypted: bool) {
        let asked = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        let script = format!("ensure(db.query(\"{asked}\")[0].ssl == {encrypted}, \"encrypted or not\");");
        let output = self.run(server, parameters, &script);
        assert_eq!(output.code, 0, "{server} {parameters}: {}", output.stderr);
    }

    /// It is refused in these words, and nothing was touched.
    #[track_caller]
    fn is_refused(&self, server: &str, parameters: &str, words: &str) {
        self.ends(3, server, parameters, words);
    }

    /// It ends with this exit code and in these words, and nothing was touched.
    #[track_caller]
    fn ends(&self, code: i32, server: &str, parameters: &str, words: &str) {
        let output = self.run(server, parameters, "db.sql(\"CREATE TABLE touched (id int)\");");
        let told = output.stderr.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
        assert!(
            output.code == code && told.contains(words) && told.contains("help:"),
            "{server} {parameters}: {}: {}",
            output.code,
            output.stderr
        );
        assert_eq!(self.postgres.sql("SELECT to_regclass('touched'), to_regnamespace('podlift')"), "|", "{server} {parameters}");
    }
}

#[test]
fn a_certificate_that_is_not_as_the_url_asks_is_refused_before_anything_is_touched() {
    let (shop, authority) = (Shop::new(), Authority::new());
    shop.project.write("tls/ca.pem", &authority.pem()).write("tls/other.pem", &Authority::new().pem()).write("tls/none.pem", "none\n");
    shop.lets_in("127.0.0.1", "", false);
    shop.lets_in("127.0.0.1", "?sslmode=disable", false);
    for mode in ["require", "verify-full"] {
        shop.is_refused("127.0.0.1", &format!("?sslmode={mode}"), "does not encrypt, and its URL asks for that");
    }

    shop.postgres.encrypt(&authority.certify("IP:127.0.0.1", 2));
    for parameters in ["", "?sslmode=prefer", "?sslmode=require", "?sslmode=require&sslrootcert=tls/ca.pem"] {
        shop.lets_in("127.0.0.1", parameters, true);
    }
    shop.lets_in("127.0.0.1", "?sslmode=verify-full&sslrootcert=tls/ca.pem", true);
    shop.lets_in("localhost", "?sslmode=verify-ca&sslrootcert=tls/ca.pem", true);
    shop.project.write("tls/my ca.pem", &authority.pem());
    shop.lets_in("127.0.0.1", "?sslmode=verify%2Dfull&sslrootcert=tls%2Fmy%20ca.pem", true);
    shop.lets_in("127.0.0.1", "?sslmode=disable", false);
    shop.is_refused("127.0.0.1", "?sslmode=verify-full", "is signed by nobody in the system's roots");
    for mode in ["require", "verify-ca", "verify-full"] {
        let parameters = format!("?sslmode={mode}&sslrootcert=tls/other.pem");
        shop.is_refused("127.0.0.1", &parameters, "is signed by nobody in tls/other.pem");
    }
    shop.is_refused("localhost", "?sslmode=verify-full&sslrootcert=tls/ca.pem", "is for 127.0.0.1, and not for localhost");
    shop.is_refused("127.0.0.1", "?sslmode=verify-full&sslrootcert=tls/gone.pem", "tls/gone.pem, cannot be read: No such file");
    shop.is_refused("127.0.0.1", "?sslmode=verify-full&sslrootcert=tls/none.pem", "has no certificate in it");
    shop.project.write("tls/bad.pem", "-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n");
    shop.is_refused("127.0.0.1", "?sslmode=verify-full&sslrootcert=tls/bad.pem", "tls/bad.pem, cannot be used");
    shop.is_refused("127.0.0.1", "?sslmode=verify-ca", "names no CA");
    // What no database can be reached by is found in the script.
    shop.ends(2, "127.0.0.1", "?sslmode=allow", "`sslmode` is one of disable, prefer");
    shop.ends(2, "127.0.0.1", "?sslcert=client.pem", "does not know the parameter `sslcert`");

    shop.postgres.encrypt(&authority.certify("IP:127.0.0.1", -1));
    shop.lets_in("127.0.0.1", "?sslmode=require", true);
    shop.is_refused("127.0.0.1", "?sslmode=verify-full&sslrootcert=tls/ca.pem", "has expired");
    shop.postgres.encrypt(&authority.certify_as_of_old());
    shop.lets_in("127.0.0.1", "?sslmode=require", true);
    shop.is_refused("127.0.0.1", "?sslmode=verify-full&sslrootcert=tls/ca.pem", "the certificate of the database");
}

#[test]
fn everything_that_is_done_in_a_database_is_done_over_tls_with_a_ca_of_its_own() {
    let (shop, authority) = (Shop::new(), Authority::new());
    shop.project.write("ca.pem", &authority.pem());
    shop.postgres.encrypt(&authority.certify("IP:127.0.0.1", 2));
    shop.postgres.only_encrypted();
    shop.is_refused("127.0.0.1", "?sslmode=disable", "no encryption");
    let script = r#"
        db.sql("CREATE TABLE more (id int)", #{ undo: "DROP TABLE more" });
        let filled = db.backfill(#{ table: "users", key: "id", set: "mail = email", pause: "0s" });
        ensure(filled.rows == 3000, filled.to_json());
        let dump = db.backup(host("local"), "dumps/shop.dump");
        ensure(dump.bytes > 0 && db.sessions().len() == 0, dump.to_json());
    "#;
    let secure = "?sslmode=verify-full&sslrootcert=ca.pem";
    let output = shop.run("127.0.0.1", secure, script);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(shop.postgres.sql("SELECT count(*) FROM users WHERE mail = email"), "3000");
    // pg_dump is told the same, and sees for itself.
    shop.project.write("ca.pem", &Authority::new().pem());
    let refused = shop.run("127.0.0.1", secure, "db.backup(host(\"local\"), \"dumps/shop.dump\");");
    assert!(refused.code != 0 && refused.stderr.contains("certificate verify failed"), "{}", refused.stderr);
    assert_eq!(std::fs::read_dir(shop.project.path().join("dumps")).expect("dumps").count(), 1);
    // A check tells both.
    shop.write("127.0.0.1", secure, "db.sql(\"CREATE TABLE other (id int)\");");
    let checked = shop.project.podlift(&["check", "deploy.rhai", "--hosts"]);
    assert!(checked.code != 0 && checked.stderr.contains("is signed by nobody in ca.pem"), "{}", checked.stderr);
    shop.project.write("ca.pem", &authority.pem());
    let checked = shop.project.podlift(&["check", "deploy.rhai", "--hosts"]);
    assert_eq!(checked.code, 0, "{}", checked.stderr);
    assert!(checked.stdout.contains("with TLS") && checked.stdout.contains("app can keep what was done"), "{}", checked.stdout);
    let json: serde_json::Value =
        serde_json::from_str(shop.project.podlift(&["check", "deploy.rhai", "--hosts", "--json"]).stdout.lines().last().expect("a line"))
            .expect("JSON");
    assert_eq!((&json[0]["answer"]["encrypted"], &json[0]["problems"]), (&true.into(), &serde_json::json!([])), "{json}");
}
