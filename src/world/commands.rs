//! What a model takes for granted, and how long it takes.

use std::sync::Arc;

use super::{ModelledHost, World, changed, images};
use crate::{
    failure::{Failure, FailureKind},
    model::{Container, ContainerName, HostName, Period, Token},
    op::{
        CommandLine, CommandOutput, Hook, HttpGet, HttpResponse, HttpTarget, Invocation, LogText, Logs, Measure, Measured, Op, Outcome,
        Place, Probe, Series, Traffic, TrafficCount,
    },
};

/// A command that was done, and whose `undo` was not.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    token: Token,
    place: Place,
    words: String,
    undo: CommandLine,
}

impl World {
    /// A command is done. What it does is known to its author only: a model knows whether its `undo` has followed.
    ///
    /// # Errors
    /// As a failed command where the exit code that the script says is one. Also such a command may have changed something.
    pub(super) fn command(&mut self, op: &Hook, token: &Token) -> Result<Outcome, Failure> {
        let Invocation { place, command, .. } = &op.invocation;
        self.can_run(place)?;
        self.changed = true;
        self.changed_here |= *place == Place::Local;
        match place.host() {
            Some(host) => self.may_differ_on(|name| *name == host.name),
            None => self.may_differ_everywhere(),
        }
        let answer = assumed(&op.invocation)?;
        if let Some(undo) = &op.undo {
            if !self.commands.iter().any(|known| known.token == *token) {
                let (token, place, words) = (token.clone(), place.clone(), command.to_string());
                let command = Standing { token, place, words, undo: undo.clone() };
                self.forgone.remove(&(Self::place(&command.place), stands(&command)));
                self.commands.push(command);
            }
        } else if let Some(index) = self.commands.iter().rposition(|known| known.place == *place && known.undo == *command) {
            let gone = self.commands.remove(index);
            self.forgone.insert((Self::place(&gone.place), stands(&gone)));
        }
        Ok(answer.undone_by(op.inverse()))
    }

    /// A command that only reads.
    ///
    /// # Errors
    /// As [`command`](Self::command).
    pub(super) fn probe(&self, op: &Probe) -> Result<Outcome, Failure> {
        self.can_run(&op.invocation.place)?;
        assumed(&op.invocation)
    }

    /// Refuses, as live, a command in a container that does not run, and one in a container of its own whose image is not there. Of
    /// hosts that were not looked at nothing is known.
    fn can_run(&self, place: &Place) -> Result<(), Failure> {
        let Some(known) = place.host().and_then(|host| self.hosts.get(&host.name)) else { return Ok(()) };
        match place {
            _ if known.unreachable.is_some() => Ok(()),
            Place::Container { container, .. } if !known.runs(container) => {
                let state = known.state.containers.get(container).map_or("not there", |container| container.state.word());
                Err(Failure::failed(format!("the command could not be run in {container}")).detail("why", format!("it is {state}")))
            }
            Place::OneOff { host, reference, .. }
                if images::find(&known.state.images, reference).is_none() && !self.built_on(&host.name, reference) =>
            {
                Err(Failure::no_image(&host.name, reference))
            }
            _ => Ok(()),
        }
    }

    /// The last log lines of containers: new ones have written nothing yet.
    ///
    /// # Errors
    /// As live where one was deleted.
    pub(super) fn logs(&self, op: &Logs) -> Result<Outcome, Failure> {
        let known = self.hosts.get(&op.host.name);
        let is_gone =
            |name: &&ContainerName| known.is_some_and(|host| host.changed.contains(*name) && !host.state.containers.contains_key(*name));
        if let Some(gone) = op.containers.iter().find(is_gone) {
            return Err(Failure::failed(format!("{} has no container {gone}", op.host.name)));
        }
        let text = |container: &ContainerName| LogText { container: container.clone(), text: String::new() };
        Ok(Outcome::of(op.containers.iter().map(text).collect::<Vec<_>>()))
    }

    /// A page of a container that was stopped or removed does not answer; any other one is assumed to.
    pub(super) fn page(&self, op: &HttpGet) -> Result<Outcome, Failure> {
        let HttpTarget::Container { host, container, path, .. } = &op.target else { return Ok(assumed_page(op)) };
        let is_down = |known: &Arc<ModelledHost>| {
            known.changed.contains(container) && !known.state.containers.get(container).is_some_and(Container::is_running)
        };
        if self.hosts.get(&host.name).is_some_and(is_down) { Err(Failure::silent(path, container)) } else { Ok(assumed_page(op)) }
    }

