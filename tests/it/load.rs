//! Requests from 40 ms away while a test does something to the hosts, and the count of those that were lost.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::process::{Child, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::Value;

use crate::rig::{Rig, load_program};
use crate::until::until;

/// Who sends which requests.
pub struct LoadOptions {
    /// Where requests go, as `ADDRESS:PORT`, in turn.
    pub targets: Vec<String>,
    /// The `Host` header, instead of the target.
    pub host: Option<String>,
    /// A `Cookie` header, in which `%i` stands for the user's number.
    pub cookie: Option<String>,
    /// Users that keep their connection.
    pub kept: usize,
    /// Users that open a new connection for each request.
    pub fresh: usize,
}

impl LoadOptions {
    /// The usual load on port 80 of every host of a rig.
    pub fn on(rig: &Rig) -> Self {
        let targets = rig.hosts().iter().map(|host| format!("{}:80", host.address)).collect();
        Self { targets, host: None, cookie: None, kept: 64, fresh: 32 }
    }
}

/// Running load: GET and POST, quick and slow. It ends with the test, or after five minutes.
pub struct Load {
    client: Option<Child>,
    files: tempfile::TempDir,
}

impl Load {
    /// Starts sending, and waits until a few hundred requests were answered, so that there is a "before".
    pub fn start(rig: &Rig, options: LoadOptions) -> Self {
        let files = tempfile::tempdir().expect("there is a temporary directory");
        let file = |name: &str| files.path().join(name);
        fs::write(file("marks"), "").expect("the directory was just made");
        let mut command = rig.client(load_program());
        command.arg("client").args(&options.targets);
        command.args(["--kept", &options.kept.to_string(), "--fresh", &options.fresh.to_string()]);
        command.args(options.host.iter().flat_map(|host| ["--host", host]));
        command.args(options.cookie.iter().flat_map(|cookie| ["--cookie", cookie]));
        command.args(["--seconds", "300"]);
        command.arg("--stop").arg(file("stop")).arg("--marks").arg(file("marks")).arg("--progress").arg(file("progress"));
        let client = command.stdout(Stdio::piped()).spawn().expect("the rig can start its client");
        let mut load = Self { client: Some(client), files };
        load.more(500);
        load
    }

    /// Begins a phase of the summary.
    pub fn mark(&self, name: &str) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_micros();
        let mut marks = OpenOptions::new().append(true).open(self.files.path().join("marks")).expect("it was made at the start");
        writeln!(marks, "{now} {name}").expect("marks can be written");
    }

    /// Waits until that many more requests have ended, well or badly.
    pub fn more(&mut self, requests: usize) {
        let goal = self.finished() + requests;
        let client = self.client.as_mut().expect("only finish takes it");
        let files = &self.files;
        until(&format!("{requests} more requests have ended"), || {
            assert!(client.try_wait().is_ok_and(|ended| ended.is_none()), "the load client has ended by itself");
            finished(files) >= goal
        });
    }

    /// Stops sending, lets what is in flight end, and counts.
    pub fn finish(mut self) -> Summary {
        fs::write(self.files.path().join("stop"), "").expect("the directory is there");
        let client = self.client.take().expect("only finish takes it");
        let output = client.wait_with_output().expect("the client was started");
        assert!(output.status.success(), "the load client failed: {}", output.status);
        serde_json::from_slice(&output.stdout).expect("the load client prints its summary")
    }

    /// How many requests have ended, well or badly.
    pub fn finished(&self) -> usize {
        finished(&self.files)
    }
}

fn finished(files: &tempfile::TempDir) -> usize {
    fs::read_to_string(files.path().join("progress")).ok().and_then(|number| number.parse().ok()).unwrap_or(0)
}

impl Drop for Load {
    fn drop(&mut self) {
        if let Some(mut client) = self.client.take() {
            // It may have ended already.
            let _ = client.kill();
            let _ = client.wait();
        }
    }
}

/// What became of the requests. Kinds of failures are those of `podlift-load`: `refused`, `reset_stale`, `5xx`, ….
#[derive(Debug, Deserialize)]
pub struct Summary {
    pub total: usize,
    pub ok: usize,
    pub failed: usize,
    pub failures: BTreeMap<String, usize>,
    /// Answers by the version that gave them.
    pub versions: BTreeMap<String, usize>,
    pub latency: Latency,
    /// The time before the first mark, named `start`, and that after each mark.
    pub phases: Vec<Phase>,
    /// The first failures, in full.
    pub samples: Vec<Value>,
}

/// The requests that began in a phase.
#[derive(Debug, Deserialize)]
pub struct Phase {
    pub name: String,
    pub requests: usize,
    pub failed: usize,
    pub failures: BTreeMap<String, usize>,
    pub latency: Latency,
}

/// Latencies of the answered requests, in milliseconds.
#[derive(Debug, Deserialize)]
pub struct Latency {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
}

impl Summary {
    /// Panics if a single request failed, saying which ones, and when.
    #[track_caller]
    pub fn assert_nothing_lost(&self) {
        let Self { total, failed, failures, samples, phases, .. } = self;
        assert!(*failed == 0, "{failed} of {total} requests failed: {failures:?}, {samples:#?}, {phases:#?}");
    }

    /// The phase that began with the mark of this name.
    #[track_caller]
    pub fn phase(&self, name: &str) -> &Phase {
        self.phases.iter().find(|phase| phase.name == name).unwrap_or_else(|| panic!("no mark is named {name}"))
    }
}
