//! Every operation: one typed, serialisable request for an effect or a read, and what comes back.
//!
//! An op names things by what podlift chose (project, service, version, host, token, replica). What an engine or a race
//! decides (addresses, ports, digests) is in outcomes; where an op has to carry such a fact to the one that does it,
//! [`Op::canonical`] leaves it out, so that a plan and a run compare by equality.

#![allow(clippy::unnecessary_wraps, clippy::unused_self, reason = "every op answers the same questions, with the same types")]
#![allow(clippy::large_enum_variant, reason = "an op is made once a call, and moved rarely")]

pub mod answer;
pub mod create;
pub mod database;
pub mod end;
pub mod inverse;
pub mod lease;
pub mod metrics;
pub mod once;
pub mod outcome;
pub mod prune;
pub mod put;
pub mod read;
pub mod registry;
pub mod run;
pub mod wait;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

pub use self::{
    answer::Answer,
    create::{Build, CopyOf, Depend, Ship, Shipped, Start},
    database::{BackedUp, Backfill, Backfilled, Backup, DatabaseSession, Query, Row, Sessions, Sql, SqlDone, Transactions},
    end::{Drain, Drained, OnTimeout, Remove, StartAgain, Stop},
    inverse::Inverse,
    lease::{Lock, Locking, ReadLeases, Release, Unlock},
    metrics::{Measure, Measured, Series},
    once::{CommandLine, CommandOutput, Hook, HookLease, Invocation, Place},
    outcome::Outcome,
    prune::{Needed, OldImage, Prune, Pruned},
    put::{Forget, Preview, Record, SetWeights, TestWeights},
    read::{
        Age, CheckNow, CheckedContainer, CompareVersions, Compared, Find, FindContext, Found, Git, GitState, HistoryOf, HttpGet,
        HttpResponse, HttpTarget, LogText, Logs, Now, Probe, Reachable, ReadEnv, ReadFile, Routes, Sought, Survey, Traffic, TrafficCount,
    },
    registry::{Pull, Pulled, Push, Resolve},
    run::{Commit, Confirm, LeaveOut, Notify},
    wait::{Checks, Healthcheck, Pause},
};
use crate::model::{Container, ContainerName, Database, Host, ProjectName, ServiceName, Shared};

/// What kind of thing an op is; it decides how the op dry-runs, resumes and is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Changes nothing.
    Read,
    /// Waits for something.
    Wait,
    /// Replaces something; doing it again does no harm.
    Put,
    /// Makes something, which its token marks.
    Create,
    /// Ends something.
    End,
    /// Cannot be known to have happened except by its answer.
    Once,
}

impl Class {
    /// Whether an op of this class changes a host.
    pub const fn changes(self) -> bool {
        !matches!(self, Self::Read | Self::Wait)
    }
}

/// A request with the type of its answer.
pub trait Operation: Clone + Into<Op> + Into<Shared<Op>> {
    /// What a successful outcome's value is.
    type Output: Clone + Serialize + DeserializeOwned + 'static;
}

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident: $class:ident, $verb:literal => $output:ty;)*) => {
        /// Any operation.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "op", rename_all = "snake_case")]
        pub enum Op {
            $($(#[$doc])* $name($name),)*
        }

        impl Op {
            /// Its class.
            pub const fn class(&self) -> Class {
                match self { $(Self::$name(_) => Class::$class,)* }
            }

            /// The words for all of them.
            pub const VERBS: &[&str] = &[$($verb),*];

            /// The word for it in output: the host function that makes it.
            pub const fn verb(&self) -> &'static str {
                match self { $(Self::$name(_) => $verb,)* }
            }

            /// What it would do, in one line without its verb and host.
            pub fn describe(&self) -> String {
                match self { $(Self::$name(op) => op.describe(),)* }
            }

            /// Whether a value is what it may answer with; the error says what does not fit.
            pub fn answers(&self, value: &Value) -> Result<(), String> {
                let told = |error: serde_json::Error| error.to_string();
                match self { $(Self::$name(_) => <$output>::deserialize(value).map(drop).map_err(told),)* }
            }

            /// The host that it is about, if it is about one.
            pub fn host(&self) -> Option<&Host> {
                match self { $(Self::$name(op) => op.host(),)* }
            }
        }

        $(
            impl Operation for $name { type Output = $output; }
            impl From<$name> for Op { fn from(op: $name) -> Self { Self::$name(op) } }
            impl From<$name> for Shared<Op> { fn from(op: $name) -> Self { Op::$name(op).into() } }
        )*
    };
}

