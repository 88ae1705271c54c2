//! Commands of scripts: on the operator's machine, on hosts, in containers.
//!
//! Values of secrets never stand on a command line. On a host, and here, the line that `ps` shows is always the same small
//! shell program: it reads a script from its standard input up to a mark, and runs it; what follows the mark is the command's
//! own input. In a container, variables go over Docker's API.

use std::{collections::BTreeMap, path::Path, process::Stdio, time::Duration};

use bollard::{
    container::LogOutput,
    exec::{CreateExecOptions, StartExecResults},
    models::{ContainerCreateBody, HostConfig, RestartPolicy},
    query_parameters::{AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder},
};
use futures_util::{Stream, StreamExt};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    time::{sleep, timeout},
};

use super::{
    Connection, Fleet, Request, Secrets,
    connection::{self, OUTPUT_LIMIT, quoted},
    containers, labels, start, trouble,
};
use crate::{
    executor::{Cancellation, Urgency},
    failure::{Failure, FailureKind},
    model::{ContainerName, Host, ProjectName, Service, Text, Token, Version},
    op::{CommandLine, CommandOutput, Invocation, Place},
};

/// Reads a script up to the line that is its own name, and runs it. `read` takes no byte too many from a pipe (POSIX).
const WRAPPER: &str = r#"s=; while IFS= read -r l && [ "$l" != "$0" ]; do s="$s$l
"; done; eval "unset s l
$s""#;

/// Ends every process that has the mark in its environment: first politely, after two seconds for good.
const END: &str = r#"marked() { for f in /proc/[0-9]*/environ; do if tr '\0' '\n' <"$f" 2>/dev/null | grep -qx "PODLIFT_CALL=$1"; then p=${f#/proc/}; echo "${p%/environ}"; fi; done; }
p=$(marked "$1"); [ -z "$p" ] || kill -TERM $p 2>/dev/null
for i in 1 2 3 4 5 6 7 8 9 10; do p=$(marked "$1"); [ -n "$p" ] || exit 0; sleep 0.2; done
kill -KILL $p 2>/dev/null"#;

/// How long the end of a command may take.
const ENDING: Duration = Duration::from_secs(15);
/// What a failure shows of each stream: its last bytes.
const SHOWN: usize = 4000;

/// Runs a command where its op says. It is ended when its time is over or the run is to stop now; a container of its own is
/// always removed. Fails on another exit code than 0 if the op says so.
pub async fn invoke(fleet: &Fleet, invocation: &Invocation, token: &Token, cancellation: &Cancellation) -> Result<CommandOutput, Failure> {
    let secrets = fleet.secrets();
    let wanted = Wanted::resolve(secrets, invocation)?;
    let what = invocation.name.clone().unwrap_or_else(|| invocation.command.to_string());
    let output = match &invocation.place {
        Place::Local => local(fleet.folder(), &wanted, token, &what, cancellation).await?,
        Place::Host { host } => {
            let connection = fleet.host(host).await?;
            let (program, stdin) = wrap(&wanted, token);
            let program: Vec<&str> = program.iter().map(String::as_str).collect();
            // The limit is kept here; the connection's own is for what hangs beyond it.
            let request = Request::new(&program).stdin(stdin).timeout(wanted.timeout + ENDING);
            match limited(connection.run(request), wanted.timeout, cancellation).await {
                Ok(output) => output?,
                Err(over) => {
                    let program = ["sh", "-c", END, "sh", token.as_str()];
                    let _ = connection.run(Request::new(&program).timeout(ENDING)).await;
                    return Err(over.failure(&what, wanted.timeout).on(&host.name));
                }
            }
        }
        Place::Container { host, container } => {
            let connection = fleet.host(host).await?;
            match limited(exec(&connection, container, wanted.exec(token)), wanted.timeout, cancellation).await {
                Ok(output) => output?,
                Err(over) => {
                    let command = ["sh", "-c", END, "sh", token.as_str()].map(Into::into).to_vec();
                    let end = Exec { command, env: Vec::new(), stdin: Vec::new() };
                    let _ = timeout(ENDING, exec(&connection, container, end)).await;
                    return Err(over.failure(&what, wanted.timeout).on(&host.name));
                }
            }
        }
        Place::OneOff { host, project, service, reference, version } => {
            let connection = fleet.host(host).await?;
            let one_off = OneOff { connection: &connection, host, project, service, reference, version, token };
            one_off.run(secrets, &wanted, &what, cancellation).await?
        }
    };
    let output = CommandOutput { code: output.code, stdout: secrets.redact(&output.stdout), stderr: secrets.redact(&output.stderr) };
    if invocation.check && output.code != 0 {
        let failure = Failure::new(FailureKind::Command, format!("`{what}` exited with code {}", output.code))
            .detail("standard output", tail(&output.stdout))
            .detail("standard error", tail(&output.stderr));
        return Err(match invocation.place.host() {
            Some(host) => failure.on(&host.name),
            None => failure,
        });
    }
    Ok(output)
}

