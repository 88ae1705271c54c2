//! What `docker save` wrote, in either of its formats: a folder per layer (graph drivers up to Docker 24), or an OCI layout.

use std::{
    collections::HashMap,
    io::{self, Read},
    sync::Arc,
};

use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::spool::Spool;
use crate::fleet::images::digest_text;

/// The most that a manifest or a configuration may have, in bytes.
const DOCUMENT: u64 = 16 << 20;
/// How many links are followed from one layer's file to the next.
const LINKS: usize = 16;

/// An image in a spool: its configuration, and where its layers are, uncompressed.
pub(super) struct Saved {
    /// The configuration as the engine wrote it; its digest is the image's id on graph drivers.
    pub(super) configuration: Vec<u8>,
    /// The layers, lowest first; the same one may be there twice.
    pub(super) layers: Vec<Layer>,
}

/// A layer's uncompressed archive in a spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layer {
    /// The digest of the uncompressed archive, `sha256:…`.
    pub(super) diff: String,
    /// Where it begins.
    pub(super) start: u64,
    /// Its length.
    pub(super) size: u64,
}

/// Why an archive cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum SavedError {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A document in it is not what it should be.
    #[error("its {0} is not valid: {1}")]
    Document(String, serde_json::Error),
    /// A file is missing.
    #[error("it has no {0}")]
    Missing(String),
    /// Another image is in it.
    #[error("none of the images in it has the layers that the engine lists")]
    OtherImage,
    /// A layer is compressed in a way that cannot be undone here.
    #[error("its layer {0} is compressed with zstd")]
    Zstd(String),
    /// A layer is damaged.
    #[error("its layer {0} has the digest {1}")]
    Damaged(String, String),
}

#[derive(Deserialize)]
struct Listed {
    #[serde(rename = "Config")]
    configuration: String,
    #[serde(rename = "Layers")]
    layers: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Configuration {
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Option<Vec<String>>,
}

impl Saved {
    /// Finds the image with these layers in an archive that fills the spool so far. Compressed layers are unpacked and
    /// added to the spool, so that all are known by the digests that the configuration lists.
    pub(super) fn read(spool: &Arc<Spool>, layers: &[String]) -> Result<Self, SavedError> {
        let files = Files::index(spool)?;
        let listed: Vec<Listed> = files.document("manifest.json")?;
        for image in listed {
            let configuration = files.bytes(&image.configuration)?;
            let parsed: Configuration =
                serde_json::from_slice(&configuration).map_err(|error| SavedError::Document(image.configuration.clone(), error))?;
            let paths = image.layers.unwrap_or_default();
            let diffs = parsed.rootfs.diff_ids.unwrap_or_default();
            if diffs == layers && paths.len() == diffs.len() {
                let layers = files.layers(&diffs, &paths)?;
                return Ok(Self { configuration, layers });
            }
        }
        Err(SavedError::OtherImage)
    }
}

enum Place {
    File { start: u64, size: u64 },
    Link(String),
}

struct Files<'a> {
    spool: &'a Arc<Spool>,
    places: HashMap<String, Place>,
}

impl<'a> Files<'a> {
    fn index(spool: &'a Arc<Spool>) -> Result<Self, SavedError> {
        let mut archive = tar::Archive::new(spool.section(0, spool.len()));
        let mut places = HashMap::new();
        for entry in archive.entries_with_seek()? {
            let entry = entry?;
            let path = plain("", &String::from_utf8_lossy(&entry.path_bytes()));
            let target = entry.link_name_bytes().map(|name| String::from_utf8_lossy(&name).into_owned());
            let kind = entry.header().entry_type();
            let place = match target {
                Some(target) if kind.is_symlink() => {
                    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                    Place::Link(plain(folder, &target))
                }
                Some(target) if kind.is_hard_link() => Place::Link(plain("", &target)),
                _ if kind.is_file() => Place::File { start: entry.raw_file_position(), size: entry.size() },
                _ => continue,
            };
            places.insert(path, place);
        }
        Ok(Self { spool, places })
    }

