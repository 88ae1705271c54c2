use crate::{
    executor::{Call, Cancellation, Outcome, call::Urgency},
    failure::{Failure, FailureKind},
    op::Op,
    script::recording::deploy,
};

/// Health checks fail on this host.
fn sick(host: &'static str) -> impl Fn(&Call) -> Option<Result<Outcome, Failure>> {
    move |call| match &*call.op {
        Op::Healthcheck(op) if op.host.name.as_str() == host => {
            Some(Err(Failure::new(FailureKind::Unhealthy, "it answered 503").hint("look at its logs")))
        }
        _ => None,
    }
}

#[test]
fn what_a_failed_attempt_did_is_undone_and_the_script_goes_on() {
    let story = deploy(
        r#"start(web, img, fleet[0]);
        let tried = attempt(|| {
            let next = start(web, img, fleet[1]);
            healthcheck(next);
        });
        print(`${tried.ok} ${tried.value} ${tried.error.kind} ${tried.error.message} ${tried.error.host} ${tried.error.hints}`);
        pause("1s");"#,
    )
    .answering(sick("10.0.0.2"))
    .run();
    assert!(story.result.is_ok());
    assert_eq!(story.said, ["false  unhealthy it answered 503  [\"look at its logs\"]"]);
    let lines: Vec<String> = story.lines().iter().map(|line| line.split(" shop-").next().unwrap_or_default().into()).collect();
    assert_eq!(
        lines,
        [
            "1 10.0.0.1 start 2 × web v2",
            "2[0].1 10.0.0.2 start 2 × web v2",
            "2[0].2 10.0.0.2 healthcheck",
            "3 - pause 1s",
            "undo/2[0].1.0 10.0.0.2 remove",
        ]
    );
}

#[test]
fn an_attempt_that_succeeds_returns_what_its_block_returns_and_keeps_it() {
    let story = deploy(
        r#"let tried = attempt(|| { start(web, img, fleet[0]); 7 });
        print(`${tried.ok} ${tried.value} ${tried.error == ()}`);
        hook("local", "echo $PODLIFT_VERSION");"#,
    )
    .run();
    assert_eq!(story.said, ["true 7 true"]);
    let Some(Op::Hook(hook)) = story.calls.last().map(|call| call.op.clone().into_inner()) else { panic!("{:?}", story.lines()) };
    assert_eq!(hook.invocation.env["PODLIFT_VERSION"].to_string(), "v2", "hooks know what the block deployed");
    assert_eq!(story.calls.len(), 2);
}

#[test]
fn an_error_of_the_script_is_caught_too() {
    let said = deploy("let tried = attempt(|| [1][7]); print(`${tried.error.kind}: ${tried.error.message}`);").says();
    assert_eq!(said, ["failed: the array's length is 1, and there is nothing at 7"]);
    let said = deploy("let tried = attempt(|| throw \"no\"); print(tried.error.message);").says();
    assert_eq!(said, ["no"]);
}

#[test]
fn an_undo_that_fails_stops_the_run_and_cannot_be_caught() {
    let story = deploy(
        r#"try {
            attempt(|| { start(web, img, fleet[0]); fail("no") });
        } catch { print("caught") }
        attempt(|| 1);
        parallel([1], |n| print(n));"#,
    )
    .answering(|call| matches!(*call.op, Op::Remove(_)).then(|| Err(Failure::new(FailureKind::Unreachable, "h1 is away"))))
    .run();
    let stopped = story.result.expect_err("it stops");
    let failure = stopped.failure().expect("it says why");
    assert!(story.said.is_empty() && !stopped.is_interrupted());
    assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Unreachable, "`attempt` could not undo a call: h1 is away"));
    assert!(failure.details[0].title.starts_with("start 2 × web v2 on 10.0.0.1 (deploy.rhai:"), "{:?}", failure.details);
}

#[test]
fn a_branch_whose_undo_fails_stops_the_run_whatever_its_siblings_do() {
    let story = deploy(
        r#"try {
            parallel(fleet, |host| { attempt(|| { start(web, img, host); fail("no") }); fail("then") }, #{ fail_fast: false });
        } catch { print("caught") }"#,
    )
    .answering(|call| match &*call.op {
        Op::Remove(op) if op.host.name.as_str() == "10.0.0.2" => Some(Err(Failure::failed("it is stuck"))),
        _ => None,
    })
    .run();
    assert!(story.said.is_empty(), "{:?}", story.said);
    let failure = story.result.expect_err("it stops").failure().expect("it says why");
    assert_eq!(failure.message, "`attempt` could not undo a call: it is stuck");
}