fn tail(text: &str) -> String {
    let begin = text.len().saturating_sub(SHOWN);
    text.char_indices().find(|(index, _)| *index >= begin).map_or_else(String::new, |(index, _)| text[index..].to_owned())
}

/// Why a command was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    Late,
    Cancelled,
}

impl Over {
    fn failure(self, what: &str, limit: Duration) -> Failure {
        match self {
            Self::Late => Failure::new(FailureKind::Timeout, format!("`{what}` took longer than {} s and was ended", limit.as_secs_f64()))
                .hint("give it more time with `timeout`"),
            Self::Cancelled => Failure::new(FailureKind::Interrupted, format!("`{what}` was ended because the run was told to stop")),
        }
    }
}

async fn limited<T>(work: impl Future<Output = T>, limit: Duration, cancellation: &Cancellation) -> Result<T, Over> {
    tokio::select! {
        result = work => Ok(result),
        () = sleep(limit) => Err(Over::Late),
        () = cancellation.requested(Urgency::Now) => Err(Over::Cancelled),
    }
}

/// A command whose secrets are resolved.
struct Wanted {
    command: Words,
    env: BTreeMap<String, String>,
    stdin: Vec<u8>,
    timeout: Duration,
}

enum Words {
    Program(Vec<String>),
    /// A line for a shell, and whether it holds values that no process list may show.
    Shell(String, bool),
}

impl Wanted {
    fn resolve(secrets: &Secrets, invocation: &Invocation) -> Result<Self, Failure> {
        let command = match &invocation.command {
            CommandLine::Program(words) if words.is_empty() => return Err(Failure::refused("The command is empty")),
            CommandLine::Program(words) => Words::Program(start::resolve_all(secrets, words)?),
            CommandLine::Shell(line) => Words::Shell(secrets.resolve(line)?, line.secrets().next().is_some()),
        };
        let resolve = |(name, text): (&String, &Text)| Ok((name.clone(), secrets.resolve(text)?));
        let env: BTreeMap<_, _> = invocation.env.iter().map(resolve).collect::<Result<_, Failure>>()?;
        let stdin = invocation.stdin.as_ref().map(|stdin| secrets.resolve(stdin)).transpose()?.unwrap_or_default().into_bytes();
        let wanted = Self { command, env, stdin, timeout: invocation.timeout.duration() };
        match wanted.env.iter().find(|(_, value)| value.contains('\0')) {
            Some((name, _)) => Err(Failure::refused(format!("The variable {name} holds a zero byte, which no environment can"))),
            None => Ok(wanted),
        }
    }

    fn exec(&self, token: &Token) -> Exec {
        let mut env: Vec<String> = self.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        env.push(format!("PODLIFT_CALL={token}"));
        let command = match &self.command {
            Words::Program(words) => words.clone(),
            Words::Shell(line, false) => vec!["sh".into(), "-c".into(), line.clone()],
            Words::Shell(line, true) => {
                env.push(format!("PODLIFT_LINE={line}"));
                vec!["sh".into(), "-c".into(), "l=$PODLIFT_LINE; unset PODLIFT_LINE; eval \"$l\"".into()]
            }
        };
        Exec { command, env, stdin: self.stdin.clone() }
    }
}

