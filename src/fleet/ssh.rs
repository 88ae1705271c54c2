//! One SSH session: a multiplexing master in the background, and what goes through it.
#![expect(clippy::disallowed_types, reason = "fleet/ speaks SSH")]

use std::{
    collections::HashMap,
    io::ErrorKind,
    os::unix::{fs::MetadataExt, net::UnixListener},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use openssh::{ForwardType, Session, Socket};
use tempfile::TempDir;
use tokio::{
    net::UnixStream,
    sync::Mutex,
    time::{timeout, timeout_at},
};

use super::trouble;
use crate::{
    failure::{Failure, FailureKind},
    model::Host,
};

/// How long the local master may take to answer.
const LOCAL: Duration = Duration::from_secs(5);
/// A silent host is given up after this many unanswered questions, one each three seconds: 9 to 12 seconds.
const UNANSWERED: u32 = 3;
/// The longest path of a folder for runs: macOS allows 104 bytes for a socket's, of which a run's own part and the
/// suffix that ssh gives a socket that it makes take 45.
const LONGEST: usize = 58;
/// What the folders of runs begin with.
const PREFIX: &str = "podlift-";
/// The socket that tells that a run lives: a connection to it is refused once its process is gone, however it went.
const ALIVE: &str = "alive";
/// Unused forwards are closed when there are more than this.
const FORWARDS: usize = 64;

/// The folder of this process's control sockets.
pub struct RunFolder {
    folder: TempDir,
    _alive: UnixListener,
}

impl RunFolder {
    /// Makes the folder in `state`, and first ends what processes that are gone left there.
    pub async fn make(state: &Path) -> Result<Self, Failure> {
        let parent = if state.as_os_str().len() > LONGEST { Path::new("/tmp") } else { state };
        let failed =
            |error: std::io::Error| Failure::failed(format!("no folder for SSH's sockets could be made in {}: {error}", parent.display()));
        std::fs::create_dir_all(parent).map_err(failed)?;
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent).map_err(failed)?;
        let alive = UnixListener::bind(folder.path().join(ALIVE)).map_err(failed)?;
        // Of a shared folder such as /tmp only what is this user's own is looked at.
        let owner = folder.path().metadata().map_err(failed)?.uid();
        sweep(parent, owner).await;
        Ok(Self { folder, _alive: alive })
    }
}

/// Ends the masters of processes that are gone and removes their folders.
async fn sweep(parent: &Path, owner: u32) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for entry in entries.filter_map(Result::ok) {
        let path = entry.path();
        let is_run = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && entry.metadata().is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == owner);
        if is_run && is_dead(&path.join(ALIVE)).await {
            for session in std::fs::read_dir(&path).into_iter().flatten().filter_map(Result::ok) {
                end_master(&session.path().join("master")).await;
            }
            let _ = std::fs::remove_dir_all(&path);
        }
    }
}

async fn is_dead(alive: &Path) -> bool {
    match timeout(LOCAL, UnixStream::connect(alive)).await {
        Ok(Err(error)) => error.kind() == ErrorKind::ConnectionRefused,
        _ => false,
    }
}

/// Tells a master to exit, if there is one behind this socket.
async fn end_master(socket: &Path) {
    if !socket.exists() {
        return;
    }
    let mut ssh = tokio::process::Command::new("ssh");
    ssh.args(["-F", "none", "-O", "exit", "-S"]).arg(socket).arg("podlift");
    ssh.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let _ = timeout(LOCAL, ssh.status()).await;
}

/// How long an attempt to open a session may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// As long as a slow host may need.
    Full,
    /// A few seconds: it is most likely in vain.
    Brief,
}

impl Effort {
    /// How long a host may take to accept a connection.
    const fn connect(self) -> Duration {
        Duration::from_secs(match self {
            Self::Full => 10,
            Self::Brief => 4,
        })
    }

    /// How long the whole way to a usable session may take: `ConnectTimeout` leaves the authentication out.
    const fn login(self) -> Duration {
        Duration::from_secs(match self {
            Self::Full => 30,
            Self::Brief => 5,
        })
    }
}

