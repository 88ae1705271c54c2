//! The way back to what git names: to a release with the configuration and the health check that it had.

use std::process::Command;

use crate::podlift::Project;
use crate::rig::{Rig, RigOptions, output};

const SHOP: &str = r#"
import "std/rollback" as rollback;
import "std/rolling" as rolling;
import "std/verify" as verify;
project("PROJECT");
let p = params(#{ to: "", color: "blue", health: "/health" });
let fleet = hosts(["h1", "h2"]);
let web = service("web", #{ port: 8000, health: http(p.health, #{ timeout: "3s" }), env: #{ SHOW_ENV: "COLOR", COLOR: p.color } });
if p.to == "" {
    let img = build(web, #{ args: #{ VERSION: git().short } });
    ship(img, fleet);
    rolling::deploy(web, img, fleet);
} else {
    rollback::to(web, fleet, p.to);
}
let live = running(web, fleet);
verify::page(live, "/health");
verify::version(live, "/version");
verify::url(`http://ADDRESS/version`, #{ contains: live.version });
verify::smoke("local", [["curl", "-sSf", "http://ADDRESS/env"], "curl -sSf http://ADDRESS/ >/dev/null"]);
"#;

#[test]
fn a_release_that_a_tag_or_a_commit_names_comes_back_with_its_configuration_and_its_health_check() {
    let rig = Rig::up(RigOptions { hosts: 2, ..RigOptions::default() });
    let project = Project::on(&rig);
    project.write("deploy.rhai", &SHOP.replace("PROJECT", &format!("shop{}", rig.id())).replace("ADDRESS", &rig.host(1).address));
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.current_dir(project.path()).args(["-c", "user.name=t", "-c", "user.email=t@t.invalid"]).args(arguments);
        output(&mut command, "").text().to_owned()
    };
    let ends = |code: i32, arguments: &[&str]| {
        let output = project.podlift(&[&["run", "deploy.rhai"], arguments].concat());
        assert_eq!(output.code, code, "{arguments:?}\n{}{}", output.stdout, output.stderr);
        output.stderr
    };
    let asked = |path: &str| {
        let urls = rig.hosts().iter().map(|host| format!("http://{}{path}", host.address));
        let answers = urls.map(|url| output(Command::new("curl").args(["-sS", "--max-time", "20", &url]), "").text().to_owned());
        answers.collect::<Vec<_>>()
    };
    git(&["init", "-q"]);
    let mut commits = Vec::new();
    for color in ["blue", "green", "red"] {
        project.write("color", color);
        git(&["add", "."]);
        git(&["commit", "-qm", color]);
        commits.push(git(&["rev-parse", "HEAD"]));
        ends(0, &[&format!("color={color}")]);
        assert_eq!(asked("/env"), [color, color]);
    }
    git(&["tag", "-am", "the first", "v1.0.0", &commits[0]]);
    // What the script says of the service counts for the next deploy, not for a release that was started with something else.
    for (to, color) in [("v1.0.0", "blue"), (commits[2].as_str(), "red"), (&commits[1][..10], "green")] {
        ends(0, &[&format!("to={to}"), "color=black", "health=/nowhere"]);
        assert_eq!(asked("/env"), [color, color], "{to}");
    }
    let told = ends(1, &["to=v9"]);
    assert!(told.contains("no release of web is kept that is v9; there are"), "{told}");
    assert_eq!(asked("/env"), ["green", "green"]);
}
