//! What `stdlib/` has besides strategies, on a modelled fleet: rollback, workers, restart, places, hosts that join, whole deploys.

use super::lab::{Lab, Told};
use crate::{
    executor::{Call, Outcome, ending::State},
    failure::Failure,
    op::Op,
};

/// Calls of `script` at each of which a run was made to fail: the fleet has to be as it was.
#[track_caller]
fn assert_undone_at_every_call(found: &Lab, script: &str) {
    let before = found.fleet();
    let calls = found.copy().does(script, "v9").calls;
    for number in 0..calls {
        let mut lab = found.copy();
        let fault = move |at: usize, _: &Call| (at == number).then(|| Failure::failed("the call failed"));
        let told = lab.run_with(script, "v9", Box::new(fault));
        if told.ended.is_ok() {
            continue;
        }
        assert!(told.left.is_empty() && matches!(told.state, State::AllOld | State::Unchanged), "{script} at {number}: {:?}", told.state);
        assert_eq!(lab.fleet(), before, "{script} at call {number} of {calls}");
    }
}

/// A fleet on which v1, v2 and v3 were deployed, and v3 serves.
fn serving_v3() -> Lab {
    let mut lab = Lab::serving_v1();
    lab.does("rolling::deploy(web, img, fleet);", "v2");
    lab.does("rolling::deploy(web, img, fleet);", "v3");
    lab
}

#[track_caller]
fn assert_serves(lab: &Lab, version: &str) {
    assert_eq!(lab.serving(), [format!("10.0.0.1: {version} 100; 2 run"), format!("10.0.0.2: {version} 100; 2 run")]);
}

#[test]
fn a_rollback_starts_the_kept_containers_again() {
    let mut lab = serving_v3();
    let told = lab.does("rollback::previous(web, fleet);", "v9");
    assert_serves(&lab, "v2");
    assert!(!told.records.iter().any(|record| matches!(*record.op, Op::Start(_))));
    assert!(told.said.contains(&"web goes back from [\"v3\"] to v2".into()), "{:?}", told.said);
    lab.does("rollback::previous(web, fleet);", "v9");
    assert_serves(&lab, "v1");
    let message = lab.fails("rollback::previous(web, fleet);", "v9");
    assert!(message.starts_with("no release of web of another version than v1, from before it, is kept"), "{message}");
    let told = lab.does("rollback::to(web, fleet, \"v3\", #{ after: |back| info(`${back.version} is back`) });", "v9");
    assert_serves(&lab, "v3");
    assert_eq!(told.said.last().map(String::as_str), Some("v3 is back"));
    assert_eq!(lab.does("rollback::to(web, fleet, \"v3\");", "v9").said, ["web v3 serves already"]);
}

#[test]
fn a_rollback_passes_over_releases_of_the_version_that_serves() {
    let mut lab = Lab::serving_v1();
    lab.does("rolling::deploy(web, img, fleet);", "v2");
    let more = "let web = service(\"web\", #{ port: 8000, replicas: 3, health: http(\"/health\") });\nrolling::deploy(web, img, fleet);";
    lab.does(more, "v2");
    let told = lab.does("rollback::previous(web, fleet);", "v9");
    assert!(told.said.contains(&"web goes back from [\"v2\"] to v1".into()), "{:?}", told.said);
    assert_serves(&lab, "v1");
    let mut alone = Lab::serving_v1();
    alone.does("rolling::deploy(web, img, fleet);", "v1");
    let message = alone.fails("rollback::previous(web, fleet);", "v9");
    let told = "no release of web of another version than v1, from before it, is kept: deploy the version that you want again";
    assert_eq!(message, told);
}

#[test]
fn a_rollback_that_fails_at_any_call_leaves_the_fleet_as_it_was() {
    assert_undone_at_every_call(&serving_v3(), "rollback::previous(web, fleet);");
}

#[test]
fn a_rollback_takes_a_host_along_that_the_release_was_never_on() {
    let mut lab = Lab::new();
    lab.does("rolling::deploy(web, img, fleet[0]);", "v1");
    lab.does("rolling::deploy(web, img, fleet);", "v2");
    lab.does("rollback::previous(web, fleet);", "v9");
    assert_serves(&lab, "v1");
}