operations! {
    /// Reads all that podlift knows of a host.
    Survey: Read, "survey" => crate::model::HostState;
    /// Finds a service's containers on a host, and their weights.
    Find: Read, "find" => Found;
    /// Reads a service's route table at a proxy.
    Routes: Read, "routes" => Option<crate::model::RouteTable>;
    /// Checks containers' health once, now.
    CheckNow: Read, "check" => Vec<CheckedContainer>;
    /// Reads a service's history on a host.
    HistoryOf: Read, "history" => Vec<crate::model::HistoryEntry>;
    /// Reads containers' last log lines.
    Logs: Read, "logs" => Vec<LogText>;
    /// Counts a window of a proxy's traffic.
    Traffic: Read, "traffic" => TrafficCount;
    /// Runs a command that only reads.
    Probe: Read, "probe" => CommandOutput;
    /// Gets a page.
    HttpGet: Read, "http_get" => HttpResponse;
    /// Tells whether a host answers.
    Reachable: Read, "reachable" => bool;
    /// Reads the state of the project's git repository.
    Git: Read, "git" => GitState;
    /// Compares versions by their commits.
    CompareVersions: Read, "git" => Compared;
    /// Reads an environment variable of the operator.
    ReadEnv: Read, "env" => Option<String>;
    /// Reads a file of the operator.
    ReadFile: Read, "read_file" => String;
    /// Looks for what a build needs.
    FindContext: Read, "build" => ();
    /// Reads the clock.
    Now: Read, "now" => String;
    /// Reads a project's leases on a host.
    ReadLeases: Read, "leases" => Vec<crate::model::Lease>;
    /// Takes leases.
    Lock: Wait, "lock" => Locking;
    /// Gives a lease up.
    Unlock: Wait, "unlock" => ();
    /// Waits until containers are healthy.
    Healthcheck: Wait, "healthcheck" => Checks;
    /// Makes what was done so far final.
    Commit: Read, "commit" => ();
    /// Asks a person.
    Confirm: Wait, "confirm" => bool;
    /// Tells a URL.
    Notify: Put, "notify" => ();
    /// Marks a host that is left as it is.
    LeaveOut: Read, "leave_out" => ();
    /// Waits.
    Pause: Wait, "pause" => ();
    /// Writes and tests a proxy's new file, and puts the old one back.
    TestWeights: Read, "test_weights" => ();
    /// Changes a proxy's routes.
    SetWeights: Put, "set_weights" => crate::model::RouteTable;
    /// Lets requests with a mark reach a release.
    Preview: Put, "preview" => crate::model::RouteTable;
    /// Notes a deploy in a host's history.
    Record: Put, "record" => ();
    /// Takes a run's entry out of a host's history.
    Forget: Put, "forget" => ();
    /// Builds an image.
    Build: Create, "build" => crate::model::Image;
    /// Puts an image on a host.
    Ship: Create, "ship" => Shipped;
    /// Pushes an image to a registry.
    Push: Create, "push" => crate::model::Image;
    /// Asks a registry what a tag stands for.
    Resolve: Read, "resolve" => String;
    /// Makes sure that a host has an image of a registry.
    Pull: Create, "pull" => Pulled;
    /// Starts containers.
    Start: Create, "start" => Vec<Container>;
    /// Makes sure that a service runs which no deploy replaces.
    Depend: Create, "dependency" => Vec<Container>;
    /// Starts stopped containers again.
    StartAgain: End, "start" => Vec<Container>;
    /// Takes containers out of the traffic and waits until they are idle.
    Drain: End, "drain" => Drained;
    /// Stops containers and keeps them.
    Stop: End, "stop" => ();
    /// Deletes containers.
    Remove: End, "remove" => ();
    /// Deletes old releases.
    Prune: End, "prune" => Pruned;
    /// Runs a command.
    Hook: Once, "hook" => CommandOutput;
    /// Reads rows of a database.
    Query: Read, "query" => Vec<Row>;
    /// Asks a metrics server.
    Measure: Read, "query" => Measured;
    /// Lists who is connected to a database.
    Sessions: Read, "sessions" => Vec<DatabaseSession>;
    /// Runs statements in a database.
    Sql: Once, "sql" => SqlDone;
    /// Changes a table's rows, a batch at a time.
    Backfill: Put, "backfill" => Backfilled;
    /// Writes a dump of a database.
    Backup: Create, "backup" => BackedUp;
}

