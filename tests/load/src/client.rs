//! The load client: users that each send one request after the other, some on a connection that they keep, some on a new one
//! every time. No request is ever sent twice, so what is lost is counted.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::time::sleep;

use crate::http::{Connection, Failure};
use crate::summary::{FailureKind, Mark, Method, Record, Sample, Summary};

/// How often the stop file is looked for and the progress file written.
const WATCH_INTERVAL: Duration = Duration::from_millis(20);
/// What a user waits after a failure, so that refused connections do not crowd out everything else.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(5);
const POST_BODY_LENGTH: usize = 1024;

#[derive(Clone, clap::Args)]
pub struct Options {
    /// Where requests go, as ADDRESS:PORT; several are used in turn
    #[arg(required = true)]
    targets: Vec<String>,
    /// The Host header, instead of the target
    #[arg(long)]
    host: Option<String>,
    /// A Cookie header; %i stands for the user's number
    #[arg(long)]
    cookie: Option<String>,
    /// The path; a query with the milliseconds that the answer shall take is added
    #[arg(long, default_value = "/work")]
    path: String,
    /// Users that keep their connection
    #[arg(long, default_value_t = 64)]
    kept: usize,
    /// Users that open a connection for every request
    #[arg(long, default_value_t = 32)]
    fresh: usize,
    /// Mean pause between two requests of a user, in milliseconds
    #[arg(long, default_value_t = 10)]
    think: u64,
    /// How many requests in a hundred are POSTs
    #[arg(long, default_value_t = 33)]
    posts: u32,
    /// Stop after this many seconds
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// Stop after this many requests
    #[arg(long, default_value_t = 500_000)]
    requests: usize,
    /// Stop when this file exists
    #[arg(long)]
    stop: Option<PathBuf>,
    /// A file of lines `MICROSECONDS NAME`, read at the end: phases of the summary begin there
    #[arg(long)]
    marks: Option<PathBuf>,
    /// A file that is kept at the number of finished requests
    #[arg(long)]
    progress: Option<PathBuf>,
    /// How many failures are shown in full
    #[arg(long, default_value_t = 20)]
    samples: usize,
    /// Print a table for people instead of JSON
    #[arg(long)]
    pub table: bool,
}

/// Sends load until the stop file, the time or the number of requests ends it.
pub fn run(options: Options) -> io::Result<Summary> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(load(Arc::new(options)))
}

