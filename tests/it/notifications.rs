//! What people's services really get of a run, and that nothing of it fails one.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::podlift::Project;

/// A server that takes everything, and tells what it got: each request's path and body.
fn server() -> (u16, Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream);
            let mut lines = Vec::new();
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
                    break;
                }
                lines.push(line.trim().to_owned());
            }
            let length = lines.iter().find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            let read = reader.read_exact(&mut body);
            let path = lines.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default().to_owned();
            let answered = reader.into_inner().write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
            if read.is_err() || answered.is_err() || sender.send((path, json)).is_err() {
                break;
            }
        }
    });
    (port, receiver)
}

const SCRIPT: &str = r#"
import "std/notify" as notify;
let p = params(#{ fails: false });
let at = secret("AT");
let everyone = [
    notify::slack(`${at}/slack`, #{ on: ["started", "succeeded", "failed"] }),
    notify::teams(`${at}/teams`),
    notify::pagerduty(secret("KEY"), #{ url: `${at}/pagerduty`, about: "shop web" }),
    notify::webhook(`${at}/plain`, #{ on: ["failed"] }),
    notify::webhook("http://127.0.0.1:1/nobody"),
    notify::mail("ops@example.com", #{ from: "podlift@example.com", sendmail: ["sh", "-c", "cat >mail"] }),
    notify::mail("ops@example.com", #{ sendmail: ["no-such-program"] }),
];
let told = notify::around(everyone, "web <v2>", #{ commit: "0123456" }, || {
    ensure(!p.fails, "h1 did not answer & that was it");
    "done"
});
ensure(told == "done", "what the block returns");
"#;

#[test]
fn everyone_is_told_by_outcome_and_who_cannot_be_told_fails_nothing() {
    let (port, requests) = server();
    let project = Project::new().env("AT", &format!("http://127.0.0.1:{port}")).env("KEY", "0123456789\"abcdef");
    project.write("deploy.rhai", SCRIPT);
    let got = || {
        let (path, body) = requests.recv_timeout(Duration::from_secs(60)).expect("a request");
        (path.trim_start_matches('/').to_owned(), body)
    };
    let run = project.podlift(&["run", "deploy.rhai"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let (begun, slack, teams, pagerduty) = (got(), got(), got(), got());
    assert_eq!((begun.0.as_str(), &begun.1["text"]), ("slack", &json!("web &lt;v2&gt; has begun")));
    assert_eq!((slack.0.as_str(), &slack.1["text"]), ("slack", &json!("web &lt;v2&gt; has succeeded")));
    assert_eq!(slack.1["attachments"][0]["fields"], json!([{ "title": "commit", "value": "0123456", "short": true }]));
    let card = &teams.1["attachments"][0];
    assert_eq!((teams.0.as_str(), &card["contentType"]), ("teams", &json!("application/vnd.microsoft.card.adaptive")));
    assert_eq!(card["content"]["body"][0]["text"], "web <v2> has succeeded");
    let resolved = json!({ "routing_key": "0123456789\"abcdef", "dedup_key": "shop web", "event_action": "resolve" });
    assert_eq!(pagerduty, ("pagerduty".to_owned(), resolved));
    let mail = fs::read_to_string(project.path().join("mail")).expect("sendmail got it");
    assert!(mail.starts_with("To: ops@example.com\nFrom: podlift@example.com\nSubject: web <v2> has succeeded\n"), "{mail}");
    assert_eq!(run.stderr.matches("nobody was told").count(), 2, "{}", run.stderr);
    assert!(!run.stderr.contains("abcdef"), "{}", run.stderr);

    let run = project.podlift(&["run", "deploy.rhai", "fails=true"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains("h1 did not answer & that was it"), "{}", run.stderr);
    let (_, slack, teams, pagerduty, plain) = (got(), got(), got(), got(), got());
    assert_eq!(slack.1["attachments"][0]["color"], "danger");
    assert_eq!(slack.1["attachments"][0]["text"], "h1 did not answer &amp; that was it");
    assert_eq!(teams.1["attachments"][0]["content"]["body"][1]["text"], "h1 did not answer & that was it");
    assert_eq!((&pagerduty.1["event_action"], &pagerduty.1["dedup_key"]), (&json!("trigger"), &json!("shop web")));
    assert_eq!(
        pagerduty.1["payload"],
        json!({ "summary": "web <v2> has failed: h1 did not answer & that was it", "source": "podlift", "severity": "error", "custom_details": { "commit": "0123456" } })
    );
    let event =
        json!({ "outcome": "failed", "title": "web <v2>", "text": "h1 did not answer & that was it", "facts": { "commit": "0123456" } });
    assert_eq!(plain, ("plain".to_owned(), event));
}

#[test]
fn whatever_was_thrown_is_told_and_goes_on() {
    let (port, requests) = server();
    let project = Project::new().env("AT", &format!("http://127.0.0.1:{port}"));
    for (thrown, text) in [("42", "42"), ("#{ step: 7 }", "#{\"step\": 7}"), ("#{ message: \"no room\" }", "no room")] {
        let around = format!("notify::around([notify::webhook(secret(\"AT\"))], \"web\", #{{}}, || {{ throw {thrown}; }});");
        let caught = format!("import \"std/notify\" as notify;\ntry {{ {around} }} catch (problem) {{ print(type_of(problem)); }}\n");
        project.write("deploy.rhai", &caught);
        let run = project.podlift(&["run", "deploy.rhai"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        let (_, told) = requests.recv_timeout(Duration::from_secs(60)).expect("a request");
        assert_eq!((&told["outcome"], &told["text"]), (&json!("failed"), &json!(text)), "{thrown}");
    }
}
