//! A host within reach: its Docker engine, its commands, its ports.
#![expect(clippy::disallowed_types, reason = "fleet/ speaks to engines")]

mod attempts;
mod program;
mod request;
mod stream;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use bollard::{API_DEFAULT_VERSION, Docker};
use futures_util::future::join_all;
use tokio::{
    net::{TcpStream, UnixStream},
    sync::{Mutex, OnceCell, Semaphore},
    task::JoinHandle,
    time::timeout,
};

use self::{
    attempts::Attempts,
    program::{first_words, here, there},
};
pub use self::{
    program::{exit_code, quoted},
    request::Request,
    stream::Stream,
};
use super::{
    lease::Leases,
    ssh::{OpenSession, RunFolder, Target},
    trouble::{self, SocketLook},
};
use crate::{
    failure::{Failure, FailureKind},
    model::Host,
    op::CommandOutput,
};

/// sshd refuses more than ten sessions (`MaxSessions`) instead of queueing them.
const COMMANDS_AT_ONCE: usize = 8;
/// How long an API call may take to begin its answer.
const API_SECONDS: u64 = 120;
/// How long the first answer of an engine may take.
const FIRST_ANSWER: Duration = Duration::from_secs(15);
/// How long a connection to a port may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long may be waited for what tidies up.
const TIDYING: Duration = Duration::from_secs(20);
/// How long the first word of a new session, that its leases are still its own, may take.
const CONFIRMATION: Duration = Duration::from_secs(20);
/// What is kept of a command's output, in bytes.
pub const OUTPUT_LIMIT: usize = 1 << 20;

/// A host within reach. Opened on first use and again where it broke; `local` has the same face without SSH.
pub struct Connection {
    host: Host,
    config: Option<PathBuf>,
    state: PathBuf,
    folder: Arc<OnceCell<RunFolder>>,
    opened: Mutex<Option<Arc<Opened>>>,
    attempts: Attempts,
    commands: Semaphore,
    user: OnceCell<User>,
    /// What runs besides the eight: one at a time.
    aside: Semaphore,
    leases: Leases,
    /// Who has them.
    holder: String,
    /// What tidies up behind work that was given up, until it is done.
    afterwards: std::sync::Mutex<Vec<JoinHandle<()>>>,
}

/// What is valid until the session ends.
struct Opened {
    /// `None` for the operator's own machine.
    session: Option<OpenSession>,
    docker: Mutex<Option<(PathBuf, Docker)>>,
}

/// Who podlift is on the host.
#[derive(Clone, Debug)]
pub struct User {
    /// What it is called there.
    pub name: String,
    /// Whether it may do everything without `sudo`.
    pub is_root: bool,
}

impl Connection {
    /// A connection that is opened on first use.
    pub fn new(host: Host, config: Option<PathBuf>, state: PathBuf, folder: Arc<OnceCell<RunFolder>>) -> Self {
        Self {
            host,
            config,
            state,
            folder,
            opened: Mutex::default(),
            attempts: Attempts::default(),
            commands: Semaphore::new(COMMANDS_AT_ONCE),
            user: OnceCell::new(),
            aside: Semaphore::new(1),
            leases: Leases::default(),
            holder: String::new(),
            afterwards: std::sync::Mutex::default(),
        }
    }

    /// Says who has the leases that are taken through it.
    #[must_use]
    pub fn held_by(self, holder: &str) -> Self {
        Self { holder: holder.to_owned(), ..self }
    }

    /// The leases that were taken through it.
    pub const fn leases(&self) -> &Leases {
        &self.leases
    }

    /// The host.
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// Opens the session, unless it is open and alive.
    pub async fn open(&self) -> Result<(), Failure> {
        self.opened().await.map(drop)
    }

    /// Takes note that nobody waits for the host any longer, where it is the host that could not be reached. From now on what it is
    /// needed for fails at once with the same reason, but for a brief new attempt every ten seconds, by which a host that came
    /// back is used again.
    pub fn give_up(&self) {
        self.attempts.give_up();
    }

