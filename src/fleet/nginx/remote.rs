//! Scripts that run on a proxy's host.

use std::time::Duration;

use crate::{
    failure::{Failure, FailureKind},
    fleet::connection::{Connection, Request},
};

/// Runs a script of `sh` with the rights that the proxy's files need, and gives back what it printed. The scripts exit with 0
/// and tell in words how it went; another code means that they could not do their work.
pub async fn script(
    connection: &Connection,
    script: &str,
    arguments: &[&str],
    stdin: Vec<u8>,
    timeout: Duration,
) -> Result<String, Failure> {
    run(connection, script, arguments, Request::new(&[]).stdin(stdin).sudo(true).timeout(timeout)).await
}

/// What scripts for nginx itself begin with: how it is called, and which its master process is.
pub(super) const NGINX: &str = include_str!("scripts/nginx.sh");

/// Runs a script of `sh` for nginx itself, on the host or in a container, as [`script`] does.
pub async fn nginx(
    connection: &Connection,
    script: &str,
    arguments: &[&str],
    stdin: Vec<u8>,
    timeout: Duration,
) -> Result<String, Failure> {
    let host = connection.host();
    let command = host.proxy.command.as_deref().unwrap_or("nginx");
    let own = [command, host.proxy.container.as_deref().unwrap_or_default(), &host.docker];
    self::script(connection, &format!("{NGINX}{script}"), &[&own, arguments].concat(), stdin, timeout).await
}

/// Runs a script of `sh` that needs no rights, and gives back what it printed.
pub async fn reading(connection: &Connection, script: &str, arguments: &[&str], timeout: Duration) -> Result<String, Failure> {
    run(connection, script, arguments, Request::new(&[]).timeout(timeout)).await
}

async fn run(connection: &Connection, script: &str, arguments: &[&str], request: Request<'_>) -> Result<String, Failure> {
    let program: Vec<&str> = ["sh", "-c", script, "podlift"].iter().chain(arguments).copied().collect();
    let output = connection.run(Request { program: &program, ..request }.called("the script for nginx")).await?;
    if output.code == 0 {
        return Ok(output.stdout);
    }
    let host = &connection.host().name;
    Err(Failure::new(FailureKind::Command, format!("a script for nginx on {host} ended with code {}", output.code))
        .on(host)
        .detail("what it said", format!("{}{}", output.stdout, output.stderr))
        .hint("look at what it said, at the folder's rights and at free disk space there"))
}
