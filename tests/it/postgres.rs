//! A Postgres of a test's own: its data in a temporary folder, its own port, gone with the test.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use crate::certificates::Certificate;
use crate::rig::Rig;
use crate::until::until;

/// A running server with a database `shop` and a role `app` that has a password.
pub struct Postgres {
    folder: tempfile::TempDir,
    server: Child,
    /// Where it listens besides its socket.
    addresses: String,
    pub port: u16,
}

/// The password of `app`.
pub const PASSWORD: &str = "correct-horse-battery";

/// How long a statement of podlift's waits for a lock, unless it says otherwise. Who waits longer is in the log.
const LOCK_LIMIT: &str = "2s";

impl Postgres {
    /// Starts one.
    pub fn start() -> Self {
        Self::start_on("127.0.0.1")
    }

    /// Starts one that the hosts of a rig reach too, and their containers.
    pub fn start_for(rig: &Rig) -> Self {
        Self::start_on(&format!("127.0.0.1,{}", rig.gateway()))
    }

    fn start_on(addresses: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("podlift-pg").tempdir_in("/tmp").expect("there is a temporary directory");
        own(folder.path());
        let data = folder.path().join("data");
        let data = data.to_str().expect("text");
        let mut make = unprivileged("initdb");
        run(make.args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-locale", "--no-sync", "--pgdata", data]));
        let access = "local all all trust\nhost all postgres 127.0.0.1/32 trust\nhost all all samenet scram-sha-256\n";
        fs::write(folder.path().join("data/pg_hba.conf"), access).expect("the data folder can be written");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port is free").port();
        let server = serve(folder.path(), addresses, port, &[]);
        let postgres = Self { folder, server, addresses: addresses.into(), port };
        postgres.wait();
        postgres.admin("postgres", "CREATE DATABASE shop");
        postgres.admin("postgres", &format!("CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'; GRANT ALL ON DATABASE shop TO app"));
        postgres.sql("GRANT ALL ON SCHEMA public TO app");
        postgres
    }

    fn wait(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.psql("postgres", "SELECT 1").output().is_ok_and(|output| output.status.success()) {
            assert!(Instant::now() < deadline, "{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// It crashes and comes up again, which takes until somebody has been told that it does.
    pub fn restart(&mut self) {
        self.quit();
        let data = self.folder.path().join("data");
        let held = self.folder.path().join("held");
        for file in [&held, &data.join("recovery.signal")] {
            fs::write(file, "").expect("the folder can be written");
            own(file);
        }
        fs::write(self.folder.path().join("log"), "").expect("the log can be written");
        let command = format!("restore_command=while test -e {}; do sleep 0.02; done; false", held.display());
        self.server = serve(self.folder.path(), &self.addresses, self.port, &[command, "hot_standby=off".into()]);
        until("somebody was told that it comes up", || self.log().contains("FATAL:  the database system is"));
        fs::remove_file(held).expect("it was there");
        self.wait();
    }

    fn quit(&mut self) {
        // SIGQUIT: at once, and its children with it.
        let _ = Command::new("kill").args(["-QUIT", &self.server.id().to_string()]).status();
        let _ = self.server.wait();
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// What it has logged of sessions that waited for a lock for longer than podlift lets one wait, by their application's name.
    pub fn waited_too_long(&self, application: &str) -> Vec<String> {
        let begins = format!("{application} ");
        self.log().lines().filter(|line| line.starts_with(&begins) && line.contains("still waiting for")).map(str::to_owned).collect()
    }

    /// The folder of its socket.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// psql as the owner of everything.
    pub fn psql(&self, database: &str, sql: &str) -> Command {
        let mut psql = Command::new(program("psql"));
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--username=postgres"]);
        psql.arg("--host").arg(self.folder.path()).args(["--port", &self.port.to_string(), "--dbname", database, "--command", sql]);
        psql
    }

    /// Runs statements in `shop` as the owner of everything, and returns what they print.
    #[track_caller]
    pub fn sql(&self, sql: &str) -> String {
        self.admin("shop", sql)
    }

    #[track_caller]
    fn admin(&self, database: &str, sql: &str) -> String {
        let output = self.psql(database, sql).output().expect("psql starts");
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Makes it encrypt, with this certificate.
    pub fn encrypt(&self, certificate: &Certificate) {
        for (file, text) in [("server.crt", &certificate.certificate), ("server.key", &certificate.key)] {
            let path = self.folder.path().join("data").join(file);
            fs::write(&path, text).expect("the data folder can be written");
            fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("it is ours");
            own(&path);
        }
        self.admin("postgres", "ALTER SYSTEM SET ssl = on");
        self.reload();
    }

    /// Lets no client in over the network that does not encrypt.
    pub fn only_encrypted(&self) {
        let access = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";
        fs::write(self.folder.path().join("data/pg_hba.conf"), access).expect("the data folder can be written");
        self.reload();
    }

    fn reload(&self) {
        let loaded = "SELECT pg_conf_load_time()";
        let before = self.sql(loaded);
        self.sql("SELECT pg_reload_conf()");
        until("it has read its configuration", || self.sql(loaded) != before);
    }

    /// A psql that reads statements as they are written to it, and keeps its session open.
    pub fn session(&self, name: &str) -> Child {
        let psql = self.psql("shop", "");
        let mut session = Command::new(psql.get_program());
        session.args(psql.get_args().take(psql.get_args().count() - 2)).env("PGAPPNAME", name);
        session.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("psql starts")
    }
}

/// A lock that somebody has: a `SELECT pg_advisory_xact_lock(7)` waits until it is opened.
pub struct Gate {
    session: Child,
    input: ChildStdin,
}

impl Gate {
    /// Lets everybody through.
    pub fn open(mut self) {
        drop(self.input);
        self.session.wait().expect("it is our child");
    }
}

impl Postgres {
    /// A gate that is shut.
    pub fn gate(&self) -> Gate {
        let mut session = self.session("gate");
        let mut input = session.stdin.take().expect("it is piped");
        writeln!(input, "SELECT pg_advisory_lock(7);").expect("psql reads");
        until("the gate is shut", || self.at_gate(true) == 1);
        Gate { session, input }
    }

    /// How many sessions have its lock, or wait for it.
    pub fn at_gate(&self, granted: bool) -> usize {
        let text = format!("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 7 AND granted = {granted}");
        self.sql(&text).parse().expect("a number")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.quit();
    }
}

/// Runs the server on its data, with more settings.
fn serve(folder: &Path, addresses: &str, port: u16, more: &[String]) -> Child {
    let settings = [
        format!("port={port}"),
        format!("unix_socket_directories={}", folder.display()),
        format!("listen_addresses={addresses}"),
        "fsync=off".into(),
        "max_connections=60".into(),
        "shared_buffers=128MB".into(),
        "max_wal_size=4GB".into(),
        "autovacuum_naptime=5s".into(),
        "log_line_prefix=%a ".into(),
        "log_lock_waits=on".into(),
        format!("deadlock_timeout={LOCK_LIMIT}"),
    ];
    let log = fs::File::options().create(true).append(true).open(folder.join("log")).expect("the folder can be written");
    let mut server = unprivileged("postgres");
    server.arg("-D").arg(folder.join("data")).args(settings.iter().chain(more).flat_map(|setting| ["-c", setting]));
    server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("postgres starts")
}

/// One of Debian's programs of the newest version, else the one on the path.
pub fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path()))).max();
    newest.map(|(_, path)| path.join("bin").join(name)).filter(|path| path.exists()).unwrap_or_else(|| name.into())
}

/// The server refuses to run as root.
fn unprivileged(name: &str) -> Command {
    if !is_root() {
        return Command::new(program(name));
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program(name));
    command.current_dir("/");
    command
}

fn own(folder: &Path) {
    if is_root() {
        run(Command::new("chown").arg("postgres:").arg(folder));
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
