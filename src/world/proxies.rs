//! Proxies in a model.

use super::{ModelledHost, World, listens};
use crate::{
    failure::Failure,
    model::{Host, HostState, OwnNetwork, RouteTable, Token},
    nginx_file,
    op::{Drain, Drained, Op, Outcome, Preview, SetWeights, TestWeights},
};

impl World {
    pub(super) fn test_weights(&self, op: &TestWeights, token: &Token) -> Result<Outcome, Failure> {
        let host = self.at(&op.proxy)?;
        can_be_used(&host.state, &op.proxy)?;
        let known = host.state.routes.get(&op.service).cloned();
        let table = known.unwrap_or_else(|| RouteTable::empty(&op.project, &op.service, &op.front, token));
        let after = RouteTable { front: op.front.clone(), ..table.with(&op.changes) };
        can_be_written(&host.state, &op.proxy, &after)?;
        Ok(Outcome::of(()))
    }

    pub(super) fn set_weights(&mut self, op: &SetWeights, token: &Token) -> Result<Outcome, Failure> {
        let host = self.at_mut(&op.proxy)?;
        can_be_used(&host.state, &op.proxy)?;
        let before = host.state.routes.get(&op.service).cloned();
        let table = before.clone().unwrap_or_else(|| RouteTable::empty(&op.project, &op.service, &op.front, token));
        let after = RouteTable { front: op.front.clone(), ..table.with(&op.changes) };
        if !op.allow_downtime && after.shares.is_empty() && table.serves() {
            return Err(Failure::nothing_left(&op.service, &op.proxy.name));
        }
        if op.removes_empty && after.is_empty() {
            return Ok(removed(host, RouteTable { token: token.clone(), ..after }));
        }
        if after.routes_like(&table) && (before.is_some() || after.is_empty()) {
            return Ok(Outcome::of(table));
        }
        can_be_written(&host.state, &op.proxy, &after)?;
        let listener = listener(&host.state, &after, &op.proxy);
        let after = RouteTable { generation: table.generation + 1, token: token.clone(), ..after };
        host.state.routes.insert(op.service.clone(), after.clone());
        let assumed = certificate(before.as_ref(), &after, &op.proxy).into_iter().chain(listener);
        Ok(Outcome::of(after).undone_by([op.inverse(before.as_ref())]).assuming_all(assumed))
    }

    pub(super) fn drain(&mut self, op: &Drain, token: &Token) -> Result<Outcome, Failure> {
        self.at(&op.host)?;
        let mut inverse: Vec<Op> = Vec::new();
        for proxy in &op.proxies {
            let known = self.at(proxy).map_err(|failure| failure.undone_by(inverse.clone()))?;
            let Some(table) = known.state.routes.get(&op.service).cloned() else { continue };
            let after = table.without(&op.host.name, &op.containers);
            if !op.allow_downtime && table.serves() && !after.serves() {
                return Err(Failure::nothing_left(&op.service, &proxy.name).undone_by(inverse));
            }
            if after.routes_like(&table) {
                continue;
            }
            can_be_used(&known.state, proxy).map_err(|failure| failure.undone_by(inverse.clone()))?;
            can_be_written(&known.state, proxy, &after).map_err(|failure| failure.undone_by(inverse.clone()))?;
            if after.shares != table.shares {
                inverse.push(op.inverse(proxy, &table));
            }
            let after = RouteTable { generation: table.generation + 1, token: token.clone(), ..after };
            self.at_mut(proxy)?.state.routes.insert(op.service.clone(), after);
        }
        Ok(Outcome::of(Drained::default()).undone_by(inverse))
    }

    pub(super) fn preview(&mut self, op: &Preview, token: &Token) -> Result<Outcome, Failure> {
        let host = self.at_mut(&op.proxy)?;
        can_be_used(&host.state, &op.proxy)?;
        let before = host.state.routes.get(&op.service).cloned();
        let table = before.clone().unwrap_or_else(|| RouteTable::empty(&op.project, &op.service, &op.front, token));
        let after = table.previewing(&op.mark, &op.changes);
        if op.removes_empty && after.is_empty() {
            return Ok(removed(host, RouteTable { token: token.clone(), ..after }));
        }
        if after.routes_like(&table) {
            return Ok(Outcome::of(table));
        }
        can_be_written(&host.state, &op.proxy, &after)?;
        let after = RouteTable { generation: table.generation + 1, token: token.clone(), ..after };
        host.state.routes.insert(op.service.clone(), after.clone());
        let assumed = certificate(before.as_ref(), &after, &op.proxy);
        Ok(Outcome::of(after).undone_by([op.inverse(before.as_ref())]).assuming_all(assumed))
    }
}

/// Takes away a service's table, which has nothing to say any more.
fn removed(host: &mut ModelledHost, empty: RouteTable) -> Outcome {
    host.state.routes.remove(&empty.service);
    Outcome::of(RouteTable { generation: 0, ..empty })
}

/// What is assumed of a certificate that the proxy did not have before: only nginx itself reads its files.
fn certificate(before: Option<&RouteTable>, after: &RouteTable, proxy: &Host) -> Option<String> {
    let tls = after.front.tls.as_ref()?;
    let is_known = before.is_some_and(|before| before.front.tls.as_ref() == Some(tls));
    (!is_known).then(|| format!("{} has the certificate {} and its key", proxy.name, tls.certificate))
}

/// What is assumed of a process that has the port on which the proxy is to listen from now on: it may be nginx itself, by files that it
/// had when it read them last.
fn listener(state: &HostState, after: &RouteTable, proxy: &Host) -> Option<String> {
    let port = after.front.listen;
    let is_new = after.front.server && listens(state).all(|known| known != port);
    let other = state.taken_ports.iter().find(|taken| is_new && taken.container.is_none() && taken.port == port)?;
    Some(format!("{other} that listens on port {port} of {} is nginx itself, or ends before", proxy.name))
}

/// Refuses a proxy that cannot be used, as live, unless a command may have put that right.
pub(super) fn can_be_used(state: &HostState, proxy: &Host) -> Result<(), Failure> {
    let Some(problem) = state.proxy_problem.as_ref().filter(|_| !state.may_differ) else { return Ok(()) };
    // What the proxy itself says stands behind it.
    let (problem, said) = problem.strip_suffix(')').and_then(|text| text.split_once(" (")).unwrap_or((problem, ""));
    Err(Failure::refused(format!("the proxy on {} cannot be used: {problem}", proxy.name)).on(&proxy.name).detail("nginx", said))
}

/// A proxy with a network of its own takes no table with a container that it cannot reach, and none takes one that cannot stand in its
/// file. A table that stays as it is is not sent to it, and so not refused.
fn can_be_written(state: &HostState, proxy: &Host, table: &RouteTable) -> Result<(), Failure> {
    match (&state.proxy_network, OwnNetwork::out_of_reach(table)) {
        (Some(network), Some(endpoint)) => Err(Failure::out_of_reach(network, endpoint, &proxy.name)),
        _ => nginx_file::check(table, proxy.proxy.template.as_deref()),
    }
}
