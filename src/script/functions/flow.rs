pub(super) const FUNCTIONS: &[super::Function] = &[];
pub(super) fn register_print(_: &mut rhai::Module) {}
