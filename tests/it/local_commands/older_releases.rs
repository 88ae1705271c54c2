//! A release that is older than what is live is refused unless forced, on a simulated fleet with a real repository.

use std::process::Command;

use crate::podlift::Project;
use crate::rig::output;

const DEPLOY: &str = r#"
import "std/rolling" as rolling;
import "std/rollback" as rollback;
project("shop");
let p = params(#{ back: "" });
let fleet = hosts(["h1", "h2"]);
let web = service("web", #{ port: 8000, health: http("/health") });
if p.back != "" {
    rollback::to(web, fleet, p.back);
} else {
    let img = build(web);
    ship(img, fleet);
    rolling::deploy(web, img, fleet);
}
"#;

fn git(project: &Project, arguments: &[&str]) -> String {
    let who = ["-c", "user.name=me", "-c", "user.email=me@here", "-c", "commit.gpgsign=false"];
    output(Command::new("git").current_dir(project.path()).args(who).args(arguments), "").text().to_owned()
}

fn commit(project: &Project, message: &str) -> String {
    git(project, &["commit", "-q", "--allow-empty", "-m", message]);
    git(project, &["rev-parse", "--short=7", "HEAD"])
}

#[test]
fn a_release_that_is_older_than_what_is_live_is_refused_unless_forced() {
    let project = Project::new();
    project.write("deploy.rhai", DEPLOY);
    git(&project, &["init", "-q"]);
    git(&project, &["add", "deploy.rhai"]);
    let run = |arguments: &[&str]| project.podlift(&[&["run", "deploy.rhai", "--simulate"], arguments].concat());
    let old = commit(&project, "old");
    assert_eq!(run(&[]).code, 0);
    commit(&project, "between");
    let new = commit(&project, "new");
    assert_eq!(run(&[]).code, 0);

    git(&project, &["checkout", "-q", &old]);
    let told = format!("web {old} is older than {new}, which is live on h1, by 2 commits");
    for arguments in [&["--dry-run"][..], &[]] {
        let refused = run(arguments);
        assert_eq!(refused.code, 3, "{}", refused.stderr);
        for words in [&told, "--allow-older", "std/rollback"] {
            assert!(refused.stderr.contains(words), "{words:?} is not in\n{}", refused.stderr);
        }
    }
    let plan = project.podlift(&["plan", "deploy.rhai", "--simulate", "-o", "release.plan"]);
    assert_eq!(plan.code, 3, "{}", plan.stderr);

    let back = run(&[&format!("back={old}")]);
    assert_eq!(back.code, 0, "a rollback goes back: {}", back.stderr);
    git(&project, &["checkout", "-q", &new]);
    assert_eq!(run(&[]).code, 0);
    git(&project, &["checkout", "-q", &old]);
    let forced = run(&["--allow-older"]);
    assert_eq!(forced.code, 0, "{}", forced.stderr);
}

#[test]
fn where_git_does_not_know_what_is_live_the_start_says_so() {
    let project = Project::new();
    project.write("deploy.rhai", DEPLOY);
    git(&project, &["init", "-q"]);
    git(&project, &["add", "deploy.rhai"]);
    let gone = commit(&project, "to be forgotten");
    let run = || project.podlift(&["run", "deploy.rhai", "--simulate"]);
    assert_eq!(run().code, 0);
    std::fs::remove_dir_all(project.path().join(".git")).expect("it is there");
    git(&project, &["init", "-q"]);
    git(&project, &["add", "deploy.rhai"]);
    let next = commit(&project, "of another repository");
    let done = run();
    assert_eq!(done.code, 0, "{}", done.stderr);
    let told = format!("assumed: {next} is not older than {gone}, which git does not know here");
    assert!(done.stderr.contains(&told) || done.stdout.contains(&told), "{}{}", done.stdout, done.stderr);
}
