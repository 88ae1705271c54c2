//! A contract on real hosts: refused while anything of the old version is left, anywhere.

use std::io::Write;

use crate::podlift::Project;
use crate::postgres::{PASSWORD, Postgres};
use crate::rig::{Output, Rig, RigOptions};
use crate::until::until;

const SCRIPT: &str = r#"
import "std/deploy" as deploy;
import "std/expand_contract" as change;
import "std/rollback" as rollback;
import "std/workers" as workers;
project("PROJECT");
let p = params(#{ version: "v1", hosts: "h1,h2", step: "deploy", remove_old: false });
let db = database(`postgres://app:${secret("DB_PASSWORD")}@127.0.0.1:PORT/shop`);
let fleet = hosts(p.hosts.split(","));
let jobs = service("jobs", #{ health: no_health(), stop_timeout: "1s" });
let img = build(jobs, #{ tag: p.version, args: #{ VERSION: p.version } });
let roll = |service, img, fleet| { ship(img, fleet); workers::deploy(service, img, fleet, #{ watch: "0s" }); };
switch p.step {
    "deploy" => roll.call(jobs, img, fleet),
    "begin" => change::begin(db, "mail", #{
        services: [[jobs, img]], fleet: fleet, expand: "ALTER TABLE users ADD COLUMN mail text", deploy: roll,
    }),
    "finish" => change::finish(db, "mail", #{
        services: [[jobs, img]], fleet: fleet, remove_old: p.remove_old,
        contract: "ALTER TABLE users RENAME COLUMN email TO email_old",
    }),
    "back" => rollback::to(jobs, fleet, p.version, #{ database: db }),
    "again" => deploy::run(jobs, fleet, #{ image: img, strategy: roll, database: db }),
    _ => fail("there is no such step"),
}
"#;

struct Shop {
    rig: Rig,
    postgres: Postgres,
    project: Project,
    name: String,
}

impl Shop {
    fn on(hosts: usize) -> Self {
        let rig = Rig::up(RigOptions { hosts, nginx: false, ..RigOptions::default() });
        let postgres = Postgres::start();
        postgres.sql("CREATE TABLE users (id int PRIMARY KEY, email text); ALTER TABLE users OWNER TO app");
        let project = Project::on(&rig).env("DB_PASSWORD", PASSWORD);
        // Tests share this machine's engine, in which a name is one image.
        let name = format!("shop{}", rig.id());
        project.write("deploy.rhai", &SCRIPT.replace("PROJECT", &name).replace("PORT", &postgres.port.to_string()));
        Self { rig, postgres, project, name }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.project.podlift(&[&["run", "deploy.rhai"], arguments].concat())
    }

    #[track_caller]
    fn succeeds(&self, arguments: &[&str]) {
        let output = self.run(arguments);
        assert_eq!(output.code, 0, "{arguments:?}: {}", output.stderr);
    }

    /// The contract is refused, with these words, and nothing is contracted.
    #[track_caller]
    fn stays_shut(&self, arguments: &[&str], words: &str) {
        let output = self.run(&[&["version=v2", "step=finish"], arguments].concat());
        let told = output.stderr.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
        assert!(output.code != 0 && told.contains(words), "{words}: {}", output.stderr);
        assert_eq!(self.postgres.sql("SELECT state FROM podlift.changes"), "expanded");
    }

    /// The names of a version's containers on a host.
    fn containers(&self, host: usize, version: &str, all: bool) -> Vec<String> {
        let filter = format!("name={}-jobs-{version}-", self.name);
        let mut command = vec!["docker", "ps", "--format", "{{.Names}}", "--filter", &filter];
        command.extend(all.then_some("--all"));
        self.rig.exec(host, &command).text().lines().map(str::to_owned).collect()
    }
}

#[test]
fn a_contract_waits_for_the_last_container_command_session_and_host_of_the_old_version() {
    let shop = Shop::on(3);
    shop.succeeds(&["version=v1"]);
    shop.succeeds(&["version=v2", "step=begin"]);
    // Until the contract the way back is open.
    shop.succeeds(&["version=v1", "step=back"]);
    shop.succeeds(&["version=v2"]);
    // The roll keeps the old workers, stopped: somebody could start them again.
    let old = shop.containers(2, "v1", true);
    assert_eq!(old.len(), 1, "{old:?}");
    shop.stays_shut(&[], &format!("{} on h2 is stopped", old[0]));
    // Hosts that were there at the expand are asked too, named or not.
    shop.stays_shut(&["hosts=h1"], &format!("{} on", old[0]));
    shop.rig.exec(2, &["docker", "start", &old[0]]).text();
    shop.stays_shut(&["remove_old=true"], "is running");
    assert_eq!(shop.containers(1, "v1", true).len(), 1, "nothing is deleted while the gate is shut");
    shop.rig.exec(2, &["docker", "stop", "--time", "1", &old[0]]).text();

    // What a command of a run that was killed leaves: podlift's own labels, and nobody who waits for it.
    let image = format!("{}-jobs:v1", shop.name);
    let labels = ["podlift.one_off.service=jobs", "podlift.one_off.version=v1"];
    let name = format!("{}-migrate", shop.name);
    let run = ["docker", "run", "--detach", "--name", &name, "--label", labels[0], "--label", labels[1], &image];
    shop.rig.exec(1, &run).text();
    shop.stays_shut(&["remove_old=true"], &format!("the one-off command {name} is on h1"));
    shop.rig.exec(1, &["docker", "rm", "--force", &name]).text();

    let mut session = shop.postgres.session("jobs@v1");
    let mut input = session.stdin.take().expect("it is piped");
    writeln!(input, "SELECT 1;").expect("psql reads");
    let connected = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'jobs@v1'";
    until("it is connected", || shop.postgres.sql(connected) == "1");
    shop.stays_shut(&["remove_old=true"], "a session of jobs@v1 is open in the database");
    drop(input);
    session.wait().expect("psql ends");

    // A host that came after the expand, by a deploy of the old version.
    shop.succeeds(&["version=v1", "hosts=h3"]);
    shop.stays_shut(&["remove_old=true", "hosts=h1,h2,h3"], "h3 is running");
    for id in shop.containers(3, "v1", true) {
        shop.rig.exec(3, &["docker", "rm", "--force", &id]).text();
    }

    shop.rig.partition(2);
    let silent = shop.run(&["version=v2", "step=finish", "remove_old=true", "hosts=h1"]);
    assert_ne!(silent.code, 0, "{}", silent.stderr);
    assert_eq!(shop.postgres.sql("SELECT state FROM podlift.changes"), "expanded", "{}", silent.stderr);
    shop.rig.heal(2);

    shop.succeeds(&["version=v2", "step=finish", "remove_old=true", "hosts=h1,h2,h3"]);
    assert_eq!(shop.postgres.sql("SELECT state FROM podlift.changes"), "contracted");
    assert_eq!([1, 2].map(|host| shop.containers(host, "v1", true).len()), [0, 0]);
    let again = shop.run(&["version=v1", "step=again"]);
    assert!(again.code != 0 && again.stderr.contains("cannot run any more"), "{}", again.stderr);
    assert_eq!([1, 2].map(|host| shop.containers(host, "v2", false).len()), [1, 1]);
}
