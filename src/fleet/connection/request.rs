//! A command for a host.

use std::time::Duration;

/// A command for a host.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The program and its arguments; each is quoted.
    pub program: &'a [&'a str],
    /// What it reads.
    pub stdin: Vec<u8>,
    /// Whether it needs root: `sudo -n` unless the user is root.
    pub sudo: bool,
    /// How long it may take.
    pub timeout: Duration,
    /// What people call it, where its first words say too little.
    pub name: Option<&'a str>,
    /// Whether on the operator's own machine it ends with podlift, however that ends.
    pub watched: bool,
}

impl<'a> Request<'a> {
    /// A command that reads nothing, needs no root and takes at most 30 s.
    pub const fn new(program: &'a [&'a str]) -> Self {
        Self { program, stdin: Vec::new(), sudo: false, timeout: Duration::from_secs(30), name: None, watched: false }
    }

    /// Gives it something to read.
    #[must_use]
    pub fn stdin(mut self, stdin: impl Into<Vec<u8>>) -> Self {
        self.stdin = stdin.into();
        self
    }

    /// Says whether it needs root.
    #[must_use]
    pub const fn sudo(mut self, sudo: bool) -> Self {
        self.sudo = sudo;
        self
    }

    /// Gives it a name for messages.
    #[must_use]
    pub const fn called(mut self, name: &'a str) -> Self {
        self.name = Some(name);
        self
    }

    /// Says whether on the operator's own machine it ends with podlift.
    #[must_use]
    pub const fn watched(mut self, watched: bool) -> Self {
        self.watched = watched;
        self
    }

    /// Says how long it may take.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}
