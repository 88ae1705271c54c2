//! A module's functions call their own module's functions, whatever other modules call theirs.
//!
//! Rhai keeps what an unqualified call was resolved to, and keeps it by name and number of arguments alone: once two modules
//! have a function of one name, a call inside of the one may reach the other's. It begins with an empty cache where a native
//! function calls a script's, so each function of a module is put behind one.

use std::any::TypeId;

use rhai::{AST, Dynamic, FnAccess, FnNamespace, FuncRegistration, Module, NativeCallContext, RhaiFunc, Shared};

/// The module as others see it: its public functions, each resolving calls anew, its variables and its imports.
pub(super) fn isolated(module: Module, ast: &AST) -> Module {
    let mut outer = Module::new();
    outer.set_id(module.id().unwrap_or_default());
    for (name, value) in module.iter_var() {
        outer.set_var(name, value.clone());
    }
    for (name, imported) in module.iter_sub_modules() {
        outer.set_sub_module(name, Shared::clone(imported));
    }
    let inner = Shared::new(module);
    for function in ast.iter_functions().filter(|function| function.access == FnAccess::Public) {
        let (name, inner) = (function.name.to_owned(), Shared::clone(&inner));
        let call = move |context: Option<NativeCallContext<'_>>, values: &mut [&mut Dynamic]| {
            let context = context.expect("it is registered with a context");
            call_in(&inner, &context, &name, values)
        };
        let func = RhaiFunc::Method { func: Shared::new(call), has_context: true, is_pure: true, is_volatile: true };
        FuncRegistration::new(function.name)
            .with_namespace(FnNamespace::Internal)
            .with_params_info(&function.params)
            .with_comments(&function.comments)
            .set_into_module_raw(&mut outer, vec![TypeId::of::<Dynamic>(); function.params.len()], func);
    }
    outer.build_index();
    outer
}

#[expect(deprecated, reason = "Rhai marks the stored context as volatile; there is no other way to call a module's own function")]
fn call_in(
    module: &Shared<Module>,
    context: &NativeCallContext<'_>,
    name: &str,
    values: &mut [&mut Dynamic],
) -> Result<Dynamic, Box<rhai::EvalAltResult>> {
    let mut store = context.store_data();
    store.global.lib.push(Shared::clone(module));
    // Scripts' functions have copies of what they are given.
    let mut arguments: Vec<Dynamic> = values.iter().map(|value| value.flatten_clone()).collect();
    let mut arguments: Vec<&mut Dynamic> = arguments.iter_mut().collect();
    store.create_context(context.engine()).call_fn_raw(name, false, false, &mut arguments)
}
