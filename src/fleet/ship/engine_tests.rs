//! Shipping to a real engine: run with `--ignored` where `/var/run/docker.sock` is one.
#![expect(clippy::disallowed_types, reason = "fleet/ speaks to engines")]

use std::{path::PathBuf, sync::Arc};

use bollard::{
    Docker,
    query_parameters::{ImportImageOptionsBuilder, RemoveContainerOptionsBuilder, RemoveImageOptionsBuilder},
};
use futures_util::StreamExt;
use hyper::body::Bytes;

use super::{
    delivery::{Delivered, Parcel, Receiver},
    export::Exports,
    proof::{create, left_behind, prove},
    saved::tests::{classic, layer},
};
use crate::{
    executor::event::Discard,
    failure::{Failure, FailureKind},
    fleet::images::{content_digest, images, inspect},
    model::{self, Engine, HostName, Store},
};

/// An engine, with the names of the images that a test makes on it; they go when it ends.
struct Bench {
    docker: Docker,
    host: HostName,
    exports: Exports,
    name: &'static str,
}

impl Bench {
    async fn new(name: &'static str) -> Self {
        let docker = Docker::connect_with_unix_defaults().expect("an engine").negotiate_version().await.expect("an answer");
        let bench = Self { docker, host: HostName::new("local").expect("valid"), exports: Exports::new(std::env::temp_dir()), name };
        bench.clear().await;
        bench
    }

    fn reference(&self, tag: &str) -> String {
        format!("podlift-ship-test-{}:{tag}", self.name)
    }

    async fn load(&self, archive: Vec<u8>, tag: &str) {
        let body = futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from(archive))]);
        let mut answers = self.docker.import_image_stream(ImportImageOptionsBuilder::default().build(), body, None);
        let mut id = None;
        while let Some(answer) = answers.next().await {
            let text = answer.expect("loaded").stream.unwrap_or_default();
            id = text.strip_prefix("Loaded image ID: ").map(|id| id.trim().to_owned()).or(id);
        }
        let options =
            bollard::query_parameters::TagImageOptionsBuilder::default().repo(&format!("podlift-ship-test-{}", self.name)).tag(tag).build();
        self.docker.tag_image(&id.expect("an id"), Some(options)).await.expect("tagged");
    }

    async fn remove(&self, tag: &str) {
        let options = RemoveImageOptionsBuilder::default().force(true).build();
        let _ = self.docker.remove_image(&self.reference(tag), Some(options), None).await;
    }

    async fn clear(&self) {
        for tag in ["v1", "v2", "v3"] {
            self.remove(tag).await;
        }
    }

    async fn parcel(&self, tag: &str) -> Parcel {
        Parcel::find(&self.docker, &self.host, &self.reference(tag), "").await.expect("an image")
    }

    async fn deliver(&self, parcel: &Parcel, engine: Engine) -> Result<Delivered, Failure> {
        let to = Receiver { host: &self.host, docker: self.docker.clone(), engine };
        parcel.deliver(&self.docker, &to, &self.exports, &Discard).await
    }

    /// The export before the image is removed: afterwards the engine plays a host that lacks it.
    async fn export(&self, parcel: &Parcel) {
        self.exports.get(&self.docker, &parcel.source, &Discard).await.expect("exported");
    }
}

fn engine(free: Option<u64>) -> Engine {
    Engine { version: String::new(), platform: "linux/amd64".into(), store: Store::Classic, free: free.map(model::Bytes), cpus: None }
}

fn noise(seed: u32, length: u32) -> Vec<u8> {
    let mut state = seed;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state.to_le_bytes()[1]
        })
        .collect()
}

