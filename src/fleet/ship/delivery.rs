//! Bringing one image to one engine.
#![expect(clippy::disallowed_types, reason = "fleet/ speaks to engines")]

use std::{collections::HashSet, sync::Arc};

use bollard::{
    Docker,
    errors::Error,
    models::ImageInspect,
    query_parameters::{RemoveImageOptionsBuilder, TagImageOptionsBuilder},
};

use super::{
    archive::{known_layers, missing, pieces},
    export::{Export, Exports, Source},
    proof::prove,
    send::send,
};
use crate::{
    executor::Progress,
    failure::{Failure, FailureKind},
    fleet::images::{chain_ids, content_digest, engine_failure, images, inspect, layers, platform},
    model::{Bytes, Engine, HostName, Store, StoredImage},
};

/// An image that goes to hosts.
pub(super) struct Parcel {
    /// What both sides call it.
    pub(super) reference: String,
    /// Its content digest.
    pub(super) digest: String,
    /// `OS/ARCHITECTURE`.
    pub(super) platform: String,
    /// Where it comes from.
    pub(super) source: Source,
    /// What its engine says that it takes.
    pub(super) size: u64,
}

/// The engine that an image goes to.
pub(super) struct Receiver<'a> {
    /// Its host.
    pub(super) host: &'a HostName,
    /// Its API.
    pub(super) docker: Docker,
    /// What is known of it.
    pub(super) engine: Engine,
}

/// What a delivery took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Delivered {
    /// Bytes on the wire.
    pub(super) sent: u64,
    /// Uncompressed bytes of layers that were there.
    pub(super) reused: u64,
}

impl Parcel {
    /// Finds the image with this content digest at the engine that has it.
    pub(super) async fn find(docker: &Docker, host: &HostName, reference: &str, digest: &str) -> Result<Self, Failure> {
        if reference.contains('@') {
            return Err(Failure::refused(format!("{reference} has no tag, and hosts could not find it by its registry's digest"))
                .hint("Give it one with `docker tag`, and ship that."));
        }
        let Some(image) = inspect(docker, reference).await.map_err(|failure| failure.on(host))? else {
            return Err(Failure::failed(format!("{host} has no image {reference}")).on(host).hint("`build` it first"));
        };
        let found = content_digest(&image);
        if !digest.is_empty() && found != digest {
            return Err(Failure::new(FailureKind::Conflict, format!("{reference} is no longer the image that was built"))
                .on(host)
                .detail("content digests", format!("built {digest}\nfound {found}"))
                .hint("Something else gave that name to another image meanwhile; run again to build it anew."));
        }
        let id = image.id.clone().unwrap_or_else(|| reference.into());
        let source = Source { host: host.clone(), id, layers: layers(&image), reference: reference.into() };
        Ok(Self { reference: reference.into(), digest: found, platform: platform(&image), size: size(&image), source })
    }

    /// Brings the image to an engine: nothing if it is there, a name if only that is missing, else the layers that it lacks.
    pub(super) async fn deliver(
        &self,
        from: &Docker,
        to: &Receiver<'_>,
        exports: &Exports,
        progress: &dyn Progress,
    ) -> Result<Delivered, Failure> {
        self.fits(&to.engine)?;
        progress.doing("looking at what is there");
        progress.sent(to.host.as_str(), &format!("GET /images/{}/json", self.reference));
        let there = inspect(&to.docker, &self.reference).await?.is_some_and(|image| content_digest(&image) == self.digest);
        if there && self.prove(to, progress).await.is_ok() {
            return Ok(self.nothing_sent());
        }
        progress.sent(to.host.as_str(), "GET /images/json, and each image's layers");
        let images = images(&to.docker).await?;
        if !there
            && let Some(same) = images.iter().find(|image| image.digest == self.digest)
            && self.name(to, same).await?
            && self.prove(to, progress).await.is_ok()
        {
            return Ok(self.nothing_sent());
        }
        let export = exports.get(from, &self.source, progress).await?;
        self.load(to, &export, &images, progress).await
    }

    /// What a delivery took that found all there.
    pub(super) fn nothing_sent(&self) -> Delivered {
        Delivered { sent: 0, reused: self.size }
    }

    fn fits(&self, engine: &Engine) -> Result<(), Failure> {
        if self.platform == engine.platform {
            return Ok(());
        }
        Err(Failure::refused(format!("{} is for {}, and the host is {}", self.reference, self.platform, engine.platform))
            .hint(format!("Build it with `platform: \"{}\"`.", engine.platform)))
    }

