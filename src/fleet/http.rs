//! Pages: any URL, from here or through a host, and a container's, from its own host.
#![expect(clippy::disallowed_types, reason = "fleet/ makes requests")]

use std::{
    fmt::Write as _,
    sync::OnceLock,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{HeaderMap, Request, Uri, header};
use hyper_util::rt::TokioIo;
use reqwest::redirect::Policy;
use tokio::time::{error::Elapsed, timeout};

use super::{Connection, Fleet, secrets::Secrets};
use crate::{
    failure::{Failure, FailureKind},
    model::{Host, Text, text::Part},
    op::{HttpGet, HttpResponse, HttpTarget, Notify},
};

/// How much of a body is read.
const BODY_LIMIT: usize = 1 << 20;

/// Gets a page; any status is an answer, none is a failure.
pub async fn get(fleet: &Fleet, op: &HttpGet) -> Result<HttpResponse, Failure> {
    let begin = Instant::now();
    let limit = op.timeout.duration();
    let (what, asked) = match &op.target {
        HttpTarget::Url { url, via } => (url.clone(), ask(fleet, via.as_ref(), url, &HeaderMap::new(), limit).await),
        HttpTarget::Container { host, container, address, port, path } => {
            let connection = fleet.host(host).await?;
            let authority = format!("{address}:{port}");
            let asked = timeout(limit, request(&connection, (address, *port), &authority, path, &HeaderMap::new())).await;
            // How a connection ends to which nobody listens is a matter of chance.
            let silent = |failure: Failure| {
                let told = || Failure::silent(path, container).detail("connection", &failure.message);
                if failure.is_silent { told() } else { failure }
            };
            (format!("{path} of {container}"), asked.map(|asked| asked.map_err(silent)))
        }
    };
    let (code, body) =
        asked.unwrap_or_else(|_| Err(Failure::new(FailureKind::Timeout, format!("{what} did not answer within {}", op.timeout))))?;
    Ok(HttpResponse { code, body: fleet.secrets().redact(&body), seconds: begin.elapsed().as_secs_f64() })
}

/// Gets a page with these headers, from here or through a host; the error outside is that of the time limit.
pub(super) async fn ask(
    fleet: &Fleet,
    via: Option<&Host>,
    url: &str,
    headers: &HeaderMap,
    limit: Duration,
) -> Result<Result<(u16, String), Failure>, Elapsed> {
    match via {
        None => timeout(limit, direct(url, headers, limit)).await,
        Some(host) => timeout(limit, async { through(&*fleet.host(host).await?, url, headers).await }).await,
    }
}

/// Text in a query: whatever has a meaning there is written as its bytes.
pub(super) fn query(text: &str) -> String {
    let mut query = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'~' => query.push(char::from(byte)),
            other => write!(query, "%{other:02X}").expect("a string takes everything"),
        }
    }
    query
}

/// Posts something to a URL; any other answer than a 2xx is a failure. The URL is told without its secrets.
pub async fn post(op: &Notify, secrets: &Secrets) -> Result<(), Failure> {
    let url = secrets.resolve(&op.url)?;
    let payload = payload(op, secrets)?;
    let request = client()?.post(&url).header(header::CONTENT_TYPE.as_str(), &op.media_type).body(payload);
    let sent = request.timeout(op.timeout.duration()).send().await;
    let shown = op.url.to_string();
    let answer = sent.map_err(|error| unreachable(&shown, &error.without_url()))?;
    if answer.status().is_success() {
        return Ok(());
    }
    let failure = Failure::failed(format!("{shown} answered {}", answer.status().as_u16()));
    Err(if answer.status().is_redirection() { failure.hint("give the address that it leads to: nothing is sent on") } else { failure })
}

/// What is posted, with its secrets: in JSON they stand in strings, and are escaped for one.
fn payload(op: &Notify, secrets: &Secrets) -> Result<String, Failure> {
    let mut payload = String::new();
    for part in op.payload.parts() {
        let text = secrets.resolve(&Text::new([part.clone()]))?;
        match part {
            Part::Secret { .. } if op.media_type == Notify::JSON => {
                let quoted = serde_json::Value::from(text).to_string();
                payload.push_str(&quoted[1..quoted.len() - 1]);
            }
            _ => payload.push_str(&text),
        }
    }
    Ok(payload)
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

/// One client for the process. It does not go where an answer sends it: what is posted, and headers that tell who asks, are for one
/// server, and a page that is asked through a host is not followed either. rustls needs its provider before the first handshake.
fn client() -> Result<&'static reqwest::Client, Failure> {
    static CLIENT: OnceLock<Result<reqwest::Client, String>> = OnceLock::new();
    let made = CLIENT.get_or_init(|| {
        // Another part of the process may have installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder().user_agent("podlift").redirect(Policy::none()).build().map_err(|error| error.to_string())
    });
    made.as_ref().map_err(|error| Failure::failed(format!("no HTTP client can be made: {error}")))
}

