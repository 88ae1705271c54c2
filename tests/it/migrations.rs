//! A project's own migration tool around a deploy, on real hosts and a real Postgres: its commands run in one-off containers of the new
//! version, whose image has that version's migrations.

use std::process::Command;

use crate::load::{Load, LoadOptions};
use crate::podlift::Project;
use crate::postgres::{PASSWORD, Postgres, program};
use crate::rig::{Output, Rig, RigOptions, output};

const SCRIPT: &str = r#"
import "std/expand_contract" as change;
import "std/migrations" as migrations;
import "std/rolling" as rolling;
import "std/workers" as workers;
project("PROJECT");
let p = params(#{ version: "v1", step: "deploy", migrate: "add", contract: "drop", jobs: true, forget: false, jam: false, late: false });
let fleet = hosts(["h1", "h2"]);
let env = #{ PGHOST: "ADDRESS", PGPORT: TCP_PORT, PGUSER: "app", PGDATABASE: "shop", PGPASSWORD: secret("DB_PASSWORD") };
let web = service("web", #{ port: 8000, health: http("/health"), env: env });
let jobs = service("jobs", #{ health: no_health(), stop_timeout: "1s", env: env });
let db = database(`postgres://app:${secret("DB_PASSWORD")}@127.0.0.1:TCP_PORT/shop`);
fn image_of(service, version, fleet) {
    let img = build(service, #{ context: "image", tag: version, args: #{ VERSION: version } });
    ship(img, fleet);
    img
}
fn tool(file) {
    ["/bin/psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--single-transaction", `--file=/migrations/${file}.sql`]
}
let roll = |service, img, fleet| {
    ensure(!p.jam, "the roll is jammed");
    if service.has_proxy {
        rolling::deploy(service, img, fleet);
    } else if !p.forget {
        workers::deploy(service, img, fleet, #{ watch: "0s" });
    }
};
let img = image_of(web, p.version, fleet);
let others = if p.jobs { [[jobs, image_of(jobs, p.version, fleet)]] } else { [] };
switch p.step {
    "deploy" => for pair in [[web, img]] + others { roll.call(pair[0], pair[1], fleet); },
    "before" => migrations::before(web, img, fleet, #{ migrate: tool(p.migrate), undo: tool("remove"), deploy: roll }),
    "phases" => migrations::two_phase(web, img, fleet, #{
        expand: tool(p.migrate), undo: tool("remove"), contract: tool(p.contract), services: others, database: db, deploy: roll,
    }),
    "back" => change::may_go_back(db, if p.jobs { jobs } else { web }, p.version),
    _ => fail("there is no such step"),
}
ensure(!p.late, "as it was asked to");
"#;

/// The migrations that each version's image has.
const MIGRATIONS: &[(&str, &str)] = &[
    ("add", "ALTER TABLE users ADD COLUMN IF NOT EXISTS mail text; UPDATE users SET mail = email;"),
    ("broken", "ALTER TABLE users ADD COLUMN mail text; UPDATE users SET mail = 1 / (id - id);"),
    ("remove", "ALTER TABLE users DROP COLUMN mail;"),
    ("drop", "ALTER TABLE users RENAME COLUMN email TO email_old;"),
    ("stuck", "ALTER TABLE users DROP COLUMN email; SELECT nothing FROM nowhere;"),
];

const DOCKERFILE: &str = "FROM scratch\nARG VERSION=dev\nENV VERSION=$VERSION\nCOPY root /\nENTRYPOINT [\"/app\"]\n";

/// Copies Debian's psql and what it needs to run.
const PSQL: &str = r#"
set -e
cd "$1"
for file in "$2" $(ldd "$2" | grep -o '/[^ ]*'); do
  mkdir -p ".${file%/*}"
  cp -L "$file" ".$file"
done
mkdir -p bin
cp -L "$2" bin/psql
"#;

/// Two hosts on which v1 of a web service and its workers run, and a table that v1 knows.
struct Shop {
    rig: Rig,
    postgres: Postgres,
    project: Project,
    schema: String,
    rows: String,
}

impl Shop {
    fn new() -> Self {
        let rig = Rig::up(RigOptions { hosts: 2, client: true, ..RigOptions::default() });
        let postgres = Postgres::start_for(&rig);
        postgres.sql("CREATE TABLE users (id int PRIMARY KEY, email text); ALTER TABLE users OWNER TO app");
        postgres.sql("INSERT INTO users SELECT n, 'user' || n || '@example.com' FROM generate_series(1, 1000) n");
        let project = Project::on(&rig).env("DB_PASSWORD", PASSWORD);
        for (name, sql) in MIGRATIONS {
            project.write(&format!("image/root/migrations/{name}.sql"), sql);
        }
        project.write("image/Dockerfile", DOCKERFILE);
        let root = project.path().join("image/root");
        std::fs::copy(project.path().join("app"), root.join("app")).expect("the folder can be written");
        output(Command::new("sh").args(["-c", PSQL, "sh"]).arg(&root).arg(program("psql")), "").text();
        let script = SCRIPT.replace("PROJECT", &format!("shop{}", rig.id())).replace("ADDRESS", &rig.gateway());
        project.write("deploy.rhai", &script.replace("TCP_PORT", &postgres.port.to_string()));
        let mut shop = Self { rig, postgres, project, schema: String::new(), rows: String::new() };
        shop.ends(0, &["version=v1"]);
        (shop.schema, shop.rows) = (shop.columns(), shop.data("email"));
        shop
    }

    #[track_caller]
    fn ends(&self, code: i32, arguments: &[&str]) -> Output {
        let output = self.project.podlift(&[&["run", "deploy.rhai"], arguments].concat());
        assert_eq!(output.code, code, "{arguments:?}\n{}{}", output.stdout, output.stderr);
        assert!(!output.stderr.contains(PASSWORD), "{}", output.stderr);
        output
    }

    fn columns(&self) -> String {
        let columns =
            "SELECT string_agg(attname, ',' ORDER BY attname) FROM pg_attribute WHERE attrelid = 'users'::regclass AND attnum > 0";
        self.postgres.sql(&format!("{columns} AND NOT attisdropped"))
    }

    fn data(&self, column: &str) -> String {
        self.postgres.sql(&format!("SELECT md5(string_agg(concat(id, {column}), ',' ORDER BY id)) FROM users"))
    }

    /// What the database keeps of the tool's changes.
    fn notes(&self) -> String {
        self.postgres.sql("SELECT string_agg(name || ' ' || state, ', ' ORDER BY name) FROM podlift.changes")
    }

    /// Schema and rows are those of the beginning, and this version of everything runs.
    #[track_caller]
    fn is_as_it_was(&self, version: &str) {
        assert_eq!((self.columns(), self.data("email")), (self.schema.clone(), self.rows.clone()));
        self.runs(version, version);
    }

    /// These versions run on both hosts, and no container of a command is left.
    #[track_caller]
    fn runs(&self, web: &str, jobs: &str) {
        for host in 1..=2 {
            let listed =
                self.rig.exec(host, &["docker", "ps", "--format", "{{.Label \"podlift.service\"}} {{.Label \"podlift.version\"}}"]);
            let mut running: Vec<&str> = listed.text().lines().collect();
            running.sort_unstable();
            assert_eq!(running, [format!("jobs {jobs}"), format!("web {web}")], "h{host}");
            let commands = self.rig.exec(host, &["docker", "ps", "--all", "--quiet", "--filter", "label=podlift.one_off"]);
            assert_eq!(commands.text(), "", "h{host}: a container of a command is left");
        }
    }
}

/// What was told, without the frame around it.
fn told(output: &Output) -> String {
    output.stderr.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ")
}

#[test]
fn a_projects_own_tool_migrates_before_a_deploy_and_what_fails_leaves_schema_and_code_as_they_were() {
    let shop = Shop::new();
    let load = Load::start(&shop.rig, LoadOptions { kept: 12, fresh: 6, ..LoadOptions::on(&shop.rig) });
    let before = |more: &[&'static str]| [&["version=v2", "jobs=false", "step=before"], more].concat();
    // The tool fails in the middle of its transaction: nothing was started, and its words are told.
    let failed = shop.ends(1, &before(&["migrate=broken"]));
    assert!(told(&failed).contains("division by zero"), "{}", failed.stderr);
    shop.is_as_it_was("v1");
    // It succeeds, and something behind the roll fails: the old code comes back, and the tool takes its migration back.
    shop.ends(4, &before(&["late=true"]));
    shop.is_as_it_was("v1");
    shop.ends(0, &before(&[]));
    assert_eq!((shop.columns().as_str(), shop.data("mail")), ("email,id,mail", shop.rows.clone()));
    shop.runs("v2", "v1");
    let summary = load.finish();
    summary.assert_nothing_lost();
    assert!(summary.versions.contains_key("v2"), "{:?}", summary.versions);
    println!("0 of {} requests failed", summary.total);
}

#[test]
fn a_projects_own_tool_migrates_in_two_phases_and_not_in_the_second_one_while_an_old_worker_is_left() {
    let shop = Shop::new();
    let load = Load::start(&shop.rig, LoadOptions { kept: 12, fresh: 6, ..LoadOptions::on(&shop.rig) });
    let phases = |more: &[&'static str]| [&["version=v2", "step=phases"], more].concat();
    let failed = shop.ends(1, &phases(&["migrate=broken"]));
    assert!(told(&failed).contains("division by zero"), "{}", failed.stderr);
    shop.is_as_it_was("v1");
    // The web service was rolled, and nobody has thought of the workers.
    let refused = shop.ends(4, &phases(&["forget=true"]));
    assert!(told(&refused).contains("jobs v1 on h1, h2 still runs: the second phase would take its schema away"), "{}", refused.stderr);
    shop.is_as_it_was("v1");
    assert_eq!(shop.notes(), "", "what was taken back is not noted");
    // The second phase has no way back: where it fails, the new code stays with the schema that it knows.
    let stuck = shop.ends(6, &phases(&["contract=stuck"]));
    assert!(told(&stuck).contains("relation \"nowhere\" does not exist"), "{}", stuck.stderr);
    assert_eq!((shop.columns().as_str(), shop.data("email")), ("email,id,mail", shop.rows.clone()));
    shop.runs("v2", "v2");
    assert_eq!(shop.notes(), "web v2 contracting");
    // The first phase is done again, and taken back: what was noted before stays, and is nothing that this run has done.
    let jammed = shop.ends(4, &phases(&["jam=true"]));
    assert!(told(&jammed).contains("the roll is jammed") && !told(&jammed).contains("without `undo`"), "{}", jammed.stderr);
    assert_eq!(shop.notes(), "web v2 contracting");
    // The same run again, with the migration mended.
    shop.ends(0, &phases(&[]));
    assert_eq!(shop.notes(), "web v2 contracted");
    for (jobs, service) in [("jobs=false", "web"), ("jobs=true", "jobs")] {
        let refused = shop.ends(1, &["version=v1", "step=back", jobs]);
        let words = format!("{service} v1 cannot run any more: the change web v2 has taken its schema away; v2 and newer know the one");
        assert!(told(&refused).contains(&words), "{}", refused.stderr);
        shop.ends(0, &["version=v2", "step=back", jobs]);
    }
    assert_eq!(
        (shop.columns().as_str(), shop.data("email_old"), shop.data("mail")),
        ("email_old,id,mail", shop.rows.clone(), shop.rows.clone())
    );
    shop.runs("v2", "v2");
    for host in 1..=2 {
        let old = shop.rig.exec(host, &["docker", "ps", "--all", "--quiet", "--filter", "label=podlift.version=v1"]);
        assert_eq!(old.text(), "", "h{host}: old code cannot be started again");
    }
    let summary = load.finish();
    summary.assert_nothing_lost();
    println!("0 of {} requests failed", summary.total);
}
