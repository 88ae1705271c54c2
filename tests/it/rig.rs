//! Throw-away hosts, each with its own sshd, Docker engine and nginx: the Rust side of `tests/rig/rig`.

use std::fmt::Debug;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

/// What a rig is made of.
#[expect(clippy::struct_excessive_bools, reason = "they are independent of each other")]
pub struct RigOptions {
    /// How many hosts: `h1`, `h2`, … over ssh as root, `d1`, `d2`, … as the user `deploy`.
    pub hosts: usize,
    /// Whether there is a client 40 ms away, from which a [`Load`](crate::load::Load) can come.
    pub client: bool,
    pub nginx: bool,
    /// Whether Debian's `sites-enabled/default` is there, as on a fresh server.
    pub nginx_default: bool,
    /// Whether the user `deploy` may use sudo.
    pub sudo: bool,
    /// The size of a file system of its own for each Docker engine, such as `200M`.
    pub disk: Option<&'static str>,
    /// Further members of each engine's `daemon.json`.
    pub docker: Option<&'static str>,
}

impl Default for RigOptions {
    fn default() -> Self {
        Self { hosts: 1, client: false, nginx: true, nginx_default: false, sudo: true, disk: None, docker: None }
    }
}

/// Running hosts. They are removed with it, also when a test panics; if the test process is killed, by the next rig that starts.
pub struct Rig {
    id: String,
    state: PathBuf,
    hosts: Vec<Host>,
}

/// One host of a rig.
pub struct Host {
    /// Its name and ssh alias.
    pub name: String,
    /// Its IPv4 address.
    pub address: String,
}

/// What a command did.
#[derive(Debug)]
pub struct Output {
    /// The exit code, -1 if a signal ended the command.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// The output of a command that succeeded, without the white space around it. Panics if it failed.
    #[track_caller]
    pub fn text(&self) -> &str {
        assert!(self.code == 0, "exit code {}: {}{}", self.code, self.stdout, self.stderr);
        self.stdout.trim()
    }
}

