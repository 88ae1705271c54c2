//! One archive that every engine loads: an OCI layout with a `manifest.json` that points into it.

use std::collections::HashSet;

use serde_json::json;

use super::saved::{Layer, Saved};
use crate::fleet::images::sha256;

/// A tar block.
const BLOCK: u64 = 512;

/// A piece of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// These bytes.
    Bytes(Vec<u8>),
    /// A layer's uncompressed archive.
    Layer(Layer),
}

impl Piece {
    /// Its length before compression.
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Layer(layer) => layer.size,
        }
    }
}

/// The archive of an image under `reference`, piece by piece, without the first `known` layers. Engines with graph drivers look
/// a layer's chain id up before they open its file, and the containerd store looks for its snapshot, so what they have may be
/// missing.
pub(super) fn pieces(image: &Saved, reference: &str, known: usize) -> Vec<Piece> {
    let configuration = sha256(&image.configuration);
    let layers: Vec<_> = image
        .layers
        .iter()
        .map(|layer| json!({ "mediaType": "application/vnd.docker.image.rootfs.diff.tar", "digest": layer.diff, "size": layer.size }))
        .collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "digest": configuration,
            "size": image.configuration.len(),
        },
        "layers": layers,
    })
    .to_string();
    let index = json!({
        "schemaVersion": 2,
        "manifests": [{
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "digest": sha256(&manifest),
            "size": manifest.len(),
            "annotations": {
                "io.containerd.image.name": full_reference(reference),
                "org.opencontainers.image.ref.name": tag(reference),
            },
        }],
    });
    let classic = json!([{
        "Config": blob(&configuration),
        "RepoTags": [reference],
        "Layers": image.layers.iter().map(|layer| blob(&layer.diff)).collect::<Vec<_>>(),
    }]);

    let mut pieces = Vec::new();
    file(&mut pieces, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
    file(&mut pieces, &blob(&configuration), &image.configuration);
    file(&mut pieces, &blob(&sha256(&manifest)), manifest.as_bytes());
    for layer in missing(&image.layers, known) {
        pieces.push(Piece::Bytes(header(&blob(&layer.diff), layer.size)));
        pieces.push(Piece::Layer(layer.clone()));
        pieces.push(Piece::Bytes(padding(layer.size)));
    }
    file(&mut pieces, "index.json", index.to_string().as_bytes());
    file(&mut pieces, "manifest.json", classic.to_string().as_bytes());
    pieces.push(Piece::Bytes(vec![0; 2 * 512]));
    joined(pieces)
}

/// The layers above the first `known`, each once.
pub(super) fn missing(layers: &[Layer], known: usize) -> Vec<&Layer> {
    let mut seen = HashSet::new();
    layers.iter().skip(known).filter(|layer| seen.insert(&layer.diff)).collect()
}

/// How many of an image's layers, from the lowest up, are there already: a layer can be reused only with all those below it.
pub(super) fn known_layers(chain: &[String], there: &HashSet<String>) -> usize {
    chain.iter().take_while(|id| there.contains(*id)).count()
}

/// `NAME:TAG` as the containerd store calls it: with its registry, and `library/` for names without a folder (the reference
/// grammar of github.com/distribution/reference).
fn full_reference(reference: &str) -> String {
    let named = |first: &str| first.contains(['.', ':']) || first == "localhost" || first.chars().any(|c| c.is_ascii_uppercase());
    match reference.split_once('/') {
        Some((first, _)) if named(first) => reference.into(),
        Some(_) => format!("docker.io/{reference}"),
        None => format!("docker.io/library/{reference}"),
    }
}

/// The tag of `NAME:TAG`.
fn tag(reference: &str) -> &str {
    match reference.rsplit_once(':') {
        Some((_, tag)) if !tag.contains('/') => tag,
        _ => "latest",
    }
}

fn blob(digest: &str) -> String {
    format!("blobs/sha256/{}", digest.trim_start_matches("sha256:"))
}

fn file(pieces: &mut Vec<Piece>, path: &str, content: &[u8]) {
    let mut bytes = header(path, content.len() as u64);
    bytes.extend_from_slice(content);
    bytes.extend(padding(content.len() as u64));
    pieces.push(Piece::Bytes(bytes));
}

fn header(path: &str, size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_path(path).expect("a path of at most 77 ASCII characters");
    header.set_size(size);
    header.set_mode(0o644);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mtime(0);
    header.set_cksum();
    header.as_bytes().to_vec()
}

fn padding(size: u64) -> Vec<u8> {
    let over = usize::try_from(size.next_multiple_of(BLOCK) - size).expect("less than a block");
    vec![0; over]
}

