//! What commands that run a script are called with.

use std::path::PathBuf;

use clap::Args;

use super::{Ssh, argument};
use crate::model::{Invalid, Period};

/// Run a script.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  podlift run deploy.rhai --dry-run --diff
  podlift run deploy.rhai version=v2
  podlift run deploy.rhai --simulate
  podlift run deploy.rhai --step --break healthcheck
  podlift run deploy.rhai --wait 10m
  podlift run --plan release.plan      what `podlift plan` saved, or nothing
  podlift run backup                   runs deploy/backup.rhai")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Run {
    /// The script's file, or the name of a task: NAME stands for deploy/NAME.rhai.
    #[arg(value_name = "SCRIPT|TASK", required_unless_present = "plan")]
    pub script: Option<PathBuf>,
    /// Arguments for the script, which takes them with params.
    #[arg(value_name = "KEY=VALUE", value_parser = argument)]
    pub arguments: Vec<(String, String)>,
    /// Show what a run would do to the fleet as it is now, and touch nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Do what a plan says, with its script and arguments: nothing where the fleet has changed since, and nothing else.
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    pub plan: Option<PathBuf>,
    /// Stop before each op and ask what to do; `help` there tells what can be typed. Lines of a pipe are taken as typed.
    #[arg(long, conflicts_with = "json")]
    pub step: bool,
    /// With --step: stop at this line (12, or deploy.rhai:12), function or op, and not before each op. May be repeated.
    #[arg(long = "break", value_name = "LINE|FUNCTION|OP", requires = "step")]
    pub breaks: Vec<String>,
    /// Also show the changes of the proxies' files.
    #[arg(long, requires = "dry_run")]
    pub diff: bool,
    /// Run on a modelled fleet, which needs nothing installed and is kept in .podlift/simulated.json.
    #[arg(long)]
    pub simulate: bool,
    /// Deploy a release even where what is live is newer, by the commits of the repository that the script is in.
    #[arg(long, conflicts_with = "plan")]
    pub allow_older: bool,
    /// Answer every question of the script with yes; --yes=NAME only the one of that name.
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub yes: Vec<String>,
    /// Print one event a line as JSON, the last with the run's result.
    #[arg(long)]
    pub json: bool,
    /// Show every API call and command, and what is read on the way.
    #[arg(short, long)]
    pub verbose: bool,
    /// How long to wait where another run is at work on the same service and host; not given, such a run is refused.
    #[arg(long, value_name = "DURATION", value_parser = Period::parse, default_value = "0s", hide_default_value = true)]
    pub wait: Period,
    /// How long hosts keep this run's leases when it is not heard of any more.
    #[arg(long, value_name = "DURATION", value_parser = lasting, default_value = "60s", env = "PODLIFT_LEASE", hide_env_values = true)]
    pub lease: Period,
    /// How long to try to reach a host again whose connection broke in the middle of something.
    #[arg(long, value_name = "DURATION", value_parser = Period::parse, default_value = "30s")]
    pub reconnect: Period,
    /// What becomes of the changes of a run that ctrl-C ends: they stay for another command to decide, or are undone at once.
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = OnInterrupt::Leave)]
    pub on_interrupt: OnInterrupt,
    /// How to reach hosts.
    #[command(flatten)]
    pub ssh: Ssh,
}

/// What becomes of an interrupted run's changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum OnInterrupt {
    /// They stay.
    Leave,
    /// They are undone.
    Undo,
}

/// Show what a run would do, and save it as a plan.
///
/// The plan holds every op, what was assumed, and a fingerprint of the fleet; it is bound to the script, its imports and its
/// arguments. `podlift run --plan FILE` does exactly that: it stops before the first op that would differ, and before any where the
/// fleet has changed since.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  podlift plan deploy.rhai version=v2 -o release.plan
  podlift plan deploy.rhai version=v2 --diff
  podlift run --plan release.plan")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Plan {
    /// The script's file, or the name of a task: NAME stands for deploy/NAME.rhai.
    #[arg(value_name = "SCRIPT|TASK")]
    pub script: PathBuf,
    /// Arguments for the script, which takes them with params.
    #[arg(value_name = "KEY=VALUE", value_parser = argument)]
    pub arguments: Vec<(String, String)>,
    /// The file to save the plan in; not given, it is only shown.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Save it also where the file is there and is no plan of podlift.
    #[arg(long, requires = "output")]
    pub force: bool,
    /// Also show the changes of the proxies' files.
    #[arg(long)]
    pub diff: bool,
    /// Plan for the modelled fleet that is kept in .podlift/simulated.json.
    #[arg(long)]
    pub simulate: bool,
    /// Deploy a release even where what is live is newer, by the commits of the repository that the script is in.
    #[arg(long)]
    pub allow_older: bool,
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

/// Type a run, line by line.
///
/// What is typed is script, and is done as a run would do it: with guards and a journal, and :undo takes the last input back. It asks
/// before the first change. :help in it lists what else can be typed. Lines of a pipe are done as a script is:
/// the first that fails ends them, and there is nobody to ask, so changes need --yes.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  podlift repl --simulate
  podlift repl deploy.rhai             runs the script up to the first change, and asks
  podlift repl --yes                   behind a pipe: does the lines that come")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Repl {
    /// A script or task to begin with.
    #[arg(value_name = "SCRIPT|TASK")]
    pub script: Option<PathBuf>,
    /// Arguments for the script, which takes them with params.
    #[arg(value_name = "KEY=VALUE", value_parser = argument)]
    pub arguments: Vec<(String, String)>,
    /// Use the modelled fleet that is kept in .podlift/simulated.json.
    #[arg(long)]
    pub simulate: bool,
    /// Deploy a release even where what is live is newer, by the commits of the repository that the script is in.
    #[arg(long)]
    pub allow_older: bool,
    /// Answer every question with yes, the one before the first change too: lines of a pipe have nobody to ask.
    #[arg(long)]
    pub yes: bool,
    /// Show every API call and command, and what is read on the way.
    #[arg(short, long)]
    pub verbose: bool,
    /// How to reach hosts.
    #[command(flatten)]
    pub ssh: Ssh,
}

fn lasting(text: &str) -> Result<Period, Invalid> {
    let period = Period::parse(text)?;
    if period < Period::seconds(3) {
        return Err(Invalid::new("duration of a lease", text, "it is at least 3s, because it is renewed after a third of it"));
    }
    Ok(period)
}
