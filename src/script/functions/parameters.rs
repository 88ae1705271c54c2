//! What a script and its functions are called with: `params`, `options`, `required`.

use rhai::{Array, Dynamic, ImmutableString, Map};

use super::{Arguments, Caller, Function, Trouble};
use crate::{
    failure::Failure,
    script::{
        options::{shown, unknown},
        session::lock,
        values::type_word,
    },
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "params",
        parameters: &["defaults"],
        returns: "Map",
        doc: "The run's `KEY=VALUE` arguments over these defaults, typed by them. Once a script.",
        body: params,
    },
    Function {
        name: "options",
        parameters: &["given", "defaults"],
        returns: "Map",
        doc: "A function's own option map over these defaults, typed by them.",
        body: options,
    },
    Function {
        name: "required",
        parameters: &["what"],
        returns: "Required",
        doc: "In place of a default, makes a parameter mandatory; the text says what it is.",
        body: required,
    },
];

/// A default that is none: the value has to be given.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::script) struct Required(pub(in crate::script) String);

fn required(_: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    Ok(Dynamic::from(Required(arguments.plain(0)?)))
}

fn params(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let defaults = arguments.map(0)?;
    let Some(given) = lock(&caller.session.circumstances().arguments).take() else {
        return Err(Failure::refused("params is called a second time").hint("call it once, at the top of the script").into());
    };
    let names = names(&defaults);
    let mut values = Map::new();
    for (name, text) in given {
        let default =
            defaults.get(name.as_str()).ok_or_else(|| unknown(&format!("the script has no parameter `{name}`"), &name, &names))?;
        let value = typed(&text, default).map_err(|expected| {
            Failure::refused(format!(
                "the parameter `{name}` is to be {expected}, and got {:?}",
                crate::script::placeholders::foreign(&text)
            ))
        })?;
        if values.insert(name.as_str().into(), value).is_some() {
            return Err(Failure::refused(format!("the parameter `{name}` is given twice")).into());
        }
    }
    completed(values, &defaults, |name, what| {
        Failure::refused(format!("the parameter `{name}` is missing: {what}")).hint(format!("give it behind the script: {name}=…"))
    })
}

fn options(_: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let defaults = arguments.map(1)?;
    let given = if arguments.value(0).is_unit() { Map::new() } else { arguments.map(0)? };
    let names = names(&defaults);
    let mut values = Map::new();
    for (name, value) in &given {
        let default = defaults.get(name).ok_or_else(|| unknown(&format!("there is no option `{name}`"), name, &names))?;
        let value = value.flatten_clone();
        if !value.is_unit() {
            fits(&value, default)
                .map_err(|expected| Failure::refused(format!("the option `{name}` is to be {expected}, and got {}", shown(&value))))?;
            values.insert(name.clone(), value);
        }
    }
    completed(values, &defaults, |name, what| Failure::refused(format!("the option `{name}` is missing: {what}")))
}

fn names(defaults: &Map) -> Vec<&str> {
    defaults.keys().map(rhai::Identifier::as_str).collect()
}

/// The values with the defaults of what was not given.
fn completed(mut values: Map, defaults: &Map, missing: impl Fn(&str, &str) -> Failure) -> Result<Dynamic, Trouble> {
    for (name, default) in defaults {
        if !values.contains_key(name) {
            if let Some(required) = default.read_lock::<Required>() {
                return Err(missing(name, &required.0).into());
            }
            values.insert(name.clone(), default.clone());
        }
    }
    Ok(values.into())
}

/// Reads an argument's text as the type of its default; the error says what it has to be.
fn typed(text: &str, default: &Dynamic) -> Result<Dynamic, String> {
    if default.is_int() {
        return match text.parse::<i64>() {
            Ok(number) => Ok(number.into()),
            Err(_) if is_percentage(text) => Ok(text.to_owned().into()),
            Err(_) => Err("a whole number".into()),
        };
    }
    if default.is_float() {
        return text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Dynamic::from).ok_or_else(|| "a number".into());
    }
    if default.is_bool() {
        return text.parse::<bool>().map(Dynamic::from).map_err(|_| "true or false".into());
    }
    if let Some(items) = default.read_lock::<Array>() {
        let item = items.first().cloned().unwrap_or_else(|| ImmutableString::new().into());
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        return parts
            .map(|part| typed(part, &item))
            .collect::<Result<Array, _>>()
            .map(Into::into)
            .map_err(|one| format!("a list, each item {one}"));
    }
    if default.is_string() || default.is_unit() || default.is::<Required>() {
        return Ok(text.to_owned().into());
    }
    Err(format!("set in the script: a default of type {} cannot be given as an argument", type_word(default)))
}

/// Whether a value is of the type of its default; the error says what it has to be.
fn fits(value: &Dynamic, default: &Dynamic) -> Result<(), String> {
    let part = || value.read_lock::<ImmutableString>().is_some_and(|text| is_percentage(&text));
    let fits = default.is_unit()
        || default.is::<Required>()
        || type_word(value) == type_word(default)
        || (default.is_float() && value.is_int())
        || (default.is_int() && part());
    if fits { Ok(()) } else { Err(format!("of the type of its default, {}", type_word(default))) }
}

/// A percentage may stand in place of a count: `batch: "25%"`.
fn is_percentage(text: &str) -> bool {
    text.strip_suffix('%').is_some_and(|number| number.trim().parse::<u8>().is_ok_and(|number| number <= 100))
}
