//! Runs whose process dies, at every point at which it can, and what becomes of the fleet when they are resumed or undone.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Mutex},
};

use super::lab::{Lab, NoSecrets};
use crate::{
    executor::{
        Call, Cancellation, Event, Executor, Guard, Intend, Narrator, Outcome, Record,
        doubts::{decided, take_back},
        ending::{Ending, State},
        record::Nobody,
        undo::Undo,
    },
    failure::{Failure, FailureKind},
    journal::{Chain, Entry, Journal, Memory, Store},
    model::{HostName, RunId, RunInfo},
    op::{Op, Sql},
    script::{Branches, Ended, ScriptRun, session::lock},
};

const ROLLING: &str = "rolling::deploy(web, img, fleet);";

/// All of a change of a schema: expand, roll, contract.
const CHANGE: &str = r#"
let db = database("postgres:///shop");
change::run(db, "mail", #{
    services: [[web, img]], fleet: fleet,
    expand: "ALTER TABLE users ADD COLUMN mail text",
    contract: "ALTER TABLE users RENAME COLUMN email TO email_old",
});"#;

/// A disk that outlives its process, which dies at a point: of each change before its intent, between intent and effect, between
/// effect and outcome, after its outcome.
struct Mortal {
    disk: Arc<Mutex<String>>,
    left: usize,
    is_dead: bool,
}

impl Mortal {
    fn lives(&mut self) -> io::Result<()> {
        match self.left.checked_sub(1) {
            Some(left) if !self.is_dead => self.left = left,
            _ => {
                self.is_dead = true;
                return Err(io::Error::other("the process is dead"));
            }
        }
        Ok(())
    }
}

impl Store for Mortal {
    fn append(&mut self, entry: &Entry, line: &str) -> io::Result<()> {
        let is_of_change = entry.is_durable() && matches!(entry, Entry::Intent(_) | Entry::Done { .. } | Entry::Failed { .. });
        if self.is_dead {
            return Err(io::Error::other("the process is dead"));
        }
        if is_of_change {
            self.lives()?;
        }
        lock(&self.disk).push_str(line);
        if is_of_change { self.lives() } else { Ok(()) }
    }
}

/// Nobody dies this late.
const NEVER: usize = usize::MAX;

struct Deaf;

impl Narrator for Deaf {
    fn tell(&self, _: Event<'_>) {}
}

/// A fleet of which a host does not answer.
struct Away {
    fleet: Arc<dyn Executor>,
    host: Option<&'static str>,
}

impl Executor for Away {
    fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
        if call.op.hosts().iter().any(|host| Some(host.name.as_str()) == self.host) {
            return Err(Failure::new(FailureKind::Unreachable, "it does not answer"));
        }
        self.fleet.perform(call)
    }
}

type Process = Record<Guard<Intend<Arc<dyn Executor>>>>;

/// A run of `v2` and what its processes leave.
struct Life {
    lab: Lab,
    run: Arc<RunInfo>,
    disk: Arc<Mutex<String>>,
    /// A host that does not answer.
    away: Option<&'static str>,
}

impl Life {
    fn new(found: &Lab) -> Self {
        let id = RunId::new("r9").expect("valid");
        let run = Arc::new(RunInfo { id, operator: "tester@here".into(), started: "2026-02-01T00:00:00Z".into() });
        Self { lab: found.copy(), run, disk: Arc::default(), away: None }
    }

    fn fleet(&self) -> Arc<dyn Executor> {
        Arc::new(Away { fleet: self.lab.executor(), host: self.away })
    }

    /// A process that begins with what the one before left, and dies at `point`.
    fn record(&self, point: usize) -> (Arc<Process>, Arc<Journal>) {
        let chain = Chain::read(&lock(&self.disk)).expect("what was written can be read");
        lock(&self.disk).truncate(chain.text().len());
        let journal = Arc::new(Journal::open(Mortal { disk: self.disk.clone(), left: point, is_dead: false }, chain));
        let guard = Guard::new(Intend::new(self.fleet(), journal.clone()));
        (Arc::new(Record::journaled(guard, journal.clone(), Arc::new(Nobody))), journal)
    }

    fn run(&self, script: &str, point: usize) -> Result<(), Ended> {
        let (record, _) = self.record(point);
        self.lab.checked(script).run(ScriptRun {
            arguments: vec![("v".into(), "v2".into())],
            executor: record,
            narrator: Arc::new(Deaf),
            run: self.run.clone(),
            branches: Branches::InOrder,
            cancellation: Cancellation::default(),
            secrets: Arc::new(NoSecrets),
        })
    }

