//! What `podlift lock` is called with.

use clap::{Args, Subcommand};

use super::{Where, service};
use crate::model::ServiceName;

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
