//! Proving that a host has an image that it says it has.
#![expect(clippy::disallowed_types, reason = "fleet/ speaks to engines")]

use std::collections::HashMap;

use bollard::{
    Docker,
    errors::Error,
    models::{ContainerCreateBody, HostConfig},
    query_parameters::{
        CreateContainerOptionsBuilder, ListContainersOptionsBuilder, RemoveContainerOptions, RemoveContainerOptionsBuilder,
    },
};

use crate::{
    failure::Failure,
    fleet::images::{digest, engine_failure},
    fleet::random,
    model::Store,
};

/// What the names of the containers that prove images begin with.
const NAME: &str = "podlift-proof-";
/// How many hexadecimal digits stand behind that.
const DIGITS: usize = 12;

/// Looks whether the engine has this very image. A graph driver lists only what is whole; on the containerd store a load that lacks
/// a layer succeeds, and the image is listed with all its layers: there a container is made from it and removed again, unstarted,
/// with those that processes left which died in between.
pub(super) async fn prove(docker: &Docker, store: Store, reference: &str, wanted: &str) -> Result<(), Failure> {
    match digest(docker, reference).await? {
        None => return Err(Failure::failed(format!("the engine loaded {reference} without an error and does not have it"))),
        Some(is) if is != wanted => {
            return Err(Failure::failed(format!("the engine loaded {reference}, and it is another image"))
                .detail("content digests", format!("wanted {wanted}\nfound  {is}")));
        }
        Some(_) if store == Store::Classic => return Ok(()),
        Some(_) => {}
    }
    for left in left_behind(docker).await? {
        remove(docker, &left).await.map_err(|error| engine_failure(&format!("the engine did not remove the container {left}"), &error))?;
    }
    let name = unique();
    let unusable = |error: Error| engine_failure(&format!("the engine has {reference} and cannot make a container from it"), &error);
    create(docker, &name, reference).await.map_err(unusable)?;
    remove(docker, &name).await.map_err(|error| engine_failure(&format!("the engine did not remove the container {name}"), &error))
}

/// A name that no other proof has: several runs, or one by several names of a host, may prove the same image at once.
fn unique() -> String {
    format!("{NAME}{:0DIGITS$x}", random::number() % (1 << (4 * DIGITS)))
}

/// The containers of proofs that were cut off, and of those that other runs make right now: they have proven theirs by having made it.
pub(super) async fn left_behind(docker: &Docker) -> Result<Vec<String>, Failure> {
    // The engine takes the name for a pattern, which matches anywhere.
    let unstarted = HashMap::from([("name", vec![NAME]), ("status", vec!["created"])]);
    let options = ListContainersOptionsBuilder::default().all(true).filters(&unstarted).build();
    let there =
        docker.list_containers(Some(options)).await.map_err(|error| engine_failure("the engine did not list its containers", &error))?;
    let is_proof = |name: &String| name.strip_prefix('/').and_then(|name| name.strip_prefix(NAME)).is_some_and(is_number);
    Ok(there.into_iter().filter(|there| there.names.iter().flatten().any(is_proof)).filter_map(|there| there.id).collect())
}

/// Whether a name ends as that of a proof does.
fn is_number(end: &str) -> bool {
    end.len() == DIGITS && end.bytes().all(|byte| byte.is_ascii_hexdigit())
}

pub(super) async fn create(docker: &Docker, name: &str, image: &str) -> Result<(), Error> {
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
        // It is gone, or somebody else is removing it.
        Err(Error::DockerResponseServerError { status_code: 404 | 409, .. }) => Ok(()),
        removed => removed,
    }
}
