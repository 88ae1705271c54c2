//! A machine with a Docker engine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    name::{HostName, Invalid},
    shared::Shared,
    url::port,
};

/// A machine with a Docker engine, reached over SSH or local.
pub type Host = Shared<HostFacts>;

/// What is known of a host before anybody has asked it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HostFacts {
    /// What it is called: the address without user and port, or `local`.
    pub name: HostName,
    /// The user that SSH logs in as; SSH's own configuration decides where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// SSH's port; SSH's own configuration decides where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// A private key's path on the machine that runs podlift.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Labels for the script's own choices.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The address that containers publish their ports on.
    #[serde(default = "loopback")]
    pub bind: String,
    /// The path of the Docker engine's socket.
    #[serde(default = "docker_socket")]
    pub docker: String,
    /// Whether the proxy's files and reload need `sudo -n`; not given, whatever the user needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sudo: Option<bool>,
    /// The reverse proxy on this host.
    #[serde(default)]
    pub proxy: Proxy,
}

impl Host {
    /// Reads `"user@name:port"`, an ssh-config alias, or `"local"`.
    pub fn parse(address: &str) -> Result<Self, Invalid> {
        let rule = "write it as \"name\", \"user@name\" or \"user@name:port\", or \"local\"";
        let (user, rest) = match address.rsplit_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, address),
        };
        let plain_user =
            |user: &str| !user.is_empty() && !user.starts_with('-') && user.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
        if user.is_some_and(|user| !plain_user(user)) {
            return Err(Invalid::new("host", address, rule));
        }
        let (name, port) = split_port(rest).ok_or_else(|| Invalid::new("host", address, rule))?;
        let name = HostName::new(name).map_err(|invalid| Invalid::new("host", address, invalid.rule))?;
        if name.as_str() == "local" && (user.is_some() || port.is_some()) {
            return Err(Invalid::new("host", address, "\"local\" has no user and no port"));
        }
        let facts = HostFacts {
            name,
            user: user.map(Into::into),
            port,
            identity: None,
            labels: BTreeMap::new(),
            bind: loopback(),
            docker: docker_socket(),
            sudo: None,
            proxy: Proxy::default(),
        };
        Ok(facts.into())
    }

    /// Whether it is the machine that runs podlift.
    pub fn is_local(&self) -> bool {
        self.name.as_str() == "local"
    }

    /// The address as it would be written in a script.
    pub fn address(&self) -> String {
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{user}{}{port}", self.name)
    }
}

/// Splits a port off a name; an IPv6 address has one only behind brackets.
fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    if let Some(bracketed) = text.strip_prefix('[') {
        let (name, rest) = bracketed.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(text) => Some((name, Some(port(text)?))),
            None => rest.is_empty().then_some((name, None)),
        };
    }
    match text.split_once(':') {
        Some((_, port)) if port.contains(':') => Some((text, None)),
        Some((name, text)) => Some((name, Some(port(text)?))),
        None => Some((text, None)),
    }
}

fn loopback() -> String {
    "127.0.0.1".into()
}

fn docker_socket() -> String {
    "/var/run/docker.sock".into()
}

/// Which reverse proxy a host has, and where it lives.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proxy {
    /// The program.
    #[serde(default)]
    pub kind: ProxyKind,
    /// The Docker container that it runs in; not given, it runs on the host itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The program's path or name, for example `"/usr/local/sbin/nginx"`; not given, `nginx`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The folder of included files inside `http`; not given, what `nginx -T` shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// The folder of the access logs; not given, `/var/log/nginx`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logs: Option<String>,
    /// A template of the project's own for a service's file, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
}

/// The reverse proxies that podlift knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyKind {
    /// nginx, from Debian's 1.22 to current.
    #[default]
    Nginx,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_user_and_port() {
        let host = Host::parse("deploy@10.0.0.11:2222").expect("valid");
        assert_eq!((host.user.as_deref(), host.name.as_str(), host.port), (Some("deploy"), "10.0.0.11", Some(2222)));
        assert_eq!(host.address(), "deploy@10.0.0.11:2222");
        assert_eq!(Host::parse("[fe80::1]:22").expect("valid").name.as_str(), "fe80::1");
        assert_eq!(Host::parse("fe80::1").expect("valid").port, None);
        assert!(Host::parse("local").expect("valid").is_local());
    }

    #[test]
    fn hostile_addresses_are_refused() {
        for address in [
            "",
            "@h",
            "a b@h",
            "-x@h",
            "h:port",
            "h:99999",
            "u@h:0",
            "h:+22",
            "[fe80::1]:0",
            "-oProxyCommand=id",
            "me@local",
            "h;id",
            "a@b@c d",
        ] {
            assert!(Host::parse(address).is_err(), "{address:?}");
        }
    }
}