    /// Gives an image that is there under another name this one; false if it has gone meanwhile.
    async fn name(&self, to: &Receiver<'_>, same: &StoredImage) -> Result<bool, Failure> {
        let Some(other) = same.references.first() else { return Ok(false) };
        let (name, tag) = self.reference.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).unwrap_or((&self.reference, "latest"));
        let options = TagImageOptionsBuilder::default().repo(name).tag(tag).build();
        match to.docker.tag_image(other, Some(options)).await {
            Ok(()) => Ok(true),
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(false),
            Err(error) => Err(engine_failure(&format!("the engine did not name {other} {}", self.reference), &error)),
        }
    }

    pub(super) async fn load(
        &self,
        to: &Receiver<'_>,
        export: &Arc<Export>,
        images: &[StoredImage],
        progress: &dyn Progress,
    ) -> Result<Delivered, Failure> {
        let there: HashSet<String> = images.iter().flat_map(|image| chain_ids(&image.layers)).collect();
        let known = known_layers(&chain_ids(&self.source.layers), &there);
        let sent = match self.try_load(to, export, known, progress).await {
            Ok(sent) => return Ok(Delivered { sent, reused: reused(export, known) }),
            Err(Attempt { unproven: true, sent, .. }) if known > 0 => sent,
            Err(attempt) => return Err(self.give_up(to, attempt).await),
        };
        progress.doing("the host's layers are not what it lists; sending the whole image");
        remove(&to.docker, &self.reference).await?;
        match self.try_load(to, export, 0, progress).await {
            Ok(whole) => Ok(Delivered { sent: sent + whole, reused: 0 }),
            Err(attempt) => Err(self.give_up(to, attempt).await),
        }
    }

    /// What a failed load leaves to say. A broken image that the engine lists is removed: nothing must find it and start it.
    async fn give_up(&self, to: &Receiver<'_>, attempt: Attempt) -> Failure {
        if attempt.unproven
            && let Err(left) = remove(&to.docker, &self.reference).await
        {
            return attempt.failure.detail("and its broken image stays", left.message);
        }
        attempt.failure
    }

    async fn try_load(&self, to: &Receiver<'_>, export: &Arc<Export>, known: usize, progress: &dyn Progress) -> Result<u64, Attempt> {
        let needed: u64 = missing(&export.image.layers, known).iter().map(|layer| layer.size).sum();
        enough_room(&self.reference, Bytes(needed), to.engine.free)?;
        progress.sent(to.host.as_str(), "POST /images/load");
        let pieces = pieces(&export.image, &self.reference, known);
        let sent = match send(&to.docker, export, pieces, &self.reference, progress).await {
            Ok(sent) => sent,
            // An engine that misses a layer says so at once on a graph driver.
            Err(failure) => {
                return Err(Attempt { unproven: failure.kind == FailureKind::Failed && lacks_a_file(&failure), failure, sent: 0 });
            }
        };
        self.prove(to, progress).await.map_err(|failure| Attempt { unproven: failure.kind == FailureKind::Failed, failure, sent })?;
        Ok(sent)
    }

    async fn prove(&self, to: &Receiver<'_>, progress: &dyn Progress) -> Result<(), Failure> {
        progress.doing("proving the image");
        if to.engine.store == Store::Containerd {
            progress.sent(to.host.as_str(), "POST /containers/create (a proof, removed at once)");
        }
        prove(&to.docker, to.engine.store, &self.reference, &self.digest).await
    }
}

/// A load that did not bring the image.
struct Attempt {
    failure: Failure,
    /// Whether sending the whole image may help.
    unproven: bool,
    sent: u64,
}

impl From<Failure> for Attempt {
    fn from(failure: Failure) -> Self {
        Self { failure, unproven: false, sent: 0 }
    }
}

async fn remove(docker: &Docker, reference: &str) -> Result<(), Failure> {
    let options = RemoveImageOptionsBuilder::default().force(true).build();
    match docker.remove_image(reference, Some(options), None).await {
        Ok(_) | Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
        Err(error) => Err(engine_failure(&format!("the engine did not remove its broken image {reference}"), &error)),
    }
}

/// Whether an engine could not open a layer that it was not sent.
fn lacks_a_file(failure: &Failure) -> bool {
    failure.details.iter().any(|detail| detail.text.contains("no such file or directory") || detail.text.contains("not found"))
}

/// Engines keep what they are sent until it is unpacked (graph drivers) or for good (the containerd store): twice the layers.
fn enough_room(reference: &str, needed: Bytes, free: Option<Bytes>) -> Result<(), Failure> {
    let Some(free) = free else { return Ok(()) };
    let wanted = Bytes(needed.0.saturating_mul(21) / 10);
    if needed.0 == 0 || free.0 >= wanted.0 {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "the host has too little room for {reference}: {wanted} are needed to unpack {needed} of layers, {free} are free"
    ))
    .hint("`docker system df` shows what images and containers take there, `docker image prune` frees some."))
}

fn reused(export: &Export, known: usize) -> u64 {
    let layers = &export.image.layers;
    let sent: u64 = missing(layers, known).iter().map(|layer| layer.size).sum();
    missing(layers, 0).iter().map(|layer| layer.size).sum::<u64>().saturating_sub(sent)
}

fn size(image: &ImageInspect) -> u64 {
    image.size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default()
}
