//! The images that an engine has, told apart by what they would run.
#![expect(clippy::disallowed_types, reason = "fleet/ speaks to engines")]

use std::collections::{BTreeMap, BTreeSet};

use bollard::{
    Docker,
    errors::Error,
    models::{HealthConfig, ImageInspect},
    query_parameters::ListImagesOptionsBuilder,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{
    failure::{Failure, FailureKind},
    model::StoredImage,
};

/// How many images of one engine are inspected at once.
const INSPECTED_AT_ONCE: usize = 16;

/// Reads the content digest of the image that `reference` names, `None` if the engine has no such image. It is the same on
/// every host and on both image stores, where an image's id is not.
pub async fn digest(docker: &Docker, reference: &str) -> Result<Option<String>, Failure> {
    Ok(inspect(docker, reference).await?.map(|image| content_digest(&image)))
}

/// Reads all images of an engine, sorted by their references.
pub async fn images(docker: &Docker) -> Result<Vec<StoredImage>, Failure> {
    let failed = |error| engine_failure("the engine did not list its images", &error);
    let listed = docker.list_images(Some(ListImagesOptionsBuilder::default().build())).await.map_err(failed)?;
    let ids: BTreeSet<String> = listed.into_iter().map(|image| image.id).collect();
    let mut found: Vec<StoredImage> = stream::iter(ids)
        .map(|id| async move { inspect(docker, &id).await })
        .buffer_unordered(INSPECTED_AT_ONCE)
        .try_filter_map(|image| async move { Ok(image.as_ref().map(stored)) })
        .try_collect()
        .await?;
    found.sort_by(|one, other| (&one.references, &one.digest).cmp(&(&other.references, &other.digest)));
    Ok(found)
}

/// Computes the chain ids of layers: what a layer is together with all those below it (the OCI image specification's `ChainID`).
pub fn chain_ids(layers: &[String]) -> Vec<String> {
    let mut chain: Vec<String> = Vec::with_capacity(layers.len());
    for layer in layers {
        let id = match chain.last() {
            None => layer.clone(),
            Some(below) => sha256(format!("{below} {layer}")),
        };
        chain.push(id);
    }
    chain
}

/// Inspects an image, `None` if the engine does not have it.
pub(super) async fn inspect(docker: &Docker, reference: &str) -> Result<Option<ImageInspect>, Failure> {
    check_reference(reference)?;
    match docker.inspect_image(reference).await {
        Ok(image) => Ok(Some(image)),
        Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
        Err(error) => Err(engine_failure(&format!("the engine did not inspect the image {reference}"), &error)),
    }
}

/// Refuses what cannot be an image's reference or id: it becomes a part of a path in the engine's API.
pub(super) fn check_reference(reference: &str) -> Result<(), Failure> {
    let fits = reference.starts_with(|c: char| c.is_ascii_alphanumeric())
        && reference.len() <= 512
        && !reference.contains("..")
        && reference.chars().all(|c| c.is_ascii_alphanumeric() || "._/:@-".contains(c));
    if fits {
        return Ok(());
    }
    Err(Failure::refused(format!("{reference:?} is not a valid image reference"))
        .hint("Write it as NAME:TAG, for example \"shop-web:v2\"."))
}

/// The layers' uncompressed digests, lowest first.
pub(super) fn layers(image: &ImageInspect) -> Vec<String> {
    image.root_fs.as_ref().and_then(|root| root.layers.clone()).unwrap_or_default()
}

/// `OS/ARCHITECTURE`.
pub(super) fn platform(image: &ImageInspect) -> String {
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    format!("{}/{}", part(&image.os), part(&image.architecture))
}

/// Whether Docker checks this image's containers; `HEALTHCHECK NONE` switches that off.
pub(super) fn has_healthcheck(image: &ImageInspect) -> bool {
    let check = image.config.as_ref().and_then(|config| config.healthcheck.as_ref()).and_then(|check| check.test.as_ref());
    check.is_some_and(|test| test.first().is_some_and(|first| first != "NONE"))
}

/// The content digest of an inspected image.
pub(super) fn content_digest(image: &ImageInspect) -> String {
    let canonical = serde_json::to_vec(&Content::of(image)).expect("plain data with string keys");
    sha256(canonical)
}

/// What an engine's refusal or silence becomes: what was wanted, and the engine's words as a detail. A connection that broke is
/// [`FailureKind::Unreachable`]: what was asked for may have happened.
pub(super) fn engine_failure(what: &str, error: &Error) -> Failure {
    let (kind, words) = match error {
        Error::IOError { .. } | Error::HyperResponseError { .. } | Error::HyperLegacyError { .. } => {
            return Failure::new(FailureKind::Unreachable, format!("{what}: the connection to Docker was lost"))
                .lost()
                .detail("connection", with_causes(error));
        }
        Error::DockerResponseServerError { message, .. } => (FailureKind::Failed, message.clone()),
        Error::DockerStreamError { error } => (FailureKind::Failed, error.clone()),
        Error::RequestTimeoutError => (FailureKind::Timeout, "it did not answer in time".into()),
        other => (FailureKind::Failed, other.to_string()),
    };
    let full = words.contains("no space left on device");
    let failure = Failure::new(kind, what).detail("the engine said", words);
    if full {
        return failure
            .hint("The disk is full there: `docker system df` shows what images and containers take, `docker image prune` frees some.");
    }
    failure
}

/// An error's words with those of what caused it.
fn with_causes(error: &Error) -> String {
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if !words.contains(&text) {
            words = format!("{words}: {text}");
        }
        cause = error.source();
    }
    words
}

