//! Ops that go through a registry of images.

use serde::{Deserialize, Serialize};

use crate::model::{Host, Registry, Version};

/// Pushes an image to a registry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Push {
    /// The host whose engine has the image, and pushes it.
    pub from: Host,
    /// The image's reference there, with a tag.
    pub reference: String,
    /// Its content digest, where it is known.
    pub digest: String,
    /// Its version.
    pub version: Version,
    /// The registry.
    pub registry: Registry,
}

impl Push {
    /// The reference that it has at the registry.
    pub fn target(&self) -> String {
        let (name, tag) = self.reference.rsplit_once(':').unwrap_or((&self.reference, "latest"));
        format!("{}:{tag}", self.registry.name(name))
    }
    pub(super) fn describe(&self) -> String {
        self.target()
    }
    pub(super) fn host(&self) -> Option<&Host> {
        Some(&self.from)
    }
}

/// Asks a registry what digest a tag stands for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resolve {
    /// The host whose engine asks.
    pub on: Host,
    /// The image's reference, with a tag.
    pub reference: String,
    /// The registry, where the script has told who logs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<Registry>,
    /// What this run has found it to be already: a tag means one image in all of a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<String>,
}

impl Resolve {
    pub(super) fn describe(&self) -> String {
        self.reference.clone()
    }
    pub(super) fn host(&self) -> Option<&Host> {
        Some(&self.on)
    }
}

/// Makes sure that a host has an image of a registry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pull {
    /// The host.
    pub host: Host,
    /// The image's reference.
    pub reference: String,
    /// The registry's digest of it; empty in a model that has not seen it.
    pub registry_digest: String,
    /// Its content digest, where it is known.
    pub digest: String,
    /// Its version.
    pub version: Version,
    /// The registry, where the script has told who logs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<Registry>,
}

impl Pull {
    /// What is pulled: the name with the registry's digest, where that is known.
    pub fn pinned(&self) -> String {
        if self.registry_digest.is_empty() || self.reference.contains('@') {
            return self.reference.clone();
        }
        let name = match self.reference.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => name,
            _ => self.reference.as_str(),
        };
        format!("{name}@{}", self.registry_digest)
    }
    pub(super) fn describe(&self) -> String {
        self.reference.clone()
    }
    pub(super) fn host(&self) -> Option<&Host> {
        Some(&self.host)
    }
}

/// What a host has after a pull.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pulled {
    /// The image's content digest; empty in a model that has not seen it.
    pub digest: String,
}