async fn direct(url: &str, headers: &HeaderMap, limit: Duration) -> Result<(u16, String), Failure> {
    let mut response =
        client()?.get(url).headers(headers.clone()).timeout(limit).send().await.map_err(|error| unreachable(url, &error.without_url()))?;
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(|error| unreachable(url, &error.without_url()))? {
        let room = BODY_LIMIT.saturating_sub(body.len()).min(part.len());
        body.extend_from_slice(&part[..room]);
    }
    Ok((response.status().as_u16(), String::from_utf8_lossy(&body).into_owned()))
}

async fn through(connection: &Connection, url: &str, headers: &HeaderMap) -> Result<(u16, String), Failure> {
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
    request(connection, (host, uri.port_u16().unwrap_or(80)), &authority, path, headers).await
}

async fn request(
    connection: &Connection,
    (address, port): (&str, u16),
    authority: &str,
    path: &str,
    headers: &HeaderMap,
) -> Result<(u16, String), Failure> {
    let url = format!("http://{authority}{path}");
    let stream = connection.tcp(address, port).await?;
    // Behind a connection that the host has let through, it is the page that gives no answer.
    let failed = |error: hyper::Error| Failure { is_silent: true, ..unreachable(&url, &error) };
    let (mut sender, exchange) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let mut request = Request::get(path)
        .header(header::HOST, authority)
        .header(header::USER_AGENT, "podlift")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| Failure::refused(format!("{path:?} is no path: {error}")))?;
    request.headers_mut().extend(headers.clone());
    let exchange = tokio::spawn(exchange);
    let response = sender.send_request(request).await.map_err(failed)?;
    let code = response.status().as_u16();
    let body = Limited::new(response.into_body(), BODY_LIMIT).collect().await;
    exchange.abort();
    let body = body.map_err(|error| unreachable(&url, &*error))?.to_bytes();
    Ok((code, String::from_utf8_lossy(&body).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_no_meaning_of_its_own() {
        assert_eq!(query("a/b:5000?x=1&y"), "a%2Fb%3A5000%3Fx%3D1%26y");
    }

    /// The address of a server that sends whoever asks to another one, where nobody is to come; and that one.
    async fn sending_elsewhere() -> (String, tokio::net::TcpListener) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (first, second) = (tokio::net::TcpListener::bind("127.0.0.1:0").await, tokio::net::TcpListener::bind("127.0.0.1:0").await);
        let (first, second) = (first.expect("a port"), second.expect("a port"));
        let elsewhere = second.local_addr().expect("bound");
        let url = format!("http://{}/", first.local_addr().expect("bound"));
        tokio::spawn(async move {
            let (mut stream, _) = first.accept().await.expect("a request");
            let _ = stream.read(&mut [0; 1024]).await;
            let answer = format!("HTTP/1.1 302 Found\r\nLocation: http://{elsewhere}/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.expect("it is written");
        });
        (url, second)
    }

    #[tokio::test]
    async fn a_page_is_asked_of_one_server_only() {
        for headers in [
            HeaderMap::new(),
            HeaderMap::from_iter([(header::HeaderName::from_static("x-api-key"), header::HeaderValue::from_static("k"))]),
        ] {
            let (url, _elsewhere) = sending_elsewhere().await;
            let (code, _) = direct(&url, &headers, Duration::from_secs(30)).await.expect("an answer");
            assert_eq!(code, 302);
        }
    }

    #[tokio::test]
    async fn what_is_posted_is_not_sent_on() {
        let (url, _elsewhere) = sending_elsewhere().await;
        let op = Notify {
            url: url.as_str().into(),
            payload: "{}".into(),
            media_type: Notify::JSON.into(),
            timeout: crate::model::Period::seconds(30),
        };
        let failure = post(&op, &Secrets::new(|_| None)).await.expect_err("nobody has it");
        assert_eq!(failure.message, format!("{url} answered 302"));
    }

    #[test]
    fn a_secret_in_json_stays_within_its_string() {
        let secrets = Secrets::new(|_| Some("a\"b".into()));
        let key = || Text::new([Part::Plain("{\"key\":\"".into()), Part::Secret { secret: "KEY".into() }, Part::Plain("\"}".into())]);
        let post = |media_type: &str| Notify {
            url: "http://x".into(),
            payload: key(),
            media_type: media_type.into(),
            timeout: crate::model::Period::seconds(1),
        };
        assert_eq!(payload(&post(Notify::JSON), &secrets).expect("set"), r#"{"key":"a\"b"}"#);
        assert_eq!(payload(&post("text/plain"), &secrets).expect("set"), r#"{"key":"a"b"}"#);
    }
}
