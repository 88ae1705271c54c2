//! Where a database is, by its URL, and what its server's certificate has to show: libpq's `sslmode` and `sslrootcert`.

use std::{path::PathBuf, str::FromStr};

use rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio_postgres::{Config, config::Host};

use crate::{failure::Failure, fleet::Fleet, model::Database};

/// Parameters of libpq that podlift does not know; others that it does not know are named by nobody, as they may be parts of a password.
const UNKNOWN: [&str; 14] = [
    "sslcert",
    "sslkey",
    "sslpassword",
    "sslcertmode",
    "sslcrl",
    "sslcrldir",
    "requiressl",
    "gssencmode",
    "gssdelegation",
    "krbsrvname",
    "passfile",
    "service",
    "requirepeer",
    "require_auth",
];

/// A URL with its secrets in place.
pub struct Address {
    /// As the driver reads it.
    pub config: Config,
    /// What the server's certificate has to show.
    pub check: Check,
    /// Who may have signed it, in place of the system's roots.
    pub roots: Option<Roots>,
}

/// What a server's certificate has to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Nothing: bytes are encrypted at most (`disable`, `prefer`, `require`).
    Nothing,
    /// That one of the roots has signed it (`verify-ca`).
    Issuer,
    /// That too, and the server's name (`verify-full`).
    Name,
}

/// Certificates of a file.
pub struct Roots {
    /// The file, as the URL names it.
    pub file: String,
    /// Its text.
    pub pem: String,
    /// What is in it.
    pub certificates: Vec<CertificateDer<'static>>,
}

impl Address {
    /// Reads the URL, and the file of its `sslrootcert`, which is relative to the script's folder. No error shows the URL.
    pub fn of(fleet: &Fleet, database: &Database) -> Result<Self, Failure> {
        let url = fleet.secrets().resolve(&database.url)?;
        let refused = |why: &str| Failure::refused(format!("the URL of the database {database} {why}"));
        let (place, parameters) = parts(&url);
        let (mut mode, mut file, mut others) = ("prefer".to_owned(), None, Vec::new());
        for parameter in parameters {
            match parameter.split_once('=') {
                Some(("sslmode", value)) => mode = decoded(value),
                Some(("sslrootcert", value)) => file = Some(decoded(value)).filter(|value| !["", "system"].contains(&value.as_str())),
                Some((name, _)) if UNKNOWN.contains(&name) => {
                    return Err(refused(&format!("has the parameter `{name}`, which podlift does not know")).hint("leave it out"));
                }
                _ => others.push(parameter),
            }
        }
        let (mode, check) = match (mode.as_str(), &file) {
            (mode @ ("disable" | "prefer"), _) => (mode, Check::Nothing),
            // libpq keeps this from the time before `verify-ca`.
            ("require" | "verify-ca", Some(_)) => ("require", Check::Issuer),
            ("require", None) => ("require", Check::Nothing),
            ("verify-full", _) => ("require", Check::Name),
            ("verify-ca", None) => {
                let why = "asks for `sslmode=verify-ca`, and names no CA: every server of the world has a certificate that one of the system's roots signed";
                return Err(refused(why).hint("add `sslrootcert=FILE`, or use `sslmode=verify-full`"));
            }
            _ => return Err(refused("has an unknown `sslmode`").hint("there are disable, prefer, require, verify-ca and verify-full")),
        };
        let roots = file.filter(|_| check != Check::Nothing).map(|file| Roots::read(fleet, database, &file)).transpose()?;
        let mode = format!("sslmode={mode}");
        others.push(&mode);
        let config = Config::from_str(&format!("{place}?{}", others.join("&"))).map_err(|_| {
            refused("cannot be read")
                .hint("write it as postgres://USER:PASSWORD@HOST:PORT/NAME?sslmode=…")
                .hint("a password that has one of @ : / ? # % in it has to be percent-encoded, in the secret itself")
        })?;
        if config.get_hosts().len() > 1 {
            return Err(refused("names several servers").hint("name the one that can be written to"));
        }
        Ok(Self { config, check, roots })
    }

    /// The server, and the port.
    pub fn server(&self) -> (Host, u16) {
        let host = self.config.get_hosts().first().cloned().unwrap_or_else(|| Host::Unix(PathBuf::from("/var/run/postgresql")));
        (host, self.config.get_ports().first().copied().unwrap_or(5432))
    }

    /// Who may have signed the server's certificate, in words.
    pub fn signers(&self) -> &str {
        self.roots.as_ref().map_or("the system's roots", |roots| &roots.file)
    }
}

impl Roots {
    fn read(fleet: &Fleet, database: &Database, file: &str) -> Result<Self, Failure> {
        let mut roots = Self { file: file.to_owned(), pem: String::new(), certificates: Vec::new() };
        let read = std::fs::read_to_string(fleet.folder().join(file));
        roots.pem = read.map_err(|error| roots.refused(database, &format!("cannot be read: {error}")))?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(roots.pem.as_bytes()).collect();
        roots.certificates = certificates.map_err(|error| roots.refused(database, &format!("cannot be read: {error}")))?;
        if roots.certificates.is_empty() {
            return Err(roots.refused(database, "has no certificate in it"));
        }
        Ok(roots)
    }

    /// The refusal of the file.
    pub fn refused(&self, database: &Database, why: &str) -> Failure {
        Failure::refused(format!("the CA of the database {database}, {}, {why}", self.file))
            .hint("`sslrootcert` names a PEM file, relative to the script's folder")
    }
}

/// The part before the parameters, and the parameters. A password ends at the first `@`, as the driver reads it.
fn parts(url: &str) -> (&str, Vec<&str>) {
    let behind = url.find('@').unwrap_or(0);
    match url[behind..].split_once('?') {
        Some((_, query)) => (&url[..url.len() - query.len() - 1], query.split('&').filter(|field| !field.is_empty()).collect()),
        None => (url, Vec::new()),
    }
}

/// A value without its percent signs, as libpq reads it; one that is no UTF-8 then stays as it is.
fn decoded(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [first, others @ ..] = rest {
        let code = others.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let code = code.filter(|digits| *first == b'%' && digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let byte = code.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &others[2..] } else { others };
    }
    String::from_utf8(bytes).unwrap_or_else(|_| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded() {
        for (value, text) in
            [("my%20ca.pem", "my ca.pem"), ("%C3%a4", "ä"), ("100%", "100%"), ("%zz%2", "%zz%2"), ("%+1", "%+1"), ("%ff", "%ff")]
        {
            assert_eq!(decoded(value), text);
        }
    }

    #[test]
    fn parameters_begin_behind_the_password() {
        assert_eq!(parts("postgres://u:a?b=c@db/shop?x=1&&y=2"), ("postgres://u:a?b=c@db/shop", vec!["x=1", "y=2"]));
        assert_eq!(parts("postgres:///shop"), ("postgres:///shop", vec![]));
        assert_eq!(parts("postgres:///shop?host=/run"), ("postgres:///shop", vec!["host=/run"]));
    }
}
