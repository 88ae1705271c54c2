//! The command line. Doc comments are the help.

mod leases;
mod library;
mod looking;
mod running;
mod runs;
mod testing;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::{
    commands::exit::Exit,
    model::{Invalid, ServiceName},
};

pub use self::{
    leases::{Lock, LockCommand, LockRelease, LockStatus},
    library::{Completions, Definitions, Docs, Eject, ModulePlace, New, Tasks},
    looking::{Check, Exec, Logs, Ps, Report, Where, Word},
    running::{OnInterrupt, Plan, Repl, Run},
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
    /// Run a command in a container of a service.
    Exec(Exec),
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

/// How to reach hosts.
#[derive(Clone, Debug, Args)]
pub struct Ssh {
    /// An ssh configuration file in place of ~/.ssh/config.
    #[arg(long, value_name = "FILE", env = "PODLIFT_SSH_CONFIG", hide_env_values = true)]
    pub ssh_config: Option<PathBuf>,
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
    fn ps_is_about_a_script_or_hosts() {
        assert!(parse("podlift ps deploy.rhai").is_ok());
        assert!(parse("podlift ps --host h1 --host h2 --project shop").is_ok());
        assert!(parse("podlift ps").is_ok());
        assert!(parse("podlift ps deploy.rhai --host h1").is_err());
        assert!(parse("podlift ps --host -oProxyCommand=id").is_err());
        assert!(parse("podlift ps --host a;b").is_err());
        assert!(parse("podlift logs web --host h1 --tail 5").is_ok());
        assert!(parse("podlift logs Web --host h1").is_err());
    }
}
