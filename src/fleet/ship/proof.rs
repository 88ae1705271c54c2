//! Proving that a host has an image that it says it has.
#![expect(clippy::disallowed_types, reason = "fleet/ speaks to engines")]

use bollard::{
    Docker,
    errors::Error,
    models::{ContainerCreateBody, HostConfig},
    query_parameters::{CreateContainerOptionsBuilder, RemoveContainerOptions, RemoveContainerOptionsBuilder},
};

use crate::{
    failure::Failure,
    fleet::images::{digest, engine_failure},
};

/// Makes a container from an image and removes it again, unstarted. Without that nothing is known: on the containerd store a
/// load that lacks a layer succeeds, and the image is listed with all its layers.
pub(super) async fn prove(docker: &Docker, reference: &str, wanted: &str) -> Result<(), Failure> {
    match digest(docker, reference).await? {
        None => return Err(Failure::failed(format!("the engine loaded {reference} without an error and does not have it"))),
        Some(is) if is != wanted => {
            return Err(Failure::failed(format!("the engine loaded {reference}, and it is another image"))
                .detail("content digests", format!("wanted {wanted}\nfound  {is}")));
        }
        Some(_) => {}
    }
    let name = format!("podlift-proof-{}", wanted.trim_start_matches("sha256:").get(..12).unwrap_or("image"));
    let unusable = |error: Error| engine_failure(&format!("the engine has {reference} and cannot make a container from it"), &error);
    match create(docker, &name, reference).await {
        // One is there from a proof that was cut off.
        Err(Error::DockerResponseServerError { status_code: 409, .. }) => {
            remove(docker, &name).await.map_err(unusable)?;
            create(docker, &name, reference).await.map_err(unusable)?;
        }
        created => created.map_err(unusable)?,
    }
    remove(docker, &name).await.map_err(|error| engine_failure(&format!("the engine did not remove the container {name}"), &error))
}

async fn create(docker: &Docker, name: &str, image: &str) -> Result<(), Error> {
    let options = CreateContainerOptionsBuilder::default().name(name).build();
    let body = ContainerCreateBody {
        image: Some(image.into()),
        // An image may have no command of its own; this one is never run.
        cmd: Some(vec!["true".into()]),
        host_config: Some(HostConfig { network_mode: Some("none".into()), ..HostConfig::default() }),
        ..ContainerCreateBody::default()
    };
    docker.create_container(Some(options), body).await.map(|_| ())
}

async fn remove(docker: &Docker, name: &str) -> Result<(), Error> {
    let options: RemoveContainerOptions = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    match docker.remove_container(name, Some(options)).await {
        Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
        removed => removed,
    }
}
