//! Commands of hooks and probes: on the operator's machine, on a host, in a container, or in a container of their own.
//!
//! Values of secrets reach a command through its environment and its standard input, never through a command line that
//! podlift makes: a host's process list is for everyone to read.
#![expect(clippy::disallowed_types, reason = "fleet/ starts programs")]

use std::{process::Stdio, sync::Arc, time::Duration};

use bollard::{
    Docker,
    container::{AttachContainerResults, LogOutput},
    exec::{CreateExecOptions, StartExecOptions, StartExecResults},
    query_parameters::{AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder},
};
use futures_util::{Stream, StreamExt};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    process::Command,
    time::timeout,
};

use super::{
    Connection, Fleet, Request, Secrets,
    connection::{OUTPUT_LIMIT, exit_code, quoted},
    containers::one_off,
    images::engine_failure,
};
use crate::{
    executor::Progress,
    failure::{Failure, FailureKind},
    model::{ContainerName, Token},
    op::{CommandLine, CommandOutput, Invocation, Place},
};

/// Reads a script up to the line that is its own name, and runs it; the rest of the standard input is left to what it runs.
/// Only the shell's own `read` takes no byte too many from a pipe: busybox's `head -c` does.
const WRAPPER: &str = r#"s=; while IFS= read -r l && [ "$l" != "$0" ]; do s="$s$l
"; done; eval "unset s l
$s""#;

/// Runs a line that no process list may show.
const HIDDEN_LINE: &str = r#"l=$PODLIFT_LINE; unset PODLIFT_LINE; eval "$l""#;

/// Ends every process that has the mark in its environment: first politely, after two seconds for good.
const END: &str = r#"marked() { for f in /proc/[0-9]*/environ; do if tr '\0' '\n' <"$f" 2>/dev/null | grep -qx "PODLIFT_CALL=$1"; then p=${f#/proc/}; echo "${p%/environ}"; fi; done; }
p=$(marked "$1"); [ -z "$p" ] || kill -TERM $p 2>/dev/null
for i in 1 2 3 4 5 6 7 8 9 10; do p=$(marked "$1"); [ -n "$p" ] || exit 0; sleep 0.2; done
kill -KILL $p 2>/dev/null"#;

/// How long the end of a command may take.
const ENDING: Duration = Duration::from_secs(15);

/// How much longer than the command itself the way to it may take.
const WAY: Duration = Duration::from_secs(20);

/// A command with its secrets in place.
struct Resolved {
    words: Result<Vec<String>, String>,
    /// Whether the line of a shell holds a value that no process list may show.
    hidden: bool,
    env: Vec<(String, String)>,
    stdin: Vec<u8>,
}

impl Resolved {
    fn new(invocation: &Invocation, secrets: &Secrets) -> Result<Self, Failure> {
        let words = match &invocation.command {
            CommandLine::Program(words) => Ok(words.iter().map(|word| secrets.resolve(word)).collect::<Result<_, _>>()?),
            CommandLine::Shell(line) => Err(secrets.resolve(line)?),
        };
        let hidden = matches!(&invocation.command, CommandLine::Shell(line) if line.secrets().next().is_some());
        let env = invocation.env.iter().map(|(name, value)| Ok((name.clone(), secrets.resolve(value)?)));
        let stdin = invocation.stdin.as_ref().map(|text| secrets.resolve(text)).transpose()?.unwrap_or_default();
        Ok(Self { words, hidden, env: env.collect::<Result<_, Failure>>()?, stdin: stdin.into_bytes() })
    }

    /// The program and its arguments, `sh` for a shell line.
    fn program(&self) -> Vec<String> {
        match &self.words {
            Ok(words) => words.clone(),
            Err(_) if self.hidden => vec!["sh".into(), "-c".into(), HIDDEN_LINE.into()],
            Err(line) => vec!["sh".into(), "-c".into(), line.clone()],
        }
    }

