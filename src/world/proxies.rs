//! Proxies in a model.

use std::collections::BTreeMap;

use super::World;
use crate::{
    failure::Failure,
    model::{Host, HostName, RouteTable, ServiceName, Share, Token},
    op::{Drain, Drained, Op, Outcome, SetWeights, TestWeights},
};

impl World {
    pub(super) fn test_weights(&self, op: &TestWeights) -> Result<Outcome, Failure> {
        let host = self.at(&op.proxy)?;
        match &host.state.proxy_problem {
            Some(problem) => Err(Failure::failed(problem.clone())),
            None => Ok(Outcome::of(())),
        }
    }

    pub(super) fn set_weights(&mut self, op: &SetWeights, token: &Token) -> Result<Outcome, Failure> {
        let host = self.at_mut(&op.proxy)?;
        if let Some(problem) = &host.state.proxy_problem {
            return Err(Failure::failed(problem.clone()));
        }
        let before = host.state.routes.get(&op.service).cloned();
        let empty = RouteTable {
            project: op.project.clone(),
            service: op.service.clone(),
            generation: 0,
            token: token.clone(),
            front: op.front.clone(),
            shares: BTreeMap::new(),
        };
        let table = before.clone().unwrap_or(empty);
        let shares = table.with(&op.changes);
        if !op.allow_downtime && shares.is_empty() && table.serves() {
            return Err(Failure::nothing_left(&op.service, &op.proxy.name));
        }
        let same = shares == table.shares && table.front == op.front;
        if same && (before.is_some() || shares.is_empty()) {
            return Ok(Outcome::of(table));
        }
        let after = RouteTable { generation: table.generation + 1, token: token.clone(), front: op.front.clone(), shares, ..table };
        host.state.routes.insert(op.service.clone(), after.clone());
        Ok(Outcome::of(after).undone_by([op.inverse(before.as_ref())]))
    }

    pub(super) fn drain(&mut self, op: &Drain, token: &Token) -> Result<Outcome, Failure> {
        self.at(&op.host)?;
        let mut inverse: Vec<Op> = Vec::new();
        for proxy in &op.proxies {
            let known = self.at(proxy).map_err(|failure| failure.undone_by(inverse.clone()))?;
            let Some(table) = known.state.routes.get(&op.service).cloned() else { continue };
            let shares = table.without(&op.host.name, &op.containers);
            if shares == table.shares {
                continue;
            }
            if !op.allow_downtime && shares.is_empty() {
                return Err(Failure::nothing_left(&op.service, &proxy.name).undone_by(inverse));
            }
            inverse.push(op.inverse(proxy, &table));
            self.put_shares(proxy, &op.service, token, shares)?;
        }
        Ok(Outcome::of(Drained::default()).undone_by(inverse))
    }

    fn put_shares(
        &mut self,
        proxy: &Host,
        service: &ServiceName,
        token: &Token,
        shares: BTreeMap<HostName, Vec<Share>>,
    ) -> Result<(), Failure> {
        if let Some(table) = self.at_mut(proxy)?.state.routes.get_mut(service) {
            table.generation += 1;
            table.token = token.clone();
            table.shares = shares;
        }
        Ok(())
    }
}
