//! Streaming an archive into a host's engine.
#![expect(clippy::disallowed_types, reason = "fleet/ speaks to engines")]

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bollard::{Docker, query_parameters::ImportImageOptionsBuilder};
use futures_util::{Stream, StreamExt, stream};
use hyper::body::Bytes;
use tokio::sync::mpsc;

use super::{
    archive::Piece,
    export::{Export, gzip},
};
use crate::{
    executor::Progress,
    failure::{Failure, FailureKind},
    fleet::images::engine_failure,
};

/// How long neither a byte may leave nor the engine say anything.
const SILENCE: Duration = Duration::from_secs(600);
/// The longest that one load may take.
const LONGEST: Duration = Duration::from_secs(4 * 3600);
/// How often progress is told.
const TICK: Duration = Duration::from_millis(100);

/// How far a stream is.
#[derive(Default)]
struct Count {
    /// Bytes on the wire.
    sent: AtomicU64,
    /// What they are before compression.
    plain: AtomicU64,
}

/// Loads an archive into an engine and returns the bytes on the wire. That the engine has no error does not mean that it has
/// the image.
pub(super) async fn send(
    docker: &Docker,
    export: &Arc<Export>,
    pieces: Vec<Piece>,
    reference: &str,
    progress: &dyn Progress,
) -> Result<u64, Failure> {
    let total = pieces.iter().map(Piece::len).sum();
    let count = Arc::new(Count::default());
    let archive = packed(Arc::clone(export), pieces, Arc::clone(&count));
    let options = ImportImageOptionsBuilder::default().build();
    let mut answers = docker.clone().with_timeout(LONGEST).import_image_stream(options, archive, None);
    let mut tick = tokio::time::interval(TICK);
    let mut heard = (Instant::now(), 0);
    loop {
        tokio::select! {
            answer = answers.next() => match answer {
                None => break,
                Some(Ok(_)) => heard.0 = Instant::now(),
                Some(Err(error)) => return Err(engine_failure(&format!("the engine did not load {reference}"), &error)),
            },
            _ = tick.tick() => {
                let sent = count.sent.load(Ordering::Relaxed);
                if sent != heard.1 {
                    heard = (Instant::now(), sent);
                    progress.bytes("sending", count.plain.load(Ordering::Relaxed), total);
                }
                if heard.0.elapsed() > SILENCE {
                    let message = format!("Loading {reference} stood still for {} s", SILENCE.as_secs());
                    return Err(Failure::new(FailureKind::Timeout, message));
                }
            }
        }
    }
    progress.bytes("sending", total, total);
    Ok(count.sent.load(Ordering::Relaxed))
}

/// The archive as gzip. It is compressed on a thread of its own, which ends when nobody reads any more.
fn packed(export: Arc<Export>, pieces: Vec<Piece>, count: Arc<Count>) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let (sender, receiver) = mpsc::channel(4);
    tokio::task::spawn_blocking(move || {
        for packet in packets(&export, &pieces) {
            let failed = packet.is_err();
            if sender.blocking_send(packet).is_err() || failed {
                return;
            }
        }
    });
    stream::unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|packet| (packet, receiver)) }).map(move |packet| {
        packet.map(|(bytes, plain): (Vec<u8>, u64)| {
            count.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            count.plain.fetch_add(plain, Ordering::Relaxed);
            Bytes::from(bytes)
        })
    })
}

type Packets<'a> = Box<dyn Iterator<Item = io::Result<(Vec<u8>, u64)>> + 'a>;

