//! The places of a script that a run can stop at.

use std::collections::BTreeSet;

use super::stops::Break;
use crate::{
    failure::Failure,
    op::Op,
    script::{Checked, options::nearest, signatures, sources::Sources},
};

/// What a script and its imports have: lines, functions, and the ops that any script makes.
#[derive(Clone, Debug, Default)]
pub struct Places {
    sources: Sources,
    functions: BTreeSet<String>,
}

impl Places {
    /// Those of a script and everything that it imports.
    pub fn of(script: &Checked) -> Self {
        Self { sources: script.sources().clone(), functions: script.functions().clone() }
    }

    /// Fails where a run would never stop there: at a line that is not there or has no code, or at a name of nothing.
    pub fn check(&self, place: &Break) -> Result<(), Failure> {
        match place {
            Break::Line(file, line) => self.line(file.as_deref(), *line),
            Break::Name(name) => self.name(name),
        }
    }

    fn line(&self, file: Option<&str>, line: usize) -> Result<(), Failure> {
        let texts: Vec<_> = self.sources.all().into_iter().filter(|(name, _)| file.is_none_or(|file| is_file(name, file))).collect();
        if texts.is_empty() {
            let names: Vec<String> = self.sources.all().into_iter().map(|(name, _)| name).collect();
            let failure = Failure::refused(format!("this run has no file {:?} to stop in", file.unwrap_or_default()));
            return Err(failure.hint(format!("its files are {}", names.join(", "))));
        }
        if texts.iter().any(|(_, text)| text.lines().nth(line.wrapping_sub(1)).is_some_and(has_code)) {
            return Ok(());
        }
        let (name, text) = &texts[0];
        let next = (1..).zip(text.lines()).filter(|(number, text)| *number > line && has_code(text)).map(|(number, _)| number).next();
        Err(match (next, text.lines().count()) {
            (Some(next), _) => {
                Failure::refused(format!("line {line} of {name} has no code to stop at")).hint(format!("the next that has is {next}"))
            }
            (None, last) => {
                let failure = Failure::refused(format!("{name} has no code at or behind line {line} to stop at"));
                failure.hint(format!("it has {last} lines"))
            }
        })
    }

    fn name(&self, name: &str) -> Result<(), Failure> {
        if self.functions.contains(name) || Op::VERBS.contains(&name) {
            return Ok(());
        }
        if name.is_empty() {
            let failure = Failure::refused("a place to stop at is a line, a function or an op, and got nothing");
            return Err(failure.hint("for example 12, deploy.rhai:12, or healthcheck"));
        }
        let failure = Failure::refused(format!("there is no function and no op `{name}` to stop at"));
        if signatures().any(|function| function.name == name) {
            return Err(failure.hint(format!("`{name}` is a function of podlift that is no op: name the line that calls it")));
        }
        let known: Vec<&str> = self.functions.iter().map(String::as_str).chain(Op::VERBS.iter().copied()).collect();
        Err(match nearest(name, &known) {
            Some(nearest) => failure.hint(format!("did you mean `{nearest}`?")),
            None => failure
                .hint("a place is a line (12, or deploy.rhai:12), a function of the script or its imports, or an op such as `healthcheck`"),
        })
    }
}

/// Whether a file is meant, by its whole name or the end of its path.
pub(super) fn is_file(name: &str, meant: &str) -> bool {
    name == meant || name.strip_suffix(meant).is_some_and(|before| before.ends_with('/'))
}

/// Whether a run can be at this line: there is more on it than brackets and a comment.
fn has_code(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    code.contains(|one: char| !one.is_whitespace() && !"{}()[];,#".contains(one))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const SCRIPT: &str = "// Deploys.\nfn twice(x) {\n    x * 2\n}\n\nlet a = twice(1); // one\n";

    #[track_caller]
    fn assert_refused(place: &str, message: &str, hint: &str) {
        let places = Places::of(&Checked::new("deploy/web.rhai", Path::new("."), SCRIPT));
        let failure = places.check(&Break::parse(place)).expect_err("there is no such place");
        assert_eq!((failure.message.as_str(), failure.hints[0].as_str()), (message, hint));
    }

    #[test]
    fn a_line_with_code_a_function_and_an_op_are_places() {
        let places = Places::of(&Checked::new("deploy/web.rhai", Path::new("."), SCRIPT));
        for place in ["2", "6", "web.rhai:3", "deploy/web.rhai:6", "twice", "set_weights", "pause"] {
            assert_eq!(places.check(&Break::parse(place)), Ok(()), "{place}");
        }
    }

    #[test]
    fn where_a_run_would_never_stop_is_no_place() {
        assert_refused("9999", "deploy/web.rhai has no code at or behind line 9999 to stop at", "it has 6 lines");
        assert_refused("5", "line 5 of deploy/web.rhai has no code to stop at", "the next that has is 6");
        assert_refused("0", "line 0 of deploy/web.rhai has no code to stop at", "the next that has is 2");
        assert_refused("other.rhai:2", "this run has no file \"other.rhai\" to stop in", "its files are deploy/web.rhai");
        assert_refused("set_weight", "there is no function and no op `set_weight` to stop at", "did you mean `set_weights`?");
        assert_refused("twise", "there is no function and no op `twise` to stop at", "did you mean `twice`?");
        let running = "`running` is a function of podlift that is no op: name the line that calls it";
        assert_refused("running", "there is no function and no op `running` to stop at", running);
        assert_refused(
            "",
            "a place to stop at is a line, a function or an op, and got nothing",
            "for example 12, deploy.rhai:12, or healthcheck",
        );
    }
}
