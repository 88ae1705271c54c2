//! The URL of a database: what is wrong with it that shows before its secrets are known.

use crate::model::{
    name::Invalid,
    text::{Part, Text},
};

/// Its form.
const FORM: &str = "postgres://USER:PASSWORD@HOST:PORT/NAME";
/// What begins one.
const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];
/// The values of `sslmode`.
const MODES: [&str; 5] = ["disable", "prefer", "require", "verify-ca", "verify-full"];
/// The parameters that there are, those of TLS first.
const PARAMETERS: [&str; 20] = [
    "sslmode",
    "sslrootcert",
    "sslnegotiation",
    "user",
    "password",
    "dbname",
    "host",
    "hostaddr",
    "port",
    "options",
    "application_name",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "target_session_attrs",
    "channel_binding",
    "load_balance_hosts",
];
/// Stands where a secret's value will be.
const SECRET: char = '\0';

/// Refuses a URL that cannot be one, whatever its secrets are; a password that is written out too, as it would stand in plans and
/// journals. Neither is shown.
pub fn check(url: &Text) -> Result<(), Invalid> {
    let wrong = |rule: String| Invalid::new("database URL", shown(url), rule);
    let written: String =
        url.parts().iter().map(|part| if let Part::Plain(text) = part { text.clone() } else { SECRET.to_string() }).collect();
    // What begins with a secret is one as a whole.
    if written.starts_with(SECRET) {
        return Ok(());
    }
    let Some(rest) = SCHEMES.iter().find_map(|scheme| written.strip_prefix(scheme)) else {
        let another = written.split_once("://").is_some_and(|(scheme, _)| scheme.chars().all(|c| c.is_ascii_alphanumeric() || c == '+'));
        return Err(wrong(if another { format!("podlift speaks to Postgres only: {FORM}") } else { FORM.into() }));
    };
    let (user, place) = rest.split_once('@').map_or(("", rest), |(user, place)| (user, place));
    let (place, query) = place.split_once('?').unwrap_or((place, ""));
    let server = place.split('/').next().unwrap_or_default();
    in_user(user).and_then(|()| in_server(server)).and_then(|()| in_query(query)).map_err(wrong)
}

/// What stands before the first `@`, as the driver reads it.
fn in_user(user: &str) -> Result<(), String> {
    if user.contains(['/', '?', '#']) {
        return Err("in user and password, which go to the first `@`, a `/`, `?` or `#` is percent-encoded: %2F, %3F, %23".into());
    }
    match user.split_once(':') {
        Some((_, password)) if password.chars().any(|character| character != SECRET) => Err(no_password()),
        _ => Ok(()),
    }
}

fn no_password() -> String {
    "its password is written out: name it with a secret, in backticks: `postgres://app:${secret(\"DB_PASSWORD\")}@db/shop`".into()
}

fn in_server(server: &str) -> Result<(), String> {
    if server.contains(',') {
        return Err("it names several servers: name the one that can be written to".into());
    }
    if server.contains('@') || server.chars().any(char::is_whitespace) {
        return Err(FORM.into());
    }
    let behind = if server.starts_with('[') { server.split_once(']').map_or("", |(_, behind)| behind) } else { server };
    match behind.split_once(':') {
        Some((_, port)) if !port.is_empty() && !port.contains([SECRET, '%']) && !port.parse().is_ok_and(|port: u16| port > 0) => {
            Err("a port is a number from 1 to 65535".into())
        }
        _ => Ok(()),
    }
}

fn in_query(query: &str) -> Result<(), String> {
    for field in query.split('&').filter(|field| !field.is_empty()) {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        if name == "password" && value.chars().any(|character| character != SECRET) {
            return Err(no_password());
        }
        if name.contains(SECRET) {
            continue;
        }
        if !PARAMETERS.contains(&name) {
            let is_word = !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            return Err(if is_word { format!("podlift does not know the parameter `{name}`: leave it out") } else { query_form() });
        }
        if name == "sslmode" && !value.contains([SECRET, '%']) && !MODES.contains(&value) {
            return Err(format!("`sslmode` is one of {}", MODES.join(", ")));
        }
    }
    Ok(())
}

fn query_form() -> String {
    "behind `?` stand parameters NAME=VALUE, with `&` between them".into()
}