/// A session that was opened.
pub struct OpenSession {
    session: Arc<Session>,
    folder: PathBuf,
    forwards: Mutex<HashMap<Target, Arc<Forward>>>,
    next: AtomicUsize,
}

/// What a forward leads to, from the host's point of view.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// A unix socket.
    Unix(PathBuf),
    /// An address and port.
    Tcp(String, u16),
}

/// A local socket that leads to the host's.
pub struct Forward {
    /// The local socket's path.
    pub path: PathBuf,
    used: std::sync::Mutex<Instant>,
}

impl OpenSession {
    /// Logs in.
    pub async fn open(host: &Host, config: Option<&Path>, run: &RunFolder, effort: Effort) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new()
            .prefix("")
            .rand_bytes(4)
            .tempdir_in(run.folder.path())
            .map_err(|error| Failure::failed(format!("no folder for SSH's sockets could be made: {error}")))?;
        let log = folder.path().join("log");
        let mut ssh = tokio::process::Command::new("ssh");
        ssh.args(arguments(host, config, folder.path(), effort));
        ssh.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        // A ctrl-C at the terminal is podlift's to handle.
        ssh.process_group(0);
        let status = match timeout(effort.login(), ssh.status()).await {
            Ok(Ok(status)) => status,
            Ok(Err(error)) if error.kind() == ErrorKind::NotFound => {
                return Err(Failure::failed("there is no `ssh` on this machine").hint("install the OpenSSH client"));
            }
            Ok(Err(error)) => return Err(Failure::failed(format!("`ssh` could not be started: {error}"))),
            Err(_) => {
                return Err(Failure::new(
                    FailureKind::Unreachable,
                    format!("{} did not let ssh in within {} s", host.name, effort.login().as_secs()),
                )
                .on(&host.name));
            }
        };
        if !status.success() {
            let words = std::fs::read_to_string(&log).unwrap_or_default();
            return Err(trouble::login(host, &words));
        }
        let path = folder.path().to_owned();
        Ok(Self { session: Arc::new(Session::new_native_mux(folder)), folder: path, forwards: Mutex::default(), next: AtomicUsize::new(0) })
    }

    /// The session, for commands.
    pub fn session(&self) -> Arc<Session> {
        self.session.clone()
    }

    /// Whether the master still runs; it ends itself when the host falls silent.
    pub async fn is_alive(&self) -> bool {
        matches!(timeout(LOCAL, self.session.check()).await, Ok(Ok(())))
    }

    /// A local socket that leads to `target`, made once.
    pub async fn forward(&self, target: &Target) -> Result<Arc<Forward>, openssh::Error> {
        let mut forwards = self.forwards.lock().await;
        if let Some(forward) = forwards.get(target) {
            *forward.used.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Instant::now();
            return Ok(forward.clone());
        }
        if forwards.len() >= FORWARDS {
            self.close_unused(&mut forwards).await;
        }
        let path = self.folder.join(format!("f{}", self.next.fetch_add(1, Ordering::Relaxed)));
        self.request(&path, target, true).await?;
        let forward = Arc::new(Forward { path, used: std::sync::Mutex::new(Instant::now()) });
        forwards.insert(target.clone(), forward.clone());
        Ok(forward)
    }

    /// What the master wrote since it began: where OpenSSH says why a forwarded connection was refused.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Closes the forward that was left alone for longest.
    async fn close_unused(&self, forwards: &mut HashMap<Target, Arc<Forward>>) {
        let oldest = forwards
            .iter()
            .filter(|(target, forward)| matches!(target, Target::Tcp(..)) && Arc::strong_count(forward) == 1)
            .min_by_key(|(_, forward)| *forward.used.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
            .map(|(target, _)| target.clone());
        if let Some(target) = oldest
            && let Some(forward) = forwards.remove(&target)
        {
            let _ = self.request(&forward.path, &target, false).await;
            let _ = std::fs::remove_file(&forward.path);
        }
    }

    async fn request(&self, path: &Path, target: &Target, open: bool) -> Result<(), openssh::Error> {
        let listen = Socket::from(path);
        let connect = match target {
            Target::Unix(path) => Socket::from(path.as_path()),
            Target::Tcp(address, port) => Socket::new(address.as_str(), *port),
        };
        let asked = async {
            if open {
                self.session.request_port_forward(ForwardType::Local, listen, connect).await
            } else {
                self.session.close_port_forward(ForwardType::Local, listen, connect).await
            }
        };
        let deadline = tokio::time::Instant::now() + LOCAL;
        timeout_at(deadline, asked).await.unwrap_or(Err(openssh::Error::Disconnected))
    }

    /// Ends the master, and with it all that goes through it.
    pub async fn close(&self) {
        end_master(&self.folder.join("master")).await;
    }
}

