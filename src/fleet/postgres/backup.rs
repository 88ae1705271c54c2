//! Dumps, written by a host's own `pg_dump`.

use std::time::Instant;

use tokio_postgres::config::{Host, SslMode};

use super::address::{Address, Check};
use crate::{
    failure::Failure,
    fleet::{Fleet, Request, connection::quoted},
    model::Token,
    op::{BackedUp, Backup},
};

/// Writes the dump beside its place and moves it there: it is whole, or not there. `$1` is its path.
const SCRIPT: &str = r#"
umask 077
case $file in */*) mkdir -p "${file%/*}" || exit ;; esac
if [ ! -f "$file" ]; then
  pg_dump --format=custom --no-password --lock-wait-timeout=30s --file="$file.part" || { code=$?; rm -f "$file.part"; exit $code; }
  mv "$file.part" "$file" || exit
fi
wc -c <"$file"
"#;

/// libpq does not look for the system's roots by itself, and knows the word `system` since 16 only.
const SYSTEM_ROOTS: &str = r#"PGSSLROOTCERT=system
for roots in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem /etc/ssl/cert.pem; do
  if [ -f "$roots" ]; then PGSSLROOTCERT=$roots; break; fi
done
export PGSSLROOTCERT
"#;

/// Dumps the database on the host. What the same call has written already is kept.
pub async fn backup(fleet: &Fleet, op: &Backup, token: &Token) -> Result<BackedUp, Failure> {
    let began = Instant::now();
    let path = op.file(token);
    let address = Address::of(fleet, &op.database)?;
    let script = format!("{}{}file={}\n{SCRIPT}", exports(&address), roots(&address), quoted(&[&path]));
    let connection = fleet.host(&op.host).await?;
    // The password comes on the standard input: a host's process list is for everyone to read.
    let request = Request::new(&["sh", "-s"]).stdin(script).timeout(op.timeout.duration()).called("the dump of the database");
    let output = connection.run(request).await?;
    if output.code != 0 {
        let failure = Failure::failed(format!("the database {} could not be dumped on {}", op.database, op.host.name))
            .detail("pg_dump", &output.stderr);
        return Err(match output.code {
            _ if output.stderr.contains("version mismatch") => failure.hint("install pg_dump there in the server's version or a later one"),
            127 => failure.hint("install PostgreSQL's client programs there, in the server's version or a later one"),
            _ => failure.hint("the host itself has to reach the database under this URL"),
        });
    }
    let bytes = output.stdout.trim().parse().unwrap_or_default();
    Ok(BackedUp { path, bytes, seconds: began.elapsed().as_secs_f64() })
}

/// Where libpq finds the database, as exports of a shell.
fn exports(address: &Address) -> String {
    let config = &address.config;
    let (server, port) = address.server();
    let server = match server {
        Host::Tcp(name) => name,
        Host::Unix(folder) => folder.to_string_lossy().into_owned(),
    };
    let mode = match (config.get_ssl_mode(), address.check) {
        (_, Check::Name) => "verify-full",
        (_, Check::Issuer) => "verify-ca",
        (SslMode::Disable, _) => "disable",
        (SslMode::Require, _) => "require",
        _ => "prefer",
    };
    let password = config.get_password().map(|password| String::from_utf8_lossy(password).into_owned());
    let variables = [
        ("PGHOST", Some(server)),
        ("PGPORT", Some(port.to_string())),
        ("PGUSER", config.get_user().map(Into::into)),
        ("PGPASSWORD", password),
        ("PGDATABASE", config.get_dbname().map(Into::into)),
        ("PGSSLMODE", Some(mode.into())),
        ("PGAPPNAME", Some("podlift".into())),
    ];
    variables.into_iter().filter_map(|(name, value): (_, Option<String>)| Some(format!("export {name}={}\n", quoted(&[&value?])))).collect()
}

/// Who may have signed the server's certificate, as a file of the shell's: the host has no file of the operator's.
fn roots(address: &Address) -> String {
    match &address.roots {
        Some(roots) => format!(
            "roots=$(mktemp) || exit\ntrap 'rm -f \"$roots\"' EXIT\ntrap 'exit 129' HUP INT TERM\n\
             printf '%s\\n' {} >\"$roots\" || exit\nexport PGSSLROOTCERT=\"$roots\"\n",
            quoted(&[roots.pem.trim()])
        ),
        None if address.check == Check::Name => SYSTEM_ROOTS.into(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    #[test]
    fn a_shell_sees_what_it_is_told() {
        let config = tokio_postgres::Config::from_str("postgres://app:it%27s%20%24x@db:5433/shop").expect("a URL");
        assert_eq!(
            exports(&Address { config, check: Check::Nothing, roots: None }),
            "export PGHOST=db\nexport PGPORT=5433\nexport PGUSER=app\nexport PGPASSWORD='it'\\''s $x'\nexport PGDATABASE=shop\n\
             export PGSSLMODE=prefer\nexport PGAPPNAME=podlift\n"
        );
    }
}
