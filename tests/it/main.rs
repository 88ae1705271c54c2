//! The tests that need the real thing: the command line, and deploys to real hosts.
#![expect(clippy::disallowed_types, clippy::disallowed_macros, reason = "tests start programs and say what they measured")]

mod bad_input;
mod beside_a_deploy;
mod canaries;
mod databases;
mod documentation;
mod drains;
mod dry_runs;
mod failing_deploys;
mod interruptions;
mod killed_deploys;
mod leases;
mod load;
mod load_works;
mod local_commands;
mod metrics;
mod notifications;
mod pages;
mod podlift;
mod postgres;
mod prometheus;
mod proxies;
mod registries;
mod registry;
mod resuming;
mod rig;
mod rig_works;
mod rolling_deploys;
mod schema_changes;
mod schema_gates;
mod secrets;
mod structure;
mod suites;
mod terminal;
mod until;
