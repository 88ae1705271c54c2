//! The one error that crosses the executor.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    model::{ContainerName, Endpoint, HostName, OwnNetwork, Period, ServiceName},
    op::{CommandOutput, Inverse, Invocation, Op},
};

/// Why an op failed: what happened, where, what the host said, and what to do next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and journals have them by name")]
pub struct Failure {
    /// What kind of failure it is; scripts see it as `.kind`.
    pub kind: FailureKind,
    /// What happened, in one sentence.
    pub message: String,
    /// The host it happened on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostName>,
    /// The place in the script that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// What the host or the container said, piece by piece.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<Detail>,
    /// What to do next, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
    /// Whether a connection broke while it was on its way: the host may have done it all the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lost: bool,
    /// Whether the host was reached, and what was asked there, a page, gave no answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_silent: bool,
    /// Whether the op had done a part of its work, when it failed, that nothing takes back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub half_done: bool,
    /// Whether an earlier process had begun the same call, and nobody could be asked what became of that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_doubt: bool,
    /// Whether nothing of what was asked for was sent, so that whoever was asked has done nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not_sent: bool,
    /// The ops that take back the part of its work that the op had done, or may have done, when it failed.
    #[serde(default, skip_serializing_if = "crate::op::inverse::is_none")]
    pub inverse: Inverse,
}

/// A piece of what a host said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    /// Whose words they are, for example `shop-web-v2-0123456789-1, last log lines`.
    pub title: String,
    /// The words, with secrets replaced.
    pub text: String,
}

/// The kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// A host did not answer.
    Unreachable,
    /// A container did not become healthy.
    Unhealthy,
    /// A guard, a plan or a validation said no before anything was done.
    Refused,
    /// Another run has the lease.
    Locked,
    /// A wait took longer than it may.
    Timeout,
    /// A command exited with another code than 0.
    Command,
    /// A measurement had nothing to measure.
    NoData,
    /// The host's state was changed by someone else meanwhile.
    Conflict,
    /// Anything else.
    Failed,
    /// The run was told to stop; a script cannot catch it.
    Interrupted,
    /// A resumed run asked for something else than what was recorded; a script cannot catch it.
    Diverged,
    /// The run is about to do something else than its plan says; a script cannot catch it.
    Unplanned,
}

impl FailureKind {
    /// Whether what the run did stays as it is: nothing is undone for it.
    pub const fn leaves_all(self) -> bool {
        matches!(self, Self::Interrupted | Self::Diverged)
    }

    /// The word that scripts see.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Unhealthy => "unhealthy",
            Self::Refused => "refused",
            Self::Locked => "locked",
            Self::Timeout => "timeout",
            Self::Command => "command",
            Self::NoData => "no_data",
            Self::Conflict => "conflict",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Diverged => "diverged",
            Self::Unplanned => "unplanned",
        }
    }

    /// Whether it ends the run, whatever the script would do about it.
    pub const fn ends_the_run(self) -> bool {
        matches!(self, Self::Interrupted | Self::Unplanned | Self::Diverged)
    }
}

