//! Pages: any URL, from here or through a host, and a container's, from its own host.
#![expect(clippy::disallowed_types, reason = "fleet/ makes requests")]

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, Uri, header};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use super::{Connection, Fleet, secrets::Secrets};
use crate::{
    failure::{Failure, FailureKind},
    op::{HttpGet, HttpResponse, HttpTarget, Notify},
};

/// How much of a body is read.
const BODY_LIMIT: usize = 1 << 20;

/// Gets a page; any status is an answer, none is a failure.
pub async fn get(fleet: &Fleet, op: &HttpGet) -> Result<HttpResponse, Failure> {
    let begin = Instant::now();
    let limit = op.timeout.duration();
    let (what, asked) = match &op.target {
        HttpTarget::Url { url, via: None } => (url.clone(), timeout(limit, direct(url, limit)).await),
        HttpTarget::Url { url, via: Some(host) } => {
            let connection = fleet.host(host).await?;
            (url.clone(), timeout(limit, through(&connection, url)).await)
        }
        HttpTarget::Container { host, container, address, port, path } => {
            let connection = fleet.host(host).await?;
            (
                format!("{path} of {container}"),
                timeout(limit, request(&connection, address, *port, &format!("{address}:{port}"), path)).await,
            )
        }
    };
    let (code, body) =
        asked.unwrap_or_else(|_| Err(Failure::new(FailureKind::Timeout, format!("{what} did not answer within {}", op.timeout))))?;
    Ok(HttpResponse { code, body: fleet.secrets().redact(&body), seconds: begin.elapsed().as_secs_f64() })
}

/// Posts something to a URL; any other answer than a 2xx is a failure. The URL is told without its secrets.
pub async fn post(op: &Notify, secrets: &Secrets) -> Result<(), Failure> {
    let url = secrets.resolve(&op.url)?;
    let request = client()?.post(&url).header(header::CONTENT_TYPE.as_str(), &op.media_type).body(op.payload.clone());
    let sent = request.timeout(op.timeout.duration()).send().await;
    let shown = op.url.to_string();
    let answer = sent.map_err(|error| unreachable(&shown, &error.without_url()))?;
    if answer.status().is_success() {
        return Ok(());
    }
    Err(Failure::failed(format!("{shown} answered {}", answer.status().as_u16())))
}

/// The outermost error alone says little: what caused it is told too.
fn unreachable(url: &str, error: &dyn std::error::Error) -> Failure {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !words.contains(&text) {
            words = format!("{words}: {text}");
        }
        cause = inner.source();
    }
    Failure::new(FailureKind::Unreachable, format!("{url} did not answer: {words}"))
}

/// One client for the process. rustls needs its provider before the first handshake.
fn client() -> Result<&'static reqwest::Client, Failure> {
    static CLIENT: OnceLock<Result<reqwest::Client, String>> = OnceLock::new();
    let made = CLIENT.get_or_init(|| {
        // Another part of the process may have installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder().user_agent("podlift").build().map_err(|error| error.to_string())
    });
    made.as_ref().map_err(|error| Failure::failed(format!("no HTTP client can be made: {error}")))
}

async fn direct(url: &str, limit: Duration) -> Result<(u16, String), Failure> {
    let mut response = client()?.get(url).timeout(limit).send().await.map_err(|error| unreachable(url, &error.without_url()))?;
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(|error| unreachable(url, &error.without_url()))? {
        let room = BODY_LIMIT.saturating_sub(body.len()).min(part.len());
        body.extend_from_slice(&part[..room]);
    }
    Ok((response.status().as_u16(), String::from_utf8_lossy(&body).into_owned()))
}

async fn through(connection: &Connection, url: &str) -> Result<(u16, String), Failure> {
    let invalid =
        || Failure::refused(format!("{url:?} is no URL that can be asked through a host")).hint("write it as \"http://NAME:PORT/PATH\"");
    let uri: Uri = url.parse().map_err(|_| invalid())?;
    if uri.scheme_str() != Some("http") {
        return Err(Failure::refused(format!("{url} cannot be asked through {}: only http can", connection.host().name))
            .hint("ask it from here, without `via`, or with `hook` and curl on the host"));
    }
    let host = uri.host().ok_or_else(invalid)?;
    let authority = uri.authority().ok_or_else(invalid)?.as_str().to_owned();
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    request(connection, host, uri.port_u16().unwrap_or(80), &authority, path).await
}

async fn request(connection: &Connection, address: &str, port: u16, authority: &str, path: &str) -> Result<(u16, String), Failure> {
    let url = format!("http://{authority}{path}");
    let stream = connection.tcp(address, port).await?;
    let failed = |error: hyper::Error| unreachable(&url, &error);
    let (mut sender, exchange) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let request = Request::get(path)
        .header(header::HOST, authority)
        .header(header::USER_AGENT, "podlift")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| Failure::refused(format!("{path:?} is no path: {error}")))?;
    let exchange = tokio::spawn(exchange);
    let response = sender.send_request(request).await.map_err(failed)?;
    let code = response.status().as_u16();
    let body = Limited::new(response.into_body(), BODY_LIMIT).collect().await;
    exchange.abort();
    let body = body.map_err(|error| unreachable(&url, &*error))?.to_bytes();
    Ok((code, String::from_utf8_lossy(&body).into_owned()))
}
