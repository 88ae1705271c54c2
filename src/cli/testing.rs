//! The command line of `podlift test`.

use std::path::PathBuf;

use clap::Args;

use super::argument;
use crate::executor::faults::Story;

/// Run a script on a modelled fleet, again and again, while everything goes wrong that can.
///
/// First the script is run as it is, to a fleet on which what it deploys has served before. Then each call of that run meets each
/// fault that such a call can meet: connections that break before and after the effect, hosts that die, reboot or are cut off,
/// containers that fall ill, proxies that refuse, the operator's machine that dies. After each story it must hold that no request was
/// dropped, that no unhealthy container got traffic, and that the fleet is all new, all old, or said to be mixed and can be taken
/// back. Nothing is touched, and time is modelled: hours cost nothing.
///
/// The exit code is 0 where everything held, 2 where it did not, and the shortest story of each kind is told. Ctrl-C has it tell what
/// it has found until then: the exit code is 7 where everything held in that.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  podlift test deploy.rhai version=v2
  podlift test deploy.rhai --faults 1           every single fault, no pairs
  podlift test deploy.rhai --runs 100000 --seed 7
  podlift test deploy.rhai --story 6:stop:lost-after")]
pub struct Test {
    /// The script's file, or the name of a task: NAME stands for deploy/NAME.rhai.
    #[arg(value_name = "SCRIPT|TASK")]
    pub script: PathBuf,
    /// Arguments for the script, which takes them with params.
    #[arg(value_name = "KEY=VALUE", value_parser = argument)]
    pub arguments: Vec<(String, String)>,
    /// The most faults in one story. Single ones are tried first, then pairs, then more.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = at_least_one)]
    pub faults: usize,
    /// The most stories. Where there are more, the seed decides which are told.
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = at_least_two)]
    pub runs: usize,
    /// What decides which stories are told: the same seed, the same stories.
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// Tell one story, step by step, and no other.
    #[arg(long, value_name = "STORY", value_parser = story, conflicts_with_all = ["faults", "runs", "seed"])]
    pub story: Option<Story>,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least one is needed: with none nothing is tried".into()),
        Ok(count) => Ok(count),
        Err(_) => Err("it is a whole number from 1".into()),
    }
}

fn at_least_two(text: &str) -> Result<usize, String> {
    match at_least_one(text)? {
        1 => Err("at least two are needed: in the first nothing goes wrong".into()),
        count => Ok(count),
    }
}

fn story(text: &str) -> Result<Story, String> {
    text.parse().map_err(|failure: crate::failure::Failure| format!("{failure}: {}", failure.hints.join("; ")))
}
