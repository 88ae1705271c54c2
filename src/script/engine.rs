//! The Rhai engine that scripts are checked and run with.

use std::sync::OnceLock;

use rhai::{
    Engine, Module, OptimizationLevel, Shared,
    packages::{Package, StandardPackage},
};

use super::functions;

/// How deep calls may be nested.
const CALL_LEVELS: usize = 64;
/// How deep an expression may be nested; an ordinary strategy exceeds the defaults of a debug build. Times the call levels, it
/// is what the stack of a script's thread has to hold.
const EXPRESSION_DEPTH: usize = 64;
/// The longest string: a file, or what a command printed.
const STRING_SIZE: usize = 16 << 20;
/// How many short strings an engine keeps to share them: as many as Rhai's own engine does.
const INTERNED: usize = 256;
/// The most items of an array or a map.
const ITEMS: usize = 100_000;

/// An engine that knows the language: limits, host functions, value types. `check` compiles with it; a run adds its session,
/// its modules and a way to stop.
pub fn language() -> Engine {
    let mut engine = Engine::new_raw();
    engine
        .register_global_module(standard_functions())
        .set_max_strings_interned(INTERNED)
        .set_optimization_level(OptimizationLevel::None)
        .set_strict_variables(true)
        .set_fail_on_invalid_map_property(true)
        // Else Rhai itself answers what has no order, and always with no.
        .set_fast_operators(false)
        .set_max_call_levels(CALL_LEVELS)
        .set_max_expr_depths(EXPRESSION_DEPTH, EXPRESSION_DEPTH)
        .set_max_operations(0)
        .set_max_string_size(STRING_SIZE)
        .set_max_array_size(ITEMS)
        .set_max_map_size(ITEMS)
        .set_max_variables(10_000)
        .set_max_functions(10_000)
        .set_max_modules(1_000)
        .disable_symbol("eval")
        .on_print(|_| {})
        .on_debug(|_, _, _| {})
        .register_global_module(host_functions());
    engine
}

/// Rhai's own functions, which are the same for every engine too.
fn standard_functions() -> Shared<Module> {
    static MODULE: OnceLock<Shared<Module>> = OnceLock::new();
    MODULE.get_or_init(|| StandardPackage::new().as_shared_module()).clone()
}

/// The host functions' module, which is the same for every engine: a test of a script makes thousands of them.
fn host_functions() -> Shared<Module> {
    static MODULE: OnceLock<Shared<Module>> = OnceLock::new();
    MODULE.get_or_init(|| functions::module().into()).clone()
}