impl Op {
    /// Whether nothing but its answer tells what became of it. Statements leave a note in the database itself, so they are
    /// settled by doing them again.
    pub const fn is_known_by_its_answer_only(&self) -> bool {
        matches!(self.class(), Class::Once) && !matches!(self, Self::Sql(_))
    }

    /// Whether it takes away what nothing brings back.
    pub const fn deletes(&self) -> bool {
        matches!(self, Self::Remove(_) | Self::Prune(_))
    }

    /// Whether a script could say with `assume` what it answers in a model, and does not.
    pub const fn has_no_assume(&self) -> bool {
        match self {
            Self::Hook(op) => op.invocation.assume.is_none(),
            Self::Probe(op) => op.invocation.assume.is_none(),
            Self::HttpGet(op) => op.assume.is_none() && op.assume_body.is_none(),
            Self::Traffic(op) => op.assume.is_none(),
            Self::Query(op) => op.assume.is_none(),
            Self::Measure(op) => op.assume.is_none(),
            _ => false,
        }
    }

    /// The database that it reads or changes.
    pub const fn database(&self) -> Option<&Database> {
        match self {
            Self::Query(op) => Some(&op.database),
            Self::Sql(op) => Some(&op.database),
            Self::Backfill(op) => Some(&op.database),
            Self::Backup(op) => Some(&op.database),
            Self::Sessions(op) => Some(&op.database),
            _ => None,
        }
    }

    /// Every host whose state it reads or changes, its own first.
    pub fn hosts(&self) -> Vec<&Host> {
        let others: Vec<&Host> = match self {
            Self::Find(op) => op.proxies.iter().collect(),
            Self::SetWeights(op) => op.hosts.iter().collect(),
            Self::Preview(op) => op.hosts.iter().collect(),
            Self::Drain(op) => op.proxies.iter().collect(),
            Self::Stop(op) => op.proxies.iter().collect(),
            Self::Remove(op) => op.proxies.iter().collect(),
            Self::Prune(op) => op.proxies.iter().collect(),
            Self::Ship(op) => vec![&op.from],
            Self::Lock(op) => return op.hosts.iter().collect(),
            Self::Start(op) => op.copy.iter().map(|copy| &copy.host).collect(),
            _ => Vec::new(),
        };
        self.host().into_iter().chain(others).collect()
    }

    /// The containers that it ends, or starts again and checks: what an undo does is about those.
    pub const fn containers_mut(&mut self) -> Option<&mut Vec<ContainerName>> {
        match self {
            Self::Drain(op) => Some(&mut op.containers),
            Self::Stop(op) => Some(&mut op.containers),
            Self::Remove(op) => Some(&mut op.containers),
            Self::StartAgain(op) => Some(&mut op.containers),
            Self::Healthcheck(op) => Some(&mut op.containers),
            _ => None,
        }
    }

    /// The names of the secrets that it carries.
    pub fn secrets(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        secrets_in(&serde_json::to_value(self).expect("an op is plain data with string keys"), &mut names);
        names
    }

    /// The project that it is about, if it is about one.
    pub fn project(&self) -> Option<&ProjectName> {
        Some(match self {
            Self::Survey(op) => &op.project,
            Self::Find(op) => &op.project,
            Self::Routes(op) => &op.project,
            Self::CheckNow(op) => &op.project,
            Self::HistoryOf(op) => &op.project,
            Self::Traffic(op) => &op.project,
            Self::Healthcheck(op) => &op.project,
            Self::TestWeights(op) => &op.project,
            Self::SetWeights(op) => &op.project,
            Self::Preview(op) => &op.project,
            Self::Record(op) => &op.project,
            Self::Forget(op) => &op.project,
            Self::Start(op) => &op.project,
            Self::Depend(op) => &op.project,
            Self::StartAgain(op) => &op.project,
            Self::Drain(op) => &op.project,
            Self::Stop(op) => &op.project,
            Self::Remove(op) => &op.project,
            Self::Prune(op) => &op.project,
            Self::ReadLeases(op) => &op.project,
            Self::Lock(op) => &op.project,
            Self::Unlock(op) => &op.project,
            Self::Hook(_) => return self.leased().map(|(project, ..)| project),
            _ => return None,
        })
    }