#[test]
fn a_release_is_found_by_commit_and_by_what_git_knows() {
    let mut lab = Lab::new();
    for version in ["a1b2c3d", "b2c3d4e", "c3d4e5f"] {
        lab.does("rolling::deploy(web, img, fleet);", version);
    }
    lab.does("rollback::to(web, fleet, \"b2c3d4e5f60718293a4b5c6d7e8f901234567890\");", "v9");
    assert_serves(&lab, "b2c3d4e");
    lab.answer = |call| {
        let Op::Probe(_) = &*call.op else { return None };
        Some(Outcome::of(serde_json::json!({ "code": 0, "stdout": "a1b2c3d4e5f60718293a4b5c6d7e8f9012345678\n", "stderr": "" })))
    };
    lab.does("rollback::to(web, fleet, \"v1.2.3\");", "v9");
    assert_serves(&lab, "a1b2c3d");
    lab.answer = |_| None;
    let message = lab.fails("rollback::to(web, fleet, \"v7\");", "v9");
    assert_eq!(message, "no release of web is kept that is v7; there are [\"c3d4e5f\", \"b2c3d4e\"]");
}

const JOBS: &str = "let jobs = service(\"jobs\", #{ image: \"shop-web\", replicas: 2, health: no_health() });\n";

#[test]
fn workers_are_replaced_and_a_failure_leaves_the_old_ones_at_work() {
    for options in ["#{}", "#{ order: \"stop-first\", quiet: [\"app\", \"quiet\"], loud: [\"app\", \"loud\"] }"] {
        let script = format!("{JOBS}workers::deploy(jobs, img, fleet, {options});");
        let mut lab = Lab::new();
        lab.does(&script, "v1");
        let told = lab.does(&script, "v2");
        assert_eq!(told.state, State::AllNew, "{options}");
        assert_undone_at_every_call(&lab, &script);
        lab.does(&format!("{JOBS}rollback::previous(jobs, fleet);"), "v9");
        let running = lab.does(&format!("{JOBS}info(running(jobs, fleet).versions);"), "v9").said;
        assert_eq!(running, ["[\"v1\"]"], "{options}");
    }
}

#[test]
fn a_restart_touches_one_container_at_a_time_and_changes_nothing_else() {
    let mut lab = Lab::serving_v1();
    let before = lab.fleet();
    let told = lab.does("restart::one_by_one(web, fleet);", "v9");
    assert_eq!(lab.fleet(), before);
    let again: Vec<usize> = told
        .records
        .iter()
        .filter_map(|record| if let Op::StartAgain(op) = &*record.op { Some(op.containers.len()) } else { None })
        .collect();
    assert_eq!(again, [1, 1, 1, 1]);
    assert_undone_at_every_call(&lab, "restart::one_by_one(web, fleet);");
}

#[test]
fn a_container_that_is_alone_has_a_copy_while_it_restarts() {
    let mut lab = Lab::new();
    let alone = "let api = service(\"api\", #{ image: \"shop-web\", port: 80, health: tcp() });\n";
    lab.does(&format!("{alone}rolling::deploy(api, img, fleet);"), "v1");
    let before = lab.fleet();
    let script = format!("{alone}restart::one_by_one(api, fleet);");
    assert_undone_at_every_call(&lab, &script);
    let serving = lab.serving();
    let told = lab.does(&script, "v9");
    assert_eq!(lab.serving(), serving);
    let kept: Vec<String> = lab.fleet().into_values().flatten().filter(|line| line.ends_with(" running")).collect();
    assert_eq!(kept, before.into_values().flatten().filter(|line| line.ends_with(" running")).collect::<Vec<_>>());
    assert_eq!(told.records.iter().filter(|record| matches!(*record.op, Op::Start(_))).count(), 2);
}

#[test]
fn a_host_joins_with_what_serves_on_the_others_and_leaves_again() {
    let mut lab = Lab::new();
    lab.does("rolling::deploy(web, img, fleet[0]);", "v1");
    lab.does("rolling::join(web, fleet[0], [fleet[1]]);", "v9");
    assert_serves(&lab, "v1");
    lab.does("rolling::retire(web, fleet[1], #{ allow_downtime: true });", "v9");
    assert_eq!(lab.serving(), ["10.0.0.1: v1 100; 2 run", "10.0.0.2: ; 0 run"]);
}

