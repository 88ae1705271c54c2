//! A change of a schema on real hosts and a real Postgres, from its expand to its contract, whose process is killed: it is resumed
//! to its end, or undone to the code, the schema and the data that were there; behind its contract's gate the new code stays. A few
//! points, which a seed chooses; `scripts/kill-sweep --strategy expand_contract` does all.

use std::time::{Duration, Instant};

use crate::killed_deploys::{Random, setting};
use crate::load::{Load, LoadOptions};
use crate::podlift::Project;
use crate::postgres::{PASSWORD, Postgres};
use crate::rig::{Rig, RigOptions, output};

const SCRIPT: &str = r#"
import "std/expand_contract" as change;
import "std/rolling" as rolling;
project("PROJECT");
let p = params(#{ version: "v1", changes: false });
let db = database(`postgres://app:${secret("DB_PASSWORD")}@127.0.0.1:PORT/shop`);
let fleet = hosts(["h1", "h2"]);
let web = service("web", #{ port: 8000, health: http("/health") });
let img = build(web, #{ tag: p.version, args: #{ VERSION: p.version } });
let roll = |service, img, fleet| { ship(img, fleet); rolling::deploy(service, img, fleet); };
if p.changes {
    change::run(db, "mail", #{
        services: [[web, img]], fleet: fleet, deploy: roll,
        expand: "ALTER TABLE users ADD COLUMN mail text; CREATE INDEX CONCURRENTLY users_mail ON users (mail)",
        triggers: `
            CREATE FUNCTION users_mail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.mail := NEW.email; RETURN NEW; END $$;
            CREATE TRIGGER users_mail BEFORE INSERT OR UPDATE ON users FOR EACH ROW EXECUTE FUNCTION users_mail()`,
        backfill: #{ table: "users", key: "id", set: "mail = email", where: "mail IS DISTINCT FROM email", pause: "0s" },
        verify: "SELECT id FROM users WHERE mail IS DISTINCT FROM email LIMIT 5",
        contract: "DROP TRIGGER users_mail ON users; DROP FUNCTION users_mail(); ALTER TABLE users RENAME COLUMN email TO email_old",
    });
} else {
    roll.call(web, img, fleet);
}
"#;

const TABLE: &str = "DROP SCHEMA IF EXISTS podlift CASCADE; DROP TABLE IF EXISTS users CASCADE; DROP FUNCTION IF EXISTS users_mail(); \
    CREATE TABLE users (id int PRIMARY KEY, email text); ALTER TABLE users OWNER TO app; \
    INSERT INTO users SELECT n, 'user' || n || '@example.com' FROM generate_series(1, 3000) n";
const SCHEMA: &str = "SELECT (SELECT string_agg(attname, ',' ORDER BY attname) FROM pg_attribute \
    WHERE attrelid = 'users'::regclass AND attnum > 0 AND NOT attisdropped), to_regclass('users_mail'), \
    (SELECT count(*) FROM pg_trigger WHERE tgrelid = 'users'::regclass), (SELECT count(*) FROM pg_proc WHERE proname = 'users_mail')";
const NEW: &str = "email_old,id,mail|users_mail|0|0";

/// How many points a change has, at least.
const POINTS: u64 = 86;

struct Shop {
    rig: Rig,
    postgres: Postgres,
    project: Project,
    version: String,
    changes: usize,
    requests: usize,
}

impl Shop {
    fn new() -> Self {
        let rig = Rig::up(RigOptions { hosts: 2, client: true, ..RigOptions::default() });
        let postgres = Postgres::start();
        let project = Project::on(&rig).env("DB_PASSWORD", PASSWORD);
        let script = SCRIPT.replace("PROJECT", &format!("shop{}", rig.id())).replace("PORT", &postgres.port.to_string());
        project.write("deploy.rhai", &script);
        let first = project.podlift(&["run", "deploy.rhai"]);
        assert_eq!(first.code, 0, "{}", first.stderr);
        Self { rig, postgres, project, version: "v1".into(), changes: 1, requests: 0 }
    }

    fn data(&self, column: &str) -> String {
        self.postgres.sql(&format!("SELECT md5(string_agg(concat(id, {column}), ',' ORDER BY id)) FROM users"))
    }

    /// Whether the process of a change died at this point; then it was resumed or undone, and all is as that says.
    fn round(&mut self, point: usize, is_undo: bool) -> bool {
        self.postgres.sql(TABLE);
        self.changes += 1;
        let next = format!("v{}", self.changes);
        let (before, rows) = (self.postgres.sql(SCHEMA), self.data("email"));
        let load = Load::start(&self.rig, LoadOptions { kept: 8, fresh: 4, ..LoadOptions::on(&self.rig) });
        let mut command = self.project.command(&["run", "deploy.rhai", "changes=true", &format!("version={next}")]);
        let run = output(command.env("PODLIFT_TEST_KILL_AT", point.to_string()), "");
        assert!(run.code == 0 || run.code == -1, "{} {}", run.code, run.stderr);
        let was_killed = run.code == -1;
        let verb = if is_undo { "undo" } else { "resume" };
        let mut told = format!("point {point}, {verb}: {}", run.stderr);
        if was_killed {
            let settled = self.project.podlift(&[verb]);
            told.push_str(&settled.stderr);
            // Behind the gate nothing is left to be undone, and podlift says so.
            assert!(settled.code == 0 || is_undo && self.is_past_the_gate() && [3, 6].contains(&settled.code), "{told}");
        }
        let summary = load.finish();
        summary.assert_nothing_lost();
        self.requests += summary.total;
        let is_new = !was_killed || !is_undo || self.is_past_the_gate();
        let schema = self.postgres.sql(SCHEMA);
        if is_new {
            self.version = next;
            assert!(schema.contains("mail"), "the new code knows it: {schema}: {told}");
        } else {
            assert_eq!(schema, before, "{told}");
        }
        if !is_undo || !was_killed {
            assert_eq!((schema.as_str(), self.postgres.sql("SELECT state FROM podlift.changes").as_str()), (NEW, "contracted"), "{told}");
        }
        assert_eq!(self.data(if schema.contains("email_old") { "email_old" } else { "email" }), rows, "{told}");
        for host in 1..=2 {
            let running = self.rig.exec(host, &["docker", "ps", "--format", "{{.Label \"podlift.version\"}}"]);
            let serves = self.rig.exec(host, &["curl", "-sS", "http://127.0.0.1/version"]);
            assert_eq!([running.text(), serves.text()], [&self.version, &self.version], "{told}");
        }
        let ended = if was_killed { format!("{verb}: {}", if is_new { "all new" } else { "all old" }) } else { "came to its end".into() };
        println!("--- point {point}: {ended}, 0 of {} requests failed", summary.total);
        was_killed
    }

    /// Whether the run has said that there is no way back: the change is on its way to its contract, or the code was made final.
    fn is_past_the_gate(&self) -> bool {
        let runs = std::fs::read_dir(self.project.path().join(".podlift/runs")).expect("there is a run").flatten();
        let newest = runs.map(|run| run.path()).max().expect("there is a run");
        std::fs::read_to_string(newest.join("journal.jsonl")).is_ok_and(|journal| journal.contains("\"commit\""))
    }
}

#[test]
fn a_change_of_a_schema_that_is_killed_is_resumed_to_its_contract_or_undone_to_what_was() {
    let mut random = Random(setting("PODLIFT_SEED").unwrap_or(1));
    let first: Option<usize> = setting("PODLIFT_KILL_FROM");
    let last = setting("PODLIFT_KILL_TO").unwrap_or(usize::MAX);
    let end = setting("PODLIFT_KILL_MINUTES").map(|minutes: u64| Instant::now() + Duration::from_secs(60 * minutes));
    let mut shop = Shop::new();
    let mut killed = 0;
    if let Some(first) = first {
        for point in (first..=last).step_by(setting("PODLIFT_KILL_EVERY").unwrap_or(1)) {
            if end.is_some_and(|end| Instant::now() >= end) {
                println!("--- it is time: go on with --points {point}-");
                break;
            }
            if [false, true].map(|is_undo| shop.round(point, is_undo)) == [false, false] {
                println!("--- a change has {point} points in all");
                break;
            }
            killed += 1;
        }
    } else {
        for is_undo in [true, false] {
            let point = usize::try_from(random.below(POINTS)).expect("it is small");
            assert!(shop.round(point, is_undo), "a change has fewer points than {POINTS}");
            killed += 1;
        }
    }
    println!("--- {killed} points survived; 0 of {} requests failed", shop.requests);
}
