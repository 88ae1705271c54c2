//! Option maps that are written out: keys that a function does not know, and values of a kind that it does not take.

use std::sync::Arc;

use rhai::{Dynamic, Expr, ImmutableString, Position};

use super::{
    Finding,
    nearest::nearest,
    program::{Called, Function, Program, Script, each_call, only},
    vocabulary::{Fits, OptionKey, Vocabulary},
};
use crate::model::Period;

/// Finds them, for host functions and for functions of modules that read their options with `options(given, #{…})`.
pub fn options(script: &Script, program: &Program, vocabulary: &Vocabulary) -> Vec<Finding> {
    let mut findings = Vec::new();
    script.each_call(|called| {
        let Some(Expr::Map(map, _)) = called.call.args.last() else { return };
        let name = called.call.name.as_str();
        let Some(keys) = known(called, script, program, vocabulary) else { return };
        for (key, value) in &map.0 {
            findings.extend(one(program, name, &keys, (&key.name, key.pos), value));
        }
    });
    findings
}

fn known(called: &Called<'_>, script: &Script, program: &Program, vocabulary: &Vocabulary) -> Option<Vec<OptionKey>> {
    let name = called.call.name.as_str();
    let count = called.call.args.len();
    let defines = |script: &Script| {
        let function = script.functions.iter().find(|function| function.name == name && function.parameters.len() == count)?;
        declared(script, function)
    };
    if called.call.is_qualified() {
        let [alias] = &called.call.namespace.path[..] else { return None };
        return script.modules(&alias.name).flatten().find_map(|module| defines(&program.scripts[module]));
    }
    if script.functions.iter().any(|function| function.name == name && function.parameters.len() == count) {
        return defines(script);
    }
    vocabulary.options(name).map(<[OptionKey]>::to_vec)
}

/// The options that a script function declares for its last parameter with `options(parameter, #{ key: default })`.
fn declared(script: &Script, function: &Function) -> Option<Vec<OptionKey>> {
    let parameter = function.parameters.last()?;
    let body = only(script.tree(), &function.name, Some(function.parameters.len()));
    let mut keys = None;
    each_call(&body, &mut |called: &Called<'_>| {
        if let ("options", [Expr::Variable(given, ..), Expr::Map(defaults, _)]) = (called.call.name.as_str(), &called.call.args[..])
            && given.1 == parameter.as_str()
        {
            let all = defaults.0.iter().map(|(key, default)| OptionKey { name: key.name.to_string(), fits: like(default) });
            keys = Some(all.collect());
        }
    });
    keys
}

/// What fits where this default stands: a value of its type, and a duration where it is one.
fn like(default: &Expr) -> Fits {
    let Some(default) = default.get_literal_value(None) else { return Arc::new(|_| Ok(())) };
    let expected = if is_duration(&default) { "a duration such as \"30s\"" } else { words(&default) };
    Arc::new(move |value| {
        let fits = match () {
            () if is_duration(&default) => is_duration(value),
            () if default.is_float() => value.is_float() || value.is_int(),
            // `batch: 1` may be given as "25%": what an integer stands for, only the function knows.
            () if default.is_unit() || default.is_int() => true,
            () => default.type_id() == value.type_id(),
        };
        if fits { Ok(()) } else { Err(format!("is to be {expected}, and got {}", words(value))) }
    })
}

fn is_duration(value: &Dynamic) -> bool {
    value.read_lock::<ImmutableString>().is_some_and(|text| Period::parse(&text).is_ok())
}

fn words(value: &Dynamic) -> &'static str {
    match () {
        () if value.is_bool() => "true or false",
        () if value.is_int() => "an integer",
        () if value.is_float() => "a number",
        () if value.is_string() => "a string",
        () if value.is_array() => "an array",
        () if value.is_map() => "a map",
        () => "another value",
    }
}

fn one(program: &Program, function: &str, keys: &[OptionKey], (name, position): (&str, Position), value: &Expr) -> Option<Finding> {
    let Some(key) = keys.iter().find(|key| key.name == name) else {
        let finding = program.finding(position, format!("`{function}` has no option `{name}`"));
        return Some(finding.maybe(suggestion(name, keys)));
    };
    let literal = value.get_literal_value(None).filter(|literal| !literal.is_unit())?;
    let problem = (key.fits)(&literal).err()?;
    let pause = if problem.starts_with('"') { ":" } else { "" };
    Some(program.finding(value.start_position(), format!("the option `{name}` of `{function}`{pause} {problem}")))
}

fn suggestion(name: &str, keys: &[OptionKey]) -> Option<String> {
    let names = || keys.iter().map(|key| key.name.as_str());
    match nearest(name, names()) {
        Some(near) => Some(format!("did you mean `{near}`?")),
        None if keys.is_empty() => None,
        None => Some(format!("it has {}", names().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))),
    }
}