    /// Whether nobody waits for the host any longer, and it has not come back since.
    pub fn is_given_up(&self) -> bool {
        self.attempts.is_given_up()
    }

    /// Lets a host that was given up be tried once more without a wait, as briefly as then.
    pub fn reach_again(&self) {
        self.attempts.reach_again();
    }

    /// Does this without being waited for: it tidies up behind work that was given up. Only [`Self::close`] waits for it.
    pub fn afterwards(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let mut afterwards = self.afterwards.lock().unwrap_or_else(PoisonError::into_inner);
            afterwards.retain(|work| !work.is_finished());
            afterwards.push(runtime.spawn(work));
        }
    }

    /// Ends the session, once what is done afterwards is done, or has taken too long.
    pub async fn close(&self) {
        let afterwards = std::mem::take(&mut *self.afterwards.lock().unwrap_or_else(PoisonError::into_inner));
        let _ = timeout(TIDYING, join_all(afterwards)).await;
        if let Some(opened) = self.opened.lock().await.take()
            && let Some(session) = &opened.session
        {
            session.close().await;
        }
    }

    async fn opened(&self) -> Result<Arc<Opened>, Failure> {
        let known = self.attempts.failed();
        let mut slot = self.opened.lock().await;
        if let Some(opened) = slot.as_ref() {
            match &opened.session {
                Some(session) if !session.is_alive().await => {}
                _ => return Ok(opened.clone()),
            }
        }
        *slot = None;
        if let Some(lost) = self.leases.lost() {
            return Err(lost);
        }
        let session = if self.host.is_local() {
            None
        } else {
            let effort = self.attempts.next(known, Instant::now())?;
            let run = self.folder.get_or_try_init(|| RunFolder::make(&self.state)).await?;
            let opened = OpenSession::open(&self.host, self.config.as_deref(), run, effort).await;
            let session = opened.inspect_err(|failure| self.attempts.note(failure, Instant::now()))?;
            self.attempts.succeeded();
            self.confirm_leases(&session).await?;
            Some(session)
        };
        let opened = Arc::new(Opened { session, docker: Mutex::default() });
        *slot = Some(opened.clone());
        Ok(opened)
    }

    /// Renews the leases of this run through a new session, before anything else goes through it: whoever has taken one over has
    /// ended the session before it.
    async fn confirm_leases(&self, session: &OpenSession) -> Result<(), Failure> {
        for renewal in self.leases.renewals(&self.host, &self.holder) {
            let words: Vec<&str> = renewal.words.iter().map(String::as_str).collect();
            let answer = timeout(CONFIRMATION, there(session, &words, &[])).await;
            let known = match answer {
                Ok(Ok(output)) => self.leases.renewed(&self.host, &renewal, &output.stdout),
                _ => Err(trouble::lost(&self.host, "the renewal of its lease")),
            };
            if let Err(failure) = known {
                session.close().await;
                return Err(failure);
            }
        }
        Ok(())
    }

    /// Renews the leases that were taken through it. What cannot be asked now is asked again later.
    pub async fn renew_leases(&self) {
        for renewal in self.leases.renewals(&self.host, &self.holder) {
            let words: Vec<&str> = renewal.words.iter().map(String::as_str).collect();
            if let Ok(output) = self.aside(Request::new(&words).called("the script for leases")).await {
                let _ = self.leases.renewed(&self.host, &renewal, &output.stdout);
            }
        }
    }

    /// Asks the host whether the leases that were taken through it are still this run's; it may not answer.
    ///
    /// # Errors
    /// Where one is another's by now.
    pub async fn confirm(&self) -> Result<(), Failure> {
        self.renew_leases().await;
        self.leases.lost().map_or(Ok(()), Err)
    }

    /// Docker's API, its version negotiated. A call may take two minutes to begin its answer.
    pub async fn docker(&self) -> Result<Docker, Failure> {
        Ok(self.engine().await?.1)
    }

    /// The path of a local socket that leads to the engine, for programs that speak to it themselves.
    pub async fn docker_socket(&self) -> Result<PathBuf, Failure> {
        Ok(self.engine().await?.0)
    }

    async fn engine(&self) -> Result<(PathBuf, Docker), Failure> {
        let opened = self.opened().await?;
        let mut slot = opened.docker.lock().await;
        if let Some(engine) = slot.as_ref() {
            return Ok(engine.clone());
        }
        let path = match &opened.session {
            None => PathBuf::from(&self.host.docker),
            Some(session) => match session.forward(&Target::Unix(PathBuf::from(&self.host.docker))).await {
                Ok(forward) => forward.path.clone(),
                Err(error) => {
                    return Err(trouble::lost(&self.host, "the forwarding of Docker's socket").detail("ssh", error.to_string()));
                }
            },
        };
        let Some(docker) = answering(&path).await else { return Err(self.why_docker_is_silent(&opened).await) };
        *slot = Some((path.clone(), docker.clone()));
        Ok((path, docker))
    }

    async fn why_docker_is_silent(&self, opened: &Opened) -> Failure {
        if let Some(session) = &opened.session
            && !session.is_alive().await
        {
            return trouble::lost(&self.host, "the first call of Docker");
        }
        let program = ["sh", "-c", SocketLook::SCRIPT, "sh", &self.host.docker];
        let look = match self.run(Request::new(&program).timeout(FIRST_ANSWER).called("the look at Docker's socket")).await {
            Ok(output) => SocketLook::read(&output.stdout),
            Err(failure) if failure.kind == FailureKind::Unreachable => return failure,
            Err(_) => SocketLook::Silent,
        };
        let user = self.user().await.map_or_else(|_| "USER".into(), |user| user.name.clone());
        let failure = trouble::docker_socket(&self.host, look, &user);
        match &opened.session {
            Some(session) => failure.detail("ssh", last_line(&session.log())),
            None => failure,
        }
    }

    /// Who podlift is on the host.
    pub async fn user(&self) -> Result<&User, Failure> {
        self.user
            .get_or_try_init(|| async {
                let output = self.command(&Request::new(&["id", "-un"]), &["id", "-un"]).await?;
                let name = output.stdout.trim().to_owned();
                let output = self.command(&Request::new(&["id", "-u"]), &["id", "-u"]).await?;
                Ok(User { is_root: output.stdout.trim() == "0", name })
            })
            .await
    }

    /// Runs a command, at most eight at once. Another exit code than 0 is no failure; a timeout, a lost connection and a
    /// refused `sudo` are. What goes beyond 1 MB of output is dropped.
    pub async fn run(&self, request: Request<'_>) -> Result<CommandOutput, Failure> {
        let sudo = match (request.sudo, self.host.sudo) {
            (false, _) | (_, Some(false)) => false,
            (true, Some(true)) => true,
            (true, None) => !self.user().await?.is_root,
        };
        if !sudo {
            return self.command(&request, request.program).await;
        }
        let program: Vec<&str> = ["sudo", "-n", "--"].iter().chain(request.program).copied().collect();
        let output = self.command(&request, &program).await?;
        if output.code != 0 && output.stderr.starts_with("sudo: ") {
            let user = self.user().await?;
            let command = match request.program.first().copied().unwrap_or_default() {
                "sh" => "/bin/sh",
                command => command,
            };
            return Err(Failure::refused(format!("{} may not run `{}` as root on {}", user.name, first_words(&program), self.host.name))
                .on(&self.host.name)
                .detail("sudo", output.stderr)
                .hint(format!("allow it in /etc/sudoers.d/podlift: `{} ALL=(root) NOPASSWD: {command}`", user.name))
                .hint("or log in as root"));
        }
        if output.code == 127 && output.stderr.contains("sudo") {
            return Err(Failure::refused(format!("there is no `sudo` on {}", self.host.name))
                .on(&self.host.name)
                .hint("install sudo, or log in as root"));
        }
        Ok(output)
    }

    async fn command(&self, request: &Request<'_>, program: &[&str]) -> Result<CommandOutput, Failure> {
        // Each of those that it waits for here has a timeout of its own; its own time begins behind them.
        let _permit = self.commands.acquire().await.expect("the semaphore is never closed");
        self.at_once(request, program).await
    }

    /// Runs a short command that does not wait for the eight that may be running.
    pub async fn aside(&self, request: Request<'_>) -> Result<CommandOutput, Failure> {
        let _permit = self.aside.acquire().await.expect("the semaphore is never closed");
        self.at_once(&request, request.program).await
    }

    async fn at_once(&self, request: &Request<'_>, program: &[&str]) -> Result<CommandOutput, Failure> {
        let what = || request.name.map_or_else(|| format!("`{}`", first_words(program)), str::to_owned);
        let done = async {
            let opened = self.opened().await?;
            match &opened.session {
                None => here(program, &request.stdin, request.watched).await.map_err(|error| self.not_started(&what(), &error)),
                Some(session) => there(session, program, &request.stdin).await.map_err(|error| match error {
                    openssh::Error::Remote(error) => self.not_started(&what(), &error),
                    error => trouble::lost(&self.host, &what()).detail("ssh", error.to_string()),
                }),
            }
        };
        timeout(request.timeout, done).await.unwrap_or_else(|_| {
            let message = format!("{} took longer than {} s on {}", what(), request.timeout.as_secs(), self.host.name);
            Err(Failure::new(FailureKind::Timeout, message).on(&self.host.name))
        })
    }

    fn not_started(&self, what: &str, error: &io::Error) -> Failure {
        Failure::failed(format!("{what} could not be started on {}: {error}", self.host.name)).on(&self.host.name)
    }

    /// Connects to an address and port from the host's own point of view. Through SSH it succeeds before the port has
    /// accepted: a refused connection shows as an immediate end.
    pub async fn tcp(&self, address: &str, port: u16) -> Result<Stream, Failure> {
        let opened = self.opened().await?;
        let to = || format!("{address}:{port}");
        let refused = |error: io::Error| {
            Failure::new(FailureKind::Unreachable, format!("{} did not accept the connection on {}: {error}", to(), self.host.name))
                .on(&self.host.name)
        };
        match &opened.session {
            None => {
                let stream =
                    timeout(CONNECT, TcpStream::connect((address, port))).await.unwrap_or_else(|_| Err(late())).map_err(refused)?;
                Ok(Stream::direct(stream))
            }
            Some(session) => {
                let forward = session
                    .forward(&Target::Tcp(address.to_owned(), port))
                    .await
                    .map_err(|error| trouble::lost(&self.host, &format!("the forwarding of {}", to())).detail("ssh", error.to_string()))?;
                let stream = timeout(CONNECT, UnixStream::connect(&forward.path)).await.unwrap_or_else(|_| Err(late())).map_err(refused)?;
                Ok(Stream::forwarded(stream, forward))
            }
        }
    }
}