    /// Takes it back; whether that came to its end.
    fn undo(&self, point: usize) -> bool {
        let (record, journal) = self.record(point);
        let cancellation = Cancellation::default();
        let undo = Undo { executor: record.as_ref(), run: &self.run, branches: Branches::InOrder, cancellation: &cancellation };
        let decided = decided(&journal, &Nobody).expect("it has no commands");
        take_back(&journal, self.fleet().as_ref(), decided, &undo).is_empty()
    }

    fn state(&self) -> State {
        let records = Journal::open(Memory, Chain::read(&lock(&self.disk)).expect("reads")).records();
        Ending::read(self.lab.executor().as_ref(), &records, &self.run, Branches::InOrder).state()
    }

    fn has_committed(&self) -> bool {
        let chain = Chain::read(&lock(&self.disk)).expect("reads");
        chain.entries().iter().any(|entry| matches!(entry, Entry::Done { asked, .. } if matches!(*asked.op, Op::Commit(_))))
    }

    /// What the statements that were done made of the schema.
    fn schema(&self) -> BTreeSet<&'static str> {
        let chain = Chain::read(&lock(&self.disk)).expect("reads");
        let mut schema = BTreeSet::new();
        for entry in chain.entries() {
            let Entry::Done { asked, .. } = entry else { continue };
            let Op::Sql(Sql { text, .. }) = &*asked.op else { continue };
            let text = text.to_string();
            if text.contains("ADD COLUMN mail") {
                schema.insert("mail");
            }
            if text.contains("DROP COLUMN IF EXISTS \"mail\"") {
                schema.remove("mail");
            }
            if text.contains("RENAME COLUMN email TO email_old") {
                schema.insert("email_old");
            }
        }
        schema
    }

    fn points(&self) -> usize {
        let chain = Chain::read(&lock(&self.disk)).expect("reads");
        2 * chain.entries().iter().filter(|entry| entry.is_durable()).count()
    }
}

/// What is on the hosts on which something is, the tables of services without traffic left out: a first deploy's undo leaves one.
fn there(lab: &Lab) -> BTreeMap<HostName, Vec<String>> {
    let mut fleet = lab.fleet();
    for lines in fleet.values_mut() {
        lines.retain(|line| !line.ends_with("{}"));
    }
    fleet.retain(|_, lines| !lines.is_empty());
    fleet
}

/// Kills a script's process at points that are so far apart, and sees to it that the run comes to its end when it is resumed, and leaves
/// nothing when it is undone.
fn survives(found: &Lab, script: &str, step: usize) {
    let (before, whole) = (there(found), Life::new(found));
    whole.run(script, NEVER).expect("nobody kills it");
    let (after, points) = (there(&whole.lab), whole.points());
    assert!(points > 20, "{script}: only {points} points");
    for point in (0..points).step_by(step) {
        let which = format!("{script}: after {point} of {points}");
        let killed = || {
            let life = Life::new(found);
            life.run(script, point).expect_err("it is killed");
            life
        };
        let life = killed();
        if let Err(ended) = life.run(script, NEVER) {
            panic!("resumed {which}: {} {:?}", ended.diagnostic.message, ended.diagnostic.details);
        }
        assert_eq!((there(&life.lab), life.state()), (after.clone(), whole.state()), "resumed {which}");

        let life = killed();
        assert!(life.undo(NEVER), "undone {which}");
        assert_eq!(there(&life.lab), before, "undone {which}");
    }
}

macro_rules! survive {
    ($($name:ident: $found:expr, $script:expr;)*) => {
        $(#[test]
        fn $name() {
            // A change has four points: none is passed over.
            survives(&$found, $script, 3);
        })*
    };
}

/// A fleet on which a script has deployed v1, and then v0.
fn after(script: &str) -> Lab {
    let mut lab = Lab::new();
    lab.does(script, "v1");
    lab.does(script, "v0");
    lab
}

const WORKERS: &str = "let jobs = service(\"jobs\", #{ image: \"shop-web\", health: no_health() }); workers::deploy(jobs, img, fleet);";
const STANDBY: &str = "blue_green::deploy(web, img, fleet, #{ standby: true });";

#[test]
fn a_rolling_deploy_killed_at_any_point() {
    survives(&Lab::serving_v1(), ROLLING, 1);
}