/// The command line that everybody may see, and what it reads.
fn wrap(wanted: &Wanted, token: &Token) -> (Vec<String>, Vec<u8>) {
    let mut script = String::new();
    for (name, value) in &wanted.env {
        script.push_str(&format!("export {name}={}\n", quoted(&[value])));
    }
    match &wanted.command {
        Words::Program(words) => {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            script.push_str(&format!("exec {}\n", quoted(&words)));
        }
        Words::Shell(line, _) => {
            script.push_str(line);
            script.push('\n');
        }
    }
    let mut mark = format!("podlift-{token}");
    while script.contains(&mark) {
        mark.push('-');
    }
    let program = ["env", &format!("PODLIFT_CALL={token}"), "sh", "-c", WRAPPER, &mark].map(Into::into).to_vec();
    let mut stdin = format!("{script}{mark}\n").into_bytes();
    stdin.extend_from_slice(&wanted.stdin);
    (program, stdin)
}

/// Runs a command in the script's folder. It leads a process group of its own, which is ended as a whole.
#[expect(clippy::disallowed_types, reason = "fleet/ starts programs")]
async fn local(folder: &Path, wanted: &Wanted, token: &Token, what: &str, cancellation: &Cancellation) -> Result<CommandOutput, Failure> {
    let (program, stdin) = wrap(wanted, token);
    let mut child = tokio::process::Command::new(&program[0])
        .args(&program[1..])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Failure::failed(format!("`{what}` could not be started in {}: {error}", folder.display())))?;
    let group = child.id();
    let failed = |error: std::io::Error| Failure::failed(format!("`{what}` could not be followed: {error}"));
    let work = async {
        let streams = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (stdout, stderr) = connection::converse(streams, &stdin).await?;
        Ok(CommandOutput { code: connection::exit_code(child.wait().await?), stdout, stderr })
    };
    let over = match limited(work, wanted.timeout, cancellation).await {
        Ok(output) => return output.map_err(failed),
        Err(over) => over,
    };
    if let Some(group) = group {
        let signal = |name: &'static str| {
            let mut kill = tokio::process::Command::new("kill");
            kill.args([name, "--", &format!("-{group}")]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            async move { kill.status().await }
        };
        let _ = signal("-TERM").await;
        let _ = timeout(Duration::from_secs(2), child.wait()).await;
        let _ = signal("-KILL").await;
    }
    Err(over.failure(what, wanted.timeout))
}

/// A command for a running container, its words as they are.
pub struct Exec {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// `NAME=VALUE`.
    pub env: Vec<String>,
    /// What it reads.
    pub stdin: Vec<u8>,
}

/// Runs a command in a running container. The caller limits its time.
pub async fn exec(connection: &Connection, container: &ContainerName, exec: Exec) -> Result<CommandOutput, Failure> {
    let docker = connection.docker().await?;
    let failed = |error| trouble::engine(connection.host(), &format!("A command was not run in {container}"), &error);
    let options = CreateExecOptions {
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        env: Some(exec.env),
        cmd: Some(exec.command),
        ..CreateExecOptions::default()
    };
    let id = docker.create_exec(container.as_str(), options).await.map_err(failed)?.id;
    let StartExecResults::Attached { output, input } = docker.start_exec(&id, None).await.map_err(failed)? else {
        return Err(Failure::failed(format!("Docker did not attach to a command in {container}")).on(&connection.host().name));
    };
    let (stdout, stderr) = converse(output, input, &exec.stdin).await.map_err(failed)?;
    // The streams may end a moment before the engine has noted the exit.
    for _ in 0..50 {
        let seen = docker.inspect_exec(&id).await.map_err(failed)?;
        if let (Some(code), false) = (seen.exit_code, seen.running.unwrap_or_default()) {
            return Ok(CommandOutput { code, stdout, stderr });
        }
        sleep(Duration::from_millis(100)).await;
    }
    Err(Failure::failed(format!("A command in {container} closed its output and did not end")).on(&connection.host().name))
}

