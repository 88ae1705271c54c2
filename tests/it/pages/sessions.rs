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
    let output = talk(&project, &["--yes"], &format!("{BEGIN}{lines}"));
    assert_eq!(output.code, 0, "{}", output.stderr);
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

const BUILD: &str = "let web = service(\"web\", #{ port: 8000, health: http(\"/\") });\nbuild(web, #{ tag: \"v1\" })\n";

#[test]
fn at_a_terminal_it_asks_before_the_first_change() {
    let project = Project::new();
    let mut terminal = Terminal::open(&project.command(&["repl", "--simulate"]));
    for answer in ["no", "yes"] {
        terminal.sees("podlift> ");
        terminal.types(&BUILD.replace('\n', " "));
        terminal.sees("build default-web:v1 from . on local: the first change of this session");
        terminal.sees("[y/N] ");
        terminal.types(answer);
        terminal.sees(if answer == "no" { "you said no: nothing was changed" } else { "default-web:v1" });
    }
    terminal.sees("podlift> ");
    terminal.types("hook(\"local\", \"echo hi\").stdout");
    terminal.sees("\"\"");
    terminal.sees("podlift> ");
    terminal.types(":quit");
    assert_eq!(terminal.ends(), 0, "{}", terminal.text());
    assert_eq!(terminal.text().matches("the first change of this session").count(), 2, "{}", terminal.text());
}

#[test]
fn a_session_that_fails_names_the_commands_that_nothing_takes_back() {
    for (line, is_named) in [("hook(\"local\", \"touch made\");", true), ("hook(\"local\", \"touch made\");\ncommit();", false)] {
        let project = Project::new();
        let output = output(&mut project.command(&["repl", "--yes"]), &format!("{line}\nfail(\"no luck\");\n"));
        assert!(project.path().join("made").exists(), "{line}");
        assert!(output.stderr.contains("1 change of 1 stand"), "{line}: {}", output.stderr);
        assert_eq!(output.stderr.contains("`hook` touch made (here) was done, and has no `undo`"), is_named, "{line}: {}", output.stderr);
    }
}

#[test]
fn nobody_is_asked_by_a_pipe_and_no_line_is_taken_for_an_answer() {
    let project = Project::new();
    let output = talk(&project, &[], &format!("{BUILD}yes\ninfo(\"not \" + \"reached\");\n"));
    assert_eq!(output.code, 3, "{}", output.stderr);
    for told in ["is the first change, and nobody is there to ask", "`podlift repl --yes` answers every question with yes"] {
        assert!(output.stderr.contains(told), "{told}:\n{}", output.stderr);
    }
    assert!(!output.stderr.contains("not reached") && output.stderr.contains("nothing was changed"), "{}", output.stderr);
    let yes = talk(&project, &["--yes"], "hook(\"local\", \"echo hi\").stdout\n");
    assert!(!yes.stderr.contains("go on") && yes.code == 0, "{}", yes.stderr);
}

#[test]
fn what_is_written_ends_at_its_first_failure_as_a_script_does() {
    let project = Project::new();
    let fails = |lines: &str| talk(&project, &["--yes"], &format!("{lines}\ninfo(\"not \" + \"reached\");\n"));
    for (lines, code) in [
        ("fleeet", 2),
        ("let a = ;", 2),
        ("fail(\"no luck\");", 1),
        (":hlep", 2),
        (":load nothing.rhai", 2),
        (":plan stpo(1)", 2),
        (":plan fail(\"no luck\")", 1),
        (":help stpo", 2),
    ] {
        let output = fails(lines);
        assert_eq!(output.code, code, "{lines}: {}", output.stderr);
        assert!(!output.stderr.contains("not reached"), "{lines}: {}", output.stderr);
        assert!(output.stderr.contains("✗ failed, and what comes behind it was not done; nothing was changed"), "{}", output.stderr);
    }
    project.write("bad.rhai", "let a = 1;\nfail(\"no luck\");\n");
    let loaded = talk(&project, &["bad.rhai"], "info(\"not \" + \"reached\");\n");
    assert_eq!(loaded.code, 1, "{}", loaded.stderr);
    assert!(!loaded.stderr.contains("not reached"), "{}", loaded.stderr);
    let changed = talk(&project, &["--yes"], &format!("{BEGIN}fail(\"no luck\");\n"));
    assert_eq!(changed.code, 6, "{}", changed.stderr);
    assert!(changed.stderr.contains("was not done; 6 changes of 6 stand"), "{}", changed.stderr);
    let here = Project::new();
    let kept = output(&mut here.command(&["repl", "--yes"]), "hook(\"local\", \"touch made\");\nfail(\"no luck\");\n");
    assert_eq!(kept.code, 6, "what a command did stands too: {}", kept.stderr);
    assert!(kept.stderr.contains("was not done; 1 change of 1 stand"), "{}", kept.stderr);
    let nothing = talk(&project, &["nope.rhai"], "");
    assert_eq!(nothing.code, 2, "{}", nothing.stderr);
    assert!(nothing.stderr.contains("there is no script nope.rhai"), "{}", nothing.stderr);
}

