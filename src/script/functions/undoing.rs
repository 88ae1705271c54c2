//! `attempt`, `retry`, `commit`, `undo`: blocks that leave nothing behind when they fail.

use rhai::{Dynamic, FnPtr};

use super::{
    Arguments, Caller, Function, Trouble,
    flow::{failure_of, in_session},
};
use crate::{
    executor::{Executor as _, undo::Left},
    failure::Failure,
    model::{Host, Period},
    op,
    script::values::fields,
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "attempt",
        parameters: &["action"],
        returns: "Map",
        doc: "Calls a closure; if it fails, exactly what it did is undone and the script goes on: `#{ ok, value, error }`.",
        body: attempt,
    },
    Function {
        name: "retry",
        parameters: &["times", "every", "action"],
        returns: "Dynamic",
        doc: "Calls a closure until it succeeds, at most so many times and with this long a wait between two tries; returns what it\n\
              returns. What a try that failed did is undone.",
        body: retry,
    },
    Function {
        name: "commit",
        parameters: &["options?"],
        returns: "",
        doc: "Makes what was done so far final: a later failure does not undo it. In a block of `attempt`, `retry` or `parallel`, what\n\
              that block did so far.",
        body: commit,
    },
    Function {
        name: "undo",
        parameters: &[],
        returns: "",
        doc: "Undoes what was done since the last `commit()`, now. In a block of `attempt`, `retry` or `parallel`, what that block did.",
        body: undo,
    },
    Function {
        name: "leave_out",
        parameters: &["hosts", "why"],
        returns: "",
        doc: "Marks hosts that the script leaves as they are. The run goes on, ends as mixed, and names them.",
        body: leave_out,
    },
];

fn attempt(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let (ok, value, error) = match attempted(caller, &arguments.function(0)?)? {
        Ok(value) => (true, value, Dynamic::UNIT),
        Err(failure) => (false, Dynamic::UNIT, Dynamic::from(failure)),
    };
    Ok(fields([("ok", ok.into()), ("value", value), ("error", error)]))
}

fn retry(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let (times, every, action) = (arguments.whole(0)?, arguments.period(1)?, arguments.function(2)?);
    if times < 1 {
        return Err(Failure::refused(format!("retry tries at least once, and is to try {times} times")).into());
    }
    let mut tried = 1;
    loop {
        match attempted(caller, &action)? {
            Ok(value) => return Ok(value),
            Err(failure) if tried == times => {
                let which = if times == 1 { "the only try".into() } else { format!("the last of {times} tries") };
                return Err(failure.hint(format!("that was {which} of the `retry` in {}", caller.origin)).into());
            }
            Err(failure) => {
                let words = format!("try {tried} of {times} failed: {}", failure.message);
                caller.session.say(crate::executor::Level::Warn, &words, &caller.origin);
            }
        }
        if every != Period::default() {
            caller.perform(op::Pause { period: every })?;
        }
        caller.session.circumstances().executor.reach_again();
        tried += 1;
    }
}

fn commit(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let unfinished = arguments.options()?.bool("unfinished").unwrap_or(false);
    caller.perform(op::Commit { unfinished })?;
    caller.session.prune()?;
    Ok(Dynamic::UNIT)
}

fn undo(caller: &Caller<'_>, _: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    caller.session.check()?;
    all_undone(caller, "undo", caller.session.undo())?;
    caller.session.forget_to_prune();
    Ok(Dynamic::UNIT)
}

fn leave_out(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let (hosts, why) = (arguments.hosts(0)?, caller.session.circumstances().placeholders.show(&arguments.string(1)?));
    let mark = |host: &Host| op::LeaveOut { host: host.clone(), why: why.clone(), taken_back: false };
    caller.perform_each(hosts.list.iter().map(mark).collect())?;
    Ok(Dynamic::UNIT)
}

/// How many steps of a script's own code one attempt counts as.
const ATTEMPT: u64 = 100;

/// What a closure returns when it is called in a block of its own, or why it failed; then all that it did is undone.
fn attempted(caller: &Caller<'_>, action: &FnPtr) -> Result<Result<Dynamic, Failure>, Trouble> {
    caller.session.goes_on()?;
    // A closure that does nothing but fail is tried as often as it is told, and a test of the script has to come to its end.
    caller.session.circumstances().cancellation.spends(ATTEMPT);
    let block = caller.session.block(&caller.next_key());
    match in_session(caller, &block, action, ()) {
        Ok(value) => {
            let current = block.current().clone();
            *caller.session.current() = current;
            caller.session.take_over_from(&block);
            Ok(Ok(value))
        }
        Err(error) if error.unwrap_inner().is_catchable() => {
            all_undone(caller, "attempt", block.undo())?;
            Ok(Err(failure_of(&error)))
        }
        Err(error) => Err(error.into()),
    }
}

/// Stops the run where something could not be undone: what comes next in the script counts on it.
fn all_undone(caller: &Caller<'_>, what: &str, left: Vec<Left>) -> Result<(), Trouble> {
    if let Some(ending) = left.iter().find(|left| left.failure.kind.ends_the_run()) {
        return Err(ending.failure.clone().into());
    }
    let Some(first) = left.first() else { return Ok(()) };
    let message = match left.len() {
        1 => format!("`{what}` could not undo a call: {}", first.failure.message),
        count => format!("`{what}` could not undo {count} calls, the first because {}", first.failure.message),
    };
    let mut failure = Failure::new(first.failure.kind, message).from(&caller.origin);
    failure.host.clone_from(&first.failure.host);
    for Left { record, failure: why } in &left {
        let place = record.op.host().map(|host| format!(" on {}", host.name)).unwrap_or_default();
        failure = failure.detail(format!("{} {}{place} ({}) stands", record.op.verb(), record.op.describe(), record.origin), &why.message);
        for detail in &why.details {
            failure = failure.detail(&detail.title, &detail.text);
        }
        failure.hints.extend(why.hints.clone());
    }
    Err(Trouble::Stops(Box::new(failure)))
}
