//! Services that run once and that a deploy leaves alone.

use std::collections::BTreeMap;

use super::{create, labels, list, start_again};
use crate::{
    executor::Progress,
    failure::Failure,
    fleet::{Connection, Secrets, images, registry},
    model::{Container, RunInfo, Token},
    op::{Depend, Start},
};

/// Finds the containers that run; else starts the newest stopped ones again; else pulls the image, where the host lacks it, and
/// starts new ones. Nothing of it is ever taken back.
pub async fn depend(
    connection: &Connection,
    op: &Depend,
    token: &Token,
    run: &RunInfo,
    secrets: &Secrets,
    progress: &dyn Progress,
) -> Result<Vec<Container>, Failure> {
    let there = list(connection, &op.project, Some(&op.service.name)).await?;
    if let Some(known) = op.choose(&there) {
        let again = op.again(&known);
        if again.containers.is_empty() {
            return Ok(known);
        }
        progress.doing(&format!("starting {} again", op.service.name));
        return start_again(connection, &again).await.map(|(started, _)| started).map_err(kept);
    }
    let docker = connection.docker().await?;
    if images::inspect(&docker, &op.reference).await?.is_none() {
        registry::fetch(connection, &op.reference, op.registry.as_ref(), secrets, progress).await?;
    }
    let mut start: Start = op.start();
    start.service.labels.extend(BTreeMap::from([(labels::DEPENDENCY.to_owned(), "true".to_owned())]));
    create::start(connection, &start, None, token, run, secrets, progress).await.map_err(kept)
}

/// What was begun of a dependency is found by the next run, and not taken back by this one.
fn kept(failure: Failure) -> Failure {
    Failure { inverse: crate::op::Inverse::default(), ..failure }
}
