//! The part of an engine's API that speaks to registries: one call, its stream, and what is said there.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Method, Request, Response, body::Incoming, client::conn::http1, header::HeaderValue};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::UnixStream, time::timeout};

use crate::{
    executor::Progress,
    failure::{Failure, FailureKind},
    fleet::{Connection, Secrets},
    model::Registry,
};

/// How long a registry may say nothing.
const SILENCE: Duration = Duration::from_secs(120);

/// What engines say where a registry does not answer.
const UNREACHABLE: &[&str] = &[
    "connection refused",
    "no such host",
    "i/o timeout",
    "no route to host",
    "network is unreachable",
    "server misbehaving",
    "deadline exceeded",
    "awaiting headers",
];

/// The most that is read of one line, or of an answer that is no stream.
const LINE_LIMIT: usize = 1 << 20;

/// A call of an engine's API about a registry: what is asked, who asks, and what it is for in an error's words.
pub(super) struct Call<'a> {
    pub(super) connection: &'a Connection,
    pub(super) login: Option<HeaderValue>,
    pub(super) what: String,
}

/// What an engine logs in to a registry with: the header `X-Registry-Auth` of its API, base64 for URLs.
pub(super) fn login(registry: Option<&Registry>, secrets: &Secrets) -> Result<Option<HeaderValue>, Failure> {
    let Some(Registry { username: Some(username), password: Some(password), .. }) = registry else { return Ok(None) };
    let address = registry.map_or_else(String::new, |registry| registry.host().to_owned());
    let auth = json!({ "username": secrets.resolve(username)?, "password": secrets.resolve(password)?, "serveraddress": address });
    Ok(Some(header(&auth)))
}

fn header(auth: &Value) -> HeaderValue {
    let mut header = HeaderValue::from_str(&URL_SAFE.encode(auth.to_string())).expect("base64 is plain text");
    header.set_sensitive(true);
    header
}

impl Call<'_> {
    /// Asks, in the version of the API that the engine prefers.
    async fn ask(&self, method: Method, path: &str) -> Result<Response<Incoming>, Failure> {
        let what = self.what.as_str();
        let lost =
            |error: &dyn std::fmt::Display| Failure::new(FailureKind::Unreachable, what).lost().detail("the engine", error.to_string());
        let socket = self.connection.docker_socket().await?;
        let stream = UnixStream::connect(socket).await.map_err(|error| lost(&error))?;
        let (mut sender, exchange) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| lost(&error))?;
        tokio::spawn(exchange);
        // An engine pushes only where the header is there, if it says nothing.
        let login = self.login.clone().unwrap_or_else(|| header(&json!({})));
        let request = Request::builder().method(method).uri(path).header("Host", "docker").header("X-Registry-Auth", login);
        let request = request.body(Empty::<Bytes>::new());
        let request = request.map_err(|error| Failure::failed(what).detail("the request", error.to_string()))?;
        let answer = timeout(SILENCE, sender.send_request(request)).await.map_err(|_| silent(what))?.map_err(|error| lost(&error))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        Err(refusal(what, &message(&whole(answer, what).await?)))
    }

    /// Reads an answer that is JSON.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Failure> {
        let answer = whole(self.ask(Method::GET, path).await?, &self.what).await?;
        serde_json::from_slice(&answer)
            .map_err(|error| Failure::failed(self.what.as_str()).detail("the engine's answer", error.to_string()))
    }

    /// Reads the lines of a push or pull to their end, where alone a success is known. `verb` is what goes on, for the progress.
    /// The digest that a push tells is returned.
    pub(super) async fn follow(&self, path: &str, verb: &str, progress: &dyn Progress) -> Result<Option<String>, Failure> {
        let mut answer = self.ask(Method::POST, path).await?;
        let what = self.what.as_str();
        let (mut rest, mut told): (Vec<u8>, Told) = (Vec::new(), Told::default());
        while let Some(frame) = timeout(SILENCE, answer.body_mut().frame()).await.map_err(|_| silent(what))? {
            let lost = |error: hyper::Error| Failure::new(FailureKind::Unreachable, what).lost().detail("the engine", error.to_string());
            let Ok(data) = frame.map_err(lost)?.into_data() else { continue };
            rest.extend_from_slice(&data);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                told.read(&line, what)?;
            }
            rest.truncate(LINE_LIMIT);
            if let Some((done, all)) = told.amount() {
                progress.bytes(verb, done, all);
            }
        }
        told.read(&rest, what)?;
        Ok(told.digest)
    }
}

