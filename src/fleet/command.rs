//! Commands of hooks and probes: on the operator's machine, on a host, in a container, or in a container of their own.
//!
//! Values of secrets reach a command through its environment and its standard input, never through a command line that
//! podlift makes: a host's process list is for everyone to read.
#![expect(clippy::disallowed_types, reason = "fleet/ starts programs")]

use std::{process::Stdio, time::Duration};

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
    model::{ContainerName, Host, Token},
    op::{CommandLine, CommandOutput, Invocation, Place},
};

/// Reads how long a preamble is, then the preamble, runs it, and leaves the rest of the standard input to what it runs.
const WRAPPER: &str = r#"read -r n && s=$(head -c "$n"; echo x) && eval "${s%x}""#;

/// How much longer than the command itself the way to it may take.
const WAY: Duration = Duration::from_secs(20);

/// A command with its secrets in place.
struct Resolved {
    words: Result<Vec<String>, String>,
    env: Vec<(String, String)>,
    stdin: Vec<u8>,
}

impl Resolved {
    fn new(invocation: &Invocation, secrets: &Secrets) -> Result<Self, Failure> {
        let words = match &invocation.command {
            CommandLine::Program(words) => Ok(words.iter().map(|word| secrets.resolve(word)).collect::<Result<_, _>>()?),
            CommandLine::Shell(line) => Err(secrets.resolve(line)?),
        };
        let env = invocation.env.iter().map(|(name, value)| Ok((name.clone(), secrets.resolve(value)?)));
        let stdin = invocation.stdin.as_ref().map(|text| secrets.resolve(text)).transpose()?.unwrap_or_default();
        Ok(Self { words, env: env.collect::<Result<_, Failure>>()?, stdin: stdin.into_bytes() })
    }

    /// The program and its arguments, `sh` for a shell line.
    fn program(&self) -> Vec<String> {
        match &self.words {
            Ok(words) => words.clone(),
            Err(line) => vec!["sh".into(), "-c".into(), line.clone()],
        }
    }

    /// What the wrapper reads on a host: the preamble's length, the preamble, the command's own standard input.
    fn wrapped(&self) -> Vec<u8> {
        let mut preamble = String::new();
        for variable in self.environment() {
            preamble.extend(["export ", &quoted(&[&variable]), "\n"]);
        }
        match &self.words {
            Ok(words) => preamble.extend(["exec ", &quoted(&words.iter().map(String::as_str).collect::<Vec<_>>()), "\n"]),
            Err(line) => preamble += line,
        }
        let mut stdin = format!("{}\n{preamble}", preamble.len()).into_bytes();
        stdin.extend_from_slice(&self.stdin);
        stdin
    }

    fn environment(&self) -> Vec<String> {
        self.env.iter().map(|(name, value)| format!("{name}={value}")).collect()
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
            Place::Local => here(fleet, &command).await,
            Place::Host { host } => there(&*fleet.host(host).await?, &command, limit).await,
            Place::Container { host, container } => inside(&*fleet.host(host).await?, container, &command).await,
            Place::OneOff { host, project, service, reference, version } => {
                let connection = fleet.host(host).await?;
                let name = format!("{project}-{}-{version}-{token}-hook", service.name);
                let body = one_off(&connection, service, reference, project, command.program(), command.environment(), secrets).await?;
                alone(&connection.docker().await?, host, &name, body, &command.stdin).await
            }
        }
    };
    let output = timeout(limit, done).await.unwrap_or_else(|_| Err(late(invocation)))?;
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
        .hint("give it a longer `timeout`; what it started may still be running")
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
        .envs(command.env.iter().map(|(name, value)| (name, value)))
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
async fn there(connection: &Connection, command: &Resolved, limit: Duration) -> Result<CommandOutput, Failure> {
    connection.run(Request::new(&["sh", "-c", WRAPPER]).stdin(command.wrapped()).timeout(limit + WAY)).await
}

/// Runs it in a running container.
async fn inside(connection: &Connection, container: &ContainerName, command: &Resolved) -> Result<CommandOutput, Failure> {
    let docker = connection.docker().await?;
    let failed = |error| engine_failure(&format!("the command could not be run in {container}"), &error);
    let options = CreateExecOptions {
        cmd: Some(command.program()),
        env: Some(command.environment()),
        attach_stdin: Some(!command.stdin.is_empty()),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        ..CreateExecOptions::default()
    };
    let exec = docker.create_exec(container.as_str(), options).await.map_err(failed)?;
    let start = StartExecOptions::default();
    let (stdout, stderr) = match docker.start_exec(&exec.id, Some(start)).await.map_err(failed)? {
        StartExecResults::Attached { output, input } => converse(output, input, &command.stdin).await,
        StartExecResults::Detached => Default::default(),
    };
    let code = docker.inspect_exec(&exec.id).await.map_err(failed)?.exit_code.unwrap_or(-1);
    Ok(CommandOutput { code, stdout, stderr })
}

/// Runs it in a container of its own, which is removed in any case.
async fn alone(
    docker: &Docker,
    host: &Host,
    name: &str,
    body: bollard::models::ContainerCreateBody,
    stdin: &[u8],
) -> Result<CommandOutput, Failure> {
    let failed = |error| engine_failure(&format!("the one-off container {name} could not be run on {}", host.name), &error);
    let options = CreateContainerOptionsBuilder::default().name(name).build();
    docker.create_container(Some(options), body).await.map_err(failed)?;
    let removal = Removal { docker: docker.clone(), name: Some(name.to_owned()) };
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
        if let (Some(name), Ok(runtime)) = (self.name.take(), tokio::runtime::Handle::try_current()) {
            let docker = self.docker.clone();
            runtime.spawn(async move { remove(&docker, &name).await });
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

    #[test]
    fn a_hosts_command_line_holds_no_value() {
        let command =
            Resolved { words: Ok(vec!["echo".into(), "it's".into()]), env: vec![("TOKEN".into(), "a'b".into())], stdin: b"rest".to_vec() };
        let wrapped = String::from_utf8(command.wrapped()).expect("text");
        let (length, rest) = wrapped.split_once('\n').expect("a line");
        let (preamble, stdin) = rest.split_at(length.parse().expect("a number"));
        assert_eq!(stdin, "rest");
        assert!(preamble.starts_with("export ") && preamble.contains("exec echo"), "{preamble}");
    }

    #[test]
    fn the_wrapper_runs_what_it_reads() {
        let command = Resolved {
            words: Err("printf '%s|' \"$TOKEN\"; cat".into()),
            env: vec![("TOKEN".into(), "a'b\n$c".into())],
            stdin: b"rest".to_vec(),
        };
        let mut child = std::process::Command::new("sh")
            .args(["-c", WRAPPER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("there is a shell");
        std::io::Write::write_all(&mut child.stdin.take().expect("piped"), &command.wrapped()).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "a'b\n$c|rest");
    }
}
