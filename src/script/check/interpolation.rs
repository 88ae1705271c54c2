//! `"${x}"` in double quotes, where Rhai leaves it as it stands.

use rhai::{ASTNode, Expr};

use super::{
    Finding,
    program::{Program, Script},
    vocabulary::Vocabulary,
};

/// Finds strings in double quotes that were meant to be interpolated: those that name a variable of the script, or call a
/// function that it can call. A shell's `"${HOME}"` is left alone.
pub fn quoted(script: &Script, program: &Program, vocabulary: &Vocabulary) -> Vec<Finding> {
    let mut findings = Vec::new();
    script.tree().walk(&mut |path: &[ASTNode<'_>]| {
        if let Some(ASTNode::Expr(Expr::StringConstant(text, position))) = path.last()
            && program.character(*position) == Some('"')
            && let Some(inside) = places(text).find(|inside| is_meant(inside, script, vocabulary))
        {
            let message = format!("`${{{inside}}}` in double quotes stays as it is");
            findings.push(program.finding(*position, message).hint("write the string in backticks: `…`"));
        }
        true
    });
    findings
}

/// What is between `${` and `}` in a text.
fn places(text: &str) -> impl Iterator<Item = &str> {
    text.split("${").skip(1).filter_map(|rest| rest.split_once('}')).map(|(inside, _)| inside.trim())
}

fn is_meant(inside: &str, script: &Script, vocabulary: &Vocabulary) -> bool {
    let end = inside.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(inside.len());
    let (word, rest) = inside.split_at(end);
    let callable = || vocabulary.arities(word).is_some() || script.functions.iter().any(|function| function.name == word);
    script.names.contains(word) || (rest.starts_with('(') && callable())
}