#[tokio::test]
#[ignore = "needs a Docker engine: scripts/test runs it"]
async fn only_the_layer_that_the_host_lacks_is_sent() {
    let bench = Bench::new("delta").await;
    let (base, one, two) = (layer(&noise(1, 20 << 20)), layer(&noise(2, 1 << 20)), layer(&noise(3, 1 << 20)));
    bench.load(classic(&[base.clone(), one]), "v1").await;
    bench.load(classic(&[base, two]), "v2").await;
    let parcel = bench.parcel("v2").await;

    let there = bench.deliver(&parcel, engine(None)).await.expect("there already");
    assert_eq!(there.sent, 0);
    assert!(there.reused >= 21 << 20, "{there:?}");

    bench.export(&parcel).await;
    bench.remove("v2").await;
    let delivered = bench.deliver(&parcel, engine(Some(3 << 20))).await.expect("delivered");
    assert!(((1 << 20)..(1 << 20) + 20_000).contains(&delivered.sent), "{delivered:?}");
    assert!(((20 << 20)..(20 << 20) + 20_000).contains(&delivered.reused), "{delivered:?}");
    let image = inspect(&bench.docker, &parcel.reference).await.expect("an answer").expect("an image");
    assert_eq!(content_digest(&image), parcel.digest);
    assert_eq!(bench.deliver(&parcel, engine(None)).await.expect("there").sent, 0);
    bench.clear().await;
}

#[tokio::test]
#[ignore = "needs a Docker engine: scripts/test runs it"]
async fn an_image_that_is_there_under_another_name_gets_this_one() {
    let bench = Bench::new("name").await;
    bench.load(classic(&[layer(&noise(4, 100_000))]), "v1").await;
    let mut parcel = bench.parcel("v1").await;
    parcel.reference = bench.reference("v3");
    assert_eq!(bench.deliver(&parcel, engine(None)).await.expect("named").sent, 0);
    assert!(inspect(&bench.docker, &bench.reference("v3")).await.expect("an answer").is_some());
    let listed = images(&bench.docker).await.expect("a list");
    let stored = listed.iter().find(|image| image.digest == parcel.digest).expect("listed");
    assert_eq!(stored.references, [bench.reference("v1"), bench.reference("v3")]);
    assert_eq!(stored.layers, parcel.source.layers);
    bench.clear().await;
}

#[tokio::test]
#[ignore = "needs a Docker engine: scripts/test runs it"]
async fn a_host_that_lacks_what_it_lists_gets_the_whole_image() {
    let bench = Bench::new("whole").await;
    let layers = [layer(&noise(5, 300_000)), layer(&noise(6, 200_000)), layer(&noise(5, 300_000))];
    bench.load(classic(&layers), "v1").await;
    let parcel = bench.parcel("v1").await;
    let export = bench.exports.get(&bench.docker, &parcel.source, &Discard).await.expect("exported");
    bench.remove("v1").await;
    // A listing that says more than the engine has, as the containerd store's does after a broken load.
    let listed = [model::StoredImage {
        references: Vec::new(),
        digest: "sha256:x".into(),
        platform: "linux/amd64".into(),
        layers: parcel.source.layers[..2].to_vec(),
        healthcheck: None,
    }];
    let to = Receiver { host: &bench.host, docker: bench.docker.clone(), engine: engine(None) };
    let delivered = parcel.load(&to, &export, &listed, &Discard).await.expect("delivered whole");
    assert!(delivered.sent > 500_000, "{delivered:?}");
    assert_eq!(delivered.reused, 0);
    let image = inspect(&bench.docker, &parcel.reference).await.expect("an answer").expect("an image");
    assert_eq!(content_digest(&image), parcel.digest);
    bench.clear().await;
}

#[tokio::test]
#[ignore = "needs a Docker engine: scripts/test runs it"]
async fn nothing_moves_to_a_host_that_cannot_take_it() {
    let bench = Bench::new("refused").await;
    bench.load(classic(&[layer(&noise(7, 5 << 20))]), "v1").await;
    let parcel = bench.parcel("v1").await;
    bench.export(&parcel).await;
    bench.remove("v1").await;

    let full = bench.deliver(&parcel, engine(Some(6 << 20))).await.expect_err("too little room");
    assert_eq!(full.kind, FailureKind::Refused);
    assert!(full.message.contains("10.5 MB are needed to unpack 5.0 MB of layers, 6.0 MB are free"), "{full:?}");

    let arm = bench.deliver(&parcel, Engine { platform: "linux/arm64".into(), ..engine(None) }).await.expect_err("another platform");
    assert_eq!(arm.kind, FailureKind::Refused);
    assert!(arm.message.ends_with("is for linux/amd64, and the host is linux/arm64"), "{arm:?}");

    let gone = Parcel::find(&bench.docker, &bench.host, &bench.reference("v1"), "").await.err().expect("no such image");
    assert_eq!(gone.kind, FailureKind::Failed);
    assert!(inspect(&bench.docker, &parcel.reference).await.expect("an answer").is_none());
}

