//! `podlift repl`, driven by lines on its standard input.

use std::fs;

use crate::{
    podlift::Project,
    rig::{Output, output},
    terminal::Terminal,
};

const BEGIN: &str = "import \"std/rolling\" as rolling;
let fleet = hosts([\"h1\", \"h2\"]);
let web = service(\"web\", #{
    port: 8000,
    health: http(\"/\"),
});
let img = build(web, #{ tag: \"v1\" });
yes
ship(img, fleet);
rolling::deploy(web, img, fleet);
";

fn talk(project: &Project, arguments: &[&str], lines: &str) -> Output {
    output(&mut project.command(&[&["repl", "--simulate"], arguments].concat()), lines)
}

#[test]
fn a_session_deploys_inspects_shifts_weights_undoes_and_saves() {
    let project = Project::new();
    let lines = "let old = running(web, fleet);
let next = { let img = build(web, #{ tag: \"v2\" }); ship(img, fleet); start(web, img, fleet) };
healthcheck(next);
set_weights([[old, 90], [next, 10]]);
weights(web, fleet)
releases(web, fleet)
:status
:undo
weights(web, fleet)
:save deploy.rhai
:quit
";
    let output = talk(&project, &[], &format!("{BEGIN}{lines}"));
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(output.stderr.matches("the first change of this session").count(), 1, "{}", output.stderr);
    let table = |text: &str| output.stdout.contains(text);
    assert!(table("SERVICE  VERSION  HOSTS") && table("90%") && table("10%"), "{}", output.stdout);
    assert!(table("SERVICE  VERSION  HOST  CONTAINER") && table("running"), "{}", output.stdout);
    let (_, after) = output.stdout.rsplit_once("OF ALL").expect("weights were shown");
    assert!(after.contains("100%") && !after.contains("90%"), "{after}");
    let saved = fs::read_to_string(project.path().join("deploy.rhai")).expect("it was saved");
    assert!(saved.contains("let next = ") && !saved.contains("[old, 90]") && !saved.contains("releases("), "{saved}");
    assert_eq!(project.podlift(&["check", "deploy.rhai"]).code, 0);
    assert_eq!(project.podlift(&["run", "deploy.rhai", "--simulate"]).code, 0);
}

#[test]
fn it_asks_before_the_first_change() {
    let project = Project::new();
    let output = talk(
        &project,
        &[],
        "let web = service(\"web\", #{ port: 8000, health: http(\"/\") });\nbuild(web, #{ tag: \"v1\" })\nno\nnow().len > 0\n",
    );
    assert_eq!(output.code, 1, "{}", output.stderr);
    assert!(
        output.stderr.contains("you said no: nothing was changed") && output.stdout.contains("true"),
        "{}{}",
        output.stdout,
        output.stderr
    );
    let yes = talk(&project, &["--yes"], "hook(\"local\", \"echo hi\").stdout\n");
    assert!(!yes.stderr.contains("go on") && yes.code == 0, "{}", yes.stderr);
}

#[test]
fn a_plan_touches_nothing_and_help_is_at_hand() {
    let project = Project::new();
    let lines = format!(
        "{BEGIN}:plan stop(running(web, fleet), #{{ allow_downtime: true }})\n:plan stpo(1)\nrunning(web, fleet).state\n:hosts\n:help drain\n:hlep\n:vars\n"
    );
    let output = talk(&project, &[], &lines);
    assert_eq!(output.code, 0, "{}", output.stderr);
    for shown in
        ["stop         default-web-v1-", "Afterwards", "\"running\"", "HOST  ADDRESS", "drain(release, options?) → Map", "fleet = [h1, h2]"]
    {
        assert!(output.stdout.contains(shown), "{shown}:\n{}{}", output.stdout, output.stderr);
    }
    assert!(output.stderr.contains("did you mean :help?"), "{}", output.stderr);
}

#[test]
fn a_mistake_is_told_with_the_nearest_name_and_ends_nothing() {
    let project = Project::new();
    let output = talk(&project, &[], "let fleet = hosts([\"h1\"]);\nfleeet\nrunnning(1)\nhosts(\"a\")\nfn twice(x) { x * 2 }\ntwice(21)\n");
    assert_eq!(output.code, 1, "who sent the lines is told: {}", output.stderr);
    for told in ["there is no variable `fleeet` here", "did you mean `fleet`?", "did you mean `running`?"] {
        assert!(output.stderr.contains(told), "{told}:\n{}", output.stderr);
    }
    assert!(output.stdout.contains("42"), "{}", output.stdout);
}

#[test]
fn a_script_is_loaded_up_to_its_first_change() {
    let project = Project::new();
    project.write("deploy.rhai", "let fleet = hosts([\"h1\"]);\nlet web = service(\"web\", #{ port: 8000, health: http(\"/\") });\nlet img = build(web, #{ tag: \"v1\" });\n");
    let output = talk(&project, &["deploy.rhai"], "no\nprint(web.name)\nfleet.len\n");
    assert_eq!(output.code, 1, "{}", output.stderr);
    assert!(output.stdout.contains('1') && output.stderr.contains("web"), "{}{}", output.stdout, output.stderr);
}

#[test]
fn a_session_saves_itself_again_and_nobody_elses_file() {
    let project = Project::new();
    project.write("mine.rhai", "// mine\n");
    let output = talk(&project, &[], "let a = 1;\n:save new.rhai\nlet b = 2;\n:save new.rhai\n:save mine.rhai\n");
    assert_eq!(output.code, 0, "{}", output.stderr);
    let read = |name: &str| fs::read_to_string(project.path().join(name)).expect("it is there");
    assert_eq!((read("new.rhai").as_str(), read("mine.rhai").as_str()), ("let a = 1;\nlet b = 2;\n", "// mine\n"));
    assert!(output.stderr.contains("mine.rhai is there already, and not from this session"), "{}", output.stderr);
    assert!(!output.stderr.contains("in 0ms"), "{}", output.stderr);
}

#[test]
fn a_saved_session_has_what_was_declared_and_done_even_if_its_value_was_shown() {
    let project = Project::new();
    let declared = "project(\"shop\")\nlet fleet = hosts([\"h1\"]);\nlet web = service(\"web\", #{ port: 8000, health: http(\"/\") });\n";
    let lines = "let img = build(web, #{ tag: \"v1\" });\nship(img, fleet);\nlet next = start(web, img, fleet);\nhealthcheck(next)\nnext.version\nreleases(web, fleet)\n";
    let output = talk(&project, &["--yes"], &format!("{declared}{lines}:save saved.rhai\n"));
    assert_eq!(output.code, 0, "{}", output.stderr);
    let saved = fs::read_to_string(project.path().join("saved.rhai")).expect("it was saved");
    assert!(saved.starts_with("project(\"shop\");\n") && saved.contains("healthcheck(next);"), "{saved}");
    assert!(!saved.contains("releases(") && !saved.contains("next.version"), "{saved}");
}

#[test]
fn an_undo_does_not_go_past_a_commit_and_says_so() {
    let project = Project::new();
    let declared = "let fleet = hosts([\"h1\"]);\nlet web = service(\"web\", #{ port: 8000, health: http(\"/\") });\nlet img = build(web, #{ tag: \"v1\" });\nship(img, fleet);\n";
    let lines = "let one = start(web, img, fleet);\ncommit();\nlet two = start(web, img, fleet);\nhealthcheck(two);\n:undo\n:undo\n:undo\nreleases(web, fleet).len == 1\n:save saved.rhai\n";
    let output = talk(&project, &["--yes"], &format!("{declared}{lines}"));
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(output.stderr.matches("taken back: 1 change").count(), 1, "{}", output.stderr);
    assert_eq!(
        output.stderr.matches("nothing was taken back: what was done is final, as commit() came behind it").count(),
        2,
        "{}",
        output.stderr
    );
    assert!(output.stdout.contains("true"), "{}", output.stdout);
    assert!(output.stderr.contains("left out, as what it needs was taken back: healthcheck(two);"), "{}", output.stderr);
    let saved = fs::read_to_string(project.path().join("saved.rhai")).expect("it was saved");
    assert!(saved.ends_with("let one = start(web, img, fleet);\ncommit();\n"), "{saved}");
}

#[test]
fn a_plan_of_what_changes_nothing_says_so() {
    let project = Project::new();
    let output = talk(&project, &[], "let fleet = hosts([\"h1\"]);\n:plan reachable(fleet)\n:help rolling::deploy\n");
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stdout.contains("it would change nothing") && output.stdout.contains("a few hosts at a time"), "{}", output.stdout);
}

#[test]
fn at_a_terminal_tab_completes_and_ctrl_c_stops_an_input_and_not_the_session() {
    let project = Project::new();
    let mut terminal = Terminal::open(&project.command(&["repl", "--simulate"]));
    terminal.sees("podlift> ");
    // What is typed before the prompt is there is no key for the editor.
    terminal.types("import \"std/rolling\" as rolling; 40 + 2");
    terminal.sees("42");
    terminal.sees("podlift> ");
    terminal.presses("rolling::deploy(1, 2, 3, #{ on_f\t");
    terminal.sees("on_failure: ");
    terminal.presses("\u{3}");
    terminal.sees("podlift> ");
    // The editor forgets what it has read behind a ctrl-C.
    std::thread::sleep(std::time::Duration::from_millis(500));
    for _ in 0..2 {
        terminal.types("info(`it ${\"be\" + \"gins\"}`); loop {}");
        terminal.sees("it begins");
        terminal.presses("\u{3}");
        terminal.sees("this input was stopped");
        terminal.sees("podlift> ");
    }
    terminal.types("40 + 3");
    terminal.sees("43");
    terminal.types(":quit");
    assert_eq!(terminal.ends(), 0, "{}", terminal.text());
}

#[test]
fn at_a_terminal_an_input_of_several_lines_is_one_names_are_completed_and_the_project_remembers() {
    let project = Project::new();
    project.write("morning.rhai", "info(\"good \" + \"morning\");");
    let open = |project: &Project| {
        let mut command = project.command(&["repl", "--simulate", "--yes"]);
        let mut terminal = Terminal::open(command.env_remove("NO_COLOR"));
        terminal.sees("podlift> ");
        terminal
    };
    let mut terminal = open(&project);
    // Where it goes on, Enter only begins the next line.
    for line in ["let fleet = [", "    host(\"frontend\"),", "]; info(`${40 + 2} is typed`);"] {
        terminal.types(line);
    }
    terminal.sees("42 is typed");
    terminal.sees("podlift> ");
    terminal.types("let web = service(\"web\", #{ port: 8000, health: no_health() }); info(`${40 + 3} is typed`);");
    terminal.sees("43 is typed");
    terminal.sees("podlift> ");
    terminal.types("let img = build(web, #{ tag: \"v2026\" }); ship(img, fleet); info(`${40 + 4} is typed`);");
    terminal.sees("44 is typed");
    terminal.sees("podlift> ");
    terminal.types("start(web, img, fleet); img = (); let known = #{ past: releases(web, fleet) }; info(`it ${1 + 1} runs`);");
    terminal.sees("it 2 runs");
    terminal.sees("podlift> ");
    // A host, a version and a file are completed: more is shown than was typed.
    for (typed, completed) in [("host(\"fro\t", "host(\"frontend"), ("\"v20\t", "\"v2026"), (":load mor\t", ":load morning.rhai")] {
        terminal.presses(typed);
        terminal.sees(completed);
        terminal.presses("\u{15}");
        terminal.sees("podlift> ");
    }
    terminal.types(":load morning.rhai");
    terminal.sees("good morning");
    terminal.sees("podlift> ");
    terminal.types(":quit");
    assert_eq!(terminal.ends(), 0, "{}", terminal.text());
    let screen = terminal.screen();
    assert!(screen.contains("\u{1b}[35mlet\u{1b}[0m") && screen.contains("\u{1b}[36mhost\u{1b}[0m"), "{screen:?}");

    // The next day the same project still knows what was typed, and another one does not.
    let up = "\u{1b}[A";
    let mut terminal = open(&project);
    terminal.presses(&format!("{up}{up}"));
    terminal.sees(":load morning.rhai");
    terminal.presses("\r");
    terminal.sees("good morning");
    let mut terminal = open(&Project::new());
    terminal.types(&format!("{up}info(`nothing ${{\"to\" + \"day\"}}`)"));
    terminal.sees("nothing today");
    assert!(!terminal.text().contains("morning"), "{}", terminal.text());
}