fn silent(what: &str) -> Failure {
    Failure::new(FailureKind::Timeout, format!("{what}: nothing was heard for {} s", SILENCE.as_secs()))
}

/// What the engine said, with what to do about it where that is known.
fn refusal(what: &str, words: &str) -> Failure {
    let failure = Failure::failed(what).detail("the engine said", words);
    let lower = words.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if says(UNREACHABLE) {
        return failure.hint(
            "the engine does not reach the registry: look at its address and the firewall; with `via: host` a host that does pushes",
        );
    }
    if says(&["manifest unknown", "not found", "no such manifest"]) {
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

/// What the lines of a stream have told so far.
#[derive(Default)]
struct Told {
    digest: Option<String>,
    layers: BTreeMap<String, (u64, u64)>,
}

impl Told {
    /// Reads one line; an error is what the stream fails with.
    fn read(&mut self, line: &[u8], what: &str) -> Result<(), Failure> {
        let Ok(json) = serde_json::from_slice::<Value>(line) else { return Ok(()) };
        if let Some(words) = json["errorDetail"]["message"].as_str().or_else(|| json["error"].as_str()) {
            return Err(refusal(what, words));
        }
        if let Some(digest) = json["aux"]["Digest"].as_str() {
            self.digest = Some(digest.to_owned());
        }
        let amount = &json["progressDetail"];
        if let (Some(layer), Some(done), Some(all)) = (json["id"].as_str(), amount["current"].as_u64(), amount["total"].as_u64()) {
            self.layers.insert(layer.to_owned(), (done.min(all), all));
        }
        Ok(())
    }

    /// How many bytes of how many, of the layers that are known to be on their way.
    fn amount(&self) -> Option<(u64, u64)> {
        let sum = |of: fn(&(u64, u64)) -> u64| self.layers.values().map(of).sum();
        (!self.layers.is_empty()).then(|| (sum(|amount| amount.0), sum(|amount| amount.1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Text, text::Part};

    fn told(lines: &[&str]) -> Result<Told, Failure> {
        let mut told = Told::default();
        lines.iter().try_for_each(|line| told.read(line.as_bytes(), "x could not be pulled"))?;
        Ok(told)
    }

    #[test]
    fn a_stream_tells_how_far_it_is_and_what_came_of_it() {
        let read = told(&[
            r#"{"status":"Pushing","progressDetail":{"current":10,"total":100},"id":"a"}"#,
            r#"{"status":"Pushing","progressDetail":{"current":120,"total":100},"id":"b"}"#,
            r#"{"status":"Pushed","progressDetail":{},"id":"a"}"#,
            "",
            r#"{"progressDetail":{},"aux":{"Tag":"v1","Digest":"sha256:ab","Size":528}}"#,
        ]);
        let read = read.expect("no error");
        assert_eq!((read.amount(), read.digest.as_deref()), (Some((110, 200)), Some("sha256:ab")));
    }

    #[test]
    fn an_error_in_the_stream_comes_with_what_to_do() {
        for (words, hint) in [
            ("manifest unknown", "`push`"),
            ("unauthorized: authentication required", "username"),
            ("Get \\\"https://r:5000/v2/\\\": dial tcp 10.0.0.1:5000: connect: connection refused", "`via: host`"),
            ("Get \\\"https://r:5000/v2/\\\": http: server gave HTTP response to HTTPS client", "insecure-registries"),
        ] {
            let line = format!(r#"{{"errorDetail":{{"message":"{words}"}},"error":"{words}"}}"#);
            let failure = told(&[&line]).err().unwrap_or_else(|| panic!("{line} is an error"));
            assert!(failure.message == "x could not be pulled" && failure.hints[0].contains(hint), "{failure:?}");
        }
    }

    #[test]
    fn who_logs_in_is_told_as_engines_read_it() {
        let secrets = Secrets::new(|name| (name == "PW").then(|| "~~~???>>>".into()));
        let password = Text::new([Part::Secret { secret: "PW".into() }]);
        let registry = Registry::new("r.example:5000/team".into(), Some("ann".into()), Some(password), None).expect("valid");
        let header = login(Some(&registry), &secrets).expect("it is set").expect("somebody logs in");
        assert!(header.is_sensitive());
        let json = URL_SAFE.decode(header.as_bytes()).expect("base64 for URLs");
        let auth: Value = serde_json::from_slice(&json).expect("JSON");
        assert_eq!(auth, json!({ "username": "ann", "password": "~~~???>>>", "serveraddress": "r.example:5000" }));
        assert!(login(None, &secrets).expect("nobody has to").is_none());
    }
}
