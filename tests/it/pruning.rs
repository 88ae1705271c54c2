//! Old releases and their images, on a real engine.

use crate::podlift::Project;
use crate::rig::{Rig, RigOptions};

const DEPLOY: &str = r#"
import "std/rolling" as rolling;
project("PROJECT");
let p = params(#{ version: "v1" });
let web = service("web", #{ port: 8000, health: http("/health") });
let img = build(web, #{ tag: p.version, args: #{ VERSION: p.version } });
ship(img, host("h1"));
rolling::deploy(web, img, host("h1"), #{ drain: "1s" });
"#;

#[test]
fn three_releases_are_kept_with_their_images_and_an_image_that_others_use_stays() {
    let rig = Rig::up(RigOptions::default());
    let project = Project::on(&rig);
    let name = format!("shop{}", rig.id());
    project.write("deploy.rhai", &DEPLOY.replace("PROJECT", &name));
    for version in ["v1", "v2", "v3", "v4", "v5"] {
        let run = project.podlift(&["run", "deploy.rhai", &format!("version={version}")]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        if version == "v1" {
            // Somebody else on the host is at home in the first image.
            rig.exec(1, &["docker", "create", "--name=other", &format!("{name}-web:v1"), "/app"]).text();
        }
    }
    let list = |command: &[&str]| {
        let mut lines: Vec<String> = rig.exec(1, command).text().lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let containers =
        list(&["docker", "ps", "--all", "--filter=label=podlift.service=web", "--format={{.Label \"podlift.version\"}} {{.State}}"]);
    assert_eq!(containers, ["v3 exited", "v4 exited", "v5 running"]);
    let images = list(&["docker", "images", &format!("{name}-web"), "--format={{.Tag}}"]);
    assert_eq!(images, ["v1", "v3", "v4", "v5"], "the first is used by another container, and the second by none");
    assert_eq!(rig.exec(1, &["curl", "-sS", "http://127.0.0.1/version"]).text(), "v5");
}
