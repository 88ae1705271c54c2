//! Runs the real `podlift` on a project of a test's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::rig::{Output, Rig, app_context, output};

/// A project's folder, and the hosts that its scripts may name.
pub struct Project {
    folder: tempfile::TempDir,
    ssh_config: Option<PathBuf>,
    env: Vec<(String, String)>,
}

impl Project {
    /// A project without hosts: for what needs none.
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("there is a temporary directory"), ssh_config: None, env: Vec::new() }
    }

    /// A project that deploys to a rig's hosts, with the quickstart's app and its Dockerfile in it.
    pub fn on(rig: &Rig) -> Self {
        let project = Self { ssh_config: Some(rig.ssh_config()), ..Self::new() };
        for file in ["app", "Dockerfile", ".dockerignore"] {
            fs::copy(app_context().join(file), project.path().join(file)).expect("the app was built");
        }
        project
    }

    /// Adds an environment variable to podlift's.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file of the project.
    pub fn write(&self, name: &str, text: &str) -> &Self {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("it is in the folder")).expect("the folder can be written");
        fs::write(path, text).expect("the folder can be written");
        self
    }

    /// The command, not yet started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_podlift"));
        command.args(arguments).current_dir(self.path()).env("NO_COLOR", "1").env_remove("PODLIFT_SSH_CONFIG");
        if let Some(config) = &self.ssh_config {
            command.env("PODLIFT_SSH_CONFIG", config);
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs it to its end.
    pub fn podlift(&self, arguments: &[&str]) -> Output {
        output(&mut self.command(arguments), "")
    }

    /// Starts it and lets it run.
    pub fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("podlift starts")
    }

    /// Runs it with `--json` and reads its events. The exit code is the last event's.
    #[track_caller]
    pub fn events(&self, arguments: &[&str]) -> Events {
        let output = self.podlift(&[arguments, &["--json"]].concat());
        let events: Vec<Value> = output
            .stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:?}\n{}", output.stderr)))
            .collect();
        Events { events, output }
    }
}

/// What a run told, event by event.
#[derive(Debug)]
pub struct Events {
    pub events: Vec<Value>,
    pub output: Output,
}

impl Events {
    /// What each call asked for and how it ended, in the script's order, without what no plan can know: tokens, the run's id,
    /// and times.
    pub fn records(&self) -> Vec<String> {
        let run = self.events.iter().find_map(|event| event["run"].as_str()).expect("a run's calls tell its id").to_owned();
        let mut records: Vec<(Vec<u64>, String)> = self
            .events
            .iter()
            .filter(|event| ["done", "failed"].contains(&event["event"].as_str().unwrap_or_default()))
            .map(|event| {
                let key = event["key"].as_str().expect("a call has a key");
                let numbers = key.split(|character: char| !character.is_ascii_digit()).filter_map(|number| number.parse().ok());
                let failure = &event["failure"];
                let text = format!("{key} {} {} {} {}", event["event"], event["op"], failure["kind"], failure["message"]);
                (numbers.collect(), without_tokens(&text.replace(&run, "RUN")))
            })
            .collect();
        records.sort();
        records.into_iter().map(|(_, record)| record).collect()
    }

    /// The last event: the run's result.
    pub fn result(&self) -> &Value {
        self.events.last().unwrap_or_else(|| panic!("no event\n{}", self.output.stderr))
    }
}

/// Fails at the first record in which a plan and its run differ.
#[track_caller]
pub fn assert_alike(plan: &Events, run: &Events) {
    let (planned, done) = (plan.records(), run.records());
    for (planned, done) in planned.iter().zip(&done) {
        assert!(planned == done, "planned: {planned}\ndone:    {done}\n{}", run.output.stderr);
    }
    assert!(planned.len() == done.len(), "{} records planned, {} done\n{}", planned.len(), done.len(), run.output.stderr);
}

/// Replaces the tokens in containers' names, `-0123456789-`.
pub fn without_tokens(text: &str) -> String {
    let mut words: Vec<&str> = text.split('-').collect();
    for word in &mut words {
        if word.len() == 10 && word.chars().all(|character| character.is_ascii_hexdigit()) {
            *word = "TOKEN";
        }
    }
    words.join("-")
}
