//! Flow: `parallel`, phases, batches, arguments, and what a script says.

use std::{
    any::TypeId,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use rhai::{Array, Dynamic, EvalAltResult, FnPtr, FuncArgs, FuncRegistration, ImmutableString, Map, Module};

use super::{Arguments, Caller, Function, Trouble, set, starting::by_host};
use crate::{
    executor::{Branches, Event, Level, branches::each, lease::locked, turns::each_in_turns},
    failure::{Failure, FailureKind},
    model::{Container, Host, Period},
    op,
    script::{
        diagnostics::message,
        options::shown,
        parallel,
        session::{Session, combined},
        values::type_word,
    },
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "parallel",
        parameters: &["list", "action", "options?"],
        returns: "Array",
        doc: "Calls a closure for each item, side by side; the results come in the items' order.",
        body: branches,
    },
    Function {
        name: "phase",
        parameters: &["title", "action"],
        returns: "Dynamic",
        doc: "Groups what a closure does under a title; returns what it returns.",
        body: phase,
    },
    Function {
        name: "batches",
        parameters: &["list", "size"],
        returns: "Array",
        doc: "Cuts a list into groups of this size: a count, or a part such as \"25%\". A host is a list of one.",
        body: batches,
    },
    Function { name: "pause", parameters: &["duration"], returns: "", doc: "Waits.", body: pause },
    Function {
        name: "lock",
        parameters: &["service", "hosts"],
        returns: "",
        doc: "Takes the service's leases on all these hosts and on the proxies that serve them, or none.",
        body: lock,
    },
    Function { name: "fail", parameters: &["message"], returns: "", doc: "Fails with this message.", body: fail },
    Function {
        name: "ensure",
        parameters: &["condition", "message"],
        returns: "",
        doc: "Fails with this message unless the condition is true.",
        body: ensure,
    },
    Function { name: "info", parameters: &["message"], returns: "", doc: "Says something.", body: info },
    Function { name: "warn", parameters: &["message"], returns: "", doc: "Says something that matters.", body: warn },
    Function { name: "record", parameters: &["release"], returns: "", doc: "Notes a deploy in its hosts' history.", body: record },
];

fn branches(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let (items, action, options) = (arguments.list(0)?, arguments.function(1)?, arguments.options()?);
    let fail_fast = options.bool("fail_fast").unwrap_or(true);
    caller.session.goes_on()?;
    let key = caller.next_key();
    let how = match (caller.session.circumstances().branches, options.whole("max")) {
        (Branches::Parallel { .. }, Some(max)) => Branches::Parallel { max },
        (how, _) => how,
    };
    let stop = Arc::new(AtomicBool::new(false));
    let sessions: Vec<(Dynamic, FnPtr, Session)> = items
        .iter()
        .enumerate()
        .map(|(index, item)| {
            let action = parallel::detach(&Dynamic::from(action.clone())).cast::<FnPtr>();
            (parallel::detach(item), action, caller.session.branch(&key, index, Arc::clone(&stop)))
        })
        .collect();
    // One that was stopped itself stops nobody: the one that has failed may still come to that, in a replay.
    let ends_the_others =
        |result: &Result<Dynamic, Box<EvalAltResult>>| fail_fast && result.as_ref().is_err_and(|error| !is_interruption(error));
    let work = |_: usize, (item, action, session): &(Dynamic, FnPtr, Session)| {
        let result = in_session(caller, session, action, (item.clone(),));
        if ends_the_others(&result) {
            stop.store(true, Ordering::SeqCst);
        }
        result
    };
    let results = match how {
        Branches::InTurns => {
            let most = options.whole("max").unwrap_or_else(Branches::most);
            each_in_turns(most, &sessions, work, ends_the_others)
        }
        how => each(how, &sessions, work, ends_the_others),
    };
    for ((_, _, session), result) in sessions.iter().zip(&results) {
        if result.as_ref().is_some_and(Result::is_ok) {
            caller.session.take_over_from(session);
        }
    }
    if results.iter().flatten().any(Result::is_err) {
        let unbegun = results.iter().enumerate().filter(|(_, result)| result.is_none());
        unbegun.for_each(|(index, _)| caller.session.forgo(&key.part(index)));
    }
    let begun: Vec<Result<Dynamic, Box<EvalAltResult>>> = results.into_iter().flatten().collect();
    if begun.iter().all(Result::is_ok) {
        return Ok(begun.into_iter().collect::<Result<Array, _>>()?.into());
    }
    caller.session.check()?;
    Err(first_or_all(begun.into_iter().filter_map(Result::err).collect(), items.len(), &caller.session))
}

