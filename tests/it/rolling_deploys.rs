//! Rolling deploys on real hosts, under load from 40 ms away.

use crate::load::{Load, LoadOptions, Summary};
use crate::podlift::{Project, assert_alike};
use crate::rig::{Rig, RigOptions};

const ROLLING: &str = r#"
import "std/rolling" as rolling;
project("shop");
let p = params(#{ version: "v1", health: 200, order: "start-first" });
let fleet = hosts(["h1", "h2", "h3"]);
let web = service("web", #{ port: 8000, replicas: 2, health: http("/health", #{ timeout: "10s" }), env: #{ HEALTH_STATUS: `${p.health}` } });
let img = build(web, #{ tag: p.version, args: #{ VERSION: p.version } });
ship(img, fleet);
rolling::deploy(web, img, fleet, #{ order: p.order });
"#;

fn balanced(rig: &Rig) -> String {
    let hosts: Vec<String> = (1..=3).map(|n| format!("host(\"h{n}\", #{{ bind: \"{}\" }})", rig.host(n).address)).collect();
    ROLLING
        .replace("hosts([\"h1\", \"h2\", \"h3\"])", &format!("[{}]", hosts.join(", ")))
        .replace("replicas: 2,", "replicas: 2, balancer: host(\"h1\"),")
}

fn three_hosts() -> Rig {
    Rig::up(RigOptions { hosts: 3, client: true, ..RigOptions::default() })
}

/// Deploys v1, then v2 and v3 under load; before each deploy a dry run must tell the same.
fn two_deploys_under_load(rig: &Rig, script: &str, targets: Vec<String>) -> Summary {
    let project = Project::on(rig);
    let before: Vec<Vec<String>> = (1..=3).map(|number| rig.snapshot(number)).collect();
    project.write("deploy.rhai", script);
    let deploy = |version: &str| {
        let argument = format!("version={version}");
        let plan = project.events(&["run", "deploy.rhai", &argument, "--dry-run"]);
        let run = project.events(&["run", "deploy.rhai", &argument]);
        assert_eq!(run.output.code, 0, "{}", run.output.stderr);
        assert_alike(&plan, &run);
        assert_eq!(run.result()["state"], "all-new");
    };
    deploy("v1");
    let mut load = Load::start(rig, LoadOptions { targets, ..LoadOptions::on(rig) });
    for version in ["v2", "v3"] {
        load.mark(version);
        deploy(version);
    }
    load.mark("after");
    load.more(1000);
    while load.finished() < 20_000 {
        load.more(1000);
    }
    let summary = load.finish();
    for (number, before) in (1..=3).zip(&before) {
        let left: Vec<String> = rig.snapshot(number).into_iter().filter(|line| !before.contains(line)).collect();
        let unexpected: Vec<&String> = left.iter().filter(|line| !OURS.iter().any(|ours| line.starts_with(ours))).collect();
        assert!(unexpected.is_empty(), "h{number} has {unexpected:#?}");
        for version in ["v1", "v2", "v3"] {
            let state = if version == "v3" { "running" } else { "exited" };
            let count =
                left.iter().filter(|line| line.starts_with(&format!("container shop-web-{version}-")) && line.contains(state)).count();
            assert_eq!(count, 2, "{version} on h{number}: {left:#?}");
        }
    }
    summary
}

/// What three deploys leave on a host, and nothing else: the releases with what they publish, the service's file, the history.
const OURS: &[&str] = &[
    "container shop-web-v",
    "image shop-web:v",
    "nginx /etc/nginx/conf.d/podlift-shop.web.conf",
    "file /run/nginx.podlift-lock",
    "file /var/lib/podlift/",
    "listen tcp",
    "process app",
    "process containerd-shim",
    "process docker-proxy",
];

#[test]
fn a_rolling_deploy_behind_each_hosts_own_proxy_loses_no_request() {
    let rig = three_hosts();
    let targets = LoadOptions::on(&rig).targets;
    let summary = two_deploys_under_load(&rig, ROLLING, targets);
    summary.assert_nothing_lost();
    assert!(summary.total >= 20_000, "{}", summary.total);
    for version in ["v1", "v2", "v3"] {
        assert!(summary.versions.contains_key(version), "{:?}", summary.versions);
    }
    assert!(summary.phase("v2").requests > 1000 && summary.phase("v3").requests > 1000, "{:#?}", summary.phases);
}

#[test]
fn a_rolling_deploy_behind_one_balancer_loses_no_request() {
    let rig = three_hosts();
    let summary = two_deploys_under_load(&rig, &balanced(&rig), vec![format!("{}:80", rig.host(1).address)]);
    summary.assert_nothing_lost();
    assert!(summary.total >= 20_000, "{}", summary.total);
}
