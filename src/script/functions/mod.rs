//! Every host function: its name, parameters, documentation and body, in one table that run time, `check` and the
//! documentation read.

#![allow(clippy::unnecessary_wraps, reason = "every function's body has the same type")]

mod arguments;
mod commands;
pub(super) mod config;
mod database;
mod declare;
mod dependency;
pub(super) mod flow;
mod health;
mod metrics;
mod operator;
mod operators;
mod parameters;
mod people;
mod prune;
mod read;
mod registry;
mod starting;
mod testing;
mod traffic;
mod undoing;
mod verbs;

use std::{any::TypeId, fmt::Display, sync::Arc};

use rhai::{Dynamic, EvalAltResult, FnNamespace, FuncRegistration, Module, NativeCallContext, Position, RhaiFunc};

use self::arguments::Arguments;
pub(super) use self::parameters::{Choice, Required, fits};
pub(super) use self::testing::aside;
use super::{
    options::{self, OptionSpec},
    session::Session,
    values,
};
use crate::{
    executor::Key,
    failure::{Failure, Origin},
    model::Invalid,
    op::Operation,
};

/// One form of a host function.
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// Its parameters; those that end in `?` may be left out.
    pub parameters: &'static [&'static str],
    /// What it returns: a type's name, empty for nothing.
    pub returns: &'static str,
    /// What it does.
    pub doc: &'static str,
    body: Body,
}

type Body = fn(&Caller<'_>, &Arguments<'_>) -> Result<Dynamic, Trouble>;

/// Everything that scripts can call besides Rhai's own functions; a name stands here once for each of its forms.
pub fn signatures() -> impl Iterator<Item = &'static Function> {
    [
        declare::FUNCTIONS,
        config::FUNCTIONS,
        parameters::FUNCTIONS,
        health::FUNCTIONS,
        verbs::FUNCTIONS,
        registry::FUNCTIONS,
        starting::FUNCTIONS,
        dependency::FUNCTIONS,
        traffic::FUNCTIONS,
        commands::FUNCTIONS,
        read::FUNCTIONS,
        metrics::FUNCTIONS,
        operator::FUNCTIONS,
        flow::FUNCTIONS,
        undoing::FUNCTIONS,
        people::FUNCTIONS,
        prune::FUNCTIONS,
        testing::FUNCTIONS,
        database::FUNCTIONS,
        operators::FUNCTIONS,
    ]
    .into_iter()
    .flatten()
}

/// Functions of Rhai that a deployment script has no use for, and what to use in their place.
pub const REPLACED: &[(&str, usize, &str)] = &[
    ("exit", 0, "let the script end, or stop it with fail(message)"),
    ("exit", 1, "let the script end, or stop it with fail(message)"),
    ("sleep", 1, "pause(\"5s\") waits, and can be interrupted"),
    ("timestamp", 0, "now() reads the clock"),
];

impl Function {
    /// The fewest and the most arguments that it takes.
    pub fn arity(&self) -> std::ops::RangeInclusive<usize> {
        self.parameters.iter().filter(|name| !name.ends_with('?')).count()..=self.parameters.len()
    }

    /// The keys of its option map and the argument that it is, from 0.
    pub fn options(&self) -> Option<(usize, &'static OptionSpec)> {
        let index = self.parameters.iter().position(|name| *name == "options?")?;
        Some((index, options::spec(self.name)?))
    }
}

impl Display for Function {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}({})", self.name, self.parameters.join(", "))
    }
}

/// Why a function did not return: a failure, or what a script's own code raised in it.
enum Trouble {
    Failed(Box<Failure>),
    /// A failure after which the script does not go on, whatever it catches.
    Stops(Box<Failure>),
    Raised(Box<EvalAltResult>),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failed(Box::new(failure))
    }
}

impl From<Invalid> for Trouble {
    fn from(invalid: Invalid) -> Self {
        Failure::refused(invalid.to_string()).into()
    }
}

impl From<Box<EvalAltResult>> for Trouble {
    fn from(error: Box<EvalAltResult>) -> Self {
        Self::Raised(error)
    }
}

/// Who calls a function: the place in the script, and the session.
struct Caller<'a> {
    context: &'a NativeCallContext<'a>,
    session: Session,
    origin: Origin,
}

impl<'a> Caller<'a> {
    fn new(context: &'a NativeCallContext<'a>) -> Result<Self, Box<EvalAltResult>> {
        let session = context.tag().and_then(|tag| tag.read_lock::<Session>().map(|session| session.clone()));
        let Some(session) = session else {
            return Err(raise(Failure::failed("no run is going on: host functions work in a run only"), context.call_position()));
        };
        let origin = origin(&session, context.call_position());
        Ok(Self { context, session, origin })
    }

