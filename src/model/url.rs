//! What URLs begin with.

/// Whether what stands behind `http://` begins with a host, and has no port or one that there is (RFC 3986).
pub fn has_authority(rest: &str) -> bool {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, authority)| authority);
    let (host, port) = if let Some(bracketed) = authority.strip_prefix('[') {
        let Some((host, behind)) = bracketed.split_once(']') else { return false };
        (host, (!behind.is_empty()).then(|| behind.strip_prefix(':').unwrap_or_default()))
    } else {
        authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)))
    };
    !host.is_empty() && port.is_none_or(|port| self::port(port).is_some())
}

/// Reads a port: digits, from 1 to 65535.
pub fn port(text: &str) -> Option<u16> {
    if text.chars().all(|digit| digit.is_ascii_digit()) { text.parse().ok().filter(|port| *port > 0) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_a_number_that_there_is() {
        for rest in ["shop.example", "shop.example:8080/x?y=:", "[::1]:9090/", "[::1]", "u:p@h:80/@"] {
            assert!(has_authority(rest), "{rest}");
        }
        for rest in ["", "/x", "x:y", "x:", "x:0", "x:+80", "x:65536", "[::1", "[::1]9090", ":80"] {
            assert!(!has_authority(rest), "{rest}");
        }
    }
}
