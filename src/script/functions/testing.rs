//! `given`, `invariant`, `invariants`: what a script says about its own tests. In a run that is no test they do nothing.

use std::sync::{Arc, atomic::Ordering};

use rhai::Dynamic;

use super::{
    Arguments, Caller, Function, Trouble,
    flow::{failure_of, in_session},
};
use crate::{
    executor::{Call, Executor, Key, Outcome, Urgency},
    failure::{Failure, FailureKind},
    script::{
        parallel::detach,
        session::{Session, lock},
        tested::{Asking, Invariant},
    },
    world::watch::Least,
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "given",
        parameters: &["action"],
        returns: "",
        doc: "Says what `podlift test` begins with: what a closure deploys on an empty fleet. In a run it does nothing.",
        body: given,
    },
    Function {
        name: "invariant",
        parameters: &["name", "holds"],
        returns: "",
        doc: "Says what must hold in `podlift test` after each change: a closure that is given the world. In a run it does nothing.",
        body: invariant,
    },
    Function {
        name: "invariants",
        parameters: &["options?"],
        returns: "",
        doc: "Says which of its rules `podlift test` holds a script to. In a run it does nothing.",
        body: invariants,
    },
];

fn given(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let action = arguments.function(0)?;
    let Some(tested) = caller.session.tested() else { return Ok(Dynamic::UNIT) };
    if caller.session.circumstances().is_given.swap(true, Ordering::SeqCst) {
        return Err(Failure::refused("`given` was said before: the tests of a script begin with one thing").into());
    }
    if !tested.begins() {
        return Ok(Dynamic::UNIT);
    }
    tested.gives();
    let done = in_session(caller, &caller.session, &action, ());
    tested.given(done.as_ref().map(drop).map_err(|error| failure_of(error)));
    drop(done?);
    Err(Trouble::Stops(Box::new(Failure::new(FailureKind::Interrupted, "what the tests begin with is there"))))
}

fn invariant(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let (name, holds) = (arguments.plain(0)?, arguments.function(1)?);
    if name.trim().is_empty() {
        return Err(Failure::refused("an invariant has a name, by which it is told when it is broken").into());
    }
    if let Some(tested) = caller.session.tested() {
        let holds = detach(&Dynamic::from(holds)).cast();
        lock(&caller.session.circumstances().invariants).push(Invariant::new(name, holds, caller.context, caller.origin.clone()));
        tested.look_now();
    }
    Ok(Dynamic::UNIT)
}

fn invariants(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let options = arguments.options()?;
    let least = options.get("min_capacity").and_then(|value| match value.as_int() {
        Ok(count) => usize::try_from(count).ok().map(Least::Containers),
        Err(_) => value.clone().into_string().ok()?.trim_end_matches('%').trim().parse().ok().map(Least::Percent),
    });
    if let Some(tested) = caller.session.tested() {
        tested.rules(&|rules| {
            rules.dropped = options.bool("dropped").unwrap_or(rules.dropped);
            rules.downtime = options.bool("downtime").unwrap_or(rules.downtime);
            rules.healthy = options.bool("healthy").unwrap_or(rules.healthy);
            rules.lease = options.bool("lease").unwrap_or(rules.lease);
            rules.schema = options.bool("schema").unwrap_or(rules.schema);
            rules.mixed = options.bool("mixed").unwrap_or(rules.mixed);
            rules.ending = options.bool("ending").unwrap_or(rules.ending);
            rules.versions = options.whole("versions").or(rules.versions);
            rules.min_capacity = least.or(rules.min_capacity);
        });
    }
    Ok(Dynamic::UNIT)
}

/// Asks the script's own invariants about every state that the fleet was in since they were last asked.
pub(super) fn look(caller: &Caller<'_>) {
    let Some(tested) = caller.session.tested() else { return };
    let circumstances = caller.session.circumstances();
    // A run that is told to end has no more steps to ask in: what there was is asked about when it has ended.
    if circumstances.cancellation.urgency() > Urgency::None {
        return;
    }
    let all = lock(&circumstances.invariants).clone();
    if !all.is_empty() {
        let aside = aside(&caller.session);
        let asking = Asking { tested: tested.as_ref(), sources: &circumstances.sources, placeholders: &circumstances.placeholders };
        asking.ask(&all, caller.context.engine(), &aside);
    }
}

/// What invariants are asked in: they look, and do nothing.
pub(in crate::script) fn aside(session: &Session) -> Session {
    session.over(Key::aside(0).branch(), Arc::new(Still))
}

/// Where an invariant asks for something: it looks, and does nothing.
struct Still;

impl Executor for Still {
    fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
        Err(Failure::refused(format!("an invariant looks at the world that it is given, and asks for `{}`", call.op.verb())))
    }
}
