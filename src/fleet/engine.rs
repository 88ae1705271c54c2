//! What a host's Docker engine is, and the command that speaks to it.
#![expect(clippy::disallowed_types, reason = "fleet/ starts programs")]

use std::{ffi::OsString, path::Path, time::Duration};

use bollard::models::SystemInfo;
use tokio::process::Command;

use super::{Connection, Request, trouble};
use crate::{
    failure::Failure,
    model::{Bytes, Engine, Store},
};

/// The oldest engine that podlift knows: 20.10.
const OLDEST: (u64, u64) = (20, 10);

/// The `docker` command of this machine, speaking to the engine behind this socket and no other.
pub fn client(program: &str, socket: &Path) -> Command {
    let mut host = OsString::from("unix://");
    host.push(socket);
    let mut command = Command::new(program);
    command.env("DOCKER_HOST", host).env_remove("DOCKER_CONTEXT").env_remove("DOCKER_TLS_VERIFY").env_remove("DOCKER_CERT_PATH");
    command
}

/// Reads version, platform, image store and free disk; refuses an engine older than 20.10.
pub async fn engine(connection: &Connection) -> Result<Engine, Failure> {
    let host = connection.host();
    let docker = connection.docker().await?;
    let failed = |error| trouble::engine(host, "Docker did not say what it is", &error);
    let (version, info) = tokio::try_join!(docker.version(), docker.info()).map_err(failed)?;
    let number = version.version.unwrap_or_default();
    if release(&number).is_some_and(|release| release < OLDEST) {
        return Err(Failure::refused(format!("{} has Docker {number}, and podlift needs 20.10 or later", host.name))
            .on(&host.name)
            .hint("update Docker there"));
    }
    let platform = format!("{}/{}", version.os.unwrap_or_default(), version.arch.unwrap_or_default());
    let free = match &info.docker_root_dir {
        Some(folder) => free(connection, folder).await,
        None => None,
    };
    let cpus = info.ncpu.and_then(|count| u64::try_from(count).ok());
    Ok(Engine { version: number, platform, store: store(&info), free, cpus })
}

/// `20.10.24+dfsg1` is (20, 10).
fn release(version: &str) -> Option<(u64, u64)> {
    let mut numbers = version.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// containerd's store says so in its `DriverStatus`; a classic one names its graph driver's facts there.
fn store(info: &SystemInfo) -> Store {
    let is_containerd = |pair: &Vec<String>| pair.iter().any(|word| word.starts_with("io.containerd."));
    if info.driver_status.iter().flatten().any(is_containerd) { Store::Containerd } else { Store::Classic }
}

/// The space that is free for `folder`; not known where the engine runs in a machine of its own.
async fn free(connection: &Connection, folder: &str) -> Option<Bytes> {
    let output = connection.run(Request::new(&["df", "-Pk", folder]).timeout(Duration::from_secs(10))).await.ok()?;
    if output.code == 0 { available(&output.stdout) } else { None }
}

/// Reads POSIX `df -Pk`: the fourth column of the second line, in units of 1024 bytes.
fn available(output: &str) -> Option<Bytes> {
    let kilobytes: u64 = output.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    kilobytes.checked_mul(1024).map(Bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_space_is_the_fourth_column() {
        let output = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/sda1 100 40 60 40% /\n";
        assert_eq!(available(output), Some(Bytes(60 * 1024)));
        assert_eq!(available("df: /x: No such file"), None);
    }

    #[test]
    fn versions_compare_as_numbers() {
        assert_eq!(release("20.10.24+dfsg1"), Some((20, 10)));
        assert!(release("19.03.1").is_some_and(|release| release < OLDEST));
        assert!(release("9.1").is_some_and(|release| release < OLDEST));
    }
}