impl Failure {
    /// A failure of this kind; `message` says what happened, in one sentence without a full stop.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            host: None,
            origin: None,
            details: Vec::new(),
            hints: Vec::new(),
            lost: false,
            is_silent: false,
            half_done: false,
            in_doubt: false,
            not_sent: false,
            inverse: Inverse::default(),
        }
    }

    /// A refusal: nothing was done.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Refused, message)
    }

    /// A failure of no special kind.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Failed, message)
    }

    /// The refusal of what would leave a proxy without a container of a service that it serves now.
    pub fn nothing_left(service: &ServiceName, proxy: &HostName) -> Self {
        Self::refused(format!("the proxy on {proxy} would have no container of {service} left"))
            .on(proxy)
            .hint("give another release weight in the same call, or say `allow_downtime: true`")
    }

    /// The refusal of what would have a proxy send requests to a container that it cannot reach.
    pub fn out_of_reach(network: &OwnNetwork, endpoint: &Endpoint, proxy: &HostName) -> Self {
        let Endpoint { container, address, .. } = endpoint;
        Self::refused(format!("nginx in the container {} cannot reach {container}, which listens on {address}", network.container))
            .on(proxy)
            .hint(network.advice())
    }

    /// What a command that is to be checked came back with, as its answer.
    ///
    /// # Errors
    /// Where it exited with another code than 0.
    pub fn of_command(invocation: &Invocation, output: CommandOutput) -> Result<CommandOutput, Self> {
        if !invocation.fails_with(&output) {
            return Ok(output);
        }
        Err(Self::new(FailureKind::Command, format!("{} exited with {}", invocation.called(), output.code))
            .detail("standard error", tail(&output.stderr))
            .detail("standard output", tail(&output.stdout))
            .hint("`check: false` takes any exit code for an answer"))
    }

    /// A fixed port that another container has, or a process of the host.
    pub fn port_taken(port: u16, service: &ServiceName, host: &HostName) -> Self {
        Self::failed(format!("port {port}, which {service} publishes, is taken on {host}"))
            .hint("stop what listens there, or choose another `publish`")
    }

    /// The host does not have the image that is to be started.
    pub fn no_image(host: &HostName, reference: &str) -> Self {
        Self::failed(format!("{host} has no image {reference}")).hint("`ship` it there first")
    }

    /// On the host the reference stands for another image than the one that is to be started.
    pub fn another_image(host: &HostName, reference: &str) -> Self {
        Self::new(FailureKind::Conflict, format!("{reference} on {host} is another image than the one that was built"))
            .hint("`ship` the image to this host, or build it under another tag: two builds share this one")
    }

    /// Containers did not become healthy, of so many: these, each with whether it has ended. Those are not waited for any longer.
    pub fn unhealthy(host: &HostName, sick: &[(&ContainerName, bool)], all: usize, timeout: Period) -> Self {
        let who = match sick {
            [(name, _)] => name.to_string(),
            many => format!("{} of {all} containers", many.len()),
        };
        let message = if sick.iter().all(|(_, has_ended)| *has_ended) {
            format!("{who} ended on {host} instead of becoming healthy")
        } else {
            format!("{who} did not become healthy on {host} within {timeout}")
        };
        Self::new(FailureKind::Unhealthy, message).on(host)
    }

    /// A container gives no answer when it is asked for a page.
    pub fn silent(path: &str, container: &ContainerName) -> Self {
        Self { is_silent: true, ..Self::new(FailureKind::Unreachable, format!("{path} of {container} did not answer")) }
    }

    /// The refusal of `docker_health()` where the image has no `HEALTHCHECK`, or has it switched off.
    pub fn no_healthcheck(whose: &str) -> Self {
        Self::refused(format!("{whose} has no HEALTHCHECK that Docker could judge it by"))
            .hint("add HEALTHCHECK to its Dockerfile, or give the service http(\"/path\"), tcp(), command([…]) or no_health()")
    }

    /// The host has no port left that podlift may pick.
    pub fn no_port() -> Self {
        Self::failed("no port from 20000 to 29999 is free").hint("`prune` deletes old containers, which keep theirs")
    }

    /// What stops a branch of `parallel` for another's sake.
    pub fn of_another_branch() -> Self {
        Self::new(FailureKind::Interrupted, "another branch has failed")
    }

    /// Names the host, unless one is named already.
    #[must_use]
    pub fn on(mut self, host: &HostName) -> Self {
        self.host.get_or_insert_with(|| host.clone());
        self
    }

    /// Names the place in the script, unless one is named already: the innermost wins.
    #[must_use]
    pub fn from(mut self, origin: &Origin) -> Self {
        self.origin.get_or_insert_with(|| origin.clone());
        self
    }

    /// Says that a connection broke while it was on its way.
    #[must_use]
    pub fn lost(mut self) -> Self {
        self.lost = true;
        self
    }

    /// Says that a part of the work was done that nothing takes back.
    #[must_use]
    pub fn half_done(mut self) -> Self {
        self.half_done = true;
        self
    }

    /// Says that nobody could be asked what became of the call's first try: it stays in doubt.
    #[must_use]
    pub fn in_doubt(mut self) -> Self {
        self.in_doubt = true;
        self
    }

    /// Says that nothing of what was asked for was sent.
    #[must_use]
    pub fn not_sent(mut self) -> Self {
        self.not_sent = true;
        self
    }

    /// Whether a host may have done what it was asked for all the same.
    pub const fn is_uncertain(&self) -> bool {
        self.lost || matches!(self.kind, FailureKind::Unreachable | FailureKind::Timeout | FailureKind::Interrupted)
    }

    /// Adds what a host said; empty words are left out.
    #[must_use]
    pub fn detail(mut self, title: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        if !text.trim().is_empty() {
            self.details.push(Detail { title: title.into(), text });
        }
        self
    }

    /// Adds what takes back the part of the work that was done; it must be harmless where that part was not.
    #[must_use]
    pub fn undone_by(mut self, inverse: impl IntoIterator<Item = Op>) -> Self {
        self.inverse.extend(inverse);
        self
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

/// The last lines, which say why.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// A place in a script.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The source's name: a path as the user wrote it, or `std/NAME`.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.file, self.line)
    }
}
