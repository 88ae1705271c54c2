//! The command line. Doc comments are the help.

mod runs;
mod testing;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueHint};

use crate::{
    commands::exit::Exit,
    model::{Host, Invalid, Period, ProjectName, RunId, ServiceName},
};

pub use self::{
    runs::{InDoubt, Resume, Runs, Show, Undo},
    testing::Test,
};

/// Runs deployment scripts against Docker hosts over SSH, without dropping a request.
#[derive(Clone, Debug, Parser)]
#[command(name = "podlift", version, arg_required_else_help = true, after_help = exit_codes())]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

fn exit_codes() -> String {
    let row = |exit: Exit| format!("\n  {}  {}", exit.code(), exit.meaning());
    format!("Exit codes:{}", Exit::ALL.map(row).concat())
}

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run a script.
    Run(Run),
    /// Show what a run would do, and save it as a plan.
    Plan(Plan),
    /// List the runs of this project.
    Runs(Runs),
    /// Show what a run did, host by host.
    Show(Show),
    /// Go on with a run that stopped in the middle.
    Resume(Resume),
    /// Take back what a run did since its last commit.
    Undo(Undo),
    /// Check scripts without running them.
    Check(Check),
    /// Run a script on a modelled fleet while everything goes wrong that can.
    Test(Test),
    /// Show the containers of a project on its hosts.
    Ps(Ps),
    /// Show what a service's containers wrote.
    Logs(Logs),
    /// Write a run's journal as a page of HTML.
    Report(Report),
    /// Type a run, line by line.
    Repl(Repl),
    /// See who has the leases of a project's services, and give up those of runs that are gone.
    Lock(Lock),
    /// List the project's tasks.
    Tasks(Tasks),
    /// Show the documentation of a function, a strategy or a task.
    Docs(Docs),
    /// Write definition files, so that editors complete and document podlift's functions.
    Definitions(Definitions),
    /// Copy a module of the standard library into the project, to change it.
    Eject(Eject),
    /// Begin a strategy of your own.
    #[command(subcommand)]
    New(New),
    /// Print a shell's completion script.
    Completions(Completions),
}

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
    /// A host to look for a copy of the journal on. May be repeated.
    #[arg(long, value_name = "HOST", value_parser = Host::parse)]
    pub from: Vec<Host>,
    /// How to reach hosts.
    #[command(flatten)]
    pub ssh: Ssh,
}

/// Type a run, line by line.
///
/// What is typed is script, and is done as a run would do it: with guards and a journal, and :undo takes the last input back. It asks
/// before the first change. :help in it lists what else can be typed; lines of a pipe are taken as typed, and
/// the exit code is 1 where one of them failed.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  podlift repl --simulate
  podlift repl deploy.rhai             runs the script up to the first change, and asks")]
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
    /// Do not ask before the first change.
    #[arg(long)]
    pub yes: bool,
    /// Show every API call and command, and what is read on the way.
    #[arg(short, long)]
    pub verbose: bool,
    /// How to reach hosts.
    #[command(flatten)]
    pub ssh: Ssh,
}

/// List the project's tasks.
///
/// A task is a script deploy/NAME.rhai; `//!` at its top says what it does, and params what arguments it takes.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  podlift tasks
  podlift tasks --json")]
pub struct Tasks {
    /// Print a JSON array with an object for each task.
    #[arg(long)]
    pub json: bool,
    /// Print only the names, one a line.
    #[arg(long, conflicts_with = "json")]
    pub names: bool,
}

/// Show the documentation of a function, a strategy or a task.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  podlift docs                     what there is
  podlift docs set_weights
  podlift docs std/rolling
  podlift docs failures
  podlift docs --markdown          everything, as one document")]
pub struct Docs {
    /// A function, std/NAME, a script, a task, or a part of the language reference.
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Print Markdown.
    #[arg(long)]
    pub markdown: bool,
}

/// Write definition files, so that editors complete and document podlift's functions.
///
/// Editors with the Rhai language server read them: podlift's functions, those of Rhai that scripts can call, and the standard
/// library. Run it again after an update; what it writes replaces what it wrote.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  podlift definitions deploy")]
pub struct Definitions {
    /// The folder that the scripts are in.
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub folder: PathBuf,
}

/// Copy a module of the standard library into the project, to change it.
///
/// Prints the line that imports the copy.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  podlift eject std/rolling                          lib/rolling.rhai, in deploy/ if there is one
  podlift eject std/rolling --for ops/nightly.rhai   beside that script, imported as it has to be there
  podlift eject std/rolling --to deploy/lib/careful.rhai")]
pub struct Eject {
    /// The module.
    #[arg(value_name = "std/NAME")]
    pub module: String,
    /// Where it goes.
    #[command(flatten)]
    pub place: ModulePlace,
}

/// Begin something.
#[derive(Clone, Debug, Subcommand)]
pub enum New {
    /// Begin a strategy: a module with a function that works, to change as you need it.
    ///
    /// Prints the line that imports it.
    #[command(after_help = "\
Examples:
  podlift new strategy careful
  podlift new strategy careful --for deploy.rhai")]
    Strategy {
        /// Its name: letters, digits and `_`.
        #[arg(value_name = "NAME")]
        name: String,
        /// Where it goes.
        #[command(flatten)]
        place: ModulePlace,
    },
}

