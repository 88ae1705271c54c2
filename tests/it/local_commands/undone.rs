//! What a run did since its last commit, and nothing else, is taken back: on a modelled fleet.

use crate::podlift::Project;

/// Two releases that share the traffic, made final.
const SHARED: &str = r#"
project("shop");
let fleet = hosts(["h1", "h2"]);
let web = service("web", #{ port: 8000, health: http("/") });
let img = build(web, #{ tag: "v1" });
ship(img, fleet);
let old = start(web, img, fleet);
healthcheck(old);
set_weights([[old, 100]]);
let second = build(web, #{ tag: "v2" });
ship(second, fleet);
let next = start(web, second, fleet);
healthcheck(next);
set_weights([[old, 50], [next, 50]]);
commit();
"#;

/// Runs this behind what is shared, expects this exit code and these words, and returns what runs then.
#[track_caller]
fn ends(script: &str, code: i32, words: &[&str]) -> String {
    let project = Project::new();
    project.write("Dockerfile", "FROM scratch\n");
    project.write("deploy.rhai", &format!("{SHARED}{script}"));
    let output = project.podlift(&["run", "deploy.rhai", "--simulate"]);
    let said = format!("{}{}", output.stdout, output.stderr);
    assert_eq!(output.code, code, "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in\n{said}");
    }
    project.podlift(&["ps", "deploy.rhai", "--simulate"]).stdout
}

#[track_caller]
fn both_serve(ps: &str) {
    for version in ["v1", "v2"] {
        let lines = ps.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let serves = |line: &Vec<&str>| line.get(1) == Some(&version) && line.get(4..6) == Some(&["running", "50"]);
        assert_eq!(lines.filter(serves).count(), 2, "{ps}");
    }
}

#[test]
fn a_start_of_what_runs_already_is_nothing_that_an_undo_would_end() {
    let undone = ends("start(old);\nfail(\"no\");", 4, &["everything since the last commit was undone"]);
    both_serve(&undone);
    let within = ends("attempt(|| { start(old); fail(\"no\"); });\nensure(weights(web, fleet).len == 2, \"both\");", 0, &[]);
    both_serve(&within);
}

#[test]
fn a_start_again_is_taken_back_where_it_started_something() {
    let stopped = "set_weights([[old, 0], [next, 100]]);\ndrain(old);\nstop(old);\ncommit();\n";
    let undone =
        ends(&format!("{stopped}start(old);\nhealthcheck(old);\nfail(\"no\");"), 4, &["everything since the last commit was undone"]);
    let stopped = undone.lines().filter(|line| line.contains(" v1 ") && line.contains(" stopped ")).count();
    assert_eq!(stopped, 2, "{undone}");
}

#[test]
fn what_an_undo_would_need_is_not_deleted() {
    let moved = "set_weights([[old, 0], [next, 100]]);\ndrain(old);\nstop(old);\n";
    let hint = "`commit()` makes final what was done; then `remove` it";
    let ps = ends(&format!("{moved}remove(old);\n"), 4, &["must not be deleted yet: this run has taken its traffic", hint]);
    both_serve(&ps);
    // In a block too: a commit of another block is none of it.
    let ps = ends(&format!("{moved}attempt(|| {{ hook(\"local\", \"true\"); commit(); }});\nremove(old);\n"), 4, &[hint]);
    both_serve(&ps);
    ends(&format!("{moved}commit();\nremove(old);\n"), 0, &[]);
    ends(&format!("{}commit();\nremove(old);\n", moved.replace("stop(old);", "")), 0, &[]);
    ends(&format!("{moved}remove(old, #{{ allow_downtime: true }});\n"), 0, &[]);
    let worker =
        "let job = service(\"job\", #{ image: \"shop-web\", balancer: \"none\" });\nlet one = start(job, img, fleet);\ncommit();\n";
    ends(&format!("{worker}remove(one);\n"), 4, &["must not be deleted yet: it runs, and no undo brings back what is deleted"]);
    ends(&format!("{worker}stop(one);\ncommit();\nremove(one);\n"), 0, &[]);
}

#[test]
fn what_a_run_makes_and_deletes_leaves_nothing() {
    let ps =
        ends("let more = start(web, img, fleet);\nremove(more);\nfail(\"later\");", 4, &["everything since the last commit was undone"]);
    both_serve(&ps);
    // A canary that is given up.
    let canary = "let more = start(web, img, fleet);\nhealthcheck(more);\nset_weights([[old, 45], [next, 45], [more, 10]]);\n\
                  set_weights([[old, 50], [next, 50], [more, 0]]);\ndrain(more);\nstop(more);\nremove(more);\n";
    ends(canary, 0, &[]);
    let ps = ends(&format!("{canary}fail(\"later\");"), 4, &["everything since the last commit was undone"]);
    both_serve(&ps);
    // What a block has taken out is needed by its undo, whoever has made it.
    let moved = "set_weights([[old, 0], [next, 100]]);\ndrain(old);\nstop(old);\nremove(old);";
    let ps = ends(&format!("attempt(|| {{ {moved} }});\nlet on = running(web, fleet);"), 0, &[]);
    both_serve(&ps);
    let within = "let more = start(web, img, fleet);\nhealthcheck(more);\nset_weights([[old, 45], [next, 45], [more, 10]]);\n";
    let out = "set_weights([[old, 50], [next, 50], [more, 0]]);\ndrain(more);\nstop(more);\nremove(more);";
    let words = ["must not be deleted yet: this run has taken its traffic"];
    ends(&format!("{within}let tried = attempt(|| {{ {out} }});\nensure(tried.ok, tried.error.message);"), 4, &words);
}

#[test]
fn a_dependency_that_stays_is_no_mixed_fleet() {
    let dependency = "let db = service(\"db\", #{ port: 5432, publish: 5432, health: tcp() });\nlet db = dependency(db, image(\"postgres:16\"), fleet[0]);\n";
    let words = ["is a dependency: a deploy never ends it", "everything since the last commit was undone"];
    ends(&format!("let more = start(web, img, fleet);\n{dependency}stop(db);"), 4, &words);
}
