use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::lab::NoSecrets;
use crate::{
    executor::{Branches, Call, Cancellation, Event, Executor, Narrator, Outcome, Record, RunInfo, record::Nobody},
    failure::{Failure, FailureKind},
    journal::{Journal, Memory},
    model::RunId,
    op::{CommandOutput, Op},
    script::{Checked, ScriptRun, recording::deploy},
};

#[test]
fn keys_do_not_depend_on_which_branch_is_faster() {
    let script = r#"let roll = |host| { let r = start(web, img, host); healthcheck(r); r };
        let all = parallel(fleet, |host| roll.call(host));
        print(all.map(|r| r.hosts[0].name));
        parallel(fleet, |host| parallel([1, 2], |n| pause(`${n}s`)));
        pause("9s");"#;
    let expected = [
        "1[0].1 10.0.0.1 start 2 × web v2",
        "1[0].2 10.0.0.1 healthcheck shop-web-v2-b80c7e1d2c-1 and 1 more, at most 30s",
        "1[1].1 10.0.0.2 start 2 × web v2",
        "1[1].2 10.0.0.2 healthcheck shop-web-v2-0d6a1fe60c-1 and 1 more, at most 30s",
        "2[0].1[0].1 - pause 1s",
        "2[0].1[1].1 - pause 2s",
        "2[1].1[0].1 - pause 1s",
        "2[1].1[1].1 - pause 2s",
        "3 - pause 9s",
    ];
    let without_tokens = |lines: Vec<String>| -> Vec<String> {
        lines.iter().map(|line| line.split(" shop-").next().unwrap_or_default().to_owned()).collect()
    };
    let expected = without_tokens(expected.map(Into::into).to_vec());
    let first_is_slow = |call: &Call| {
        if call.op.host().is_some_and(|host| host.name.as_str() == "10.0.0.1") {
            std::thread::sleep(Duration::from_millis(30));
        }
        None
    };
    let slow = deploy(script).answering(first_is_slow).run();
    let in_order = deploy(script).in_order().run();
    assert_eq!(without_tokens(slow.lines()), expected);
    assert_eq!(slow.lines(), in_order.lines());
    assert_eq!((slow.said.clone(), in_order.said), (slow.said, vec![r#"["10.0.0.1", "10.0.0.2"]"#.to_owned()]));
}

#[test]
fn branches_have_their_own_copies() {
    let said = deploy(
        r"let table = #{ list: [1] };
        let r = parallel([1, 2, 3, 4], |n| { table.list.push(n); table.list.len() }, #{ max: 4 });
        print(r);
        print(table);",
    )
    .says();
    assert_eq!(said, ["[2, 2, 2, 2]", "#{\"list\": [1]}"]);
}

fn failing_on(host: &'static str) -> impl Fn(&Call) -> Option<Result<Outcome, Failure>> + Send + Sync {
    move |call| match &*call.op {
        Op::Start(op) if op.host.name.as_str() == host => {
            std::thread::sleep(Duration::from_millis(20));
            Some(Err(Failure::new(FailureKind::Conflict, format!("{host} is full"))))
        }
        Op::Start(_) => {
            std::thread::sleep(Duration::from_millis(100));
            None
        }
        _ => None,
    }
}

#[test]
fn a_failing_branch_stops_its_siblings_after_their_op() {
    let story = deploy("\nparallel(fleet, |host| { let r = start(web, img, host); try { healthcheck(r) } catch { print(\"caught\") } });")
        .answering(failing_on("10.0.0.1"))
        .run();
    assert_eq!(story.lines(), ["1[0].1 10.0.0.1 start 2 × web v2", "1[1].1 10.0.0.2 start 2 × web v2"]);
    let stopped = story.result.expect_err("it failed");
    let failure = stopped.failure().expect("a failure");
    assert_eq!((failure.to_string().as_str(), failure.origin.map(|origin| origin.line)), ("10.0.0.1 is full", Some(6)));
    assert!(!stopped.is_interrupted() && story.said.is_empty());
}

#[test]
fn without_fail_fast_all_finish_and_one_error_lists_all() {
    let story = deploy("parallel([0, 1, 2], |n| if n == 1 { print(\"one\") } else { throw `no ${n}` }, #{ fail_fast: false });").run();
    let failure = story.result.expect_err("it failed").failure().expect("a failure");
    assert_eq!((failure.to_string().as_str(), story.said), ("2 of 3 branches failed: no 0; no 2", vec!["one".to_owned()]));
}

#[test]
fn a_branch_failure_can_be_caught() {
    let said = deploy("try { parallel([1], |n| fail(\"no\")) } catch (e) { print(e.message) } print(parallel([], |n| n));").says();
    assert_eq!(said, ["no", "[]"]);
}

#[test]
fn phases_and_batches() {
    let said = deploy(
        r#"let inner = phase("outer", || phase("inner", || 5));
        print(inner);
        print(batches([1, 2, 3, 4, 5], 2));
        print(batches([1, 2, 3, 4, 5], "25%"));
        print(batches([1, 2], "1%"));
        print(batches([], 3));
        print(batches(fleet[0], 3));
        phase("bad", || fail("x"));"#,
    )
    .run()
    .said;
    assert_eq!(
        said,
        [
            "0> outer",
            "1> inner",
            "1< inner",
            "0< outer",
            "5",
            "[[1, 2], [3, 4], [5]]",
            "[[1, 2], [3, 4], [5]]",
            "[[1], [2]]",
            "[]",
            "[[10.0.0.1]]",
            "0> bad",
            "0< bad"
        ]
    );
    for size in ["0", "-1", "\"0%\"", "\"101%\"", "\"x\"", "1.5", "()"] {
        assert!(deploy(&format!("batches([1], {size});")).fails().contains("the size of a batch is a count from 1 on"), "{size}");
    }
}

#[test]
fn ensure_fails_and_pause_waits() {
    assert_eq!(deploy("ensure(1 == 1, \"fine\");\nensure(1 == 2, `one is ${1}`);").fails(), "6: one is 1");
    assert_eq!(deploy("pause(\"0s\"); pause(\"1m30s\");").calls(), ["1 - pause 1m30s"]);
    assert!(deploy("pause(\"x\");").fails().contains("not a valid duration"));
}

/// Lets a branch do one step after the other until the other one has failed, which waits for the first of them.
struct Racing(AtomicUsize);

impl Executor for Racing {
    fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
        if !call.op.describe().contains("bad") {
            std::thread::sleep(Duration::from_millis(1));
            self.0.fetch_add(1, Ordering::SeqCst);
            return Ok(Outcome::of(CommandOutput::default()));
        }
        while self.0.load(Ordering::SeqCst) == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(Failure::new(FailureKind::Command, "it exited with 3"))
    }
}

/// Where the record ends.
struct End;

impl Executor for End {
    fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
        Err(Failure::failed(format!("{} is not recorded", call.key)))
    }
}

struct Deaf;

impl Narrator for Deaf {
    fn tell(&self, _: Event<'_>) {}
}

#[test]
fn a_branch_that_was_stopped_is_stopped_at_the_same_call_when_the_run_is_resumed() {
    // The last one is more than are done at once.
    let script = r#"
        let all = ["one", "two", "three", "four", "bad", "five", "six", "seven", "eight"];
        let tried = attempt(|| parallel(all, |name| loop { hook("local", name); attempt(|| hook("local", name + " again")); }));
        ensure(!tried.ok, "a branch fails");
        hook("local", "after");
    "#;
    let checked = Checked::new("deploy.rhai", std::path::Path::new("/nowhere"), script);
    let perform = |executor: Arc<dyn Executor>, branches| {
        checked.run(ScriptRun {
            arguments: Vec::new(),
            executor,
            narrator: Arc::new(Deaf),
            run: Arc::new(RunInfo {
                id: RunId::new("r1").expect("valid"),
                operator: "me@here".into(),
                started: "2026-01-01T00:00:00Z".into(),
            }),
            branches,
            cancellation: Cancellation::default(),
            secrets: Arc::new(NoSecrets),
        })
    };
    let journal = Arc::new(Journal::in_memory());
    let ended = perform(Arc::new(Record::journaled(Racing(AtomicUsize::new(0)), journal.clone(), Arc::new(Nobody))), Branches::default());
    assert!(ended.is_ok(), "{:?}", ended.err().map(|ended| ended.diagnostic.message));
    for branches in [Branches::InOrder, Branches::default(), Branches::Parallel { max: 20 }] {
        let later = Arc::new(Journal::open(Memory, journal.chain()));
        let record = Arc::new(Record::journaled(End, later, Arc::new(Nobody)));
        let ended = perform(record.clone(), branches);
        assert!(ended.is_ok(), "{branches:?}: {:?}", ended.err().map(|ended| ended.diagnostic.message));
        assert_eq!(record.not_asked(), None);
    }
}