    fn find(&self, path: &str) -> Result<(u64, u64), SavedError> {
        let mut at = plain("", path);
        for _ in 0..LINKS {
            match self.places.get(&at) {
                Some(Place::File { start, size }) => return Ok((*start, *size)),
                Some(Place::Link(target)) => at.clone_from(target),
                None => break,
            }
        }
        Err(SavedError::Missing(path.into()))
    }

    fn bytes(&self, path: &str) -> Result<Vec<u8>, SavedError> {
        let (start, size) = self.find(path)?;
        let length = usize::try_from(size.min(DOCUMENT)).unwrap_or(usize::MAX);
        Ok(self.spool.read(start, length)?)
    }

    fn document<T: for<'de> Deserialize<'de>>(&self, path: &str) -> Result<T, SavedError> {
        serde_json::from_slice(&self.bytes(path)?).map_err(|error| SavedError::Document(path.into(), error))
    }

    fn layers(&self, diffs: &[String], paths: &[String]) -> Result<Vec<Layer>, SavedError> {
        let mut unpacked: HashMap<&str, Layer> = HashMap::new();
        let mut layers = Vec::with_capacity(diffs.len());
        for (diff, path) in diffs.iter().zip(paths) {
            let layer = match unpacked.get(diff.as_str()) {
                Some(layer) => layer.clone(),
                None => self.layer(diff, path)?,
            };
            unpacked.insert(diff, layer.clone());
            layers.push(layer);
        }
        Ok(layers)
    }

    fn layer(&self, diff: &str, path: &str) -> Result<Layer, SavedError> {
        let (start, size) = self.find(path)?;
        let mut magic = [0; 4];
        let known = self.spool.section(start, size).read(&mut magic)?;
        match &magic[..known] {
            [0x1f, 0x8b, ..] => self.unpack(diff, start, size),
            [0x28, 0xb5, 0x2f, 0xfd] => Err(SavedError::Zstd(diff.into())),
            _ => Ok(Layer { diff: diff.into(), start, size }),
        }
    }

    /// Unpacks a gzipped layer to the spool's end. Nobody else writes to the spool meanwhile.
    fn unpack(&self, diff: &str, start: u64, size: u64) -> Result<Layer, SavedError> {
        let mut reader = MultiGzDecoder::new(self.spool.section(start, size));
        let mut layer = Layer { diff: diff.into(), start: self.spool.len(), size: 0 };
        let mut digest = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        loop {
            let count = reader.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            digest.update(&buffer[..count]);
            self.spool.append(&buffer[..count])?;
            layer.size += count as u64;
        }
        let is = digest_text(&digest.finalize());
        if is == diff { Ok(layer) } else { Err(SavedError::Damaged(diff.into(), is)) }
    }
}

