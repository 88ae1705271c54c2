//! Arguments that are written out and with which a call would be refused whenever it is made: no host, no command, batches of nothing.

use rhai::{Array, Dynamic};

use super::{
    Finding,
    program::{Program, Script},
    vocabulary::Vocabulary,
};
use crate::script::{functions::flow::size_of_batch, kinds::Kind};

/// What is wrong with a value, and what to do.
type Rule = fn(function: &str, value: &Dynamic) -> Option<(String, Option<&'static str>)>;

/// Which argument of which function, counted from 0, follows which rule.
const ARGUMENTS: &[(&str, usize, Rule)] = &[
    ("hook", 0, no_host),
    ("probe", 0, no_host),
    ("ship", 1, no_host),
    ("pull", 1, no_host),
    ("lock", 1, no_host),
    ("backup", 1, no_host),
    ("start", 2, no_host),
    ("dependency", 2, no_host),
    ("hook", 1, no_command),
    ("probe", 1, no_command),
    ("batches", 1, no_batch),
    ("required", 0, a_type),
];

/// Types that a description may be mistaken for. Text is what `params` reads anyway.
const TYPES: [&str; 9] = ["int", "integer", "float", "number", "bool", "boolean", "array", "list", "map"];

/// Finds them.
pub fn refused(script: &Script, program: &Program, _: &Vocabulary) -> Vec<Finding> {
    let mut findings = Vec::new();
    script.each_known_call(|called| {
        let name = called.call.name.as_str();
        if called.call.is_qualified() || script.functions.iter().any(|function| function.name == name) {
            return;
        }
        for (_, index, rule) in ARGUMENTS.iter().filter(|(function, ..)| *function == name) {
            let argument = index.checked_sub(usize::from(called.method)).and_then(|index| called.call.args.get(index));
            let problem = argument.and_then(|argument| Some((argument, rule(name, &argument.get_literal_value(None)?)?)));
            if let Some((argument, (message, hint))) = problem {
                findings.push(program.finding(argument.start_position(), message).maybe(hint.map(Into::into)));
            }
        }
    });
    findings
}

fn no_host(function: &str, value: &Dynamic) -> Option<(String, Option<&'static str>)> {
    let is_empty = value.read_lock::<Array>().is_some_and(|hosts| hosts.is_empty());
    is_empty.then(|| (format!("`{function}` got no host: it would do nothing, and pass"), None))
}

fn no_command(_: &str, value: &Dynamic) -> Option<(String, Option<&'static str>)> {
    if value.read_lock::<rhai::ImmutableString>().is_some_and(|line| line.trim().is_empty()) {
        return Some(("the command is empty".into(), None));
    }
    Kind::Command.fits(value).err().map(|problem| (format!("the command {problem}"), None))
}

fn no_batch(_: &str, value: &Dynamic) -> Option<(String, Option<&'static str>)> {
    size_of_batch(value, 1).err().map(|problem| (problem, None))
}

fn a_type(_: &str, value: &Dynamic) -> Option<(String, Option<&'static str>)> {
    let word = value.clone().into_string().ok().filter(|word| TYPES.contains(&word.as_str()))?;
    let message = format!("`required` takes what the value is, in words, and {word:?} reads as a type");
    Some((
        message,
        Some("say what it is for; an argument of the command line is text: parse_int(…) or parse_float(…) makes a number of it"),
    ))
}