/// Neighbouring bytes in one piece.
fn joined(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut joined: Vec<Piece> = Vec::new();
    for piece in pieces {
        match (joined.last_mut(), piece) {
            (Some(Piece::Bytes(before)), Piece::Bytes(bytes)) => before.extend(bytes),
            (_, piece) => joined.push(piece),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::fleet::images::chain_ids;

    fn image(contents: &[&str]) -> Saved {
        let layers = contents.iter().map(|content| Layer { diff: sha256(content), start: 0, size: content.len() as u64 }).collect();
        Saved { configuration: br#"{"os":"linux"}"#.to_vec(), layers }
    }

    /// The archive as an engine would read it: paths with their contents.
    fn written(image: &Saved, contents: &[&str], known: usize) -> Vec<(String, Vec<u8>)> {
        let mut bytes = Vec::new();
        for piece in pieces(image, "shop-web:v2", known) {
            let start = bytes.len() as u64;
            match &piece {
                Piece::Bytes(part) => bytes.extend(part),
                Piece::Layer(layer) => {
                    let content = contents.iter().find(|content| sha256(content) == layer.diff).expect("one of them");
                    bytes.extend(content.as_bytes());
                }
            }
            assert_eq!(bytes.len() as u64, start + piece.len());
        }
        assert_eq!(bytes.len() % 512, 0);
        let mut archive = tar::Archive::new(bytes.as_slice());
        archive
            .entries()
            .expect("an archive")
            .map(|entry| {
                let mut entry = entry.expect("an entry");
                let mut content = Vec::new();
                entry.read_to_end(&mut content).expect("read");
                (entry.path().expect("a path").display().to_string(), content)
            })
            .collect()
    }

    #[test]
    fn the_archive_is_both_formats_and_leaves_known_layers_out() {
        let contents = ["base", "dependencies", "program"];
        let image = image(&contents);
        let files = written(&image, &contents, 2);
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        let hex = |text: &[u8]| format!("blobs/sha256/{}", &sha256(text)["sha256:".len()..]);
        let manifest = &files[2].1;
        assert_eq!(names, ["oci-layout", &hex(&image.configuration), &hex(manifest), &hex(b"program"), "index.json", "manifest.json"]);
        assert_eq!(files[3].1, b"program");

        let classic: serde_json::Value = serde_json::from_slice(&files[5].1).expect("JSON");
        assert_eq!(
            classic,
            json!([{ "Config": hex(&image.configuration), "RepoTags": ["shop-web:v2"], "Layers": [hex(b"base"), hex(b"dependencies"), hex(b"program")] }])
        );
        let index: serde_json::Value = serde_json::from_slice(&files[4].1).expect("JSON");
        assert_eq!(index["manifests"][0]["digest"], sha256(manifest));
        assert_eq!(index["manifests"][0]["size"], manifest.len());
        assert_eq!(index["manifests"][0]["annotations"]["io.containerd.image.name"], "docker.io/library/shop-web:v2");
        assert_eq!(index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"], "v2");
        let manifest: serde_json::Value = serde_json::from_slice(manifest).expect("JSON");
        assert_eq!(manifest["config"]["digest"], sha256(&image.configuration));
        assert_eq!(
            manifest["layers"][1],
            json!({ "mediaType": "application/vnd.docker.image.rootfs.diff.tar", "digest": sha256("dependencies"), "size": 12 })
        );
    }

    #[test]
    fn a_layer_that_is_there_twice_is_sent_once_and_only_if_it_is_missing() {
        let contents = ["base", "program", "base"];
        let image = image(&contents);
        let sent = |known| missing(&image.layers, known).into_iter().map(|layer| layer.size).collect::<Vec<_>>();
        assert_eq!(sent(0), [4, 7]);
        assert_eq!(sent(1), [7, 4]);
        assert_eq!(sent(2), [4]);
        assert!(sent(3).is_empty());
        assert_eq!(written(&image, &contents, 3).len(), 5);
    }

    #[test]
    fn layers_are_reused_only_with_all_those_below() {
        let layers = |names: &[&str]| names.iter().map(sha256).collect::<Vec<_>>();
        let image = chain_ids(&layers(&["a", "b", "c"]));
        let there = |images: &[&[&str]]| images.iter().flat_map(|names| chain_ids(&layers(names))).collect::<HashSet<_>>();
        assert_eq!(known_layers(&image, &there(&[])), 0);
        assert_eq!(known_layers(&image, &there(&[&["a", "x"], &["a", "b", "y"]])), 2);
        assert_eq!(known_layers(&image, &there(&[&["b", "c"], &["c"]])), 0);
        assert_eq!(known_layers(&image, &there(&[&["a", "b", "c"]])), 3);
    }

    #[test]
    fn references_get_their_registry() {
        assert_eq!(full_reference("web:1"), "docker.io/library/web:1");
        assert_eq!(full_reference("team/web:1"), "docker.io/team/web:1");
        assert_eq!(full_reference("ghcr.io/team/web:1"), "ghcr.io/team/web:1");
        assert_eq!(full_reference("localhost/web:1"), "localhost/web:1");
        assert_eq!(full_reference("host:5000/web:1"), "host:5000/web:1");
        assert_eq!(tag("host:5000/web"), "latest");
        assert_eq!(tag("host:5000/web:2"), "2");
    }
}
