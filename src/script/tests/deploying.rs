use crate::{
    executor::{Call, Cancellation, Outcome, call::Urgency},
    failure::{Failure, FailureKind},
    model::{Check, ContainerState},
    op::Op,
    script::recording::{container, deploy},
};

#[test]
fn a_deploy_is_one_call_a_host() {
    let calls = deploy(
        r"let next = start(web, img, fleet);
        healthcheck(next);
        set_weights([[(), 0], [next, 100]]);
        drain(next.on(fleet[0]));
        stop(next.on([fleet[1]]));",
    )
    .calls();
    assert_eq!(
        calls,
        [
            "1[0] 10.0.0.1 start 2 × web v2",
            "1[1] 10.0.0.2 start 2 × web v2",
            "2[0] 10.0.0.1 healthcheck shop-web-v2-c6f3397aef-1 and 1 more, at most 30s",
            "2[1] 10.0.0.2 healthcheck shop-web-v2-d6d00e9e48-1 and 1 more, at most 30s",
            "3[0] 10.0.0.1 test_weights web (10.0.0.1: v2 100%)",
            "3[1] 10.0.0.2 test_weights web (10.0.0.2: v2 100%)",
            "4[0] 10.0.0.1 set_weights web (10.0.0.1: v2 100%)",
            "4[1] 10.0.0.2 set_weights web (10.0.0.2: v2 100%)",
            "5 10.0.0.1 drain shop-web-v2-c6f3397aef-1 and 1 more, at most 30s",
            "6 10.0.0.2 stop shop-web-v2-d6d00e9e48-1 and 1 more",
        ]
    );
}

#[test]
fn a_host_that_is_given_alone_is_a_call_of_its_own() {
    let calls = deploy("start(web, img, fleet[0]); start(web, img, [fleet[0]]); ship(img, fleet[1]);").calls();
    assert_eq!(calls, ["1 10.0.0.1 start 2 × web v2", "2[0] 10.0.0.1 start 2 × web v2", "3 10.0.0.2 ship shop-web:v2"]);
}