#[expect(deprecated, reason = "Rhai marks the stored context as volatile; there is no other way to call a closure with its own tag")]
pub(super) fn in_session(
    caller: &Caller<'_>,
    session: &Session,
    action: &FnPtr,
    arguments: impl FuncArgs,
) -> Result<Dynamic, Box<EvalAltResult>> {
    let mut store = caller.context.store_data();
    store.global.tag = Dynamic::from(session.clone());
    action.call_within_context(&store.create_context(caller.context.engine()), arguments)
}

/// The error that branches end in: one that stops the run before all others, a single one as it is, several as one failure. A
/// branch that was stopped for another's sake is not counted.
#[expect(clippy::vec_box, reason = "Rhai raises its errors boxed")]
fn first_or_all(mut errors: Vec<Box<EvalAltResult>>, of: usize, session: &Session) -> Trouble {
    let told = |error: &EvalAltResult| matches!(error.unwrap_inner(), EvalAltResult::ErrorTerminated(..));
    if let Some(stops) = errors.iter().position(|error| told(error) && !is_interruption(error)) {
        return Trouble::Raised(errors.remove(stops));
    }
    if errors.iter().any(|error| !told(error)) {
        errors.retain(|error| !told(error));
    }
    if errors.len() == 1 || errors.iter().all(|error| told(error)) {
        return Trouble::Raised(errors.remove(0));
    }
    // They are told where the first of them was raised: that is in the closure.
    let placed = |error: &EvalAltResult| {
        let failure = failure_of(error);
        let place = session.circumstances().sources.locate(error.unwrap_inner().position());
        Failure { origin: failure.origin.or(place), ..failure }
    };
    let failures: Vec<Failure> = errors.iter().map(|error| placed(error)).collect();
    combined(format!("{} of {of} branches failed", failures.len()), failures).into()
}

/// Whether a branch was told to stop, rather than failed.
fn is_interruption(error: &EvalAltResult) -> bool {
    matches!(error.unwrap_inner(), EvalAltResult::ErrorTerminated(..)) && failure_of(error).kind == FailureKind::Interrupted
}

/// The failure that an error carries, or its words as one.
pub(in crate::script) fn failure_of(error: &EvalAltResult) -> Failure {
    match error.unwrap_inner() {
        EvalAltResult::ErrorRuntime(thrown, _) | EvalAltResult::ErrorTerminated(thrown, _) => {
            thrown.clone().try_cast::<Failure>().unwrap_or_else(|| Failure::failed(thrown.to_string()))
        }
        other => Failure::failed(message(other)),
    }
}

fn phase(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let (title, action) = (arguments.string(0)?, arguments.function(1)?);
    let circumstances = caller.session.circumstances();
    let title = circumstances.placeholders.show(&title);
    let depth = caller.session.phases().fetch_add(1, Ordering::SeqCst);
    circumstances.narrator.tell(Event::PhaseBegan { title: &title, depth });
    let began = Instant::now();
    let result = action.call_within_context::<Dynamic>(caller.context, ());
    caller.session.phases().fetch_sub(1, Ordering::SeqCst);
    circumstances.narrator.tell(Event::PhaseEnded { title: &title, depth, took: began.elapsed() });
    Ok(result?)
}

fn batches(_: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let list = if arguments.value(0).is::<Host>() { vec![arguments.value(0)] } else { arguments.list(0)? };
    let size = size_of_batch(&arguments.value(1), list.len()).map_err(Failure::refused)?;
    Ok(list.chunks(size).map(|batch| Dynamic::from_array(batch.to_vec())).collect::<Array>().into())
}

/// How many of a list are in one batch of this size.
pub(in crate::script) fn size_of_batch(size: &Dynamic, of: usize) -> Result<usize, String> {
    let percentage = || -> Option<usize> { size.read_lock::<ImmutableString>()?.strip_suffix('%')?.trim().parse().ok() };
    let count = match size.as_int() {
        Ok(count) => usize::try_from(count).ok().filter(|count| *count > 0),
        Err(_) => percentage().filter(|percent| (1..=100).contains(percent)).map(|percent| (of * percent).div_ceil(100).max(1)),
    };
    count.ok_or_else(|| format!("the size of a batch is a count from 1 on, or a part such as \"25%\", and got {}", shown(size)))
}