/// A path without `.`, `..` and doubled slashes, relative to the archive's root.
fn plain(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;
    use crate::fleet::images::sha256;

    /// A layer's archive with one file of this content.
    pub(in crate::fleet::ship) fn layer(content: &[u8]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        append(&mut builder, "data", content);
        builder.into_inner().expect("an archive")
    }

    fn append(builder: &mut tar::Builder<Vec<u8>>, path: &str, content: &[u8]) {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, content).expect("appended");
    }

    fn configuration(layers: &[Vec<u8>]) -> Vec<u8> {
        let diffs: Vec<String> = layers.iter().map(sha256).collect();
        serde_json::to_vec(
            &serde_json::json!({ "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": diffs } }),
        )
        .expect("plain data")
    }

    /// The format of graph drivers: a folder per layer, the same layer's second folder a link to the first.
    pub(in crate::fleet::ship) fn classic(layers: &[Vec<u8>]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut paths = Vec::new();
        let mut first: HashMap<&[u8], usize> = HashMap::new();
        for (number, layer) in layers.iter().enumerate() {
            let path = format!("{number}/layer.tar");
            if let Some(before) = first.get(layer.as_slice()) {
                let mut header = tar::Header::new_gnu();
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                builder.append_link(&mut header, &path, format!("../{before}/layer.tar")).expect("appended");
            } else {
                append(&mut builder, &path, layer);
                first.insert(layer, number);
            }
            paths.push(path);
        }
        append(&mut builder, "image.json", &configuration(layers));
        let manifest = serde_json::json!([{ "Config": "image.json", "RepoTags": null, "Layers": paths }]);
        append(&mut builder, "manifest.json", manifest.to_string().as_bytes());
        builder.into_inner().expect("an archive")
    }

    /// An OCI layout with a `manifest.json`, as newer engines write it; those of the containerd store have gzipped layers.
    pub(in crate::fleet::ship) fn layout(layers: &[Vec<u8>], gzipped: bool) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut paths = Vec::new();
        for layer in layers {
            let blob = if gzipped { gzip(layer) } else { layer.clone() };
            let path = format!("blobs/sha256/{}", &sha256(&blob)["sha256:".len()..]);
            if !paths.contains(&path) {
                append(&mut builder, &path, &blob);
            }
            paths.push(path);
        }
        let configuration = configuration(layers);
        let config = format!("blobs/sha256/{}", &sha256(&configuration)["sha256:".len()..]);
        append(&mut builder, &config, &configuration);
        append(&mut builder, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
        let other = self::configuration(&[b"another platform's".to_vec()]);
        append(&mut builder, "other.json", &other);
        let manifest = serde_json::json!([
            { "Config": "other.json", "RepoTags": null, "Layers": ["nowhere"] },
            { "Config": config, "RepoTags": ["a:1"], "Layers": paths },
        ]);
        append(&mut builder, "manifest.json", manifest.to_string().as_bytes());
        builder.into_inner().expect("an archive")
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).expect("written");
        encoder.finish().expect("finished")
    }

    fn spooled(archive: &[u8]) -> Arc<Spool> {
        let spool = Arc::new(Spool::new(&std::env::temp_dir()).expect("a spool"));
        spool.append(archive).expect("written");
        spool
    }

    fn contents(spool: &Spool, saved: &Saved) -> Vec<Vec<u8>> {
        saved.layers.iter().map(|layer| spool.read(layer.start, usize::try_from(layer.size).expect("small")).expect("read")).collect()
    }

    #[test]
    fn all_formats_give_the_same_layers() {
        let layers = [layer(b"base"), layer(b"dependencies"), layer(b"base"), layer(b"program")];
        let diffs: Vec<String> = layers.iter().map(sha256).collect();
        for archive in [classic(&layers), layout(&layers, false), layout(&layers, true)] {
            let spool = spooled(&archive);
            let saved = Saved::read(&spool, &diffs).expect("an image");
            assert_eq!(saved.configuration, configuration(&layers));
            assert_eq!(saved.layers.iter().map(|layer| layer.diff.clone()).collect::<Vec<_>>(), diffs);
            assert_eq!(contents(&spool, &saved), layers);
        }
    }

    #[test]
    fn an_image_without_layers_is_read() {
        let spool = spooled(&classic(&[]));
        assert!(Saved::read(&spool, &[]).expect("an image").layers.is_empty());
    }

    #[test]
    fn another_image_is_noticed() {
        let spool = spooled(&classic(&[layer(b"base")]));
        assert!(matches!(Saved::read(&spool, &["sha256:x".into()]), Err(SavedError::OtherImage)));
    }

    #[test]
    fn a_damaged_layer_is_noticed() {
        let wrong = gzip(b"something else");
        let mut builder = tar::Builder::new(Vec::new());
        append(&mut builder, "layer", &wrong);
        append(&mut builder, "c", &configuration(&[b"what it should be".to_vec()]));
        append(&mut builder, "manifest.json", br#"[{"Config":"c","Layers":["layer"]}]"#);
        let spool = spooled(&builder.into_inner().expect("an archive"));
        assert!(matches!(Saved::read(&spool, &[sha256("what it should be")]), Err(SavedError::Damaged(..))));
    }

    #[test]
    fn hostile_archives_are_errors() {
        let link = |target: &str| {
            let mut builder = tar::Builder::new(Vec::new());
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            builder.append_link(&mut header, "manifest.json", target).expect("appended");
            builder.into_inner().expect("an archive")
        };
        for archive in
            [Vec::new(), vec![7; 4096], link("manifest.json"), link("../../../etc/passwd"), classic(&[layer(b"x")])[..1000].to_vec()]
        {
            assert!(Saved::read(&spooled(&archive), &[sha256(layer(b"x"))]).is_err());
        }
    }
}