#[test]
fn an_interrupted_attempt_undoes_nothing() {
    let cancellation = Cancellation::default();
    let told = cancellation.clone();
    let story = deploy("attempt(|| { start(web, img, fleet[0]); fail(\"no\") }); print(\"on\");")
        .cancelled_by(&cancellation)
        .answering(move |_| {
            told.request(Urgency::Finish);
            None
        })
        .run();
    assert!(story.result.expect_err("it was told to stop").is_interrupted());
    assert_eq!((story.calls.len(), story.said.len()), (1, 0));
}

#[test]
fn a_commit_in_a_block_makes_final_what_that_block_did() {
    let story = deploy(
        r#"start(web, img, fleet[0]);
        attempt(|| {
            start(web, img, fleet[0]);
            commit();
            start(web, img, fleet[1]);
            fail("no");
        });
        undo();"#,
    )
    .run();
    let undone: Vec<String> =
        story.lines().into_iter().filter_map(|line| Some(line.strip_prefix("undo/")?.split(' ').next()?.into())).collect();
    assert_eq!(undone, ["1.0", "2[0].3.0"]);
}

#[test]
fn undo_in_a_branch_reaches_what_that_branch_did_and_nothing_twice() {
    let story = deploy(
        r"start(web, img, fleet[0]);
        parallel(fleet, |host| {
            start(web, img, host);
            if host == fleet[1] { undo(); undo(); start(web, img, host); }
        });
        undo();
        undo();",
    )
    .run();
    let undone: Vec<String> = story.calls.iter().filter_map(|call| Some(call.key.as_str().strip_prefix("undo/")?.to_owned())).collect();
    assert_eq!(undone[0], "2[1].1.0");
    let mut all = undone.clone();
    all.sort();
    assert_eq!(all, ["1.0", "2[0].1.0", "2[1].1.0", "2[1].2.0"]);
    assert_eq!(undone.last().map(String::as_str), Some("1.0"));
}

#[test]
fn retry_tries_until_it_succeeds_and_leaves_nothing_of_the_tries_before() {
    let script = r#"let n = 0;
        let value = retry(3, "2s", || {
            start(web, img, fleet[0]);
            n += 1;
            if n < 3 { fail(`not yet ${n}`) }
            n
        });
        print(value);"#;
    let story = deploy(script).run();
    assert_eq!(
        story.said,
        ["try 1 of 3 failed: not yet 1", "try 2 of 3 failed: not yet 2", "3"],
        "{:?}",
        story.result.err().map(|stopped| stopped.error)
    );
    let keys: Vec<&str> = story.calls.iter().map(|call| call.key.as_str()).collect();
    assert_eq!(keys, ["1[0].1", "undo/1[0].1.0", "2", "3[0].1", "undo/3[0].1.0", "4", "5[0].1"]);
}

#[test]
fn retry_gives_up_with_the_last_failure() {
    let error = deploy("\nretry(2, \"0s\", || fail(\"still not\"));").fails();
    assert_eq!(error, "6: still not | that was the last of 2 tries of the `retry` in deploy.rhai:6");
    assert!(deploy("retry(0, \"0s\", || 1);").fails().contains("at least once"));
    assert!(deploy("retry(2, \"soon\", || 1);").fails().contains("duration"));
}

#[test]
fn a_start_on_one_host_that_fails_halfway_leaks_nothing() {
    let story = deploy("try { start(web, img, fleet[0]) } catch { print(\"caught\") }")
        .answering(|call| match &*call.op {
            Op::Start(op) => Some(Err(Failure::failed("the second one did not start")
                .undone_by([op.inverse(vec![crate::model::ContainerName::new("half").expect("valid")]).remove(2)]))),
            _ => None,
        })
        .run();
    assert_eq!(story.lines(), ["1 10.0.0.1 start 2 × web v2", "undo/1.0 10.0.0.1 remove half"]);
    assert_eq!(story.said, ["caught"]);
}

#[test]
fn hosts_that_were_given_up_are_reached_again_for_an_undo_and_for_each_try() {
    let story = deploy("attempt(|| fail(\"no\"));").run();
    assert_eq!(story.reached_again, 1, "the undo");
    let story = deploy("try { retry(3, \"0s\", || fail(\"no\")) } catch {}").run();
    assert_eq!(story.reached_again, 5, "three undos, and the tries behind the first one");
}