/// A URL that is refused, without what may be a password: all that stands before the last `@`, and behind `?`.
fn shown(url: &Text) -> String {
    let text = url.to_string();
    let Some((scheme, rest)) = text.split_once("://") else {
        let may_hold_one = text.contains(['@', '=']) || text.chars().any(char::is_whitespace);
        return if may_hold_one { "…".into() } else { text };
    };
    let (user, place) = rest.rsplit_once('@').map_or(("", rest), |(_, place)| ("…@", place));
    let (place, query) = place.split_once('?').map_or((place, ""), |(place, _)| (place, "?…"));
    format!("{scheme}://{user}{place}{query}")
}

/// A URL without scheme, user, password and parameters.
pub fn place(url: &Text) -> String {
    let text = url.to_string();
    let Some((_, rest)) = text.split_once("://") else { return text };
    let place = rest.split_once('@').map_or(rest, |(_, place)| place);
    let place = place.split('?').next().unwrap_or_default();
    place.rsplit('@').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A URL in which `$` stands for a secret.
    fn url(written: &str) -> Text {
        let secret = || Part::Secret { secret: "PW".into() };
        let parts = written.split('$').enumerate().flat_map(|(index, text)| {
            let secret = (index > 0).then(secret);
            secret.into_iter().chain([Part::Plain(text.into())])
        });
        Text::new(parts)
    }

    #[test]
    fn what_a_url_can_be_passes() {
        for written in [
            "$",
            "$?sslmode=require",
            "postgres:///shop",
            "postgres:///shop?host=/run",
            "postgresql://app@db/shop",
            "postgres://app:$@db:5433/shop?sslmode=verify-full&sslrootcert=ca.pem",
            "postgres://$@db:$/shop?$",
            "postgres://app:$$@[::1]:5432/shop?application_name=a@b",
            "postgres://db:/shop?connect_timeout=3",
        ] {
            assert_eq!(check(&url(written)), Ok(()), "{written}");
        }
    }

    #[test]
    fn what_a_url_cannot_be_is_told_and_no_password_is_shown() {
        for (written, told) in [
            ("", "\"\" is not a valid database URL: postgres://USER"),
            ("postgres//x", "\"postgres//x\" is not a valid database URL: postgres://USER"),
            ("host=db password=hunter2", "\"…\" is not a valid database URL"),
            ("postgres:u:hunter2@db", "\"…\" is not a valid database URL"),
            ("mysql://u:hunter2@db/shop", "\"mysql://…@db/shop\" is not a valid database URL: podlift speaks to Postgres only"),
            ("postgres://u:hunter2@db/shop", "\"postgres://…@db/shop\" is not a valid database URL: its password is written out"),
            ("postgres://u:hunter2$@db/shop", "its password is written out"),
            ("postgres://u:hun/ter2@db/shop", "percent-encoded"),
            ("postgres://u:hun?ter2@db/shop", "percent-encoded"),
            ("postgres://db/shop?password=hunter2", "\"postgres://db/shop?…\" is not a valid database URL: its password is written out"),
            ("postgres://u:$@db:99999/shop", "\"postgres://…@db:99999/shop\" is not a valid database URL: a port is a number"),
            ("postgres://db:0/shop", "a port is a number"),
            ("postgres://[::1]:x/shop", "a port is a number"),
            ("postgres://a,b/shop", "several servers"),
            ("postgres://a b/shop", "postgres://USER"),
            ("postgres://db/shop?sslmode=bad", "`sslmode` is one of disable, prefer"),
            ("postgres://db/shop?sslkey=k.pem", "does not know the parameter `sslkey`"),
            ("postgres://db/shop?x", "does not know the parameter `x`"),
            ("postgres://db/shop?1=2", "NAME=VALUE"),
        ] {
            let invalid = check(&url(written)).expect_err(written).to_string();
            assert!(invalid.contains(told) && !invalid.contains("ter2"), "{written}: {invalid}");
        }
    }

    #[test]
    fn people_see_the_server_and_the_name() {
        assert_eq!(place(&url("postgres://app:$@db.internal:5432/shop?sslmode=require")), "db.internal:5432/shop");
        assert_eq!(place(&url("postgres:///shop")), "/shop");
        assert_eq!(place(&url("$")), "${PW}");
        assert_eq!(place(&url("postgres://u:$@db/shop?application_name=a@b")), "db/shop");
    }
}
