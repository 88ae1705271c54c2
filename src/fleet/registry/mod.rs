//! Registries, as an engine reaches them.
//!
//! The engine itself pushes, pulls and asks, so its own proxies, certificates and insecure registries count. Credentials go with
//! each request, in its header, and nothing is written down on the host.

mod api;

use bollard::query_parameters::TagImageOptionsBuilder;

use self::api::{Call, login};
use super::{
    Connection, Fleet, Secrets,
    http::query,
    images::{check_reference, content_digest, engine_failure, inspect},
};
use crate::{
    executor::Progress,
    failure::{Failure, FailureKind},
    model::{Image, Registry},
    op::{Pull, Pulled, Push, Resolve},
};

/// Gives an image the registry's name and pushes it. An image that is no longer the one that was built is refused.
pub async fn push(fleet: &Fleet, op: &Push, progress: &dyn Progress) -> Result<Image, Failure> {
    let connection = fleet.host(&op.from).await?;
    let (docker, host) = (connection.docker().await?, &op.from.name);
    let Some(image) = inspect(&docker, &op.reference).await? else {
        return Err(Failure::failed(format!("{host} has no image {}", op.reference)).hint("`build` it first"));
    };
    let digest = content_digest(&image);
    if !op.digest.is_empty() && digest != op.digest {
        return Err(another(&op.reference, host.as_str()).hint("run again to build it anew"));
    }
    let target = op.target();
    let (name, tag) = split(&target);
    check_reference(&target)?;
    progress.sent(host.as_str(), &format!("POST /images/{}/tag?repo={name}&tag={tag}", op.reference));
    let options = TagImageOptionsBuilder::default().repo(name).tag(tag).build();
    let untagged = |error| engine_failure(&format!("the engine did not call {} {target}", op.reference), &error);
    docker.tag_image(&op.reference, Some(options)).await.map_err(untagged)?;
    let what = format!("{target} could not be pushed from {host}");
    let call = Call { connection: &connection, login: login(Some(&op.registry), fleet.secrets())?, what };
    let path = format!("/images/{name}/push?tag={}", query(tag));
    progress.sent(host.as_str(), &format!("POST {path}"));
    progress.doing(&format!("pushing {target}"));
    let registry_digest = match call.follow(&path, "pushing", progress).await? {
        Some(digest) => digest,
        None => ask(&call, &target).await?,
    };
    Ok(Image { reference: target, digest, version: op.version.clone(), registry_digest: Some(registry_digest) })
}

/// Asks a registry, through an engine, for the digest that a tag stands for now.
pub async fn resolve(fleet: &Fleet, op: &Resolve, progress: &dyn Progress) -> Result<String, Failure> {
    if let Some(known) = &op.known {
        return Ok(known.clone());
    }
    check_reference(&op.reference)?;
    let connection = fleet.host(&op.on).await?;
    let what = format!("{} was not found from {}", op.reference, op.on.name);
    let call = Call { connection: &connection, login: login(op.registry.as_ref(), fleet.secrets())?, what };
    progress.sent(op.on.name.as_str(), &format!("GET /distribution/{}/json", op.reference));
    ask(&call, &op.reference).await
}

async fn ask(call: &Call<'_>, reference: &str) -> Result<String, Failure> {
    let answer = call.get(&format!("/distribution/{reference}/json")).await?;
    let digest = answer["Descriptor"]["digest"].as_str().filter(|digest| digest.starts_with("sha256:"));
    digest.map(str::to_owned).ok_or_else(|| Failure::failed(call.what.as_str()).hint("the registry told no digest of it"))
}

/// Makes sure that a host has an image, by its registry's digest where that is known, under its own name. What the host has is
/// not asked for again.
pub async fn pull(fleet: &Fleet, op: &Pull, progress: &dyn Progress) -> Result<Pulled, Failure> {
    let connection = fleet.host(&op.host).await?;
    let (docker, host) = (connection.docker().await?, &op.host.name);
    let wanted = op.pinned();
    if inspect(&docker, &wanted).await?.is_none() || wanted == op.reference && !wanted.contains('@') {
        fetch(&connection, &wanted, op.registry.as_ref(), fleet.secrets(), progress).await?;
    }
    let Some(image) = inspect(&docker, &wanted).await? else {
        return Err(Failure::failed(format!("{host} pulled {wanted} without an error and does not have it")));
    };
    let digest = content_digest(&image);
    if !op.digest.is_empty() && digest != op.digest {
        return Err(another(&op.reference, "the registry").hint("something else was pushed under that tag meanwhile: `push` it again"));
    }
    if wanted != op.reference && !op.reference.contains('@') {
        let (name, tag) = split(&op.reference);
        let options = TagImageOptionsBuilder::default().repo(name).tag(tag).build();
        let untagged = |error| engine_failure(&format!("the engine did not call {wanted} {}", op.reference), &error);
        docker.tag_image(&wanted, Some(options)).await.map_err(untagged)?;
    }
    Ok(Pulled { digest })
}

/// Pulls an image, `NAME:TAG` or `NAME@DIGEST`.
pub(super) async fn fetch(
    connection: &Connection,
    reference: &str,
    registry: Option<&Registry>,
    secrets: &Secrets,
    progress: &dyn Progress,
) -> Result<(), Failure> {
    let (name, tag) = split(reference);
    let path = format!("/images/create?fromImage={}&tag={}", query(name), query(tag));
    let what = format!("{reference} could not be pulled on {}", connection.host().name);
    progress.sent(connection.host().name.as_str(), &format!("POST {path}"));
    progress.doing(&format!("pulling {reference}"));
    let call = Call { connection, login: login(registry, secrets)?, what };
    call.follow(&path, "pulling", progress).await.map(drop)
}

fn another(reference: &str, place: &str) -> Failure {
    Failure::new(FailureKind::Conflict, format!("{reference} of {place} is another image than the one that was built"))
}

/// A reference's name, and its digest or tag. A tag before a digest counts for nothing.
fn split(reference: &str) -> (&str, &str) {
    if let Some((name, digest)) = reference.split_once('@') {
        return (split(name).0, digest);
    }
    match reference.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (reference, "latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_a_name_and_a_tag_or_digest() {
        assert_eq!(split("localhost:5000/shop/web:v2"), ("localhost:5000/shop/web", "v2"));
        assert_eq!(split("localhost:5000/web"), ("localhost:5000/web", "latest"));
        assert_eq!(split("postgres:16@sha256:ab"), ("postgres", "sha256:ab"));
    }
}