/// Runs a command to its end, with `input` on its stdin.
pub fn output(command: &mut Command, input: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    // A command may end without reading its input.
    let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    Output {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Rig {
    /// Starts hosts and waits until ssh, Docker and nginx answer.
    pub fn up(options: RigOptions) -> Self {
        Self::up_as("auto", options)
    }

    /// Starts hosts under an id of the caller's own, which no other rig takes by itself: from 197 to 199.
    pub fn up_as(id: &str, options: RigOptions) -> Self {
        let flag = |on| if on { "1" } else { "0" };
        let mut command = script(id);
        command.args(["up", &options.hosts.to_string()]);
        command.env("RIG_OWNER", std::process::id().to_string());
        command.env("RIG_NGINX", flag(options.nginx));
        command.env("RIG_NGINX_DEFAULT", flag(options.nginx_default));
        command.env("RIG_SUDO", flag(options.sudo));
        command.env("RIG_DISK", options.disk.unwrap_or_default());
        command.env("RIG_DOCKER_JSON", options.docker.unwrap_or_default());
        if options.client {
            command.env("RIG_CLIENT", "1").env("RIG_LOAD", load_program());
        }
        Self::of(PathBuf::from(output(&mut command, "").text()))
    }

    /// Takes over the rig with this state directory.
    fn of(state: PathBuf) -> Self {
        let name = state.file_name().expect("a rig's directory has a name").to_string_lossy();
        let id = name.strip_prefix("rg").expect("it is rg and the id").to_owned();
        let host = |line: &str| {
            let (name, address) = line.split_once(' ').expect("a line is a name and an address");
            Host { name: name.to_owned(), address: address.to_owned() }
        };
        let hosts = read(&state.join("hosts")).lines().map(host).collect();
        Self { id, state, hosts }
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// This machine's address in the hosts' network.
    pub fn gateway(&self) -> String {
        format!("10.77.{}.1", self.id)
    }

    /// Where the rig keeps keys, logs and the hosts' disks.
    pub fn state(&self) -> &Path {
        &self.state
    }

    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The host `h{number}`, from 1.
    pub fn host(&self, number: usize) -> &Host {
        &self.hosts[number - 1]
    }

    /// An ssh configuration in which the hosts' aliases, key and host keys are.
    pub fn ssh_config(&self) -> PathBuf {
        self.state.join("ssh_config")
    }

    /// The socket of a host's Docker engine, as this machine sees it.
    pub fn docker_socket(&self, number: usize) -> PathBuf {
        let pid = read(&self.state.join(format!("h{number}/pid")));
        let pid = pid.split_whitespace().next().expect("the pid comes first");
        PathBuf::from(format!("/proc/{pid}/root/run/docker.sock"))
    }

    /// Runs a command as root on a host, not over ssh.
    pub fn exec(&self, number: usize, command: &[&str]) -> Output {
        output(script(&self.id).args(["exec", &number.to_string()]).args(command), "")
    }

    /// Runs a command over ssh. The alias says the host and the user: `h1` is root, `d1` is deploy.
    pub fn ssh(&self, alias: &str, command: &str) -> Output {
        output(Command::new("ssh").arg("-F").arg(self.ssh_config()).args([alias, command]), "")
    }

    /// Writes a file on a host.
    pub fn write(&self, number: usize, path: &str, content: &str) {
        output(script(&self.id).args(["exec", &number.to_string(), "tee", path]), content).text();
    }

    /// A command that will run 40 ms away.
    pub fn client(&self, program: impl AsRef<Path>) -> Command {
        let mut command = script(&self.id);
        command.arg("client").arg(program.as_ref());
        command
    }

    /// Cuts a host's power: it is gone without a word, its disk stays.
    pub fn kill(&self, number: usize) {
        self.tell("kill", &[number]);
    }

    /// Shuts a host down in an orderly way.
    pub fn stop(&self, number: usize) {
        self.tell("stop", &[number]);
    }

    /// Switches a host on and waits until it answers.
    pub fn start(&self, number: usize) {
        self.tell("start", &[number]);
    }

    /// Cuts a host's power and switches it on again.
    pub fn reboot(&self, number: usize) {
        self.tell("reboot", &[number]);
    }

    /// Cuts a host off: it runs on, but nothing reaches it, silently.
    pub fn partition(&self, number: usize) {
        self.tell("partition", &[number]);
    }

    /// Cuts two hosts off from each other.
    pub fn cut(&self, one: usize, other: usize) {
        self.tell("cut", &[one, other]);
    }

    /// Makes a host answer connections to a port with a reset.
    pub fn refuse_port(&self, number: usize, port: u16) {
        self.tell("refuse", &[number, usize::from(port)]);
    }

    /// Makes a host overlook everything that is sent to a port.
    pub fn drop_port(&self, number: usize, port: u16) {
        self.tell("drop", &[number, usize::from(port)]);
    }

    /// Undoes partitions, cuts, refused and dropped ports of a host.
    pub fn heal(&self, number: usize) {
        self.tell("heal", &[number]);
    }

    /// What is on a host, sorted: containers, images, networks, volumes, nginx's files, other files that were left, listening
    /// sockets and processes. Two snapshots are equal if nothing was left behind in between.
    pub fn snapshot(&self, number: usize) -> Vec<String> {
        let snapshot = output(script(&self.id).args(["snapshot", &number.to_string()]), "");
        // A run that began to change something keeps a copy of its journal there.
        snapshot.text().lines().filter(|line| !line.contains("/podlift/runs/")).map(str::to_owned).collect()
    }

    /// Builds the quickstart's app on a host as `demo:VERSION` and returns this reference.
    pub fn build_app(&self, number: usize, version: &str) -> String {
        let image = format!("demo:{version}");
        let engine = format!("unix://{}", self.docker_socket(number).display());
        let mut build = Command::new("docker");
        build.args(["-H", &engine, "build", "-q", "--build-arg", &format!("VERSION={version}"), "-t", &image]);
        // The hosts' engine has no BuildKit client at hand.
        output(build.arg(app_context()).env("DOCKER_BUILDKIT", "0"), "").text();
        image
    }

    fn tell(&self, verb: &str, numbers: &[usize]) {
        output(script(&self.id).arg(verb).args(numbers.iter().map(usize::to_string)), "").text();
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let down = output(script(&self.id).arg("down"), "");
        // A second panic would hide why the test failed.
        assert!(down.code == 0 || std::thread::panicking(), "{}", down.stderr);
    }
}

/// The rig's script, for the rig with this id.
pub fn script(id: &str) -> Command {
    let mut command = Command::new(repository().join("tests/rig/rig"));
    command.env("RIG_ID", id);
    command
}

/// The `podlift-load` program, built once, optimised so that it is not what limits the load.
pub fn load_program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--locked", "--release", "--package", "podlift-load", "--target-dir"]);
        output(build.arg(target()).current_dir(repository()), "").text();
        target().join("release/podlift-load")
    })
}

/// A folder from which `docker build` makes the quickstart's image: its Dockerfile and the app, built once.
pub fn app_context() -> &'static Path {
    static CONTEXT: OnceLock<PathBuf> = OnceLock::new();
    CONTEXT.get_or_init(|| {
        let source = repository().join("examples/quickstart");
        let context = Path::new(env!("CARGO_TARGET_TMPDIR")).join("quickstart");
        fs::create_dir_all(&context).expect("the target directory can be written");
        let modified = |file: &Path| file.metadata().and_then(|metadata| metadata.modified()).ok();
        if modified(&context.join("Dockerfile")) < modified(&source.join("app.rs")) {
            // Several tests may get here at once: each makes its own, and renames replace whole files.
            let made = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target directory can be written");
            let mut build = Command::new("rustc");
            build.args(["--edition", "2024", "-O", "-C", "strip=symbols", "-C", "target-feature=+crt-static", "-o"]);
            output(build.arg(made.path().join("app")).arg(source.join("app.rs")), "").text();
            // It is the same layer of every image, whichever test has made it: a layer's hash is also of when its files were changed.
            let app = fs::File::options().write(true).open(made.path().join("app")).expect("it was built");
            app.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(3600)).expect("it is ours");
            for file in ["Dockerfile", ".dockerignore"] {
                fs::copy(source.join(file), made.path().join(file)).expect("the quickstart has it");
            }
            for file in [".dockerignore", "app", "Dockerfile"] {
                fs::rename(made.path().join(file), context.join(file)).expect("both are in the target directory");
            }
        }
        context
    })
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is a folder of the target directory")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
