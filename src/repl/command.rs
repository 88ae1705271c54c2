//! What is typed at a step.

use super::stops::Break;

/// What the prompt understands. Anything else is evaluated as script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// To the next op.
    Step,
    /// To the next line of this function, or of its caller.
    Next,
    /// To the next line, also in functions that are called.
    Into,
    /// To where this function returns.
    Out,
    /// To the next break point.
    Continue,
    /// To a line of this file.
    Until(usize),
    /// Shows a value.
    Print(String),
    /// Lists the variables.
    Variables,
    /// Shows where it is, and how it came there.
    Where,
    /// Shows all of the op.
    Op,
    /// Adds a break point, or lists them.
    Break(Option<Break>),
    /// Does the failed op again, as another call asks for it.
    Redo(Option<String>),
    /// Takes this for the op's answer; nothing given, what the model would answer.
    Skip(Option<String>),
    /// Lets the failure take its course.
    Fail,
    /// Takes back the last op.
    Undo,
    /// Gives a variable another value.
    Set(String, String),
    /// Says what there is.
    Help,
    /// Ends the run, which can be resumed.
    Quit,
    /// Evaluates a script.
    Script(String),
}

/// What `help` says.
pub const HELP: &str = "\
step (or nothing)  do this op and stop before the next one that changes something or waits
next               to the next line of this function, or of its caller
into               to the next line or op, also in functions that are called
out                to where this function returns
continue           to the next break point, or the end
until LINE         to that line of this file
break [PLACE]      stop at LINE, FILE:LINE, a function or an op; without PLACE: list them
print EXPR         show a value;  vars: all variables;  where: the calls that led here;  op: the op in full
redo [CALL]        do the failed op again, or as CALL asks for it: redo healthcheck(next, #{ timeout: \"2m\" })
skip [VALUE]       do not do it, and take VALUE for its answer (a map: laid over what the model would answer)
fail               let the failure take its course
undo               take back the last op
set VAR = EXPR     give a variable another value (the run cannot be resumed then)
quit               end the run as it is; it can be resumed or undone
Anything else is script, evaluated here: running(web, fleet), or stop(old).";

impl Command {
    /// Reads a line. The error says what is missing.
    pub fn parse(line: &str) -> Result<Self, String> {
        let line = line.trim();
        let (word, rest) = line.split_once(char::is_whitespace).map_or((line, ""), |(word, rest)| (word, rest.trim()));
        let given = || (!rest.is_empty()).then(|| rest.to_owned());
        let alone = |command: Self| if rest.is_empty() { Ok(command) } else { Ok(Self::Script(line.to_owned())) };
        match word {
            "" | "step" | "s" => alone(Self::Step),
            "next" | "n" => alone(Self::Next),
            "into" | "i" => alone(Self::Into),
            "out" | "o" => alone(Self::Out),
            "continue" | "c" => alone(Self::Continue),
            "until" | "u" => rest.parse().map(Self::Until).map_err(|_| "until takes a line of this file: until 12".into()),
            "print" | "p" => given().map(Self::Print).ok_or_else(|| "print takes what to show: print old.version".into()),
            "vars" | "v" => alone(Self::Variables),
            "where" | "w" => alone(Self::Where),
            "op" => alone(Self::Op),
            "break" | "b" => Ok(Self::Break(given().map(|place| Break::parse(&place)))),
            "redo" | "r" => Ok(Self::Redo(given())),
            "skip" => Ok(Self::Skip(given())),
            "fail" => alone(Self::Fail),
            "undo" => alone(Self::Undo),
            "set" => match rest.split_once('=') {
                Some((name, value)) if is_name(name.trim()) && !value.starts_with('=') && !value.trim().is_empty() => {
                    Ok(Self::Set(name.trim().into(), value.trim().into()))
                }
                Some((name, value)) if name.contains('.') && !value.trim().is_empty() => {
                    let (whole, key) = name.trim().split_once('.').unwrap_or_default();
                    Err(format!("set gives a whole variable another value: set {whole} = {whole} + #{{ {key}: {} }}", value.trim()))
                }
                _ => Err("set takes a variable and a value: set batch = 2".into()),
            },
            "help" | "h" | "?" => alone(Self::Help),
            "quit" | "q" | "exit" => alone(Self::Quit),
            _ => Ok(Self::Script(line.to_owned())),
        }
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_') && text.chars().all(|one| one.is_alphanumeric() || one == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_command_or_script() {
        let parse = |line: &str| Command::parse(line);
        assert_eq!(parse("  "), Ok(Command::Step));
        assert_eq!(parse("u 12"), Ok(Command::Until(12)));
        assert_eq!(parse("print next.version"), Ok(Command::Print("next.version".into())));
        assert_eq!(parse("set batch = a == b"), Ok(Command::Set("batch".into(), "a == b".into())));
        assert_eq!(parse("redo healthcheck(next)"), Ok(Command::Redo(Some("healthcheck(next)".into()))));
        assert_eq!(parse("next.version"), Ok(Command::Script("next.version".into())));
        assert_eq!(parse("step + 1"), Ok(Command::Script("step + 1".into())));
        assert!(parse("until there").is_err() && parse("set a == 1").is_err() && parse("set 1 = 1").is_err() && parse("p").is_err());
    }

    #[test]
    fn a_part_of_a_variable_is_set_with_the_whole() {
        let said = Command::parse("set p.version = \"v3\"").expect_err("it is no variable");
        assert_eq!(said, "set gives a whole variable another value: set p = p + #{ version: \"v3\" }");
    }

    #[test]
    fn every_command_is_in_the_help() {
        for word in [
            "step", "next", "into", "out", "continue", "until", "break", "print", "vars", "where", "op", "redo", "skip", "fail", "undo",
            "set", "quit",
        ] {
            assert!(HELP.split(|one: char| !one.is_alphabetic()).any(|known| known == word), "{word}");
            assert!(!matches!(Command::parse(word), Ok(Command::Script(_))), "{word}");
        }
    }
}
