//! A docker-registry of a test's own: its images in a temporary folder, its own port, gone with the test.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use crate::until::until;

/// A running registry that lets `podlift` in with [`PASSWORD`], and nobody else.
pub struct Registry {
    folder: tempfile::TempDir,
    server: Child,
    pub port: u16,
}

/// The password of the user `podlift`.
pub const PASSWORD: &str = "correct-horse";
/// Its bcrypt hash, which is the only one that registries read: `htpasswd -nbB podlift correct-horse`.
const HASH: &str = "$2y$05$abcdefghijklmnopqrstuuZ0Fx87Pb/Aqb0E90lfvCwzXnaFKUHpS";

impl Registry {
    /// Starts one that listens on this address.
    pub fn start(address: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("podlift-registry").tempdir_in("/tmp").expect("there is a temporary directory");
        let port = TcpListener::bind((address, 0)).and_then(|socket| socket.local_addr()).expect("a port is free").port();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let configuration = format!(
            "version: 0.1\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\nhttp: {{ addr: \"{address}:{port}\" }}\n\
             auth: {{ htpasswd: {{ realm: test, path: {} }} }}\n",
            path("images"),
            path("users"),
        );
        fs::write(folder.path().join("users"), format!("podlift:{HASH}\n")).expect("the folder can be written");
        fs::write(folder.path().join("config.yml"), configuration).expect("the folder can be written");
        let log = fs::File::create(folder.path().join("log")).expect("the folder can be written");
        let mut server = Command::new("docker-registry");
        server.args(["serve", &path("config.yml")]).env("OTEL_TRACES_EXPORTER", "none").stdin(Stdio::null());
        let server = server.stdout(log.try_clone().expect("a file")).stderr(log).spawn().expect("docker-registry starts");
        let registry = Self { folder, server, port };
        until("the registry answers", || TcpStream::connect((address, port)).is_ok());
        registry
    }

    /// Whether one of its files holds an image of this name.
    pub fn has(&self, name: &str) -> bool {
        self.folder.path().join("images/docker/registry/v2/repositories").join(name).exists()
    }

    /// Everything that it was asked.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Ends it: nobody answers any more.
    pub fn stop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
    }
}
