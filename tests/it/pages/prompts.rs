//! A prompt that is told to stop, by a signal or as its terminal closes: it ends at once, and leaves the terminal as it was.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use crate::{podlift::Project, rig::output, terminal::Terminal, until::until};

/// Runs podlift in a terminal, and notes the terminal's settings before and behind it.
fn open(project: &Project, arguments: &[&str]) -> Terminal {
    let podlift = project.command(arguments);
    let lines = "stty -g >before; sh -c 'echo $$ >pid; exec \"$@\"' - \"$@\"; code=$?; stty -g >after; exit $code";
    let mut shell = Command::new("sh");
    shell.args(["-c", lines, "-"]).arg(podlift.get_program()).args(podlift.get_args()).current_dir(project.path()).env("NO_COLOR", "1");
    Terminal::open(&shell)
}

fn read(project: &Project, name: &str) -> String {
    fs::read_to_string(project.path().join(name)).unwrap_or_default()
}

fn signal(name: &str, process: &str) {
    output(Command::new("kill").args([&format!("-{name}"), process.trim()]), "").text();
}

#[track_caller]
fn assert_ends(mut terminal: Terminal, project: &Project) {
    assert_eq!(terminal.ends(), 7, "{}", terminal.text());
    assert_eq!(read(project, "before"), read(project, "after"), "the terminal has its settings back");
    assert!(!read(project, "before").is_empty());
}

#[test]
fn a_session_ends_at_once_in_the_middle_of_a_line() {
    for name in ["TERM", "HUP"] {
        let project = Project::new();
        let mut terminal = open(&project, &["repl", "--yes"]);
        terminal.sees("podlift> ");
        terminal.types("hook(\"local\", \"touch done\", #{ undo: \"rm done\" }); info(\"it is \" + \"done\");");
        terminal.sees("it is done");
        terminal.sees("podlift> ");
        terminal.presses("let half = ");
        terminal.sees("let half = ");
        signal(name, &read(&project, "pid"));
        terminal.sees("stopping now");
        terminal.sees("interrupted; 1 change of 1 stand");
        terminal.sees("takes it back");
        assert_ends(terminal, &project);
        let resumed = project.podlift(&["resume"]);
        assert_eq!(resumed.code, 3, "{}", resumed.stderr);
        assert!(resumed.stderr.contains("it was typed, and has no script to go on with"), "{}", resumed.stderr);
        assert!(project.podlift(&["show"]).stdout.contains("it cannot be resumed: it was typed"));
        assert_eq!(project.podlift(&["undo"]).code, 0);
        assert!(!project.path().join("done").exists());
    }
}

#[test]
fn a_question_before_the_first_change_is_no_more_answered() {
    let project = Project::new();
    let mut terminal = open(&project, &["repl"]);
    terminal.sees("podlift> ");
    terminal.types("hook(\"local\", \"touch done\");");
    terminal.sees("[y/N] ");
    signal("TERM", &read(&project, "pid"));
    terminal.sees("this input was stopped");
    assert_ends(terminal, &project);
    assert!(!project.path().join("done").exists());
}

#[test]
fn a_run_that_is_stepped_through_ends_at_once_and_goes_on_later() {
    for name in ["TERM", "HUP"] {
        let project = Project::new();
        project.write("two.rhai", "hook(\"local\", \"echo first >>done\");\nhook(\"local\", \"echo second >>done\");\n");
        let mut terminal = open(&project, &["run", "two.rhai", "--step"]);
        terminal.sees("op: hook echo first");
        terminal.sees("(step) ");
        terminal.types("step");
        terminal.sees("op: hook echo second");
        terminal.sees("(step) ");
        signal(name, &read(&project, "pid"));
        terminal.sees("stopping now");
        terminal.sees("goes on");
        assert_ends(terminal, &project);
        assert_eq!(read(&project, "done"), "first\n");
        let resumed = project.podlift(&["resume"]);
        assert_eq!(resumed.code, 0, "{}", resumed.stderr);
        assert_eq!(read(&project, "done"), "first\nsecond\n", "each once");
    }
}

#[test]
fn nothing_goes_on_in_a_terminal_that_was_closed() {
    for arguments in [&["repl", "--yes"][..], &["run", "two.rhai", "--step"]] {
        let project = Project::new();
        project.write("two.rhai", "hook(\"local\", \"echo first >>done\");\n");
        let mut terminal = open(&project, arguments);
        terminal.sees(if arguments[0] == "repl" { "podlift> " } else { "(step) " });
        let process = read(&project, "pid");
        drop(terminal);
        until("podlift has ended", || !Path::new("/proc").join(process.trim()).exists());
        let runs = project.podlift(&["runs"]).stdout;
        assert!(runs.contains("interrupted"), "{runs}");
        assert_eq!(read(&project, "done"), "");
    }
}

#[test]
fn a_pipe_that_stays_open_is_not_waited_for() {
    let project = Project::new();
    let mut child =
        project.command(&["repl"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("podlift starts");
    let mut told = BufReader::new(child.stderr.take().expect("it is piped")).lines();
    assert!(told.next().is_some_and(|line| line.is_ok_and(|line| line.contains("type script"))));
    signal("TERM", &child.id().to_string());
    let rest: Vec<String> = told.map_while(Result::ok).collect();
    assert_eq!(child.wait().expect("it ends").code(), Some(7), "{rest:?}");
}
