//! Commands: ops that can be known to have happened only by their answer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Op;
use crate::model::{ContainerName, Host, Period, ProjectName, Service, ServiceName, Text, Version};

/// Runs a command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hook {
    /// Where and what.
    #[serde(flatten)]
    pub invocation: Invocation,
    /// The command that undoes it, run in the same place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<CommandLine>,
    /// The lease that it needs on its host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<HookLease>,
}

/// The lease that a command on a host needs there: of two runs, one at a time does something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookLease {
    /// The project.
    pub project: ProjectName,
    /// The service; where the script is about none yet, the project's own name stands for all of it.
    pub service: ServiceName,
}

impl Hook {
    /// What takes it back: its own `undo`, in the same place. One that fails has taken nothing back, whatever the command's own failure
    /// counts for.
    pub fn inverse(&self) -> Option<Op> {
        let command = self.undo.clone()?;
        let invocation = Invocation { command, name: None, assume: None, check: true, ..self.invocation.clone() };
        Some(Self { invocation, undo: None, lease: self.lease.clone() }.into())
    }

    /// Whether the run's end depends on it: not for a command of this machine whose failure is no failure and that nothing takes
    /// back, such as a mail. A run that goes on elsewhere may do it again.
    pub fn matters(&self) -> bool {
        self.invocation.place != Place::Local || self.invocation.check || self.undo.is_some()
    }

    pub(super) fn describe(&self) -> String {
        self.invocation.describe()
    }
    pub(super) fn host(&self) -> Option<&Host> {
        self.invocation.place.host()
    }
}

/// A command with its place and circumstances.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Invocation {
    /// Where it runs.
    pub place: Place,
    /// What runs.
    pub command: CommandLine,
    /// Environment variables, podlift's own among them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Text>,
    /// What it reads on its standard input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<Text>,
    /// How long it may take.
    pub timeout: Period,
    /// Whether another exit code than 0 is an error.
    pub check: bool,
    /// What it is called in output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What a dry run takes for the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assume: Option<CommandOutput>,
}

impl Invocation {
    /// What it is called in messages.
    pub fn called(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("`{}`", self.command))
    }

    /// Whether what it came back with is a failure: another exit code than 0 that is to be checked.
    pub const fn fails_with(&self, output: &CommandOutput) -> bool {
        self.check && output.code != 0
    }

    pub(super) fn describe(&self) -> String {
        let what = self.name.clone().unwrap_or_else(|| self.command.to_string());
        match &self.place {
            Place::Local => format!("{what} (here)"),
            Place::Host { .. } => what,
            Place::Container { container, .. } => format!("{what} in {container}"),
            Place::OneOff { service, version, .. } => format!("{what} in a one-off {} {version}", service.name),
        }
    }
}

/// Where a command runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "where", rename_all = "snake_case")]
pub enum Place {
    /// On the operator's machine, in the script's folder.
    Local,
    /// On a host.
    Host {
        /// The host.
        host: Host,
    },
    /// In a running container.
    Container {
        /// The host that it is on.
        host: Host,
        /// The container.
        container: ContainerName,
    },
    /// In a container of its own, with the service's env, network and volumes, removed afterwards.
    OneOff {
        /// The host.
        host: Host,
        /// The project.
        project: ProjectName,
        /// The service.
        service: Box<Service>,
        /// The image's reference.
        reference: String,
        /// Its version.
        version: Version,
    },
}

impl Place {
    /// The host, unless it is the operator's machine.
    pub fn host(&self) -> Option<&Host> {
        match self {
            Self::Local => None,
            Self::Host { host } | Self::Container { host, .. } | Self::OneOff { host, .. } => Some(host),
        }
    }
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CommandLine {
    /// A program and its arguments; no shell sees them.
    Program(Vec<Text>),
    /// A line for `sh -c`.
    Shell(Text),
}

impl std::fmt::Display for CommandLine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Program(words) => {
                let words: Vec<String> = words.iter().map(ToString::to_string).collect();
                formatter.write_str(&words.join(" "))
            }
            Self::Shell(line) => line.fmt(formatter),
        }
    }
}

/// What a command came back with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandOutput {
    /// The exit code; a signal counts as 128 and its number.
    pub code: i64,
    /// Its standard output, at most 1 MB, with secrets replaced.
    pub stdout: String,
    /// Its standard error, likewise.
    pub stderr: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_of_a_command_on_a_host_is_that_of_its_lease() {
        let hook = |place| {
            let invocation = Invocation {
                place,
                command: CommandLine::Shell("true".into()),
                env: BTreeMap::new(),
                stdin: None,
                timeout: Period::seconds(1),
                check: true,
                name: None,
                assume: None,
            };
            let (project, service) = (ProjectName::new("shop").expect("valid"), ServiceName::new("web").expect("valid"));
            Op::from(Hook { invocation, undo: None, lease: Some(HookLease { project, service }) })
        };
        let there = hook(Place::Host { host: Host::parse("h1").expect("valid") });
        assert_eq!(there.project().map(ProjectName::as_str), Some("shop"));
        assert_eq!(hook(Place::Local).project(), None, "no host has a lease for it");
    }
}