#[test]
fn one_host_goes_before_the_others() {
    let mut lab = Lab::new();
    let script = "let fleet = hosts([\"a\", \"b\", \"c\", \"d\"]); ship(img, fleet);
        rolling::deploy(web, img, places::ordered(fleet, \"region\"), #{ first: 1, batch: \"100%\" });";
    let told = lab.does(script, "v1");
    let batches: Vec<&str> =
        told.records.iter().filter(|record| matches!(*record.op, Op::Start(_))).map(|record| record.key.as_str()).collect();
    assert_eq!(batches.iter().map(|key| key.split('[').next().unwrap_or_default()).collect::<std::collections::BTreeSet<_>>().len(), 2);
    assert_eq!(batches.len(), 4);
}

#[test]
fn hosts_are_deployed_to_in_the_order_of_a_label() {
    let mut lab = Lab::new();
    let script = r#"let all = ["c", "b", "a"].map(|name| host(name, #{ labels: if name == "b" { #{} } else { #{ rank: name } } }));
        ship(img, all);
        rolling::deploy(web, img, places::ordered(all, "rank"));"#;
    let told = lab.does(script, "v1");
    let starts = told.records.iter().filter_map(|record| if let Op::Start(op) = &*record.op { Some(op.host.name.as_str()) } else { None });
    assert_eq!(starts.collect::<Vec<_>>(), ["a", "c", "b"]);
}

#[test]
fn places_are_found_by_label_and_ordered() {
    let mut lab = Lab::new();
    let told = lab.does(
        r#"let all = [
            host("c", #{ labels: #{ role: "web", rank: "2" } }),
            host("b", #{ labels: #{ role: "web", rank: "1", primary: "yes" } }),
            host("a", #{ labels: #{ role: "worker" } }),
        ];
        info(places::by_role(all, "web").map(|host| host.name));
        info(places::ordered(all, "rank").map(|host| host.name));
        info(places::primary(all).name);
        info(places::primary([all[2]]).name);
        info(places::one_first(all, 1).len);"#,
        "v1",
    );
    assert_eq!(told.said, ["[\"c\", \"b\"]", "[\"b\", \"c\", \"a\"]", "b", "a", "3"]);
}

/// What a run did, by the words of the ops that change something or ask a command.
fn done(told: &Told) -> Vec<&'static str> {
    let mut words: Vec<&str> = told
        .records
        .iter()
        .filter(|record| record.op.class().changes() || matches!(*record.op, Op::Hook(_)))
        .map(|record| record.op.verb())
        .collect();
    words.dedup();
    words
}

const WHOLE: &str = r#"deploy::run(web, fleet, #{
    tag: p.v,
    before: [|img| hook([web, img, fleet[0]], ["app", "migrate"], #{ undo: ["app", "migrate", "--back"] })],
    how: #{ batch: 2 },
    verify: |release| verify::version(release, "/version"),
    after: [["systemctl", "restart", "report-timer"], "true", |release| info(`${release.version} is there`)],
});"#;

#[test]
fn a_whole_deploy_does_each_thing_at_its_time() {
    let mut lab = Lab::serving_v1();
    let told = lab.does(WHOLE, "v2");
    assert_eq!(
        done(&told),
        ["build", "ship", "build", "ship", "hook", "start", "set_weights", "drain", "stop", "record", "hook"],
        "the prelude builds and ships too"
    );
    assert_serves(&lab, "v2");
    assert_eq!(told.said, ["v2 is there"]);
    let closure = "deploy::run(web, fleet, #{ image: img, strategy: |service, img, hosts| recreate::deploy(service, img, hosts) });";
    lab.does(closure, "v3");
    assert_serves(&lab, "v3");
    assert!(lab.fails("deploy::run(web, fleet, #{ image: img, strategy: \"luck\" });", "v4").starts_with("there is no strategy \"luck\""));
}

#[test]
fn a_whole_deploy_that_fails_takes_its_commands_back_too() {
    let mut lab = Lab::serving_v1();
    lab.answer = |call| {
        let Op::HttpGet(_) = &*call.op else { return None };
        Some(Outcome::of(serde_json::json!({ "code": 200, "body": "something else", "seconds": 0.1 })))
    };
    let before = lab.fleet();
    let told = lab.run(WHOLE, "v2");
    assert!(told.ended.is_err() && told.left.is_empty());
    assert_eq!(lab.fleet(), before);
}

/// The commands of a run.
fn commands(told: &Told) -> Vec<String> {
    let hooks = told.records.iter().filter_map(|record| match &*record.op {
        Op::Hook(hook) if record.result.is_ok() => Some(hook.invocation.command.to_string()),
        _ => None,
    });
    hooks.collect()
}

const BEFORE: &str =
    r#"migrations::before(web, img, fleet, #{ migrate: ["./manage", "migrate"], undo: ["./manage", "migrate", "--back"] });"#;
const TWO_PHASES: &str = r#"
migrations::two_phase(web, img, fleet, #{
    expand: ["./manage", "expand"], undo: ["./manage", "expand", "--back"], contract: ["./manage", "contract"],
    database: database("postgres:///shop"),
});
"#;

#[test]
fn a_projects_own_tool_migrates_before_the_deploy_and_is_taken_back_with_it() {
    let mut lab = Lab::serving_v1();
    assert_eq!(commands(&lab.does(BEFORE, "v2")), ["./manage migrate"]);
    assert_serves(&lab, "v2");
    let told = lab.run(&format!("{BEFORE} fail(\"later\");"), "v3");
    assert!(told.ended.is_err() && told.left.is_empty() && told.is_taken_back, "{:?}", told.left);
    assert_serves(&lab, "v2");
}

#[test]
fn a_second_phase_comes_when_no_old_code_is_left_and_never_before_old_code_that_comes_back() {
    let mut lab = Lab::serving_v1();
    let told = lab.does(TWO_PHASES, "v2");
    assert_eq!(commands(&told), ["./manage expand", "./manage contract"]);
    assert_serves(&lab, "v2");
    assert!(!lab.fleet().values().flatten().any(|line| line.starts_with("shop-web-v1")), "{:?}", lab.fleet());
    // Before the second phase all of it is taken back, behind it nothing is.
    let early = lab.run(&TWO_PHASES.replace("database:", "soak: \"1m\", deploy: |service, img, fleet| fail(\"no\"), database:"), "v3");
    assert!(early.ended.is_err() && early.left.is_empty() && early.is_taken_back, "{:?}", early.left);
    assert_eq!(commands(&early), ["./manage expand"]);
    assert_serves(&lab, "v2");
    let late = lab.run(&format!("{TWO_PHASES} fail(\"later\");"), "v3");
    assert!(late.ended.is_err(), "it was asked to");
    assert_eq!(commands(&late), ["./manage expand", "./manage contract"]);
    assert_serves(&lab, "v3");
}

#[test]
fn a_second_phase_is_refused_while_a_worker_of_the_old_version_is_left_and_all_is_taken_back() {
    const JOBS: &str = "let jobs = service(\"jobs\", #{ image: \"shop-web\", health: no_health() });";
    let phases = |deploy: &str| TWO_PHASES.replace("database:", &format!("services: [[jobs, img]], deploy: {deploy}, database:"));
    let mut lab = Lab::serving_v1();
    lab.does(&format!("{JOBS} workers::deploy(jobs, img, fleet);"), "v1");
    let before = lab.fleet();
    let forgotten = phases("|service, img, fleet| if service.has_proxy { rolling::deploy(service, img, fleet) }");
    let told = lab.run(&format!("{JOBS}{forgotten}"), "v2");
    assert_eq!(commands(&told), ["./manage expand"]);
    let message = told.ended.expect_err("a worker is left").diagnostic.message;
    assert!(message.starts_with("jobs v1 ") && message.ends_with("still runs: the second phase would take its schema away"), "{message}");
    assert!(told.left.is_empty() && told.is_taken_back, "{:?}", told.left);
    assert_eq!(lab.fleet(), before);
    let both = phases(
        "|service, img, fleet| if service.has_proxy { rolling::deploy(service, img, fleet) } else { workers::deploy(service, img, fleet) }",
    );
    assert_eq!(commands(&lab.does(&format!("{JOBS}{both}"), "v2")), ["./manage expand", "./manage contract"]);
    assert!(!lab.fleet().values().flatten().any(|line| line.contains("-v1-")), "{:?}", lab.fleet());
}

#[test]
fn a_host_that_does_not_answer_stops_a_deploy_before_it_begins() {
    let mut lab = Lab::serving_v1();
    lab.answer = |call| {
        let Op::Reachable(op) = &*call.op else { return None };
        Some(Outcome::of(op.host.name.as_str() != "10.0.0.2"))
    };
    assert_eq!(lab.fails("deploy::run(web, fleet);", "v2"), "these hosts do not answer: [\"10.0.0.2\"]");
}

#[test]
fn a_backup_is_a_file_of_its_service_and_time() {
    let mut lab = Lab::serving_v1();
    let told = lab.does(
        "let file = backup::dump(running(web, fleet), [\"pg_dump\", \"shop\"], \"/var/backups\", #{ check: [\"pg_restore\", \"--list\"] });
        info(file); backup::restore(running(web, fleet), file, [\"psql\"]);",
        "v2",
    );
    assert_eq!(told.said, ["/var/backups/web-2026-01-01T00:00:00Z.dump"]);
    assert_eq!(done(&told).iter().filter(|word| **word == "hook").count(), 1, "three commands, one after the other");
    let message = lab.fails("backup::dump((), [\"pg_dump\"], \"/var/backups\");", "v2");
    assert!(message.starts_with("there is no container"), "{message}");
}

/// The dependencies of a run, in words.
fn dependencies(told: &Told) -> Vec<String> {
    let depends = told.records.iter().filter_map(|record| if let Op::Depend(op) = &*record.op { Some(op) } else { None });
    let in_words = depends.map(|op| {
        let service = &op.service;
        let env: Vec<String> = service.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let memory = service.memory.map(|memory| memory.to_string()).unwrap_or_default();
        let (network, volumes) = (service.network.as_deref().unwrap_or_default(), service.volumes.join(" "));
        format!(
            "{} {} {:?} {network} {memory} {volumes} {}",
            service.name,
            op.reference,
            service.publish.unwrap_or_default(),
            env.join(" ")
        )
    });
    in_words.collect()
}

#[test]
fn a_dependency_is_as_its_options_say_and_runs_once() {
    let mut lab = Lab::new();
    let script = r#"
        let queue = service("queue", #{ port: 5672, publish: 5672, health: tcp() });
        dependencies::on(fleet[0], image("docker.io/library/rabbitmq:4"), queue);
        dependencies::postgres(fleet[0], "pw");
        dependencies::redis(fleet[0]);
        dependencies::postgres(fleet[1], "pw", #{ version: "15", database: "shop", name: "db", port: 15432, network: "shop", memory: "512m" });
        dependencies::redis(fleet[1], #{ version: "8", name: "cache", port: 16379, network: "shop", memory: "64m", password: "pw" });
        rolling::deploy(web, img, fleet);"#;
    let told = lab.does(script, "v1");
    assert_eq!(
        dependencies(&told),
        [
            "queue docker.io/library/rabbitmq:4 5672    ",
            "postgres docker.io/library/postgres:16 5432   postgres:/var/lib/postgresql/data POSTGRES_DB=postgres POSTGRES_PASSWORD=pw",
            "redis docker.io/library/redis:7 6379   redis:/data REDIS_PASSWORD=",
            "db docker.io/library/postgres:15 15432 shop 512.0 MB db:/var/lib/postgresql/data POSTGRES_DB=shop POSTGRES_PASSWORD=pw",
            "cache docker.io/library/redis:8 16379 shop 64.0 MB cache:/data REDIS_PASSWORD=pw",
        ]
    );
    let there = |lab: &Lab| -> Vec<String> {
        lab.fleet().into_values().flatten().filter(|line| line.starts_with("shop-") && !line.starts_with("shop-web-")).collect()
    };
    let before = there(&lab);
    assert_eq!(before.len(), 5, "{before:?}");
    lab.does(script, "v2");
    assert!(lab.run(&format!("{script} fail(\"later\");"), "v3").ended.is_err());
    assert_eq!(there(&lab), before, "neither a deploy nor an undo touches them");
}