type Written = Result<LogOutput, bollard::errors::Error>;

/// Writes what a command reads, and keeps the beginning of what it writes.
async fn converse(
    mut output: impl Stream<Item = Written> + Unpin,
    mut input: impl AsyncWrite + Unpin,
    stdin: &[u8],
) -> Result<(String, String), bollard::errors::Error> {
    let write = async {
        // A command may end without having read everything.
        let _ = input.write_all(stdin).await;
        let _ = input.shutdown().await;
    };
    let read = async {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        while let Some(piece) = output.next().await {
            let piece = piece?;
            let kept: &mut Vec<u8> = if matches!(piece, LogOutput::StdErr { .. }) { &mut stderr } else { &mut stdout };
            let bytes = piece.into_bytes();
            kept.extend_from_slice(&bytes[..bytes.len().min(OUTPUT_LIMIT - kept.len())]);
        }
        Ok((String::from_utf8_lossy(&stdout).into_owned(), String::from_utf8_lossy(&stderr).into_owned()))
    };
    tokio::join!(write, read).1
}

/// A container for one command.
struct OneOff<'a> {
    connection: &'a Connection,
    host: &'a Host,
    project: &'a ProjectName,
    service: &'a Service,
    reference: &'a str,
    version: &'a Version,
    token: &'a Token,
}

