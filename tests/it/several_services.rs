//! Several services in one script, each by a strategy of its own: when the last one fails, all of them are taken back.

use crate::load::{Load, LoadOptions};
use crate::podlift::Project;
use crate::rig::{Rig, RigOptions};

const SHOP: &str = r#"
import "std/blue_green" as blue_green;
import "std/rolling" as rolling;
import "std/workers" as workers;
project("PROJECT");
let p = params(#{ version: "v1", port: "8000" });
let fleet = hosts(["h1", "h2"]);
fn shop(name, opts) { service(name, #{ image: "PROJECT", health: http("/health"), port: 8000 } + opts) }
let api = shop("api", #{ domain: "api.test" });
let web = shop("web", #{ domain: "web.test" });
let jobs = service("jobs", #{ image: "PROJECT", health: no_health(), env: #{ PORT: p.port } });
let img = build(web, #{ tag: p.version, args: #{ VERSION: p.version } });
ship(img, fleet);
rolling::deploy(api, img, fleet);
blue_green::deploy(web, img, fleet, #{ soak: "1s" });
workers::deploy(jobs, img, fleet, #{ watch: "1s" });
"#;

/// The services and versions that run on a host.
fn running(rig: &Rig, host: usize) -> Vec<String> {
    let listed = rig.exec(host, &["docker", "ps", "--format", "{{.Label \"podlift.service\"}} {{.Label \"podlift.version\"}}"]);
    let mut lines: Vec<String> = listed.text().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn services_of_one_script_are_deployed_together_and_taken_back_together_without_a_lost_request() {
    let rig = Rig::up(RigOptions { hosts: 2, client: true, ..RigOptions::default() });
    let project = Project::on(&rig);
    project.write("deploy.rhai", &SHOP.replace("PROJECT", &format!("shop{}", rig.id())));
    let ends = |code: i32, arguments: &[&str]| {
        let output = project.podlift(&[&["run", "deploy.rhai"], arguments].concat());
        assert_eq!(output.code, code, "{arguments:?}\n{}{}", output.stdout, output.stderr);
    };
    ends(0, &[]);
    let load = |domain: &str| Load::start(&rig, LoadOptions { host: Some(domain.into()), kept: 12, fresh: 6, ..LoadOptions::on(&rig) });
    let loads = ["api.test", "web.test"].map(load);
    // Its workers end at once: the port that they are given is none.
    ends(4, &["version=v2", "port=none"]);
    for host in 1..=2 {
        assert_eq!(running(&rig, host), ["api v1", "jobs v1", "web v1"], "h{host}");
    }
    ends(0, &["version=v3"]);
    for host in 1..=2 {
        assert_eq!(running(&rig, host), ["api v3", "jobs v3", "web v3"], "h{host}");
    }
    for mut load in loads {
        load.more(200);
        let summary = load.finish();
        summary.assert_nothing_lost();
        assert_eq!(summary.versions.keys().collect::<Vec<_>>(), ["v1", "v2", "v3"], "each of them had traffic");
        println!("0 of {} requests failed", summary.total);
    }
}
