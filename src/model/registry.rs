//! A registry of images.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    host::Host,
    name::Invalid,
    text::{Part, Text},
};

/// The registry that an image's name without an address means (distribution's reference grammar).
const DOCKER_HUB: &str = "docker.io";

/// A registry, and how engines are to log in to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registry {
    /// `HOST`, `HOST:PORT` or either with a path of names behind it.
    pub address: String,
    /// Who logs in; `None` where nobody has to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<Text>,
    /// The password or token, by a secret's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Text>,
    /// The host whose engine pushes, where this machine does not reach the registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<Host>,
}

impl Registry {
    /// A registry; a password that is written out is refused, as it would stand in plans and journals.
    pub fn new(address: String, username: Option<Text>, password: Option<Text>, via: Option<Host>) -> Result<Self, Invalid> {
        if !fits(&address) {
            let rule = "HOST, HOST:PORT or \"docker.io\", with a path behind it if there is one, without http:// and tag";
            return Err(Invalid::new("registry", address, rule));
        }
        let is_secret = |text: &Text| text.parts().iter().all(|part| matches!(part, Part::Secret { .. })) && !text.parts().is_empty();
        if password.as_ref().is_some_and(|password| !is_secret(password)) {
            return Err(Invalid::new("registry password", "…", "name it with a secret: password: secret(\"REGISTRY_PASSWORD\")"));
        }
        match (&username, &password) {
            (None, Some(_)) => Err(Invalid::new("registry", address, "with a `password` it needs a `username`")),
            (Some(_), None) => Err(Invalid::new("registry", address, "with a `username` it needs a `password`")),
            _ => Ok(Self { address, username, password, via }),
        }
    }

    /// The host and port of it: what an image's name begins with.
    pub fn host(&self) -> &str {
        self.address.split('/').next().unwrap_or_default()
    }

    /// Whether a reference is of it.
    pub fn has(&self, reference: &str) -> bool {
        let (host, rest) = split(reference);
        let path = self.address.split_once('/').map(|(_, path)| path);
        host == self.host() && path.is_none_or(|path| rest.strip_prefix(path).is_some_and(|rest| rest.starts_with('/')))
    }

    /// What an image of this name is called there: under the address, in place of another registry's.
    pub fn name(&self, name: &str) -> String {
        let (_, rest) = split(name);
        let rest = match self.address.split_once('/') {
            Some((_, path)) if !self.has(name) => format!("{path}/{rest}"),
            _ => rest.to_owned(),
        };
        // Engines leave the address of Docker Hub out.
        if self.host() == DOCKER_HUB { rest } else { format!("{}/{rest}", self.host()) }
    }
}

/// The registry that a reference is of, and the rest of it.
pub fn split(reference: &str) -> (&str, &str) {
    match reference.split_once('/') {
        Some((host, rest)) if is_host(host) => (host, rest),
        _ => (DOCKER_HUB, reference),
    }
}

/// What an image's name begins with is a registry where a dot or a port says so, or where it is `localhost`.
fn is_host(part: &str) -> bool {
    part.contains(['.', ':']) || part == "localhost"
}

fn fits(address: &str) -> bool {
    let mut parts = address.split('/');
    let host = parts.next().unwrap_or_default();
    let (name, port) = host.rsplit_once(':').unwrap_or((host, "443"));
    let is_name =
        name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c));
    let is_part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c))
    };
    is_host(host) && is_name && port.parse::<u16>().is_ok_and(|port| port > 0) && parts.all(is_part) && address.len() <= 200
}

/// As people may see it: without who logs in.
impl fmt::Display for Registry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(address: &str) -> Result<Registry, Invalid> {
        Registry::new(address.into(), None, None, None)
    }

    #[test]
    fn an_image_is_called_by_its_registry() {
        for (address, name, there) in [
            ("10.0.0.5:5000", "shop-web", "10.0.0.5:5000/shop-web"),
            ("ghcr.io/team", "shop-web", "ghcr.io/team/shop-web"),
            ("ghcr.io/team", "ghcr.io/team/web", "ghcr.io/team/web"),
            ("ghcr.io/team", "quay.io/other/web", "ghcr.io/team/other/web"),
            ("docker.io/team", "shop-web", "team/shop-web"),
            ("docker.io", "team/web", "team/web"),
            ("localhost:5000", "a/b", "localhost:5000/a/b"),
        ] {
            assert_eq!(registry(address).expect("valid").name(name), there, "{address}");
        }
    }

    #[test]
    fn an_address_is_one_that_engines_know_for_one() {
        for wrong in
            ["", "registry", "https://ghcr.io", "ghcr.io/", "ghcr.io/Team", "ghcr.io:", "ghcr.io:0", "-a.b", "a.b/..", "a.b/c:v1", "a b.c"]
        {
            assert!(registry(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn who_logs_in_has_a_secret() {
        let login = |username: Option<&str>, password: Option<Text>| {
            Registry::new("ghcr.io".into(), username.map(Into::into), password, None).map_err(|invalid| invalid.to_string())
        };
        let secret = || Some(Text::new([Part::Secret { secret: "PW".into() }]));
        assert!(login(Some("ann"), secret()).is_ok());
        let written = login(Some("ann"), Some("hunter2".into())).expect_err("it would be seen");
        assert!(written.contains("secret(") && !written.contains("hunter2"), "{written}");
        assert!(login(Some("ann"), None).is_err() && login(None, secret()).is_err());
    }
}
