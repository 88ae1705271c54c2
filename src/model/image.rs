//! A built image.

use serde::{Deserialize, Serialize};

use super::name::Version;

/// A built image: a reference, and the digest of what it stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Image {
    /// The reference that hosts know it by, `NAME:TAG`.
    pub reference: String,
    /// The content's digest, the same on every host and store: the SHA-256 over the layers' digests and the configuration.
    /// Empty in a model that has not seen the build.
    #[serde(default)]
    pub digest: String,
    /// The version: the reference's tag.
    pub version: Version,
    /// The digest that its registry knows it by, once it was pushed or pulled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_digest: Option<String>,
}
