//! Ctrl-C at a terminal in the middle of a run.

use std::fs;

use crate::{podlift::Project, terminal::Terminal, until::until};

const SCRIPT: &str = r#"
hook("local", "touch began; while [ ! -e go ]; do sleep 0.05; done; echo first >>done", #{ undo: "rm done" });
hook("local", "echo second >>done");
"#;

/// A run that was interrupted in its first command, which came to its end all the same; it asks what now.
fn interrupted() -> (Project, Terminal) {
    let project = Project::new();
    project.write("two.rhai", SCRIPT);
    let mut terminal = Terminal::open(&project.command(&["run", "two.rhai"]));
    until("the command runs", || project.path().join("began").exists());
    terminal.presses("\u{3}");
    terminal.sees("stopping after the op in flight");
    project.write("go", "");
    terminal.sees("[g]o on, [u]ndo what it did, or [l]eave it as it is?");
    assert_eq!(done(&project), "first\n", "the command in flight was finished, and none began");
    (project, terminal)
}

fn done(project: &Project) -> String {
    fs::read_to_string(project.path().join("done")).unwrap_or_default()
}

#[test]
fn the_op_in_flight_is_finished_and_the_run_goes_on_where_a_person_says_so() {
    let (project, mut terminal) = interrupted();
    terminal.types("g");
    assert_eq!(terminal.ends(), 0, "{}", terminal.text());
    assert_eq!(done(&project), "first\nsecond\n", "each once");
}

#[test]
fn what_was_done_is_taken_back_where_a_person_says_so() {
    let (project, mut terminal) = interrupted();
    terminal.types("what?");
    terminal.sees("[u]ndo");
    terminal.types("u");
    terminal.ends();
    assert!(!project.path().join("done").exists(), "{}", terminal.text());
}

#[test]
fn it_stays_as_it_is_where_nobody_decides_and_can_be_resumed_later() {
    for keys in ["l\r", "\u{3}", "\u{4}"] {
        let (project, mut terminal) = interrupted();
        terminal.presses(keys);
        assert_eq!(terminal.ends(), 7, "{}", terminal.text());
        assert_eq!(done(&project), "first\n");
        let resumed = project.podlift(&["resume"]);
        assert_eq!(resumed.code, 0, "{}", resumed.stderr);
        assert_eq!(done(&project), "first\nsecond\n");
    }
}
