//! What went wrong on the way to a host, told so that one knows what to do.

use bollard::errors::Error;

use crate::{
    failure::{Failure, FailureKind},
    model::Host,
};

fn unreachable(host: &Host, message: String) -> Failure {
    Failure::new(FailureKind::Unreachable, message).on(&host.name)
}

/// Why ssh could not log in, by what it wrote.
pub fn login(host: &Host, words: &str) -> Failure {
    let name = &host.name;
    let address = host.address();
    let port = host.port.map(|port| format!("-p {port} ")).unwrap_or_default();
    let has = |text: &str| words.contains(text);
    let failure = if has("REMOTE HOST IDENTIFICATION HAS CHANGED") {
        unreachable(host, format!("{name} shows another host key than the known one"))
            .hint("find out why before anything else: it may be another machine in its place")
            .hint(format!(
                "if the machine was set up anew, remove the old key with `ssh-keygen -R '{}'` and connect once with `ssh {port}{}`",
                known_as(words, "Host key for ", " has changed").unwrap_or(name.as_str()),
                user_at(host)
            ))
    } else if has("Host key verification failed") || has("host key is known for") {
        unreachable(host, format!("{name}'s host key is not known"))
            .hint(format!("connect once with `ssh {port}{}` and compare the key", user_at(host)))
            .hint(format!("or add it with `{} >> ~/.ssh/known_hosts`, if you trust the network", keyscan(host, words)))
    } else if has("Permission denied (") || has("Too many authentication failures") {
        unreachable(host, format!("{name} did not accept the login as {}", denied(words).unwrap_or(&address))).hint(
            "load the key with `ssh-add`, name it in ~/.ssh/config or with the host's `identity`, and add it to `authorized_keys` there",
        )
    } else if has("Could not resolve hostname") {
        unreachable(host, format!("there is no host of the name {name}")).hint("check the spelling, DNS and ~/.ssh/config")
    } else if has("Connection refused") {
        unreachable(host, format!("{name} refused the SSH connection")).hint("check that sshd runs there, and on which port")
    } else if has("timed out") || has("No route to host") || has("Network is unreachable") {
        unreachable(host, format!("{name} did not answer SSH")).hint("check the address, the network and the firewall")
    } else if has("Connection closed by") || has("Connection reset by") || has("kex_exchange_identification") {
        unreachable(host, format!("{name} ended the SSH connection before the login")).hint("look at sshd's log there")
    } else {
        unreachable(host, format!("SSH could not log in to {name}")).hint(format!("try `ssh {port}{}`", user_at(host)))
    };
    failure.detail("ssh", words.replace('\r', "").trim())
}

/// What stands between two pieces of a line of ssh's.
fn known_as<'a>(words: &'a str, before: &str, after: &str) -> Option<&'a str> {
    words.lines().find_map(|line| line.split_once(before)?.1.split_once(after).map(|(name, _)| name))
}

/// The user and host that ssh was denied as: those behind an alias, where one was given.
fn denied(words: &str) -> Option<&str> {
    let line = words.lines().find(|line| line.contains(": Permission denied ("))?;
    line.split_once(": Permission denied (").map(|(who, _)| who.trim()).filter(|who| who.contains('@') && !who.contains(' '))
}

/// `ssh-keyscan` knows no aliases: the address is the one that ssh tells, `[ADDRESS]:PORT` where the port is another than 22.
fn keyscan(host: &Host, words: &str) -> String {
    match known_as(words, "host key is known for ", " and you") {
        Some(name) => match name.strip_prefix('[').and_then(|name| name.split_once("]:")) {
            Some((address, port)) => format!("ssh-keyscan -p {port} {address}"),
            None => format!("ssh-keyscan {name}"),
        },
        None => format!("ssh-keyscan {}", host.name),
    }
}

fn user_at(host: &Host) -> String {
    host.user.as_ref().map_or_else(|| host.name.to_string(), |user| format!("{user}@{}", host.name))
}

/// The session ended while it was used.
pub fn lost(host: &Host, what: &str) -> Failure {
    unreachable(host, format!("the connection to {} was lost during {what}", host.name))
        .lost()
        .hint("check the network and the host, then run again")
}

/// What a look at the Docker socket found, where nothing answers behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketLook {
    /// There is none.
    Missing,
    /// The user may not use it.
    Denied,
    /// The user may use it, and Docker's own client gets an answer.
    Answers,
    /// The user may use it, and nothing answers.
    Silent,
}

impl SocketLook {
    /// The script for `sh -c` that looks, with the socket's path as its first argument; prints one word.
    pub const SCRIPT: &str = r#"if [ ! -S "$1" ]; then echo missing
elif [ ! -w "$1" ]; then echo denied
elif docker -H "unix://$1" version >/dev/null 2>&1; then echo answers
else echo silent; fi"#;

