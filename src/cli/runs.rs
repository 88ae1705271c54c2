//! What commands about runs are called with.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, ValueEnum};

use super::{Cli, Command, Run, Ssh};
use crate::model::{Host, Invalid, Period, RunId};

/// List the runs of this project, the newest first.
///
/// A run is done, failed (before it changed anything), undone, mixed (a part of what it did stands), interrupted (it can be resumed
/// or undone) or running.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  podlift runs
  podlift runs --from deploy@10.0.0.11")]
pub struct Runs {
    /// List the runs that a host keeps, in place of those of this machine. May be repeated.
    #[arg(long, value_name = "HOST", value_parser = Host::parse)]
    pub from: Vec<Host>,
    /// Print a JSON array with an object for each run.
    #[arg(long)]
    pub json: bool,
    /// How to reach hosts.
    #[command(flatten)]
    pub ssh: Ssh,
}

/// Show what a run did, host by host: what is done, what failed, what is in doubt, what is missing.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  podlift show
  podlift show 20260102-030405-a1b2c3 --from deploy@10.0.0.11")]
pub struct Show {
    /// The run; not given, the last one.
    #[arg(value_name = "RUN", value_parser = run_id)]
    pub run: Option<RunId>,
    /// Also look at the copy that a host keeps. May be repeated.
    #[arg(long, value_name = "HOST", value_parser = Host::parse)]
    pub from: Vec<Host>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Show what was read on the way, too.
    #[arg(short, long)]
    pub verbose: bool,
    /// How to reach hosts.
    #[command(flatten)]
    pub ssh: Ssh,
}

/// Go on with a run that stopped in the middle.
///
/// The script that the run was begun with is run again. Calls that were answered are not made a second time; a change that was begun
/// and not answered is looked for on its host, and done if it is not there. A run that was being undone goes on being undone.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  podlift resume
  podlift resume 20260102-030405-a1b2c3 --from deploy@10.0.0.11
  podlift resume --script deploy.rhai          goes on with a corrected script
  podlift resume --yes                         goes on with a run that waits for an answer
  podlift resume --in-doubt redo")]
pub struct Resume {
    /// The run; not given, the newest but for those that failed before they did anything or changed nothing.
    #[arg(value_name = "RUN", value_parser = run_id)]
    pub run: Option<RunId>,
    /// Also look at the copy that a host keeps. May be repeated.
    #[arg(long, value_name = "HOST", value_parser = Host::parse)]
    pub from: Vec<Host>,
    /// Go by this copy of the journal where copies have gone apart: the name of the host that keeps it, or "here".
    #[arg(long, value_name = "HOST|here")]
    pub journal: Option<String>,
    /// Go on with this script: it has to ask for the same as far as the run came.
    #[arg(long, value_name = "FILE")]
    pub script: Option<PathBuf>,
    /// The plan of a run that is held to one, where that is not kept here.
    #[arg(long, value_name = "FILE")]
    pub plan: Option<PathBuf>,
    /// What became of a command that was begun and not answered. Not given, the terminal is asked before anything is done; where
    /// nobody is there, nothing is.
    #[arg(long, value_name = "ANSWER")]
    pub in_doubt: Option<InDoubt>,
    /// Answer every question of the script with yes; --yes=NAME only the one of that name.
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub yes: Vec<String>,
    /// How long to wait where another run is at work on the same service and host; not given, it is refused then.
    #[arg(long, value_name = "DURATION", value_parser = Period::parse, default_value = "0s", hide_default_value = true)]
    pub wait: Period,
    /// Print one event a line as JSON, the last with the run's result.
    #[arg(long)]
    pub json: bool,
    /// Show every API call and command, and what is read on the way.
    #[arg(short, long)]
    pub verbose: bool,
    /// How to reach hosts.
    #[command(flatten)]
    pub ssh: Ssh,
}

/// Take back what a run did since its last commit.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  podlift undo
  podlift undo 20260102-030405-a1b2c3 --from deploy@10.0.0.11")]
pub struct Undo {
    /// The run; not given, the newest but for those that failed before they did anything.
    #[arg(value_name = "RUN", value_parser = run_id)]
    pub run: Option<RunId>,
    /// Also look at the copy that a host keeps. May be repeated.
    #[arg(long, value_name = "HOST", value_parser = Host::parse)]
    pub from: Vec<Host>,
    /// Go by this copy of the journal where copies have gone apart: the name of the host that keeps it, or "here".
    #[arg(long, value_name = "HOST|here")]
    pub journal: Option<String>,
    /// What became of a command that was begun and not answered: done runs its undo, skip does not. Not given, the terminal is asked
    /// before anything is undone; where nobody is there, nothing is. A command without undo is not asked about, but named in the end.
    #[arg(long, value_name = "ANSWER")]
    pub in_doubt: Option<InDoubt>,
    /// How long to wait where another run is at work on the same service and host; not given, it is refused then.
    #[arg(long, value_name = "DURATION", value_parser = Period::parse, default_value = "0s", hide_default_value = true)]
    pub wait: Period,
    /// Print one event a line as JSON, the last with the result.
    #[arg(long)]
    pub json: bool,
    /// Show every API call and command, and what is read on the way.
    #[arg(short, long)]
    pub verbose: bool,
    /// How to reach hosts.
    #[command(flatten)]
    pub ssh: Ssh,
}

/// What became of a command that was begun and not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum InDoubt {
    /// It was done; nobody knows what it answered: after `resume` the script gets exit code 0 and no output.
    Done,
    /// Do it again.
    Redo,
    /// It was not done, and is to be left out; after `resume` the script gets exit code 0 and no output.
    Skip,
    /// Stop.
    Abort,
}

impl Resume {
    /// What goes on with the undo of such a run.
    pub fn as_undo(&self) -> Undo {
        let Self { run, from, journal, in_doubt, wait, json, verbose, ssh, .. } = self.clone();
        Undo { run, from, journal, in_doubt, wait, json, verbose, ssh }
    }

    /// What its run is told and shown by.
    pub fn as_run(&self, script: &Path, arguments: &[(String, String)]) -> Run {
        Run { yes: self.yes.clone(), wait: self.wait, ..as_run(script, arguments, self.json, self.verbose, &self.ssh) }
    }
}

impl Undo {
    /// What it is told and shown by.
    pub fn as_run(&self) -> Run {
        as_run(Path::new("undo"), &[], self.json, self.verbose, &self.ssh)
    }
}

impl Run {
    /// What goes on with its run.
    pub fn resumed(&self, run: RunId) -> Resume {
        let Self { yes, json, verbose, ssh, .. } = self.clone();
        Resume {
            run: Some(run),
            from: Vec::new(),
            journal: None,
            script: None,
            plan: None,
            in_doubt: None,
            wait: Period::default(),
            yes,
            json,
            verbose,
            ssh,
        }
    }

    /// What takes its run back.
    pub fn undone(&self, run: RunId) -> Undo {
        self.resumed(run).as_undo()
    }
}

/// `podlift run` with these options and none else.
fn as_run(script: &Path, arguments: &[(String, String)], json: bool, verbose: bool, ssh: &Ssh) -> Run {
    let Ok(Cli { command: Command::Run(run) }) = Cli::try_parse_from(["podlift", "run", "script"]) else {
        unreachable!("`podlift run script` is a command")
    };
    Run { script: Some(script.into()), arguments: arguments.to_vec(), json, verbose, ssh: ssh.clone(), ..run }
}

fn run_id(text: &str) -> Result<RunId, Invalid> {
    RunId::new(text)
}