impl OneOff<'_> {
    async fn run(&self, secrets: &Secrets, wanted: &Wanted, what: &str, cancellation: &Cancellation) -> Result<CommandOutput, Failure> {
        let body = self.body(secrets, wanted)?;
        let name = format!("{}-{}-{}-{}-hook", self.project, self.service.name, self.version, self.token);
        let result = limited(self.create_and_run(&name, body, wanted), wanted.timeout, cancellation).await;
        let removed = self.remove(&name).await;
        match result {
            Ok(Ok(output)) => removed.map(|()| output),
            Ok(Err(failure)) => Err(failure),
            Err(over) => Err(over.failure(what, wanted.timeout).on(&self.host.name)),
        }
    }

    async fn create_and_run(&self, name: &str, body: ContainerCreateBody, wanted: &Wanted) -> Result<CommandOutput, Failure> {
        let docker = self.connection.docker().await?;
        let failed = |error| trouble::engine(self.host, &format!("The one-off container {name} did not run"), &error);
        if let Some(network) = &self.service.network {
            start::ensure_network(&docker, self.host, network).await?;
        }
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        docker.create_container(Some(options), body).await.map_err(|error| match error {
            bollard::errors::Error::DockerResponseServerError { status_code: 404, .. } => {
                Failure::failed(format!("The image {} is not on {}", self.reference, self.host.name))
                    .on(&self.host.name)
                    .hint("put it there with `ship(image, host)` before")
            }
            error => failed(error),
        })?;
        let options = AttachContainerOptionsBuilder::default().stream(true).stdin(true).stdout(true).stderr(true).build();
        let attached = docker.attach_container(name, Some(options)).await.map_err(failed)?;
        docker.start_container(name, None).await.map_err(failed)?;
        let (stdout, stderr) = converse(attached.output, attached.input, &wanted.stdin).await.map_err(failed)?;
        let code = match docker.wait_container(name, None).next().await {
            Some(Ok(response)) => response.status_code,
            // The crate takes every other code than 0 for an error.
            Some(Err(bollard::errors::Error::DockerContainerWaitError { code, .. })) => code,
            Some(Err(error)) => return Err(failed(error)),
            None => return Err(Failure::failed(format!("Docker did not say how {name} ended")).on(&self.host.name)),
        };
        Ok(CommandOutput { code, stdout, stderr })
    }

    async fn remove(&self, name: &str) -> Result<(), Failure> {
        let failed = |error| {
            trouble::engine(self.host, &format!("The one-off container {name} was not removed"), &error)
                .hint(format!("remove it with `docker rm -f {name}` on {}", self.host.name))
        };
        let docker = self.connection.docker().await?;
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        containers::ignore(docker.remove_container(name, Some(options)).await, &[404]).map_err(failed)
    }

    /// A replica's configuration without its port, its restart policy and the labels that would make it one of its service.
    fn body(&self, secrets: &Secrets, wanted: &Wanted) -> Result<ContainerCreateBody, Failure> {
        let Exec { command, env, .. } = wanted.exec(self.token);
        let mut all = start::environment(secrets, self.service)?;
        all.extend(env);
        let no_restart = RestartPolicy { name: containers::policy("no").name, maximum_retry_count: None };
        let labels = [
            (labels::PROJECT, self.project.to_string()),
            (labels::TOKEN, self.token.to_string()),
            ("podlift.one-off", self.service.name.to_string()),
        ];
        Ok(ContainerCreateBody {
            image: Some(self.reference.to_owned()),
            cmd: Some(command),
            env: Some(all),
            labels: Some(labels.map(|(name, value)| (name.to_owned(), value)).into()),
            open_stdin: Some(true),
            stdin_once: Some(true),
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            host_config: Some(HostConfig { restart_policy: Some(no_restart), ..start::host_config(self.service)? }),
            networking_config: start::networking(self.service),
            ..ContainerCreateBody::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(command: Words) -> Wanted {
        let env = [("PW".to_owned(), "it's\n$(a) \\ secret".to_owned())].into();
        Wanted { command, env, stdin: b"own input".to_vec(), timeout: Duration::from_secs(5) }
    }

    fn token() -> Token {
        Token::new("0123456789").expect("valid")
    }

    #[test]
    fn a_value_is_on_no_command_line() {
        let (program, stdin) = wrap(&wanted(Words::Program(vec!["printenv".into(), "PW".into()])), &token());
        assert_eq!(program, ["env", "PODLIFT_CALL=0123456789", "sh", "-c", WRAPPER, "podlift-0123456789"]);
        let stdin = String::from_utf8(stdin).expect("text");
        assert_eq!(stdin, "export PW='it'\\''s\n$(a) \\ secret'\nexec printenv PW\npodlift-0123456789\nown input");
    }

    #[tokio::test]
    async fn a_command_gets_its_variables_and_its_own_input() {
        let cancellation = Cancellation::default();
        let run = |words| async { local(Path::new("/"), &wanted(words), &token(), "it", &Cancellation::default()).await.expect("ran") };
        let program = run(Words::Program(vec!["sh".into(), "-c".into(), "printf '%s|' \"$PW\"; cat".into()])).await;
        assert_eq!(program.stdout, "it's\n$(a) \\ secret|own input");
        let shell = run(Words::Shell("cat; echo \"$PW\" >&2; pwd; exit 7".into(), false)).await;
        assert_eq!(shell, CommandOutput { code: 7, stdout: "own input/\n".into(), stderr: "it's\n$(a) \\ secret\n".into() });
        drop(cancellation);
    }

    #[tokio::test]
    async fn a_command_that_takes_too_long_is_ended_with_all_that_it_started() {
        let mut wanted = wanted(Words::Shell("sleep 4711 & echo $!; wait".into(), false));
        wanted.timeout = Duration::from_millis(300);
        let failure = local(Path::new("/"), &wanted, &token(), "it", &Cancellation::default()).await.expect_err("late");
        assert_eq!(failure.kind, FailureKind::Timeout);
    }

    #[tokio::test]
    async fn a_cancelled_command_is_ended_at_once() {
        let cancellation = Cancellation::default();
        cancellation.request(Urgency::Now);
        let wanted = wanted(Words::Shell("sleep 60".into(), false));
        let failure = local(Path::new("/"), &wanted, &token(), "it", &cancellation).await.expect_err("cancelled");
        assert_eq!(failure.kind, FailureKind::Interrupted);
    }
}