survive! {
    a_first_deploy_killed_at_any_change: Lab::new(), ROLLING;
    a_rolling_deploy_that_stops_first_killed_at_any_change: Lab::serving_v1(),
        "rolling::deploy(web, img, fleet, #{ order: \"stop-first\", allow_downtime: true });";
    a_recreate_killed_at_any_change: Lab::serving_v1(), "recreate::deploy(web, img, fleet);";
    a_blue_green_killed_at_any_change: Lab::serving_v1(),
        "blue_green::deploy(web, img, fleet, #{ preview: #{ header: \"X-Preview: green\" }, soak: \"1m\", gates: gates::guide() });";
    a_switch_back_killed_at_any_change: after(STANDBY), "blue_green::switch_back(web, fleet);";
    a_canary_killed_at_any_change: Lab::serving_v1(), "canary::deploy(web, img, fleet, #{ steps: [5, 50], sticky: \"seen\" });";
    a_canary_by_hosts_killed_at_any_change: Lab::serving_v1(), "canary::deploy(web, img, fleet, #{ by: \"hosts\", steps: [1] });";
    a_canary_by_replicas_killed_at_any_change: Lab::serving_v1(), "canary::deploy(web, img, fleet, #{ by: \"replicas\", steps: [1] });";
    a_rollback_killed_at_any_change: after(ROLLING), "rollback::previous(web, fleet);";
    a_deploy_of_workers_killed_at_any_change: after(WORKERS), WORKERS;
    a_restart_killed_at_any_change: Lab::serving_v1(), "restart::one_by_one(web, fleet);";
    a_whole_deploy_killed_at_any_change: Lab::serving_v1(), "deploy::run(web, fleet, #{ image: img });";
}

#[test]
fn a_change_of_a_schema_killed_at_any_point_goes_on_or_is_taken_back_and_behind_its_gate_keeps_the_new_code() {
    let running = |lab: &Lab| -> Vec<String> { there(lab).into_values().flatten().filter(|line| line.ends_with(" running")).collect() };
    let found = Lab::serving_v1();
    let (before, whole) = (there(&found), Life::new(&found));
    whole.run(CHANGE, NEVER).expect("nobody kills it");
    let (after, points) = (there(&whole.lab), whole.points());
    assert_eq!(whole.schema(), BTreeSet::from(["email_old", "mail"]));
    let mut kept = 0;
    for point in 0..points {
        let killed = || {
            let life = Life::new(&found);
            life.run(CHANGE, point).expect_err("it is killed");
            life
        };
        let life = killed();
        if let Err(ended) = life.run(CHANGE, NEVER) {
            panic!("resumed after {point} of {points}: {} {:?}", ended.diagnostic.message, ended.diagnostic.details);
        }
        assert_eq!((there(&life.lab), life.schema()), (after.clone(), whole.schema()), "resumed after {point} of {points}");

        let life = killed();
        let is_committed = life.has_committed();
        assert!(life.undo(NEVER), "undone after {point} of {points}");
        if is_committed {
            kept += 1;
            assert_eq!(running(&life.lab), running(&whole.lab), "undone after {point} of {points}");
            assert!(life.schema().contains("mail"), "undone after {point} of {points}");
        } else {
            assert_eq!((there(&life.lab), life.schema()), (before.clone(), BTreeSet::new()), "undone after {point} of {points}");
        }
    }
    assert!(kept > 5 && kept < points / 2, "{kept} of {points} are behind the gate");
}

#[test]
fn an_undo_that_is_killed_too_goes_on_and_so_does_a_resume() {
    let found = Lab::serving_v1();
    let (before, whole) = (there(&found), Life::new(&found));
    whole.run(ROLLING, NEVER).expect("nobody kills it");
    let (after, points) = (there(&whole.lab), whole.points());
    for first in (3..points).step_by(13) {
        for second in (0..).step_by(5) {
            let life = Life::new(&found);
            life.run(ROLLING, first).expect_err("it is killed");
            if life.undo(second) {
                break;
            }
            assert!(life.undo(NEVER), "killed at {first} and in the undo at {second}");
            assert_eq!(there(&life.lab), before, "killed at {first} and in the undo at {second}");
        }
        for second in (0..).step_by(9) {
            let life = Life::new(&found);
            life.run(ROLLING, first).expect_err("it is killed");
            if life.run(ROLLING, second).is_ok() {
                break;
            }
            life.run(ROLLING, NEVER).expect("nobody kills it a third time");
            assert_eq!(there(&life.lab), after, "killed at {first} and again at {second}");
        }
    }
}

#[test]
fn what_cannot_be_settled_does_not_keep_the_rest_from_being_undone() {
    let found = Lab::serving_v1();
    let (before, whole) = (there(&found), Life::new(&found));
    whole.run(ROLLING, NEVER).expect("nobody kills it");
    for point in 0..whole.points() {
        let mut life = Life::new(&found);
        life.run(ROLLING, point).expect_err("it is killed");
        life.away = Some("10.0.0.2");
        life.undo(NEVER);
        for (host, lines) in there(&life.lab).iter().filter(|(host, _)| host.as_str() != "10.0.0.2") {
            assert_eq!(Some(lines), before.get(host), "{host}, undone after {point} while another host was away");
        }
        life.away = None;
        assert!(life.undo(NEVER), "undone after {point} when it answers again");
        assert_eq!(there(&life.lab), before, "undone after {point} when it answers again");
    }
}
