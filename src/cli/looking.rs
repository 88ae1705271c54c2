//! What commands that look at scripts and hosts are called with.

use std::path::PathBuf;

use clap::Args;

use super::{Ssh, argument, service};
use crate::model::{Host, Invalid, ProjectName, RunId, ServiceName, Version};

/// Check scripts without running them.
///
/// All findings are shown at once, each with its place; nothing is touched. The exit code is 2 where there are any.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  podlift check deploy.rhai deploy/*.rhai
  podlift check deploy.rhai --hosts version=v2")]
pub struct Check {
    /// The scripts' files, or names of tasks; with --hosts also KEY=VALUE arguments for them.
    #[arg(value_name = "SCRIPT", required = true, value_parser = word)]
    pub words: Vec<Word>,
    /// Also look at the scripts' hosts: engine, platform, disk, proxy, and what a deploy would stumble over.
    #[arg(long)]
    pub hosts: bool,
    /// Print the findings as JSON.
    #[arg(long)]
    pub json: bool,
    /// How to reach hosts.
    #[command(flatten)]
    pub ssh: Ssh,
}

/// Show the containers of a project on its hosts, and changes of a schema that are between their halves.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  podlift ps deploy.rhai
  podlift ps deploy.rhai --simulate
  podlift ps --host deploy@10.0.0.11 --host deploy@10.0.0.12 --project shop --json")]
pub struct Ps {
    /// Where to look.
    #[command(flatten)]
    pub place: Where,
    /// Show the modelled fleet that is kept in .podlift/simulated.json.
    #[arg(long)]
    pub simulate: bool,
    /// Print JSON: an object with `containers` and `changes`, each an array of objects.
    #[arg(long)]
    pub json: bool,
}

/// Show what a service's containers wrote.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  podlift logs web deploy.rhai --tail 200
  podlift logs web --follow                     until ctrl-C, with containers that are started meanwhile
  podlift logs web --host deploy@10.0.0.11 --project shop")]
pub struct Logs {
    /// The service.
    #[arg(value_name = "SERVICE", value_parser = service)]
    pub service: ServiceName,
    /// Where to look.
    #[command(flatten)]
    pub place: Where,
    /// How many lines of each container.
    #[arg(long, value_name = "LINES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub tail: u32,
    /// Show stopped containers' words too.
    #[arg(long)]
    pub all: bool,
    /// Go on with what they write, and with containers that are started meanwhile, until ctrl-C.
    #[arg(short, long, conflicts_with = "all")]
    pub follow: bool,
}

/// Run a command in a container of a service: one that gets traffic, where there is one.
///
/// It has podlift's own input and output, and a terminal where there is one; what it prints is shown as it is, secrets too. Exit code 1
/// where the command fails.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  podlift exec web -- bash
  podlift exec web deploy.rhai --version v2 -- python manage.py migrate
  podlift exec web --host deploy@10.0.0.11 --project shop -- env")]
pub struct Exec {
    /// The service.
    #[arg(value_name = "SERVICE", value_parser = service)]
    pub service: ServiceName,
    /// Where to look.
    #[command(flatten)]
    pub place: Where,
    /// Only in a container of this version.
    #[arg(long, value_name = "VERSION", value_parser = version)]
    pub version: Option<Version>,
    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// Write a run's journal as a page of HTML.
///
/// One file that needs nothing else: what failed and what hosts said, every op by host with its time, the weights as they were set, and
/// the script with the time of each line.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  podlift report -o report.html
  podlift report 20261128-101500-a1b2c3 -o report.html")]
pub struct Report {
    /// The run; not given, the last one.
    #[arg(value_name = "RUN", value_parser = recorded_run)]
    pub run: Option<RunId>,
    /// The file to write.
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Write it also where the file is there and is no report of podlift.
    #[arg(long)]
    pub force: bool,
    /// A host to look for a copy of the journal on. May be repeated.
    #[arg(long, value_name = "HOST", value_parser = Host::parse)]
    pub from: Vec<Host>,
    /// How to reach hosts.
    #[command(flatten)]
    pub ssh: Ssh,
}

/// Hosts and project: a script's, or given by hand.
#[derive(Clone, Debug, Args)]
pub struct Where {
    /// The script whose hosts and project are meant; it is run in a model to find them. Not given, and no host either: deploy.rhai.
    #[arg(value_name = "SCRIPT", conflicts_with = "hosts")]
    pub script: Option<PathBuf>,
    /// Arguments for the script, which takes them with params.
    #[arg(value_name = "KEY=VALUE", value_parser = argument)]
    pub arguments: Vec<(String, String)>,
    /// A host, as in a script: name, user@name:port, an alias of ~/.ssh/config, or local. May be repeated.
    #[arg(long = "host", value_name = "ADDRESS", value_parser = Host::parse)]
    pub hosts: Vec<Host>,
    /// The project; not given, the script's own, or default.
    #[arg(long, value_name = "NAME", value_parser = project)]
    pub project: Option<ProjectName>,
    /// How to reach hosts.
    #[command(flatten)]
    pub ssh: Ssh,
}

/// A script, or an argument of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// A script's file, or a task.
    Script(PathBuf),
    /// `KEY=VALUE`.
    Argument(String, String),
}

#[expect(clippy::unnecessary_wraps, reason = "clap asks for a result")]
fn word(text: &str) -> Result<Word, String> {
    Ok(argument(text).map_or_else(|_| Word::Script(text.into()), |(key, value)| Word::Argument(key, value)))
}

fn recorded_run(text: &str) -> Result<RunId, Invalid> {
    RunId::new(text)
}

fn project(text: &str) -> Result<ProjectName, Invalid> {
    ProjectName::new(text)
}

fn version(text: &str) -> Result<Version, Invalid> {
    Version::new(text)
}
