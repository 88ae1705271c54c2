//! Watches a script step by step.

use rhai::{
    ASTNode, Dynamic, Engine, EvalContext, Expr,
    debugger::{DebuggerCommand, DebuggerEvent},
};

use super::{
    evaluator::{Evaluator, Frame, set},
    functions::raise,
    session::Session,
    sources::Sources,
};
use crate::failure::{Failure, Origin};

/// Someone who watches a script.
pub trait Watcher: Send + Sync {
    /// The script is about to begin; `evaluator` evaluates texts as calls of its run.
    fn begins(&self, evaluator: Evaluator);

    /// A statement or an expression is about to be evaluated. What is returned is raised there.
    fn at(&self, paused: &mut Paused<'_, '_, '_, '_, '_, '_>) -> Result<(), Failure>;
}

/// A script that waits.
pub struct Paused<'a, 's, 'ps, 'g, 'c, 't> {
    /// Where it is.
    pub origin: Origin,
    /// How many calls it is in.
    pub level: usize,
    /// Whether a statement or a call is about to be evaluated: what it is in is looked at then.
    pub is_call: bool,
    context: EvalContext<'a, 's, 'ps, 'g, 'c, 't>,
    sources: &'a Sources,
}

impl Paused<'_, '_, '_, '_, '_, '_> {
    /// What is in scope, as it is now.
    pub fn frame(&self) -> Frame {
        Frame::of(self.context.scope(), self.context.global_runtime_state())
    }

    /// The session that its calls belong to.
    pub fn session(&self) -> Option<Session> {
        self.context.tag().read_lock::<Session>().map(|session| session.clone())
    }

    /// Gives a variable another value.
    pub fn set(&mut self, name: &str, value: Dynamic) -> Result<(), Failure> {
        set(self.context.scope_mut(), name, value)
    }

    /// The calls that led here, the outermost first: a function's name, and where it was called.
    pub fn calls(&self) -> Vec<(String, Option<Origin>)> {
        let stack = self.context.global_runtime_state().debugger().call_stack();
        stack.iter().map(|call| (call.fn_name.to_string(), self.sources.locate(call.pos))).collect()
    }
}

#[expect(deprecated, reason = "Rhai marks its debugger as volatile; there is no other")]
/// Lets `watcher` see every step of what `engine` runs. Every step is asked for, because Rhai's own ways to step over skip loops.
pub(super) fn register(engine: &mut Engine, sources: Sources, watcher: std::sync::Arc<dyn Watcher>) {
    engine.register_debugger(
        |_, debugger| debugger,
        move |context, event, node, _, position| {
            // A function that ends has no variables any more.
            let ends = matches!(event, DebuggerEvent::FunctionExitWithValue(_) | DebuggerEvent::FunctionExitWithError(_));
            let Some(origin) = sources.locate(position).filter(|_| !ends) else { return Ok(DebuggerCommand::StepInto) };
            let level = context.call_level();
            let is_call = match node {
                ASTNode::Expr(Expr::FnCall(..)) => true,
                ASTNode::Expr(Expr::MethodCall(..) | Expr::Dot(..)) => !context.scope().is_empty(),
                other => other.is_stmt(),
            };
            let mut paused = Paused { origin, level, is_call, context, sources: &sources };
            watcher.at(&mut paused).map_err(|failure| raise(failure, position))?;
            Ok(DebuggerCommand::StepInto)
        },
    );
}