#[test]
fn what_ends_in_the_middle_is_told_with_its_place() {
    let project = Project::new();
    for (lines, message, place) in [
        ("let a = 1;\nlet b = [\n    #{ a: 1,\n", "this `#{` is not closed", "(input 2):2:5"),
        ("info(`a\n", "its closing backtick is missing", "(input 1):1:6"),
        ("1 /* a\n", "`*/` is missing", "(input 1):1:3"),
    ] {
        let output = talk(&project, &[], lines);
        assert_eq!(output.code, 2, "{lines}: {}", output.stderr);
        assert!(output.stderr.contains(message) && output.stderr.contains(place), "{lines}: {}", output.stderr);
    }
}

#[test]
fn a_plan_touches_nothing_and_help_is_at_hand() {
    let project = Project::new();
    let lines = format!(
        "{BEGIN}:plan stop(running(web, fleet), #{{ allow_downtime: true }})\nrunning(web, fleet).state\n:hosts\n:help drain\n:vars\n"
    );
    let output = talk(&project, &["--yes"], &lines);
    assert_eq!(output.code, 0, "{}", output.stderr);
    for shown in
        ["stop         default-web-v1-", "Afterwards", "\"running\"", "HOST  ADDRESS", "drain(release, options?) → Map", "fleet = [h1, h2]"]
    {
        assert!(output.stdout.contains(shown), "{shown}:\n{}{}", output.stdout, output.stderr);
    }
}

#[test]
fn at_a_terminal_a_mistake_is_told_with_the_nearest_name_and_ends_nothing() {
    let project = Project::new();
    let mut terminal = Terminal::open(&project.command(&["repl", "--simulate"]));
    for (typed, told) in [
        ("let fleet = hosts([\"h1\"]); info(`${40 + 1} is said`);", "41 is said"),
        ("fleeet", "there is no variable `fleeet` here"),
        ("fleeet", "did you mean `fleet`?"),
        ("runnning(1)", "did you mean `running`?"),
        (":hlep", "did you mean :help?"),
        (":plan stpo(1)", "stpo"),
        ("fn twice(x) { x * 2 } info(`${40 + 3} is said`);", "43 is said"),
        ("twice(21)", "42"),
    ] {
        terminal.sees("podlift> ");
        terminal.types(typed);
        terminal.sees(told);
    }
    terminal.sees("podlift> ");
    terminal.types(":quit");
    assert_eq!(terminal.ends(), 0, "{}", terminal.text());
}

