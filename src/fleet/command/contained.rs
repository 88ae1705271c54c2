//! Commands in containers: in one that runs, and in one of their own.
#![expect(clippy::disallowed_types, reason = "fleet/ speaks to engines")]

use std::{sync::Arc, time::Duration};

use bollard::{
    Docker,
    container::{AttachContainerResults, LogOutput},
    exec::{CreateExecOptions, StartExecOptions, StartExecResults},
    models::ContainerCreateBody,
    query_parameters::{
        AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, StopContainerOptionsBuilder,
    },
};
use futures_util::{Stream, StreamExt};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::{
    super::{Connection, images::engine_failure},
    keep,
};
use crate::{failure::Failure, model::ContainerName, op::CommandOutput};

/// Runs it in a container that runs.
pub(super) async fn exec(
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
pub(super) async fn alone(
    connection: &Arc<Connection>,
    name: &str,
    body: ContainerCreateBody,
    stdin: &[u8],
) -> Result<CommandOutput, Failure> {
    let docker = connection.docker().await?;
    let failed = |error| engine_failure(&format!("the one-off container {name} could not be run on {}", connection.host().name), &error);
    let options = CreateContainerOptionsBuilder::default().name(name).build();
    let removal = Removal { connection: connection.clone(), docker: docker.clone(), name: Some(name.to_owned()) };
    let created = docker.create_container(Some(options.clone()), body.clone()).await;
    if let Err(bollard::errors::Error::DockerResponseServerError { status_code: 409, .. }) = created {
        // This very call was begun by a process that died; somebody has said that it is to be done again.
        end(&docker, name).await;
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
            self.connection.afterwards(async move { end(&docker, &name).await });
        }
    }
}

/// Ends a command that is not waited for any longer, first politely, after two seconds for good, and removes its container.
async fn end(docker: &Docker, name: &str) {
    let options = StopContainerOptionsBuilder::default().t(2).build();
    // It may have ended, or never begun.
    let _ = docker.stop_container(name, Some(options)).await;
    remove(docker, name).await;
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
