//! Exporting an image once, for as many hosts as want it.
#![expect(clippy::disallowed_types, reason = "fleet/ speaks to engines")]

use std::{
    collections::HashMap,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
    time::Duration,
};

use bollard::Docker;
use flate2::{Compression, bufread::GzEncoder};
use futures_util::StreamExt;
use tokio::io::{AsyncWriteExt, BufWriter};

use super::{
    saved::{Layer, Saved, SavedError},
    spool::Spool,
};
use crate::{
    executor::Progress,
    failure::{Failure, FailureKind},
    fleet::images::engine_failure,
    model::{Bytes, HostName},
};

/// How much of a layer is compressed at once.
const CHUNK: u64 = 1 << 20;
/// How long an engine may say nothing: those before Docker 25 write the whole archive to their own disk first.
const SILENCE: Duration = Duration::from_secs(600);

/// An image that an engine has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Source {
    /// The engine's host.
    pub(super) host: HostName,
    /// What the engine calls the image: tags can be moved meanwhile, ids cannot.
    pub(super) id: String,
    /// Its layers' uncompressed digests, lowest first.
    pub(super) layers: Vec<String>,
    /// What people call it.
    pub(super) reference: String,
}

/// The exports of a run. Those in use are shared, and the last one is kept for the next batch of hosts.
pub struct Exports {
    folder: PathBuf,
    known: Mutex<HashMap<Source, Slot>>,
    last: Mutex<Option<Arc<Export>>>,
}

type Slot = Arc<tokio::sync::Mutex<Weak<Export>>>;

impl Exports {
    /// Exports that are spooled in nameless files on the disk of `folder`.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, known: Mutex::default(), last: Mutex::default() }
    }

    /// The export of an image, made if there is none. Whoever asks meanwhile waits for it.
    pub(super) async fn get(&self, docker: &Docker, source: &Source, progress: &dyn Progress) -> Result<Arc<Export>, Failure> {
        let slot = Arc::clone(self.known.lock().unwrap_or_else(PoisonError::into_inner).entry(source.clone()).or_default());
        let mut slot = slot.lock().await;
        if let Some(export) = slot.upgrade() {
            return Ok(export);
        }
        let export = Arc::new(Export::make(docker, source, &self.folder, progress).await?);
        *slot = Arc::downgrade(&export);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&export));
        Ok(export)
    }
}

/// An exported image: its layers, and their compressed chunks as they become known.
pub(super) struct Export {
    pub(super) image: Saved,
    spool: Arc<Spool>,
    packed: HashMap<String, Vec<OnceLock<Packed>>>,
}

/// Where a chunk's compressed form is, or why there is none.
type Packed = Result<(u64, usize), String>;

impl Export {
    async fn make(docker: &Docker, source: &Source, folder: &Path, progress: &dyn Progress) -> Result<Self, Failure> {
        let unusable = |error: SavedError| {
            let zstd = matches!(error, SavedError::Zstd(_));
            let failure = Failure::failed(format!("the export of {} cannot be used: {error}", source.reference)).on(&source.host);
            if zstd {
                failure.hint("Build the image with gzipped or uncompressed layers, or put it on the hosts through a registry.")
            } else {
                failure
            }
        };
        let spool = std::fs::create_dir_all(folder).and_then(|()| Spool::new(folder)).map_err(|error| no_room(folder, &error))?;
        fill(&spool, docker, source, folder, progress).await?;
        let layers = source.layers.clone();
        let (spool, image) = tokio::task::spawn_blocking(move || {
            let spool = Arc::new(spool);
            Saved::read(&spool, &layers).map(|image| (spool, image))
        })
        .await
        .map_err(|_| Failure::failed("the reader of the exported image ended unexpectedly"))?
        .map_err(unusable)?;
        Ok(Self::new(spool, image))
    }

    pub(super) fn new(spool: Arc<Spool>, image: Saved) -> Self {
        let empty = |layer: &Layer| (0..layer.size.div_ceil(CHUNK)).map(|_| OnceLock::new()).collect();
        let packed = image.layers.iter().map(|layer| (layer.diff.clone(), empty(layer))).collect();
        Self { image, spool, packed }
    }

    /// The chunks of a layer in order, each a gzip stream of its own with its length before compression: streams one behind the
    /// other are a valid whole (RFC 1952, section 2.2). Each is compressed once, however many hosts it goes to. Blocks.
    pub(super) fn chunks<'a>(&'a self, layer: &'a Layer) -> impl Iterator<Item = io::Result<(Vec<u8>, u64)>> + 'a {
        let chunks = self.packed.get(&layer.diff).map(Vec::as_slice).unwrap_or_default();
        chunks.iter().enumerate().map(move |(number, chunk)| {
            let offset = number as u64 * CHUNK;
            let length = CHUNK.min(layer.size - offset);
            let packed = chunk.get_or_init(|| self.pack(layer.start + offset, length).map_err(|error| error.to_string()));
            let (start, size) = packed.as_ref().map_err(|words| io::Error::other(words.clone()))?;
            Ok((self.spool.read(*start, *size)?, length))
        })
    }

    #[cfg(test)]
    pub(super) fn spooled(&self) -> u64 {
        self.spool.len()
    }

    fn pack(&self, start: u64, length: u64) -> io::Result<(u64, usize)> {
        let plain = self.spool.read(start, usize::try_from(length).map_err(io::Error::other)?)?;
        let packed = gzip(&plain)?;
        Ok((self.spool.append(&packed)?, packed.len()))
    }
}

/// Compresses quickly: the network is waiting.
pub(super) fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut packed = Vec::with_capacity(bytes.len() / 2);
    GzEncoder::new(bytes, Compression::fast()).read_to_end(&mut packed)?;
    Ok(packed)
}

async fn fill(spool: &Spool, docker: &Docker, source: &Source, folder: &Path, progress: &dyn Progress) -> Result<(), Failure> {
    let what = format!("exporting {}", source.reference);
    progress.doing(&what);
    progress.sent(source.host.as_str(), &format!("GET /images/{}/get", source.id));
    let mut archive = docker.clone().with_timeout(SILENCE).export_image(&source.id);
    let mut file = BufWriter::with_capacity(1 << 20, spool.writer().map_err(|error| no_room(folder, &error))?);
    let mut written = 0u64;
    loop {
        let Ok(next) = tokio::time::timeout(SILENCE, archive.next()).await else {
            let message = format!("the engine stopped exporting {} for {} s", source.reference, SILENCE.as_secs());
            return Err(Failure::new(FailureKind::Timeout, message).on(&source.host));
        };
        let Some(bytes) = next else { break };
        let bytes =
            bytes.map_err(|error| engine_failure(&format!("the engine did not export {}", source.reference), &error).on(&source.host))?;
        file.write_all(&bytes).await.map_err(|error| no_room(folder, &error))?;
        let before = written >> 24;
        written += bytes.len() as u64;
        if written >> 24 != before {
            progress.doing(&format!("{what}, {}", Bytes(written)));
        }
    }
    file.flush().await.map_err(|error| no_room(folder, &error))?;
    spool.filled(written);
    Ok(())
}

fn no_room(folder: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("the exported image could not be written to {}: {error}", folder.display()))
        .hint("An export needs as much room there as the image has uncompressed.")
}