#[test]
fn an_empty_release_is_none_everywhere() {
    let story = deploy(
        r#"let none = running(web, fleet);
        if none != () { fail("it is not none") }
        healthcheck(none); set_weights([[none, 100]]); drain(none, #{ timeout: "1s" }); stop(none); remove(none); record(none);
        start(none); start(none, fleet); logs(none, 5); traffic(none, "1s"); hook(none, "true"); http_get([none, "/"]);
        let next = start(web, img, fleet[0]);
        print(`${() + next} | ${next + ()} | ${next - next} | ${() - next} | ${next - ()} | ${().on(fleet)} | ${().each()} | ${none.version} | ${none.hosts}`);
        print((() + () == ()) && (next != ()) && (() != next) && !(next == ()));"#,
    )
    .run();
    assert!(story.result.is_ok(), "{:?}", story.result.err().map(|stopped| stopped.error));
    assert_eq!(
        story.lines(),
        ["1[0] 10.0.0.1 find running release of web", "1[1] 10.0.0.2 find running release of web", "2 10.0.0.1 start 2 × web v2"]
    );
    let next = "web v2 on 10.0.0.1";
    assert_eq!(story.said, [format!("{next} | {next} |  |  | {next} |  | [] |  | []"), "true".into()]);
}

#[test]
fn a_start_that_fails_on_one_host_leaves_nothing_on_the_others() {
    let story =
        deploy("try { start(web, img, fleet) } catch (error) { print(`${error.kind} ${error.host} ${error.message} ${error.hints}`); }")
            .answering(|call| match &*call.op {
                Op::Start(op) if op.host.name.as_str() == "10.0.0.2" => {
                    Some(Err(Failure::new(FailureKind::Conflict, "no port is free").hint("free one")))
                }
                _ => None,
            })
            .run();
    assert!(story.result.is_ok());
    assert_eq!(story.said, ["conflict 10.0.0.2 no port is free [\"free one\"]"]);
    assert_eq!(
        story.lines(),
        [
            "1[0] 10.0.0.1 start 2 × web v2",
            "1[1] 10.0.0.2 start 2 × web v2",
            "undo/1[0].0 10.0.0.1 remove shop-web-v2-c6f3397aef-1 and 1 more"
        ]
    );
}

#[test]
fn what_cannot_be_taken_back_is_told() {
    let story = deploy("start(web, img, fleet);")
        .answering(|call| match &*call.op {
            Op::Start(op) if op.host.name.as_str() == "10.0.0.2" => Some(Err(Failure::failed("no port is free"))),
            Op::Remove(_) => Some(Err(Failure::failed("the disk is gone"))),
            _ => None,
        })
        .run();
    let failure = story.result.err().and_then(|stopped| stopped.failure()).expect("a failure");
    assert_eq!(failure.details[0].text, "the disk is gone");
    assert!(failure.details[0].title.contains("which was to undo 1[0], failed"), "{:?}", failure.details);
}

#[test]
fn what_fails_several_times_on_one_host_is_not_said_to_fail_on_several() {
    let error = deploy("let next = start(web, img, fleet[0]);\nhttp_get([next, \"/\"]);")
        .answering(|call| matches!(*call.op, Op::HttpGet(_)).then(|| Err(Failure::new(FailureKind::Unreachable, "no answer"))))
        .fails();
    assert_eq!(error, "6: `http_get` failed 2 of 2 times: 10.0.0.1: no answer");
}

#[test]
fn a_failure_names_all_hosts_that_failed_and_its_line() {
    let error = deploy("\nship(img, fleet);")
        .answering(|call| {
            matches!(*call.op, Op::Ship(_)).then(|| Err(Failure::new(FailureKind::Unreachable, "no answer").hint("check the host")))
        })
        .fails();
    assert_eq!(error, "6: `ship` failed on 2 of 2 hosts: 10.0.0.1: no answer; 10.0.0.2: no answer | check the host");
}

#[test]
fn an_interrupted_run_cannot_be_caught_and_nothing_is_undone() {
    let story = deploy("try { start(web, img, fleet) } catch { print(\"caught\") }")
        .answering(|call| match &*call.op {
            Op::Start(op) if op.host.name.as_str() == "10.0.0.2" => Some(Err(Failure::new(FailureKind::Interrupted, "stopped"))),
            _ => None,
        })
        .run();
    let stopped = story.result.expect_err("it was told to stop");
    assert!(stopped.is_interrupted() && story.said.is_empty() && story.calls.len() == 2);
}

#[test]
fn nothing_begins_once_the_run_was_told_to_stop() {
    let cancellation = Cancellation::default();
    let told = cancellation.clone();
    let story = deploy("start(web, img, fleet[0]); try { start(web, img, fleet[1]) } catch { loop {} }")
        .cancelled_by(&cancellation)
        .answering(move |_| {
            told.request(Urgency::Finish);
            None
        })
        .run();
    assert!(story.result.expect_err("it was told to stop").is_interrupted());
    assert_eq!(story.calls.len(), 1);
}

#[test]
fn an_endless_loop_can_be_stopped() {
    let cancellation = Cancellation::default();
    let told = cancellation.clone();
    std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(50));
        told.request(Urgency::Finish);
    });
    assert!(deploy("loop {}").cancelled_by(&cancellation).run().result.expect_err("it was told to stop").is_interrupted());
}

#[test]
fn a_start_takes_its_own_settings() {
    let story = deploy(
        r#"start(web, img, fleet[0], #{ replicas: 3, env: #{ MODE: "canary", N: 1 }, command: ["serve", "-v"], labels: #{ tier: "x" } });"#,
    )
    .run();
    let Op::Start(op) = &*story.calls[0].op else { panic!("not a start") };
    assert_eq!(op.replicas, 3);
    assert_eq!(serde_json::to_value(&op.service.env).expect("json"), serde_json::json!({ "MODE": "canary", "N": "1" }));
    assert_eq!(op.service.command.as_ref().map(Vec::len), Some(2));
    assert_eq!((op.service.labels["tier"].as_str(), op.reference.as_str(), op.copy.is_none()), ("x", "shop-web:v2", true));
}

#[test]
fn a_stopped_release_starts_again_and_a_copy_takes_its_configuration() {
    let stopped = [1, 2].map(|replica| container("10.0.0.1", "v1", "r1", replica, ContainerState::Stopped));
    let story = deploy(
        r"let old = releases(web, fleet)[0];
        print(old.state);
        let back = start(old);
        print(back.state);
        let copy = start(back, fleet);
        healthcheck(copy);
        print(`${copy.version} ${copy.containers.len()}`);",
    )
    .placing(stopped)
    .run();
    assert!(story.result.is_ok());
    assert_eq!(story.said, ["stopped", "running", "v1 4"]);
    let Op::StartAgain(again) = &*story.calls[2].op else { panic!("not a start") };
    assert_eq!((again.containers.len(), again.restart.as_deref()), (2, Some("unless-stopped")));
    let copies: Vec<_> = story.calls.iter().filter_map(|call| if let Op::Start(op) = &*call.op { Some(op) } else { None }).collect();
    assert_eq!(copies.len(), 2);
    assert_eq!((copies[0].replicas, copies[0].digest.as_str()), (2, "sha256:v1"));
    assert_eq!(copies[0].copy.as_ref().map(|copy| copy.container.to_string()), Some("shop-web-v1-0000000001-1".into()));
    assert!(matches!(&copies[0].service.health.check, Check::Http { path, .. } if path == "/old"));
}