    /// A window of the traffic of a service that a proxy has.
    pub(super) fn window(&self, op: &Traffic) -> Result<Outcome, Failure> {
        if !self.at(&op.proxy)?.state.routes.contains_key(&op.service) {
            let message = format!("nginx on {} does not serve {}", op.proxy.name, op.service);
            return Err(Failure::new(FailureKind::NoData, message).on(&op.proxy.name));
        }
        Ok(assumed_traffic(op.assume.as_ref()))
    }

    /// A command here, or a person, may have put right what is in the way on hosts, those that come up later too.
    pub(super) fn may_differ_everywhere(&mut self) {
        self.may_differ = true;
        self.may_differ_on(|_| true);
    }

    fn may_differ_on(&mut self, on: impl Fn(&HostName) -> bool) {
        let others = self.hosts.iter_mut().filter(|(name, host)| on(name) && !host.state.may_differ);
        others.for_each(|(_, host)| changed(host).state.may_differ = true);
    }

    /// The commands that stand, by where they ran.
    pub(super) fn standing(&self) -> impl Iterator<Item = (String, String)> {
        self.commands.iter().map(|known| (Self::place(&known.place), stands(known)))
    }

    /// Whether a command that stood, by this line of its shape at this place, was taken back.
    pub(super) fn is_forgone_command(&self, place: &str, line: &str) -> bool {
        self.forgone.contains(&(place.to_owned(), line.to_owned()))
    }

    /// Where in its shape a command stands.
    pub fn place(place: &Place) -> String {
        place.host().map_or_else(|| "this machine".to_owned(), |host| host.name.to_string())
    }

    /// Takes what commands did for what was there in the beginning.
    pub fn settle_commands(&mut self) {
        self.commands.clear();
        self.forgone.clear();
    }
}

/// What is told of a command that stands.
fn stands(command: &Standing) -> String {
    format!("what `{}` did stands", command.words)
}

/// How long an op takes in a model.
pub(super) const fn duration(op: &Op) -> Period {
    match op {
        Op::Pause(op) => op.period,
        Op::Traffic(op) => op.during,
        Op::Build(_) => Period::seconds(10),
        Op::Ship(_) => Period::seconds(2),
        Op::Start(_) | Op::Depend(_) | Op::StartAgain(_) | Op::Healthcheck(_) | Op::SetWeights(_) | Op::Preview(_) => Period::seconds(1),
        Op::Drain(_) | Op::Stop(_) => Period::milliseconds(300),
        Op::Hook(_) | Op::Sql(_) => Period::milliseconds(500),
        Op::Backfill(_) | Op::Backup(_) => Period::seconds(5),
        _ => Period::milliseconds(0),
    }
}

/// A command's answer: what the script said, else exit code 0 and no output.
///
/// # Errors
/// As live where the script says another exit code and does not say that any will do.
pub(super) fn assumed(invocation: &Invocation) -> Result<Outcome, Failure> {
    let output = invocation.assume.clone().unwrap_or_default();
    let output = Failure::of_command(invocation, output)?;
    let words = if output == CommandOutput::default() {
        "exit code 0 and no output".into()
    } else {
        format!("exit code {} and {:?}", output.code, output.stdout)
    };
    Ok(Outcome::of(output).assuming(words))
}

/// A page: the code and the body that the script said, else 200 and none.
fn assumed_page(op: &HttpGet) -> Outcome {
    let code = op.assume.unwrap_or(200);
    let whose = if matches!(op.target, HttpTarget::Url { .. }) { "the page" } else { "the container" };
    let body = op.assume_body.clone().unwrap_or_default();
    let said = if body.is_empty() { String::new() } else { format!(" and {body:?}") };
    Outcome::of(HttpResponse { code, body, seconds: 0.0 }).assuming(format!("{whose} answers {code}{said}"))
}

/// A window of traffic: what the script said, else one healthy request.
fn assumed_traffic(count: Option<&TrafficCount>) -> Outcome {
    let healthy = || TrafficCount { requests: 1, errors: 0, milliseconds: [(1, 1)].into() };
    let count = count.cloned().unwrap_or_else(healthy);
    let words = format!("{} requests, {} errors", count.requests, count.errors);
    Outcome::of(count).assuming(words)
}

/// A metric's value: what the script said, else 0.
pub(super) fn assumed_value(op: &Measure) -> Outcome {
    let value = op.assume.unwrap_or_default().to_string();
    let words = format!("the value is {value}");
    Outcome::of(Measured { count: 1, series: vec![Series { labels: "{}".into(), value }] }).assuming(words)
}
