//! Notes what is about to be asked for, before anything leaves.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::{Call, Executor, Outcome};
use crate::{
    failure::{Failure, FailureKind},
    journal::{Asked, Entry, Intent, Journal, now},
    model::{Container, ContainerName, Host, Key, ProjectName, RouteTable, ServiceName},
    op::{Drain, Find, Found, Inverse, Op, Operation, Routes, Sought, Start},
};

/// Writes the intent of every change into the journal, with what would take it back, then lets the executor within do it.
pub struct Intend<E> {
    inner: E,
    journal: Arc<Journal>,
}

impl<E: Executor> Intend<E> {
    /// Notes in `journal` what `inner` is about to do.
    pub const fn new(inner: E, journal: Arc<Journal>) -> Self {
        Self { inner, journal }
    }

    fn note(&self, call: &Call, key: Key, inverse: Inverse) -> Result<(), Failure> {
        let asked = Asked { key, origin: call.origin.clone(), op: call.op.clone() };
        // Nothing can be undone either where nothing can be noted: the run stops, and stays as it is.
        let stopped = |failure| Failure { kind: FailureKind::Interrupted, ..failure };
        self.journal.append(Entry::Intent(Intent { asked, at: now(), inverse })).map_err(stopped)
    }
}

impl<E: Executor> Executor for Intend<E> {
    fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
        // Whoever takes the run back has to know where it may have leases; one that is waited for is asked for again and again.
        if let Op::Lock(_) = &*call.op
            && !self.journal.has_asked(&call.key.lease(), &call.op)
        {
            self.note(call, call.key.lease(), Inverse::default())?;
        }
        // One that an earlier process left is still true, and knows what was there before.
        if call.op.class().changes() && self.journal.in_doubt(&call.key).is_none() {
            let foreseen: Inverse = foresee(&self.inner, call)?.into();
            self.note(call, call.key.clone(), foreseen.clone())?;
            return self.inner.perform(&Call { foreseen, ..call.clone() });
        }
        self.inner.perform(call)
    }

    fn recall(&self, call: &Call, outcome: &Outcome) {
        self.inner.recall(call, outcome);
    }

    fn reach_again(&self) {
        self.inner.reach_again();
    }
}

/// What would take this change back, by what is there before it. Empty where only a look can tell ([`made`]), or a person.
fn foresee(executor: &dyn Executor, call: &Call) -> Result<Vec<Op>, Failure> {
    Ok(match &*call.op {
        Op::SetWeights(op) => {
            vec![op.inverse(routes(executor, call, &op.proxy, &op.project, &op.service)?.as_ref())]
        }
        Op::Preview(op) => {
            vec![op.inverse(routes(executor, call, &op.proxy, &op.project, &op.service)?.as_ref())]
        }
        Op::Drain(op) => taken(executor, call, op)?,
        Op::Stop(op) => op.inverse(&up(executor, call, (&op.host, &op.project, &op.service), &op.containers)?),
        Op::StartAgain(op) => op.inverse(&up(executor, call, (&op.host, &op.project, &op.service), &op.containers)?),
        Op::Record(op) => vec![op.inverse(&call.run.id)],
        _ => Vec::new(),
    })
}

fn taken(executor: &dyn Executor, call: &Call, op: &Drain) -> Result<Vec<Op>, Failure> {
    let mut inverse = Vec::new();
    for proxy in &op.proxies {
        let Some(table) = routes(executor, call, proxy, &op.project, &op.service)? else { continue };
        if table.without(&op.host.name, &op.containers).shares != table.shares {
            inverse.push(op.inverse(proxy, &table));
        }
    }
    Ok(inverse)
}

/// Those of these containers that run.
fn up(
    executor: &dyn Executor,
    call: &Call,
    (host, project, service): (&Host, &ProjectName, &ServiceName),
    named: &[ContainerName],
) -> Result<Vec<Container>, Failure> {
    let mut there = containers(executor, call, host, project, service)?;
    there.retain(|container| container.is_up() && named.contains(&container.name));
    Ok(there)
}

/// What takes back what a start that is in doubt has made: it is found by its token.
pub fn made(executor: &dyn Executor, call: &Call, op: &Start) -> Result<Vec<Op>, Failure> {
    let mut there = containers(executor, call, &op.host, &op.project, &op.service.name)?;
    there.retain(|container| container.token == call.token);
    let names: Vec<_> = there.iter().map(|container| container.name.clone()).collect();
    Ok(if names.is_empty() { Vec::new() } else { op.inverse(names) })
}

fn containers(
    executor: &dyn Executor,
    call: &Call,
    host: &Host,
    project: &ProjectName,
    service: &ServiceName,
) -> Result<Vec<Container>, Failure> {
    let (host, project, service) = (host.clone(), project.clone(), service.clone());
    let found: Found = read(executor, call, Find { host, project, service, proxies: Vec::new(), sought: Sought::Running })?;
    Ok(found.containers)
}

fn routes(
    executor: &dyn Executor,
    call: &Call,
    proxy: &Host,
    project: &ProjectName,
    service: &ServiceName,
) -> Result<Option<RouteTable>, Failure> {
    read(executor, call, Routes { proxy: proxy.clone(), project: project.clone(), service: service.clone() })
}

fn read<O: Operation<Output: DeserializeOwned>>(executor: &dyn Executor, call: &Call, op: O) -> Result<O::Output, Failure> {
    let outcome = executor.perform(&call.with(op))?;
    outcome.value.read().map_err(|error| Failure::failed(format!("a fact could not be read: {error}")))
}