    fn perform<O: Operation>(&self, op: O) -> Result<O::Output, Trouble> {
        Ok(self.session.perform(&self.origin, op)?)
    }

    fn perform_all<O: Operation>(&self, ops: Vec<O>) -> Result<Vec<O::Output>, Trouble> {
        Ok(self.session.perform_all(&self.origin, ops)?)
    }

    /// As one call where there is one, else as the parts of one: for what a release's hosts decide.
    fn perform_each<O: Operation>(&self, mut ops: Vec<O>) -> Result<Vec<O::Output>, Trouble> {
        match ops.len() {
            1 => Ok(vec![self.perform(ops.remove(0))?]),
            _ => self.perform_all(ops),
        }
    }

    /// As the parts of one call where the script gave an array, even of one.
    fn perform_on<O: Operation>(&self, is_array: bool, ops: Vec<O>) -> Result<Vec<O::Output>, Trouble> {
        if is_array { self.perform_all(ops) } else { self.perform_each(ops) }
    }

    fn next_key(&self) -> Key {
        self.session.next_key()
    }
}

/// The place of a position, or the run itself where it has none.
pub(super) fn origin(session: &Session, position: Position) -> Origin {
    session.circumstances().sources.locate(position).unwrap_or_else(|| Origin { file: "script".into(), line: 1, column: 1 })
}

#[expect(clippy::unnecessary_box_returns, reason = "Rhai raises its errors boxed")]
/// A failure as Rhai carries it: scripts can catch it, unless it ends the run.
pub(super) fn raise(failure: Failure, position: Position) -> Box<EvalAltResult> {
    let stops = failure.kind.ends_the_run();
    let value = Dynamic::from(failure);
    Box::new(if stops { EvalAltResult::ErrorTerminated(value, position) } else { EvalAltResult::ErrorRuntime(value, position) })
}

/// Registers every function, for each number of arguments that it takes. The types are checked by the functions themselves,
/// which can say what they expect.
pub fn module() -> Module {
    let mut module = Module::new();
    values::register(&mut module);
    for function in signatures() {
        for count in function.arity() {
            let registration = named(function.name, &function.parameters[..count], function.returns, function.doc);
            let call = move |context: Option<NativeCallContext<'_>>, values: &mut [&mut Dynamic]| {
                let context = context.expect("it is registered with a context");
                let caller = Caller::new(&context)?;
                let arguments = Arguments::new(function, values);
                let result = (function.body)(&caller, &arguments);
                testing::look(&caller);
                result.map_err(|trouble| match trouble {
                    Trouble::Failed(mut failure) => {
                        failure.message = caller.session.circumstances().placeholders.show(&failure.message);
                        raise(failure.from(&caller.origin), context.call_position())
                    }
                    Trouble::Stops(mut failure) => {
                        failure.message = caller.session.circumstances().placeholders.show(&failure.message);
                        EvalAltResult::ErrorTerminated(Dynamic::from(*failure), context.call_position()).into()
                    }
                    Trouble::Raised(error) => error,
                })
            };
            set(&mut module, registration, &vec![TypeId::of::<Dynamic>(); count], call);
        }
    }
    for (name, count, instead) in REPLACED {
        for any in [TypeId::of::<Dynamic>(), TypeId::of::<i64>(), TypeId::of::<f64>()] {
            let call = move |context: Option<NativeCallContext<'_>>, _: &mut [&mut Dynamic]| {
                let position = context.map_or(Position::NONE, |context| context.call_position());
                Err(raise(Failure::refused(format!("there is no `{name}` in a deployment script")).hint(*instead), position))
            };
            set(&mut module, FuncRegistration::new(*name), &vec![any; *count], call);
        }
    }
    flow::register_print(&mut module);
    module
}

fn named(name: &str, parameters: &[&str], returns: &str, doc: &str) -> FuncRegistration {
    let parameters = parameters.iter().map(|name| name.trim_end_matches('?')).chain([returns]);
    FuncRegistration::new(name).with_params_info(parameters).with_comments([doc
        .lines()
        .map(|line| format!("/// {line}"))
        .collect::<Vec<_>>()
        .join("\n")])
}

/// Registers a function that takes its arguments as they come.
fn set(
    module: &mut Module,
    registration: FuncRegistration,
    types: &[TypeId],
    call: impl Fn(Option<NativeCallContext<'_>>, &mut [&mut Dynamic]) -> Result<Dynamic, Box<EvalAltResult>> + Send + Sync + 'static,
) {
    let func = RhaiFunc::Method { func: Arc::new(call), has_context: true, is_pure: true, is_volatile: true };
    registration.with_namespace(FnNamespace::Global).set_into_module_raw(module, types, func);
}