fn late() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

/// Docker's API behind a local socket, if an engine answers there.
async fn answering(path: &Path) -> Option<Docker> {
    let docker = Docker::connect_with_unix(path.to_str()?, API_SECONDS, API_DEFAULT_VERSION).ok()?;
    timeout(FIRST_ANSWER, docker.negotiate_version()).await.ok()?.ok()
}
fn last_line(text: &str) -> String {
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
}
#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_local_machine_runs_commands_as_a_host_does() {
        let host = Host::parse("local").expect("valid");
        let connection = Connection::new(host, None, PathBuf::from("/tmp"), Arc::default());
        let output = connection.run(Request::new(&["sh", "-c", "cat; echo oops >&2; exit 3"]).stdin("hello")).await.expect("ran");
        assert_eq!(output, CommandOutput { code: 3, stdout: "hello".into(), stderr: "oops\n".into() });
        let big = connection.run(Request::new(&["sh", "-c", "head -c 3000000 /dev/zero"])).await.expect("ran");
        assert_eq!(big.stdout.len(), OUTPUT_LIMIT);
        let late = connection.run(Request::new(&["sleep", "60"]).timeout(Duration::from_millis(50))).await.expect_err("late");
        assert_eq!(late.kind, FailureKind::Timeout);
        assert_eq!(connection.run(Request::new(&["no-such-program"])).await.expect("answered").code, 127);
    }
}
