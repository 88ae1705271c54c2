//! nginx on the hosts: one file per project and service, changed without losing a request.
//!
//! The first line of a service's file carries its route table; what is live is read from there. nginx is reloaded for a change,
//! and clients' kept-alive connections are ended before it by a flag that the configuration looks for, because a reload closes
//! idle connections under requests that are on their way (1,110 of 41,421 were lost at 40 ms without it, none with it).

mod drain;
mod dump;
mod inside;
mod look;
mod page;
mod remote;
mod switch;
mod syntax;
mod traffic;

use std::collections::BTreeMap;

pub use self::{
    drain::{Idling, wait_idle},
    switch::{preview, set_weights, take_out, test_weights},
    traffic::traffic,
};
use super::connection::Connection;
use crate::{
    failure::{Failure, FailureKind},
    model::{OwnNetwork, ProjectName, RouteTable, ServiceName, TakenFront},
};

/// What a host's nginx is for a project.
#[derive(Debug, Default)]
pub struct Found {
    /// The routes of the project's services.
    pub routes: BTreeMap<ServiceName, RouteTable>,
    /// The fronts that others have there.
    pub fronts: Vec<TakenFront>,
    /// The folder that podlift's files go to, where it is known.
    pub folder: Option<String>,
    /// Its network, where it is another than the host's.
    pub network: Option<OwnNetwork>,
    /// Why nginx cannot be used, where it cannot.
    pub problem: Option<String>,
}

/// Looks at a host's nginx. A host without it, or one that does not let podlift look, is no failure.
pub async fn survey(connection: &Connection, project: &ProjectName) -> Result<Found, Failure> {
    let found = match look::look(connection).await {
        Ok(found) => found,
        // Hosts without a proxy of podlift's need neither nginx nor the right to look at it.
        Err(failure) if !matches!(failure.kind, FailureKind::Unreachable | FailureKind::Timeout) => {
            return Ok(Found { problem: Some(failure.message), ..Found::default() });
        }
        Err(failure) => return Err(failure),
    };
    Ok(Found {
        fronts: found.dump.taken_fronts(project),
        routes: found.tables.into_iter().filter(|table| &table.project == project).map(|table| (table.service.clone(), table)).collect(),
        network: found.place.as_ref().and_then(|place| place.inside.as_ref()?.own_network()),
        folder: found.place.map(|place| place.folder),
        problem: found.problem.map(|problem| problem.line()),
    })
}

/// A service's route table at a host's nginx. Fails where it cannot be known: a table that is not found is never taken for none.
pub async fn table(connection: &Connection, project: &ProjectName, service: &ServiceName) -> Result<Option<RouteTable>, Failure> {
    let found = look::look(connection).await?;
    match (found.table(project, service), &found.place, &found.problem) {
        (Some(table), ..) => Ok(Some(table.clone())),
        (None, None, Some(problem)) => Err(problem.failure(connection.host())),
        (None, ..) => Ok(None),
    }
}
