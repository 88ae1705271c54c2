//! A Prometheus that scrapes itself, on this machine or on a host of a rig.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::rig::{Rig, output};
use crate::until::until;

/// What lets `podlift` in: the header `Authorization: Basic …` of RFC 7617, for the password `correct-horse`.
pub const BASIC: &str = "cG9kbGlmdDpjb3JyZWN0LWhvcnNl";
/// The password's bcrypt hash: `htpasswd -nbB podlift correct-horse`.
const HASH: &str = "$2y$05$abcdefghijklmnopqrstuuZ0Fx87Pb/Aqb0E90lfvCwzXnaFKUHpS";

/// A running server that lets only `podlift` in. Its data go with the test.
pub struct Prometheus {
    _folder: tempfile::TempDir,
    server: Child,
    pub port: u16,
}

impl Prometheus {
    /// Starts one on this machine, and waits until it has scraped itself.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("there is a temporary directory");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port is free").port();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let login = "\n  basic_auth: { username: podlift, password: correct-horse }";
        fs::write(path("prometheus.yml"), configuration(port, login)).expect("the folder can be written");
        fs::write(path("web.yml"), format!("basic_auth_users:\n  podlift: {HASH}\n")).expect("the folder can be written");
        let log = fs::File::create(path("log")).expect("the folder can be written");
        let mut server = Command::new("prometheus");
        server.args(arguments(folder.path(), port)).arg(format!("--web.config.file={}", path("web.yml"))).stdin(Stdio::null());
        let server = server.stdout(Stdio::null()).stderr(log).spawn().expect("prometheus starts");
        let prometheus = Self { _folder: folder, server, port };
        let authorization = format!("Authorization: Basic {BASIC}");
        until("prometheus has scraped itself", || {
            let mut curl = Command::new("curl");
            is_up(output(curl.args(["-sS", "--max-time", "5", "-H", &authorization, &up(port)]), "").stdout.as_str())
        });
        prometheus
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Starts one on a rig's host that listens on its loopback only, and waits until it has scraped itself. It ends with the host.
pub fn start_on(rig: &Rig, number: usize, port: u16) {
    let folder = Path::new("/var/lib/prometheus-of-a-test");
    rig.exec(number, &["mkdir", "-p", "/var/lib/prometheus-of-a-test"]).text();
    rig.write(number, "/var/lib/prometheus-of-a-test/prometheus.yml", &configuration(port, ""));
    let start = format!("setsid prometheus {} </dev/null >/dev/null 2>&1 &", arguments(folder, port).join(" "));
    rig.exec(number, &["sh", "-c", &start]).text();
    until("prometheus has scraped itself", || is_up(&rig.exec(number, &["curl", "-sS", "--max-time", "5", &up(port)]).stdout));
}

fn configuration(port: u16, login: &str) -> String {
    format!(
        "global: {{ scrape_interval: 1s }}\nscrape_configs:\n- job_name: itself\n  static_configs: [{{ targets: ['127.0.0.1:{port}'], labels: {{ release: v2 }} }}]{login}\n"
    )
}

fn arguments(folder: &Path, port: u16) -> [String; 3] {
    let folder = folder.display();
    [
        format!("--config.file={folder}/prometheus.yml"),
        format!("--storage.tsdb.path={folder}/data"),
        format!("--web.listen-address=127.0.0.1:{port}"),
    ]
}

fn up(port: u16) -> String {
    format!("http://127.0.0.1:{port}/api/v1/query?query=up")
}

fn is_up(answer: &str) -> bool {
    answer.contains("\"1\"]")
}
