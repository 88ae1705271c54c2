//! GET requests: to containers and from hosts through their connections, and to any URL from the operator's machine.
#![expect(clippy::disallowed_types, reason = "fleet/ makes requests")]

use std::{
    error::Error,
    sync::{Once, OnceLock},
    time::{Duration, Instant},
};

use http_body_util::{BodyExt, Empty};
use hyper::{Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use super::{Connection, Fleet, connection::OUTPUT_LIMIT};
use crate::{
    failure::{Failure, FailureKind},
    op::{HttpGet, HttpResponse, HttpTarget},
};

/// Gets a page; any status code is an answer.
pub async fn get(fleet: &Fleet, op: &HttpGet) -> Result<HttpResponse, Failure> {
    let patience = op.timeout.duration();
    match &op.target {
        HttpTarget::Url { url, via: None } => from_here(url, patience).await,
        HttpTarget::Url { url, via: Some(host) } => {
            let connection = fleet.host(host).await?;
            let page = Page::parse(url).map_err(|reason| Failure::refused(format!("{url} cannot be got via {}: {reason}", host.name)))?;
            let answer = page.get(&connection, patience).await;
            answer.map_err(|reason| no_answer(url, patience, reason).on(&host.name))
        }
        HttpTarget::Container { host, container, address, port, path } => {
            let connection = fleet.host(host).await?;
            let page = Page::of(address, *port, path);
            let answer = page.get(&connection, patience).await;
            answer.map_err(|reason| no_answer(&format!("{path} of {container}"), patience, reason).on(&host.name))
        }
    }
}

/// Why there was no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// It took too long.
    Late,
    /// The connection failed, in the words of whoever said so.
    Broken(String),
}

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Late => formatter.write_str("no answer in time"),
            Self::Broken(reason) => formatter.write_str(reason),
        }
    }
}

fn no_answer(what: &str, patience: Duration, reason: NoAnswer) -> Failure {
    match reason {
        NoAnswer::Late => Failure::new(FailureKind::Timeout, format!("{what} did not answer within {} s", patience.as_secs_f64())),
        NoAnswer::Broken(reason) => Failure::new(FailureKind::Unreachable, format!("{what} did not answer: {reason}")),
    }
}

/// A page that is got through a host's connection, without TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    address: String,
    port: u16,
    host: String,
    path: String,
}

impl Page {
    /// A path of what listens on this address of the host.
    pub fn of(address: &str, port: u16, path: &str) -> Self {
        let address = reachable(address);
        let host = if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") };
        Self { address: address.to_owned(), port, host, path: path.to_owned() }
    }

    /// Reads an `http://` URL.
    fn parse(url: &str) -> Result<Self, String> {
        let uri: hyper::Uri = url.parse().map_err(|_| "it is no URL")?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err("https goes only from the operator's machine; leave `via` out, or use http".into()),
            _ => return Err("it does not begin with http://".into()),
        }
        let address = uri.host().ok_or("it names no host")?.trim_matches(['[', ']']).to_owned();
        let host = uri.authority().map(|authority| authority.host().to_owned()).unwrap_or_default();
        let port = uri.port_u16();
        let host = port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { address, port: port.unwrap_or(80), host, path })
    }

    /// Gets it, within `patience`; at most 1 MB of the body is kept.
    pub async fn get(&self, connection: &Connection, patience: Duration) -> Result<HttpResponse, NoAnswer> {
        timeout(patience, self.try_get(connection)).await.unwrap_or(Err(NoAnswer::Late))
    }

    async fn try_get(&self, connection: &Connection) -> Result<HttpResponse, NoAnswer> {
        let began = Instant::now();
        let broken = |error: hyper::Error| NoAnswer::Broken(with_cause(&error));
        let stream = connection.tcp(&self.address, self.port).await.map_err(|failure| NoAnswer::Broken(failure.message))?;
        let (mut sender, driver) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let request = Request::get(&self.path)
            .header("host", &self.host)
            .header("user-agent", "podlift")
            .header("connection", "close")
            .body(Empty::<Bytes>::new())
            .map_err(|error| NoAnswer::Broken(format!("the path is not valid: {error}")))?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(broken)?;
            let code = response.status().as_u16();
            let mut body = response.into_body();
            let mut kept = Vec::new();
            while kept.len() < OUTPUT_LIMIT
                && let Some(frame) = body.frame().await
            {
                if let Some(data) = frame.map_err(broken)?.data_ref() {
                    kept.extend_from_slice(&data[..data.len().min(OUTPUT_LIMIT - kept.len())]);
                }
            }
            Ok(HttpResponse { code, body: String::from_utf8_lossy(&kept).into_owned(), seconds: began.elapsed().as_secs_f64() })
        };
        tokio::pin!(exchange);
        tokio::pin!(driver);
        // The driver ends first where the server closes before the body was read from its buffer.
        tokio::select! {
            biased;
            answer = &mut exchange => answer,
            _ = &mut driver => exchange.await,
        }
    }
}

/// Where a container that publishes on all addresses can be reached from its host.
pub fn reachable(address: &str) -> &str {
    match address {
        "" | "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        address => address,
    }
}

/// Gets any URL from the operator's machine, with its system's certificates.
async fn from_here(url: &str, patience: Duration) -> Result<HttpResponse, Failure> {
    let began = Instant::now();
    let exchange = async {
        let mut response = client()?.get(url).send().await.map_err(|error| NoAnswer::Broken(with_cause(&error.without_url())))?;
        let code = response.status().as_u16();
        let mut kept = Vec::new();
        while kept.len() < OUTPUT_LIMIT
            && let Some(piece) = response.chunk().await.map_err(|error| NoAnswer::Broken(with_cause(&error.without_url())))?
        {
            kept.extend_from_slice(&piece[..piece.len().min(OUTPUT_LIMIT - kept.len())]);
        }
        Ok(HttpResponse { code, body: String::from_utf8_lossy(&kept).into_owned(), seconds: began.elapsed().as_secs_f64() })
    };
    timeout(patience, exchange).await.unwrap_or(Err(NoAnswer::Late)).map_err(|reason| no_answer(url, patience, reason))
}

/// The one client, with the one TLS provider: two make rustls panic.
fn client() -> Result<&'static reqwest::Client, NoAnswer> {
    static PROVIDER: Once = Once::new();
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    // An error means that there is one already.
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    if let Some(client) = CLIENT.get() {
        return Ok(client);
    }
    let made = reqwest::Client::builder().user_agent("podlift").connect_timeout(Duration::from_secs(10)).build();
    let made = made.map_err(|error| NoAnswer::Broken(with_cause(&error)))?;
    Ok(CLIENT.get_or_init(|| made))
}

/// An error with what caused it: the outer one alone says little.
fn with_cause(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !words.contains(&text) {
            words = format!("{words}: {text}");
        }
        cause = inner.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let page = Page::parse("http://[::1]:8080/a?b=c").expect("valid");
        assert_eq!(page, Page { address: "::1".into(), port: 8080, host: "[::1]:8080".into(), path: "/a?b=c".into() });
        assert_eq!(Page::parse("http://app.example").expect("valid").port, 80);
        assert!(Page::parse("https://app.example").expect_err("TLS").contains("via"));
        assert!(Page::parse("file:///etc/passwd").is_err());
        assert_eq!(Page::of("0.0.0.0", 20000, "/").host, "127.0.0.1:20000");
    }
}
