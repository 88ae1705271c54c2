//! Parse errors in this project's words.

use rhai::{LexError, ParseErrorType, Position};

use super::{Finding, nearest::did_you_mean, program::Program};

/// The finding that a parse error is.
pub fn error(program: &Program, kind: &ParseErrorType, position: Position) -> Finding {
    let finding = program.finding(position, message(kind));
    let hint = hint(program, kind, &finding);
    finding.maybe(hint)
}

/// A parse error's message.
pub fn message(kind: &ParseErrorType) -> String {
    match kind {
        ParseErrorType::VariableUndefined(name) => format!("there is no variable `{name}` here"),
        ParseErrorType::ModuleUndefined(name) => format!("nothing is imported as `{name}`"),
        ParseErrorType::BadInput(LexError::ImproperSymbol(symbol, _)) if symbol == "eval" => "`eval` is not for deployment scripts".into(),
        ParseErrorType::Reserved(word) => format!("`{word}` is a reserved word"),
        ParseErrorType::ForbiddenVariable(name) => format!("`{name}` cannot be a variable's name"),
        ParseErrorType::VariableExists(name) => format!("there is a variable `{name}` already"),
        ParseErrorType::DuplicatedProperty(name) => format!("the key `{name}` is there twice"),
        ParseErrorType::FnDuplicatedDefinition(name, count) => {
            format!("there is a function `{name}` with {count} parameter{} already", if *count == 1 { "" } else { "s" })
        }
        ParseErrorType::AssignmentToConstant(name) => format!("`{name}` is a constant and cannot be changed"),
        ParseErrorType::MissingToken(token, purpose) => format!("`{token}` is missing {purpose}"),
        ParseErrorType::BadInput(LexError::UnterminatedString) => "this string does not end: its closing quote is missing".into(),
        ParseErrorType::UnexpectedEOF => "the script ends in the middle of something".into(),
        ParseErrorType::ExprTooDeep => "this expression is nested too deeply".into(),
        other => uncapitalised(&other.to_string()),
    }
}

/// Rhai's own words as the part of a sentence.
pub fn uncapitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_lowercase().chain(characters).collect()).unwrap_or_default()
}

fn hint(program: &Program, kind: &ParseErrorType, finding: &Finding) -> Option<String> {
    match kind {
        ParseErrorType::VariableUndefined(name) => {
            let text = program.text(&finding.origin.file)?;
            let declared = declared(&text);
            if declared.contains(&name.as_str()) {
                return Some(format!("functions see only their arguments: pass it in, or write `const {name}` and `global::{name}`"));
            }
            did_you_mean(name, declared)
        }
        ParseErrorType::ModuleUndefined(name) => Some(format!("write `import \"…\" as {name};` above")),
        ParseErrorType::BadInput(LexError::ImproperSymbol(symbol, _)) if symbol == "eval" => {
            Some("text is not run as code: write a function".into())
        }
        ParseErrorType::Reserved(word) => Some(format!("choose another name, or write the key in quotes: \"{word}\"")),
        ParseErrorType::MissingToken(..) => {
            let text = program.text(&finding.origin.file)?;
            let before: String = text.lines().nth(finding.origin.line - 1)?.chars().take(finding.origin.column).collect();
            let (_, inside) = before.split_once('"')?;
            inside.contains("${").then(|| "a string with ${…} is written in backticks: `…`".into())
        }
        ParseErrorType::ExprTooDeep => Some("give its parts names with `let`".into()),
        _ => None,
    }
}

/// The names that a text declares, as far as that can be seen without a syntax tree.
fn declared(text: &str) -> Vec<&str> {
    let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).collect();
    words.windows(2).filter(|pair| ["let", "const", "for", "as"].contains(&pair[0])).map(|pair| pair[1]).collect()
}