const SCRIPT: &str = "//! Deploys.
import \"std/rolling\" as rolling;
let p = params(#{ version: \"v1\" });
let fleet = hosts([\"h1\"]);
let web = service(\"web\", #{ port: 8000, health: http(\"/\") });
let name = tagged(p.version);
let img = build(web, #{ tag: name });
/// Tells a version from others.
fn tagged(version) { version + \"-b\" }
ship(img, fleet);
rolling::deploy(web, img, fleet);
";

/// Types `typed` behind the script, of which nothing was allowed, and saves the session.
fn loaded_and_saved(project: &Project, typed: &str) -> String {
    project.write("deploy.rhai", SCRIPT);
    let mut terminal = Terminal::open(&project.command(&["repl", "deploy.rhai", "version=v2", "--simulate"]));
    terminal.sees("the first change of this session");
    terminal.sees("[y/N] ");
    terminal.types("no");
    terminal.sees("you said no: nothing was changed");
    terminal.sees("podlift> ");
    terminal.types("print(web.name + \"!\")");
    terminal.sees("web!");
    terminal.sees("podlift> ");
    terminal.types(&format!("{typed} info(`${{40 + 2}} is typed`);"));
    terminal.sees("42 is typed");
    terminal.sees("podlift> ");
    terminal.types(":save saved.rhai");
    terminal.sees("saved: podlift run saved.rhai version=v2");
    terminal.sees("podlift> ");
    terminal.types(":quit");
    assert_eq!(terminal.ends(), 0, "{}", terminal.text());
    fs::read_to_string(project.path().join("saved.rhai")).expect("it was saved")
}

#[test]
fn a_script_is_loaded_up_to_its_first_change_and_saved_as_far() {
    let project = Project::new();
    let saved = loaded_and_saved(&project, "let kept = tagged(`${web.name}-${p.version}`);");
    let (begin, _) = SCRIPT.split_once("let img").expect("it builds");
    let function = "/// Tells a version from others.\nfn tagged(version) { version + \"-b\" }\n";
    assert_eq!(
        saved,
        format!(
            "{begin}{function}print(web.name + \"!\");\nlet kept = tagged(`${{web.name}}-${{p.version}}`); info(`${{40 + 2}} is typed`);\n"
        )
    );
    assert_eq!(project.podlift(&["check", "saved.rhai"]).code, 0);
    let run = project.podlift(&["run", "saved.rhai", "version=v2", "--simulate"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
}

#[test]
fn a_script_that_was_taken_back_is_saved_up_to_its_first_change() {
    let project = Project::new();
    project.write("deploy.rhai", SCRIPT);
    let output = talk(&project, &["deploy.rhai", "--yes"], ":undo\n:save saved.rhai\n");
    assert_eq!(output.code, 0, "{}", output.stderr);
    let saved = fs::read_to_string(project.path().join("saved.rhai")).expect("it was saved");
    let (begin, _) = SCRIPT.split_once("let img").expect("it builds");
    assert_eq!(saved, format!("{begin}/// Tells a version from others.\nfn tagged(version) {{ version + \"-b\" }}\n"));
    assert_eq!(project.podlift(&["run", "saved.rhai", "--simulate"]).code, 0);
}

#[test]
fn what_worked_of_an_input_that_failed_is_part_of_the_saved_script() {
    let project = Project::new();
    let first = "let fleet = hosts([\"h1\"]); info(`${40 + 2} is typed`);";
    let second = "let web = service(\"web\", #{ port: 8000, health: http(\"/\") }); let img = build(web, #{ tag: \"v1\" });";
    let failing = format!("{second} fail(\"no\" + \" luck\"); ship(img, fleet);");
    let mut terminal = Terminal::open(&project.command(&["repl", "--simulate", "--yes"]));
    for (typed, told) in [(first, "42 is typed"), (&failing, "no luck"), ("ship(img, fleet);", "done "), (":save saved.rhai", "saved:")] {
        terminal.sees("podlift> ");
        terminal.types(typed);
        terminal.sees(told);
    }
    terminal.sees("podlift> ");
    terminal.types(":quit");
    assert_eq!(terminal.ends(), 0, "{}", terminal.text());
    let saved = fs::read_to_string(project.path().join("saved.rhai")).expect("it was saved");
    assert_eq!(saved, format!("{first}\n{second}\nship(img, fleet);\n"));
    assert_eq!(project.podlift(&["run", "saved.rhai", "--simulate"]).code, 0);
}

#[test]
fn a_session_saves_itself_again_and_nobody_elses_file() {
    let project = Project::new();
    project.write("mine.rhai", "// mine\n");
    let output = talk(&project, &[], "let a = 1;\n:save new.rhai\nlet b = 2;\n:save new.rhai\n:save mine.rhai\n");
    assert_eq!(output.code, 2, "{}", output.stderr);
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
    terminal.presses("rolling::\t\t");
    terminal.sees("rolling::deploy");
    terminal.sees("rolling::retire");
    terminal.presses("\u{15}");
    // More than a screen has room for is not asked about.
    terminal.presses("drain(\t\t");
    terminal.sees(" more");
    terminal.presses("\u{15}");
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
    project.write("morning.rhai", "info(\"good \" + \"morning\");").write("deploy/nightly.rhai", "");
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
    for (typed, completed) in [
        ("host(\"fro\t", "host(\"frontend"),
        ("\"v20\t", "\"v2026"),
        (":load mor\t", ":load morning.rhai"),
        (":load deploy/ni\t", ":load deploy/nightly.rhai"),
    ] {
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
