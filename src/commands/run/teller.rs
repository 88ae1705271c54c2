//! Who listens to a run, and is told how it ended.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    cli,
    commands::{
        changes::Counts,
        complaint,
        exit::{Cause, Exit, Remains},
        mode::Mode,
    },
    executor::{Narrator, Recorded, ending::Ending, record::is_final},
    failure::Failure,
    script::{Checked, diagnostics::Diagnostic, sources::Sources},
    terminal::{
        Conclusion, Json, Plain, Printer, Tree,
        words::{self, Detail},
    },
};

/// Who listens to a run.
pub(in crate::commands) struct Teller<'a> {
    pub(super) printer: &'a Printer,
    pub(in crate::commands) narrator: Arc<dyn Narrator>,
    pub(super) json: Option<Arc<Json>>,
    began: Instant,
}

impl<'a> Teller<'a> {
    pub(in crate::commands) fn new(options: &cli::Run, printer: &'a Printer) -> Self {
        let json = options.json.then(|| Arc::new(Json::new(printer.clone(), options.verbose)));
        let detail = Mode::of(options).detail(options.verbose);
        let narrator: Arc<dyn Narrator> = match &json {
            Some(json) => json.clone(),
            None if printer.is_live() && !options.step => Arc::new(Tree::new(printer.clone(), detail)),
            None => Arc::new(Plain::new(printer.clone(), detail)),
        };
        Self { printer, narrator, json, began: Instant::now() }
    }

    /// Tells how many of these records answer calls of the script that are not made again.
    pub(super) fn replays(&self, records: &[Recorded]) {
        let is_replayed =
            |record: &&Recorded| is_final(record) && !record.key.is_undo() && !record.key.is_aside() && Detail::Usual.begin(&record.op);
        let count = records.iter().filter(is_replayed).count();
        if count > 0 {
            self.printer.tell(format!("answered by the journal, and not made again: {}", words::count(count, "call")));
        }
    }

    /// Tells programs of these calls, whose work stays and which nothing takes back.
    pub(in crate::commands) fn left(&self, calls: Vec<Value>) {
        if let Some(json) = &self.json {
            for call in calls {
                json.event("left", call);
            }
        }
    }

    pub(in crate::commands) fn bad(&self, findings: &[Diagnostic], script: &Checked) -> Exit {
        complaint::tell(self.printer, findings, script.sources());
        let end = format!("the script is not sound: {}", words::count(findings.len(), "finding"));
        self.conclude(Exit::Bad, end, Some("nothing was touched".into()), &Counts::default(), None, findings);
        Exit::Bad
    }

    /// Tells why a run that there is already does not go on.
    pub(in crate::commands) fn refuse(&self, failure: &Failure) -> Exit {
        complaint::tell_failure(self.printer, failure);
        let exit = Exit::of(Cause::Failure(failure.kind), Remains::Nothing);
        let next = Some("nothing was done or undone".into());
        self.conclude(exit, "not begun".into(), next, &Counts::default(), None, &[why(failure)]);
        exit
    }

    pub(super) fn failed_early(&self, failure: &Failure) -> Exit {
        complaint::tell_failure(self.printer, failure);
        let exit = Exit::not_begun(failure.kind);
        self.conclude(exit, "not begun".into(), Some("nothing was touched".into()), &Counts::default(), None, &[why(failure)]);
        exit
    }

    pub(in crate::commands) fn conclude(
        &self,
        exit: Exit,
        end: String,
        next: Option<String>,
        counts: &Counts,
        ending: Option<&Ending>,
        diagnostics: &[Diagnostic],
    ) {
        let took = self.began.elapsed();
        if let Some(json) = &self.json {
            let result = json!({
                "result": exit, "exit": exit.code(), "end": end, "state": ending.map(Ending::state), "seconds": took.as_secs_f64(),
                "counts": counts, "services": ending.map(|ending| &ending.parts), "diagnostics": diagnostics, "next": next,
            });
            json.event("result", result);
        } else {
            let took = Duration::from_millis(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
            self.printer.tell(Conclusion { good: exit == Exit::Done, end, took, next }.render(self.printer.style()));
        }
    }
}

fn why(failure: &Failure) -> Diagnostic {
    complaint::harmless(Diagnostic::of_failure(failure, &Sources::default()))
}