    /// The variables that [`Self::program`] needs.
    fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        let line = self.words.as_ref().err().filter(|_| self.hidden).map(|line| ("PODLIFT_LINE", line.as_str()));
        self.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain(line)
    }

    /// What [`WRAPPER`] is called, and what it reads: the script, its name, the command's own standard input.
    fn wrapped(&self, token: &Token) -> (String, Vec<u8>) {
        let mut script = String::new();
        for (name, value) in &self.env {
            script.extend(["export ", name, "=", &quoted(&[value]), "\n"]);
        }
        match &self.words {
            Ok(words) => script.extend(["exec ", &quoted(&words.iter().map(String::as_str).collect::<Vec<_>>()), "\n"]),
            Err(line) => script.extend([line, "\n"]),
        }
        let mut name = format!("podlift-{token}");
        while script.contains(&name) {
            name.push('-');
        }
        script.extend([&name, "\n"]);
        let mut stdin = script.into_bytes();
        stdin.extend_from_slice(&self.stdin);
        (name, stdin)
    }

    fn environment(&self, token: &Token) -> Vec<String> {
        self.variables().map(|(name, value)| format!("{name}={value}")).chain([mark(token)]).collect()
    }
}

/// The variable by which a command's processes are found when they have to be ended.
fn mark(token: &Token) -> String {
    format!("PODLIFT_CALL={token}")
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
pub async fn run(fleet: &Fleet, invocation: &Invocation, token: &Token, progress: &dyn Progress) -> Result<CommandOutput, Failure> {
    let secrets = fleet.secrets();
    let command = Resolved::new(invocation, secrets)?;
    let place = invocation.place.host().map_or("local", |host| host.name.as_str());
    progress.sent(place, &format!("run {}", invocation.command));
    let limit = invocation.timeout.duration();
    let done = async {
        match &invocation.place {
            Place::Local => Box::pin(here(fleet, &command)).await,
            Place::Host { host } => Box::pin(there(&fleet.host(host).await?, &command, token, limit)).await,
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
    if output.code != 0 && invocation.check {
        return Err(failed(invocation, &output));
    }
    Ok(output)
}

fn called(invocation: &Invocation) -> String {
    invocation.name.clone().unwrap_or_else(|| format!("`{}`", invocation.command))
}

fn late(invocation: &Invocation) -> Failure {
    Failure::new(FailureKind::Timeout, format!("{} did not end within {}", called(invocation), invocation.timeout))
        .hint("it was told to end; give it a longer `timeout`")
}

fn failed(invocation: &Invocation, output: &CommandOutput) -> Failure {
    Failure::new(FailureKind::Command, format!("{} exited with {}", called(invocation), output.code))
        .detail("standard error", tail(&output.stderr))
        .detail("standard output", tail(&output.stdout))
        .hint("`check: false` takes any exit code for an answer")
}

/// The last lines, which say why.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// Ends everything that a local command started when it is not waited for any longer.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = self.0 {
            let mut kill = std::process::Command::new("kill");
            let _ = kill.args(["-KILL", "--", &format!("-{id}")]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }
}

/// Runs it in the script's folder.
async fn here(fleet: &Fleet, command: &Resolved) -> Result<CommandOutput, Failure> {
    let program = command.program();
    let Some((first, rest)) = program.split_first() else { return Err(Failure::refused("the command is empty")) };
    let child = Command::new(first)
        .args(rest)
        .envs(command.variables())
        .current_dir(fleet.folder())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    let mut child = child.map_err(|error| {
        Failure::new(FailureKind::Command, format!("{first} could not be started here: {error}")).hint("is it installed, and in PATH?")
    })?;
    let mut group = Group(child.id());
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            // A command may end without reading all of its input.
            let _ = stdin.write_all(&command.stdin).await;
        }
    };
    let ((), stdout, stderr) = tokio::join!(write, collect(stdout), collect(stderr));
    let status = child.wait().await.map_err(|error| Failure::failed(format!("{first} was lost: {error}")))?;
    group.0 = None;
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
async fn there(connection: &Arc<Connection>, command: &Resolved, token: &Token, limit: Duration) -> Result<CommandOutput, Failure> {
    let (name, stdin) = command.wrapped(token);
    let mut ending = Ending::new(connection, None, token);
    let output = connection.run(Request::new(&["env", &mark(token), "sh", "-c", WRAPPER, &name]).stdin(stdin).timeout(limit + WAY)).await;
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

async fn exec(
    connection: &Connection,
    container: &ContainerName,
    program: Vec<String>,
    env: Vec<String>,
    stdin: &[u8],
) -> Result<CommandOutput, Failure> {
    let docker = connection.docker().await?;
    let failed = |error| engine_failure(&format!("the command could not be run in {container}"), &error);
    let options = CreateExecOptions {
        cmd: Some(program),
        env: Some(env),
        attach_stdin: Some(!stdin.is_empty()),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        ..CreateExecOptions::default()
    };
    let exec = docker.create_exec(container.as_str(), options).await.map_err(failed)?;
    let start = StartExecOptions::default();
    let (stdout, stderr) = match docker.start_exec(&exec.id, Some(start)).await.map_err(failed)? {
        StartExecResults::Attached { output, input } => converse(output, input, stdin).await,
        StartExecResults::Detached => Default::default(),
    };
    // Its output may end a moment before the engine has noted its exit.
    for _ in 0..50 {
        let seen = docker.inspect_exec(&exec.id).await.map_err(failed)?;
        if let (Some(code), false) = (seen.exit_code, seen.running.unwrap_or_default()) {
            return Ok(CommandOutput { code, stdout, stderr });
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(Failure::failed(format!("a command in {container} closed its output and did not end")))
}

/// Runs it in a container of its own, which is removed in any case.
async fn alone(
    connection: &Arc<Connection>,
    name: &str,
    body: bollard::models::ContainerCreateBody,
    stdin: &[u8],
) -> Result<CommandOutput, Failure> {
    let docker = connection.docker().await?;
    let failed = |error| engine_failure(&format!("the one-off container {name} could not be run on {}", connection.host().name), &error);
    let options = CreateContainerOptionsBuilder::default().name(name).build();
    let removal = Removal { connection: connection.clone(), docker: docker.clone(), name: Some(name.to_owned()) };
    let created = docker.create_container(Some(options.clone()), body.clone()).await;
    if let Err(bollard::errors::Error::DockerResponseServerError { status_code: 409, .. }) = created {
        // This very call was begun by a process that died; somebody has said that it is to be done again.
        remove(&docker, name).await;
        docker.create_container(Some(options), body).await.map_err(failed)?;
    } else {
        created.map_err(failed)?;
    }
    let attach = AttachContainerOptionsBuilder::default().stream(true).stdin(true).stdout(true).stderr(true).build();
    let AttachContainerResults { output, input } = docker.attach_container(name, Some(attach)).await.map_err(failed)?;
    docker.start_container(name, None).await.map_err(failed)?;
    let (stdout, stderr) = converse(output, input, stdin).await;
    let mut ends = docker.wait_container(name, None);
    let code = match ends.next().await {
        Some(Ok(end)) => end.status_code,
        // The library tells another exit code than 0 as an error.
        Some(Err(bollard::errors::Error::DockerContainerWaitError { code, .. })) => code,
        Some(Err(error)) => return Err(failed(error)),
        None => -1,
    };
    removal.now().await;
    Ok(CommandOutput { code, stdout, stderr })
}

/// Removes a container also when nobody waits for it any longer.
struct Removal {
    connection: Arc<Connection>,
    docker: Docker,
    name: Option<String>,
}

impl Removal {
    async fn now(mut self) {
        if let Some(name) = self.name.take() {
            remove(&self.docker, &name).await;
        }
    }
}

impl Drop for Removal {
    fn drop(&mut self) {
        if let Some(name) = self.name.take() {
            let docker = self.docker.clone();
            self.connection.afterwards(async move { remove(&docker, &name).await });
        }
    }
}

async fn remove(docker: &Docker, name: &str) {
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    // It may be gone already.
    let _ = docker.remove_container(name, Some(options)).await;
}

/// Writes the input, and reads both outputs to their end.
async fn converse(
    mut output: impl Stream<Item = Result<LogOutput, bollard::errors::Error>> + Unpin,
    mut input: impl AsyncWrite + Unpin,
    stdin: &[u8],
) -> (String, String) {
    let write = async {
        // A command may end without reading all of its input.
        let _ = input.write_all(stdin).await;
        let _ = input.shutdown().await;
    };
    let read = async {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        while let Some(Ok(part)) = output.next().await {
            match part {
                LogOutput::StdErr { message } => keep(&mut stderr, &message),
                LogOutput::StdOut { message } | LogOutput::Console { message } => keep(&mut stdout, &message),
                LogOutput::StdIn { .. } => {}
            }
        }
        (String::from_utf8_lossy(&stdout).into_owned(), String::from_utf8_lossy(&stderr).into_owned())
    };
    tokio::join!(write, read).1
}

#[cfg(test)]
mod tests {
    use super::*;

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
        std::io::Write::write_all(&mut child.stdin.take().expect("piped"), &stdin).expect("it reads");
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
