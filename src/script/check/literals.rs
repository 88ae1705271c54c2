//! Names, addresses and durations that are written out where they are used, held to their own field's grammar.

use std::collections::BTreeMap;

use rhai::{Expr, Position};

use super::{
    Finding,
    program::{Called, Program, Script},
    vocabulary::Vocabulary,
};
use crate::model::{Host, Invalid, Period, ProjectName, Prometheus, ServiceName, Text, database::url, name::env_name, text::Part};

type Grammar = fn(&str) -> Result<(), Invalid>;

/// Which argument of which function, counted from 0, follows which grammar.
const ARGUMENTS: &[(&str, usize, Grammar)] = &[
    ("project", 0, |text| ProjectName::new(text).map(drop)),
    ("service", 0, |text| ServiceName::new(text).map(drop)),
    ("host", 0, |text| Host::parse(text).map(drop)),
    ("hosts", 0, |text| Host::parse(text).map(drop)),
    ("hook", 0, place),
    ("probe", 0, place),
    ("prometheus", 0, |text| Prometheus::new(text, None, BTreeMap::new()).map(drop)),
    ("env", 0, env_name),
    ("secret", 0, env_name),
    ("pause", 0, |text| Period::parse(text).map(drop)),
    ("sleep", 0, |text| Period::parse(text).map(drop)),
    ("retry", 1, |text| Period::parse(text).map(drop)),
    ("traffic", 1, |text| Period::parse_over_zero(text).map(drop)),
];

/// A place that is told by a word is this machine.
fn place(text: &str) -> Result<(), Invalid> {
    if text == "local" {
        Ok(())
    } else {
        Err(Invalid::new("place for a command", text, "it is \"local\", a host, a release or [service, image, host]"))
    }
}

/// Finds literals that do not fit. A literal array's elements are looked at one by one.
pub fn grammar(script: &Script, program: &Program, _: &Vocabulary) -> Vec<Finding> {
    let mut findings = Vec::new();
    script.each_known_call(|called| {
        let defined_here = script.functions.iter().any(|function| function.name == called.call.name.as_str());
        if called.call.is_qualified() || defined_here {
            return;
        }
        for (argument, grammar) in arguments(called) {
            for (text, position) in texts(argument) {
                findings.extend(grammar(text).err().map(|invalid| tell(program, position, &invalid)));
            }
        }
        if let ("database", Some(address)) = (called.call.name.as_str(), called.call.args.first()) {
            let invalid = written(address).and_then(|address| url::check(&address).err());
            findings.extend(invalid.map(|invalid| tell(program, address.start_position(), &invalid)));
        }
    });
    findings
}

/// A text with what is known of it: what is put into it when the script runs may be a secret.
fn written(expression: &Expr) -> Option<Text> {
    let part = |expression: &Expr| match expression {
        Expr::StringConstant(text, _) => Part::Plain(text.to_string()),
        _ => Part::Secret { secret: "…".into() },
    };
    match expression {
        Expr::StringConstant(text, _) => Some(Text::from(text.as_str())),
        Expr::InterpolatedString(parts, _) => Some(Text::new(parts.iter().map(part))),
        _ => None,
    }
}

fn arguments<'a>(called: &'a Called<'a>) -> impl Iterator<Item = (&'a Expr, Grammar)> {
    let shift = usize::from(called.method);
    ARGUMENTS
        .iter()
        .filter(|(name, ..)| *name == called.call.name.as_str())
        .filter_map(move |(_, index, grammar)| Some((called.call.args.get(index.checked_sub(shift)?)?, *grammar)))
}

fn texts(argument: &Expr) -> Vec<(&str, Position)> {
    match argument {
        Expr::StringConstant(text, position) => vec![(text.as_str(), *position)],
        Expr::Array(elements, _) => elements.iter().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

fn tell(program: &Program, position: Position, invalid: &Invalid) -> Finding {
    program.finding(position, format!("{:?} is not a valid {}", invalid.value, invalid.what)).hint(invalid.rule.clone())
}