fn stored(image: &ImageInspect) -> StoredImage {
    let mut references = image.repo_tags.clone().unwrap_or_default();
    references.retain(|reference| !reference.contains("<none>"));
    references.sort();
    StoredImage {
        references,
        digest: content_digest(image),
        platform: platform(image),
        layers: layers(image),
        healthcheck: Some(has_healthcheck(image)),
    }
}

/// What decides what an image runs, in one form for all engines: some write `null` where others write an empty list or nothing.
#[derive(Serialize)]
struct Content {
    layers: Vec<String>,
    os: String,
    architecture: String,
    user: String,
    env: Vec<String>,
    command: Vec<String>,
    entrypoint: Vec<String>,
    shell: Vec<String>,
    folder: String,
    ports: BTreeSet<String>,
    volumes: BTreeSet<String>,
    labels: BTreeMap<String, String>,
    stop_signal: String,
    health: Option<Health>,
}

#[derive(Serialize)]
struct Health {
    test: Vec<String>,
    interval: i64,
    timeout: i64,
    start_period: i64,
    retries: i64,
}

impl Content {
    fn of(image: &ImageInspect) -> Self {
        let config = image.config.clone().unwrap_or_default();
        let folder = config.working_dir.unwrap_or_default();
        Self {
            layers: layers(image),
            os: image.os.clone().unwrap_or_default(),
            architecture: image.architecture.clone().unwrap_or_default(),
            user: config.user.unwrap_or_default(),
            env: config.env.unwrap_or_default(),
            command: config.cmd.unwrap_or_default(),
            entrypoint: config.entrypoint.unwrap_or_default(),
            shell: config.shell.unwrap_or_default(),
            folder: if folder.is_empty() { "/".into() } else { folder },
            ports: config.exposed_ports.unwrap_or_default().into_iter().collect(),
            volumes: config.volumes.unwrap_or_default().into_iter().collect(),
            labels: config.labels.unwrap_or_default().into_iter().collect(),
            stop_signal: config.stop_signal.unwrap_or_default(),
            health: config.healthcheck.and_then(Health::of),
        }
    }
}

impl Health {
    fn of(check: HealthConfig) -> Option<Self> {
        let test = check.test.filter(|test| !test.is_empty())?;
        Some(Self {
            test,
            interval: check.interval.unwrap_or_default(),
            timeout: check.timeout.unwrap_or_default(),
            start_period: check.start_period.unwrap_or_default(),
            retries: check.retries.unwrap_or_default(),
        })
    }
}

/// `sha256:` and the digest of these bytes.
pub(super) fn sha256(bytes: impl AsRef<[u8]>) -> String {
    digest_text(&Sha256::digest(bytes))
}

