//! One HTTP/1.1 exchange over a connection that may be kept, and the exact way in which it failed.

use std::io::{self, ErrorKind};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::summary::FailureKind;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a request was not answered as it should have been.
#[derive(Debug)]
pub struct Failure {
    pub kind: FailureKind,
    pub detail: String,
}

impl Failure {
    pub fn new(kind: FailureKind, detail: impl ToString) -> Self {
        Self { kind, detail: detail.to_string() }
    }
}

/// An answer that arrived whole.
pub struct Answer {
    pub status: u16,
    pub body: String,
}

/// A connection to a server.
pub struct Connection {
    stream: TcpStream,
    used: bool,
}

impl Connection {
    pub async fn open(target: &str) -> Result<Self, Failure> {
        match timeout(CONNECT_TIMEOUT, TcpStream::connect(target)).await {
            Ok(Ok(stream)) => {
                // Only latency is at stake, not the outcome.
                let _ = stream.set_nodelay(true);
                Ok(Self { stream, used: false })
            }
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => Err(Failure::new(FailureKind::Refused, error)),
            Ok(Err(error)) => Err(Failure::new(FailureKind::Connect, error)),
            Err(_) => Err(Failure::new(FailureKind::Timeout, "no connection")),
        }
    }

    /// Whether the server has not closed the idle connection, as far as this end can know; the check that hyper makes too.
    pub fn is_open(&self) -> bool {
        self.stream.try_read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// Sends a request and reads its answer. Returns the connection as well if both sides keep it.
    pub async fn exchange(mut self, request: &[u8]) -> Result<(Answer, Option<Self>), Failure> {
        let stale = self.used;
        self.used = true;
        let mut received = Vec::with_capacity(1024);
        let outcome = timeout(ANSWER_TIMEOUT, async {
            self.stream.write_all(request).await?;
            read_answer(&mut self.stream, &mut received).await
        });
        match outcome.await {
            Ok(Ok((answer, keep))) => Ok((answer, keep.then_some(self))),
            Ok(Err(error)) => Err(Failure::new(kind_of(&error, stale, !received.is_empty()), error)),
            Err(_) => Err(Failure::new(FailureKind::Timeout, "no answer")),
        }
    }
}

fn kind_of(error: &io::Error, stale: bool, answered: bool) -> FailureKind {
    match (error.kind(), answered, stale) {
        (ErrorKind::InvalidData, ..) => FailureKind::Other,
        (_, true, _) => FailureKind::Short,
        (ErrorKind::UnexpectedEof, _, true) => FailureKind::EofStale,
        (ErrorKind::UnexpectedEof, _, false) => FailureKind::EofFresh,
        (_, _, true) => FailureKind::ResetStale,
        (_, _, false) => FailureKind::ResetFresh,
    }
}

struct Head {
    length: usize,
    status: u16,
    keep: bool,
    body: Body,
}

enum Body {
    Sized(usize),
    Chunked,
    ToTheEnd,
}

/// Reads an answer; the flag says whether the connection can be used again.
async fn read_answer(stream: &mut TcpStream, received: &mut Vec<u8>) -> io::Result<(Answer, bool)> {
    let head = loop {
        if let Some(head) = parse_head(received)? {
            break head;
        }
        read_some(stream, received).await?;
    };
    match head.body {
        Body::Sized(size) => {
            while received.len() < head.length + size {
                read_some(stream, received).await?;
            }
        }
        // Bodies of this kind are a proxy's error pages: only their end matters.
        Body::Chunked => {
            while !received.ends_with(b"0\r\n\r\n") {
                read_some(stream, received).await?;
            }
        }
        Body::ToTheEnd => while stream.read_buf(received).await? > 0 {},
    }
    let body = String::from_utf8_lossy(&received[head.length..]).into_owned();
    Ok((Answer { status: head.status, body }, head.keep))
}

async fn read_some(stream: &mut TcpStream, received: &mut Vec<u8>) -> io::Result<()> {
    match stream.read_buf(received).await? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

fn parse_head(received: &[u8]) -> io::Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(received).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
    let httparse::Status::Complete(length) = parsed else { return Ok(None) };

    let header = |name: &str| {
        let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.map(|header| String::from_utf8_lossy(header.value).trim().to_ascii_lowercase())
    };
    let body = match header("content-length").map(|value| value.parse()) {
        Some(Ok(size)) => Body::Sized(size),
        Some(Err(error)) => return Err(io::Error::new(ErrorKind::InvalidData, error)),
        None if header("transfer-encoding").is_some_and(|value| value == "chunked") => Body::Chunked,
        None => Body::ToTheEnd,
    };
    let keep = response.version == Some(1) && header("connection").is_none_or(|value| value != "close") && !matches!(body, Body::ToTheEnd);
    Ok(Some(Head { length, status: response.code.unwrap_or(0), keep, body }))
}
