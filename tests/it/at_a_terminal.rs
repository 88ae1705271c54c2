//! People at a terminal, with real hosts behind it: a deploy that is stepped through, and one that is typed.

use std::fs;

use crate::podlift::Project;
use crate::rig::{Rig, RigOptions};
use crate::terminal::Terminal;

const DEPLOY: &str = r#"
import "std/rolling" as rolling;
project("PROJECT");
let p = params(#{ version: "v1", delay: 0 });
let fleet = hosts(["h1", "h2"]);
let web = service("web", #{
    port: 8000,
    replicas: 1,
    health: http("/health", #{ timeout: "10s" }),
    env: #{ START_DELAY_MS: `${p.delay}` },
});
let img = build(web, #{ tag: p.version, args: #{ VERSION: p.version } });
ship(img, fleet);
rolling::deploy(web, img, fleet);
"#;

fn two_hosts() -> (Rig, Project) {
    let rig = Rig::up(RigOptions { hosts: 2, ..RigOptions::default() });
    let project = Project::on(&rig);
    project.write("deploy.rhai", &DEPLOY.replace("PROJECT", &format!("shop{}", rig.id())));
    (rig, project)
}

fn served(rig: &Rig) -> Vec<String> {
    (1..=2).map(|host| rig.exec(host, &["curl", "-sS", "http://127.0.0.1/version"]).text().to_owned()).collect()
}

#[test]
fn a_rolling_deploy_is_stepped_through_its_slow_start_is_waited_for_and_it_is_resumed_the_next_day() {
    let (rig, project) = two_hosts();
    let first = project.podlift(&["run", "deploy.rhai"]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    // It needs longer than its health check waits.
    let step = ["run", "deploy.rhai", "version=v2", "delay=20000", "--step", "--break", "start", "--break", "record"];
    let mut terminal = Terminal::open(&project.command(&step));
    for host in ["h1", "h2"] {
        terminal.sees(&format!("start 1 × web v2 on {host}"));
        terminal.sees("old = web v1");
        terminal.types("c");
        terminal.sees("did not become healthy");
        terminal.sees("redo [CALL], skip [VALUE], fail");
        terminal.types("redo healthcheck(next, #{ timeout: \"3m\" })");
        terminal.sees("op: set_weights");
        terminal.sees(&format!("weight of web v2 on {host}, by the proxy of {host}: 0 → 100"));
        terminal.types("c");
        terminal.sees("op: record");
        if host == "h1" {
            terminal.types("c");
        }
    }
    assert_eq!(served(&rig), ["v2", "v2"]);
    terminal.types("print next.version");
    terminal.sees("\"v2\"");
    terminal.types("quit");
    terminal.sees("goes on");
    assert_eq!(terminal.ends(), 7, "{}", terminal.text());
    let resumed = project.podlift(&["resume"]);
    assert_eq!(resumed.code, 0, "{}", resumed.stderr);
    assert!(resumed.stderr.contains("all new"), "{}", resumed.stderr);
    assert_eq!(served(&rig), ["v2", "v2"]);
}

/// Types statements and waits until they are done: what is typed ahead of a prompt is lost.
#[track_caller]
fn does(terminal: &mut Terminal, statements: &str, number: usize) {
    terminal.types(&format!("{statements} info(\"step \" + {number});"));
    terminal.sees(&format!("step {number}"));
}

#[test]
fn a_session_deploys_inspects_shifts_weights_undoes_and_saves() {
    let (rig, project) = two_hosts();
    let mut terminal = Terminal::open(&project.command(&["repl"]));
    terminal.sees("podlift> ");
    does(&mut terminal, "import \"std/rolling\" as rolling;", 1);
    does(&mut terminal, &format!("project(\"shop{}\"); let fleet = hosts([\"h1\", \"h2\"]);", rig.id()), 2);
    does(&mut terminal, "let web = service(\"web\", #{ port: 8000, health: http(\"/health\") });", 3);
    // Tab completes what only one function begins with, and its arguments are shown behind it.
    terminal.presses("let v1 = buil\t(web");
    terminal.sees("build(service, options?)");
    terminal.types(", #{ tag: \"v1\", args: #{ VERSION: \"v1\" } });");
    terminal.sees("the first change of this session");
    terminal.sees("[y/N]");
    terminal.types("y");
    terminal.sees("done ");
    does(&mut terminal, "ship(v1, fleet); rolling::deploy(web, v1, fleet);", 4);
    terminal.types("running(web, fleet)");
    terminal.sees("SERVICE  VERSION  HOST");
    assert_eq!(served(&rig), ["v1", "v1"]);
    does(&mut terminal, "let old = running(web, fleet); let v2 = build(web, #{ tag: \"v2\", args: #{ VERSION: \"v2\" } });", 5);
    does(&mut terminal, "let next = { ship(v2, fleet); start(web, v2, fleet) }; healthcheck(next);", 6);
    terminal.types("set_weights([[old, 0], [next, 100]]);");
    terminal.sees("done ");
    terminal.sees("done ");
    terminal.types("weights(web, fleet)");
    terminal.sees("OF ALL");
    terminal.sees("100%");
    assert_eq!(served(&rig), ["v2", "v2"]);
    terminal.types(":status");
    terminal.sees("v2");
    terminal.types(":undo");
    terminal.sees("taken back: 2 changes");
    assert_eq!(served(&rig), ["v1", "v1"]);
    terminal.types(":save session.rhai");
    terminal.sees("saved: podlift run session.rhai");
    terminal.types(":quit");
    terminal.sees("done: ");
    assert_eq!(terminal.ends(), 0, "{}", terminal.text());
    let saved = fs::read_to_string(project.path().join("session.rhai")).expect("it was saved");
    assert!(saved.contains("rolling::deploy(web, v1, fleet)") && !saved.contains("set_weights"), "{saved}");
    assert_eq!(project.podlift(&["check", "session.rhai"]).code, 0);
    let runs = project.podlift(&["runs"]);
    assert!(runs.stdout.contains("done"), "a session is a run: {}", runs.stdout);
}
