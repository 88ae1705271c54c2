//! What a script and its functions are called with: `params`, `options`, `required`, `one_of`.

use rhai::{Array, Dynamic, ImmutableString, Map};

use super::{Arguments, Caller, Function, Trouble};
use crate::{
    failure::Failure,
    model::{Bytes, Period},
    script::{
        options::{shown, unknown},
        session::lock,
        types::with_article,
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
    Function {
        name: "one_of",
        parameters: &["words"],
        returns: "Choice",
        doc: "In place of a default, names the words that there are; the first of them is the default.",
        body: one_of,
    },
];

/// A default that is none: the value has to be given.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::script) struct Required(pub(in crate::script) String);

/// A default that is the first of the words that there are.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::script) struct Choice(Vec<String>);

impl Choice {
    /// The words of a list, at least one.
    pub(in crate::script) fn of(words: &Array) -> Option<Self> {
        let words: Option<Vec<String>> = words.iter().map(|word| word.clone().into_string().ok()).collect();
        words.filter(|words| !words.is_empty()).map(Self)
    }

    /// Whether a value is one of the words; the error goes on after "the option `x`".
    pub(in crate::script) fn fits(&self, value: &Dynamic) -> Result<(), String> {
        let is_one = value.read_lock::<ImmutableString>().is_some_and(|text| self.0.iter().any(|word| *word == text.as_str()));
        if is_one { Ok(()) } else { Err(format!("is to be {self}, and got {}", shown(value))) }
    }
}

impl std::fmt::Display for Choice {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words: Vec<String> = self.0.iter().map(|word| format!("{word:?}")).collect();
        match words.split_last() {
            Some((last, [])) => formatter.write_str(last),
            Some((last, words)) => write!(formatter, "{} or {last}", words.join(", ")),
            None => Ok(()),
        }
    }
}

fn one_of(_: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let choice = Choice::of(&arguments.list(0)?);
    let none = || Failure::refused("one_of takes the words that there are").hint("one_of([\"undo\", \"hold\"]): the first is the default");
    Ok(Dynamic::from(choice.ok_or_else(none)?))
}

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
            fits(&value, default).map_err(|problem| Failure::refused(format!("the option `{name}` {problem}")))?;
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
            let choice = default.read_lock::<Choice>().map(|choice| choice.0[0].clone().into());
            values.insert(name.clone(), choice.unwrap_or_else(|| default.clone()));
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
    if let Some(choice) = default.read_lock::<Choice>() {
        let text = Dynamic::from(text.to_owned());
        return choice.fits(&text).map(|()| text).map_err(|_| choice.to_string());
    }
    if default.is_string() || default.is_unit() || default.is::<Required>() {
        return Ok(text.to_owned().into());
    }
    Err(format!("set in the script: a default of type {} cannot be given as an argument", type_word(default)))
}

/// Whether a value fits where this default stands: it is of the same type, and a duration where that is one. `"5m"` is a size too, and
/// which of the two is meant only the script knows. The error goes on after "the option `x`".
pub(in crate::script) fn fits(value: &Dynamic, default: &Dynamic) -> Result<(), String> {
    if let Some(choice) = default.read_lock::<Choice>() {
        return choice.fits(value);
    }
    let part = || value.read_lock::<ImmutableString>().is_some_and(|text| is_percentage(&text));
    let fits = match () {
        () if default.is_unit() || default.is::<Required>() => true,
        () if is_duration(default) => is_duration(value) || (is_size(default) && is_size(value)),
        () => type_word(value) == type_word(default) || (default.is_float() && value.is_int()) || (default.is_int() && part()),
    };
    let expected = || match () {
        () if is_duration(default) && is_size(default) => "a duration such as \"30s\" or a size such as \"512m\"".to_owned(),
        () if is_duration(default) => "a duration such as \"30s\"".to_owned(),
        () if default.is_int() => "a whole number, or a part such as \"25%\"".to_owned(),
        () => with_article(&type_word(default)),
    };
    if fits { Ok(()) } else { Err(format!("is to be {}, and got {}", expected(), shown(value))) }
}

fn is_duration(value: &Dynamic) -> bool {
    value.read_lock::<ImmutableString>().is_some_and(|text| Period::parse(&text).is_ok())
}

fn is_size(value: &Dynamic) -> bool {
    value.read_lock::<ImmutableString>().is_some_and(|text| Bytes::parse(&text).is_ok())
}

/// A percentage may stand in place of a count: `batch: "25%"`.
fn is_percentage(text: &str) -> bool {
    text.strip_suffix('%').is_some_and(|number| number.trim().parse::<u8>().is_ok_and(|number| number <= 100))
}