/// Compressed bytes with their length before compression.
fn packets<'a>(export: &'a Export, pieces: &'a [Piece]) -> impl Iterator<Item = io::Result<(Vec<u8>, u64)>> + 'a {
    pieces.iter().flat_map(|piece| -> Packets<'a> {
        match piece {
            Piece::Bytes(bytes) => Box::new(std::iter::once_with(|| Ok((gzip(bytes)?, bytes.len() as u64)))),
            Piece::Layer(layer) => Box::new(export.chunks(layer)),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::MultiGzDecoder;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::UnixListener,
    };

    use super::{
        super::{
            archive::pieces,
            saved::{
                Saved,
                tests::{classic, layer},
            },
            spool::Spool,
        },
        *,
    };
    use crate::{executor::event::Discard, fleet::images::sha256};

    fn export(layers: &[Vec<u8>]) -> Export {
        let spool = Arc::new(Spool::new(&std::env::temp_dir()).expect("a spool"));
        spool.append(&classic(layers)).expect("written");
        let diffs: Vec<String> = layers.iter().map(sha256).collect();
        let image = Saved::read(&spool, &diffs).expect("an image");
        Export::new(spool, image)
    }

    fn wire(export: &Export, known: usize) -> Vec<u8> {
        packets(export, &pieces(&export.image, "a:1", known)).flat_map(|packet| packet.expect("packed").0).collect()
    }

    fn unpacked(wire: &[u8]) -> Vec<Vec<u8>> {
        let mut archive = tar::Archive::new(MultiGzDecoder::new(wire));
        archive
            .entries()
            .expect("an archive")
            .map(|entry| {
                let mut content = Vec::new();
                entry.expect("an entry").read_to_end(&mut content).expect("read");
                content
            })
            .collect()
    }

    #[test]
    fn what_goes_over_the_wire_unpacks_to_the_layers() {
        let noise: Vec<u8> = (0..2_500_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let layers = [layer(b"base"), layer(&noise), layer(b"program")];
        let export = export(&layers);
        assert_eq!(unpacked(&wire(&export, 0))[3..6], layers);
        assert_eq!(unpacked(&wire(&export, 2))[3], layers[2]);
        assert!(wire(&export, 2).len() < 3000, "{}", wire(&export, 2).len());
    }

    #[test]
    fn a_layer_is_compressed_once_for_all_hosts() {
        let layers = [layer(&vec![7; 3 << 20])];
        let export = Arc::new(export(&layers));
        let wires: Vec<Vec<u8>> = std::thread::scope(|scope| {
            let hosts: Vec<_> = (0..4).map(|_| scope.spawn(|| wire(&export, 0))).collect();
            hosts.into_iter().map(|host| host.join().expect("no panic")).collect()
        });
        let spooled = export.spooled();
        assert!(wires.windows(2).all(|pair| pair[0] == pair[1]));
        assert_eq!(wire(&export, 0), wires[0]);
        assert_eq!(export.spooled(), spooled);
        assert_eq!(unpacked(&wires[0])[3], layers[0]);
    }

    #[tokio::test]
    async fn progress_counts_what_has_left() {
        let layers = [layer(&vec![7; 3 << 20])];
        let export = Arc::new(export(&layers));
        let pieces = pieces(&export.image, "a:1", 0);
        let total: u64 = pieces.iter().map(Piece::len).sum();
        let count = Arc::new(Count::default());
        let packets: Vec<io::Result<Bytes>> = packed(export, pieces, Arc::clone(&count)).collect().await;
        let sent: usize = packets.iter().map(|packet| packet.as_ref().expect("packed").len()).sum();
        assert_eq!(count.sent.load(Ordering::Relaxed), sent as u64);
        assert_eq!(count.plain.load(Ordering::Relaxed), total);
    }

    /// Sends 20 MB to an engine that reads a little, says this and closes the connection.
    async fn sent_to(said: &'static str) -> Failure {
        let noise: Vec<u8> = (0..5_000_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).rotate_left(n % 31).to_le_bytes()).collect();
        let export = Arc::new(export(&[layer(&noise)]));
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("docker.sock");
        let listener = UnixListener::bind(&socket).expect("a socket");
        let engine = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut buffer = vec![0; 100_000];
            let _ = stream.read(&mut buffer).await;
            stream.write_all(said.as_bytes()).await.expect("said");
            tokio::time::sleep(Duration::from_millis(300)).await;
        });
        let docker = Docker::connect_with_unix(socket.to_str().expect("text"), 10, bollard::API_DEFAULT_VERSION).expect("a socket");
        let pieces = pieces(&export.image, "a:1", 0);
        let sending = send(&docker, &export, pieces, "a:1", &Discard);
        let failure = tokio::time::timeout(Duration::from_secs(20), sending).await.expect("in time").expect_err("not loaded");
        engine.await.expect("no panic");
        failure
    }

    #[tokio::test]
    async fn an_engine_that_refuses_in_the_middle_is_heard() {
        let failure = sent_to("HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\nContent-Length: 37\r\nConnection: close\r\n\r\n{\"message\":\"no space left on device\"}").await;
        assert_eq!(failure.kind, FailureKind::Failed);
        assert_eq!(failure.details[0].text, "no space left on device");
        let failure = sent_to("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{\"errorDetail\":{\"message\":\"bad layer\"},\"error\":\"bad layer\"}\r\n").await;
        assert_eq!(failure.details[0].text, "bad layer");
    }

    #[tokio::test]
    async fn a_connection_that_breaks_is_not_an_answer() {
        assert_eq!(sent_to("").await.kind, FailureKind::Unreachable);
    }
}
