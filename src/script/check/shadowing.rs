//! Script functions that would take a host function's place without a word.

use super::{
    Finding,
    program::{Program, Script},
    vocabulary::Vocabulary,
};

/// Finds functions with the name and the parameter count of a host function.
pub fn shadowing(script: &Script, program: &Program, vocabulary: &Vocabulary) -> Vec<Finding> {
    script
        .functions
        .iter()
        .filter(|function| vocabulary.is_own(&function.name, function.parameters.len()))
        .map(|function| {
            let message = format!("`{}` would hide the host function of the same name", function.name);
            program.at_definition(script, function, message).hint("give it another name")
        })
        .collect()
}