async fn load(options: Arc<Options>) -> io::Result<Summary> {
    let shared = Arc::new(Shared::default());
    let users: Vec<_> = (0..options.kept + options.fresh)
        .map(|number| {
            let user = User {
                number,
                keeps: number < options.kept,
                options: Arc::clone(&options),
                shared: Arc::clone(&shared),
                idle: BTreeMap::new(),
            };
            tokio::spawn(user.run())
        })
        .collect();
    watch(&options, &shared).await?;

    let mut records = Vec::new();
    for user in users {
        records.extend(user.await.map_err(io::Error::other)?);
    }
    let marks = options.marks.as_ref().map_or(Ok(String::new()), fs::read_to_string)?;
    let Findings { versions, samples, reconnected } = std::mem::take(&mut *shared.findings.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(Summary::new(&records, &Mark::parse_all(&marks), versions, reconnected, samples))
}

/// Waits for the end and tells the users.
async fn watch(options: &Options, shared: &Shared) -> io::Result<()> {
    let end = Instant::now() + Duration::from_secs(options.seconds);
    let asked_to_stop = || options.stop.as_ref().is_some_and(|file| file.exists());
    while Instant::now() < end && shared.begun.load(Ordering::Relaxed) < options.requests && !asked_to_stop() {
        if let Some(file) = &options.progress {
            // Renamed into place, so that a reader never sees half a number.
            let new = file.with_extension("new");
            fs::write(&new, shared.finished.load(Ordering::Relaxed).to_string())?;
            fs::rename(new, file)?;
        }
        sleep(WATCH_INTERVAL).await;
    }
    shared.stopping.store(true, Ordering::Relaxed);
    Ok(())
}

#[derive(Default)]
struct Shared {
    stopping: AtomicBool,
    begun: AtomicUsize,
    finished: AtomicUsize,
    findings: Mutex<Findings>,
}

#[derive(Default)]
struct Findings {
    versions: BTreeMap<String, usize>,
    samples: Vec<Sample>,
    reconnected: usize,
}

struct User {
    number: usize,
    keeps: bool,
    options: Arc<Options>,
    shared: Arc<Shared>,
    /// Kept connections by target.
    idle: BTreeMap<String, Connection>,
}

impl User {
    async fn run(mut self) -> Vec<Record> {
        let options = Arc::clone(&self.options);
        let mut records = Vec::new();
        // Users do not start in step, nor all at the first target.
        sleep(Duration::from_millis(fastrand::u64(0..100))).await;
        for target in options.targets.iter().cycle().skip(self.number % options.targets.len()) {
            if self.shared.stopping.load(Ordering::Relaxed) || self.shared.begun.fetch_add(1, Ordering::Relaxed) >= options.requests {
                break;
            }
            let record = self.request(target).await;
            let failed = record.failure.is_some();
            records.push(record);
            self.shared.finished.fetch_add(1, Ordering::Relaxed);
            if failed {
                sleep(PAUSE_AFTER_FAILURE).await;
            }
            sleep(Duration::from_micros(fastrand::u64(0..=options.think * 2000))).await;
        }
        records
    }

    async fn request(&mut self, target: &str) -> Record {
        let method = if fastrand::u32(0..100) < self.options.posts { Method::Post } else { Method::Get };
        let kept = self.idle.remove(target);
        let was_kept = kept.is_some();
        let kept = kept.filter(Connection::is_open);
        let fresh = kept.is_none();

        let start = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros()).unwrap_or(u64::MAX);
        let clock = Instant::now();
        let outcome = self.exchange(kept, target, method).await;
        let latency = u64::try_from(clock.elapsed().as_micros()).unwrap_or(u64::MAX);

        let mut findings = self.shared.findings.lock().unwrap_or_else(PoisonError::into_inner);
        findings.reconnected += usize::from(was_kept && fresh);
        let failure = match outcome {
            Ok(version) => {
                *findings.versions.entry(version).or_default() += 1;
                None
            }
            Err(Failure { kind, detail }) => {
                if findings.samples.len() < self.options.samples {
                    findings.samples.push(Sample { at: start, target: target.to_owned(), kind, method, fresh, detail });
                }
                Some(kind)
            }
        };
        Record { start, latency, failure }
    }

    /// Sends one request and returns the version that answered it.
    async fn exchange(&mut self, kept: Option<Connection>, target: &str, method: Method) -> Result<String, Failure> {
        let connection = match kept {
            Some(connection) => connection,
            None => Connection::open(target).await?,
        };
        let (answer, connection) = connection.exchange(&self.compose(target, method)).await?;
        if let (true, Some(connection)) = (self.keeps, connection) {
            self.idle.insert(target.to_owned(), connection);
        }
        let sent = body_length(method).to_string();
        match (answer.status, answer.body.trim_end().split_once(' ')) {
            (200, Some((version, length))) if length == sent => Ok(version.to_owned()),
            (status @ 500.., _) => Err(Failure::new(FailureKind::ServerError, status)),
            (status, _) => Err(Failure::new(FailureKind::Other, format!("{status} {:?}", answer.body))),
        }
    }

    fn compose(&self, target: &str, method: Method) -> Vec<u8> {
        let Options { host, cookie, path, .. } = &*self.options;
        let verb = match method {
            Method::Get => "GET",
            Method::Post => "POST",
        };
        let mut lines = vec![
            format!("{verb} {path}?ms={} HTTP/1.1", work_millis()),
            format!("Host: {}", host.as_deref().unwrap_or(target)),
            format!("Content-Length: {}", body_length(method)),
        ];
        lines.extend((!self.keeps).then(|| "Connection: close".to_owned()));
        lines.extend(cookie.iter().map(|cookie| format!("Cookie: {}", cookie.replace("%i", &self.number.to_string()))));
        lines.extend([String::new(), "x".repeat(body_length(method))]);
        lines.join("\r\n").into_bytes()
    }
}

fn body_length(method: Method) -> usize {
    match method {
        Method::Get => 0,
        Method::Post => POST_BODY_LENGTH,
    }
}

/// A third of the requests take 20 to 200 ms, one in a hundred a second, the others no time.
fn work_millis() -> u64 {
    match fastrand::u32(0..100) {
        0 => 1000,
        1..34 => fastrand::u64(20..=200),
        _ => 0,
    }
}
