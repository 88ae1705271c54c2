//! SQL that is written out: what cannot be read, what would hold everyone up, what old code would not survive, and queries that
//! would change something.

use rhai::{Expr, Position};

use super::{
    Finding,
    program::{Program, Script},
    vocabulary::Vocabulary,
};
use crate::model::{
    Text,
    sql::{self, Phase, Refusal, Verdict},
};

/// What a text is to be.
#[derive(Clone, Copy)]
enum Meant {
    /// Statements that nobody is held up by.
    Statements,
    /// The same, all in one transaction.
    Together,
    /// The same, and old code goes on as before.
    Expand,
    /// Statements that old code may fail of.
    Contract,
    /// One statement that only reads.
    Query,
    /// Statements whose author knows what they take back.
    Undo,
}

/// The options of functions that hold SQL: module (empty: the host's), function, option.
const OPTIONS: &[(&str, &str, &str, Meant)] = &[
    ("", "sql", "undo", Meant::Undo),
    ("", "sql_file", "undo", Meant::Undo),
    ("std/expand_contract", "begin", "expand", Meant::Expand),
    ("std/expand_contract", "begin", "triggers", Meant::Expand),
    ("std/expand_contract", "begin", "verify", Meant::Query),
    ("std/expand_contract", "finish", "contract", Meant::Contract),
    ("std/expand_contract", "finish", "verify", Meant::Query),
    ("std/expand_contract", "run", "expand", Meant::Expand),
    ("std/expand_contract", "run", "triggers", Meant::Expand),
    ("std/expand_contract", "run", "verify", Meant::Query),
    ("std/expand_contract", "run", "contract", Meant::Contract),
];

/// Options in which nothing stands where there is nothing to do.
const MAY_BE_EMPTY: [&str; 3] = ["triggers", "verify", "undo"];

/// Finds them in literals, and in files that a literal names.
pub fn statements(script: &Script, program: &Program, _: &Vocabulary) -> Vec<Finding> {
    let mut findings = Vec::new();
    script.each_known_call(|called| {
        let Some(module) = program.module_of(called, script) else { return };
        let name = called.call.name.as_str();
        let meant = match name {
            "sql" | "sql_file" if is_one_transaction(called.call.args.last()) => Some(Meant::Together),
            "sql" | "sql_file" => Some(Meant::Statements),
            "query" => Some(Meant::Query),
            _ => None,
        };
        let argument = called.call.args.get(1 - usize::from(called.method));
        if let (Some(meant), Some(Expr::StringConstant(text, position)), "") = (meant, argument, module) {
            if name == "sql_file" {
                for problem in program.file(text).into_iter().flat_map(|found| problems(&found, meant)) {
                    let words = format!("{text}, line {}: {}", problem.line + 1, problem.message);
                    findings.push(program.finding(*position, words).maybe(problem.hint));
                }
            } else if name == "sql" || is_sql(text) {
                findings.extend(within(program, text, *position, meant));
            }
        }
        let Some(Expr::Map(map, _)) = called.call.args.last() else { return };
        for (key, value) in &map.0 {
            let option = key.name.as_str();
            let meant = OPTIONS.iter().find(|(of, function, known, _)| (*of, *function, *known) == (module, name, option));
            if let (Some((.., meant)), Expr::StringConstant(text, position)) = (meant, value)
                && !(is_empty(text) && MAY_BE_EMPTY.contains(&option))
            {
                findings.extend(within(program, text, *position, *meant));
            }
        }
    });
    findings
}

/// Whether these options are written out and put all statements into one transaction.
fn is_one_transaction(options: Option<&Expr>) -> bool {
    let Some(Expr::Map(map, _)) = options else { return false };
    map.0.iter().any(|(key, value)| key.name == "transaction" && matches!(value, Expr::BoolConstant(true, _)))
}

fn is_empty(text: &str) -> bool {
    text.trim().is_empty()
}

