//! Commands of hooks and probes: on the operator's machine, on a host, in a container, or in a container of their own.
//!
//! Values of secrets reach a command through its environment and its standard input, never through a command line that
//! podlift makes: a host's process list is for everyone to read.
#![expect(clippy::disallowed_types, reason = "fleet/ starts programs")]

mod contained;
mod resolved;

use std::{io, process::Stdio, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::Command,
    time::timeout,
};

use self::{
    contained::{alone, exec},
    resolved::{Resolved, WRAPPER},
};
use super::{
    Connection, Fleet, Request,
    connection::{OUTPUT_LIMIT, exit_code},
    containers::one_off,
    group::Group,
};
use crate::{
    executor::Progress,
    failure::{Failure, FailureKind},
    model::{ContainerName, Token},
    op::{CommandOutput, Invocation, Place},
};

/// Ends every process that has the mark in its environment: first politely, after two seconds for good. Without the tools that find
/// them nothing is known.
const END: &str = r#"command -v tr >/dev/null && command -v grep >/dev/null && [ -e /proc/self/environ ] || exit 4
marked() { for f in /proc/[0-9]*/environ; do if tr '\0' '\n' <"$f" 2>/dev/null | grep -qx "PODLIFT_CALL=$1"; then p=${f#/proc/}; echo "${p%/environ}"; fi; done; }
p=$(marked "$1"); [ -z "$p" ] || kill -TERM $p 2>/dev/null
for i in 1 2 3 4 5 6 7 8 9 10; do p=$(marked "$1"); [ -n "$p" ] || exit 0; sleep 0.2; done
kill -KILL $p 2>/dev/null
for i in 1 2 3 4 5; do p=$(marked "$1"); [ -n "$p" ] || exit 0; sleep 0.2; done
exit 3"#;

/// What [`END`] exits with where something goes on.
const GOES_ON: i64 = 3;

/// How long the end of a command may take.
const ENDING: Duration = Duration::from_secs(15);

/// How much longer than the command itself the way to it may take.
const WAY: Duration = Duration::from_secs(20);

/// The variable by which a command's processes are found when they have to be ended.
const MARK: &str = "PODLIFT_CALL";

fn mark(token: &Token) -> String {
    format!("{MARK}={token}")
}

/// What a command is to its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It only reads.
    Read,
    /// It may change something, and is begun for the first time.
    First,
    /// An earlier process has begun it, which died: what is left of that is ended first.
    Again,
}

/// Ends a command on a host, or in a container there, when it is not waited for any longer.
struct Ending {
    connection: Arc<Connection>,
    container: Option<ContainerName>,
    token: Token,
    is_over: bool,
}

impl Ending {
    fn new(connection: &Arc<Connection>, container: Option<&ContainerName>, token: &Token) -> Self {
        Self { connection: connection.clone(), container: container.cloned(), token: token.clone(), is_over: false }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let (connection, container, token) = (self.connection.clone(), self.container.take(), self.token.clone());
        self.connection.afterwards(async move {
            let program = ["sh", "-c", END, "sh", token.as_str()];
            let Some(container) = container else {
                let _ = connection.run(Request::new(&program).timeout(ENDING)).await;
                return;
            };
            let words = Ok(program.map(Into::into).to_vec());
            let end = Resolved { words, hidden: false, env: Vec::new(), stdin: Vec::new() };
            let _ = timeout(ENDING, exec(&connection, &container, end.program(), Vec::new(), &[])).await;
        });
    }
}

/// Runs a command and waits for its end. Another exit code than 0 is a failure where the invocation says so.
///
/// One of this machine that may change something does not outlive podlift; what one on a host did that outlived it is ended before
/// it is done again.
pub async fn run(
    fleet: &Fleet,
    invocation: &Invocation,
    attempt: Attempt,
    token: &Token,
    progress: &dyn Progress,
) -> Result<CommandOutput, Failure> {
    let secrets = fleet.secrets();
    let command = Resolved::new(invocation, secrets)?;
    let place = invocation.place.host().map_or("local", |host| host.name.as_str());
    progress.sent(place, &format!("run {}", invocation.command));
    let limit = invocation.timeout.duration();
    if attempt == Attempt::Again {
        progress.sent(place, "end what is left of it");
        Box::pin(end(fleet, invocation, token)).await?;
    }
    let done = async {
        match &invocation.place {
            Place::Local => Box::pin(here(fleet, &command, attempt, token)).await,
            Place::Host { host } => Box::pin(there(&fleet.host(host).await?, &command, attempt, token, limit)).await,
            Place::Container { host, container } => Box::pin(inside(&fleet.host(host).await?, container, &command, token)).await,
            Place::OneOff { host, project, service, reference, version } => {
                let connection = fleet.host(host).await?;
                let name = format!("{project}-{}-{version}-{token}-hook", service.name);
                let image = (reference.as_str(), version);
                let body = one_off(&connection, service, image, project, command.program(), command.environment(token), secrets).await?;
                alone(&connection, &name, body, &command.stdin).await
            }
        }
    };
    let output = timeout(limit, Box::pin(done)).await.unwrap_or_else(|_| Err(late(invocation)))?;
    let output = CommandOutput { code: output.code, stdout: secrets.redact(&output.stdout), stderr: secrets.redact(&output.stderr) };
    Failure::of_command(invocation, output)
}

fn late(invocation: &Invocation) -> Failure {
    Failure::new(FailureKind::Timeout, format!("{} did not end within {}", invocation.called(), invocation.timeout))
        .hint("it was told to end; give it a longer `timeout`")
}

/// Ends what an earlier process of the run began and left running.
///
/// # Errors
/// As an interruption where something of it goes on, or may: then nothing may be done again, and the command stays in doubt.
async fn end(fleet: &Fleet, invocation: &Invocation, token: &Token) -> Result<(), Failure> {
    let program = ["sh", "-c", END, "sh", token.as_str()];
    let asked = async {
        match &invocation.place {
            // Its name is taken as long as it is there, and what has it then is removed.
            Place::OneOff { .. } => Ok::<i64, Failure>(0),
            Place::Local => {
                // In a group of its own: a ctrl-C at the terminal is podlift's to answer.
                let mut sh = Command::new(program[0]);
                sh.args(&program[1..]).stdin(Stdio::null()).process_group(0).kill_on_drop(true);
                let output = sh.output().await.map_err(|error| Failure::failed(format!("sh could not be started: {error}")))?;
                Ok(exit_code(output.status))
            }
            Place::Host { host } => Ok(fleet.host(host).await?.run(Request::new(&program).timeout(ENDING)).await?.code),
            Place::Container { host, container } => {
                let words = Ok(program.map(Into::into).to_vec());
                let end = Resolved { words, hidden: false, env: Vec::new(), stdin: Vec::new() };
                Ok(exec(&*fleet.host(host).await?, container, end.program(), Vec::new(), &[]).await?.code)
            }
        }
    };
    let why = match timeout(ENDING + WAY, Box::pin(asked)).await {
        Ok(Ok(0)) => return Ok(()),
        Ok(Ok(GOES_ON)) => "it goes on".to_owned(),
        Ok(Ok(code)) => format!("the shell that looks for it exited with {code}"),
        Ok(Err(failure)) if matches!(failure.kind, FailureKind::Unreachable | FailureKind::Interrupted) => return Err(failure),
        Ok(Err(failure)) => failure.message,
        Err(_) => format!("that took longer than {} s", (ENDING + WAY).as_secs()),
    };
    let place = invocation.place.host().map_or_else(|| "here".to_owned(), |host| format!("on {}", host.name));
    let message = format!(
        "{} was begun by an earlier process of the run, may still go on {place}, and could not be ended: {why}",
        invocation.called()
    );
    let hint = "end it, or wait for its end, then `podlift resume`: with `--in-doubt done` if it did its work, with `skip` if that is to be left out";
    Err(Failure::new(FailureKind::Interrupted, message).hint(hint))
}

/// Runs it in the script's folder.
async fn here(fleet: &Fleet, command: &Resolved, attempt: Attempt, token: &Token) -> Result<CommandOutput, Failure> {
    let program = command.program();
    let Some((first, rest)) = program.split_first() else { return Err(Failure::refused("the command is empty")) };
    let not_started = |what: &str, error: io::Error| {
        Failure::new(FailureKind::Command, format!("{what} could not be started here: {error}"))
            .hint("is it installed, and in PATH?")
            .not_sent()
    };
    let watched = if attempt == Attempt::Read { None } else { Some(Group::watched().await.map_err(|error| not_started("sh", error))?) };
    let child = Command::new(first)
        .args(rest)
        .envs(command.variables())
        .env(MARK, token.as_str())
        .current_dir(fleet.folder())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(watched.as_ref().map_or(0, Group::id))
        .kill_on_drop(true)
        .spawn();
    let mut child = child.map_err(|error| not_started(first, error))?;
    let group = watched.unwrap_or_else(|| Group::led_by(&child));
    let stdin = child.stdin.take();
    let write = async {
        if let Some(mut stdin) = stdin {
            // A command may end without reading all of its input.
            let _ = stdin.write_all(&command.stdin).await;
        }
    };
    // They are the child's until it has ended: what tells something last is not to end by a closed pipe.
    let ((), stdout, stderr) = tokio::join!(write, collect(child.stdout.as_mut()), collect(child.stderr.as_mut()));
    let status = child.wait().await.map_err(|error| Failure::failed(format!("{first} was lost: {error}")))?;
    group.leave().await;
    Ok(CommandOutput { code: exit_code(status), stdout, stderr })
}

/// Reads to the end and keeps the first megabyte.
async fn collect(stream: Option<impl AsyncRead + Unpin>) -> String {
    let mut kept = Vec::new();
    // On the heap: it would be in the future of whoever runs a command, twice.
    let mut part = vec![0; 8192];
    if let Some(mut stream) = stream {
        while let Ok(count @ 1..) = stream.read(&mut part).await {
            keep(&mut kept, &part[..count]);
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}

fn keep(kept: &mut Vec<u8>, part: &[u8]) {
    let room = OUTPUT_LIMIT.saturating_sub(kept.len()).min(part.len());
    kept.extend_from_slice(&part[..room]);
}

/// Runs it on a host.
async fn there(
    connection: &Arc<Connection>,
    command: &Resolved,
    attempt: Attempt,
    token: &Token,
    limit: Duration,
) -> Result<CommandOutput, Failure> {
    let (name, stdin) = command.wrapped(token);
    let mut ending = Ending::new(connection, None, token);
    let mark = mark(token);
    let program = ["env", &mark, "sh", "-c", WRAPPER, &name];
    let request = Request::new(&program).stdin(stdin).timeout(limit + WAY).watched(attempt != Attempt::Read);
    let output = connection.run(request).await;
    ending.is_over = output.is_ok();
    output
}

/// Runs it in a running container.
async fn inside(
    connection: &Arc<Connection>,
    container: &ContainerName,
    command: &Resolved,
    token: &Token,
) -> Result<CommandOutput, Failure> {
    let mut ending = Ending::new(connection, Some(container), token);
    let output = exec(connection, container, command.program(), command.environment(token), &command.stdin).await;
    ending.is_over = output.is_ok();
    output
}

#[cfg(test)]
mod tests {
    use super::{resolved::HIDDEN_LINE, *};

    fn token() -> Token {
        Token::new("0123456789").expect("valid")
    }

    fn shell(line: &str, hidden: bool) -> Resolved {
        let env = vec![("TOKEN".into(), "it's\n$(c) \\ d".into())];
        Resolved { words: Err(line.into()), hidden, env, stdin: b"own input".to_vec() }
    }

    /// Runs what a host would run, with a shell and the programs of `path`.
    fn wrapped(command: &Resolved) -> String {
        let (name, stdin) = command.wrapped(&token());
        let mut child = std::process::Command::new("sh")
            .args(["-c", WRAPPER, &name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("there is a shell");
        io::Write::write_all(&mut child.stdin.take().expect("piped"), &stdin).expect("it reads");
        String::from_utf8(child.wait_with_output().expect("it ends").stdout).expect("text")
    }

    #[test]
    fn a_host_reads_the_script_and_leaves_the_rest() {
        let words = Ok(vec!["echo".into(), "it's".into()]);
        let command = Resolved { words, hidden: false, env: vec![("TOKEN".into(), "a'b".into())], stdin: b"rest".to_vec() };
        let (name, stdin) = command.wrapped(&token());
        assert_eq!(name, "podlift-0123456789");
        assert_eq!(String::from_utf8(stdin).expect("text"), "export TOKEN='a'\\''b'\nexec echo 'it'\\''s'\npodlift-0123456789\nrest");
    }

    #[test]
    fn the_wrapper_runs_what_it_reads() {
        assert_eq!(wrapped(&shell("printf '%s|' \"$TOKEN\"; cat", false)), "it's\n$(c) \\ d|own input");
        let program = Ok(["sh", "-c", "printf '%s|' \"$TOKEN$s$l\"; cat"].map(Into::into).to_vec());
        assert_eq!(wrapped(&Resolved { words: program, ..shell("", false) }), "it's\n$(c) \\ d|own input");
    }

    #[test]
    fn a_line_with_a_secret_is_in_no_process_list() {
        let command = shell("echo hunter2", true);
        assert_eq!(command.program(), ["sh", "-c", HIDDEN_LINE]);
        let environment: Vec<_> = command.variables().collect();
        assert_eq!(environment[1], ("PODLIFT_LINE", "echo hunter2"));
        let output = std::process::Command::new("sh").args(["-c", HIDDEN_LINE]).envs(command.variables()).output().expect("runs");
        assert_eq!(output.stdout, b"hunter2\n");
    }

    #[test]
    fn what_has_the_mark_is_ended() {
        let mark = format!("{:010x}", std::process::id());
        let mut child = std::process::Command::new("sleep").arg("100").env("PODLIFT_CALL", &mark).spawn().expect("starts");
        let end = std::process::Command::new("sh").args(["-c", END, "sh", &mark]).spawn().expect("starts");
        let status = child.wait().expect("ends");
        assert_eq!(exit_code(status), 128 + 15);
        assert!(end.wait_with_output().expect("ends").status.success());
    }
}