fn pause(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let period = arguments.period(0)?;
    if period != Period::default() {
        caller.perform(op::Pause { period })?;
    }
    Ok(Dynamic::UNIT)
}

fn lock(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let (service, mut hosts) = (arguments.service(0)?, arguments.some_hosts(1)?.list);
    hosts.extend(service.proxies(&hosts).to_vec());
    if hosts.is_empty() {
        return Ok(Dynamic::UNIT);
    }
    let project = caller.session.project();
    let asked = op::Lock::new(project.clone(), service.name.clone(), hosts);
    match caller.perform(asked.clone())? {
        op::Locking::Taken => Ok(Dynamic::UNIT),
        op::Locking::Held { host, lease } => {
            let host = asked.hosts.iter().find(|asked| asked.name == host).unwrap_or(&asked.hosts[0]);
            Err(locked(&project, host, &lease).into())
        }
    }
}

fn fail(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let message = caller.session.circumstances().placeholders.show(&arguments.value(0).to_string());
    Err(Failure::new(FailureKind::Failed, message).into())
}

fn ensure(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    if arguments.bool(0)? {
        return Ok(Dynamic::UNIT);
    }
    let message = caller.session.circumstances().placeholders.show(&arguments.value(1).to_string());
    Err(Failure::new(FailureKind::Failed, message).into())
}

fn info(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    say(caller, Level::Info, &arguments.value(0));
    Ok(Dynamic::UNIT)
}

fn warn(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    say(caller, Level::Warn, &arguments.value(0));
    Ok(Dynamic::UNIT)
}

fn say(caller: &Caller<'_>, level: Level, value: &Dynamic) {
    caller.session.say(level, &words(caller, "to_string", value), &caller.origin);
}

/// A value as Rhai prints it, with the words of custom types.
fn words(caller: &Caller<'_>, printer: &str, value: &Dynamic) -> String {
    let mut value = value.clone();
    let words = caller.context.call_native_fn_raw(printer, true, &mut [&mut value]);
    words.ok().and_then(|words| words.into_string().ok()).unwrap_or_else(|| type_word(&value))
}

fn record(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let Some(release) = arguments.release(0)? else { return Ok(Dynamic::UNIT) };
    let mut entries: Vec<op::Record> = Vec::new();
    for (host, _) in by_host(&release) {
        let mut of_host: Vec<&Container> = release.containers.iter().filter(|container| container.host == host.name).collect();
        of_host.sort_by(|a, b| (&a.deployed_at, &a.version).cmp(&(&b.deployed_at, &b.version)));
        of_host.dedup_by(|a, b| a.version == b.version && a.image == b.image);
        entries.extend(of_host.into_iter().map(|container| op::Record {
            host: host.clone(),
            project: caller.session.project(),
            service: release.service.name.clone(),
            version: container.version.clone(),
            image: container.image.clone(),
        }));
    }
    caller.perform_each(entries)?;
    Ok(Dynamic::UNIT)
}

/// Registers `print` and `debug` as ways to say something. Rhai's own are exact for some types, and only exact ones replace them.
pub(super) fn register_print(module: &mut Module) {
    let types = [
        TypeId::of::<Dynamic>(),
        TypeId::of::<()>(),
        TypeId::of::<bool>(),
        TypeId::of::<i64>(),
        TypeId::of::<f64>(),
        TypeId::of::<char>(),
        TypeId::of::<ImmutableString>(),
        TypeId::of::<Array>(),
        TypeId::of::<Map>(),
    ];
    for (name, printer) in [("print", "to_string"), ("debug", "to_debug")] {
        for of in types {
            set(module, FuncRegistration::new(name), &[of], move |context, values| {
                let Some(context) = context else { return Ok(Dynamic::UNIT) };
                let caller = Caller::new(&context)?;
                caller.session.say(Level::Info, &words(&caller, printer, &values[0].flatten_clone()), &caller.origin);
                Ok(ImmutableString::new().into())
            });
        }
    }
}