#[tokio::test]
#[ignore = "needs a Docker engine: scripts/test runs it"]
async fn several_hosts_share_one_export() {
    let bench = Arc::new(Bench::new("shared").await);
    bench.load(classic(&[layer(&noise(8, 1 << 20))]), "v1").await;
    let parcel = bench.parcel("v1").await;
    let (one, two) = tokio::join!(
        bench.exports.get(&bench.docker, &parcel.source, &Discard),
        bench.exports.get(&bench.docker, &parcel.source, &Discard)
    );
    assert!(Arc::ptr_eq(&one.expect("exported"), &two.expect("exported")));
    bench.clear().await;
}

#[tokio::test]
#[ignore = "needs a Docker engine: scripts/test runs it"]
async fn an_export_that_finds_no_room_says_where() {
    let bench = Bench::new("room").await;
    bench.load(classic(&[layer(&noise(9, 1000))]), "v1").await;
    let parcel = bench.parcel("v1").await;
    let exports = Exports::new(PathBuf::from("/dev/null/nowhere"));
    let failure = exports.get(&bench.docker, &parcel.source, &Discard).await.err().expect("no such folder");
    assert!(failure.message.contains("/nowhere"), "{failure:?}");
    bench.clear().await;
}

#[tokio::test]
#[ignore = "needs a Docker engine: scripts/test runs it"]
async fn a_proof_leaves_no_container_and_takes_away_what_another_one_left() {
    let bench = Bench::new("proof").await;
    bench.load(classic(&[layer(&noise(10, 1000))]), "v1").await;
    let (docker, parcel) = (&bench.docker, bench.parcel("v1").await);
    for name in ["podlift-proof-0123456789ab", &format!("podlift-proof-{}", &parcel.digest["sha256:".len()..][..12])] {
        create(docker, name, &parcel.reference).await.expect("made");
    }
    // A team's own: a service `proof` of a project `podlift`.
    let own = ["podlift-proof-v1-0123456789-1", "shop-podlift-proof-0123456789ab"];
    for name in own {
        create(docker, name, &parcel.reference).await.expect("made");
    }
    assert_eq!(left_behind(docker).await.expect("a list").len(), 2);
    // A graph driver is not asked to make any.
    prove(docker, Store::Classic, &parcel.reference, &parcel.digest).await.expect("it is whole");
    assert_eq!(left_behind(docker).await.expect("a list").len(), 2);
    prove(docker, Store::Containerd, &parcel.reference, &parcel.digest).await.expect("it is whole");
    assert_eq!(left_behind(docker).await.expect("a list"), Vec::<String>::new());
    let other = prove(docker, Store::Containerd, &parcel.reference, "sha256:0").await.expect_err("another image");
    assert!(other.message.contains("it is another image"), "{other:?}");
    for name in own {
        let options = RemoveContainerOptionsBuilder::default().force(true).build();
        docker.remove_container(name, Some(options)).await.expect("it is still there");
    }
    bench.clear().await;
}

#[tokio::test]
#[ignore = "needs a Docker engine: scripts/test runs it"]
async fn proofs_of_one_image_at_the_same_moment_do_not_meet() {
    let bench = Bench::new("at-once").await;
    bench.load(classic(&[layer(&noise(11, 1000))]), "v1").await;
    let (docker, parcel) = (&bench.docker, bench.parcel("v1").await);
    let prove = || prove(docker, Store::Containerd, &parcel.reference, &parcel.digest);
    for _ in 0..5 {
        let proofs = futures_util::future::join_all((0..8).map(|_| prove())).await;
        assert!(proofs.iter().all(Result::is_ok), "{proofs:?}");
    }
    assert_eq!(left_behind(docker).await.expect("a list"), Vec::<String>::new());
    bench.clear().await;
}
