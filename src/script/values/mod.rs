//! The values that scripts see: the model's nouns as custom types, plain in JSON.

mod database;
mod failure;
mod host;
mod image;
pub(super) mod json;
mod order;
mod prometheus;
mod registry;
pub(super) mod release;
mod service;

use std::fmt::Display;

use rhai::{Array, Dynamic, FnPtr, FuncRegistration, ImmutableString, Map, Module};

use crate::{
    failure::Failure,
    model::{Database, Health, Host, Image, Prometheus, Registry, Release, Service},
    script::{
        functions::{Choice, Required, config},
        placeholders::is_placeholder,
    },
};

/// The word for a value's type in messages: `string`, `int`, `release`, `()`.
pub fn type_word(value: &Dynamic) -> String {
    let value = value.flatten_clone();
    let word = match () {
        () if value.is_unit() => "()",
        () if value.is_string() => "string",
        () if value.is_int() => "int",
        () if value.is_float() => "float",
        () if value.is_bool() => "bool",
        () if value.is_char() => "char",
        () if value.is_array() => "array",
        () if value.is_blob() => "blob",
        () if value.is_map() => "map",
        () if value.is::<FnPtr>() => "function",
        () if value.is::<Host>() => "host",
        () if value.is::<Database>() => "database",
        () if value.is::<Service>() => "service",
        () if value.is::<Image>() => "image",
        () if value.is::<Prometheus>() => "prometheus",
        () if value.is::<config::Config>() => "config",
        () if value.is::<Registry>() => "registry",
        () if value.is::<Release>() => "release",
        () if value.is::<Health>() => "health check",
        () if value.is::<Failure>() => "failure",
        () if value.is::<Required>() => "required(…)",
        () if value.is::<Choice>() => "one_of(…)",
        () => return value.type_name().rsplit("::").next().unwrap_or_default().trim_end_matches('>').to_lowercase(),
    };
    word.into()
}

/// Registers the types with their properties and operators.
pub(super) fn register(module: &mut Module) {
    database::register(module);
    host::register(module);
    service::register(module);
    image::register(module);
    prometheus::register(module);
    registry::register(module);
    config::register(module);
    release::register(module);
    failure::register(module);
    json::register(module);
    order::register(module);
    // Rust's own way to write a string for debugging, which arrays and maps print their items with, escapes placeholders.
    FuncRegistration::new("to_debug").in_global_namespace().set_into_module(module, |text: ImmutableString| quoted('"', &text));
    FuncRegistration::new("to_debug").in_global_namespace().set_into_module(module, |character: char| quoted('\'', &character.to_string()));
}

/// A text in quotes, with everything escaped that is not a secret's placeholder.
fn quoted(quote: char, text: &str) -> String {
    let mut quoted = String::from(quote);
    for character in text.chars() {
        match character {
            placeholder if is_placeholder(placeholder) => quoted.push(placeholder),
            '"' | '\'' if character != quote => quoted.push(character),
            other => quoted.extend(other.escape_debug()),
        }
    }
    quoted.push(quote);
    quoted
}

/// Gives a type its name, its words in strings, and `==`.
pub(super) fn describe<T: Clone + PartialEq + Send + Sync + 'static>(module: &mut Module, name: &str, doc: &str, words: fn(&T) -> String) {
    module.set_custom_type_with_comments::<T>(name, &[&format!("/// {doc}")]);
    for function in ["to_string", "to_debug"] {
        FuncRegistration::new(function).in_global_namespace().set_into_module(module, move |value: &mut T| words(value));
    }
    FuncRegistration::new("==").in_global_namespace().set_into_module(module, |a: T, b: T| a == b);
    FuncRegistration::new("!=").in_global_namespace().set_into_module(module, |a: T, b: T| a != b);
}

/// Gives a type a property.
pub(super) fn property<T: Clone + Send + Sync + 'static>(module: &mut Module, name: &str, get: fn(&T) -> Dynamic) {
    FuncRegistration::new_getter(name).in_global_namespace().set_into_module(module, move |value: &mut T| get(value));
}

fn text(value: impl Display) -> Dynamic {
    value.to_string().into()
}

/// The text, or `()`.
fn optional(value: Option<impl Display>) -> Dynamic {
    value.map_or(Dynamic::UNIT, text)
}

fn whole(value: impl TryInto<i64>) -> Dynamic {
    value.try_into().unwrap_or(i64::MAX).into()
}

fn texts(values: impl IntoIterator<Item = impl Display>) -> Dynamic {
    values.into_iter().map(text).collect::<Array>().into()
}

/// A map value of these fields.
pub(super) fn fields<const N: usize>(fields: [(&str, Dynamic); N]) -> Dynamic {
    fields.into_iter().map(|(name, value)| (name.into(), value)).collect::<Map>().into()
}
