//! A command in a container, at the terminal that podlift has.

use std::io::ErrorKind;

use tokio::signal::unix::{SignalKind, signal};

use crate::{
    failure::Failure,
    fleet::{connection::Connection, engine},
    model::ContainerName,
};

/// Runs a command in a container with podlift's own standard input, output and error, and with a terminal where `has_terminal`. Returns its
/// exit code; 128 where a signal ended it, as SIGTERM to podlift does. It takes as long as the command does.
///
/// # Errors
/// `failed` where the `docker` command of this machine is missing; what the host's connection fails with.
pub async fn enter(connection: &Connection, container: &ContainerName, command: &[String], has_terminal: bool) -> Result<i32, Failure> {
    let socket = connection.docker_socket().await?;
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => {
            Failure::failed("there is no `docker` command on this machine").hint("install it: the package is docker-cli, or docker.io")
        }
        _ => Failure::failed(format!("`docker exec` could not be started: {error}")),
    };
    // Ctrl-C is the command's: whoever listens is not ended by it.
    let _heard = signal(SignalKind::interrupt()).map_err(failed)?;
    let (mut terminate, mut hangup) = (signal(SignalKind::terminate()).map_err(failed)?, signal(SignalKind::hangup()).map_err(failed)?);
    let mut docker = engine::client("docker", &socket);
    docker.args(["exec", if has_terminal { "-it" } else { "-i" }, container.as_str()]).args(command).kill_on_drop(true);
    let mut docker = docker.spawn().map_err(failed)?;
    loop {
        tokio::select! {
            status = docker.wait() => return Ok(status.map_err(failed)?.code().unwrap_or(128)),
            _ = terminate.recv() => docker.start_kill().map_err(failed)?,
            _ = hangup.recv() => docker.start_kill().map_err(failed)?,
        }
    }
}
