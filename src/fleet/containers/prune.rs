//! Deleting old releases and their images.
#![expect(clippy::disallowed_types, reason = "fleet/ speaks to engines")]

use std::collections::BTreeSet;

use bollard::{
    Docker,
    errors::Error,
    models::ContainerSummary,
    query_parameters::{RemoveContainerOptionsBuilder, RemoveImageOptionsBuilder},
};

use super::{all, list};
use crate::{
    failure::Failure,
    fleet::{
        Connection,
        images::{content_digest, engine_failure, inspect},
    },
    op::{OldImage, Prune, Pruned},
};

/// Deletes these containers, which have stopped, with their anonymous volumes, then those of the images that nothing on the host
/// uses. What is gone already is no error, and neither is an image that something else uses: it stays.
pub async fn prune(connection: &Connection, op: &Prune) -> Result<Pruned, Failure> {
    let docker = connection.docker().await?;
    let ours = list(connection, &op.project, Some(&op.service)).await?;
    let old: Vec<_> = ours.into_iter().filter(|container| op.containers.contains(&container.name)).collect();
    if let Some(running) = old.iter().find(|container| container.is_running()) {
        return Err(Failure::refused(format!("{} on {} runs again", running.name, op.host.name)));
    }
    let before = all(connection).await?;
    let is_old = |summary: &&ContainerSummary| {
        let names = summary.names.iter().flatten();
        names.map(|name| name.trim_start_matches('/')).any(|name| old.iter().any(|container| container.name.as_str() == name))
    };
    let mut deleted = false;
    let ids: BTreeSet<String> = before.iter().filter(is_old).filter_map(|summary| summary.image_id.clone()).collect();
    for container in &old {
        // Without force an engine refuses to delete what runs.
        let options = RemoveContainerOptionsBuilder::default().force(false).v(true).build();
        match docker.remove_container(container.name.as_str(), Some(options)).await {
            Ok(()) => deleted = true,
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => {}
            Err(error) => {
                let failure = engine_failure(&format!("{} could not be deleted", container.name), &error);
                return Err(if deleted || failure.is_uncertain() { failure.half_done() } else { failure });
            }
        }
    }
    let images = images(connection, &docker, op, ids).await;
    images.map_err(|failure| if deleted { failure.half_done() } else { failure })
}

/// Deletes those of the images that nothing on the host uses, and those of these ids that have no name any more.
async fn images(connection: &Connection, docker: &Docker, op: &Prune, ids: BTreeSet<String>) -> Result<Pruned, Failure> {
    let used = Used::by(&all(connection).await?);
    let mut pruned = Pruned::default();
    for image in &op.images {
        if used.delete(docker, image).await? {
            pruned.images.push(image.reference.clone());
        }
    }
    for id in ids {
        used.delete_nameless(docker, &id).await?;
    }
    Ok(pruned)
}

/// The images that a host's containers use.
struct Used {
    ids: BTreeSet<String>,
    references: BTreeSet<String>,
}

impl Used {
    fn by(containers: &[ContainerSummary]) -> Self {
        let label = |summary: &ContainerSummary| summary.labels.as_ref()?.get("podlift.image").cloned();
        Self {
            ids: containers.iter().filter_map(|summary| summary.image_id.clone()).collect(),
            references: containers.iter().flat_map(|summary| [summary.image.clone(), label(summary)]).flatten().collect(),
        }
    }

    /// Takes an image's reference away, and with the last one the image. Returns whether it did.
    async fn delete(&self, docker: &Docker, image: &OldImage) -> Result<bool, Failure> {
        let Some(found) = inspect(docker, &image.reference).await? else { return Ok(false) };
        let is_another = !image.digest.is_empty() && content_digest(&found) != image.digest;
        let is_last = found.repo_tags.as_ref().is_none_or(|tags| tags.len() < 2);
        let is_used = self.references.contains(&image.reference) || is_last && found.id.is_some_and(|id| self.ids.contains(&id));
        if is_another || is_used {
            return Ok(false);
        }
        remove(docker, &image.reference).await
    }

    /// Deletes the image of a deleted container whose reference has gone to another one since.
    async fn delete_nameless(&self, docker: &Docker, id: &str) -> Result<bool, Failure> {
        let Some(found) = inspect(docker, id).await? else { return Ok(false) };
        let has_name = found.repo_tags.is_some_and(|tags| tags.iter().any(|tag| !tag.contains("<none>")));
        if has_name || self.ids.contains(id) {
            return Ok(false);
        }
        remove(docker, id).await
    }
}

/// An engine refuses to delete what is used (409).
async fn remove(docker: &Docker, name: &str) -> Result<bool, Failure> {
    let options = RemoveImageOptionsBuilder::default().force(false).noprune(false).build();
    match docker.remove_image(name, Some(options), None).await {
        Ok(_) => Ok(true),
        Err(Error::DockerResponseServerError { status_code: 404 | 409, .. }) => Ok(false),
        Err(error) => Err(engine_failure(&format!("the image {name} could not be deleted"), &error)),
    }
}