/// Where a module of the project goes.
#[derive(Clone, Debug, Args)]
pub struct ModulePlace {
    /// The script or task that will import it; not given, those of deploy/, or of this folder where there is none.
    #[arg(long = "for", value_name = "SCRIPT|TASK", value_hint = ValueHint::FilePath)]
    pub script: Option<PathBuf>,
    /// The file to write; not given, lib/NAME.rhai beside the script.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub to: Option<PathBuf>,
    /// Replace a file that is there.
    #[arg(long)]
    pub force: bool,
}

/// Print a shell's completion script.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  podlift completions bash > ~/.local/share/bash-completion/completions/podlift
  podlift completions zsh > ~/.zfunc/_podlift
  podlift completions fish > ~/.config/fish/completions/podlift.fish")]
pub struct Completions {
    /// The shell.
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// See who has the leases of a project's services, and give up those of runs that are gone.
///
/// One run at a time changes a service on a host: it has a lease there, which it renews and gives back at its end.
#[derive(Clone, Debug, Args)]
pub struct Lock {
    /// What to do.
    #[command(subcommand)]
    pub what: LockCommand,
}

/// What can be done about leases.
#[derive(Clone, Debug, Subcommand)]
pub enum LockCommand {
    /// Show who has which lease, since when and what for.
    Status(LockStatus),
    /// Give up leases of runs that did not come to their end.
    Release(LockRelease),
}

/// Show who has which lease, since when and what for.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  podlift lock status deploy.rhai
  podlift lock status --host deploy@10.0.0.11 --project shop --json")]
pub struct LockStatus {
    /// Where to look.
    #[command(flatten)]
    pub place: Where,
    /// Print a JSON array with an object for each lease.
    #[arg(long)]
    pub json: bool,
}

/// Give up leases of runs that did not come to their end.
///
/// What such a run had done stays as it is. Its session on the host is ended first, so that nothing of it can arrive any more.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  podlift lock release deploy.rhai
  podlift lock release --host deploy@10.0.0.11 --project shop --service web
  podlift lock release deploy.rhai --force      also those of runs that are at work")]
pub struct LockRelease {
    /// Where.
    #[command(flatten)]
    pub place: Where,
    /// Only this service's. May be repeated.
    #[arg(long = "service", value_name = "SERVICE", value_parser = service)]
    pub services: Vec<ServiceName>,
    /// Also leases that are in force: the runs that have them are cut off.
    #[arg(long)]
    pub force: bool,
    /// Print a JSON array with an object for each lease that was given up.
    #[arg(long)]
    pub json: bool,
}

/// Hosts and project: a script's, or given by hand.
#[derive(Clone, Debug, Args)]
pub struct Where {
    /// The script whose hosts and project are meant; it is run in a model to find them.
    #[arg(value_name = "SCRIPT", required_unless_present = "hosts", conflicts_with = "hosts")]
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

/// How to reach hosts.
#[derive(Clone, Debug, Args)]
pub struct Ssh {
    /// An ssh configuration file in place of ~/.ssh/config.
    #[arg(long, value_name = "FILE", env = "PODLIFT_SSH_CONFIG", hide_env_values = true)]
    pub ssh_config: Option<PathBuf>,
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

fn argument(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    let plain = key.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && key.chars().all(|character| character.is_ascii_alphanumeric() || character == '_');
    if !plain {
        return Err(format!("{key:?} is not a name of letters, digits and `_`"));
    }
    Ok((key.into(), value.into()))
}

fn lasting(text: &str) -> Result<Period, Invalid> {
    let period = Period::parse(text)?;
    if period < Period::seconds(3) {
        return Err(Invalid::new("duration of a lease", text, "it is at least 3s, because it is renewed after a third of it"));
    }
    Ok(period)
}

fn recorded_run(text: &str) -> Result<RunId, Invalid> {
    RunId::new(text)
}

fn project(text: &str) -> Result<ProjectName, Invalid> {
    ProjectName::new(text)
}

fn service(text: &str) -> Result<ServiceName, Invalid> {
    ServiceName::new(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<Command, String> {
        Cli::try_parse_from(words.split(' ')).map(|cli| cli.command).map_err(|error| error.to_string())
    }

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn arguments_keep_what_stands_behind_the_first_equals_sign() {
        let Ok(Command::Run(run)) = parse("podlift run deploy.rhai version=v2 url=http://x?a=b") else { panic!("it parses") };
        assert_eq!(run.arguments, [("version".into(), "v2".into()), ("url".into(), "http://x?a=b".into())]);
        assert!(parse("podlift run deploy.rhai v2").unwrap_err().contains("write it as KEY=VALUE"));
        assert!(parse("podlift run deploy.rhai a-b=1").unwrap_err().contains("letters, digits and `_`"));
        assert!(parse("podlift run deploy.rhai --diff").is_err(), "a diff is part of a dry run");
        assert!(parse("podlift run --plan release.plan").is_ok(), "a plan names its script");
        assert!(parse("podlift run").is_err());
        assert!(parse("podlift run deploy.rhai --plan release.plan --dry-run").is_err());
    }

    #[test]
    fn ps_needs_a_script_or_hosts() {
        assert!(parse("podlift ps deploy.rhai").is_ok());
        assert!(parse("podlift ps --host h1 --host h2 --project shop").is_ok());
        assert!(parse("podlift ps").is_err());
        assert!(parse("podlift ps deploy.rhai --host h1").is_err());
        assert!(parse("podlift ps --host -oProxyCommand=id").is_err());
        assert!(parse("podlift ps --host a;b").is_err());
        assert!(parse("podlift logs web --host h1 --tail 5").is_ok());
        assert!(parse("podlift logs Web --host h1").is_err());
    }
}
