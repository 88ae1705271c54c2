//! The replay of a journal with nothing at stake: whether a script asks for what was recorded, and what secrets it needs.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    executor::{Call, Cancellation, Event, Executor, Narrator, Outcome, Record, RunInfo, record::Nobody},
    failure::{Failure, FailureKind},
    journal::{Journal, Memory},
    script::{Branches, Checked, Ended, ScriptRun, SecretNames},
};

/// Runs `script` on what is recorded in `journal`, up to the first call that is not.
///
/// Fails where it asks for something else than was recorded, and where secrets that it names are missing.
pub fn rehearse(
    script: &Checked,
    arguments: &[(String, String)],
    run: &Arc<RunInfo>,
    journal: &Journal,
    known: &Arc<dyn SecretNames>,
) -> Result<(), Ended> {
    let earlier = Arc::new(Journal::open(Memory, journal.chain()));
    let record = Arc::new(Record::journaled(End, earlier, Arc::new(Nobody)));
    let secrets = Arc::new(Wanted { known: known.clone(), missing: Mutex::default() });
    let ended = script.run(ScriptRun {
        arguments: arguments.to_vec(),
        executor: record.clone(),
        narrator: Arc::new(Deaf),
        run: run.clone(),
        branches: Branches::InOrder,
        cancellation: Cancellation::default(),
        secrets: secrets.clone(),
    });
    if let Err(ended) = ended
        && ended.kind == Some(FailureKind::Diverged)
    {
        return Err(ended);
    }
    let failed = |failure: Failure| Ended {
        kind: Some(failure.kind),
        diagnostic: crate::script::diagnostics::Diagnostic::of_failure(&failure, script.sources()),
    };
    if let Some(failure) = record.not_asked() {
        return Err(failed(failure));
    }
    let mut missing = secrets.missing.lock().unwrap_or_else(PoisonError::into_inner).clone();
    missing.extend(script.sources().all().iter().flat_map(|(_, text)| literal_secrets(text)).filter(|name| !known.has(name)));
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = missing.into_iter().collect();
    Err(failed(
        Failure::refused(format!("the rest of the run needs what is not here: {}", names.join(", ")))
            .hint("set these environment variables, or write them into .env beside the script, then resume again"),
    ))
}

/// Where the record ends.
struct End;

impl Executor for End {
    fn perform(&self, _: &Call) -> Result<Outcome, Failure> {
        Err(Failure::new(FailureKind::Interrupted, "the record ends here"))
    }
}

struct Deaf;

impl Narrator for Deaf {
    fn tell(&self, _: Event<'_>) {}
}

/// Has every secret, and remembers which it has not.
struct Wanted {
    known: Arc<dyn SecretNames>,
    missing: Mutex<BTreeSet<String>>,
}

impl SecretNames for Wanted {
    fn has(&self, name: &str) -> bool {
        if !self.known.has(name) {
            self.missing.lock().unwrap_or_else(PoisonError::into_inner).insert(name.into());
        }
        true
    }

    fn in_file(&self, path: &str) -> Result<Vec<String>, Failure> {
        self.known.in_file(path).inspect_err(|_| {
            self.missing.lock().unwrap_or_else(PoisonError::into_inner).insert(format!("the file {path}"));
        })
    }
}

/// The secrets that a text names in so many words, comments left out.
fn literal_secrets(text: &str) -> Vec<String> {
    let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    let calls = code.flat_map(|line| line.split("secret(\"").skip(1));
    calls.filter_map(|rest| rest.split_once("\")").map(|(name, _)| name.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_by_name() {
        let text = "let a = secret(\"A\"); // secret(\"NO\")\nlet u = `x:${secret(\"B\")}@y`;\nlet c = secret(name);\n";
        assert_eq!(literal_secrets(text), ["A", "B"]);
    }
}