/// `sha256:` and these 32 bytes in hexadecimal.
pub(super) fn digest_text(digest: &[u8]) -> String {
    digest.iter().fold(String::from("sha256:"), |text, byte| format!("{text}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspected(json: &str) -> ImageInspect {
        serde_json::from_str(json).expect("an engine's answer")
    }

    #[test]
    fn a_chain_id_covers_all_layers_below() {
        let layers = ["sha256:a", "sha256:b", "sha256:c"].map(String::from);
        let chain = chain_ids(&layers);
        // printf 'sha256:a sha256:b' | sha256sum, and so on.
        let second = sha256("sha256:a sha256:b");
        assert_eq!(chain[0], "sha256:a");
        assert_eq!(chain[1], second);
        assert_eq!(chain[2], sha256(format!("{second} sha256:c")));
        assert_eq!(chain_ids(&layers[..2]), chain[..2]);
        assert_ne!(chain_ids(&["sha256:b".into(), "sha256:a".into()])[1], chain[1]);
        assert!(chain_ids(&[]).is_empty());
    }

    #[test]
    fn engines_write_the_same_image_differently() {
        let old = inspected(
            r#"{"Id":"sha256:1","Os":"linux","Architecture":"amd64","Size":9,"RepoTags":["a:1"],
                "Config":{"User":"","Env":["A=1"],"Cmd":["/x"],"Entrypoint":null,"Labels":null,"WorkingDir":"",
                "ExposedPorts":{"81/tcp":{},"80/tcp":{}},"Volumes":null,"OnBuild":null},
                "RootFS":{"Type":"layers","Layers":["sha256:a"]}}"#,
        );
        let new = inspected(
            r#"{"Id":"sha256:2","Os":"linux","Architecture":"amd64","Size":4,"RepoTags":["b:2"],
                "Config":{"Env":["A=1"],"Cmd":["/x"],"Entrypoint":[],"Labels":{},"WorkingDir":"/",
                "ExposedPorts":{"80/tcp":{},"81/tcp":{}},"Healthcheck":{}},
                "RootFS":{"Type":"layers","Layers":["sha256:a"]}}"#,
        );
        assert_eq!(content_digest(&old), content_digest(&new));
        assert_eq!(content_digest(&old).len(), "sha256:".len() + 64);
    }

    #[test]
    fn whatever_runs_differently_has_another_digest() {
        let base = r#"{"Os":"linux","Architecture":"amd64","Config":{"Env":["A=1","B=2"],"Cmd":["/x"]},"RootFS":{"Type":"layers","Layers":["sha256:a"]}}"#;
        let digest = content_digest(&inspected(base));
        for (was, is) in [
            ("A=1", "A=2"),
            (r#""A=1","B=2""#, r#""B=2","A=1""#),
            (r#""Cmd""#, r#""Entrypoint""#),
            ("amd64", "arm64"),
            ("sha256:a", "sha256:b"),
            (r#""Cmd":["/x"]"#, r#""Cmd":["/x"],"User":"app""#),
            (r#""Cmd":["/x"]"#, r#""Cmd":["/x"],"StopSignal":"SIGINT""#),
            (r#""Cmd":["/x"]"#, r#""Cmd":["/x"],"Healthcheck":{"Test":["CMD","/y"]}"#),
        ] {
            assert_ne!(content_digest(&inspected(&base.replace(was, is))), digest, "{was} → {is}");
        }
    }

    #[test]
    fn an_image_without_a_name_has_no_reference() {
        let image = stored(&inspected(r#"{"Os":"linux","Architecture":"arm64","RepoTags":["<none>:<none>"]}"#));
        assert!(image.references.is_empty());
        assert_eq!(image.platform, "linux/arm64");
    }

    #[test]
    fn a_reference_stays_in_its_place() {
        for reference in ["shop-web:v2", "ghcr.io/team/web:v1.2_3", "host:5000/a/b@sha256:0a", "sha256:0a"] {
            check_reference(reference).expect(reference);
        }
        for reference in ["", "../containers/x", "a/../../x", "-v", "/a", "a b", "a?force=1", "a#b", "a%2e", "a\nb"] {
            assert_eq!(check_reference(reference).expect_err(reference).kind, FailureKind::Refused);
        }
    }

    #[test]
    fn a_broken_connection_is_not_an_answer() {
        let broken = Error::IOError { err: std::io::ErrorKind::ConnectionReset.into() };
        let lost = engine_failure("x", &broken);
        assert!(lost.kind == FailureKind::Unreachable && lost.lost, "{lost:?}");
        let refused = Error::DockerResponseServerError { status_code: 500, message: "no".into() };
        assert_eq!(engine_failure("x", &refused).kind, FailureKind::Failed);
        assert_eq!(engine_failure("x", &Error::RequestTimeoutError).kind, FailureKind::Timeout);
    }

    #[test]
    fn a_full_disk_comes_with_what_to_do() {
        let full = Error::DockerStreamError { error: "write /layer.tar: no space left on device".into() };
        let failure = engine_failure("the engine did not load it", &full);
        assert!(failure.hints[0].contains("docker system df"), "{failure:?}");
    }
}
