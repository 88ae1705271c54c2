//! Registries, as an engine reaches them.
//!
//! The engine itself pushes, pulls and asks, so its own proxies, certificates and insecure registries count. Credentials go with
//! each request, in its header, and nothing is written down on the host.

use std::{fmt::Write as _, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Method, Request, Response, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::UnixStream, time::timeout};

use super::Connection;
use crate::{
    executor::Progress,
    failure::{Failure, FailureKind},
};

/// How long a registry may say nothing.
const SILENCE: Duration = Duration::from_secs(120);

/// The most that is read of one line, or of an answer that is no stream.
const LINE_LIMIT: usize = 1 << 20;

/// Pulls an image, `NAME:TAG` or `NAME@DIGEST`.
pub async fn pull(connection: &Connection, reference: &str, progress: &dyn Progress) -> Result<(), Failure> {
    let (name, tag) = split(reference);
    let path = format!("/images/create?fromImage={}&tag={}", query(name), query(tag));
    let what = format!("{reference} could not be pulled on {}", connection.host().name);
    progress.sent(connection.host().name.as_str(), &format!("POST {path}"));
    progress.doing(&format!("pulling {reference}"));
    follow(call(connection, &Method::POST, &path, &what).await?, &what).await
}

/// A reference's name, and its digest or tag.
fn split(reference: &str) -> (&str, &str) {
    if let Some((name, digest)) = reference.split_once('@') {
        return (name, digest);
    }
    match reference.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (reference, "latest"),
    }
}

/// Text in a query: whatever has a meaning there is written as its bytes.
fn query(text: &str) -> String {
    let mut query = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'~' => query.push(char::from(byte)),
            other => write!(query, "%{other:02X}").expect("a string takes everything"),
        }
    }
    query
}

/// One call of the engine's API, in the version that the engine prefers.
async fn call(connection: &Connection, method: &Method, path: &str, what: &str) -> Result<Response<Incoming>, Failure> {
    let lost = |error: &dyn std::fmt::Display| Failure::new(FailureKind::Unreachable, what).detail("the engine", error.to_string());
    let socket = connection.docker_socket().await?;
    let stream = UnixStream::connect(socket).await.map_err(|error| lost(&error))?;
    let (mut sender, exchange) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| lost(&error))?;
    tokio::spawn(exchange);
    let request = Request::builder().method(method).uri(path).header("Host", "docker").body(Empty::<Bytes>::new());
    let request = request.map_err(|error| Failure::failed(what).detail("the request", error.to_string()))?;
    let answer = timeout(SILENCE, sender.send_request(request)).await.map_err(|_| silent(what))?.map_err(|error| lost(&error))?;
    if answer.status().is_success() {
        return Ok(answer);
    }
    Err(refusal(what, &message(&whole(answer, what).await?)))
}

fn silent(what: &str) -> Failure {
    Failure::new(FailureKind::Timeout, format!("{what}: nothing was heard for {} s", SILENCE.as_secs()))
}

/// What the engine said, with what to do about it where that is known.
fn refusal(what: &str, words: &str) -> Failure {
    let failure = Failure::failed(what).detail("the engine said", words);
    let lower = words.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if says(&["manifest unknown", "not found"]) {
        return failure.hint("look at its name and tag: the registry does not have it; `push` puts an image there");
    }
    if says(&["unauthorized", "denied", "no basic auth", "authentication required"]) {
        return failure
            .hint("give the registry the right `username` and `password`: registry(address, #{ username: …, password: secret(…) })");
    }
    if says(&["http response to https client", "x509"]) {
        return failure
            .hint("the engine wants TLS that it trusts: name the registry in its `insecure-registries`, or install its certificate");
    }
    failure
}

/// The engine's message in an answer that is JSON, else the answer itself.
fn message(answer: &[u8]) -> String {
    let json: Option<Value> = serde_json::from_slice(answer).ok();
    let words = json.as_ref().and_then(|json| json["message"].as_str().map(str::to_owned));
    words.unwrap_or_else(|| String::from_utf8_lossy(answer).trim().to_owned())
}

async fn whole(mut answer: Response<Incoming>, what: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    while let Some(frame) = timeout(SILENCE, answer.body_mut().frame()).await.map_err(|_| silent(what))? {
        let frame = frame.map_err(|error| Failure::new(FailureKind::Unreachable, what).detail("the engine", error.to_string()))?;
        if let Ok(data) = frame.into_data()
            && bytes.len() < LINE_LIMIT
        {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}

/// Reads the lines of a push or pull to their end: a success is known only there.
async fn follow(mut answer: Response<Incoming>, what: &str) -> Result<(), Failure> {
    let mut rest: Vec<u8> = Vec::new();
    while let Some(frame) = timeout(SILENCE, answer.body_mut().frame()).await.map_err(|_| silent(what))? {
        let frame = frame.map_err(|error| Failure::new(FailureKind::Unreachable, what).detail("the engine", error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        rest.extend_from_slice(&data);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            complaint(&line, what)?;
        }
        rest.truncate(LINE_LIMIT);
    }
    complaint(&rest, what)
}

/// The error that a line of the stream is, if it is one.
fn complaint(line: &[u8], what: &str) -> Result<(), Failure> {
    let json: Option<Value> = serde_json::from_slice(line).ok();
    let words = json.as_ref().and_then(|json| json["errorDetail"]["message"].as_str().or_else(|| json["error"].as_str()));
    words.map_or(Ok(()), |words| Err(refusal(what, words)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_a_name_and_a_tag_or_digest() {
        assert_eq!(split("localhost:5000/shop/web:v2"), ("localhost:5000/shop/web", "v2"));
        assert_eq!(split("localhost:5000/web"), ("localhost:5000/web", "latest"));
        assert_eq!(split("postgres:16@sha256:ab"), ("postgres:16", "sha256:ab"));
        assert_eq!(query("a/b:5000?x=1&y"), "a%2Fb%3A5000%3Fx%3D1%26y");
    }

    #[test]
    fn an_error_in_the_stream_is_an_error() {
        complaint(br#"{"status":"Pulling"}"#, "x").expect("no error");
        complaint(b"", "x").expect("no error");
        let failure = complaint(br#"{"errorDetail":{"message":"manifest unknown"},"error":"manifest unknown"}"#, "x could not be pulled");
        let failure = failure.expect_err("an error");
        assert!(failure.details[0].text == "manifest unknown" && failure.hints[0].contains("`push`"), "{failure:?}");
    }
}