/// What ssh is started with: the user's own configuration holds, but host keys are strict and nothing is asked.
fn arguments(host: &Host, config: Option<&Path>, folder: &Path, effort: Effort) -> Vec<std::ffi::OsString> {
    let mut arguments: Vec<std::ffi::OsString> = vec!["-E".into(), folder.join("log").into()];
    arguments.extend(["-S".into(), folder.join("master").into()]);
    arguments.extend(["-M", "-N", "-f"].map(Into::into));
    let options = [
        "ControlPersist=yes".to_owned(),
        "BatchMode=yes".into(),
        "StrictHostKeyChecking=yes".into(),
        format!("ConnectTimeout={}", effort.connect().as_secs()),
        "ServerAliveInterval=3".into(),
        format!("ServerAliveCountMax={UNANSWERED}"),
        "LogLevel=INFO".into(),
        "RemoteCommand=none".into(),
        "ForwardAgent=no".into(),
        "ForwardX11=no".into(),
    ];
    for option in options {
        arguments.extend(["-o".into(), option.into()]);
    }
    if let Some(config) = config {
        arguments.extend(["-F".into(), config.into()]);
    }
    if let Some(port) = host.port {
        arguments.extend(["-p".into(), port.to_string().into()]);
    }
    if let Some(user) = &host.user {
        arguments.extend(["-l".into(), user.into()]);
    }
    if let Some(identity) = &host.identity {
        arguments.extend(["-o".into(), "IdentitiesOnly=yes".into(), "-i".into(), identity.into()]);
    }
    arguments.extend(["--".into(), host.name.as_str().into()]);
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_is_asked_strictly() {
        let mut host = Host::parse("deploy@10.0.0.11:2222").expect("valid");
        host.identity = Some("/k/id".into());
        let arguments = arguments(&host, Some(Path::new("/c")), Path::new("/s/x"), Effort::Full);
        let words: Vec<_> = arguments.iter().map(|word| word.to_str().expect("UTF-8")).collect();
        assert_eq!(
            words.join(" "),
            "-E /s/x/log -S /s/x/master -M -N -f -o ControlPersist=yes -o BatchMode=yes -o StrictHostKeyChecking=yes -o ConnectTimeout=10 \
             -o ServerAliveInterval=3 -o ServerAliveCountMax=3 -o LogLevel=INFO -o RemoteCommand=none -o ForwardAgent=no -o ForwardX11=no \
             -F /c -p 2222 -l deploy -o IdentitiesOnly=yes -i /k/id -- 10.0.0.11"
        );
    }

    #[tokio::test]
    async fn only_folders_of_the_dead_are_swept() {
        let state = tempfile::Builder::new().prefix("s").tempdir_in("/tmp").expect("a folder");
        let dead = state.path().join("podlift-dead");
        std::fs::create_dir(&dead).expect("a folder");
        drop(UnixListener::bind(dead.join(ALIVE)).expect("a socket"));
        let foreign = state.path().join("podlift-without");
        std::fs::create_dir(&foreign).expect("a folder");
        let first = RunFolder::make(state.path()).await.expect("made");
        let second = RunFolder::make(state.path()).await.expect("made");
        assert!(!dead.exists() && foreign.exists());
        assert!(first.folder.path().exists() && second.folder.path().exists());
    }
}