/// Whether a query is one of Postgres: a Prometheus has `query` too, and no expression of it is a command with words behind it.
fn is_sql(text: &str) -> bool {
    let bare = text.trim_start();
    let word: String = bare.chars().take_while(char::is_ascii_alphabetic).collect();
    let behind = bare[word.len()..].trim_start();
    let begins =
        bare.starts_with("--") || bare.starts_with("/*") || behind.starts_with(|c: char| c.is_alphanumeric() || "*('\"".contains(c));
    begins && (bare.starts_with(['-', '/']) || sql::is_command(&word))
}

/// What is wrong in a literal, each at its own line where the literal is in backticks.
fn within(program: &Program, text: &str, position: Position, meant: Meant) -> Vec<Finding> {
    let is_raw = program.character(position) == Some('`');
    let tell = |problem: Problem| {
        let mut finding = program.finding(position, problem.message).maybe(problem.hint);
        if is_raw && let Some((line, column, length)) = program.line_of(&finding.origin, problem.first_line.trim()) {
            (finding.origin.line, finding.origin.column, finding.length) = (line, column, length);
        }
        finding
    };
    problems(text, meant).into_iter().map(tell).collect()
}

struct Problem {
    message: String,
    hint: Option<String>,
    /// The statement's first line.
    first_line: String,
    /// The line of the text that it begins in, from 0.
    line: usize,
}

fn problems(text: &str, meant: Meant) -> Vec<Problem> {
    let whole = |message: String, hint: Option<String>| Problem { message, hint, first_line: String::new(), line: 0 };
    if is_empty(text) {
        return vec![whole("there is no statement".into(), None)];
    }
    let verdicts = match sql::lint(&Text::from(text)) {
        Ok(verdicts) => verdicts,
        Err(invalid) => return vec![whole(format!("the SQL cannot be read: {}", invalid.rule), None)],
    };
    if matches!(meant, Meant::Query) && verdicts.len() > 1 {
        let hint = "use `sql` for several, or ask one after the other";
        return vec![whole("`query` takes one statement".into(), Some(hint.into()))];
    }
    let one = |verdict: &Verdict| {
        let (message, hint) = judged(verdict, meant)?;
        let shown = excerpt(&verdict.statement);
        let line = text.find(&verdict.statement).map_or(0, |start| text[..start].matches('\n').count());
        let first_line = verdict.statement.lines().next().unwrap_or_default().to_owned();
        Some(Problem { message: format!("`{shown}`: {message}"), hint, first_line, line })
    };
    verdicts.iter().filter_map(one).collect()
}

/// What is wrong with one statement, and what to do.
fn judged(verdict: &Verdict, meant: Meant) -> Option<(String, Option<String>)> {
    let refused = || verdict.problem.clone().map(|problem| (problem, verdict.recipe.clone()));
    let owned = |(problem, recipe): Refusal| (problem.to_owned(), Some(recipe.to_owned()));
    let is_unread = verdict.problem.as_deref().is_some_and(|problem| problem.starts_with("it cannot be read"));
    match meant {
        Meant::Statements => refused(),
        Meant::Together => refused().or_else(|| sql::stands_alone(&verdict.statement).then(|| owned(sql::NOT_IN_A_TRANSACTION))),
        Meant::Undo => sql::never_sent(&verdict.statement).map(owned).or_else(|| refused().filter(|_| is_unread)),
        Meant::Query => refused().filter(|_| is_unread).or_else(|| {
            let hint = "`query` only reads; `sql` runs statements that change something, once";
            sql::changes(&verdict.statement).map(|why| (why.to_owned(), Some(hint.into())))
        }),
        Meant::Expand => refused().or_else(|| match verdict.phase {
            Phase::Expand => None,
            Phase::Contract => {
                Some(("old code may not survive it".into(), Some("it belongs into `finish`, when no old code is left".into())))
            }
            Phase::Unknown => Some(unknown()),
        }),
        Meant::Contract => refused().or_else(|| (verdict.phase == Phase::Unknown).then(unknown)),
    }
}

fn unknown() -> (String, Option<String>) {
    let hint = "say so with a comment before it: -- podlift: expand, or -- podlift: contract";
    ("podlift cannot tell what it means to old code".into(), Some(hint.into()))
}

fn excerpt(statement: &str) -> String {
    let line = statement.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut: String = line.chars().take(50).collect();
    if cut.len() < line.len() { format!("{}…", cut.trim_end()) } else { cut }
}
