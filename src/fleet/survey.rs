//! All that podlift knows of a host, read at once; and the part of it that finds a service's containers.

use super::{Connection, Fleet, containers, engine::engine, history, images, lease, listening::taken_ports, nginx};
use crate::{
    failure::Failure,
    model::{Host, HostState, ProjectName},
    op::{Find, Found},
};

/// Reads a host's state. A host that has no usable proxy is no failure: the state says why.
pub async fn survey(connection: &Connection, project: &ProjectName) -> Result<HostState, Failure> {
    let docker = connection.docker().await?;
    let (engine, images, containers, history, leases, nginx, user, taken_ports) = tokio::try_join!(
        engine(connection),
        images::images(&docker),
        containers::list(connection, project, None),
        history::read(connection, project),
        lease::list(connection, project),
        nginx::survey(connection, project),
        connection.user(),
        taken_ports(connection, project),
    )?;
    let containers = containers.into_iter().map(|container| (container.name.clone(), container)).collect();
    Ok(HostState {
        engine,
        images,
        containers,
        routes: nginx.routes,
        history,
        leases: leases.into_iter().map(|lease| (lease.service.clone(), lease)).collect(),
        fronts: nginx.fronts,
        taken_ports,
        proxy_folder: nginx.folder,
        proxy_network: nginx.network,
        proxy_problem: nginx.problem,
        user: Some(user.name.clone()).filter(|_| !user.is_root),
        may_differ: false,
    })
}

/// Finds a service's containers on a host, and what its proxies give them.
pub async fn find(fleet: &Fleet, op: &Find) -> Result<Found, Failure> {
    let connection = fleet.host(&op.host).await?;
    let containers = containers::list(&connection, &op.project, Some(&op.service)).await?;
    let mut found = Found { containers, ..Found::default() };
    for proxy in &op.proxies {
        let Some(table) = table(fleet, proxy, op).await? else { continue };
        found.note(&table, &op.host.name);
    }
    Ok(found)
}

async fn table(fleet: &Fleet, proxy: &Host, op: &Find) -> Result<Option<crate::model::RouteTable>, Failure> {
    nginx::table(&*fleet.host(proxy).await?, &op.project, &op.service).await
}