#[test]
fn a_health_check_takes_its_own_times() {
    let story = deploy(
        r#"let r = healthcheck(start(web, img, fleet), #{ timeout: "5s", interval: "100ms", successes: 3, start_period: "2s", expect: [204] });
        print(r);"#,
    )
    .run();
    assert_eq!(story.said, [r#"#{"checks": 4, "seconds": 1.5}"#]);
    let Some(Op::Healthcheck(op)) = story.calls.iter().map(|call| &*call.op).find(|op| matches!(op, Op::Healthcheck(_))) else {
        panic!("none")
    };
    let health = serde_json::json!({
        "check": { "kind": "http", "path": "/health", "expect": [204] },
        "timeout": "5s", "interval": "100ms", "successes": 3, "start_period": "2s",
    });
    assert_eq!(serde_json::to_value(&op.health).expect("json"), health);
}

#[test]
fn a_drain_knows_its_proxies_and_a_stop_its_time() {
    let story = deploy(
        r#"let lb = host("10.0.0.9");
        let api = service("api", #{ port: 80, health: tcp(), balancer: lb, stop_timeout: "3s" });
        let worker = service("worker");
        let next = start(api, img, fleet);
        print(drain(next, #{ timeout: "5s", on_timeout: "fail", allow_downtime: true }));
        stop(next);
        stop(next.on(fleet[0]), #{ timeout: "1s", allow_downtime: true });
        remove(start(worker, img, fleet[0]));"#,
    )
    .run();
    assert!(story.result.is_ok());
    assert_eq!(story.said, [r#"#{"cut": 2, "waited": 0.5}"#]);
    let ops: Vec<serde_json::Value> = story.calls.iter().map(|call| serde_json::to_value(&call.op).expect("json")).collect();
    let drain = ops.iter().find(|op| op["op"] == "drain").expect("a drain");
    assert_eq!(
        (&drain["proxies"][0]["name"], &drain["timeout"], &drain["on_timeout"], &drain["allow_downtime"]),
        (&"10.0.0.9".into(), &"5s".into(), &"fail".into(), &true.into())
    );
    let stops: Vec<_> = ops.iter().filter(|op| op["op"] == "stop").map(|op| op["timeout"].as_str().expect("a text")).collect();
    assert_eq!(stops, ["3s", "3s", "1s"]);
    let remove = ops.iter().find(|op| op["op"] == "remove").expect("a remove");
    assert_eq!(remove["proxies"], serde_json::json!([]));
}

#[test]
fn an_image_is_built_from_the_commit() {
    let story = deploy(
        r#"let built = build(web, #{ context: "app", dockerfile: "Dockerfile.web", target: "run", args: #{ V: 1 }, platform: "linux/arm64", on: fleet[0] });
        print(`${built.reference} ${built.version} ${built.digest}`);
        print(ship(built, fleet));
        print(ship(built, fleet[1]).sent);
        print(build(web, #{ tag: "v9" }));"#,
    )
    .run();
    assert!(story.result.is_ok());
    assert_eq!(
        story.said,
        [
            "shop-web:0123456 0123456 sha256:b",
            r#"[#{"reused": 20, "seconds": 0.5, "sent": 10}, #{"reused": 20, "seconds": 0.5, "sent": 10}]"#,
            "10",
            "shop-web:v9"
        ]
    );
    let Op::Build(op) = &*story.calls[1].op else { panic!("not a build") };
    assert_eq!((op.on.name.as_str(), op.context.as_str(), op.platform.as_deref()), ("10.0.0.1", "app", Some("linux/arm64")));
    let Op::Ship(op) = &*story.calls[2].op else { panic!("not a ship") };
    assert_eq!(op.from.name.as_str(), "10.0.0.1");
}

#[test]
fn a_dirty_tree_needs_to_be_allowed() {
    let dirty = |call: &Call| {
        matches!(*call.op, Op::Git(_)).then(|| {
            let state = serde_json::json!({
                "commit": "0123456", "short": "0123456", "branch": "", "tag": "v1", "dirty": true, "difference": "abcdef01", "message": "",
            });
            Ok(Outcome::of(state))
        })
    };
    assert_eq!(
        deploy("build(web);").answering(dirty).fails(),
        "5: the working tree differs from its commit 0123456 | commit first, or build it as it is with allow_dirty: true"
    );
    assert_eq!(
        deploy("print(build(web, #{ allow_dirty: true })); print(git().tag);").answering(dirty).says(),
        ["shop-web:0123456-dirty-abcdef01", "v1"]
    );
}
