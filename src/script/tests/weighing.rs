use serde_json::{Value, json};

use crate::{
    failure::Failure,
    model::ContainerState,
    op::Op,
    script::recording::{Recorded, container, deploy},
};

/// The changes that a script makes, by proxy: `PROXY HOST VERSION WEIGHT × CONTAINERS`.
fn changes(recorded: Recorded) -> Vec<String> {
    let story = recorded.run();
    if let Err(stopped) = &story.result {
        panic!("{} {:?}", stopped.error, stopped.failure());
    }
    let mut lines = Vec::new();
    for call in &story.calls {
        let Op::SetWeights(op) = &*call.op else { continue };
        for (host, shares) in &op.changes {
            let shares: Vec<String> =
                shares.iter().map(|share| format!("{} {} × {}", share.release.version, share.weight, share.containers.len())).collect();
            lines.push(format!("{} {host} {}", op.proxy.name, shares.join(", ")));
        }
    }
    lines.sort();
    lines
}

#[test]
fn each_host_has_its_own_proxy() {
    let script = "let old = running(web, fleet); let next = start(web, img, fleet); set_weights([[old, 95], [next, 5]]);";
    assert_eq!(
        changes(deploy(script).with_running(100)),
        ["10.0.0.1 10.0.0.1 v1 95 × 2, v2 5 × 2", "10.0.0.2 10.0.0.2 v1 95 × 2, v2 5 × 2"]
    );
}

#[test]
fn a_release_with_0_or_not_named_gets_none_and_other_hosts_stay() {
    let script = "let old = running(web, fleet); let next = start(web, img, fleet[0]); set_weights([[old.on(fleet[0]), 0], [next, 1]]); set_weights([[old.on(fleet[1]), 0]]);";
    assert_eq!(changes(deploy(script).with_running(100)), ["10.0.0.1 10.0.0.1 v2 1 × 2", "10.0.0.2 10.0.0.2 "]);
}

