//! What the values of options have to be, and how a wrong one is told.

use rhai::{Array, Dynamic, Map};

use super::{placeholders::is_placeholder, values::type_word};
use crate::model::{Bytes, Health, Host, Period, Version, name::env_name};

/// What a value has to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Text without secrets.
    Text,
    /// Text that may hold secrets.
    Secretive,
    /// `true` or `false`.
    Bool,
    /// A whole number within these bounds.
    Whole(i64, i64),
    /// A count, or a part such as `"25%"`.
    Part,
    /// A number over 0, whole or not.
    Number,
    /// A length of time: `"30s"`.
    Duration,
    /// A length of time over 0.
    SomeTime,
    /// A number of bytes: `"512m"`, or a whole number.
    Size,
    /// An array of texts without secrets.
    Texts,
    /// An array of texts that may hold secrets: a program and its arguments.
    Words,
    /// A program with its arguments, or a line for `sh -c`.
    Command,
    /// An array of HTTP status codes, or one.
    Codes,
    /// A version: a Docker tag.
    Version,
    /// Docker's restart policy.
    Restart,
    /// Environment variables: a map of texts, numbers and booleans.
    Variables,
    /// A map of texts without secrets.
    Labels,
    /// Any map of plain data.
    Map,
    /// What `http(…)`, `tcp(…)`, `command(…)`, `docker_health(…)` or `no_health()` returned.
    Health,
    /// A Host.
    Host,
    /// A number.
    Real,
    /// An HTTP status code, or a map of code and body.
    Page,
    /// An array of maps, or a number.
    Answer,
    /// A map of texts that may hold secrets.
    Headers,
    /// A closure, or a function by its name.
    Function,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// `"nginx"`, or a map that says where it lives.
    Proxy,
    /// A Host, an array of Hosts, or `"none"`.
    Balancer,
}

impl Kind {
    /// What a value has to be, in words: `a duration such as "30s"`.
    pub fn expected(&self) -> String {
        match self {
            Self::Text | Self::Secretive => "a string".into(),
            Self::Bool => "true or false".into(),
            Self::Whole(least, most) => format!("a whole number from {least} to {most}"),
            Self::Part => "a count or a part such as \"25%\"".into(),
            Self::Number => "a number over 0".into(),
            Self::Duration => "a duration such as \"30s\"".into(),
            Self::SomeTime => "a duration over 0 such as \"30s\"".into(),
            Self::Size => "a size such as \"512m\"".into(),
            Self::Texts => "an array of strings".into(),
            Self::Words => "an array of strings: the program and its arguments".into(),
            Self::Command => "an array (program and arguments) or a string (for sh -c)".into(),
            Self::Codes => "an array of HTTP status codes such as [200]".into(),
            Self::Version => "a version such as \"1.4.2\"".into(),
            Self::Restart => "\"no\", \"always\", \"unless-stopped\", \"on-failure\" or \"on-failure:5\"".into(),
            Self::Variables => "a map of strings, numbers or booleans".into(),
            Self::Labels | Self::Headers => "a map of strings".into(),
            Self::Map => "a map".into(),
            Self::Health => "a health check: http(…), tcp(…), command(…), docker_health(…) or no_health()".into(),
            Self::Host => "a host".into(),
            Self::Real => "a number".into(),
            Self::Page => "a status code such as 200, or a map: code, body".into(),
            Self::Answer => "an array of maps, or a number".into(),
            Self::Function => "a closure".into(),
            Self::OneOf(words) => words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" or "),
            Self::Proxy => "\"nginx\", the proxy that podlift speaks to, or a map: kind, container, command, folder, logs, template".into(),
            Self::Balancer => "a host, an array of hosts, or \"none\"".into(),
        }
    }

    /// Whether a value fits; the error says what is expected and what was given.
    pub fn fits(&self, value: &Dynamic) -> Result<(), String> {
        let mismatch = || Err(format!("is to be {}, and got {}", self.expected(), shown(value)));
        let text = value.read_lock::<rhai::ImmutableString>();
        if let (Some(text), true) = (&text, self.refuses_secrets()) {
            plain(text)?;
        }
        let fits = match self {
            Self::Text | Self::Secretive => text.is_some(),
            Self::Bool => value.is_bool(),
            Self::Whole(least, most) => value.as_int().is_ok_and(|number| (*least..=*most).contains(&number)),
            Self::Part if value.is_int() => value.as_int().is_ok_and(|count| (1..=10_000).contains(&count)),
            Self::Part => text.is_some_and(|text| {
                text.strip_suffix('%').and_then(|part| part.trim().parse().ok()).is_some_and(|part: u8| (1..=100).contains(&part))
            }),
            Self::Number => value.as_float().or_else(|_| value.as_int().map(to_float)).is_ok_and(|number| number > 0.0 && number < 1e6),
            Self::Duration => {
                return text.map_or_else(mismatch, |text| Period::parse(&text).map(drop).map_err(|invalid| invalid.to_string()));
            }
            Self::SomeTime => {
                return text.map_or_else(mismatch, |text| Period::parse_over_zero(&text).map(drop).map_err(|invalid| invalid.to_string()));
            }
            Self::Size if value.is_int() => value.as_int().is_ok_and(|number| number > 0),
            Self::Size => return text.map_or_else(mismatch, |text| Bytes::parse(&text).map(drop).map_err(|invalid| invalid.to_string())),
            Self::Texts => each(value, |item| Self::Text.fits(item)).unwrap_or_else(mismatch).map(|()| true)?,
            Self::Words => match each(value, |item| Self::Secretive.fits(item)) {
                Some(checked) => checked.map(|()| value.read_lock::<Array>().is_some_and(|words| !words.is_empty()))?,
                None => false,
            },
            Self::Command if text.is_some() => true,
            Self::Command => return Self::Words.fits(value).or_else(|_| mismatch()),
            Self::Version => {
                return text.map_or_else(mismatch, |text| Version::new(text.as_str()).map(drop).map_err(|invalid| invalid.to_string()));
            }
            Self::Restart => text.is_some_and(|text| is_restart_policy(&text)),
            Self::Codes if value.read_lock::<Array>().is_some_and(|codes| codes.is_empty()) => false,
            Self::Codes => {
                Self::Whole(100, 599).fits(value).is_ok()
                    || each(value, |item| Self::Whole(100, 599).fits(item)).unwrap_or_else(mismatch).map(|()| true)?
            }
            Self::Variables => match value.read_lock::<Map>() {
                Some(map) => return map.iter().try_for_each(|(name, value)| variable(name, value)),
                None => false,
            },
            Self::Labels => match value.read_lock::<Map>() {
                Some(map) => {
                    return map.iter().try_for_each(|(name, value)| Self::Text.fits(value).map_err(|problem| format!("{name}: {problem}")));
                }
                None => false,
            },
            Self::Map => value.is_map(),
            Self::Real => value.is_int() || value.is_float(),
            Self::Page => match value.read_lock::<Map>() {
                Some(map) => return map.iter().try_for_each(|(name, value)| page(name, value)),
                None => Self::Whole(100, 599).fits(value).is_ok(),
            },
            Self::Answer => {
                value.is_int() || value.is_float() || value.read_lock::<Array>().is_some_and(|rows| rows.iter().all(Dynamic::is_map))
            }
            Self::Headers => value.read_lock::<Map>().is_some_and(|map| map.values().all(Dynamic::is_string)),
            Self::Function => value.is_fnptr(),
            Self::Health => value.is::<Health>(),
            Self::Host => value.is::<Host>() || text.is_some_and(|text| text.as_str() == "local"),
            Self::OneOf(words) => text.is_some_and(|text| words.contains(&text.as_str())),
            Self::Proxy => value.is_map() || text.is_some_and(|text| text.as_str() == "nginx"),
            Self::Balancer => {
                value.is::<Host>()
                    || text.is_some_and(|text| text.as_str() == "none")
                    || value.read_lock::<Array>().is_some_and(|hosts| !hosts.is_empty() && hosts.iter().all(Dynamic::is::<Host>))
            }
        };
        if fits { Ok(()) } else { mismatch() }
    }

    const fn refuses_secrets(&self) -> bool {
        !matches!(self, Self::Secretive | Self::Command | Self::Words)
    }
}

