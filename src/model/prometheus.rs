//! A Prometheus server.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::{
    host::Host,
    name::Invalid,
    text::{Part, Text},
    url::has_authority,
};

/// A Prometheus server, or what answers its HTTP API as it does, and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prometheus {
    /// `http` or `https`, up to what stands before `/api/v1/query`.
    pub url: String,
    /// The host that it is reached through, by SSH.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<Host>,
    /// Headers of each request, such as who asks.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Text>,
}

impl Prometheus {
    /// A server at this URL; credentials that are written out are refused, as they would stand in plans and journals.
    pub fn new(url: &str, via: Option<Host>, headers: BTreeMap<String, Text>) -> Result<Self, Invalid> {
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        let fits = rest.is_some_and(|rest| {
            rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
                && has_authority(rest)
                && rest.chars().all(|c| c.is_ascii_graphic() && !"?#@".contains(c))
        });
        if !fits {
            let rule = "http://HOST:PORT or https://HOST/PATH, without user, query and `/api/v1/query`; who asks goes into `headers`";
            return Err(Invalid::new("Prometheus URL", url, rule));
        }
        for (name, value) in &headers {
            let is_token = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
            if !is_token {
                return Err(Invalid::new("header's name", name, "letters, digits, `-` and `_`"));
            }
            let is_secret = |part: &Part| matches!(part, Part::Secret { .. });
            if tells_who(name) && !value.parts().iter().any(is_secret) {
                let rule = "it tells who asks: name a secret in it, as `Bearer ${secret(\"TOKEN\")}` does, in backticks";
                return Err(Invalid::new("header", format!("{name}: …"), rule));
            }
        }
        Ok(Self { url: url.trim_end_matches('/').to_owned(), via, headers })
    }
}

/// Whether a header of this name tells who asks, and so has a credential for its value.
fn tells_who(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["auth", "key", "token", "cookie", "secret", "password", "credential"].iter().any(|word| name.contains(word))
}

impl fmt::Display for Prometheus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_stands_by_its_secrets_name_only() {
        let header = |value: Text| Prometheus::new("https://metrics.example/prom/", None, [("Authorization".to_owned(), value)].into());
        let secret = Text::new([Part::Plain("Bearer ".into()), Part::Secret { secret: "TOKEN".into() }]);
        assert_eq!(header(secret).expect("fits").url, "https://metrics.example/prom");
        let written = header("Bearer abcdef".into()).expect_err("it would be seen").to_string();
        assert!(written.contains("secret(") && !written.contains("abcdef"), "{written}");
        for name in ["X-Api-Key", "x-auth-token", "Cookie", "PROXY-AUTHORIZATION"] {
            let written = Prometheus::new("http://m", None, [(name.to_owned(), "abcdef".into())].into());
            assert!(written.is_err_and(|invalid| !invalid.to_string().contains("abcdef")), "{name}");
        }
        assert!(Prometheus::new("http://m", None, [("X-Scope-OrgID".to_owned(), "shop".into())].into()).is_ok());
        for wrong in ["", "metrics:9090", "http://", "http://u:pw@metrics", "http://metrics/?a=b", "http://a b", "ftp://metrics"] {
            assert!(Prometheus::new(wrong, None, BTreeMap::new()).is_err(), "{wrong}");
        }
        assert!(Prometheus::new("http://m", None, [("A B".to_owned(), "x".into())].into()).is_err());
    }
}
