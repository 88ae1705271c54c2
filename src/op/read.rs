//! Ops that change nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, de::Error};

use super::{list, once::Invocation};
use crate::model::{Container, ContainerName, ContainerState, Host, HostName, Period, ProjectName, RouteTable, ServiceName, Version};

/// Reads all that podlift knows of a host. Not called by scripts: the world is seeded by it, and guards and `check --hosts` use it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Survey {
    /// The host.
    pub host: Host,
    /// Whose containers, routes and history.
    pub project: ProjectName,
}

impl Survey {
    pub(super) fn describe(&self) -> String {
        "read what is there".into()
    }
    pub(super) fn host(&self) -> Option<&Host> {
        Some(&self.host)
    }
}

/// Finds a service's containers on a host, stopped ones too, and the weights that its proxies give them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Find {
    /// The host.
    pub host: Host,
    /// The project.
    pub project: ProjectName,
    /// The service.
    pub service: ServiceName,
    /// The proxies that serve the containers on this host.
    pub proxies: Vec<Host>,
    /// What the script asked for.
    pub sought: Sought,
}

/// What a script asked for; all three read the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sought {
    /// `running(…)`.
    Running,
    /// `releases(…)`.
    Releases,
    /// `weights(…)`.
    Weights,
}

impl Found {
    /// Notes what a proxy's table gives the containers on this host.
    pub fn note(&mut self, table: &RouteTable, host: &HostName) {
        for container in &self.containers {
            let weight = table.weight_of(host, &container.name);
            if weight > 0 {
                let known = self.weights.entry(container.name.clone()).or_default();
                *known = weight.max(*known);
            }
            let marks = table.marks_of(host, &container.name);
            if !marks.is_empty() {
                self.previews.insert(container.name.clone(), marks);
            }
        }
    }
}

impl Find {
    pub(super) fn describe(&self) -> String {
        let what = match self.sought {
            Sought::Running => "running release",
            Sought::Releases => "releases",
            Sought::Weights => "weights",
        };
        format!("{what} of {}", self.service)
    }
    pub(super) fn host(&self) -> Option<&Host> {
        Some(&self.host)
    }
}

/// Reads a service's route table at a proxy. Not called by scripts: what a change of it replaces is read before the change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Routes {
    /// The proxy's host.
    pub proxy: Host,
    /// The project.
    pub project: ProjectName,
    /// The service.
    pub service: ServiceName,
}

impl Routes {
    pub(super) fn describe(&self) -> String {
        format!("of {}", self.service)
    }
    pub(super) fn host(&self) -> Option<&Host> {
        Some(&self.proxy)
    }
}

/// A service's containers on one host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The containers, by name.
    pub containers: Vec<Container>,
    /// Their release's weight in the host's share, the largest over the proxies; containers without traffic are left out.
    pub weights: BTreeMap<ContainerName, u64>,
    /// The marks by which they can be reached besides; containers without are left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub previews: BTreeMap<ContainerName, Vec<String>>,
}

/// Checks containers' health once, now: a fact for guards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckNow {
    /// The host.
    pub host: Host,
    /// The project.
    pub project: ProjectName,
    /// The containers.
    pub containers: Vec<ContainerName>,
}

impl CheckNow {
    pub(super) fn describe(&self) -> String {
        list(&self.containers)
    }
    pub(super) fn host(&self) -> Option<&Host> {
        Some(&self.host)
    }
}

/// What one check of one container found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedContainer {
    /// The container.
    pub container: ContainerName,
    /// What the engine says of it; `None` if there is no such container.
    pub state: Option<ContainerState>,
    /// Whether it runs and its health check passed.
    pub healthy: bool,
    /// The check's answer, for people.
    pub answer: String,
}

/// Reads a service's history on a host, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryOf {
    /// The host.
    pub host: Host,
    /// The project.
    pub project: ProjectName,
    /// The service.
    pub service: ServiceName,
}

impl HistoryOf {
    pub(super) fn describe(&self) -> String {
        format!("of {}", self.service)
    }
    pub(super) fn host(&self) -> Option<&Host> {
        Some(&self.host)
    }
}

/// Reads containers' last log lines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Logs {
    /// The host.
    pub host: Host,
    /// The containers.
    pub containers: Vec<ContainerName>,
    /// How many lines of each.
    pub lines: u32,
}

impl Logs {
    pub(super) fn describe(&self) -> String {
        format!("last {} lines of {}", self.lines, list(&self.containers))
    }
    pub(super) fn host(&self) -> Option<&Host> {
        Some(&self.host)
    }
}

/// What a container wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogText {
    /// The container.
    pub container: ContainerName,
    /// Its lines, standard output and error in the order they came.
    pub text: String,
}

/// Waits, and counts exactly that window of a proxy's traffic to these containers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    /// The proxy's host.
    pub proxy: Host,
    /// The project.
    pub project: ProjectName,
    /// The service.
    pub service: ServiceName,
    /// The containers, on any host.
    pub containers: Vec<ContainerName>,
    /// The window's length.
    pub during: Period,
    /// What a dry run takes for the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assume: Option<TrafficCount>,
}

impl Traffic {
    pub(super) fn describe(&self) -> String {
        format!("to {} for {}", list(&self.containers), self.during)
    }
    pub(super) fn host(&self) -> Option<&Host> {
        Some(&self.proxy)
    }
}