fn each(value: &Dynamic, check: impl Fn(&Dynamic) -> Result<(), String>) -> Option<Result<(), String>> {
    let items = value.read_lock::<Array>()?;
    Some(items.iter().enumerate().try_for_each(|(index, item)| check(item).map_err(|problem| format!("at [{index}] {problem}"))))
}

fn is_restart_policy(policy: &str) -> bool {
    ["no", "always", "unless-stopped", "on-failure"].contains(&policy)
        || policy
            .strip_prefix("on-failure:")
            .is_some_and(|count| !count.is_empty() && count.len() < 6 && count.chars().all(|c| c.is_ascii_digit()))
}

fn page(name: &str, value: &Dynamic) -> Result<(), String> {
    match name {
        "code" => Kind::Whole(100, 599).fits(value).map_err(|problem| format!("code: {problem}")),
        "body" => Kind::Text.fits(value).map_err(|problem| format!("body: {problem}")),
        _ => Err(format!("has no `{name}`: there are code and body")),
    }
}

fn variable(name: &str, value: &Dynamic) -> Result<(), String> {
    env_name(name).map_err(|invalid| invalid.to_string())?;
    if value.is_string() || value.is_int() || value.is_float() || value.is_bool() {
        return Ok(());
    }
    Err(format!("{name}: is to be a string, a number or a boolean, and got {}", shown(value)))
}

/// Refuses a string that holds a secret, where none may stand.
pub fn plain(text: &str) -> Result<(), String> {
    if text.contains(is_placeholder) {
        return Err("cannot hold a secret: its value would show in names, logs or process lists".into());
    }
    if text.contains('\0') {
        return Err("cannot hold a zero byte".into());
    }
    Ok(())
}

/// A value in an error message: itself where it is short and plain, else its type.
pub fn shown(value: &Dynamic) -> String {
    if value.is_int() || value.is_float() || value.is_bool() {
        return format!("{value}");
    }
    if value.read_lock::<Array>().is_some_and(|items| items.is_empty()) {
        return "an empty array".into();
    }
    match value.read_lock::<rhai::ImmutableString>() {
        Some(text) if text.chars().count() <= 40 && !text.contains(is_placeholder) => format!("{:?}", text.as_str()),
        _ => type_word(value),
    }
}

#[expect(clippy::cast_precision_loss, reason = "numbers that people write are small")]
pub(super) fn to_float(number: i64) -> f64 {
    number as f64
}