    /// Reads what [`Self::SCRIPT`] prints.
    pub fn read(output: &str) -> Self {
        match output.trim() {
            "missing" => Self::Missing,
            "denied" => Self::Denied,
            "answers" => Self::Answers,
            _ => Self::Silent,
        }
    }
}

/// Why Docker's socket gave no answer.
pub fn docker_socket(host: &Host, look: SocketLook, user: &str) -> Failure {
    let (name, path) = (&host.name, &host.docker);
    match look {
        SocketLook::Missing => unreachable(host, format!("there is no Docker socket {path} on {name}"))
            .hint("install Docker and start it, or name its socket as the host's `docker`"),
        SocketLook::Denied => unreachable(host, format!("the user {user} may not use the Docker socket {path} on {name}"))
            .hint(format!("run `usermod -aG docker {user}` as root on {name}, and log in anew")),
        SocketLook::Answers => unreachable(host, format!("{name}'s sshd does not forward the Docker socket {path}"))
            .hint("set `AllowStreamLocalForwarding yes` and `AllowTcpForwarding yes` in its sshd_config and reload sshd"),
        SocketLook::Silent => unreachable(host, format!("nothing answers behind the Docker socket {path} on {name}"))
            .hint("check that Docker runs there: `systemctl status docker`")
            .hint("check that its sshd_config does not forbid `AllowStreamLocalForwarding`"),
    }
}

/// An answer of Docker's engine that is an error: `what` says what was not done, without a full stop.
pub fn engine(host: &Host, what: &str, error: &Error) -> Failure {
    let failure = match error {
        Error::DockerResponseServerError { message, .. } => Failure::failed(format!("{what}: {}", message.trim())),
        Error::RequestTimeoutError => Failure::new(FailureKind::Timeout, format!("{what}: Docker did not answer in time")),
        Error::HyperResponseError { .. } | Error::HyperLegacyError { .. } | Error::IOError { .. } | Error::SocketNotFoundError(_) => {
            Failure::new(FailureKind::Unreachable, format!("{what}: the connection to Docker was lost"))
                .lost()
                .detail("connection", error.to_string())
                .hint("check the network and the host, then run again")
        }
        other => Failure::failed(format!("{what}: {other}")),
    };
    failure.on(&host.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(words: &str) -> String {
        let failure = login(&Host::parse("deploy@h1:2222").expect("valid"), words);
        assert_eq!(failure.kind, FailureKind::Unreachable);
        assert!(!failure.hints.is_empty());
        failure.message
    }

    #[test]
    fn what_ssh_says_is_told_plainly() {
        assert_eq!(told("ssh: connect to host h1 port 2222: Connection refused\r\n"), "h1 refused the SSH connection");
        assert_eq!(told("ssh: connect to host h1 port 2222: Connection timed out\r\n"), "h1 did not answer SSH");
        assert_eq!(told("deploy@h1: Permission denied (publickey).\r\n"), "h1 did not accept the login as deploy@h1");
        let unknown = "No ED25519 host key is known for h1 and you have requested strict checking.\r\nHost key verification failed.\r\n";
        assert_eq!(told(unknown), "h1's host key is not known");
        let changed = "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\n…\r\nHost key verification failed.\r\n";
        assert_eq!(told(changed), "h1 shows another host key than the known one");
        assert_eq!(told("ssh: Could not resolve hostname h1: Name or service not known"), "there is no host of the name h1");
    }

    #[test]
    fn hints_name_what_is_behind_an_alias() {
        let host = Host::parse("web1").expect("valid");
        let unknown =
            "No ED25519 host key is known for [10.0.0.1]:2222 and you have requested strict checking.\r\nHost key verification failed.\r\n";
        assert!(login(&host, unknown).hints[1].contains("`ssh-keyscan -p 2222 10.0.0.1 >> ~/.ssh/known_hosts`"));
        let changed = "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\r\nHost key for 10.0.0.1 has changed and you have requested strict checking.\r\n";
        assert!(login(&host, changed).hints[1].contains("`ssh-keygen -R '10.0.0.1'`"));
        let denied = login(&host, "deploy@10.0.0.1: Permission denied (publickey,keyboard-interactive).\r\n");
        assert_eq!(denied.message, "web1 did not accept the login as deploy@10.0.0.1");
    }

    #[test]
    fn a_denied_socket_names_the_command_that_helps() {
        let failure = docker_socket(&Host::parse("deploy@h1").expect("valid"), SocketLook::read("denied\n"), "deploy");
        assert_eq!(failure.message, "the user deploy may not use the Docker socket /var/run/docker.sock on h1");
        assert_eq!(failure.hints, ["run `usermod -aG docker deploy` as root on h1, and log in anew"]);
    }
}