/// Requests of a window.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficCount {
    /// All that were answered or given up.
    pub requests: u64,
    /// Those answered with 5xx, or not at all.
    pub errors: u64,
    /// How many took so many milliseconds.
    #[serde(deserialize_with = "numbered")]
    pub milliseconds: BTreeMap<u64, u64>,
}

/// A map whose keys are numbers, written as text. Within an op of a journal's record serde does not take text for a number by itself.
fn numbered<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<u64, u64>, D::Error> {
    let written = BTreeMap::<String, u64>::deserialize(deserializer)?;
    written.into_iter().map(|(key, count)| key.parse().map(|key| (key, count)).map_err(D::Error::custom)).collect()
}

/// Runs a command that only reads: really done in a dry run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// Where and what.
    #[serde(flatten)]
    pub invocation: Invocation,
}

impl Probe {
    pub(super) fn describe(&self) -> String {
        self.invocation.describe()
    }
    pub(super) fn host(&self) -> Option<&Host> {
        self.invocation.place.host()
    }
}

/// Gets a page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HttpGet {
    /// From where.
    pub target: HttpTarget,
    /// How long it may take.
    pub timeout: Period,
    /// What a dry run takes for the answer: a status code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assume: Option<u16>,
    /// What a dry run takes for the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assume_body: Option<String>,
}

/// What a GET is sent to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum HttpTarget {
    /// Any URL.
    Url {
        /// The URL, `http` or `https`.
        url: String,
        /// A host that the request starts from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        via: Option<Host>,
    },
    /// A container, from its own host.
    Container {
        /// The host.
        host: Host,
        /// The container.
        container: ContainerName,
        /// The address that it publishes its port on.
        address: String,
        /// That port.
        port: u16,
        /// The path with its query.
        path: String,
    },
}

impl HttpGet {
    pub(super) fn describe(&self) -> String {
        match &self.target {
            HttpTarget::Url { url, .. } => url.clone(),
            HttpTarget::Container { container, path, .. } => format!("{path} of {container}"),
        }
    }
    pub(super) fn host(&self) -> Option<&Host> {
        match &self.target {
            HttpTarget::Url { via, .. } => via.as_ref(),
            HttpTarget::Container { host, .. } => Some(host),
        }
    }
}

/// What a GET came back with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HttpResponse {
    /// The status code.
    pub code: u16,
    /// The body as text, at most 1 MB of it.
    pub body: String,
    /// How long it took.
    pub seconds: f64,
}

/// Tells whether a host answers, its engine included.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reachable {
    /// The host.
    pub host: Host,
}

impl Reachable {
    pub(super) fn describe(&self) -> String {
        "does it answer?".into()
    }
    pub(super) fn host(&self) -> Option<&Host> {
        Some(&self.host)
    }
}

macro_rules! local_read {
    ($name:ident, |$op:ident| $describe:expr) => {
        impl $name {
            pub(super) fn describe(&self) -> String {
                let $op = self;
                $describe
            }
            pub(super) fn host(&self) -> Option<&Host> {
                None
            }
        }
    };
}

/// Reads the state of the git repository that the script is in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Git {}

local_read!(Git, |_op| "state of the repository".into());

/// A git repository's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitState {
    /// The commit, 40 digits.
    pub commit: String,
    /// Its first 7 digits.
    pub short: String,
    /// The branch; empty when detached.
    pub branch: String,
    /// The tag at this commit, if there is one.
    pub tag: Option<String>,
    /// Whether tracked files differ from the commit, or untracked ones are not ignored.
    pub dirty: bool,
    /// A hash over what differs, 8 digits; empty if nothing does.
    pub difference: String,
    /// The commit message's first line.
    pub message: String,
}

/// Compares a version with others by the commits of the repository that the script is in. A version stands for the commit or tag
/// of its name, as those do that `build` chooses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompareVersions {
    /// The version.
    pub version: Version,
    /// The others.
    pub others: Vec<Version>,
}

local_read!(CompareVersions, |op| format!("how old {} is", op.version));

/// How old a version is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compared {
    /// Whether git knows its commit.
    pub known: bool,
    /// How it stands to each of the others.
    pub others: Vec<Age>,
}

impl Compared {
    /// Nothing is known about a version and so many others.
    pub fn unknown(others: usize) -> Self {
        Self { known: false, others: vec![Age::Unknown; others] }
    }
}

/// How a version stands to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Age {
    /// The other one has all of its commits, and this many more.
    Older(u64),
    /// It is the same commit, or has commits of its own.
    NotOlder,
    /// Git does not know the commit of either.
    Unknown,
}

/// Reads an environment variable of the operator, or of `.env` beside the script.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReadEnv {
    /// The variable.
    pub name: String,
}

local_read!(ReadEnv, |op| op.name.clone());

/// Reads a text file of the operator, relative to the script's folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReadFile {
    /// The path.
    pub path: String,
}

local_read!(ReadFile, |op| op.path.clone());

/// Looks whether a build's context and Dockerfile are there, on the operator's machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FindContext {
    /// The context's folder, relative to the script's.
    pub context: String,
    /// The Dockerfile, relative to the context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dockerfile: Option<String>,
}

local_read!(FindContext, |op| op.context.clone());

/// Reads the clock: RFC 3339, UTC, whole seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Now {}

local_read!(Now, |_op| "the time".into());
