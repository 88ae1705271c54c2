//! nginx's versions, as far as they differ for podlift.

use std::fmt;

/// A version of nginx.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NginxVersion(pub u32, pub u32, pub u32);

impl NginxVersion {
    /// Reads what `nginx -v` says: `nginx version: nginx/1.22.1 (Debian)`.
    pub fn parse(text: &str) -> Option<Self> {
        let number = text.split('/').nth(1)?.split(|character: char| !character.is_ascii_digit() && character != '.').next()?;
        let mut parts = number.split('.').map(|part| part.parse().ok());
        Some(Self(parts.next()??, parts.next()??, parts.next().flatten().unwrap_or(0)))
    }

    /// Whether it keeps connections to upstreams unless told otherwise (`keepalive` is on by default from 1.29.7).
    pub const fn keeps_upstream_connections(self) -> bool {
        self.0 > 1 || (self.0 == 1 && (self.1 > 29 || (self.1 == 29 && self.2 >= 7)))
    }
}

impl fmt::Display for NginxVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_nginx_and_its_kin_print_them() {
        assert_eq!(NginxVersion::parse("nginx version: nginx/1.22.1"), Some(NginxVersion(1, 22, 1)));
        assert_eq!(NginxVersion::parse("nginx version: nginx/1.18.0 (Ubuntu)"), Some(NginxVersion(1, 18, 0)));
        assert_eq!(NginxVersion::parse("nginx version: openresty/1.21.4.1"), Some(NginxVersion(1, 21, 4)));
        assert_eq!(NginxVersion::parse("sh: nginx: not found"), None);
    }

    #[test]
    fn upstream_connections_are_kept_from_1_29_7() {
        assert!(!NginxVersion(1, 22, 1).keeps_upstream_connections());
        assert!(!NginxVersion(1, 29, 6).keeps_upstream_connections());
        assert!(NginxVersion(1, 29, 7).keeps_upstream_connections());
        assert!(NginxVersion(1, 31, 0).keeps_upstream_connections());
    }
}
