//! A run as JSON, one event a line, for programs.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Printer, throttle::Throttle};
use crate::executor::{Call, Event, Level, Narrator};

/// The names of all events; the README has their fields.
const EVENTS: [&str; 13] = [
    "began",
    "progressed",
    "done",
    "skipped",
    "failed",
    "replayed",
    "phase_began",
    "phase_ended",
    "said",
    "sent",
    "plan",
    "left",
    "result",
];

/// Prints one object a line on standard output. Every one has `event`, and `at`: when it was told, in RFC 3339, UTC.
pub struct Json {
    printer: Printer,
    verbose: bool,
    clock: fn() -> String,
    progress: Throttle,
}

impl Json {
    /// Tells `printer`; verbosely, also every API call and command.
    pub fn new(printer: Printer, verbose: bool) -> Self {
        Self { printer, verbose, clock: || jiff::Timestamp::now().to_string(), progress: Throttle::every(Duration::from_secs(1)) }
    }

    /// Prints an event with these fields, beside those that every event has.
    pub fn event(&self, event: &str, fields: Value) {
        debug_assert!(EVENTS.contains(&event), "`{event}` is not listed");
        let mut object = Map::new();
        object.insert("event".into(), event.into());
        object.insert("at".into(), (self.clock)().into());
        if let Value::Object(fields) = fields {
            object.extend(fields);
        }
        self.printer.data(Value::Object(object));
    }

    fn call(&self, event: &str, call: &Call, fields: Value) {
        let mut object = json!({
            "run": call.run.id,
            "key": call.key,
            "host": call.op.host().map(|host| &host.name),
            "verb": call.op.verb(),
            "op": call.op.canonical(),
            "origin": call.origin,
        });
        if let (Value::Object(object), Value::Object(fields)) = (&mut object, fields) {
            object.extend(fields);
        }
        self.event(event, object);
    }
}

impl Narrator for Json {
    fn tell(&self, event: Event<'_>) {
        match event {
            Event::Began { call } => {
                self.progress.begin(&call.key);
                self.call("began", call, Value::Null);
            }
            Event::Progressed { call, what, bytes } => {
                if self.progress.lets(&call.key) {
                    let (done, of) = bytes.unzip();
                    let host = call.op.host().map(|host| &host.name);
                    self.event("progressed", json!({ "key": call.key, "host": host, "what": what, "bytes": done, "of": of }));
                }
            }
            Event::Done { call, outcome, took } => {
                self.progress.end(&call.key);
                let fields =
                    json!({ "value": outcome.value, "assumed": outcome.assumed, "gone": outcome.gone, "seconds": took.as_secs_f64() });
                self.call(if outcome.is_skipped() { "skipped" } else { "done" }, call, fields);
            }
            Event::Failed { call, failure, took } => {
                self.progress.end(&call.key);
                self.call("failed", call, json!({ "failure": failure, "seconds": took.as_secs_f64() }));
            }
            Event::Replayed { call, result } => {
                let fields = match result {
                    Ok(outcome) => json!({ "value": outcome.value, "assumed": outcome.assumed, "gone": outcome.gone }),
                    Err(failure) => json!({ "failure": failure }),
                };
                self.call("replayed", call, fields);
            }
            Event::PhaseBegan { title, depth } => self.event("phase_began", json!({ "title": title, "depth": depth })),
            Event::PhaseEnded { title, depth, took } => {
                self.event("phase_ended", json!({ "title": title, "depth": depth, "seconds": took.as_secs_f64() }));
            }
            Event::Said { level, text, origin } => {
                let level = match level {
                    Level::Info => "info",
                    Level::Warn => "warn",
                };
                self.event("said", json!({ "level": level, "text": text, "origin": origin }));
            }
            Event::Sent { host, what } => {
                if self.verbose {
                    self.event("sent", json!({ "host": host, "what": what }));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            style::Surroundings,
            testing::{Paper, tell_a_run},
        },
        *,
    };

    #[test]
    fn the_readme_lists_every_event() {
        let table = include_str!("../../README.md").split("| event |").nth(1).expect("a table of them");
        let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
        let names = rows.flat_map(|row| row.split('|').nth(1).unwrap_or_default().split('`').skip(1).step_by(2));
        assert_eq!(names.collect::<Vec<_>>(), EVENTS);
    }

    #[test]
    fn every_line_is_an_object_that_tells_its_event() {
        let paper = Paper::default();
        let printer = Printer::new(Surroundings::default(), Box::new(paper.clone()), Box::new(Paper::default()));
        tell_a_run(&Json { clock: || "2026-01-01T00:00:00Z".into(), ..Json::new(printer, true) });
        let events: Vec<Value> = paper.text().lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
        let names: Vec<&str> = events.iter().map(|event| event["event"].as_str().expect("a name")).collect();
        assert_eq!(
            names,
            [
                "began",
                "done",
                "phase_began",
                "began",
                "began",
                "sent",
                "done",
                "done",
                "phase_ended",
                "said",
                "said",
                "began",
                "done",
                "began",
                "done",
                "began",
                "failed"
            ]
        );
        assert_eq!(
            events[7],
            json!({
                "event": "done", "at": "2026-01-01T00:00:00Z", "run": "r1", "key": "2[0]", "host": "h1", "verb": "ship",
                "op": events[3]["op"], "origin": { "file": "deploy.rhai", "line": 2, "column": 1 },
                "value": { "sent": 2048, "reused": 1_048_576, "seconds": 2.5 }, "assumed": null, "gone": [], "seconds": 2.5,
            })
        );
        assert_eq!(events[3]["op"]["op"], "ship");
        assert_eq!(events[16]["failure"]["kind"], "unhealthy");
        assert!(!paper.text().contains('\u{1b}'), "JSON escapes what a terminal obeys");
    }
}
