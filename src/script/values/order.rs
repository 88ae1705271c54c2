//! Comparisons that have no answer. Rhai takes a text for neither less nor more than a number, and what is missing too, so that a limit
//! would hold whatever was measured.

use rhai::{EvalAltResult, FLOAT, FuncRegistration, INT, ImmutableString, Module, NativeCallContext, Variant};

use crate::{failure::Failure, script::functions};

/// The operators that ask for an order.
const OPERATORS: [&str; 4] = ["<", "<=", ">", ">="];
/// The most letters of a text that an error shows.
const SHOWN: usize = 40;

pub(super) fn register(module: &mut Module) {
    both::<ImmutableString, INT>(module);
    both::<ImmutableString, FLOAT>(module);
    both::<(), INT>(module);
    both::<(), FLOAT>(module);
    both::<char, INT>(module);
    both::<char, FLOAT>(module);
    both::<(), ImmutableString>(module);
    both::<(), char>(module);
    one::<(), ()>(module);
}

/// A value that an error shows.
trait Told: Variant + Clone {
    fn told(&self) -> String;
    fn is_missing(&self) -> bool {
        false
    }
}

impl Told for ImmutableString {
    fn told(&self) -> String {
        let shown: String = self.chars().take(SHOWN).collect();
        format!("{shown:?}{}", if shown.len() < self.len() { "…" } else { "" })
    }
}

impl Told for INT {
    fn told(&self) -> String {
        self.to_string()
    }
}

impl Told for FLOAT {
    fn told(&self) -> String {
        self.to_string()
    }
}

impl Told for char {
    fn told(&self) -> String {
        format!("{self:?}")
    }
}

impl Told for () {
    fn told(&self) -> String {
        "()".into()
    }
    fn is_missing(&self) -> bool {
        true
    }
}

/// Refuses to compare one with the other, whichever comes first.
fn both<A: Told, B: Told>(module: &mut Module) {
    one::<A, B>(module);
    one::<B, A>(module);
}

fn one<A: Told, B: Told>(module: &mut Module) {
    for operator in OPERATORS {
        let refused = move |context: NativeCallContext<'_>, left: A, right: B| -> Result<bool, Box<EvalAltResult>> {
            let compared = format!("{} {operator} {}", left.told(), right.told());
            let failure = if left.is_missing() || right.is_missing() {
                Failure::refused(format!("what is missing has no order: {compared}"))
                    .hint("`()` is what is not there: ask for it before (`value != ()`), or say what counts in its place (`value ?? 0`)")
            } else {
                Failure::refused(format!("a text has no order with a number: {compared}"))
                    .hint("`parse_int` and `parse_float` read a number from a text")
            };
            Err(functions::raise(failure, context.call_position()))
        };
        FuncRegistration::new(operator).in_global_namespace().set_into_module(module, refused);
    }
}
