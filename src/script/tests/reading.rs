use super::lab::Lab;
use crate::{
    model::ContainerState,
    op::Op,
    script::recording::{container, deploy},
};

#[test]
fn what_runs_is_what_has_traffic() {
    let said = deploy(
        r#"let r = running(web, fleet); print(`${r} ${r.weight} ${r.run}`);
        print(running(web, fleet[0]));
        let worker = service("web"); print(running(worker, fleet).containers.len());"#,
    )
    .with_running(100)
    .says();
    assert_eq!(said, ["web v1 on 10.0.0.1, 10.0.0.2 200 r1", "web v1 on 10.0.0.1", "4"]);
    assert_eq!(deploy("print(running(web, fleet) == ());").with_running(0).says(), ["true"]);
}

#[test]
fn releases_come_newest_first() {
    let placed = [
        container("10.0.0.1", "v1", "r1", 1, ContainerState::Stopped),
        container("10.0.0.1", "v3", "r3", 1, ContainerState::Running),
        container("10.0.0.2", "v3", "r3", 1, ContainerState::Stopped),
        container("10.0.0.2", "v2", "r2", 1, ContainerState::Stopped),
    ];
    let said =
        deploy("print(releases(web, fleet).map(|r| `${r} ${r.state} ${r.weight}`)); print(releases(web, []));").placing(placed).says();
    assert_eq!(said, [r#"["web v3 on 10.0.0.1, 10.0.0.2 mixed 0", "web v2 on 10.0.0.2 stopped 0", "web v1 on 10.0.0.1 stopped 0"]"#, "[]"]);
}

#[test]
fn weights_are_a_table_for_set_weights() {
    let story = deploy("let before = weights(web, fleet); print(before); set_weights(before);").with_running(70).run();
    assert_eq!(story.said, ["[[web v1 on 10.0.0.1, 10.0.0.2, 70]]"]);
    let changed = story.calls.iter().filter(|call| matches!(*call.op, Op::SetWeights(_))).count();
    assert_eq!(changed, 2);
    assert_eq!(deploy("print(weights(web, fleet));").says(), ["[]"]);
}

#[test]
fn traffic_of_several_proxies_is_one() {
    let said = deploy(r#"let r = start(web, img, fleet); print(traffic(r, "10s")); print(traffic(r, "1s", #{ assume: #{ requests: 20, p50: 3, p95: 9 } }).requests);"#).says();
    assert_eq!(said, [r#"#{"error_rate": 0.05, "errors": 10, "p50": 10, "p95": 200, "requests": 200}"#, "200"]);
    assert_eq!(deploy(r#"print(traffic((), "10s").error_rate);"#).says(), ["0.0"]);
    assert!(deploy(r#"traffic(start(service("w"), img, fleet), "1s");"#).fails().contains("has no proxy that could count"));
    assert!(
        deploy(r#"traffic(start(web, img, fleet), "1s", #{ assume: #{ request: 1 } });"#).fails().contains("`assume` has no `request`")
    );
    let story = deploy(r#"let api = service("web", #{ port: 1, health: tcp(), balancer: host("lb") }); traffic(start(api, img, fleet), "1s", #{ assume: #{ requests: 10, errors: 1, p95: 4 } });"#).run();
    let Some(Op::Traffic(op)) = story.calls.last().map(|call| &*call.op) else { panic!("not a window") };
    assert_eq!((op.proxy.name.as_str(), op.containers.len(), op.assume.as_ref().map(|assume| assume.requests)), ("lb", 2, Some(10)));
}

#[test]
fn pages_logs_and_history() {
    let story = deploy(
        r#"let r = start(web, img, fleet);
        print(http_get("https://shop.example/x", #{ via: fleet[0], timeout: "1s", assume: 204 }).code);
        print(http_get([r.on(fleet[0]), "/version"]));
        print(logs(r.on(fleet[1]), 5).map(|l| l.text));
        print(history(web, fleet).map(|h| `${h.version} ${h.image} ${h.run} ${h.at} ${h.by}`));
        print(history(web, fleet[1]).len());
        print(reachable(fleet)); print(reachable(fleet[1]));
        print(now()); print(read_file("motd").len()); print(git().short);
        record(r);"#,
    )
    .run();
    assert!(story.result.is_ok(), "{:?}", story.result.err().map(|stopped| stopped.error));
    let page = r#"#{"body": "ok", "code": 200, "seconds": 0.1}"#;
    assert_eq!(
        story.said,
        [
            "200".into(),
            format!("[{page}, {page}]"),
            r#"["line", "line"]"#.into(),
            r#"["v2 shop-web:v2 r0 2026-01-02T00:00:00Z ann@desk", "v1 shop-web:v1 r0 2026-01-01T00:00:00Z ann@desk"]"#.into(),
            "1".into(),
            "[10.0.0.1]".into(),
            "[]".into(),
            "2026-01-09T00:00:00Z".into(),
            "13".into(),
            "0123456".into(),
        ]
    );
    let lines = story.lines();
    assert!(lines.contains(&"3[1] 10.0.0.1 http_get /version of shop-web-v2-c6f3397aef-2".into()), "{lines:?}");
    assert_eq!(lines.iter().filter(|line| line.contains(" record web v2")).count(), 2);
}

#[test]
fn a_dry_run_is_told_what_a_page_says() {
    let mut lab = Lab::new();
    let read =
        |options: &str| format!("let page = http_get(\"http://shop.test/\", #{{ {options} }}); info(`${{page.code}} ${{page.body}}`);");
    for (options, page) in
        [("assume: 503", "503 "), ("assume: #{ body: \"v2\" }", "200 v2"), ("assume: #{ code: 404, body: \"none\" }", "404 none")]
    {
        assert_eq!(lab.does(&read(options), "v1").said, [page], "{options}");
    }
}
