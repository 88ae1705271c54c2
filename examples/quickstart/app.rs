//! A small web app for podlift to deploy: one file, no dependencies, a thread for each connection.
//!
//! Build it for a container that has nothing else in it:
//!
//! ```sh
//! rustc --edition 2024 -O -C target-feature=+crt-static app.rs
//! docker build --build-arg VERSION=v1 -t demo:v1 .
//! ```
//!
//! It answers `/` (a greeting), `/health`, `/version`, `/work?ms=N` (takes N milliseconds; GET or POST) and `/env` (see
//! `SHOW_ENV`). Its environment:
//!
//! - `VERSION`: what it says it is
//! - `PORT`: where it listens, 8000 if not given
//! - `HEALTH_STATUS`: what `/health` answers, 200 if not given; `HEALTH_STATUS=503` makes a release that never gets healthy
//! - `START_DELAY_MS`: how long it takes to start
//! - `ERROR_PERCENT`: how many of a hundred requests for `/work` it answers with 500; `ERROR_PERCENT=5` makes a bad release
//! - `WORK_DELAY_MS`: how much longer it takes for `/work`; `WORK_DELAY_MS=150` makes a slow release
//! - `SHOW_ENV`: the name of the one variable whose value `/env` shows

use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

fn main() -> io::Result<()> {
    exit_on_sigterm();
    let app = Arc::new(App::from_env());
    thread::sleep(Duration::from_millis(number("START_DELAY_MS", 0)));
    let address = ("0.0.0.0", number("PORT", 8000));
    let listener = TcpListener::bind(address)?;
    eprintln!("demo {} listens on port {}", app.version, address.1);
    // A connection that breaks is its client's business.
    for connection in listener.incoming().flatten() {
        let app = Arc::clone(&app);
        thread::spawn(move || app.serve(&connection));
    }
    Ok(())
}

struct App {
    version: String,
    health_status: u16,
    error_percent: u64,
    work_delay: u64,
    work_done: AtomicU64,
    shown_env: Option<String>,
}

struct Request {
    method: String,
    path: String,
    query: String,
    body: Vec<u8>,
    keep_alive: bool,
}

struct Response {
    status: u16,
    body: String,
}

impl App {
    fn from_env() -> App {
        App {
            version: env::var("VERSION").unwrap_or_else(|_| "unknown".to_string()),
            health_status: number("HEALTH_STATUS", 200),
            error_percent: number("ERROR_PERCENT", 0),
            work_delay: number("WORK_DELAY_MS", 0),
            work_done: AtomicU64::new(0),
            shown_env: env::var("SHOW_ENV").ok(),
        }
    }

    /// Answers one request after the other until either side has enough.
    fn serve(&self, connection: &TcpStream) -> io::Result<()> {
        connection.set_nodelay(true)?;
        let mut reader = BufReader::new(connection);
        while let Some(request) = read_request(&mut reader)? {
            let response = self.answer(&request);
            write_response(connection, &response, request.keep_alive)?;
            if !request.keep_alive {
                break;
            }
        }
        Ok(())
    }

    fn answer(&self, request: &Request) -> Response {
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/") => ok(format!("Hello from {}\n", self.version)),
            ("GET", "/health") => Response { status: self.health_status, body: format!("{}\n", self.health_status) },
            ("GET", "/version") => ok(format!("{}\n", self.version)),
            ("GET", "/env") => match self.shown_env.as_ref().and_then(|name| env::var(name).ok()) {
                Some(value) => ok(format!("{}\n", value)),
                None => not_found(),
            },
            ("GET", "/work") | ("POST", "/work") => {
                thread::sleep(Duration::from_millis(self.work_delay + query_number(&request.query, "ms")));
                // Spread evenly: with 5 percent, every twentieth.
                if self.work_done.fetch_add(1, Ordering::Relaxed) * self.error_percent % 100 < self.error_percent {
                    return Response { status: 500, body: "an error, as asked\n".to_string() };
                }
                ok(format!("{} {}\n", self.version, request.body.len()))
            }
            _ => not_found(),
        }
    }
}

fn ok(body: String) -> Response {
    Response { status: 200, body }
}

fn not_found() -> Response {
    Response { status: 404, body: "not found\n".to_string() }
}

/// Reads a request, or `None` when the client has closed the connection instead of sending another.
fn read_request(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (method, target, version) = match (words.next(), words.next(), words.next()) {
        (Some(method), Some(target), Some(version)) => (method.to_string(), target.to_string(), version.to_string()),
        _ => return Err(io::ErrorKind::InvalidData.into()),
    };

    let mut length = 0;
    let mut keep_alive = version == "HTTP/1.1";
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match (name.to_ascii_lowercase().as_str(), value.trim()) {
            ("content-length", value) => length = value.parse().map_err(|_| io::ErrorKind::InvalidData)?,
            ("connection", value) => keep_alive = !value.eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;

    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    Ok(Some(Request { method, path: path.to_string(), query: query.to_string(), body, keep_alive }))
}

fn write_response(mut connection: &TcpStream, response: &Response, keep_alive: bool) -> io::Result<()> {
    let reason = if response.status < 400 { "OK" } else { "Error" };
    let persistence = if keep_alive { "keep-alive" } else { "close" };
    // In one piece, so that it leaves in one packet.
    let text = format!(
        "HTTP/1.1 {} {reason}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: {persistence}\r\n\r\n{}",
        response.status,
        response.body.len(),
        response.body,
    );
    connection.write_all(text.as_bytes())
}

/// The number in an environment variable. One that is not a number stops the app, rather than being overlooked.
fn number<N: std::str::FromStr>(name: &str, default: N) -> N {
    match env::var(name) {
        Ok(value) => value.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {value:?}")),
        Err(_) => default,
    }
}

fn query_number(query: &str, name: &str) -> u64 {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| *key == name).find_map(|(_, value)| value.parse().ok()).unwrap_or(0)
}

/// Makes SIGTERM end the app at once.
///
/// The kernel ignores it for a container's first process unless that has a handler, and `docker stop` would wait ten seconds for
/// nothing. Requests need no protection here: podlift stops a container only after it has drained it. The standard library knows
/// no signals, hence the C functions, both of which are in every libc.
fn exit_on_sigterm() {
    const SIGTERM: i32 = 15;

    unsafe extern "C" {
        fn signal(number: i32, handler: extern "C" fn(i32)) -> usize;
        fn _exit(status: i32) -> !;
    }

    extern "C" fn exit(_: i32) {
        // SAFETY: `_exit` may be called in a signal handler, and never returns.
        unsafe { _exit(0) }
    }

    // SAFETY: the handler calls nothing that a signal handler may not call.
    unsafe { signal(SIGTERM, exit) };
}