    /// The project, service and hosts that it changes, if it changes a service: what its run needs the leases of.
    pub fn leased(&self) -> Option<(&ProjectName, &ServiceName, Vec<&Host>)> {
        let here = |host| vec![host];
        Some(match self {
            Self::SetWeights(op) => (&op.project, &op.service, op.hosts.iter().chain([&op.proxy]).collect()),
            Self::Preview(op) => (&op.project, &op.service, op.hosts.iter().chain([&op.proxy]).collect()),
            Self::Record(op) => (&op.project, &op.service, here(&op.host)),
            Self::Forget(op) => (&op.project, &op.service, here(&op.host)),
            Self::Start(op) => (&op.project, &op.service.name, here(&op.host)),
            Self::StartAgain(op) => (&op.project, &op.service, here(&op.host)),
            Self::Drain(op) => (&op.project, &op.service, op.proxies.iter().chain([&op.host]).collect()),
            Self::Stop(op) => (&op.project, &op.service, here(&op.host)),
            Self::Remove(op) => (&op.project, &op.service, here(&op.host)),
            Self::Prune(op) => (&op.project, &op.service, here(&op.host)),
            Self::Hook(Hook { invocation: Invocation { place: Place::OneOff { host, project, service, .. }, .. }, .. }) => {
                (project, &service.name, here(host))
            }
            Self::Hook(Hook { invocation, lease: Some(HookLease { project, service }), .. }) => {
                (project, service, here(invocation.place.host()?))
            }
            _ => return None,
        })
    }

    /// Its arguments without the facts that an engine or a race decides: what a plan and a run are compared by.
    pub fn canonical(&self) -> Value {
        let mut value = serde_json::to_value(self).expect("an op is plain data with string keys");
        match self {
            Self::Start(_) | Self::Depend(_) | Self::Ship(_) | Self::Push(_) => forget(&mut value, &["digest"]),
            Self::Pull(_) => forget(&mut value, &["digest", "registry_digest"]),
            Self::Resolve(_) => forget(&mut value, &["known"]),
            // The pace that it has found.
            Self::Backfill(_) => forget(&mut value, &["batch"]),
            Self::SetWeights(_) | Self::TestWeights(_) | Self::Preview(_) => {
                for share in value["changes"]
                    .as_object_mut()
                    .into_iter()
                    .flat_map(|hosts| hosts.values_mut())
                    .filter_map(Value::as_array_mut)
                    .flatten()
                {
                    for endpoint in share["containers"].as_array_mut().into_iter().flatten() {
                        forget(endpoint, &["address", "port"]);
                    }
                }
            }
            Self::Prune(_) => value["images"].as_array_mut().into_iter().flatten().for_each(|image| forget(image, &["digest"])),
            // It follows from the rest, and runs that were begun by an earlier podlift have none.
            Self::Hook(_) => forget(&mut value, &["lease"]),
            Self::HttpGet(_) => forget(&mut value["target"], &["address", "port"]),
            _ => {}
        }
        value
    }
}

/// Finds secrets as a [`Text`](crate::model::Text) writes them: `{"secret":"NAME"}`.
fn secrets_in(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => match fields.get("secret") {
            Some(Value::String(name)) if fields.len() == 1 => drop(names.insert(name.clone())),
            _ => fields.values().for_each(|value| secrets_in(value, names)),
        },
        Value::Array(items) => items.iter().for_each(|item| secrets_in(item, names)),
        _ => {}
    }
}

fn forget(value: &mut Value, fields: &[&str]) {
    if let Some(object) = value.as_object_mut() {
        for field in fields {
            object.remove(*field);
        }
    }
}

/// Containers' names for a line of output: all that a few are called, or how many there are.
fn list(names: &[ContainerName]) -> String {
    match names {
        [] => "no container".into(),
        [one] => one.to_string(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
    }
}