#[test]
fn balancers_serve_all_hosts() {
    let script = r#"let api = service("web", #{ port: 80, health: tcp(), balancer: hosts(["lb1", "lb2"]), domain: "shop.example", listen: 443 });
        let old = running(api, fleet);
        set_weights([[old, 1]], #{ sticky: "seen", allow_downtime: true });"#;
    let story = deploy(script).with_running(100).run();
    assert_eq!(
        story.lines(),
        [
            "1[0] 10.0.0.1 find running release of web",
            "1[1] 10.0.0.2 find running release of web",
            "2[0] lb1 test_weights web (10.0.0.1: v1 100%; 10.0.0.2: v1 100%)",
            "2[1] lb2 test_weights web (10.0.0.1: v1 100%; 10.0.0.2: v1 100%)",
            "3[0] lb1 set_weights web (10.0.0.1: v1 100%; 10.0.0.2: v1 100%)",
            "3[1] lb2 set_weights web (10.0.0.1: v1 100%; 10.0.0.2: v1 100%)",
        ]
    );
    let op = story.calls.iter().rev().find_map(|call| serde_json::to_value(&call.op).ok()).expect("a call");
    assert_eq!(op["front"], json!({ "domain": "shop.example", "listen": 443, "server": true, "sticky": "seen" }));
    assert_eq!((&op["allow_downtime"], op["hosts"].as_array().map(Vec::len)), (&Value::Bool(true), Some(2)));
}

#[test]
fn a_mixed_release_is_divided_among_its_containers() {
    let placed = [
        container("10.0.0.1", "v1", "r1", 1, ContainerState::Running),
        container("10.0.0.1", "v1", "r1", 2, ContainerState::Running),
        container("10.0.0.1", "v2", "r1", 3, ContainerState::Running),
    ];
    let script = "let all = service(\"web\", #{ port: 1, health: tcp() }); let old = running(all, fleet[0]); print(old.versions); let next = start(web, img, fleet[0]); set_weights([[old, 1], [next, 1]]);";
    let recorded = deploy(script).placing(placed).answering(|call| match &*call.op {
        Op::Find(_) => {
            let containers: Vec<_> = [("v1", 1), ("v1", 2), ("v2", 3)]
                .map(|(version, n)| container("10.0.0.1", version, "r1", n, ContainerState::Running))
                .into();
            let weights: serde_json::Map<String, Value> =
                containers.iter().map(|container| (container.name.to_string(), 1.into())).collect();
            Some(Ok(crate::executor::Outcome::of(json!({ "containers": containers, "weights": weights }))))
        }
        _ => None,
    });
    assert_eq!(changes(recorded), ["10.0.0.1 10.0.0.1 v1 2 × 2, v2 1 × 1, v2 3 × 2"]);
}

#[test]
fn one_container_at_a_time() {
    let script = "let old = running(web, fleet[0]); let parts = old.each(); set_weights([[parts[0], 1], [parts[1], 3]]);";
    assert_eq!(changes(deploy(script).with_running(100)), ["10.0.0.1 10.0.0.1 v1 1 × 1, v1 3 × 1"]);
}

#[test]
fn wrong_tables_are_refused() {
    for (table, problem) in [
        ("[[r, -1]]", "a weight is a whole number from 0 to 1000000, and [0] has -1"),
        ("[[r, 1], [r, 0.5]]", "[1] has 0.5"),
        ("[[r, \"5\"]]", "[0] has \"5\""),
        ("[[r]]", "has a row of 1 values at [0]"),
        ("[5]", "has int at [0]"),
        ("[[web, 5]]", "has service in place of a release at [0]"),
        ("[[r, 5], [r.on(fleet[0]), 5]]", "names shop-web-v2-c6f3397aef-1 twice"),
        ("[[r, 5], [other, 5]]", "a table is about one service, and this one names web and other"),
        ("[[worker, 5]]", "the service worker has no proxy: there is nothing to weigh"),
        ("5", "set_weights(table, options?) got set_weights(int)"),
    ] {
        let error = deploy(&format!(
            "let r = start(web, img, fleet); let other = start(service(\"other\", #{{ port: 1, health: tcp() }}), img, fleet); let worker = start(service(\"worker\"), img, fleet);\nset_weights({table});"
        ))
        .fails();
        assert!(error.starts_with("6: ") && error.contains(problem), "{table}: {error}");
    }
}

#[test]
fn no_proxy_switches_when_one_refuses_and_those_that_did_go_back() {
    let script = "let r = start(web, img, fleet); set_weights([[r, 1]]);";
    let refused = deploy(script)
        .answering(|call| {
            matches!(&*call.op, Op::TestWeights(op) if op.proxy.name.as_str() == "10.0.0.2")
                .then(|| Err(Failure::refused("nginx -t failed")))
        })
        .run();
    assert!(refused.result.is_err() && !refused.calls.iter().any(|call| matches!(*call.op, Op::SetWeights(_))));

    let failed = deploy(script)
        .answering(|call| match &*call.op {
            Op::SetWeights(op) if call.key.as_str().starts_with("undo/") => Some(Ok(crate::executor::Outcome::of(json!({
                "project": op.project, "service": op.service, "generation": 3, "token": call.token, "front": op.front, "shares": {},
            })))),
            Op::SetWeights(op) if op.proxy.name.as_str() == "10.0.0.2" => Some(Err(Failure::failed("it did not come back"))),
            Op::SetWeights(op) => Some(Ok(crate::executor::Outcome::of(json!({
                "project": op.project, "service": op.service, "generation": 2, "token": call.token, "front": op.front, "shares": op.changes,
            }))
            .undone_by([op.clone().into()]))),
            _ => None,
        })
        .run();
    assert!(failed.lines().iter().any(|line| line.starts_with("undo/3[0].0 10.0.0.1 set_weights")), "{:?}", failed.lines());
    assert_eq!(failed.result.expect_err("it failed").failure().expect("a failure").to_string(), "it did not come back");
}
